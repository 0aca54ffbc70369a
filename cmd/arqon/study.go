package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/insight"
)

// newStudy is the parent of what can be asked about studies and their runs.
func newStudy() *cobra.Command {
	c := &cobra.Command{
		Use:   "study",
		Short: "Look into a search: convergence, importance of knobs, map of good points, lineage, noise",
		Long: `Study shows what the search of a run has done, whether nightly or discover ran it.
Why the gates decided as they did is arqon report.`,
		Example: `  arqon study show infer-0001
  arqon study show infer-0001 --html search.html
  arqon study law universe-law-0001 --context noise > found.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newStudyShow(), newStudyLaw())
	return c
}

type studyShowFlags struct {
	out, html   string
	json, ascii bool
	width       int
	points      int
	axes        []string
}

func newStudyShow() *cobra.Command {
	var f studyShowFlags
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "How the search of a run went",
		Long: `Show reads the journal of a run, that of a night or of a search alone, and shows for
every context what each engine asked and how far it came, which knobs the results
depend on, where the good points lie, how the winner came about, and how loud the
noise was. A run that is still searching, or was interrupted, is shown as far as
it has come; nothing is locked or changed.

RUN is the name of a run below --out, or its directory.

The map is drawn over the descriptors of the study, or the two most important
knobs; --axis names others: a knob, or METRIC=MIN:MAX. Of the knobs that are no
axis a cell shows the best. --points N lists the N best points as well, all of
them if there are fewer: the table of a whole matrix. Importance is functional
ANOVA of a random forest over the ranks of the losses, and says how much of the
variance the forest explains at points it has not seen.`,
		Example: `  arqon study show infer-0001
  arqon study show infer-0001 --html search.html
  arqon study show compress-0001 --axis level --axis ratio=1:4
  arqon study show matrix-0001 --axis level --axis window --points 500
  arqon study show compress-0001 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return showStudy(f, args[0], c.OutOrStdout()) },
	}
	c.Flags().StringVar(&f.out, "out", defaultOut, "where the runs are kept")
	c.Flags().StringVar(&f.html, "html", "", "write one self-contained HTML `FILE` (- for standard output)")
	c.Flags().BoolVar(&f.json, "json", false, "print everything as JSON")
	c.Flags().BoolVar(&f.ascii, "ascii", false, "plain ASCII")
	c.Flags().IntVar(&f.width, "width", 0, "columns (default: the terminal's, or 80)")
	c.Flags().StringArrayVar(&f.axes, "axis", nil, "an axis of the map: `KNOB` or METRIC=MIN:MAX; at most twice")
	c.Flags().IntVar(&f.points, "points", 0, "list the `N` best points, at most 10000")
	c.MarkFlagsMutuallyExclusive("html", "json")
	return c
}

func showStudy(f studyShowFlags, name string, stdout io.Writer) error {
	axes, err := axesOf(f.axes)
	if err != nil {
		return err
	}
	path, err := factory.RunPath(f.out, name)
	if err != nil {
		return err
	}
	account, err := factory.ReadAccount(path)
	if err != nil {
		return err
	}
	o, err := insight.New(account, axes)
	if err != nil {
		return err
	}
	if f.points < 0 || f.points > pointsMax {
		return hinted{fmt.Errorf("--points %d: want 0 to %d", f.points, pointsMax), "the best points of every context, best first"}
	}
	o.List(f.points)
	switch {
	case f.json:
		return printJSON(stdout, o)
	case f.html != "":
		return writePage(f.html, stdout, func(w io.Writer) error { return insight.HTML(w, o) })
	}
	t := terminal(stdout)
	t.ASCII = t.ASCII || f.ascii
	if f.width > 0 {
		t.Width = f.width
	}
	return insight.Text(stdout, o, t)
}

// pointsMax bounds a list of points.
const pointsMax = 10_000

// axesOf reads "knob" and "metric=lo:hi".
func axesOf(list []string) (out []engine.Descriptor, err error) {
	for _, s := range list {
		name, span, isMetric := strings.Cut(s, "=")
		d := engine.Descriptor{Knob: name}
		if isMetric {
			d = engine.Descriptor{Metric: name}
			if n, err := fmt.Sscanf(span, "%g:%g", &d.Min, &d.Max); n != 2 || err != nil {
				return nil, hinted{fmt.Errorf("--axis %s: %q is no range", s, span), "a knob: --axis level; a metric: --axis ratio=1:4"}
			}
		}
		out = append(out, d)
	}
	if len(out) > 2 {
		return nil, hinted{fmt.Errorf("--axis: %d axes, a map has two", len(out)), "name one or two"}
	}
	return out, nil
}
