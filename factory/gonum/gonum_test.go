package gonum

import (
	"errors"
	"math"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
)

func TestPolishContract(t *testing.T) { enginetest.Contract(t, Polish) }

func TestCMAContract(t *testing.T) { enginetest.Contract(t, CMA) }

// numbers is a space of n floats and one integer beside them, in [−1, 1].
func numbers(n int) benchmarks.Space {
	var s benchmarks.Space
	for i := range n {
		s.Parameters = append(s.Parameters, benchmarks.Parameter{Name: string(rune('a' + i)), Kind: benchmarks.Float, Min: -1, Max: 1})
	}
	s.Parameters = append(s.Parameters, benchmarks.Parameter{Name: "k", Kind: benchmarks.Int, Min: 0, Max: 40})
	return s
}

// bowl is least, 0, where every float is .3 and k is 12.
func bowl(p benchmarks.Point) float64 {
	loss := math.Pow(float64(p["k"].(int64)-12)/20, 2)
	for name, v := range p {
		if name != "k" {
			d := v.(float64) - .3
			loss += d * d
		}
	}
	return loss
}

// From a point nearby, three floats and an integer are set right to eight
// digits.
func TestPolishFindsTheBottom(t *testing.T) {
	space := numbers(3)
	start := benchmarks.Point{"a": .25, "b": .4, "c": .3, "k": int64(15)}
	e := enginetest.Make(t, Polish, engine.Config{Space: space, Start: []benchmarks.Point{start}})
	asked, best := enginetest.Drive(t, e, bowl, 4000, 1)
	if best > 1e-8 {
		t.Errorf("%.3g after %d evaluations, began at %.3g", best, len(asked), bowl(start))
	}
	if why, done := e.Done(); !done {
		t.Errorf("not done after %d evaluations: %q", len(asked), why)
	}
}

// What is not a number stays as it is.
func TestPolishLeavesChoicesAlone(t *testing.T) {
	space := enginetest.Mixed()
	space.Constraints = nil
	start := space.Default()
	start["kernel"] = "packed"
	e := enginetest.Make(t, Polish, engine.Config{Space: space, Start: []benchmarks.Point{start}})
	enginetest.Drive(t, e, func(p benchmarks.Point) float64 {
		if p["kernel"] != "packed" || p["prefetch"] != false {
			t.Fatalf("moved to %v", p)
		}
		return enginetest.MixedLoss(p)
	}, 300, 1)
	none := benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "on", Kind: benchmarks.Bool}}}
	e = enginetest.Make(t, Polish, engine.Config{Space: none})
	if asked, _ := enginetest.Drive(t, e, func(benchmarks.Point) float64 { return 0 }, 10, 1); len(asked) != 0 {
		t.Errorf("%d points of a space without a number", len(asked))
	}
}

func TestSpacesThatAreRefused(t *testing.T) {
	for _, make := range []engine.New{Polish, CMA} {
		if _, err := make(engine.Config{}); !errors.Is(err, engine.ErrSpace) {
			t.Errorf("no parameter: %v", err)
		}
	}
}

// An engine that nobody holds any more leaves no goroutine behind.
func TestGoroutinesEndWithTheEngine(t *testing.T) {
	before := goruntime.NumGoroutine()
	for range 20 {
		e := enginetest.Make(t, CMA, engine.Config{Space: numbers(3), Seed: 1})
		enginetest.Drive(t, e, bowl, 30, 4)
	}
	for range 200 {
		goruntime.GC()
		if goruntime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond) // cleanups run in their own time
	}
	t.Errorf("%d goroutines, %d before", goruntime.NumGoroutine(), before)
}

func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 1}
	makers := []engine.New{Polish, CMA}
	for _, make := range makers {
		e := enginetest.Make(f, make, cfg)
		enginetest.Drive(f, e, enginetest.MixedLoss, 30, 3)
		b, err := e.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, make := range makers {
			if err := enginetest.Make(t, make, cfg).Restore(b); err != nil && !errors.Is(err, engine.ErrSnapshot) {
				t.Fatalf("refusal of another kind: %v", err)
			}
		}
	})
}
