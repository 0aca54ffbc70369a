package gates

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

func TestCounterexample(t *testing.T) {
	d := newToy(.01, 61)
	j := d.judge(t, 61)
	n, _, err := j.Night(t.Context(), []Candidate{
		d.candidate(t, "fast", benchmarks.Point{"speed": .8, "bytes": 500., "wrong": true, "gain": .1}),
		d.candidate(t, "fast", benchmarks.Point{"speed": .8}),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := n.Candidates[0]
	ce := c.Counterexample
	if c.Outcome != Fail || ce == nil {
		t.Fatalf("%s: %s", c.Outcome, c.Why)
	}
	if !slices.Equal(ce.Differs, []string{"wrong"}) || !slices.Equal(ce.Reset, []string{"bytes", "gain", "speed"}) || string(ce.Point) != `{"wrong":true}` {
		t.Errorf("%+v", ce)
	}
	if !strings.Contains(c.Why, "only wrong off the baseline") {
		t.Error(c.Why)
	}
	if n.Candidates[1].Counterexample != nil {
		t.Error("a candidate that holds has a counterexample")
	}
	e := evidence{}
	if _, err := Verify(e.encode(t, n), Beside{GatesLedger: j.LedgerPath, AlphaLedger: j.AlphaPath}); err != nil {
		t.Error(err)
	}
	n.Candidates[0].Counterexample = nil
	if _, err := Verify(e.encode(t, n), Beside{GatesLedger: j.LedgerPath}); err == nil {
		t.Error("a counterexample was taken out of the report and nobody noticed")
	}
}

// The limit covers the true tail of skewed losses in at least 95 % of samples.
func TestCVaRUpperCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	draw := func() float64 { return math.Pow(r.Float64(), 4) } // in [0, 1], most near 0
	const n, tries = 400, 400
	truth := (1 - math.Pow(.9, 5)) / 5 / .1 // E[U⁴ | U > .9]
	covered, gap := 0, 0.0
	for range tries {
		x := make([]float64, n)
		for i := range x {
			x[i] = draw()
		}
		u := cvarUpper(x, .1, 1, .05)
		if u >= truth {
			covered++
		}
		gap += (u - truth) / tries
	}
	if covered < tries*95/100 || gap > .35 {
		t.Errorf("covered %d of %d, %.3f above the truth on average", covered, tries, gap)
	}
	if u := cvarUpper([]float64{0, 0, 0}, .1, 1, .05); u != 1 {
		t.Errorf("three draws say something about a tenth: %v", u)
	}
}

func TestCVaRLimitDecides(t *testing.T) {
	p := DefaultPolicy()
	p.CVaRAlpha = .05
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "cvar_seeds") {
		t.Errorf("ten draws for an upper limit: %v", err)
	}
	p.CVaRSeeds = 400
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	m := benchmarks.Metric{Name: "accuracy", Direction: benchmarks.Higher, Compare: benchmarks.Difference, Range: &[2]float64{0, 1}}
	judge := func(limit float64) Result {
		r := newResult(GateRobustness, TestCVaR, m)
		r.Values, r.Decision = make([]float64, 400), Pass
		q := p
		q.CVaRLimit = limit
		r.limitTail(m, q)
		return r
	}
	if r := judge(.99); r.Decision != Pass || r.Lower == nil || *r.Lower > -.5 {
		t.Errorf("inside: %+v", r)
	}
	if r := judge(.1); r.Decision != Inconclusive {
		t.Errorf("outside: %+v", r)
	}
	m.Range = nil
	if r := judge(.99); r.Decision != Inconclusive || !strings.Contains(r.Reason, "no upper limit") {
		t.Errorf("without a range: %+v", r)
	}
}
