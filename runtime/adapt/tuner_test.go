package adapt

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var algorithms = []Algorithm{Auto, CMA, SPSADecaying, SPSAConstant, NES, PBT}

// Whatever losses come, every question and every recommendation is within the
// range, and the same losses give the same questions.
func TestATunerStaysInItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := TunerConfig{Seed: rapid.Uint64().Draw(t, "seed"), Algorithm: Algorithm(rapid.IntRange(0, int(algorithmCount)-1).Draw(t, "algorithm"))}
		n := rapid.IntRange(1, 6).Draw(t, "knobs")
		a, err := NewTuner(c, n, -3, 5, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewTuner(c, n, -3, 5, 1)
		if err != nil {
			t.Fatal(err)
		}
		loss := rapid.OneOf(rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e99}))
		for range 60 {
			x := a.Ask()
			if again := a.Ask(); !slices.Equal(x, again) {
				t.Fatalf("asked twice: %v, then %v", x, again)
			}
			if twin := b.Ask(); !slices.Equal(x, twin) {
				t.Fatalf("%v, twin %v", x, twin)
			}
			for _, v := range append(x, a.Best()...) {
				if !(v >= -3 && v <= 5) {
					t.Fatalf("%v leaves the range", v)
				}
			}
			l := loss.Draw(t, "loss")
			a.Tell(l)
			b.Tell(l)
			if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
				a.Tell(99) // a duplicate
			}
		}
	})
}

func TestEverySearchImproves(t *testing.T) {
	for _, a := range algorithms {
		for _, dim := range []int{2, 12} {
			tuner, err := NewTuner(TunerConfig{Seed: 3, Algorithm: a}, dim, 0, 10, 2)
			if err != nil {
				t.Fatal(err)
			}
			loss := func(x []float64) (sum float64) {
				for i, v := range x {
					sum += float64(1+i%3) * (v - 6) * (v - 6)
				}
				return sum
			}
			start := loss(tuner.Best())
			for range 3000 {
				tuner.Tell(loss(tuner.Ask()))
			}
			if end := loss(tuner.Best()); end > start/4 {
				t.Errorf("%v, %d knobs: loss %g → %g", a, dim, start, end)
			}
		}
	}
}

func TestCMAFindsTheBottomOfABentValley(t *testing.T) {
	s := newCMA(1, []float64{.3, .3, .3, .3, .3}, false)
	rosenbrock := func(x []float64) (sum float64) {
		at := func(i int) float64 { return -2 + 4*x[i] }
		for i := range len(x) - 1 {
			a, b := at(i), at(i+1)
			sum += 100*(b-a*a)*(b-a*a) + (1-a)*(1-a)
		}
		return sum
	}
	for range 6000 {
		s.Tell(rosenbrock(s.Ask()))
	}
	if v := rosenbrock(s.Best()); v > 1e-8 {
		t.Fatalf("after 6,000 questions the loss is %g at %v", v, s.Best())
	}
}

func TestAutoFollowsAJumpThatCMALoses(t *testing.T) {
	after := func(a Algorithm) float64 {
		s, err := NewSearch(a, 5, []float64{.5, .5, .5, .5, .5, .5})
		if err != nil {
			t.Fatal(err)
		}
		goal, sum := .3, 0.0
		for i := range 3000 {
			if i == 1500 {
				goal = .8
			}
			loss := func(x []float64) (l float64) {
				for k, v := range x {
					l += math.Pow(30, float64(k)/5) * (v - goal) * (v - goal)
				}
				return l
			}
			s.Tell(loss(s.Ask()))
			if i > 1500 {
				sum += loss(s.Best())
			}
		}
		return sum
	}
	if auto, plain := after(Auto), after(CMA); auto > plain/2 {
		t.Fatalf("loss after the jump: auto %g, plain CMA-ES %g", auto, plain)
	}
}

func TestTunersAreChecked(t *testing.T) {
	for _, c := range []struct {
		knobs            int
		lo, hi, baseline float64
	}{{0, 0, 1, .5}, {KnobsMax + 1, 0, 1, .5}, {2, 1, 0, .5}, {2, 0, 1, 2}, {2, 0, 1, math.NaN()}, {2, math.Inf(-1), 1, 0}, {2, 0, 0, 0}} {
		if _, err := NewTuner(TunerConfig{}, c.knobs, c.lo, c.hi, c.baseline); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if _, err := NewTuner(TunerConfig{Algorithm: algorithmCount}, 1, 0, 1, .5); err == nil {
		t.Error("accepted an algorithm that does not exist")
	}
}

func BenchmarkTuner50(b *testing.B) {
	for _, a := range algorithms {
		b.Run(a.String(), func(b *testing.B) {
			s, err := NewTuner(TunerConfig{Algorithm: a}, 50, 0, 1, .5)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				x := s.Ask()
				s.Tell(x[i%50] + x[3]*x[7])
			}
		})
	}
}
