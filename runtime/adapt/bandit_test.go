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

func newTestBandit(t testing.TB, c BanditConfig) *Bandit {
	t.Helper()
	b, err := NewBandit(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheLinearModelIsRidgeRegression(t *testing.T) {
	l, prior, work := newLinear(3), newPopulation(3, .04), make([]float64, 6)
	truth := []float64{2, -1, .5}
	for i := range uint64(500) {
		x := []float64{Normal(1, i, 0), Normal(1, i, 1), 1}
		y := Normal(2, i) * .1
		for j := range x {
			y += truth[j] * x[j]
		}
		l.add(x, y, 1)
	}
	l.solve(.01, &prior, work)
	for j := range truth {
		if math.Abs(l.W[j]-truth[j]) > .03 {
			t.Errorf("weight %d is %g, want %g", j, l.W[j], truth[j])
		}
	}
	width := func(x ...float64) float64 {
		squares(x, work)
		return l.width(work)
	}
	if w := width(1, 0, 0); math.Abs(w*500/.01-1) > .2 { // P ≈ .01·(I/4 + Σ x xᵀ)⁻¹
		t.Errorf("width %g", w)
	}
	// P·(A÷noise + V⁻¹) is the identity
	for i := range 3 {
		for j := range 3 {
			sum := 0.0
			for k := range 3 {
				q := l.A[packed(k, j)] / .01
				if k == j {
					q += 1 / .04
				}
				sum += l.P[packed(i, k)] * q
			}
			if want := map[bool]float64{true: 1}[i == j]; math.Abs(sum-want) > 1e-9 {
				t.Errorf("P·P⁻¹ at %d, %d is %g", i, j, sum)
			}
		}
	}
	l.keep(0)
	l.solve(.01, &prior, work)
	if w := width(0, 2, 0); math.Abs(w-.16) > 1e-15 || l.W[0] != 0 {
		t.Errorf("of nothing: width %g, weights %v", w, l.W)
	}
}

func TestWhatArmsHaveInCommonIsLearned(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 20, Dim: 2, Seed: 1})
	for i := range uint64(2000) { // the first feature moves all arms alike, the second one says nothing
		x, k := []float64{2*Uniform(1, i, 0) - 1, 2*Uniform(1, i, 1) - 1}, int(i%20)
		b.Observe(k, x, .5+.3*x[0]+.1*Normal(2, uint64(k))+.1*Normal(3, i), 0, 0)
		b.settle()
	}
	p := b.s.Populations[0]
	if math.Abs(p.Mean[0]-.3) > .02 || math.Abs(p.Mean[1]) > .02 || p.Var[0] > .003 || p.Var[1] > .003 || p.Var[2] < .004 || p.Var[2] > .025 {
		t.Fatalf("%+v", p)
	}
}

// Which kind of weights is believed follows from what rewards depend on.
func TestAWorldIsTakenForTheKindThatItIs(t *testing.T) {
	for _, c := range []struct {
		name        string
		alike, each float64 // how much a feature moves all arms alike, and every arm in its own way
		want        int
	}{{"flat", 0, 0, oneWeight}, {"alike", .3, 0, oneWeight}, {"each its own", .1, .2, ownWeights}} {
		b := newTestBandit(t, BanditConfig{Arms: 12, Dim: 4, Seed: 3})
		all, x := slices.Repeat([]bool{true}, 12), make([]float64, 4)
		for i := range uint64(1500) {
			for j := range x {
				x[j] = Normal(1, i, uint64(j))
			}
			k := b.Choose(i, x, all, nil).Arm
			y := .1*Normal(2, uint64(k)) + .05*Normal(4, i)
			for j := range x {
				y += (c.alike*Normal(5, uint64(j)) + c.each*Normal(6, uint64(k), uint64(j))) * x[j]
			}
			b.Reward(i, k, y, 0)
		}
		if got := b.s.Believed.kind(); got != c.want {
			t.Errorf("%s: kind %d is believed, log likelihoods %v", c.name, got, b.s.Likely)
		}
		if c.want != oneWeight {
			continue
		}
		for j, w := range b.s.Commons[0].Weights.W {
			if want := c.alike * Normal(5, uint64(j)) / b.s.Scale[j]; math.Abs(w-want) > .02 {
				t.Errorf("%s: common weight %d is %.3f, want %.3f", c.name, j, w, want)
			}
		}
	}
}

// A world of arms alone: the best arm is given up after no bad beginning.
func TestTheBestArmIsNotGivenUp(t *testing.T) {
	for seed := range uint64(40) {
		b := newTestBandit(t, BanditConfig{Arms: 2, Seed: seed})
		late := 0
		for i := range uint64(3000) {
			k := b.Choose(i, nil, []bool{true, true}, nil).Arm
			b.Reward(i, k, .3*float64(k)+.5*Normal(seed, i), 0)
			if i >= 2500 && k == 1 {
				late++
			}
		}
		if late < 450 {
			t.Errorf("seed %d: the better arm has %d of the last 500 requests", seed, late)
		}
	}
}

// While rewards are on their way, other arms are asked; one that never comes is
// forgotten with its slot.
func TestRewardsOnTheirWayCount(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 4})
	all := []bool{true, true, true, true}
	for k := range 4 {
		b.Expect(k, .5, 1)
	}
	var asked [4]int
	for i := range uint64(40) {
		asked[b.Choose(i, nil, all, nil).Arm]++
	}
	if slices.Min(asked[:]) != 10 {
		t.Errorf("40 requests without a reward: %v", asked)
	}
	for i := range uint64(pendingSize) {
		b.Choose(40+i, nil, []bool{true, false, false, false}, nil)
	}
	for k, want := range []float64{pendingSize, 0, 0, 0} {
		if got := b.s.Arms[k].waiting; got != want {
			t.Errorf("arm %d: %g on their way, want %g", k, got, want)
		}
	}
}

func TestSnapshotsOfAnotherLayoutAreRefusedByName(t *testing.T) {
	err := new(Bandit).Restore([]byte(`{"config":{"arms":1},"arms":[],"noise":{"sum":0,"n":0}}`))
	if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "layout 0, this program reads 3") {
		t.Fatal(err)
	}
}

func TestAnArmThatServesStaysForAMargin(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 2, Stay: 3, Explore: 1e-9})
	b.Expect(0, .5, 10)
	b.Expect(1, .55, 10)
	all := []bool{true, true}
	if p := b.Prefer(nil, all, nil); p.Arm != 1 {
		t.Fatalf("%+v", p)
	}
	b.Serve(0)
	if p := b.Prefer(nil, all, nil); p.Arm != 0 || b.Propensity(p) != 1 {
		t.Fatalf("%+v", p)
	}
	if p := b.Prefer(nil, []bool{false, true}, nil); p.Arm != 1 {
		t.Fatalf("what serves is not eligible: %+v", p)
	}
}

func TestArmsThatStayKeepWhatIsKnownOfThem(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 3, LimitMS: 100})
	for i := range uint64(90) {
		b.Observe(int(i%3), nil, float64(i%3)/10+.01*Normal(1, i), 10, 10)
	}
	if err := b.Rearm([]int{2, -1, 0, -1}, 50); err != nil {
		t.Fatal(err)
	}
	if b.Arms() != 4 || b.s.Arms[0].Models[0].N != 30 || b.s.Arms[1].Models[0].N != 0 || b.s.Gate.Limit != 50 {
		t.Fatalf("%d arms: %+v", b.Arms(), b.s.Arms[0].Models[0].N)
	}
	if p := b.Prefer(nil, []bool{true, false, true, false}, []float64{10, 10, 10, 10}); p.Arm != 0 {
		t.Fatalf("%+v", p)
	}
	if err := b.Rearm(nil, 50); err == nil {
		t.Fatal("no arms")
	}
	raw, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Bandit).Restore(raw); err != nil {
		t.Fatal(err)
	}
}

// What the bandit may choose is fixed by eligibility, whatever is fed to it.
func TestABanditNeverChoosesAnIneligibleArm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, err := NewBandit(BanditConfig{Arms: 5, Dim: 2, LimitMS: 100, Seed: rapid.Uint64().Draw(t, "seed"), Policy: Policy(rapid.IntRange(0, 1).Draw(t, "policy"))})
		if err != nil {
			t.Fatal(err)
		}
		f := rapid.OneOf(rapid.Float64Range(-10, 200), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e99, 5e-324}))
		some := func(n int) []float64 { return rapid.SliceOfN(f, 0, n).Draw(t, "numbers") }
		for step := range uint64(30) {
			x, eligible, ms := some(3), rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, "eligible"), some(6)
			raw, err := b.Snapshot()
			if err != nil {
				t.Fatalf("state cannot be saved: %v", err)
			}
			twin := &Bandit{}
			if err := twin.Restore(raw); err != nil {
				t.Fatal(err)
			}
			p := b.Choose(step, x, eligible, ms)
			if q := twin.Choose(step, x, eligible, ms); q.Arm != p.Arm || q.OK != p.OK {
				t.Fatalf("restored: %+v, straight: %+v", q, p)
			}
			any := false
			for k, ok := range eligible {
				any = any || ok && k < 5
			}
			if p.OK != any || p.OK && !eligible[p.Arm] || !p.OK && p.Arm != -1 {
				t.Fatalf("chose %+v of %v", p, eligible)
			}
			if pr := b.Propensity(p); p.OK && !(pr >= 0 && pr <= 1) {
				t.Fatalf("propensity %g", pr)
			}
			for range rapid.IntRange(0, 2).Draw(t, "rewards") {
				at, k, y, ms := rapid.Uint64Range(0, step+1).Draw(t, "t"), rapid.IntRange(-1, 6).Draw(t, "arm"), f.Draw(t, "reward"), f.Draw(t, "latency")
				b.Reward(at, k, y, ms)
				twin.Reward(at, k, y, ms)
			}
			after, err1 := b.Snapshot()
			again, err2 := twin.Snapshot()
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(after, again) {
				t.Fatalf("a restored bandit goes another way: %v", err)
			}
		}
	})
}

func TestRewardsThatAreLateTwiceOrNoNumbersChangeNothing(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 3, Dim: 1})
	all := []bool{true, true, true}
	p := b.Choose(7, []float64{1}, all, nil)
	b.Reward(7, p.Arm, .5, 10)
	before, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b.Reward(7, p.Arm, .9, 10)             // again
	b.Reward(8, 0, .9, 10)                 // never chosen
	b.Reward(7+pendingSize, p.Arm, .9, 10) // another round of the ring
	after, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) || b.Dropped() != 3 {
		t.Fatalf("dropped %d", b.Dropped())
	}
	q := b.Choose(9, []float64{1}, all, nil)
	b.Reward(9, q.Arm, math.NaN(), math.Inf(1))
	if b.Dropped() != 4 || !finite(b.s.Arms[q.Arm].Models[0].W[0]) {
		t.Fatal("NaN was learned")
	}
}

func TestTheGateFollowsAShock(t *testing.T) {
	g := NewGate(4, 100)
	see := func(arm int, predicted, factor float64, i uint64) {
		g.Observe(arm, predicted, predicted*factor*math.Exp(.03*Normal(3, i)))
	}
	for i := range uint64(400) {
		see(int(i%4), 50, 1, i)
	}
	if u, _ := g.Upper(0, 80); u > 100 {
		t.Fatalf("with 400 observations a margin of %g %% is left", u/80*100-100)
	}
	see(0, 50, 1.5, 1000) // the load steps up: one observation is enough for all arms
	for k := range 4 {
		if u, _ := g.Upper(k, 72); u <= 100 {
			t.Fatalf("arm %d at 72 ms is let through after a factor of 1.5: %g", k, u)
		}
	}
	for i := range uint64(300) {
		see(int(i%4), 50, 1, 2000+i) // and back
	}
	if u, _ := g.Upper(1, 80); u > 100 {
		t.Fatalf("the gate stays shut: %g", u)
	}
	see(2, 50, 2, 5000) // one arm becomes slow, the others do not
	for i := range uint64(100) {
		see([]int{0, 1, 3}[i%3], 50, 1, 6000+i)
	}
	slow, _ := g.Upper(2, 60)
	other, _ := g.Upper(1, 80)
	if slow <= 100 || other > 100 {
		t.Fatalf("slow arm %g, others %g", slow, other)
	}
}

func TestABanditRelearnsAfterASwitch(t *testing.T) {
	for _, policy := range []Policy{Optimist, Tournament} {
		for seed := range uint64(5) {
			b := newTestBandit(t, BanditConfig{Arms: 6, Dim: 2, Seed: seed, Policy: policy})
			all := []bool{true, true, true, true, true, true}
			value := []float64{.1, .2, .3, .4, .5, .9}
			alarms := 0
			regret := func(from, n int) (sum float64) {
				for t := from; t < from+n; t++ {
					p := b.Choose(uint64(t), []float64{Normal(seed, uint64(t)), 0}, all, nil)
					if b.Reward(uint64(t), p.Arm, value[p.Arm]+.1*Normal(seed, 9, uint64(t)), 1) {
						alarms++
					}
					if t >= from+n/2 {
						sum += .9 - value[p.Arm]
					}
				}
				return sum / float64(n/2)
			}
			if r := regret(0, 600); r > .02 || alarms > 0 {
				t.Errorf("policy %d seed %d: regret %g, %d alarms in a still world", policy, seed, r, alarms)
			}
			value[5], value[1] = .1, .9
			if r := regret(1000, 600); r > .05 || alarms == 0 {
				t.Errorf("policy %d seed %d: regret %g, %d alarms after a switch", policy, seed, r, alarms)
			}
		}
	}
}

func TestPropensitiesAreFrequencies(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 3, Dim: 0, Policy: Tournament, Seed: 4})
	p := Pick{OK: true, N: 3, Finalist: [finalistsMax]Finalist{{Arm: 0, Mean: .5, SD: .1}, {Arm: 1, Mean: .3, SD: .2, Bonus: .1}, {Arm: 2, Mean: .45, SD: .05}}}
	count, sum := [3]float64{}, 0.0
	const n = 100_000
	for range n {
		b.s.Step++
		count[b.decide(&p)]++
	}
	for k := range 3 {
		p.Arm = k
		pr := b.Propensity(p)
		sum += pr
		if math.Abs(pr-count[k]/n) > .006 {
			t.Errorf("arm %d: propensity %g, frequency %g", k, pr, count[k]/n)
		}
	}
	if math.Abs(sum-1) > 1e-5 {
		t.Errorf("propensities sum to %g", sum)
	}
}

func TestADecisionDoesNotAllocate(t *testing.T) {
	for _, policy := range []Policy{Optimist, Tournament} {
		b, step := trained(t, policy), uint64(1000)
		x, eligible, ms := request()
		if n := testing.AllocsPerRun(200, func() {
			step++
			p := b.Choose(step, x, eligible, ms)
			b.Reward(step, p.Arm, .5, 40)
		}); n != 0 {
			t.Errorf("policy %d: %g allocations", policy, n)
		}
	}
}

func request() (x []float64, eligible []bool, ms []float64) {
	x, eligible, ms = make([]float64, 8), make([]bool, 30), make([]float64, 30)
	for k := range eligible {
		eligible[k], ms[k] = k%10 > 0, 20+2*float64(k)
	}
	for i := range x {
		x[i] = Normal(8, uint64(i))
	}
	return x, eligible, ms
}

// trained is a bandit whose rewards are a feature each.
func trained(t testing.TB, policy Policy) *Bandit {
	return taught(t, policy, 600, func(s uint64, arm int, x []float64) float64 { return x[arm%8]*.2 + .1*Normal(6, s) })
}

// taught is a bandit after so many rewards for requests of normal features.
func taught(t testing.TB, policy Policy, rewards uint64, reward func(s uint64, arm int, x []float64) float64) *Bandit {
	b := newTestBandit(t, BanditConfig{Arms: 30, Dim: 8, LimitMS: 100, Policy: policy})
	x, eligible, ms := request()
	for s := range rewards {
		for i := range x {
			x[i] = Normal(5, s, uint64(i))
		}
		p := b.Choose(s, x, eligible, ms)
		b.Reward(s, p.Arm, reward(s, p.Arm, x), ms[p.Arm])
	}
	return b
}

func TestBanditConfigsAreChecked(t *testing.T) {
	for _, c := range []BanditConfig{
		{}, {Arms: armsMax + 1}, {Arms: 1, Dim: dimMax + 1}, {Arms: 1, Dim: -1}, {Arms: 1, Policy: policyCount}, {Arms: 1, Finalist: 5},
		{Arms: 1, Explore: math.NaN()}, {Arms: 1, Ridge: -1}, {Arms: 1, LimitMS: math.Inf(1)},
	} {
		if _, err := NewBandit(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}

func FuzzBanditRestore(f *testing.F) {
	b := newTestBandit(f, BanditConfig{Arms: 2, Dim: 1, LimitMS: 10})
	raw, err := b.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"config":{"arms":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := &Bandit{}
		if err := b.Restore(raw); err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		p := b.Choose(1, []float64{1}, []bool{true}, []float64{5})
		b.Reward(1, p.Arm, 1, 5)
	})
}

func BenchmarkBanditChoose30(b *testing.B) {
	for name, policy := range map[string]Policy{"optimist": Optimist, "tournament": Tournament} {
		b.Run(name, func(b *testing.B) {
			l := trained(b, policy)
			x, eligible, ms := request()
			b.ReportAllocs()
			for t := uint64(0); b.Loop(); t++ {
				l.Choose(t, x, eligible, ms)
			}
		})
	}
}

func BenchmarkBanditReward(b *testing.B) {
	l := trained(b, Optimist)
	b.ReportAllocs()
	for t := uint64(1 << 20); b.Loop(); t++ {
		c := &l.ring[t%pendingSize]
		c.T, c.Arm, c.waiting, c.Predicted = t, 3, true, 40
		l.Reward(t, 3, .5, 40)
	}
}
