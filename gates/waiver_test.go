package gates

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
)

var waiverDay = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// granted is a good waiver of study "toy", changed.
func granted(change func(*Grant)) Grant {
	tolerance := .04
	g := Grant{
		Waiver: catalog.Waiver{
			Study: "toy", Context: "fast", Metric: "accuracy", Tolerance: &tolerance, Reason: "a launch; ticket 12",
			Created: waiverDay.AddDate(0, 0, -1), Expires: waiverDay.AddDate(0, 0, 10),
		},
		File:    artifacts.RefOf("waiver.json", "application/json", []byte("signed")),
		Signers: 2,
	}
	if change != nil {
		change(&g)
	}
	return g
}

// A waiver widens one number of one context for a night: what it allows
// passes and carries the waiver for life, what it does not mention is judged
// as ever, and the record still follows from its raw data.
func TestWaiver(t *testing.T) {
	d := newToy(.01, 1)
	j := d.judge(t, 1)
	j.Study, j.Approvers, j.Waivers = "toy", 3, []Grant{granted(nil)}
	j.Now = func() time.Time { return waiverDay }
	candidates := []Candidate{
		d.reference(t, "fast"),
		d.candidate(t, "fast", benchmarks.Point{"speed": .8, "gain": -.035}), // −3.5 points: allowed 2, waived to 4
		d.candidate(t, "fast", benchmarks.Point{"speed": .8, "gain": -.055}),
		d.candidate(t, "fast", benchmarks.Point{"speed": .8, "wrong": 1.0}), // no word for correctness
		d.candidate(t, "right", benchmarks.Point{"gain": .15}),
	}
	night, verdicts, err := j.Night(t.Context(), candidates)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{GateApproval, GateApproval, GateRegression, GateCorrectness, GateApproval} {
		if f := last(verdicts[i]); f.Gate != want {
			t.Errorf("candidate %d ended at %s: %s", i, f.Gate, f.Reason)
		}
	}
	e, err := verdicts[1].Entry(7, catalog.ScopeStaging)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Waivers) != 1 || e.Waivers[0].Waiver.Reason != "a launch; ticket 12" {
		t.Errorf("the entry's waivers: %+v", e.Waivers)
	}
	if e, err := verdicts[4].Entry(8, catalog.ScopeStaging); err != nil || len(e.Waivers) != 0 {
		t.Errorf("a context without a waiver: %+v, %v", e.Waivers, err)
	}
	if m := night.Contexts[0].Metrics[0]; m.Tolerance != .04 || m.Declared == nil || m.Declared.Tolerance != .02 {
		t.Errorf("recorded: %+v", m)
	}
	if err := Recompute(night); err != nil {
		t.Error(err)
	}
	night.Waivers = nil
	if err := Recompute(night); !errors.Is(err, ErrDiffers) {
		t.Errorf("a record that hides its waiver: %v", err)
	}
}

func TestWaiversRefused(t *testing.T) {
	five, half, small, huge := .05, .5, .01, 2000.0
	for says, change := range map[string]func(*Judge, *Grant){
		"for study":                   func(_ *Judge, g *Grant) { g.Waiver.Study = "other" },
		"is not judged":               func(_ *Judge, g *Grant) { g.Waiver.Context = "moon" },
		"has no metric":               func(_ *Judge, g *Grant) { g.Waiver.Metric = "taste" },
		"is the success metric":       func(_ *Judge, g *Grant) { g.Waiver.Metric, g.Waiver.Tolerance = "cpu_ns", &half },
		"gives up nothing, 0.02":      func(_ *Judge, g *Grant) { g.Waiver.Tolerance = &small },
		"has no limit":                func(_ *Judge, g *Grant) { g.Waiver.Tolerance, g.Waiver.Limit = nil, &five },
		"limit 0.05 gives up nothing": func(_ *Judge, g *Grant) { g.Waiver.Metric, g.Waiver.Tolerance, g.Waiver.Limit = "bytes", nil, &five },
		"1 of 2 signatures":           func(_ *Judge, g *Grant) { g.Signers = 1 },
		"the policy allows 30 days":   func(_ *Judge, g *Grant) { g.Waiver.Expires = g.Waiver.Created.AddDate(0, 2, 0) },
		"holds from 2026-02-18": func(_ *Judge, g *Grant) {
			g.Waiver.Created = waiverDay.AddDate(0, 0, -11)
			g.Waiver.Expires = waiverDay
		},
		"nobody here may waive":       func(j *Judge, _ *Grant) { j.Approvers = 0 },
		"without a clock":             func(j *Judge, _ *Grant) { j.Now = nil },
		"waivers_year allows 0":       func(j *Judge, _ *Grant) { j.Policy.WaiversYear = 0 },
		"want a tolerance or a limit": func(_ *Judge, g *Grant) { g.Waiver.Limit = &huge },
		"reason: is empty":            func(_ *Judge, g *Grant) { g.Waiver.Reason = "" },
	} {
		d := newToy(.01, 1)
		j := d.judge(t, 1)
		j.Study, j.Approvers = "toy", 3
		j.Now = func() time.Time { return waiverDay }
		g := granted(func(g *Grant) { change(j, g) })
		j.Waivers = []Grant{g}
		_, _, err := j.Night(t.Context(), []Candidate{d.reference(t, "fast")})
		if !errors.Is(err, ErrWaiver) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
		if d.measured != 0 {
			t.Errorf("%q: %d arms were measured under a waiver that does not hold", says, d.measured)
		}
	}
}

// One waiver counts once a year however many nights it holds for, and another
// one more than the budget is refused and not charged.
func TestWaiverBudget(t *testing.T) {
	l := AlphaLedger{Path: filepath.Join(t.TempDir(), "alpha.ledger")}
	budget := Budget{Alpha: .1, Waivers: 2}
	night := 0
	take := func(year int, waivers ...artifacts.Digest) error {
		night++
		_, err := l.Take(t.Context(), budget, Charge{Run: fmt.Sprint("night-", night), Year: year, Alpha: .001, K: 1, Waivers: waivers})
		return err
	}
	for _, w := range [][]artifacts.Digest{{"a"}, {"a"}, {"a", "b"}, {}, {"b"}} {
		if err := take(2026, w...); err != nil {
			t.Fatal(err)
		}
	}
	if err := take(2026, "c"); !errors.Is(err, ErrWaiver) {
		t.Errorf("a third waiver: %v", err)
	}
	if err := take(2027, "c"); err != nil {
		t.Errorf("a new year: %v", err)
	}
}

// A looser policy needs two approvers, a tighter one nobody; where nothing is
// published, nobody is asked.
func TestLooserPolicyNeedsAdoption(t *testing.T) {
	strict, loose := DefaultPolicy(), DefaultPolicy()
	strict.Robustness, loose.Robustness = usual, usual[:1]
	l := AlphaLedger{Path: filepath.Join(t.TempDir(), "alpha.ledger")}
	night := 0
	take := func(p Policy, approvers int, study string, a *Adoption) error {
		night++
		_, err := l.Take(t.Context(), Budget{Alpha: .1}, Charge{
			Run: fmt.Sprint("night-", night), Year: 2026, Alpha: .001, K: 1, Study: study, Approvers: approvers, Rules: &p, Adoption: a,
		})
		return err
	}
	signed := func(p Policy, n int) *Adoption { return &Adoption{Policy: p.Digest(), File: "f", Signers: n} }
	for i, c := range []struct {
		p         Policy
		approvers int
		study     string
		adoption  *Adoption
		want      error
	}{
		{strict, 3, "toy", nil, nil},
		{loose, 3, "toy", nil, ErrLooser},
		{loose, 3, "toy", signed(loose, 1), ErrLooser},
		{loose, 3, "toy", signed(strict, 2), ErrLooser}, // for another policy
		{loose, 3, "other", nil, nil},                   // its first
		{loose, 0, "toy", nil, nil},                     // nothing is published
		{loose, 3, "toy", nil, ErrLooser},               // and that one did not count
		{loose, 1, "toy", signed(loose, 1), nil},        // the only one there is
		{strict, 3, "toy", nil, nil},
		{loose, 3, "toy", signed(loose, 2), nil},
		{loose, 3, "toy", nil, nil}, // no looser than the last
	} {
		if err := take(c.p, c.approvers, c.study, c.adoption); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("night %d: %v, want %v", i, err, c.want)
		}
	}
}
