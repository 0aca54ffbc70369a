package adapt

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var algorithms = []Algorithm{Auto, CMA, SPSADecaying, SPSAConstant, NES, PBT}

// newTestTuner makes a tuner of knobs that share a range and a start.
func newTestTuner(t testing.TB, c TunerConfig, knobs int, r Range, start float64) *Tuner {
	t.Helper()
	ranges, at := make([]Range, knobs), make([]float64, knobs)
	for i := range ranges {
		ranges[i], at[i] = r, start
	}
	tuner, err := NewTuner(c, ranges, at)
	if err != nil {
		t.Fatal(err)
	}
	return tuner
}

// Whatever losses come, wherever Tier 1 lets the knobs go, every question and every recommendation is within the
// range, and the same losses give the same questions.
func TestATunerStaysInItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := TunerConfig{Seed: rapid.Uint64().Draw(t, "seed"), Algorithm: Algorithm(rapid.IntRange(0, int(algorithmCount)-1).Draw(t, "algorithm"))}
		ranges, start := make([]Range, rapid.IntRange(1, 6).Draw(t, "knobs")), []float64(nil)
		for i := range ranges {
			ranges[i] = Range{Min: -3, Max: 5 + float64(i), StepMax: rapid.SampledFrom([]float64{0, .1, 50}).Draw(t, "step")}
			start = append(start, 1)
		}
		a, err := NewTuner(c, ranges, start)
		if err != nil {
			t.Fatal(err)
		}
		loss := rapid.OneOf(rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e99}))
		for range 60 {
			raw, err := a.Snapshot()
			if err != nil {
				t.Fatalf("state cannot be saved: %v", err)
			}
			b := &Tuner{}
			if err := b.Restore(raw); err != nil {
				t.Fatalf("state cannot be restored: %v\n%s", err, raw)
			}
			x := slices.Clone(a.Ask())
			if again := a.Ask(); !slices.Equal(x, again) {
				t.Fatalf("asked twice: %v, then %v", x, again)
			}
			if twin := b.Ask(); !slices.Equal(x, twin) {
				t.Fatalf("%v, restored: %v", x, twin)
			}
			for _, p := range [][]float64{x, a.Best()} {
				for i, v := range p {
					if !(v >= -3 && v <= ranges[i].Max) {
						t.Fatalf("%v leaves the range", v)
					}
				}
			}
			l := loss.Draw(t, "loss")
			if rapid.Bool().Draw(t, "cut short") {
				for i := range x {
					x[i] = min(x[i], loss.Draw(t, "at"))
				}
			}
			a.TellAt(x, l)
			b.TellAt(x, l)
			if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
				a.Tell(99) // a duplicate
			}
			after, err1 := a.Snapshot()
			twin, err2 := b.Snapshot()
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(after, twin) {
				t.Fatalf("a restored %v goes another way: %v", c.Algorithm, err)
			}
		}
	})
}

func TestATunerDoesNotAllocate(t *testing.T) {
	for _, a := range algorithms {
		tuner := newTestTuner(t, TunerConfig{Seed: 1, Algorithm: a}, 12, Range{Min: 0, Max: 1}, .5)
		i := 0
		step := func() {
			x := tuner.Ask()
			i++
			tuner.Tell(x[i%12] + x[3]*x[7] + .01*Normal(9, uint64(i)))
			tuner.Best()
		}
		for range 1500 {
			step()
		}
		if n := testing.AllocsPerRun(500, step); n != 0 {
			t.Errorf("%v: %g allocations a question", a, n)
		}
	}
}

func TestEverySearchImproves(t *testing.T) {
	for _, a := range algorithms {
		for _, dim := range []int{2, 12} {
			tuner := newTestTuner(t, TunerConfig{Seed: 3, Algorithm: a}, dim, Range{Min: 0, Max: 10}, 2)
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
	s := newTestTuner(t, TunerConfig{Seed: 1, Algorithm: CMA}, 5, Range{Min: 0, Max: 1}, .3)
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
		s := newTestTuner(t, TunerConfig{Seed: 5, Algorithm: a}, 6, Range{Min: 0, Max: 1}, .5)
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

// Where a quadratic fits, as many questions as it has coefficients, and a few strides, are enough; CMA-ES takes several
// times as many for its first directions.
func TestAutoNeedsFewQuestionsWhereAQuadraticFits(t *testing.T) {
	loss := func(x []float64) (sum float64) {
		for i, v := range x {
			sum += float64(1+i%7) * (v - .3) * (v - .3)
		}
		return sum
	}
	after := func(a Algorithm) float64 {
		s := newTestTuner(t, TunerConfig{Seed: 4, Algorithm: a}, 20, Range{Min: 0, Max: 1}, .5)
		start := loss(s.Best())
		for range 150 {
			s.Tell(loss(s.Ask()))
		}
		return loss(s.Best()) / start
	}
	if auto, plain := after(Auto), after(CMA); auto > 1e-3 || plain < 20*auto {
		t.Fatalf("after 150 questions: auto %g of the first loss, plain CMA-ES %g", auto, plain)
	}
}

// Where no quadratic fits, CMA-ES takes over; after a jump the surface is tried again.
func TestAutoGivesUpASurfaceThatDoesNotFit(t *testing.T) {
	s := newTestTuner(t, TunerConfig{Seed: 2}, 10, Range{Min: 0, Max: 1}, .5)
	goal := .35
	edges := func(x []float64) (sum float64) {
		for _, v := range x {
			sum += math.Floor(20 * math.Abs(v-goal)) // stairs
		}
		return sum
	}
	search, gaveUp, back := s.search.(*cma), 0, 0
	for n := range 6000 {
		if n == 3000 {
			goal = .75
		}
		s.Tell(edges(s.Ask()))
		switch {
		case search.Surface == nil && gaveUp == 0:
			gaveUp = n
		case search.Surface != nil && gaveUp > 0 && back == 0:
			back = n
		}
	}
	if gaveUp == 0 || gaveUp > 3000 || back < 3000 {
		t.Errorf("CMA-ES took over at question %d, a surface at %d", gaveUp, back)
	}
	if l := edges(s.Best()); l > 40 {
		t.Errorf("loss %g at the end, 80 after the jump", l)
	}
}

// A question that ended in a retreat is not tried again: the search goes back towards what it knows.
func TestAutoTurnsBackFromWhatMustNotBeTried(t *testing.T) {
	s := newTestTuner(t, TunerConfig{Seed: 2}, 3, Range{Min: 0, Max: 1}, .5)
	refused := 0
	for n := range 600 {
		x := s.Ask()
		if x[0] > .6 { // the best place is beyond
			s.Tell(math.NaN())
			if n >= 300 {
				refused++
			}
			continue
		}
		s.Tell((x[0]-.9)*(x[0]-.9) + (x[1]-.2)*(x[1]-.2) + (x[2]-.5)*(x[2]-.5))
	}
	if b := s.Best(); refused > 200 || b[0] < .5 || b[0] > .65 || b[1] > .4 {
		t.Fatalf("%d of 300 refused, at %v", refused, b)
	}
}

// The most knobs there can be: the state goes out and comes in.
func TestASurfaceOfAllKnobsIsRestored(t *testing.T) {
	a := newTestTuner(t, TunerConfig{Seed: 2}, KnobsMax, Range{Min: 0, Max: 1}, .5)
	loss := func(x []float64) (sum float64) {
		for _, v := range x {
			sum += (v - .4) * (v - .4)
		}
		return sum
	}
	for range 40 {
		a.Tell(loss(a.Ask()))
	}
	raw, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b := &Tuner{}
	if err := b.Restore(raw); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		x := a.Ask()
		if !slices.Equal(x, b.Ask()) {
			t.Fatal("the restored search asks something else")
		}
		l := loss(x)
		a.Tell(l)
		b.Tell(l)
	}
	if err := b.Restore(bytes.Replace(raw, []byte(`"layout":2`), []byte(`"layout":1`), 1)); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "layout 1") {
		t.Fatalf("a snapshot of another layout: %v", err)
	}
}

// A tuner whose knobs can only creep still gets where it wants.
func TestSmallStepsGetThere(t *testing.T) {
	for _, a := range algorithms {
		if a == PBT {
			continue // a population that is far apart cannot be walked to one step at a time
		}
		tuner := newTestTuner(t, TunerConfig{Seed: 2, Algorithm: a}, 4, Range{Min: 0, Max: 1, StepMax: .01}, .3)
		at := []float64{.3, .3, .3, .3}
		loss := func() (sum float64) {
			for _, v := range at {
				sum += (v - .6) * (v - .6)
			}
			return sum
		}
		start := loss()
		for range 4000 {
			for i, x := range tuner.Ask() {
				at[i] += min(max(x-at[i], -.01), .01)
			}
			tuner.TellAt(at, loss())
		}
		at = tuner.Best()
		if end := loss(); end > start/4 {
			t.Errorf("%v: loss %g → %g", a, start, end)
		}
	}
}

func TestTunersAreChecked(t *testing.T) {
	unit := []Range{{Min: 0, Max: 1}}
	for _, c := range []struct {
		ranges []Range
		start  []float64
	}{
		{nil, nil}, {make([]Range, KnobsMax+1), make([]float64, KnobsMax+1)}, {[]Range{{Min: 1, Max: 0}}, []float64{0}}, {unit, []float64{2}}, {unit, []float64{math.NaN()}},
		{[]Range{{Min: math.Inf(-1), Max: 1}}, []float64{0}}, {[]Range{{}}, []float64{0}}, {unit, nil}, {[]Range{{Min: 0, Max: 1, StepMax: math.NaN()}}, []float64{0}},
	} {
		if _, err := NewTuner(TunerConfig{}, c.ranges, c.start); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if _, err := NewTuner(TunerConfig{Algorithm: algorithmCount}, unit, []float64{.5}); err == nil {
		t.Error("accepted an algorithm that does not exist")
	}
}

func FuzzTunerRestore(f *testing.F) {
	for _, a := range algorithms {
		t := newTestTuner(f, TunerConfig{Algorithm: a}, 2, Range{Min: 0, Max: 1}, .5)
		for i := range 5 {
			t.Ask()
			t.Tell(float64(i))
		}
		raw, err := t.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		u := &Tuner{}
		if err := u.Restore(raw); err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		for range 3 {
			for i, x := range u.Ask() {
				if r := u.s.Ranges[i]; !(x >= r.Min && x <= r.Max) {
					t.Fatalf("knob %d asked at %v", i, x)
				}
			}
			u.Tell(1)
		}
		u.Best()
	})
}

func BenchmarkTuner50(b *testing.B) {
	for _, a := range algorithms {
		b.Run(a.String(), func(b *testing.B) {
			s := newTestTuner(b, TunerConfig{Algorithm: a}, 50, Range{Min: 0, Max: 1}, .5)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				x := s.Ask()
				s.Tell(x[i%50] + x[3]*x[7])
			}
		})
	}
}
