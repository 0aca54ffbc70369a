package cma_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
)

func TestEngineContract(t *testing.T) { enginetest.Contract(t, cma.Engine) }

func TestEngineBeatsRandomSearch(t *testing.T) {
	enginetest.BeatsRandom(t, cma.Engine, 201, 3) // 3.5 over 801 seeds
}

// A space whose feasible part is thin: nothing infeasible is ever asked.
func TestThinConstraint(t *testing.T) {
	space := benchmarks.Space{
		Parameters: []benchmarks.Parameter{
			{Name: "a", Kind: benchmarks.Float, Min: 0, Max: 1},
			{Name: "b", Kind: benchmarks.Float, Min: 0, Max: 1},
		},
		Constraints: []benchmarks.Constraint{{Name: "band", Expr: "a + b >= 1.8"}},
	}
	e, err := cma.Engine(engine.Config{Space: space, Seed: 1, Budget: 300})
	if err != nil {
		t.Fatal(err)
	}
	best := math.Inf(1)
	for i := range 300 {
		ask := e.Ask(1)
		if len(ask) != 1 {
			t.Fatalf("asked %d", len(ask))
		}
		p := ask[0].Point
		if _, err := space.Normalize(p); err != nil {
			t.Fatal(err)
		}
		loss := p["a"].(float64)
		best = math.Min(best, loss)
		e.Tell([]engine.Trial{{Index: i, Point: p, Loss: loss}})
	}
	if best > .8001 {
		t.Errorf("best a is %v, the least possible is 0.8", best)
	}
}

// Eight points in all: each is asked once, and then the engine is done.
func TestSmallDiscreteSpaceEnds(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "a", Kind: benchmarks.Bool}, {Name: "b", Kind: benchmarks.Bool}, {Name: "c", Kind: benchmarks.Bool},
	}}
	e, err := cma.Engine(engine.Config{Space: space, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := 0; ; i++ {
		ask := e.Ask(1)
		if len(ask) == 0 {
			break
		}
		key := engine.Key(ask[0].Point)
		if seen[key] {
			t.Fatalf("%v asked twice", ask[0].Point)
		}
		seen[key] = true
		e.Tell([]engine.Trial{{Index: i, Point: ask[0].Point, Loss: float64(len(key) % 3)}})
	}
	if len(seen) != 8 {
		t.Errorf("%d points of 8 were asked", len(seen))
	}
	if why, done := e.Done(); !done {
		t.Errorf("not done: %q", why)
	}
}

func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 1}
	fresh := func(t testing.TB) engine.Engine {
		e, err := cma.Engine(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := fresh(f)
	enginetest.Drive(f, e, enginetest.MixedLoss, 40, 3)
	snap, err := e.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snap)
	f.Add(bytes.Replace(snap, []byte(`"version":3`), []byte(`"version":4`), 1))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := fresh(t)
		if e.Restore(b) != nil {
			return
		}
		again, err := e.Snapshot()
		if err != nil || !json.Valid(again) || !bytes.Equal(again, b) {
			t.Fatalf("accepted, but written differently: %v", err)
		}
	})
}
