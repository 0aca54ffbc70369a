package ga

import (
	"errors"
	"math/rand"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"pgregory.net/rapid"
)

func TestContract(t *testing.T) { enginetest.Contract(t, Engine) }

func TestBeatsRandomSearch(t *testing.T) { enginetest.BeatsRandom(t, Engine, 11, 3) }

// A permutation alone: eight jobs, the loss is the number of inversions.
func TestSortsAPermutation(t *testing.T) {
	items := strings.Split("abcdefgh", "")
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "order", Kind: benchmarks.Permutation, Choices: items}}}
	start := benchmarks.Point{"order": strings.Split("hgfedcba", "")}
	inversions := func(p benchmarks.Point) float64 {
		o, n := p["order"].([]string), 0
		for i := range o {
			for j := range i {
				if o[j] > o[i] {
					n++
				}
			}
		}
		return float64(n)
	}
	for s := range uint64(5) {
		e := enginetest.Make(t, Engine, engine.Config{Space: space, Seed: s, Budget: 600, Start: []benchmarks.Point{start}})
		if _, best := enginetest.Drive(t, e, inversions, 600, 4); best > 1 {
			t.Errorf("seed %d: %v inversions left of 28", s, best)
		}
	}
}

// Sixteen points in all: each is asked once, and then the engine is done.
func TestSmallSpaceEnds(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "a", Kind: benchmarks.Bool}, {Name: "b", Kind: benchmarks.Bool},
		{Name: "c", Kind: benchmarks.Categorical, Choices: []string{"w", "x", "y", "z"}},
	}}
	e := enginetest.Make(t, Engine, engine.Config{Space: space, Seed: 4})
	asked, _ := enginetest.Drive(t, e, func(benchmarks.Point) float64 { return 1 }, 100, 3)
	if len(asked) != 16 {
		t.Errorf("%d points of 16", len(asked))
	}
}

func TestOperatorsStayInTheSpace(t *testing.T) {
	space := enginetest.Mixed()
	l := newLayout(space)
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		a, b := l.fromPoint(space.Default()), l.fromPoint(space.Default())
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			a.Mutate(rng)
			b.Mutate(rng)
			a.Crossover(b, rng)
			for _, g := range []*genome{a, b} {
				for i, q := range space.Parameters {
					if err := g.genes[i].check(q); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := g.point(); err != nil && !errors.Is(err, benchmarks.ErrBadCandidate) {
					t.Fatal(err)
				}
			}
		}
	})
}

// A mutation changes the point: only genes that count are touched.
func TestMutationIsNeverSilent(t *testing.T) {
	space := enginetest.Mixed()
	space.Constraints = nil
	l := newLayout(space)
	rng := rand.New(rand.NewSource(1))
	g := l.fromPoint(space.Default())
	for range 500 {
		before, err := g.point()
		if err != nil {
			t.Fatal(err)
		}
		g.Mutate(rng)
		after, err := g.point()
		if err != nil {
			t.Fatal(err)
		}
		if before.Equal(after) {
			t.Fatalf("nothing changed: %v", after)
		}
	}
}

// A genome says the same point again after a round trip.
func TestGenomeRoundTrip(t *testing.T) {
	space := enginetest.Mixed()
	l := newLayout(space)
	rng := rand.New(rand.NewSource(2))
	for range 300 {
		g := l.fromPoint(space.Default())
		for range 5 {
			g.Mutate(rng)
		}
		p, err := g.point()
		if err != nil {
			continue
		}
		q, err := l.fromPoint(p).point()
		if err != nil {
			t.Fatal(err)
		}
		if !p.Equal(q) {
			t.Fatalf("%v and %v", p, q)
		}
	}
}

func TestNothingToBreed(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "only", Kind: benchmarks.Categorical, Choices: []string{"one"}}}}
	if _, err := Engine(engine.Config{Space: space}); !errors.Is(err, ErrSpace) {
		t.Errorf("error is %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 1, Budget: 100}
	e := enginetest.Make(f, Engine, cfg)
	enginetest.Drive(f, e, enginetest.MixedLoss, 25, 3)
	b, err := e.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"engine":"ga","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := enginetest.Make(t, Engine, cfg).Restore(b); err != nil && !errors.Is(err, engine.ErrSnapshot) {
			t.Fatalf("refusal of another kind: %v", err)
		}
	})
}
