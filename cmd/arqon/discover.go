package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
	"github.com/arqon/arqon/internal/plot"
)

type discoverFlags struct {
	searchFlags
	json, quiet bool
}

func newDiscover() *cobra.Command {
	var f discoverFlags
	c := &cobra.Command{
		Use:   "discover --study FILE | --resume RUN",
		Short: "Search alone: the best point of every context, with what fresh samples say about it",
		Long: `Discover runs the search of a study without gates, for any domain: a program that
answers describe and measure, and "unsupported" to the rest, is enough.
It approves nothing and signs nothing; nightly does that.

The budget is the number of samples asked of the domain, whatever they are for:
points, repeats, the baseline. A measured metric gets one sample a point in the
search; the best points then race in common blocks, and the winner is measured
afresh. Only those last samples are published.

With --from the search begins with the winners of an earlier run, or with the
variants of a repository's newest release; only tonight's samples judge them.

An interrupted search goes on with --resume RUN, kill -9 included, to the same
answer. Exit 0: a point was found in every context that keeps its limits and
tolerances; 1: in some context nothing does.`,
		Example: `  arqon discover --study studies/compress.yaml
  arqon discover --study studies/compress.yaml --json
  arqon discover --study studies/compress.yaml --from compress-0001
  arqon discover --resume compress-0001`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDiscover(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.bind(c)
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
	return c
}

func runDiscover(ctx context.Context, f discoverFlags, stdout, stderr io.Writer) (err error) {
	s := newStory(stderr, f.quiet)
	defer s.close()
	run, domain, err := begin(ctx, "discover", &f.searchFlags, s, hooks{
		// A region of the space may crash; that the program is broken is the
		// search's to say, which looks at the baseline now and then.
		crashesMax: factory.FailuresMax,
	})
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
		return interrupted(err, "discover", run, f.out)
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
	fmt.Fprintln(t, "CONTEXT\tMETRIC\tBASELINE\tCLAIMED\t95 % INTERVAL\tNOISE\tEVALUATIONS\tFOUND BY")
	for _, r := range found.Contexts {
		limits := ""
		if !r.Feasible {
			limits = " (beyond its limits)"
		}
		noise := "-"
		if r.Noise != nil {
			noise = fmt.Sprintf("%.1f %%", 100*r.Noise.Sigma)
		}
		value := func(x float64) string { return plot.Value(r.Unit, x) }
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s … %s%s\t%s\t%d\t%s\n",
			r.Context, r.Metric, value(r.Baseline), value(r.Claimed), value(r.Interval[0]), value(r.Interval[1]), limits, noise, r.Evaluations, r.Origin)
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
