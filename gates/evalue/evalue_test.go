package evalue

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// noises make the two slots of a pair; the coin puts the candidate into one.
var noises = map[string]func(r *rand.Rand) func() float64{
	"normal": func(r *rand.Rand) func() float64 {
		return func() float64 { return .01 * r.NormFloat64() }
	},
	"cauchy": func(r *rand.Rand) func() float64 {
		return func() float64 { return .01 * r.NormFloat64() / (1e-9 + math.Abs(r.NormFloat64())) }
	},
	"lognormal spikes": func(r *rand.Rand) func() float64 {
		return func() float64 {
			x := .005 * math.Abs(r.NormFloat64())
			if r.Float64() < .1 {
				x += math.Exp(r.NormFloat64() - 2)
			}
			return x
		}
	},
	"ar1": func(r *rand.Rand) func() float64 {
		x := 0.0
		return func() float64 { x = .95*x + .01*r.NormFloat64(); return x }
	},
	"turbo": func(r *rand.Rand) func() float64 {
		state := 0.0
		return func() float64 {
			if r.Float64() < .1 {
				state = .1 - state
			}
			return state + .004*r.NormFloat64()
		}
	},
	"ramp": func(r *rand.Rand) func() float64 {
		x := 0.0
		return func() float64 { x += .003; return x + .01*r.NormFloat64() }
	},
}

func names() []string {
	var out []string
	for n := range noises {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// pairWith draws one difference with true shift delta.
func pairWith(r *rand.Rand, slot func() float64, delta float64) float64 {
	first, second := slot(), slot()
	if r.IntN(2) == 0 {
		return first - second + delta
	}
	return second - first + delta
}

// A series may stop whenever it likes: the interval covers, whatever the noise.
func TestCoverageAtAStop(t *testing.T) {
	const runs, alpha, truth = 250, .05, -.03
	for k, name := range names() {
		r := rand.New(rand.NewPCG(11, uint64(k)))
		covered := 0
		for range runs {
			slot := noises[name](r)
			p := NewPairs(&Noise{})
			e := p.Process(Below, 0, .03)
			for p.Len() < 60 {
				p.Add(pairWith(r, slot, truth))
				if p.Len() > 8 && e.LogE() > 3 { // a stop chosen by the data
					break
				}
			}
			lo, hi := p.Interval(alpha, .03)
			if lo <= truth && truth <= hi {
				covered++
			}
		}
		if rate := float64(covered) / runs; rate < 1-alpha-3*math.Sqrt(alpha*(1-alpha)/runs) {
			t.Errorf("%s: the interval covered %.3f", name, rate)
		}
	}
}

func TestPowerFindsWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	bar := LogBar(200, .01)
	for _, name := range []string{"normal", "ramp", "turbo"} {
		slot := noises[name](r)
		p := NewPairs(&Noise{})
		e := p.Process(Below, 0, .03)
		for p.Len() < 200 && e.LogE() < bar {
			p.Add(pairWith(r, slot, -.05))
		}
		t.Logf("%s: -5 %% found after %d pairs", name, p.Len())
		if e.LogE() < bar {
			t.Errorf("%s: -5 %% not found in 200 pairs", name)
		}
	}
}

func TestRaceAndProcessAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	p := NewPairs(&Noise{})
	running := p.Process(Below, 0, .03)
	for range 40 {
		p.Add(.01*r.NormFloat64() - .01)
		if running.LogE() != p.LogE(Below, 0, .03) {
			t.Fatal("the running process differs")
		}
	}
	if race := p.Race(Below, 0, .03); race[39] != running.LogE() {
		t.Error("the race does not end at the e-value")
	}
}

// pairsOf is a series that the night taught nothing about.
func pairsOf(ds []float64) *Pairs {
	p := NewPairs(&Noise{})
	for _, d := range ds {
		p.Add(d)
	}
	return p
}

func TestPairsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := rapid.SliceOfN(rapid.Float64Range(-1, 1), 0, 40).Draw(t, "d")
		lo := rapid.Float64Range(-1, 1).Draw(t, "lo")
		hi := lo + rapid.Float64Range(0, 1).Draw(t, "step")
		p := pairsOf(ds)
		if p.LogE(Below, hi, .03) < p.LogE(Below, lo, .03)-1e-9 {
			t.Fatal("evidence for δ < θ must grow with θ")
		}
		if p.LogE(Above, hi, .03) > p.LogE(Above, lo, .03)+1e-9 {
			t.Fatal("evidence for δ > θ must shrink with θ")
		}
		mirrored := make([]float64, len(ds))
		for i, d := range ds {
			mirrored[i] = -d
		}
		if a, b := p.LogE(Below, lo, .03), pairsOf(mirrored).LogE(Above, -lo, .03); math.Abs(a-b) > 1e-6*(1+math.Abs(a)) {
			t.Fatalf("the mirror image differs: %v, %v", a, b)
		}
		l, u := p.Interval(.05, .03)
		if l > u {
			t.Fatalf("interval [%v, %v]", l, u)
		}
		// against the definition
		s := slices.Clone(ds)
		slices.Sort(s)
		m := medianSorted(s)
		for i := range s {
			s[i] = math.Abs(s[i] - m)
		}
		slices.Sort(s)
		if got, want := p.SD(), madSD*medianSorted(s); math.Abs(got-want) > 1e-12 {
			t.Fatalf("sd %v, want %v", got, want)
		}
	})
}

func TestPairsEdges(t *testing.T) {
	p := pairsOf([]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	if p.LogE(Above, 0, .03) <= 0 || p.LogE(Below, 0, .03) >= 0 {
		t.Error("a constant shift has a scale of zero and still a sign")
	}
	none := NewPairs(&Noise{})
	if lo, hi := none.Interval(.05, .03); !math.IsInf(lo, -1) || !math.IsInf(hi, 1) || math.Abs(none.LogE(Below, 0, .03)) > 1e-12 {
		t.Error("no pairs know nothing")
	}
}

func TestItemsTypeI(t *testing.T) {
	const runs, n, alpha = 1500, 400, .05
	for _, ratio := range []bool{false, true} {
		r := rand.New(rand.NewPCG(5, 5))
		crossed := 0
		for range runs {
			a, b := make([]float32, n), make([]float32, n)
			for i := range a {
				if r.Float64() < .8 {
					a[i] = 1
				}
				if r.Float64() < .84 { // 5 % more, .04 more: the edge of both nulls
					b[i] = 1
				}
			}
			it, err := NewItems(a, b, 0, 1, ratio, nil)
			if err != nil {
				t.Fatal(err)
			}
			theta := .04
			if ratio {
				theta = .05
			}
			_, race := it.Race(Below, theta, n)
			if slices.Max(race) >= math.Log(1/alpha) {
				crossed++
			}
		}
		rate := float64(crossed) / runs
		t.Logf("ratio %v: crossed %.4f", ratio, rate)
		if rate > alpha+3*math.Sqrt(alpha*(1-alpha)/runs) {
			t.Errorf("ratio %v: %.4f of null series crossed", ratio, rate)
		}
	}
}

func TestItemsIntervalCoversAndFinds(t *testing.T) {
	const runs, n = 60, 1500
	covered, found := 0, 0
	for k := range runs {
		r := rand.New(rand.NewPCG(6, uint64(k)))
		a, b := make([]float32, n), make([]float32, n)
		for i := range a {
			a[i] = 100
			b[i] = 20
			if r.Float64() < .3 {
				b[i] = 100
			}
		}
		it, err := NewItems(a, b, 0, 100, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := it.Interval(.05)
		if lo <= -.56 && -.56 <= hi {
			covered++
		}
		if it.LogE(Below, 0) > LogBar(200, .01/365) {
			found++
		}
	}
	if covered < runs*9/10 || found != runs {
		t.Errorf("covered %d, found %d of %d", covered, found, runs)
	}
}

func TestItemsRefused(t *testing.T) {
	for name, f := range map[string]func() error{
		"lengths": func() error { _, err := NewItems([]float32{1}, nil, 0, 1, false, nil); return err },
		"range":   func() error { _, err := NewItems([]float32{1}, []float32{1}, 1, 1, false, nil); return err },
		"outside": func() error { _, err := NewItems([]float32{1}, []float32{2}, 0, 1, false, nil); return err },
		"nan": func() error {
			_, err := NewItems([]float32{1}, []float32{float32(math.NaN())}, 0, 1, false, nil)
			return err
		},
		"order":    func() error { _, err := NewItems([]float32{1}, []float32{1}, 0, 1, false, []int{0, 1}); return err },
		"negative": func() error { _, err := NewItems([]float32{0}, []float32{0}, -1, 1, true, nil); return err },
	} {
		if f() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Counting kinds of items gives what going through them gives.
func TestItemsGrouped(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	a, b := make([]float32, 300), make([]float32, 300)
	for i := range a {
		a[i], b[i] = float32(r.IntN(3)), float32(r.IntN(3))
	}
	it, err := NewItems(a, b, 0, 2, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	kinds := it.grouped()
	for _, theta := range []float64{-.5, 0, .1} {
		if got, want := it.logE(kinds, Below, theta), it.LogE(Below, theta); len(kinds) != 9 || math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
			t.Errorf("θ %v: %d kinds give %v, the items %v", theta, len(kinds), got, want)
		}
	}
	for i := range a {
		a[i] = float32(i) / 300
	}
	if it, err = NewItems(a, b, 0, 2, false, nil); err != nil || it.grouped() != nil {
		t.Errorf("items of %d kinds were counted, %v", len(a), err)
	}
}

func TestItemsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		a := rapid.SliceOfN(rapid.Float32Range(0, 1), n, n).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Float32Range(0, 1), n, n).Draw(t, "b")
		it, err := NewItems(a, b, 0, 1, rapid.Bool().Draw(t, "ratio"), nil)
		if err != nil {
			t.Fatal(err)
		}
		lo := rapid.Float64Range(-.9, 2).Draw(t, "lo")
		hi := lo + rapid.Float64Range(0, 2).Draw(t, "step")
		if it.LogE(Below, hi) < it.LogE(Below, lo)-1e-9 {
			t.Fatal("evidence for a change below θ must grow with θ")
		}
		if l, u := it.Interval(.05); l > u {
			t.Fatalf("interval [%v, %v]", l, u)
		}
	})
}

func TestLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	crossed := 0
	for range 2000 {
		x := make([]float64, 60)
		for i := range x {
			x[i] = math.Exp(r.NormFloat64()) // median 1: on the limit
		}
		if slices.Max(LimitLogE(x, Below, 1)) >= math.Log(20) {
			crossed++
		}
	}
	if crossed > 130 {
		t.Errorf("%d of 2000 medians on the limit were called below it", crossed)
	}
	if e := LimitLogE([]float64{1, 1, 1}, Below, 1); e[2] >= 0 {
		t.Error("a tie counts against the claim")
	}
}

func TestPlan(t *testing.T) {
	q := Question{MinEffect: .03, Alpha: .01, Candidates: 200, PairsMax: 120}
	strong, pairs := Power(q, .03, .01)
	weak, none := Power(q, .003, .03)
	if strong < .95 || pairs < 15 || pairs > 40 {
		t.Errorf("3 sigma: power %v within %d pairs", strong, pairs)
	}
	if weak > .1 || none != 0 {
		t.Errorf("a tenth of a sigma: power %v, pairs %d", weak, none)
	}
	spot := BlindSpot(q, .01)
	if p, _ := Power(q, spot*1.5, .01); p < .5 || spot < .001 || spot > .03 {
		t.Errorf("blind spot %v", spot)
	}
	t.Logf("sd 1 %%: -3 %% needs %d pairs, blind spot %.4f", pairs, spot)
}

func TestPairsToReach(t *testing.T) {
	bar := LogBar(24, .01/365)
	q := Question{MinEffect: .03, Alpha: .01 / 365, Candidates: 24}
	d := newDecider(q, &Pairs{night: Model{Nu: NuNormal, Scale: .01}, pinned: true})
	for range PairsToReach(bar) {
		d.addWorse(-10)
	}
	if d.Claim() < bar {
		t.Errorf("%d pairs, all as good as can be, reach %v of %v", PairsToReach(bar), d.Claim(), bar)
	}
}

func TestEBH(t *testing.T) {
	if got := EBH([]float64{math.Log(100), 0, math.Log(60), math.Log(2)}, .05); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("chosen %v", got)
	}
	if got := EBH(nil, .05); len(got) != 0 {
		t.Errorf("chosen %v of none", got)
	}
}

func TestDetectorRunLength(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	early, bar := 0, math.Log(1000)
	q := Question{MinEffect: .03}
	for range 200 {
		s := NewDetector(q, &Noise{})
		for range 100 {
			if m, _ := s.Step(.01 * r.NormFloat64()); m >= bar {
				early++
				break
			}
		}
	}
	// mean run length ≥ 1000: about a tenth of the runs may alarm by 100
	if early > 40 {
		t.Errorf("%d of 200 quiet runs alarmed within a tenth of the run length", early)
	}
	q.Tolerance = .02
	s := NewDetector(q, &Noise{})
	at := 0
	for i := 1; i <= 120 && at == 0; i++ {
		d := .01 * r.NormFloat64()
		if i > 60 {
			d += .05
		}
		if m, c := s.Step(d); m >= bar && c > 0 {
			at = i
		}
	}
	if at <= 60 || at > 75 {
		t.Errorf("harm that begins at 60 was seen at %d", at)
	}
}

func BenchmarkInterval(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	p := NewPairs(&Noise{})
	for range 60 {
		p.Add(r.NormFloat64())
	}
	for b.Loop() {
		p.Interval(.05, .03)
	}
}

func BenchmarkItemsInterval10k(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	a, c := make([]float32, 10000), make([]float32, 10000)
	for i := range a {
		a[i], c[i] = float32(r.IntN(2)), float32(r.IntN(2))
	}
	it, err := NewItems(a, c, 0, 1, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		it.Interval(.05)
	}
}
