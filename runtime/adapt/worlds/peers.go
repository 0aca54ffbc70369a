package worlds

import (
	"math"

	"github.com/arqon/arqon/runtime/adapt"
)

// Peer is a textbook bandit behind the same eligibility and latency gate as
// Arqon's, with the constants of its paper.
type Peer struct {
	name   string
	linear bool // LinUCB (Li et al. 2010) rather than arm means
	sample bool // Thompson rather than an upper bound
	window int  // sliding window in steps; 0: everything counts
	alpha  float64

	seed    uint64
	gate    adapt.Gate
	step    float64
	means   [ArmCount]moments
	ridge   [ArmCount]*ridge
	history []seen
	last    seen
}

type seen struct {
	arm       int
	x         [FeatureDim + 1]float64
	y         float64
	predicted float64
}

// moments are sums over the rewards of an arm.
type moments struct{ n, sum, sq float64 }

// Peers are the learners to be compared with.
func Peers(seed uint64) []*Peer {
	const window = 2000
	out := []*Peer{
		{name: "UCB1", alpha: 1}, {name: "LinUCB", linear: true, alpha: 1}, {name: "Thompson", sample: true, alpha: 1},
		{name: "SW-UCB1", alpha: 1, window: window}, {name: "SW-LinUCB", linear: true, alpha: 1, window: window},
		{name: "SW-Thompson", sample: true, alpha: 1, window: window},
	}
	for _, p := range out {
		p.seed, p.gate = seed, adapt.NewGate(ArmCount, LimitMS)
		for k := range p.ridge {
			p.ridge[k] = newRidge()
		}
	}
	return out
}

// Name says which it is.
func (p *Peer) Name() string { return p.name }

// Choose implements Learner.
func (p *Peer) Choose(_ uint64, r Request) int {
	p.step++
	x := [FeatureDim + 1]float64{FeatureDim: 1}
	copy(x[:], r.X)
	best, top, nearest, nearestMS := -1, math.Inf(-1), -1, math.Inf(1)
	for k, ok := range r.Eligible {
		if !ok {
			continue
		}
		upper, _ := p.gate.Upper(k, r.PredictedMS[k])
		if upper < nearestMS {
			nearest, nearestMS = k, upper
		}
		if upper > LimitMS {
			continue
		}
		if s := p.score(k, &x); s > top {
			best, top = k, s
		}
	}
	if best < 0 {
		best = nearest
	}
	if best >= 0 {
		p.last = seen{arm: best, x: x, predicted: r.PredictedMS[best]}
	}
	return best
}

func (p *Peer) score(k int, x *[FeatureDim + 1]float64) float64 {
	if p.linear {
		mean, width := p.ridge[k].predict(x)
		return mean + p.alpha*math.Sqrt(width)
	}
	m := p.means[k]
	if m.n == 0 {
		return math.Inf(1)
	}
	mean := m.sum / m.n
	if p.sample { // a normal posterior with the sample's own variance
		sd := math.Sqrt(max(m.sq/m.n-mean*mean, 1e-4) / m.n)
		if m.n < 3 {
			sd = .3
		}
		return mean + sd*adapt.Normal(p.seed, uint64(p.step), uint64(k))
	}
	horizon := p.step
	if p.window > 0 {
		horizon = min(horizon, float64(p.window))
	}
	return mean + p.alpha*math.Sqrt(2*math.Log(horizon)/m.n) // Auer et al. 2002, rewards in [0, 1]
}

// Reward implements Learner.
func (p *Peer) Reward(_ uint64, k int, y, ms float64) {
	p.gate.Observe(k, p.last.predicted, ms)
	p.last.y = y
	p.count(p.last, 1)
	if p.window == 0 {
		return
	}
	p.history = append(p.history, p.last)
	if len(p.history) > p.window {
		p.count(p.history[0], -1)
		p.history = p.history[1:]
	}
}

func (p *Peer) count(s seen, sign float64) {
	if p.linear {
		p.ridge[s.arm].add(&s.x, s.y, sign)
		return
	}
	m := &p.means[s.arm]
	m.n += sign
	m.sum += sign * s.y
	m.sq += sign * s.y * s.y
}

// ridge is a ridge regression with exact additions and removals.
type ridge struct {
	a, inv [FeatureDim + 1][FeatureDim + 1]float64
	b, w   [FeatureDim + 1]float64
}

func newRidge() *ridge {
	r := &ridge{}
	for i := range r.a {
		r.a[i][i] = 1
	}
	r.solve()
	return r
}

func (r *ridge) add(x *[FeatureDim + 1]float64, y, sign float64) {
	for i := range x {
		for j := range x {
			r.a[i][j] += sign * x[i] * x[j]
		}
		r.b[i] += sign * x[i] * y
	}
	r.solve()
}

// solve inverts a (Gauss and Jordan; a is positive definite) and sets w.
func (r *ridge) solve() {
	const d = FeatureDim + 1
	var m [d][2 * d]float64
	for i := range d {
		copy(m[i][:d], r.a[i][:])
		m[i][d+i] = 1
	}
	for c := range d {
		pivot := 1 / m[c][c]
		for j := range 2 * d {
			m[c][j] *= pivot
		}
		for i := range d {
			if f := m[i][c]; i != c && f != 0 {
				for j := range 2 * d {
					m[i][j] -= f * m[c][j]
				}
			}
		}
	}
	r.w = [d]float64{}
	for i := range d {
		copy(r.inv[i][:], m[i][d:])
		for j := range d {
			r.w[i] += r.inv[i][j] * r.b[j]
		}
	}
}

func (r *ridge) predict(x *[FeatureDim + 1]float64) (mean, width float64) {
	for i := range x {
		mean += r.w[i] * x[i]
		row := 0.0
		for j := range x {
			row += r.inv[i][j] * x[j]
		}
		width += x[i] * row
	}
	return mean, width
}
