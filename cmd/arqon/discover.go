package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
)

type discoverFlags struct {
	study, resume, out string
	json, quiet        bool
}

func newDiscover() *cobra.Command {
	var f discoverFlags
	c := &cobra.Command{
		Use:   "discover --study FILE | --resume RUN",
		Short: "Search alone: the best point of every context, with what fresh samples say about it",
		Long: `Discover runs the search of a study without gates, for any domain: a program that
answers hello, describe and measure, and "unsupported" to the rest, is enough.
It approves nothing and signs nothing; nightly does that.

The budget is the number of samples asked of the domain, whatever they are for:
points, repeats, the baseline. A measured metric gets one sample a point in the
search; the best points then race in common blocks, and the winner is measured
afresh. Only those last samples are published.

An interrupted search goes on with --resume RUN, kill -9 included, to the same
answer. Exit 0: a point was found in every context that keeps its limits and
tolerances; 1: in some context nothing does.`,
		Example: `  arqon discover --study studies/compress.yaml
  arqon discover --study studies/compress.yaml --json
  arqon discover --resume compress-0001`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDiscover(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.study, "study", "", "the study `FILE` (YAML)")
	c.Flags().StringVar(&f.resume, "resume", "", "go on with an interrupted `RUN` (name or directory)")
	c.Flags().StringVar(&f.out, "out", "out", "where runs and caches are kept")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
	c.MarkFlagsMutuallyExclusive("study", "resume")
	c.MarkFlagsOneRequired("study", "resume")
	return c
}

func runDiscover(ctx context.Context, f discoverFlags, stdout, stderr io.Writer) (err error) {
	s := newStory(stderr, f.quiet)
	defer s.close()
	run, domain, err := beginSearch(ctx, &f, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	s.say("run %s in %s", run.Name, run.Path)
	found, err := factory.Nightly{
		Domain: domain, Engines: roster.Engines(), Progress: nightProgress{s}, Now: now,
	}.Recommend(ctx, run)
	err = errors.Join(err, domain.Close())
	s.close()
	if err != nil {
		return goOn(err, run.Name)
	}
	if err := printFound(stdout, f.json, run.Name, found); err != nil {
		return err
	}
	for _, r := range found.Contexts {
		if !r.Feasible {
			return no{fmt.Errorf("context %s: nothing found keeps its limits and tolerances", r.Context)}
		}
	}
	return nil
}

// goOn adds how to go on after an interruption.
func goOn(err error, run string) error {
	if hint(err) != "" && !errors.Is(err, context.Canceled) {
		return err
	}
	return hinted{err, fmt.Sprintf("nothing measured is lost: arqon discover --resume %s goes on", run)}
}

// beginSearch opens the domain and starts a new run, or opens the one to go on
// with; what cannot work is found out before a run exists.
func beginSearch(ctx context.Context, f *discoverFlags, s *story) (*factory.Run, open, error) {
	say := func(line string) { s.say("%s", line) }
	if f.resume != "" {
		path, err := factory.RunPath(f.out, f.resume)
		if err != nil {
			return nil, open{}, err
		}
		run, err := factory.OpenRun(path)
		if err != nil {
			return nil, open{}, err
		}
		f.out = filepath.Dir(filepath.Dir(run.Path))
		domain, err := ready(ctx, run.Study, f.out, say)
		if err != nil {
			return nil, domain, errors.Join(err, run.Close())
		}
		return run, domain, nil
	}
	st, err := factory.LoadStudy(f.study)
	if err != nil {
		return nil, open{}, err
	}
	if err := st.CheckEngines(roster.Engines()); err != nil {
		return nil, open{}, err
	}
	domain, err := ready(ctx, st, f.out, say)
	if err != nil {
		return nil, domain, err
	}
	run, err := factory.NewRun(f.out, st)
	if err != nil {
		return nil, domain, errors.Join(err, domain.Close())
	}
	return run, domain, nil
}

// foundJSON is what --json prints.
type foundJSON struct {
	Schema string `json:"schema"`
	Run    string `json:"run"`
	factory.Recommendations
}

func printFound(w io.Writer, asJSON bool, run string, found factory.Recommendations) error {
	if asJSON {
		return printJSON(w, foundJSON{factory.RecommendationSchema, run, found})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CONTEXT\tMETRIC\tBASELINE\tCLAIMED\t95 % INTERVAL\tEVALUATIONS\tFOUND BY")
	for _, r := range found.Contexts {
		limits := ""
		if !r.Feasible {
			limits = " (beyond its limits)"
		}
		fmt.Fprintf(t, "%s\t%s\t%.6g\t%.6g\t%.6g … %.6g%s\t%d\t%s\n",
			r.Context, r.Metric, r.Baseline, r.Claimed, r.Interval[0], r.Interval[1], limits, r.Evaluations, r.Origin)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range found.Contexts {
		if _, err := fmt.Fprintf(w, "%s: %s\n", r.Context, r.Point); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d evaluations, %d answered: %s\n", found.Evaluations, found.Measurements, found.Stop)
	return err
}
