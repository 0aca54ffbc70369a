package cma_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"github.com/arqon/arqon/internal/seed"
)

func TestEngineContract(t *testing.T) { enginetest.Contract(t, cma.Engine) }

func TestAdaptingContract(t *testing.T) { enginetest.Contract(t, cma.Adapting) }

func TestReevaluatingContract(t *testing.T) { enginetest.RepeatingContract(t, cma.Reevaluating) }

// Under noise the engine asks for points again, each as it was, and its origin
// says so; a space of which every point is known ends all the same.
func TestReevaluatingAsksAgain(t *testing.T) {
	space := benchmarks.Space{
		Parameters: []benchmarks.Parameter{
			{Name: "a", Kind: benchmarks.Float, Min: 0, Max: 1},
			{Name: "b", Kind: benchmarks.Float, Min: 0, Max: 1},
			{Name: "c", Kind: benchmarks.Int, Min: 1, Max: 9},
		},
		Constraints: []benchmarks.Constraint{{Name: "half", Expr: "a + b >= 1"}},
	}
	noise := seed.Stream(seed.Root(3), "cma/engine test")
	loss := func(p benchmarks.Point) float64 {
		return p["a"].(float64) + float64(p["c"].(int64)) + 5*noise.NormFloat64()
	}
	asked, _ := enginetest.Drive(t, enginetest.Make(t, cma.Reevaluating, engine.Config{Space: space, Seed: 2, Budget: 4000}), loss, 2000, 8)
	points, again := map[string]int{}, 0
	for _, a := range asked {
		origin, point, _ := strings.Cut(a, " {")
		points[point]++
		if strings.HasSuffix(origin, " again") {
			if again++; points[point] < 2 {
				t.Fatalf("%s is not a repeat", a)
			}
		}
	}
	if share := float64(again) / float64(len(asked)); share < .5 {
		t.Errorf("%.2f of the evaluations repeat a point, under noise that is larger than the signal", share)
	}
	small := benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "a", Kind: benchmarks.Bool}, {Name: "b", Kind: benchmarks.Bool}}}
	e := enginetest.Make(t, cma.Reevaluating, engine.Config{Space: small, Seed: 2, Budget: 4000})
	if asked, _ := enginetest.Drive(t, e, func(benchmarks.Point) float64 { return noise.NormFloat64() }, 100_000, 8); len(asked) == 100_000 {
		t.Error("four points are evaluated without end")
	}
}

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
