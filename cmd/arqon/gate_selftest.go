package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/seed"
)

type selftestFlags struct {
	study, out        string
	runs, pairs       int
	candidates        int
	alpha             float64
	asJSON, quiet     bool
	seed              uint64
	falseMax, foundOK float64
}

func newGateSelftest() *cobra.Command {
	f := selftestFlags{falseMax: .05, foundOK: .95}
	c := &cobra.Command{
		Use:   "selftest --study FILE",
		Short: "Compare identical builds and delayed ones on this machine, and count the errors",
		Long: `Selftest measures the study's baseline against itself, again and again, and against
itself with an injected delay (control_delay of the policy, 3 % by default), in
the order of seeded coins, and decides each comparison as a night would. It
counts how often identical builds were called different and how often the faster
of two was found within the cap. Nothing is searched, recorded or published.

Exit 0: at most 5 % false alarms at the level of 5 %, none at the night's level,
and at least 95 % of the delays found. Exit 1: the machine is too loud for that.`,
		Example: `  arqon gate selftest --study studies/compress.yaml --runs 40
  arqon gate selftest --study studies/infer.yaml --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.study == "" {
				return hinted{errors.New("no study was named"), "arqon gate selftest --study studies/compress.yaml needs no data"}
			}
			return gateSelftest(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.study, "study", "", "whose domain and policy: the study's `FILE`")
	c.Flags().StringVar(&f.out, "out", defaultOut, "where a domain may keep what it has made")
	c.Flags().IntVar(&f.runs, "runs", 20, "comparisons of each kind")
	c.Flags().IntVar(&f.pairs, "pairs", 80, "cap of one comparison")
	c.Flags().IntVar(&f.candidates, "candidates", 20, "of the night that it decides like")
	c.Flags().Float64Var(&f.alpha, "alpha", .01, "what that night may err")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the coins")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the counts as JSON")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no progress")
	return c
}

func gateSelftest(ctx context.Context, f selftestFlags, stdout, stderr io.Writer) (err error) {
	s := newStory(stderr, f.quiet)
	defer s.close()
	study, err := factory.LoadStudy(f.study)
	if err != nil {
		return err
	}
	domain, err := ready(ctx, study, f.out, 1, func(line string) { s.say("%s", line) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, domain.Close()) }()
	d, err := domain.Describe(ctx)
	if err != nil {
		return err
	}
	if d, err = study.Apply(d); err != nil {
		return err
	}
	baseline, err := domain.Build(ctx, d.Baseline, f.seed)
	if err != nil {
		return err
	}
	j := gates.Judge{Domain: domain, Description: d, Baseline: baseline, Policy: study.Policy, Seed: seed.Root(f.seed), Host: host()}
	r, err := j.Selftest(ctx, f.runs, f.pairs, f.candidates, f.alpha, func(done int) { s.step("selftest", done, f.runs, d.Name) })
	if err != nil {
		return err
	}
	s.close()
	if f.asJSON {
		err = printJSON(stdout, r)
	} else {
		_, err = fmt.Fprintf(stdout, `%s in context %s: one pair of identical builds has a noise of %.2f %%
identical builds   %d of %d called different at the level of 5 %%, %d at the night's level of %g/%d
delayed by %g %%   %d of %d found within %d pairs at the night's level, after %.1f pairs on average
`, r.Metric, r.Context, 100*r.SD, r.FalseOne, r.Runs, r.False, r.Alpha, r.K, 100*r.Delay, r.Found, r.Runs, r.PairsMax, r.Pairs)
	}
	if err == nil && (r.False > 0 || float64(r.FalseOne) > f.falseMax*float64(r.Runs) || float64(r.Found) < f.foundOK*float64(r.Runs)) {
		return no{hinted{errors.New("this machine does not reach what the gates promise"), "see what else runs on it, or raise min_effect and control_delay; a handful of runs also errs by chance"}}
	}
	return err
}
