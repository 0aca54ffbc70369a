package factory_test

import (
	"context"
	"math"
	"os"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/ga"
	"github.com/arqon/arqon/factory/suite"
)

// The figures that compare ways to spend a budget are measured by
//
//	ARQON_SUITE=81-110 go test ./factory -run 'TestRacingFigure|TestConditionsFigure|TestSecondNight' -v -timeout 60m
//
// and an instance a family guards the first and the last in every test run.
func few(t testing.TB, usual string) (from, to int) {
	t.Helper()
	which := os.Getenv(suiteVariable)
	if which == "" {
		which = usual
	}
	return instances(t, which)
}

// fiveRepeats is the usual way under noise: every point five times, and the
// lowest mean of logarithms wins. It spends at most budget measurements.
func fiveRepeats(t testing.TB, p *suite.Problem, budget int) (regret float64) {
	t.Helper()
	const repeats = 5
	d, err := p.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := ga.Engine(engine.Config{Space: d.Space, Seed: p.Number, Budget: budget / repeats, Start: []benchmarks.Point{d.Baseline}})
	if err != nil {
		t.Fatal(err)
	}
	best, at := math.Inf(1), benchmarks.Point(nil)
	for p.Samples()+repeats <= budget {
		var told []engine.Trial
		for i, q := range e.Ask((budget - p.Samples()) / repeats) {
			mean := 0.
			for range repeats {
				mean += math.Log(p.Sample(q.Point)) / repeats
			}
			told = append(told, engine.Trial{Index: i, Point: q.Point, Loss: mean})
			if mean < best {
				best, at = mean, q.Point
			}
		}
		if len(told) == 0 {
			break
		}
		e.Tell(told)
	}
	return p.True(at) - 1
}

// One sample a point and a race at the end reach with half of the measurements
// what five fixed repeats reach with all of them; the engine is the same.
func TestRacingFigure(t *testing.T) {
	from, to := few(t, "91-91")
	const budget = 1000
	var race, fixed []float64
	for _, family := range suite.Families() {
		for n := from; n <= to; n++ {
			race = append(race, solve(t, problem(t, family, uint64(n)), budget/2, "ga").regret)
			fixed = append(fixed, fiveRepeats(t, problem(t, family, uint64(n)), budget))
		}
	}
	t.Logf("%d problems: race with %d measurements %.2f %%, five repeats with %d %.2f %%", len(race), budget/2, 100*middle(race), budget, 100*middle(fixed))
	if middle(race) > middle(fixed) {
		t.Errorf("the race's regret %.4f is above that of five repeats, %.4f", middle(race), middle(fixed))
	}
}

// A search that knows which knobs are switched off needs three quarters of the
// evaluations, at most, of one that does not. Few instances say nothing about
// it, so it is measured only where ARQON_SUITE asks for many;
// ARQON_SUITE_ENGINES replaces CatCMA.
func TestConditionsFigure(t *testing.T) {
	which := os.Getenv(suiteVariable)
	if which == "" {
		t.Skip("set " + suiteVariable + "=FIRST-LAST to measure")
	}
	engines := os.Getenv("ARQON_SUITE_ENGINES")
	if engines == "" {
		engines = "catcma"
	}
	from, to := instances(t, which)
	const budget = 1000
	var aware, flat []float64
	for n := from; n <= to; n++ {
		aware = append(aware, solve(t, problem(t, "conditional", uint64(n)), budget*3/4, engines).regret)
		flat = append(flat, solve(t, problem(t, "conditional", uint64(n)).Flat(), budget, engines).regret)
	}
	t.Logf("%d problems: with conditions and %d evaluations %.2f %%, flat with %d %.2f %%", len(aware), budget*3/4, 100*middle(aware), budget, 100*middle(flat))
	if middle(aware) > middle(flat) {
		t.Errorf("with conditions %.4f, flat %.4f", middle(aware), middle(flat))
	}
}

// watched notes when a point as good as the target is first measured.
type watched struct {
	*suite.Problem
	target float64
	at     int // samples until then; 0: not yet
}

func (w *watched) Open(ctx context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	in, err := w.Problem.Open(ctx, b)
	if w.at == 0 && w.True(b.Point) <= w.target {
		w.at = w.Samples() + 1
	}
	return in, err
}

// A second night that begins with the first one's winner is as good as the
// first after a third of its evaluations at most, and then goes on.
func TestSecondNight(t *testing.T) {
	from, to := few(t, "91-91")
	const budget = 300
	var share, first, second []float64
	for _, family := range suite.Families() {
		for n := from; n <= to; n++ {
			p := problem(t, family, uint64(n))
			one := &watched{Problem: p, target: 0}
			_, x := search(t, p, one, budget, "ga", nil)
			q := problem(t, family, uint64(n))
			q.Tomorrow()
			two := &watched{Problem: q, target: p.True(x)}
			_, y := search(t, q, two, budget, "ga", []benchmarks.Point{x})
			if two.at == 0 {
				two.at = budget + 1
			}
			share = append(share, float64(two.at)/budget)
			first, second = append(first, p.True(x)-1), append(second, q.True(y)-1)
		}
	}
	t.Logf("%d problems: after %.1f %% of its evaluations the second night measures what the first had found (%.2f %%), at its end it has %.2f %%",
		len(share), 100*middle(share), 100*middle(first), 100*middle(second))
	if middle(share) > 1./3 || middle(second) > middle(first) {
		t.Errorf("share %.2f, regret %.4f after %.4f", middle(share), middle(second), middle(first))
	}
}
