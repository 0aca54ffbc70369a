package report

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// Explain writes how one metric was judged, for every candidate and every
// gate that looked at it: what was required, the values, the interval, the
// test against its bar, what it was based on and the reason. A metric that
// nothing was judged on is an error wrapping ErrNoMetric.
func Explain(w io.Writer, n gates.Night, metric string, o TextOptions) error {
	p := newPrinter(w, o)
	found := false
	for _, s := range subjects(&n) {
		var rows []gates.Result
		for _, r := range s.Results {
			if r.Metric == metric && r.Test != gates.TestNone {
				rows = append(rows, r)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if !found {
			p.explainHead(&n, metric, rows[0])
		}
		found = true
		p.Heading(plot.Clean(s.Name, 80) + " for " + plot.Clean(s.Context, 60) + ": " + s.badge().String() + ", " + s.standing())
		for _, r := range rows {
			p.explainResult(r)
		}
	}
	if !found {
		return fmt.Errorf("%s: %w; there are: %s", plot.Clean(metric, 80), ErrNoMetric, strings.Join(metrics(&n, 20), ", "))
	}
	return p.Err()
}

func (p *printer) explainHead(n *gates.Night, metric string, r gates.Result) {
	unit := plot.Clean(r.Unit, 20)
	if unit == "" {
		unit = "1"
	}
	p.Para(plot.Strong, 0, 0, fmt.Sprintf("How %s was judged in run %s", plot.Clean(metric, 60), plot.Clean(n.Run, 80)))
	if n.Outcome == gates.Invalid {
		p.Para(plot.Bad, 0, 0, "The night is INVALID: "+sentence(n.Reason))
	}
	p.Para(plot.Faint, 0, 0, fmt.Sprintf("Unit %s, %s is better, %s, compared as a %s of candidate and baseline. A change is proven when its e-value reaches the bar; e = 1 is no evidence.",
		unit, r.Direction, r.Kind, r.Compare))
}

func (p *printer) explainResult(r gates.Result) {
	p.gateLine(r.Decision.String(), toneOf(r.Decision), r.Gate, testName(r)+" "+required(r)+".")
	const in = 30
	if r.Decision == gates.Invalid {
		p.Para(plot.Plain, in, 0, "could not be judged: "+sentence(r.Reason))
		return
	}
	p.Para(plot.Plain, in, 0, "baseline "+plot.Value(unitOf(r), r.Baseline)+", candidate "+plot.Value(unitOf(r), r.Candidate)+": "+change(r, r.Change)+" ("+betterWorse(r, r.Change)+")")
	if hasInterval(r) {
		p.Para(plot.Plain, in, 0, level(r.Alpha)+" interval "+interval(r)+", valid at the moment the test stopped")
	}
	switch {
	case r.Exact:
		p.Para(plot.Plain, in, 0, "decided exactly on "+used(r)+": the metric is deterministic")
		if r.LogBar > 0 {
			p.Para(plot.Faint, in, 0, "for the population behind the items e = "+evalue(r.LogE)+", bar "+evalue(r.LogBar))
		}
	case r.LogBar > 0:
		p.Para(plot.Plain, in, 0, sureness(r)+" after "+used(r))
	}
	if r.Reason != "" {
		p.Para(plot.Plain, in, 0, "because: "+sentence(r.Reason))
	}
}

// metrics lists the names of the metrics that were judged, sorted.
func metrics(n *gates.Night, limit int) []string {
	seen := map[string]bool{}
	var out []string
	for _, c := range n.Candidates {
		for _, r := range c.Results {
			if !seen[r.Metric] {
				seen[r.Metric] = true
				out = append(out, plot.Clean(r.Metric, 60))
			}
		}
	}
	sort.Strings(out)
	if len(out) > limit {
		out = append(out[:limit], "…")
	}
	return out
}
