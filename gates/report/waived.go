package report

import (
	"fmt"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// waiverSentences say what was waived for a candidate, what the study itself
// asks, until when, why and by how many.
func waiverSentences(s subject) []string {
	var out []string
	for _, g := range s.Waivers {
		w := g.Waiver
		m := metricOf(s.night, w.Context, w.Metric)
		if m == nil || m.Declared == nil {
			continue // a record that Recompute refuses
		}
		r := gates.Result{Metric: m.Name, Unit: m.Unit, Direction: m.Direction, Compare: m.Compare, Range: m.Range}
		what := ""
		switch {
		case w.Tolerance != nil:
			what = fmt.Sprintf("may be %s worse where the study allows %s", points(r, *w.Tolerance), points(r, m.Declared.Tolerance))
		case w.Limit != nil && m.Declared.Limit != nil:
			word := "most"
			if m.Direction == benchmarks.Higher {
				word = "least"
			}
			now, study := apartValues(m.Unit, *w.Limit, *m.Declared.Limit)
			what = fmt.Sprintf("may be at %s %s where the study says %s", word, now, study)
		}
		out = append(out, fmt.Sprintf("%s %s, until %s, signed by %s: %s", plot.Clean(w.Metric, 60), what,
			w.Expires.Format(time.DateOnly), plot.Count(g.Signers, "approver"), sentence(w.Reason)))
	}
	return out
}

// underWaivers reminds of them wherever a verdict is said in one line.
func (s subject) underWaivers() string {
	if len(s.Waivers) == 0 {
		return ""
	}
	return " under " + plot.Count(len(s.Waivers), "waiver")
}

func metricOf(n *gates.Night, context, metric string) *gates.MetricRecord {
	for _, c := range n.Contexts {
		for i := range c.Metrics {
			if c.Name == context && c.Metrics[i].Name == metric {
				return &c.Metrics[i]
			}
		}
	}
	return nil
}

func (p *printer) waivers(s subject) {
	lines := waiverSentences(s)
	if len(lines) == 0 {
		return
	}
	p.Heading("Judged under waivers")
	for _, l := range lines {
		p.Para(plot.Plain, 2, 2, "- "+l)
	}
}
