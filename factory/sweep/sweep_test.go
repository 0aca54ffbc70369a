package sweep

import (
	"errors"
	"math"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"pgregory.net/rapid"
)

func TestContract(t *testing.T) {
	for name, make := range map[string]engine.New{"sweep": Engine, "sobol": Sobol, "grid": Grid, "one-factor": OneFactor} {
		t.Run(name, func(t *testing.T) { enginetest.Contract(t, make) })
	}
}

// Every prefix fills every axis: of the first b^k points, each of the b^k
// equal cells of the axis of base b holds exactly one.
func TestHaltonIsStratified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHalton(5, rapid.Uint64().Draw(t, "seed"))
		j := rapid.IntRange(0, 4).Draw(t, "axis")
		b := int(h.bases[j])
		cells := b * b
		seen := map[int]bool{}
		for i := range cells {
			c := int(h.at(uint64(i))[j] * float64(cells) * (1 + 1e-12))
			if seen[c] {
				t.Fatalf("cell %d of %d twice", c, cells)
			}
			seen[c] = true
		}
	})
}

// The star-like error of an integral: far below the 1/√n of random points.
func TestHaltonIntegrates(t *testing.T) {
	const n = 2048
	h := newHalton(6, 11)
	var sum float64
	for i := range n {
		f := 1.
		for _, x := range h.at(uint64(i)) {
			f *= 1 + (x-.5)*.8
		}
		sum += f
	}
	if err := math.Abs(sum/n - 1); err > 2e-3 {
		t.Errorf("error %.2g of the integral", err)
	}
}

func TestGridAsksEveryPointOnce(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "kernel", Kind: benchmarks.Categorical, Choices: []string{"a", "b", "c"}},
		{Name: "fast", Kind: benchmarks.Bool},
		{Name: "n", Kind: benchmarks.Int, Min: 1, Max: 4, When: map[string][]any{"fast": {true}}},
		{Name: "order", Kind: benchmarks.Permutation, Choices: []string{"x", "y", "z"}},
	}}
	e := enginetest.Make(t, Grid, engine.Config{Space: space})
	asked, _ := enginetest.Drive(t, e, func(p benchmarks.Point) float64 { return 0 }, 1000, 7)
	if want := 3 * (4 + 1) * 6; len(asked) != want {
		t.Errorf("%d points, want %d", len(asked), want)
	}
	if why, done := e.Done(); !done {
		t.Errorf("not done: %q", why)
	}
}

func TestGridFitsTheBudget(t *testing.T) {
	for _, budget := range []int{16, 100, 1000} {
		var ps []benchmarks.Parameter
		for _, name := range []string{"a", "b", "c"} {
			ps = append(ps, benchmarks.Parameter{Name: name, Kind: benchmarks.Float, Min: 0, Max: 1})
		}
		e := enginetest.Make(t, Grid, engine.Config{Space: benchmarks.Space{Parameters: ps}, Budget: budget})
		asked, _ := enginetest.Drive(t, e, func(benchmarks.Point) float64 { return 0 }, 1<<20, 7)
		if len(asked) > budget || len(asked) < budget/2 {
			t.Errorf("%d points for a budget of %d", len(asked), budget)
		}
	}
}

func TestGridRefusesTheEndless(t *testing.T) {
	var ps []benchmarks.Parameter
	for i := range 40 {
		ps = append(ps, benchmarks.Parameter{Name: string(rune('a'+i%26)) + string(rune('a'+i/26)), Kind: benchmarks.Bool})
	}
	if _, err := Grid(engine.Config{Space: benchmarks.Space{Parameters: ps}}); !errors.Is(err, ErrSpace) {
		t.Errorf("error is %v", err)
	}
}

// One factor at a time walks down to where no single change helps: kernel
// "fused" (loss 1), because "packed" is better only together with another tile.
func TestOneFactorWalksDown(t *testing.T) {
	space := enginetest.Mixed()
	e := enginetest.Make(t, OneFactor, engine.Config{Space: space, Start: []benchmarks.Point{space.Default()}})
	asked, best := enginetest.Drive(t, e, enginetest.MixedLoss, 500, 5)
	if best > 1.1 {
		t.Errorf("best is %.3g after %d points", best, len(asked))
	}
}

func TestNthOrderListsAll(t *testing.T) {
	seen := map[string]bool{}
	for i := range 24 {
		key := ""
		for _, s := range nthOrder([]string{"a", "b", "c", "d"}, i) {
			key += s
		}
		seen[key] = true
	}
	if len(seen) != 24 || nthOrder([]string{"a", "b", "c"}, 0)[0] != "a" {
		t.Errorf("%d orders of 24", len(seen))
	}
}

func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 1}
	for _, make := range []engine.New{Engine, Sobol, OneFactor, Grid} {
		e := enginetest.Make(f, make, cfg)
		enginetest.Drive(f, e, enginetest.MixedLoss, 12, 3)
		b, err := e.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"engine":"sweep","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, make := range []engine.New{Engine, Sobol, OneFactor, Grid} {
			if err := enginetest.Make(t, make, cfg).Restore(b); err != nil && !errors.Is(err, engine.ErrSnapshot) {
				t.Fatalf("refusal of another kind: %v", err)
			}
		}
	})
}

// A knob that is switched off in half of the space does not take levels away:
// a budget for all points is enough, though there are more combinations.
func TestGridCountsPoints(t *testing.T) {
	sp := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "strategy", Kind: benchmarks.Categorical, Choices: []string{"flate", "huffman"}},
		{Name: "level", Kind: benchmarks.Int, Min: 1, Max: 9, When: map[string][]any{"strategy": {"flate"}}},
	}}
	for budget, want := range map[int]int{0: 6, 6: 4, 10: 10, 100: 10} {
		e, err := Grid(engine.Config{Space: sp, Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		asked, whole := e.(interface{ Sizes() (int, int) }).Sizes()
		if asked != want || whole != 10 {
			t.Errorf("budget %d: asks %d of %d points, want %d of 10", budget, asked, whole, want)
		}
		n := 0
		for {
			batch := e.Ask(4)
			if len(batch) == 0 {
				break
			}
			var told []engine.Trial
			for _, p := range batch {
				told = append(told, engine.Trial{Point: p.Point, Loss: 1})
			}
			e.Tell(told)
			n += len(batch)
		}
		if n != want {
			t.Errorf("budget %d: %d points asked, want %d", budget, n, want)
		}
	}
}
