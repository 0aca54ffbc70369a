package worlds

import (
	"fmt"
	"math"
	"testing"

	"github.com/arqon/arqon/runtime/adapt"
)

// gated chooses the arm with the highest score behind the gate that all
// learners share.
type gated struct {
	gate      adapt.Gate
	predicted float64
	score     func(t uint64, k int) float64
	learn     func(k int, y float64)
}

func (g *gated) Choose(t uint64, r Request) int {
	best, top := -1, math.Inf(-1)
	for k, ok := range r.Eligible {
		if upper, _ := g.gate.Upper(k, r.PredictedMS[k]); !ok || upper > LimitMS {
			continue
		}
		if v := g.score(t, k); v > top {
			best, top = k, v
		}
	}
	if best >= 0 {
		g.predicted = r.PredictedMS[best]
	}
	return best
}

func (g *gated) Reward(_ uint64, k int, y, ms float64) {
	g.gate.Observe(k, g.predicted, ms)
	g.learn(k, y)
}

// seer knows what every arm is worth at every moment: what is left is the
// price of the gate.
func (w Bandit) seer(seed uint64, T int) *gated {
	s := w.start(seed)
	r := Request{make([]float64, FeatureDim), make([]bool, ArmCount), make([]float64, ArmCount)}
	at := -1
	return &gated{gate: adapt.NewGate(ArmCount, LimitMS), learn: func(int, float64) {}, score: func(t uint64, k int) float64 {
		for ; at < int(t); at++ {
			s.shock(at+1, T)
			s.next(at+1, &r)
		}
		return s.value[k]
	}}
}

// knower of a still world without features is told the noise, the distribution
// that arms are drawn from, and that nothing ever changes: an exact Thompson
// sampling, or the upper bound of adapt.Bandit.
func knower(seed uint64, sample bool) *gated {
	const noise, mean, variance = .1 * .1, .5, .12 * .12
	var n, sum [ArmCount]float64
	return &gated{gate: adapt.NewGate(ArmCount, LimitMS), learn: func(k int, y float64) {
		n[k]++
		sum[k] += y
	}, score: func(t uint64, k int) float64 {
		v := 1 / (n[k]/noise + 1/variance)
		m := v * (sum[k]/noise + mean/variance)
		c := max(.8, math.Sqrt(2*math.Log(max(1, float64(t)*v/noise/ArmCount))))
		if sample {
			c = adapt.Normal(seed, t, uint64(k))
		}
		return m + c*math.Sqrt(v)
	}}
}

// TestBanditBounds prints what no learner behind this gate can fall below, and
// what one can hope for in a still world without features.
func TestBanditBounds(t *testing.T) {
	n := seeds()
	if n == 0 {
		t.Skip("ARQON_WORLDS=6 ARQON_FIRST=100 go test ./runtime/adapt/worlds -run TestBanditBounds -v")
	}
	const T = 20_000
	mean := func(w Bandit, l func(seed uint64) *gated) (sum float64) {
		for s := first(); s < first()+n; s++ {
			sum += w.Run(l(s), s+1, T).Regret / float64(n)
		}
		return sum
	}
	for _, w := range Bandits() {
		fmt.Printf("%-20s knows every reward %6.0f", w.Name, mean(w, func(s uint64) *gated { return w.seer(s+1, T) }))
		if w.Name == "still, flat" {
			fmt.Printf("   knows the world: Thompson %.0f, upper bound %.0f", mean(w, func(s uint64) *gated { return knower(s, true) }), mean(w, func(s uint64) *gated { return knower(s, false) }))
		}
		fmt.Println()
	}
}
