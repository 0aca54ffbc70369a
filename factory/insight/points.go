package insight

import (
	"slices"
	"strconv"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/internal/plot"
)

// Listed is one point as the search measured it first.
type Listed struct {
	At       int              `json:"at"` // after how many points of the context, from 1
	Point    benchmarks.Point `json:"point"`
	Value    *float64         `json:"value"`  // of the success metric; nil if it failed
	Change   *float64         `json:"change"` // against the baseline, signed as measured
	Feasible bool             `json:"feasible"`
	Failed   string           `json:"failed,omitempty"`
	Engine   string           `json:"engine"`
}

// List adds the n best points of every context, best first; those beyond a
// limit follow the feasible ones, and those that failed come last. Repeats of a
// point do not count: the search's ranking is by what was told first.
func (o *Overview) List(n int) {
	for i := range o.Contexts {
		o.Contexts[i].Points = listed(o.Contexts[i].Metric, o.seen[o.Contexts[i].Name], n)
	}
}

func listed(metric string, seen []factory.Observation, n int) []Listed {
	var at []int
	known := map[string]bool{}
	for i, x := range seen {
		if key := string(x.Point.Canonical()); !x.Cached && !known[key] {
			known[key] = true
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int {
		switch {
		case seen[a].Loss < seen[b].Loss:
			return -1
		case seen[a].Loss > seen[b].Loss:
			return 1
		}
		return 0
	})
	out := []Listed{}
	for _, i := range at[:min(n, len(at))] {
		x := seen[i]
		l := Listed{At: i + 1, Point: x.Point, Feasible: x.Failed == "" && x.Feasible(), Failed: x.Failed, Engine: x.Engine}
		if v, ok := x.Values[metric]; ok && x.Failed == "" {
			l.Value = &v
			if change, ok := x.Change[metric]; ok {
				l.Change = &change
			}
		}
		out = append(out, l)
	}
	return out
}

// words are a listed point as cells of a table: change, value, at point, knobs.
func (l Listed) words(c Context) [4]string {
	value := "failed"
	if l.Value != nil {
		value = strconv.FormatFloat(*l.Value, 'g', 6, 64) + plot.Spaced(c.Unit)
		if !l.Feasible {
			value += ", beyond a limit"
		}
	}
	return [4]string{c.changeOrNone(l.Change), value, plot.Grouped(float64(l.At)), pointWords(l.Point)}
}

// pointWords is "block 64, threads 26", in the order of the names.
func pointWords(p benchmarks.Point) string {
	var names []string
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = plot.Clean(name, 40) + " " + plot.Clean(setting(p[name]), 60)
	}
	return strings.Join(names, ", ")
}

const pointsTitle = "The best points, each as the search measured it first"

func (p page) points(c Context) {
	if len(c.Points) == 0 {
		return
	}
	p.Blank()
	p.Para(plot.Plain, 2, 0, pointsTitle)
	var rows [][]plot.Cell
	for _, l := range c.Points {
		w := l.words(c)
		rows = append(rows, []plot.Cell{{Text: w[0], Right: true}, {Text: w[1], Right: true}, {Text: w[2], Right: true}, {Text: w[3]}})
	}
	p.Table([]string{"change", c.Metric, "at point", "knobs"}, rows, 3)
}
