// Package enginetest is the contract of a search engine as tests that every
// engine passes: determinism, feasibility, snapshots, failures, a mixed and
// conditional problem on which it must beat random search.
//
// It is for tests alone; the program never links it.
package enginetest

import (
	"errors"
	"math"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Mixed is a space with every kind of parameter, a condition tree and a
// constraint.
func Mixed() benchmarks.Space {
	return benchmarks.Space{
		Parameters: []benchmarks.Parameter{
			{Name: "rate", Kind: benchmarks.Float, Min: 1e-4, Max: 1, Log: true, Default: .5},
			{Name: "blend", Kind: benchmarks.Float, Min: 0, Max: 1, Default: .1},
			{Name: "level", Kind: benchmarks.Int, Min: 1, Max: 12, Default: int64(2)},
			{Name: "window", Kind: benchmarks.Int, Min: 1, Max: 4096, Log: true, Default: int64(8)},
			{Name: "kernel", Kind: benchmarks.Categorical, Choices: []string{"scalar", "tiled", "packed", "fused"}, Default: "scalar"},
			{Name: "tile", Kind: benchmarks.Ordinal, Choices: []string{"4", "8", "16", "32", "64"}, Default: "4",
				When: map[string][]any{"kernel": {"tiled", "packed"}}},
			{Name: "prefetch", Kind: benchmarks.Bool, Default: false},
			{Name: "distance", Kind: benchmarks.Float, Min: 0, Max: 8, Default: 1.,
				When: map[string][]any{"prefetch": {true}}},
			{Name: "order", Kind: benchmarks.Permutation, Choices: []string{"i", "j", "k", "l"},
				Default: []string{"i", "j", "k", "l"}},
		},
		Constraints: []benchmarks.Constraint{{Name: "fits", Expr: "level <= 9 || window < 1024"}},
	}
}

// MixedLoss is least, 0, at rate .01, blend .7, level 9, window 200, kernel
// packed, tile 32, prefetch with distance 3, order k i l j.
func MixedLoss(p benchmarks.Point) float64 {
	sq := func(x float64) float64 { return x * x }
	loss := sq(math.Log10(p["rate"].(float64))+2) + 4*sq(p["blend"].(float64)-.7)
	loss += .05 * sq(float64(p["level"].(int64)-9))
	loss += .2 * sq(math.Log2(float64(p["window"].(int64)))-math.Log2(200))
	switch p["kernel"].(string) {
	case "scalar":
		loss += 2
	case "fused":
		loss += 1
	case "tiled":
		loss += .5
	}
	if tile, ok := p["tile"].(string); ok {
		for i, v := range []string{"4", "8", "16", "32", "64"} {
			if v == tile {
				loss += .15 * sq(float64(i-3))
			}
		}
	}
	if p["prefetch"].(bool) {
		loss += .1 * sq(p["distance"].(float64)-3)
	} else {
		loss += .8
	}
	want := map[string]int{"k": 0, "i": 1, "l": 2, "j": 3}
	for i, item := range p["order"].([]string) {
		loss += .1 * math.Abs(float64(i-want[item]))
	}
	return loss
}

// Drive asks in parts of n and tells until the engine has spent evaluations,
// or has nothing more to ask. It returns the points asked, as keys with their
// origins, and the least loss.
func Drive(t testing.TB, e engine.Engine, loss func(benchmarks.Point) float64, evaluations, n int) ([]string, float64) {
	t.Helper()
	var asked []string
	best := math.Inf(1)
	for len(asked) < evaluations {
		batch := e.Ask(min(n, evaluations-len(asked)))
		if len(batch) == 0 {
			if _, done := e.Done(); !done {
				t.Fatal("nothing asked and not done")
			}
			return asked, best
		}
		if len(batch) > n {
			t.Fatalf("asked for at most %d, got %d", n, len(batch))
		}
		trials := make([]engine.Trial, len(batch))
		for i, p := range batch {
			l := loss(p.Point)
			trials[i] = engine.Trial{Index: len(asked), Point: p.Point, Loss: l}
			asked = append(asked, p.Origin+" "+string(p.Point.Canonical()))
			if l < best {
				best = l
			}
		}
		e.Tell(trials)
	}
	return asked, best
}

// Make makes an engine or fails the test.
func Make(t testing.TB, make engine.New, cfg engine.Config) engine.Engine {
	t.Helper()
	e, err := make(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Contract runs what every engine promises.
func Contract(t *testing.T, make engine.New) { contract(t, make, true) }

// RepeatingContract is Contract for engines that ask for known points on
// purpose, to average noise out.
func RepeatingContract(t *testing.T, make engine.New) { contract(t, make, false) }

func contract(t *testing.T, make engine.New, once bool) {
	space := Mixed()
	start := []benchmarks.Point{space.Default()}
	cfg := engine.Config{Space: space, Seed: 7, Budget: 400, Start: start, Parallel: 4}

	t.Run("same trials, same proposals", func(t *testing.T) {
		a, _ := Drive(t, Make(t, make, cfg), MixedLoss, 300, 4)
		b, _ := Drive(t, Make(t, make, cfg), MixedLoss, 300, 4)
		equal(t, a, b)
	})
	t.Run("baseline first", func(t *testing.T) {
		e := Make(t, make, cfg)
		batch := e.Ask(1)
		if len(batch) != 1 || !batch[0].Point.Equal(start[0]) {
			t.Errorf("first asked %v, want the baseline %v", batch, start[0])
		}
	})
	t.Run("feasible, and never the same point twice", func(t *testing.T) { feasible(t, make, cfg, once) })
	t.Run("failures do not poison", func(t *testing.T) { failures(t, make, cfg) })
	t.Run("snapshot at any trial", func(t *testing.T) { snapshots(t, make, cfg) })
	t.Run("snapshot refusals", func(t *testing.T) { refusals(t, make, cfg) })
	t.Run("a start point outside the space is refused", func(t *testing.T) {
		bad := cfg
		bad.Start = []benchmarks.Point{{"nonsense": 1.}}
		if _, err := make(bad); !errors.Is(err, benchmarks.ErrBadCandidate) {
			t.Errorf("error is %v", err)
		}
	})
}

func equal(t *testing.T, a, b []string) {
	t.Helper()
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Fatalf("trial %d differs (of %d and %d):\n%s\n%s", i, len(a), len(b), at(a, i), at(b, i))
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "nothing"
}

func feasible(t *testing.T, make engine.New, cfg engine.Config, once bool) {
	seen := map[string]bool{}
	Drive(t, Make(t, make, cfg), func(p benchmarks.Point) float64 {
		q, err := cfg.Space.Normalize(p)
		if err != nil {
			t.Fatalf("asked an infeasible point: %v", err)
		}
		if !q.Equal(p) {
			t.Fatalf("asked %v, which is not normalized: %v", p, q)
		}
		if k := engine.Key(p); seen[k] && once {
			t.Fatalf("asked %v twice", p)
		} else {
			seen[k] = true
		}
		return MixedLoss(p)
	}, 400, 7)
}

func failures(t *testing.T, make engine.New, cfg engine.Config) {
	bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
	e := Make(t, make, cfg)
	i, best := 0, math.Inf(1)
	Drive(t, e, func(p benchmarks.Point) float64 {
		i++
		if i%3 == 0 {
			return bad[i/3%3]
		}
		best = math.Min(best, MixedLoss(p))
		return 1 + MixedLoss(p)
	}, 400, 4)
	if first := MixedLoss(cfg.Space.Default()); best >= first {
		t.Errorf("nothing better than the first point's %.3g was found", first)
	}
	timeouts := Make(t, make, cfg)
	for index := 0; index < 60; {
		var trials []engine.Trial
		for _, p := range timeouts.Ask(3) { // what the factory tells of a trial that ran out of time
			trials = append(trials, engine.Trial{Index: index, Point: p.Point, Loss: math.Inf(1), Failed: "timed out after 5s"})
			index++
		}
		if len(trials) == 0 {
			if _, done := timeouts.Done(); !done {
				t.Fatal("nothing asked after trials that timed out, and not done")
			}
			break
		}
		timeouts.Tell(trials)
	}
	all := Make(t, make, cfg)
	Drive(t, all, func(benchmarks.Point) float64 { return math.NaN() }, 120, 5)
}

func snapshots(t *testing.T, make engine.New, cfg engine.Config) {
	whole, _ := Drive(t, Make(t, make, cfg), MixedLoss, 200, 3)
	for _, cut := range []int{0, 3, 6, 30, 60, 63, 99, 150} {
		a := Make(t, make, cfg)
		head, _ := Drive(t, a, MixedLoss, cut, 3)
		snap, err := a.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		b := Make(t, make, cfg)
		if err := b.Restore(snap); err != nil {
			t.Fatalf("restore after %d trials: %v", cut, err)
		}
		tail, _ := Drive(t, b, MixedLoss, 200-len(head), 3)
		equal(t, append(head, tail...), whole)
	}
	// Between ask and tell.
	a, b := Make(t, make, cfg), Make(t, make, cfg)
	Drive(t, a, MixedLoss, 45, 3)
	batch := a.Ask(3)
	snap, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(snap); err != nil {
		t.Fatal(err)
	}
	for _, e := range []engine.Engine{a, b} {
		for i, p := range batch {
			e.Tell([]engine.Trial{{Index: 45 + i, Point: p.Point, Loss: MixedLoss(p.Point)}})
		}
	}
	x, _ := Drive(t, a, MixedLoss, 50, 3)
	y, _ := Drive(t, b, MixedLoss, 50, 3)
	equal(t, x, y)
}

func refusals(t *testing.T, make engine.New, cfg engine.Config) {
	e := Make(t, make, cfg)
	Drive(t, e, MixedLoss, 20, 4)
	snap, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(snap); i += 1 + len(snap)/400 {
		bad := append([]byte(nil), snap...)
		bad[i] ^= 1 << (i % 8)
		if err := Make(t, make, cfg).Restore(bad); !errors.Is(err, engine.ErrSnapshot) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	seed, space := cfg, cfg
	seed.Seed++
	space.Space.Parameters = append([]benchmarks.Parameter(nil), cfg.Space.Parameters...)
	space.Space.Parameters[1].Max = 2
	for what, other := range map[string]engine.Config{"seed": seed, "space": space} {
		if err := Make(t, make, other).Restore(snap); !errors.Is(err, engine.ErrSnapshot) || !strings.Contains(err.Error(), "config") {
			t.Errorf("snapshot of another %s: %v", what, err)
		}
	}
	newer := regexp.MustCompile(`"version":\d+`).ReplaceAll(snap, []byte(`"version":99`))
	if err := Make(t, make, cfg).Restore(newer); !errors.Is(err, engine.ErrSnapshot) || !strings.Contains(err.Error(), "version is 99") {
		t.Errorf("snapshot of another version: %v", err)
	}
	if err := Make(t, make, cfg).Restore(snap[:len(snap)/2]); !errors.Is(err, engine.ErrSnapshot) {
		t.Errorf("half a snapshot: %v", err)
	}
}

// BeatsRandom compares the median least loss of 300 evaluations of the mixed
// problem with random search's over a number of seeds, and asks for a factor.
// Few seeds are for engines that are slow and far better than what is asked.
func BeatsRandom(t *testing.T, make engine.New, seeds int, factor float64) {
	const evaluations = 300
	space := Mixed()
	var got, random []float64
	for s := range uint64(seeds) {
		e := Make(t, make, engine.Config{Space: space, Seed: s, Budget: evaluations, Start: []benchmarks.Point{space.Default()}})
		_, best := Drive(t, e, MixedLoss, evaluations, 4)
		got = append(got, best)
		rng := seed.Stream(seed.Root(s), "enginetest/random")
		best = math.Inf(1)
		for range evaluations {
			best = math.Min(best, MixedLoss(space.Sample(rng)))
		}
		random = append(random, best)
	}
	sort.Float64s(got)
	sort.Float64s(random)
	a, b := got[seeds/2], random[seeds/2]
	t.Logf("median of the least loss: %.4f, random search %.4f: a factor of %.1f", a, b, b/a)
	if a*factor > b {
		t.Errorf("%.4f is not %g times better than random search's %.4f", a, factor, b)
	}
}
