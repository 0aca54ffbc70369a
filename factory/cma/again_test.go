package cma

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// What both answers to noise are worth beside none, in one run: ten
// dimensions, 20,000 evaluations, the geometric mean over five seeds of the true
// loss of the mean. Constants were chosen on seeds 100 to 103.
func TestNoiseSwitches(t *testing.T) {
	const n, budget, seeds = 10, 20_000, 5
	lo, hi := region(n)
	reach := func(f func([]float64) float64, added, scaled float64, cfg Config) float64 {
		var log float64
		for s := range uint64(seeds) {
			noise := seed.Stream(seed.Root(s), "cma/noise test")
			cfg.Dim, cfg.Lower, cfg.Upper, cfg.Seed, cfg.Budget, cfg.NoRestart = n, lo, hi, s, budget, true
			o := mustNew(t, cfg)
			x := make([]float64, n)
			for o.Ask(x) {
				v := f(x)
				o.Tell(v + float64(added*noise.NormFloat64()) + float64(scaled*v*noise.NormFloat64()))
			}
			o.Mean(x)
			log += math.Log10(f(x)) / seeds
		}
		return math.Pow(10, log)
	}
	for _, c := range []struct {
		name          string
		f             func([]float64) float64
		added, scaled float64
		better        float64 // re-evaluation than none, at least
	}{
		{"sphere, error of 1", sphere, 1, 0, 2},
		{"ellipsoid, error of 1", ellipsoid, 1, 0, 1},
		{"sphere, error of the loss's size", sphere, 0, 1, 50},
		{"sphere, error of .3 of the loss", sphere, 0, .3, 1},
	} {
		plain := reach(c.f, c.added, c.scaled, Config{})
		rated := reach(c.f, c.added, c.scaled, Config{AdaptRate: true})
		again := reach(c.f, c.added, c.scaled, Config{Reevaluate: 50})
		t.Logf("%-33s plain %.2g, AdaptRate %.2g, Reevaluate %.2g", c.name, plain, rated, again)
		if again*c.better > plain {
			t.Errorf("%s: %.2g when points are evaluated again, %.2g when not: not %g times better", c.name, again, plain, c.better)
		}
	}
}

// Without noise no point is repeated and the step is left alone: what it costs
// are the second turns.
func TestReevaluateWithoutNoise(t *testing.T) {
	const n = 5
	lo, hi := region(n)
	o := mustNew(t, Config{Dim: n, Lower: lo, Upper: hi, Seed: 3, Budget: 3000, Reevaluate: 9, NoRestart: true})
	x := make([]float64, n)
	again := 0
	for o.Ask(x) {
		if o.Again() {
			again++
		}
		o.Tell(sphere(x))
		if o.run.again.teval != 1 {
			t.Fatalf("points are evaluated %v times", o.run.again.teval)
		}
	}
	if share := float64(again) / float64(o.Evaluations()); share < .1 || share > .25 {
		t.Errorf("%.2f of the evaluations repeat one", share)
	}
	if best := o.Best(x); best > 1e-10 {
		t.Errorf("the sphere's best is %g", best)
	}
}

// A point asked again is the same point; Redraw and Replace leave it alone.
func TestAgainAsksTheSamePoint(t *testing.T) {
	const n = 4
	lo, hi := region(n)
	o := mustNew(t, Config{Dim: n, Lower: lo, Upper: hi, Seed: 8, Reevaluate: 3})
	noise := seed.Stream(seed.Root(8), "cma/again test")
	x := make([]float64, n)
	asked := map[[n]float64]bool{}
	most := 0
	for range 5000 {
		if o.asked == 0 {
			clear(asked)
		}
		o.Ask(x)
		if known := asked[[n]float64(x)]; known != o.Again() {
			t.Fatalf("%v was asked in this generation: %v; Again says %v", x, known, o.Again())
		}
		if o.Again() {
			y := make([]float64, n)
			o.Redraw(y)
			o.Replace(make([]float64, n))
		} else if noise.IntN(9) == 0 {
			x[0] = 0
			o.Replace(x)
		}
		asked[[n]float64(x)] = true
		if most = max(most, o.run.again.repeats()); most > 3 {
			t.Fatalf("evaluated %d times", most)
		}
		o.Tell(noise.NormFloat64())
	}
	if most != 3 {
		t.Errorf("under noise alone points were evaluated %d times, at most 3 are allowed", most)
	}
}

// The limit is the percentile of the list that the paper writes down.
func TestRankChangeLimit(t *testing.T) {
	const lambda = 7
	var a uncertainty
	for rank := 1; rank < 2*lambda; rank++ {
		var changes []int
		for i := 1; i < 2*lambda; i++ {
			changes = append(changes, max(i-rank, rank-i))
		}
		for i := range changes {
			for j := range i {
				if changes[i] < changes[j] {
					changes[i], changes[j] = changes[j], changes[i]
				}
			}
		}
		if got, want := a.limit(rank, lambda), float64(changes[int(thetaUH*.5*(2*lambda-2))]); got != want {
			t.Errorf("rank %d: %v, want %v of %v", rank, got, want, changes)
		}
	}
}

func TestReevaluateRefusals(t *testing.T) {
	if _, err := New(Config{Dim: 2, Reevaluate: -1}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "Reevaluate") {
		t.Errorf("error is %v", err)
	}
	cfg := Config{Dim: 2, Seed: 1, Reevaluate: 4}
	for _, c := range []struct {
		want  string
		spoil func(*state)
	}{
		{"reevaluate.t_eval", func(s *state) { s.Again.TEval = 5 }},
		{"reevaluate.asked", func(s *state) { s.Again.Asked = 99 }},
		{"reevaluate.told", func(s *state) { s.Again.Told, s.Again.Again = 3, nil }},
		{"reevaluate.again", func(s *state) { s.Again.Again = nil }},
		{"reevaluate: in one", func(s *state) { s.Again = nil }},
	} {
		o := mustNew(t, cfg)
		x := make([]float64, 2)
		for range o.run.s.lambda + 1 {
			o.Ask(x)
			o.Tell(sphere(x))
		}
		s, err := o.state()
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(s)
		if err := mustNew(t, cfg).setState(s); !errors.Is(err, engine.ErrSnapshot) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.want, err)
		}
	}
}
