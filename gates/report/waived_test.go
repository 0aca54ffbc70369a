package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// What was waived is said wherever the candidate's verdict is, with what the
// study itself asks.
func TestWaiversAreShown(t *testing.T) {
	n := night(t)
	i := slices.IndexFunc(n.Candidates, func(c gates.CandidateReport) bool { return c.Name == "low-load-3f2a09c1" })
	tolerance := .02
	n.Contexts = []gates.ContextRecord{{Name: n.Candidates[i].Context, Metrics: []gates.MetricRecord{{
		Name: "accuracy", Unit: "1", Direction: benchmarks.Higher, Compare: benchmarks.Difference,
		Range: &[2]float64{0, 1}, Tolerance: tolerance, Declared: &gates.Declared{Tolerance: .005},
	}}}}
	n.Candidates = slices.Clone(n.Candidates)
	n.Candidates[i].Waivers = []gates.Grant{{Signers: 2, Waiver: catalog.Waiver{
		Context: n.Candidates[i].Context, Metric: "accuracy", Tolerance: &tolerance,
		Reason: "<b>launch</b>, ticket 12", Expires: time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC),
	}}}
	page := strings.Join(strings.Fields(string(text(t, func(b *bytes.Buffer) error { return Candidate(b, n, "low-load-3f2a09c1", TextOptions{}) }))), " ")
	for _, want := range []string{"under 1 waiver", "accuracy may be 2.00 points worse where the study allows 0.50 points, until 2026-03-11, signed by 2 approvers: <b>launch</b>, ticket 12."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	html := htmlOf(t, n)
	if !strings.Contains(html, "Judged under waivers") || !strings.Contains(html, "&lt;b&gt;launch") || strings.Contains(html, "<b>launch") {
		t.Error("the HTML page does not tell of the waiver, or not safely")
	}
}
