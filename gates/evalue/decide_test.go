package evalue

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func question(goal Goal) Question {
	return Question{Goal: goal, Tolerance: .02, MinEffect: .03, Alpha: .05, Candidates: 1}
}

// decided runs one candidate of true shift delta to its decision.
func decided(q Question, night *Noise, r *rand.Rand, slot func() float64, delta float64) *Decider {
	d := NewDecider(q, night)
	for n := d.Next(); n > 0; n = d.Next() {
		for range n {
			a := 100 * math.Exp(.1*r.NormFloat64()) // shared by the pair
			d.Add(a, a*math.Exp(pairWith(r, slot, delta)))
		}
	}
	return d
}

// At the edge of the null, whatever the noise and whatever the night taught,
// at most alpha of the candidates are promoted.
func TestDeciderTypeI(t *testing.T) {
	const nights, perNight = 40, 20
	for k, name := range names() {
		for _, goal := range []Goal{Better, NotWorse} {
			q := question(goal)
			theta, _ := q.theta()
			r := rand.New(rand.NewPCG(21, uint64(k)))
			wrong, missed := 0, 0
			for range nights {
				night := &Noise{}
				slot := noises[name](r)
				for range perNight {
					d := decided(q, night, r, slot, theta)
					if d.Decide().Promote {
						wrong++
					}
					// the interval is what neither side has rejected
					if max(d.Process(Below, theta).LogE(), d.Process(Above, theta).LogE()) >= math.Log(2/.05) {
						missed++
					}
					night.Add(d.Pairs().Differences())
				}
			}
			n := float64(nights * perNight)
			t.Logf("%-17s goal %d: promoted %.4f, interval missed %.4f, allowed .05", name, goal, float64(wrong)/n, float64(missed)/n)
			// three standard errors above the nominal level would be a bug
			if limit := .05 + 3*math.Sqrt(.05*.95/n); float64(wrong)/n > limit || float64(missed)/n > limit {
				t.Errorf("%s goal %d: promoted %d, interval missed %d of %v", name, goal, wrong, missed, n)
			}
		}
	}
}

// A belief that is wrong by far costs pairs and never validity.
func TestDeciderWrongBelief(t *testing.T) {
	for _, scale := range []float64{1e-5, .001, 1} {
		for _, nu := range tails {
			r := rand.New(rand.NewPCG(22, math.Float64bits(scale+nu)))
			night := &Noise{count: 1000, model: Model{Nu: nu, Scale: scale}}
			wrong := 0
			const runs = 400
			for range runs {
				d := NewDecider(question(Better), night)
				d.pairs.night, d.pairs.known = night.model, true
				for i := 0; i < 40 && !d.Shown(); i++ {
					d.lack = 0 // never give up: the bound holds for those who look on
					a := 100 + float64(i%3)
					d.Add(a, a*math.Exp(.01*r.NormFloat64()/(.05+math.Abs(r.NormFloat64()))))
				}
				if d.Shown() {
					wrong++
				}
			}
			if wrong > runs/20+13 {
				t.Errorf("ν %v scale %v: %d of %d crossed where one in twenty may", nu, scale, wrong, runs)
			}
		}
	}
}

// What an e-process on symmetry rests on: bets are odd, bounded, and never
// decrease.
func TestGainOddMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Model{Nu: rapid.SampledFrom([]float64{1, 2.5, 3, 7, NuNormal, 0}).Draw(t, "nu"), Scale: math.Exp(rapid.Float64Range(-20, 2).Draw(t, "scale"))}
		shift := rapid.Float64Range(1e-6, 1).Draw(t, "shift")
		x := rapid.Float64Range(-5, 5).Draw(t, "x")
		y := x + rapid.Float64Range(0, 5).Draw(t, "step")
		gx, gy := m.gain(x, shift), m.gain(y, shift)
		if !(gx >= -1 && gx <= 1) {
			t.Fatalf("bet %v", gx)
		}
		if math.Abs(gx+m.gain(-x, shift)) > 1e-12 {
			t.Fatalf("g(%v) = %v, g(−x) = %v", x, gx, m.gain(-x, shift))
		}
		if gy < gx-1e-12 {
			t.Fatalf("g(%v) = %v > g(%v) = %v", x, gx, y, gy)
		}
	})
}

func TestDeciderMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewDecider(question(NotWorse), &Noise{})
		for _, x := range rapid.SliceOfN(rapid.Float64Range(-1, 1), 1, 40).Draw(t, "d") {
			d.Add(1, math.Exp(x))
		}
		lo := rapid.Float64Range(-1, 1).Draw(t, "lo")
		hi := lo + rapid.Float64Range(0, 1).Draw(t, "step")
		at := func(side Side, theta float64) float64 { return d.Process(side, theta).LogE() }
		if at(Below, hi) < at(Below, lo)-1e-9 || at(Above, hi) > at(Above, lo)+1e-9 {
			t.Fatal("evidence for a shift below θ must grow with θ, and above shrink")
		}
		if l, u := d.Interval(.05); !(l <= u) {
			t.Fatalf("interval [%v, %v]", l, u)
		}
	})
}

// Asking for as many pairs as Next says decides the same as asking for one by
// one: batches are free.
func TestNextCostsNothing(t *testing.T) {
	for k := range uint64(200) {
		delta := []float64{0, -.03, .05, -.1}[k%4]
		night := &Noise{}
		warm := rand.New(rand.NewPCG(5, k))
		night.Add([]float64{.01 * warm.NormFloat64(), .01 * warm.NormFloat64(), 0, .02, -.01, .015, -.02, .01, -.005, .007})
		q := question(Better)
		q.Candidates = 200
		batch := func(ask func(*Decider) int) Decision {
			r := rand.New(rand.NewPCG(6, k))
			d := NewDecider(q, night)
			for n := ask(d); n > 0; n = ask(d) {
				for range n {
					a := 1 + r.Float64()
					d.Add(a, a*math.Exp(delta+.02*r.NormFloat64()))
				}
			}
			return d.Decide()
		}
		one := batch(func(d *Decider) int { return min(1, d.Next()) })
		many := batch((*Decider).Next)
		if one != many {
			t.Fatalf("%d: one by one %+v, in batches %+v", k, one, many)
		}
	}
}

func TestDeciderRefusesSamples(t *testing.T) {
	for _, bad := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		for arm := range 2 {
			d := NewDecider(question(Better), &Noise{})
			for i := range 12 {
				d.Add(100+float64(i), 10+float64(i)/10)
			}
			pair := [2]float64{100, 10}
			pair[arm] = bad
			d = NewDecider(question(Better), &Noise{})
			d.Add(pair[0], pair[1])
			for i := range 60 {
				d.Add(100+float64(i), 10+float64(i)/10)
			}
			if got := d.Decide(); got.Promote || !strings.Contains(got.Reason, "finite values over 0") || d.Next() != 0 {
				t.Errorf("%v in arm %d: %+v", bad, arm, got)
			}
		}
	}
	for arm := range 2 {
		d := NewDecider(question(Better), &Noise{})
		for i := 0; d.Next() > 0; i++ {
			pair := [2]float64{100 + float64(i%7), 50 + float64(i%5)}
			pair[arm] = []float64{100, 50}[arm]
			d.Add(pair[0], pair[1])
		}
		if got := d.Decide(); got.Promote || !strings.Contains(got.Reason, "timer") {
			t.Errorf("constant arm %d: %+v", arm, got)
		}
	}
}

// A coarse timer repeats itself without being broken.
func TestDeciderCoarseTimer(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	found := 0
	for range 100 {
		d := NewDecider(question(Better), &Noise{})
		for d.Next() > 0 {
			d.Add(math.Round(50*math.Exp(.02*r.NormFloat64())), math.Round(47*math.Exp(.02*r.NormFloat64())))
		}
		if d.Decide().Promote {
			found++
		}
	}
	if found < 90 {
		t.Errorf("%d of 100 found by a timer of 2 %% steps", found)
	}
}

func TestQuestionRefused(t *testing.T) {
	for name, change := range map[string]func(*Question){
		"goal":       func(q *Question) { q.Goal = 7 },
		"alpha":      func(q *Question) { q.Alpha = 0 },
		"alpha nan":  func(q *Question) { q.Alpha = math.NaN() },
		"tolerance":  func(q *Question) { q.Tolerance = 1 },
		"no effect":  func(q *Question) { q.MinEffect = 0 },
		"effect":     func(q *Question) { q.MinEffect = -1 },
		"candidates": func(q *Question) { q.Candidates = 0 },
		"pairs":      func(q *Question) { q.PairsMax = pairsMost + 1 },
		"equality":   func(q *Question) { q.Goal, q.Tolerance = NotWorse, 0 },
	} {
		q := question(Better)
		change(&q)
		if err := q.Check(); !errors.Is(err, ErrQuestion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := question(NotWorse).Check(); err != nil {
		t.Error(err)
	}
}

// The noise that is learned from short, stopped series is the noise there is.
func TestNoiseLearns(t *testing.T) {
	for _, c := range []struct {
		name string
		draw func(r *rand.Rand) float64
		nu   []float64
		low  float64
		high float64
	}{
		{"normal", func(r *rand.Rand) float64 { return .03 * r.NormFloat64() }, []float64{7, NuNormal}, .024, .036},
		{"t3", func(r *rand.Rand) float64 {
			chi := 0.0
			for range 3 {
				z := r.NormFloat64()
				chi += z * z
			}
			return .03 * r.NormFloat64() / math.Sqrt(chi/3)
		}, []float64{1, 3, 7}, .02, .045},
	} {
		r := rand.New(rand.NewPCG(41, 1))
		n := &Noise{}
		if _, ok := n.Model(); ok {
			t.Fatal("nothing is known and yet there is a model")
		}
		for range 60 {
			ds := make([]float64, 2+r.IntN(6))
			for i := range ds {
				ds[i] = .01 + c.draw(r)
			}
			n.Add(ds)
		}
		m, ok := n.Model()
		known := false
		for _, nu := range c.nu {
			known = known || m.Nu == nu
		}
		if !ok || !known || m.Scale < c.low || m.Scale > c.high {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
	n := &Noise{}
	n.Add(make([]float64, 50))
	if m, ok := n.Model(); ok {
		t.Errorf("no noise at all is no model: %+v", m)
	}
}

// A good canary is left alone, and late harm is seen as soon as early harm.
func TestHarm(t *testing.T) {
	const runs, pairs, alpha = 800, 120, .05
	q := question(NotWorse)
	line, _ := q.harm()
	for k, name := range names() {
		r := rand.New(rand.NewPCG(51, uint64(k)))
		rang := 0
		for range runs {
			slot := noises[name](r)
			h := NewHarm(q, &Noise{}, pairs)
			for h.Len() < pairs && h.LogE() < -math.Log(alpha) {
				h.Add(pairWith(r, slot, line))
			}
			if h.LogE() >= -math.Log(alpha) {
				rang++
			}
		}
		if float64(rang)/runs > alpha+3*math.Sqrt(alpha*(1-alpha)/runs) {
			t.Errorf("%s: %d of %d good canaries rang", name, rang, runs)
		}
	}
	r := rand.New(rand.NewPCG(52, 1))
	h := NewHarm(q, &Noise{}, 400)
	for range 300 {
		h.Add(.01 * r.NormFloat64())
	}
	for range 30 {
		h.Add(.07 + .01*r.NormFloat64())
	}
	if h.LogE() < math.Log(1000) {
		t.Errorf("harm that begins after 300 good pairs: ln e = %v", h.LogE())
	}
	far := NewHarm(q, &Noise{}, 3000)
	for i := range 2500 {
		far.Add(-1 - float64(i%7)/100)
		if e := far.LogE(); !(e <= 0) {
			t.Fatalf("pair %d, as good as can be: ln e = %v", i, e)
		}
	}
}

func TestELOND(t *testing.T) {
	e := func(x float64) float64 { return math.Log(x) }
	// bars at 5 %: 40, then 20·6/2 = 60, then 20·12/2 = 120, then 20·20/3 = 133.3
	if got := ELOND([]float64{e(41), e(59), e(121), e(134), e(1)}, .05); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("selected %v", got)
	}
	if got := ELOND(nil, .05); len(got) != 0 {
		t.Errorf("selected %v of none", got)
	}
}

func BenchmarkDecide(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	night := &Noise{}
	q := question(Better)
	q.Candidates = 200
	for b.Loop() {
		night.Add(decided(q, night, r, func() float64 { return .02 * r.NormFloat64() }, 0).Pairs().Differences())
	}
}

// Worse than equal and well inside a wide tolerance is not hopeless.
func TestWideToleranceIsNotFutile(t *testing.T) {
	r := rand.New(rand.NewPCG(71, 1))
	q := question(NotWorse)
	q.Tolerance, q.Candidates = .6, 20
	shown := 0
	for range 100 {
		if decided(q, &Noise{}, r, func() float64 { return .01 * r.NormFloat64() }, .4).Decide().Promote {
			shown++
		}
	}
	if shown < 95 {
		t.Errorf("49 %% worse of 60 %% allowed: shown %d of 100", shown)
	}
}
