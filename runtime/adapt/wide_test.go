package adapt

import (
	"bytes"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Rank by rank, through changes of priors, an arm comes to what it would have
// come to from all rewards at once.
func TestUpdatesByRankAreTheBatchSolution(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim, seed := rapid.IntRange(1, 4).Draw(t, "dim"), rapid.Uint64().Draw(t, "seed")
		d := wideDim(1, dim)
		prior := newPopulation(d, 1)
		w, batch := newWide(&prior), newLinear(d)
		x, q, px, work := make([]float64, dim+1), make([]float64, d), make([]float64, d), make([]float64, d*(d+1)/2)
		for step := range rapid.Uint64Range(0, 60).Draw(t, "rewards") {
			for i := range dim {
				x[i] = Normal(seed, step, uint64(i))
			}
			x[dim] = 1
			widen(x, q)
			y, noise := Normal(seed, step, 90), .05+Uniform(seed, step, 91)
			width := w.times(q, px)
			if s := w.square(q); math.Abs(s-width) > 1e-9*(1+width) {
				t.Fatalf("xᵀPx is %g and %g", width, s)
			}
			w.add(px, y-dot(w.W, q), noise+width)
			batch.add(q, y, 1/noise)
			if i := int(Draw(seed, step, 92) % uint64(d)); step%2 == 1 {
				prior.Mean[i], prior.Var[i] = Normal(seed, step, 93), math.Exp(Normal(seed, step, 94))
				w.renew(i, prior.Mean[i], prior.Var[i], px)
			}
			if !w.sound() {
				t.Fatal("not sound")
			}
		}
		batch.solve(1, &prior, work)
		for _, c := range [][2][]float64{{w.W, batch.W}, {w.P, batch.P}} {
			for i := range c[0] {
				if math.Abs(c[0][i]-c[1][i]) > 1e-7*(1+math.Abs(c[1][i])) {
					t.Fatalf("%v, want %v", c[0], c[1])
				}
			}
		}
		for i, v := range w.width {
			if v != w.P[i*(i+3)/2] {
				t.Fatalf("the diagonal at %d is %g, kept %g", i, w.P[i*(i+3)/2], v)
			}
		}
	})
}

// bent is a bandit that has learned rewards which depend on products.
func bent(t testing.TB, policy Policy) *Bandit {
	b := taught(t, policy, 1200, func(s uint64, arm int, x []float64) float64 { return x[arm%8]*x[(arm+3)%8]*.2 + .05*Normal(6, s) })
	if b.s.Believed.kind() != wideWeights {
		t.Fatalf("hypothesis %d is believed, log likelihoods %v", b.s.Believed, b.s.Likely)
	}
	return b
}

func TestProductsAreBelievedWhereRewardsHaveThem(t *testing.T) {
	for _, policy := range []Policy{Optimist, Tournament} {
		b := bent(t, policy)
		x, eligible, ms := request()
		twin, step := &Bandit{}, uint64(5000)
		raw, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := twin.Restore(raw); err != nil {
			t.Fatal(err)
		}
		for ; step < 5300; step++ {
			for i := range x {
				x[i] = Normal(7, step, uint64(i))
			}
			p, q := b.Choose(step, x, eligible, ms), twin.Choose(step, x, eligible, ms)
			if p != q {
				t.Fatalf("step %d: %+v, restored %+v", step, p, q)
			}
			for i, f := range p.Finalist[:p.N] {
				if i > 0 && f.optimism() > p.Finalist[i-1].optimism() {
					t.Fatalf("finalists out of order: %+v", p)
				}
			}
			y := x[p.Arm%8]*x[(p.Arm+3)%8]*.2 + .05*Normal(8, step)
			b.Reward(step, p.Arm, y, ms[p.Arm])
			twin.Reward(step, p.Arm, y, ms[p.Arm])
		}
		one, err1 := b.Snapshot()
		two, err2 := twin.Snapshot()
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Fatalf("a restored bandit goes another way: %v %v", err1, err2)
		}
		if n := testing.AllocsPerRun(200, func() {
			step++
			p := b.Choose(step, x, eligible, ms)
			b.Reward(step, p.Arm, .5, 40)
		}); n != 0 {
			t.Errorf("policy %d: %g allocations", policy, n)
		}
	}
}

// The arm that is taken is the most optimistic of all, although few arms are
// looked at closely.
func TestFewArmsAreLookedAtClosely(t *testing.T) {
	b := bent(t, Optimist)
	x, eligible := make([]float64, 8), slices.Repeat([]bool{true}, 30)
	looked := 0
	const n = 2000
	for s := range uint64(n) {
		for i := range x {
			x[i] = Normal(9, s, uint64(i))
		}
		p := b.Prefer(x, eligible, nil)
		looked += len(eligible) - len(b.rest)
		now, best, top := b.now(), -1, math.Inf(-1)
		for k := range eligible {
			if f := b.belief(k, &now, true); f.optimism() > top {
				best, top = k, f.optimism()
			}
		}
		if best != p.Arm {
			t.Fatalf("request %d: arm %d, the most optimistic is %d", s, p.Arm, best)
		}
	}
	if looked > 5*n {
		t.Errorf("%d arms a request were looked at closely", looked/n)
	}
}

func TestProductsComeAndGoWithTheNumberOfArms(t *testing.T) {
	many := wideWorkMax/(45*45) + 1
	if wideDim(30, 8) != 45 || wideDim(many, 8) != 0 || wideDim(30, 0) != 0 || wideDim(30, 64) != 0 {
		t.Fatal("wideDim")
	}
	b := bent(t, Optimist)
	for _, arms := range []int{30, many, 12} {
		from := make([]int, arms)
		for i := range from {
			from[i] = i
			if i >= b.Arms() {
				from[i] = -1
			}
		}
		if err := b.Rearm(from, 100); err != nil {
			t.Fatal(err)
		}
		all, x := slices.Repeat([]bool{true}, arms), make([]float64, 8)
		for s := range uint64(20) {
			x[s%8] = Normal(1, s)
			b.Reward(s, b.Choose(s, x, all, nil).Arm, Normal(2, s), 0)
		}
		raw, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := new(Bandit).Restore(raw); err != nil {
			t.Fatalf("%d arms: %v", arms, err)
		}
		if wide := len(b.s.Arms[0].Wide.W) > 0; wide != (wideDim(arms, 8) > 0) || b.s.Believed.kind() == wideWeights && !wide {
			t.Fatalf("%d arms: wide %v, hypothesis %d", arms, wide, b.s.Believed)
		}
	}
}

func TestWhatIsExpectedOfAnArmIsOfAllItsWeights(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 2, Dim: 2})
	b.Expect(0, .2, 5)
	b.Expect(1, .7, 500)
	a := &b.s.Arms[1]
	own, wide := a.Models[0].W[2], a.Wide.W[len(b.q)-1]
	if math.Abs(own-.5) > .01 || math.Abs(wide-.5) > .01 || a.Wide.N != 1 || b.s.Arms[0].Wide.N != 1 {
		t.Fatalf("after .2, %g and %g are expected of .7", own, wide)
	}
}

// TestBanditTimes prints what a decision and a reward take: quantiles of single
// calls, so that a busy machine blurs the upper ones only.
func TestBanditTimes(t *testing.T) {
	if os.Getenv("ARQON_TIMES") == "" {
		t.Skip("ARQON_TIMES=1 go test ./runtime/adapt -run TestBanditTimes -v")
	}
	for _, c := range []struct {
		name   string
		reward func(x []float64, k int) float64
	}{
		{"own weights", func(x []float64, k int) float64 { return .2 * x[k%8] }},
		{"products", func(x []float64, k int) float64 { return .2 * x[k%8] * x[(k+3)%8] }},
	} {
		b := newTestBandit(t, BanditConfig{Arms: 30, Dim: 8, LimitMS: 100})
		x, eligible, ms := request()
		var choices, rewards []time.Duration
		for s := range uint64(40_000) {
			for i := range x {
				x[i] = Normal(5, s, uint64(i))
			}
			start := time.Now()
			p := b.Choose(s, x, eligible, ms)
			chosen := time.Since(start)
			y := c.reward(x, p.Arm) + .1*Normal(6, s)
			start = time.Now()
			b.Reward(s, p.Arm, y, ms[p.Arm])
			if s >= 3000 {
				choices, rewards = append(choices, chosen), append(rewards, time.Since(start))
			}
		}
		for i, d := range [][]time.Duration{choices, rewards} {
			slices.Sort(d)
			t.Logf("%s, hypothesis %d: %s takes %v (1 in 10 less than %v, 1 in 10 more than %v)",
				c.name, b.s.Believed, []string{"a decision", "a reward"}[i], d[len(d)/2], d[len(d)/10], d[len(d)*9/10])
		}
	}
}
