package de

import (
	"errors"
	"math"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
)

func TestContract(t *testing.T) { enginetest.Contract(t, Engine) }

func TestBeatsRandomSearch(t *testing.T) { enginetest.BeatsRandom(t, Engine, 11, 3) }

func floats(n int) benchmarks.Space {
	var s benchmarks.Space
	for i := range n {
		s.Parameters = append(s.Parameters, benchmarks.Parameter{Name: string(rune('a' + i)), Kind: benchmarks.Float, Min: -5, Max: 5})
	}
	return s
}

// Rastrigin's function, whose 11^5 local optima are in a grid, is what
// differences are good at.
func TestSolvesRastrigin(t *testing.T) {
	rastrigin := func(p benchmarks.Point) float64 {
		var s float64
		for _, v := range p {
			x := v.(float64) - 1.2345
			s += 10 + x*x - 10*math.Cos(2*math.Pi*x)
		}
		return s
	}
	for s := range uint64(5) {
		e := enginetest.Make(t, Engine, engine.Config{Space: floats(5), Seed: s, Budget: 8000})
		if _, best := enginetest.Drive(t, e, rastrigin, 8000, 8); best > 1e-3 {
			t.Errorf("seed %d: %.3g", s, best)
		}
	}
}

// A population that has collapsed begins anew instead of asking for nothing.
func TestCollapseRestarts(t *testing.T) {
	e := enginetest.Make(t, Engine, engine.Config{Space: floats(1), Seed: 2})
	asked, best := enginetest.Drive(t, e, func(p benchmarks.Point) float64 { return math.Abs(p["a"].(float64)) }, 6000, 5)
	if len(asked) != 6000 || best > 1e-12 {
		t.Errorf("%d points, best %.3g", len(asked), best)
	}
}

func TestSpacesThatAreRefused(t *testing.T) {
	if _, err := Engine(engine.Config{}); !errors.Is(err, engine.ErrSpace) {
		t.Errorf("no parameter: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 1, Budget: 300}
	e := enginetest.Make(f, Engine, cfg)
	enginetest.Drive(f, e, enginetest.MixedLoss, 50, 3)
	b, err := e.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := enginetest.Make(t, Engine, cfg).Restore(b); err != nil && !errors.Is(err, engine.ErrSnapshot) {
			t.Fatalf("refusal of another kind: %v", err)
		}
	})
}
