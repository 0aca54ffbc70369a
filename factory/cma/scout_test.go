package cma

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/factory/engine"
)

// lookout returns an optimizer that has asked some scouts of a small run and
// told fewer.
func lookout(t *testing.T, cfg Config, asked, told int) *Optimizer {
	t.Helper()
	o := mustNew(t, cfg)
	x := make([]float64, cfg.Dim)
	for range 20_000 {
		if o.scouts.on {
			break
		}
		o.Ask(x)
		o.Tell(math.Round(rastrigin(x))) // plateaus end runs early
	}
	for k := range asked {
		if !o.scouts.on || !o.Ask(x) {
			t.Fatal("no scouts are asked")
		}
		if k < told {
			o.Tell(rastrigin(x))
		}
	}
	return o
}

// A small run begins at the best of its scouts, which count as its evaluations.
func TestASmallRunBeginsAtItsBestScout(t *testing.T) {
	const n = 3
	lo, hi := region(n)
	o := lookout(t, Config{Dim: n, Lower: lo, Upper: hi, Seed: 2}, 0, 0)
	spent := o.plan.spentSmall
	x, best, at := make([]float64, n), math.Inf(1), ""
	for range scoutsPerDim * n {
		if !o.scouts.on || !o.Ask(x) {
			t.Fatal("fewer scouts than promised")
		}
		loss := rastrigin(x)
		if loss < best {
			best, at = loss, fmt.Sprintf("%.9f", x)
		}
		o.Tell(loss)
	}
	o.Mean(x)
	if got := fmt.Sprintf("%.9f", x); o.scouts.on || got != at {
		t.Errorf("the run begins at %s, the best scout is at %s", got, at)
	}
	if o.plan.spentSmall != spent+scoutsPerDim*n {
		t.Errorf("%d evaluations of small runs, then %d scouts: %d", spent, scoutsPerDim*n, o.plan.spentSmall)
	}
}

// In the middle of a look, too, a snapshot goes on to the same points.
func TestScoutsAreInTheSnapshot(t *testing.T) {
	cfg := Config{Dim: 2, Seed: 5}
	a := lookout(t, cfg, 7, 4)
	snap, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b := mustNew(t, cfg)
	if err := b.Restore(snap); err != nil {
		t.Fatal(err)
	}
	x, y := make([]float64, 2), make([]float64, 2)
	for range 3 {
		a.Tell(3)
		b.Tell(3)
	}
	for i := range 400 {
		if a.Ask(x) != b.Ask(y) || fmt.Sprint(x) != fmt.Sprint(y) {
			t.Fatalf("evaluation %d: asked %v and %v", i, x, y)
		}
		a.Tell(rastrigin(x))
		b.Tell(rastrigin(y))
	}
	for _, c := range []struct {
		want  string
		spoil func(*state)
	}{
		{"scouts.x", func(s *state) { s.Scouts.X = s.Scouts.X[:3] }},
		{"scouts.loss", func(s *state) { s.Scouts.X = s.Scouts.X[:2] }},
		{"scouts: beside 1", func(s *state) { s.Norm2, s.X, s.Y = []float64{1}, []float64{1, 1}, []float64{1, 1} }},
	} {
		s, err := lookout(t, cfg, 7, 4).state()
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(s)
		if err := mustNew(t, cfg).setState(s); !errors.Is(err, engine.ErrSnapshot) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}

// Scouts of −1 are none: a small run begins anywhere, at once.
func TestNoScouts(t *testing.T) {
	o := mustNew(t, Config{Dim: 2, Seed: 1, Scouts: -1, Budget: 20_000})
	x := make([]float64, 2)
	for o.Ask(x) {
		o.Tell(math.Round(rastrigin(x)))
		if o.scouts.on {
			t.Fatal("it looks around")
		}
	}
	if _, err := New(Config{Dim: 2, Scouts: maxScouts + 1}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Scouts") {
		t.Errorf("error is %v", err)
	}
}
