package ga

// The searches of eaopt that are not used, and why: each test passes while the
// defect is there.

import (
	"math"
	"math/rand"
	goruntime "runtime"
	"sync/atomic"
	"testing"

	"github.com/MaxHalford/eaopt"
)

func squares(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += (v - 2) * (v - 2)
	}
	return s
}

// DiffEvo, SPSO and OES take parallel and evaluate one after the other all the
// same, but for the first generation: their model evaluates inside Apply.
// Work-around: eaopt never evaluates, and de is our own.
func TestEaoptParallelEvalIsIgnored(t *testing.T) {
	const agents, steps, dim = 8, 20, 4
	for name, minimize := range map[string]func(f func([]float64) float64, rng *rand.Rand) error{
		"DiffEvo": func(f func([]float64) float64, rng *rand.Rand) error {
			s, err := eaopt.NewDiffEvo(agents, steps, -5, 5, .5, .2, true, rng)
			if err == nil {
				_, _, err = s.Minimize(f, dim)
			}
			return err
		},
		"SPSO": func(f func([]float64) float64, rng *rand.Rand) error {
			s, err := eaopt.NewSPSO(agents, steps, -5, 5, .5, true, rng)
			if err == nil {
				_, _, err = s.Minimize(f, dim)
			}
			return err
		},
		"OES": func(f func([]float64) float64, rng *rand.Rand) error {
			s, err := eaopt.NewOES(agents, steps, 1, .1, true, rng)
			if err == nil {
				_, _, err = s.Minimize(f, make([]float64, dim))
			}
			return err
		},
	} {
		var calls, inside, most atomic.Int64
		f := func(x []float64) float64 {
			now := inside.Add(1)
			defer inside.Add(-1)
			if calls.Add(1) > agents {
				for range 200 { // time for another to come in
					goruntime.Gosched()
					now = max(now, inside.Load())
				}
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
			}
			return squares(x)
		}
		if err := minimize(f, rand.New(rand.NewSource(1))); err != nil {
			t.Fatal(err)
		}
		if most.Load() != 1 || calls.Load() <= agents {
			t.Errorf("%s: %d of %d evaluations at once, used to be one", name, most.Load(), calls.Load())
		}
	}
}

// OES adds up the noise of all coordinates into one number, and SPSO's swarm
// flies apart: both end above random search with as many evaluations.
// Work-around: neither is used.
func TestEaoptOESAndSPSOAreWorseThanRandom(t *testing.T) {
	const points, steps, dim, seeds = 40, 50, 10, 5
	var oes, spso, random float64
	for s := range int64(seeds) {
		rng := rand.New(rand.NewSource(s))
		o, err := eaopt.NewOES(points, steps, 1, .1, false, rng)
		if err != nil {
			t.Fatal(err)
		}
		_, y, err := o.Minimize(squares, eaopt.InitUnifFloat64(dim, -5, 5, rng))
		if err != nil {
			t.Fatal(err)
		}
		oes += math.Log(y) / seeds
		p, err := eaopt.NewSPSO(points, steps, -5, 5, .5, false, rng)
		if err != nil {
			t.Fatal(err)
		}
		if _, y, err = p.Minimize(squares, dim); err != nil {
			t.Fatal(err)
		}
		spso += math.Log(y) / seeds
		best := math.Inf(1)
		for range points * (steps + 1) {
			best = math.Min(best, squares(eaopt.InitUnifFloat64(dim, -5, 5, rng)))
		}
		random += math.Log(best) / seeds
	}
	t.Logf("OES %.3g, SPSO %.3g, random search %.3g", math.Exp(oes), math.Exp(spso), math.Exp(random))
	if oes < random {
		t.Errorf("OES reaches %.3g, random search %.3g: it used to be worse", math.Exp(oes), math.Exp(random))
	}
	if spso < random {
		t.Errorf("SPSO reaches %.3g, random search %.3g: it used to be worse", math.Exp(spso), math.Exp(random))
	}
}
