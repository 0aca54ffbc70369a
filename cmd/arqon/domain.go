package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/conformance"
	"github.com/arqon/arqon/benchmarks/external"
	"github.com/arqon/arqon/factory"
)

// newDomain is the parent of what concerns a domain and no study.
func newDomain() *cobra.Command {
	c := &cobra.Command{
		Use:   "domain",
		Short: "Check that a program keeps the contract of a domain, or serve a built-in one as a program",
		Long: `A domain is one thing with knobs, contexts and measurable consequences: a built-in
one (` + builtIn + `), or any program that speaks arqon-domain/1.
docs/domains.md says how to write one.`,
		Example: `  arqon domain check -- ./bench --arqon
  arqon domain serve cache`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDomainCheck(), newDomainServe())
	return c
}

type domainFlags struct {
	study, out string
	law        string
	timeout    time.Duration
	env        []string
	seed       uint64
	json       bool
}

func newDomainCheck() *cobra.Command {
	var f domainFlags
	c := &cobra.Command{
		Use:   "check -- COMMAND… | check NAME | check --study FILE",
		Short: "Go through the contract and say which promises a domain breaks",
		Long: `Check goes through what Arqon relies on: that a description is sound and the same
twice, that a build is pure, that deterministic metrics repeat exactly, that a
point outside the space, an unknown scenario and an unknown perturbation are
refused in the way a search and the gates understand. It looks at the baseline, at
a quarter of the full input, in every scenario.

Each line is one promise: kept, declined (something optional that the program
answers "unsupported" to), or BROKEN with the reason and a hint. It judges the
contract, not how good the system is.

The program is started as a study would start it: without a shell, with a
scrubbed environment, in a directory of its own.`,
		Example: `  arqon domain check -- ./bench --arqon
  arqon domain check --timeout 10m --env PGHOST -- python3 bench.py
  arqon domain check --study studies/compress.yaml
  arqon domain check cache`,
		RunE: func(c *cobra.Command, args []string) error {
			st, err := f.subject(args, c.ArgsLenAtDash())
			if err != nil {
				return err
			}
			return checkDomain(c.Context(), f, st, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.study, "study", "", "the domain of this study `FILE`")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "of one operation of the program (default 2m)")
	c.Flags().StringArrayVar(&f.env, "env", nil, "the `NAME` of a variable that the program may see; may be repeated")
	c.Flags().StringVar(&f.out, "out", defaultOut, "where trained weights are kept")
	c.Flags().StringVar(&f.law, "law", "", "universe: the `LAW`, by name, or its file")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
	return c
}

// subject is a study of nothing but the domain in question.
func (f domainFlags) subject(args []string, dash int) (factory.Study, error) {
	command := dash == 0 && len(args) > 0
	switch {
	case f.law != "" && (f.study != "" || command):
		return factory.Study{}, hinted{errors.New("--law belongs to a built-in domain; a study says its own"), "arqon domain check universe --law growth"}
	case f.study != "" && len(args) == 0:
		return factory.LoadStudy(f.study)
	case f.study == "" && command:
		return factory.Study{Seed: 1, External: &factory.External{Command: args, Env: f.env, Timeout: f.timeout}}, nil
	case f.study == "" && len(args) == 1 && dash < 0:
		st := factory.Study{Seed: 1, Domain: args[0]}
		err := giveLaw(&st, f.law)
		return st, err
	}
	return factory.Study{}, hinted{
		errors.New("one of: a command after --, the name of a built-in domain, or --study FILE"),
		"arqon domain check -- ./bench --arqon",
	}
}

// promise is a finding for people and machines.
type promise struct {
	Promise string `json:"promise"`
	State   string `json:"state"` // kept, declined or BROKEN
	Reason  string `json:"reason,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func checkDomain(ctx context.Context, f domainFlags, st factory.Study, stdout, stderr io.Writer) (err error) {
	d, err := openDomain(st, f.out, 0, func(s string) { fmt.Fprintln(stderr, s) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	name := ""
	switch desc, err := d.Describe(ctx); {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return hinted{err, "the command is started without a shell: give a path, or a name on PATH"}
	case err == nil:
		name = desc.Name + " " + desc.Version
	}
	var out []promise
	states := map[string]int{}
	for _, x := range conformance.Examine(ctx, d) {
		p := promise{Promise: x.Promise, State: "kept"}
		switch {
		case x.Broken():
			p.State, p.Hint = "BROKEN", x.Hint
		case x.Err != nil:
			p.State = "declined"
			if x.Promise == conformance.ChecksPromise {
				p.Hint = "discover works without checks, but the correctness gate has nothing to go by: a night promotes nothing"
			}
		}
		if x.Err != nil {
			p.Reason = x.Err.Error()
		}
		states[p.State]++
		out = append(out, p)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.json {
		err = printJSON(stdout, map[string]any{"ok": states["BROKEN"] == 0, "domain": name, "promises": out})
	} else {
		printPromises(stdout, out)
		fmt.Fprintf(stdout, "%s: %s kept, %d declined, %d broken\n", cmp.Or(name, "no domain yet"), count(states["kept"], "promise", "promises"), states["declined"], states["BROKEN"])
	}
	if n := states["BROKEN"]; n > 0 {
		return errors.Join(err, no{hinted{errors.New(count(n, "promise of the contract is", "promises of the contract are") + " broken"), "docs/domains.md says what each operation must do"}})
	}
	return err
}

func printPromises(w io.Writer, out []promise) {
	for _, p := range out {
		fmt.Fprintf(w, "%-9s %s\n", p.State, p.Promise)
		if p.Reason != "" {
			fmt.Fprintf(w, "%-9s %s\n", "", p.Reason)
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "%-9s ▸ %s\n", "", p.Hint)
		}
	}
}

func newDomainServe() *cobra.Command {
	var f domainFlags
	c := &cobra.Command{
		Use:   "serve NAME",
		Short: "Speak arqon-domain/1 on standard input and output for a built-in domain",
		Long: `Serve is what a program of your own does under external.command: it answers one
JSON line with another until shutdown or the end of its input. Talk to it by hand
to see what the protocol looks like, or put it behind ssh or a container to
measure a built-in domain on another machine:

  external: {command: [ssh, quiet-box, arqon, domain, serve, universe]}

works where both sides see the same directories.`,
		Example: `  arqon domain serve cache
  echo '{"id":1,"op":"describe"}' | arqon domain serve universe-law`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return serveDomain(c.Context(), f, args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.out, "out", defaultOut, "where trained weights are kept")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "of a training, as in a study")
	c.Flags().StringVar(&f.law, "law", "", "universe: the `LAW`, by name, or its file")
	return c
}

func serveDomain(ctx context.Context, f domainFlags, name string, stdout, stderr io.Writer) error {
	st := factory.Study{Domain: name, Seed: f.seed, Workers: 1}
	if err := giveLaw(&st, f.law); err != nil {
		return err
	}
	d, err := openDomain(st, f.out, 0, func(s string) { fmt.Fprintln(stderr, s) })
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- external.Serve(ctx, d, os.Stdin, stdout) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // reading may go on for ever: the process ends instead
		return nil
	}
	return errors.Join(err, d.Close())
}
