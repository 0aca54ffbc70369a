// Package evalue holds the sequential tests that the gates decide with:
// betting e-processes on paired log ratios and on bounded means, the
// confidence sequences that go with them, bars for many candidates, power
// planning, and change detectors for the canary.
//
// It is pure: numbers in, numbers out, no clock, no randomness but a seeded
// simulation in Plan, nothing of ours imported. It knows no metrics, no
// policies and no gates.
//
// An e-process K for a null hypothesis is non-negative, starts at 1 and has
// E[K_τ] ≤ 1 under the null at every stopping time τ, so that
// P(∃n: K_n ≥ 1/α) ≤ α (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, "Game-
// theoretic statistics and safe anytime-valid inference", 2023). All e-values
// here are natural logarithms.
//
// Equal input gives equal bits on one architecture and toolchain: products
// that feed a sum are rounded first, so that no multiplication is fused.
package evalue

import (
	"math"
	"slices"
)

// BurnIn is the number of first pairs that only set the scale: no bet is
// placed on them.
const BurnIn = 5

// madSD makes the median absolute deviation of a normal sample its standard
// deviation.
const madSD = 1.4826

// pairBets are the fractions λ_j of the mixture over clipped pairs.
var pairBets = [...]float64{.05, .1, .2, .3, .45, .6, .8, .95}

// Pairs is a growing series of paired differences d_i (candidate against
// baseline: ln B_i − ln A_i, or B_i − A_i) with the e-processes on their
// centre δ.
//
// Assumption: given the past, d_i is symmetric about δ. A fair coin that
// orders every pair gives that for all noise that belongs to the time slot,
// whatever its drift; neither independence nor moments are needed.
//
// The zero Pairs is empty and ready.
type Pairs struct {
	d     []float64
	c     []float64 // c[i] is the scale bet i is clipped at, known before d[i]; < 0: burn-in, no bet
	order []float64 // the d so far, ascending
}

// Add appends one difference. It must be finite.
func (p *Pairs) Add(d float64) {
	c := -1.0
	if len(p.d) >= BurnIn {
		c = 2 * madSD * madSorted(p.order)
	}
	p.d = append(p.d, d)
	p.c = append(p.c, c)
	at, _ := slices.BinarySearch(p.order, d)
	p.order = slices.Insert(p.order, at, d)
}

// PairsOf is a series with all of ds.
func PairsOf(ds []float64) *Pairs {
	p := &Pairs{}
	for _, d := range ds {
		p.Add(d)
	}
	return p
}

// Len is the number of pairs.
func (p *Pairs) Len() int { return len(p.d) }

// Median of the differences; 0 when empty.
func (p *Pairs) Median() float64 { return medianSorted(p.order) }

// SD estimates the standard deviation of one difference: 1.4826·MAD.
func (p *Pairs) SD() float64 { return madSD * madSorted(p.order) }

// Constant reports whether there are at least two differences and all are
// equal: no clock has ever done that.
func (p *Pairs) Constant() bool {
	return len(p.order) > 1 && p.order[0] == p.order[len(p.order)-1]
}

// score is the clipped, scaled distance of d_i below theta, in [−1, 1]; with a
// scale of zero it is the sign, which is the limit and as valid.
func score(d, c, theta float64) float64 {
	x := theta - d
	if c == 0 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}
	return max(-1, min(1, x/c))
}

// Side says on which side of theta the truth is to be shown.
type Side int

// Below is evidence against δ ≥ θ, Above against δ ≤ θ.
const (
	Below Side = iota
	Above
)

// LogE returns ln K_n(θ) after all pairs:
//
//	K_n(θ) = (1/J) Σ_j Π_{i≤n} (1 + λ_j g_i),   g_i = clip((θ−d_i)/c_i, −1, 1)
//
// with c_i = 2·1.4826·MAD(d_1..d_{i−1}), for Below; mirrored for Above. It is
// an e-process because g_i is an odd, monotone, predictable function of
// d_i − θ: E[g_i | past] ≤ 0 whenever δ ≥ θ.
func (p *Pairs) LogE(side Side, theta float64) float64 {
	return p.logEFrom(side, theta, 0)
}

func (p *Pairs) logEFrom(side Side, theta float64, from int) float64 {
	m := newMixture(pairBets[:])
	for i := from; i < len(p.d); i++ {
		if p.c[i] < 0 {
			continue
		}
		m.bet(p.gain(i, side, theta))
	}
	return m.log()
}

func (p *Pairs) gain(i int, side Side, theta float64) float64 {
	g := score(p.d[i], p.c[i], theta)
	if side == Above {
		return -g
	}
	return g
}

// Process is LogE for one side and one theta that only bets on what has been
// added since it was last asked: the same bits in a fraction of the time.
type Process struct {
	pairs *Pairs
	side  Side
	theta float64
	next  int
	m     *mixture
}

// Process starts at the first pair.
func (p *Pairs) Process(side Side, theta float64) *Process {
	return &Process{pairs: p, side: side, theta: theta, m: newMixture(pairBets[:])}
}

// LogE is Pairs.LogE now.
func (q *Process) LogE() float64 {
	for ; q.next < len(q.pairs.d); q.next++ {
		if q.pairs.c[q.next] >= 0 {
			q.m.bet(q.pairs.gain(q.next, q.side, q.theta))
		}
	}
	return q.m.log()
}

// Race returns ln K_n(θ) for n = 1..Len.
func (p *Pairs) Race(side Side, theta float64) []float64 {
	out := make([]float64, len(p.d))
	m := newMixture(pairBets[:])
	for i := range p.d {
		if p.c[i] >= 0 {
			m.bet(p.gain(i, side, theta))
		}
		out[i] = m.log()
	}
	return out
}

// LogERestarts is the e-process that starts anew at each of the given pair
// indices (ascending, the first 0) with equal weight and holds 1 before: it
// notices harm that begins late without forgetting its level. The average of
// e-processes is one.
func (p *Pairs) LogERestarts(side Side, theta float64, starts []int) float64 {
	if len(starts) == 0 {
		return p.LogE(side, theta)
	}
	logs := make([]float64, len(starts))
	for k, s := range starts {
		logs[k] = p.logEFrom(side, theta, min(s, len(p.d)))
	}
	return logSumExp(logs) - math.Log(float64(len(starts)))
}

// Interval is the confidence sequence for δ at the stop: with probability
// 1−alpha it covers δ at every n at once, hence at any stopping time (Howard,
// Ramdas, McAuliffe, Sekhon 2021). It is {θ: K_n(θ) < 2/α on both sides}, by
// bisection; an end is ±Inf while it cannot be told.
func (p *Pairs) Interval(alpha float64) (lower, upper float64) {
	if len(p.d) == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	bar := math.Log(2 / alpha)
	first, last := p.order[0], p.order[len(p.order)-1]
	width := last - first
	for _, c := range p.c {
		width = max(width, c)
	}
	width += 1e-9 + 1e-9*math.Abs(first)
	upper = edge(func(t float64) bool { return p.LogE(Below, t) >= bar }, p.Median(), last+2*width)
	lower = -edge(func(t float64) bool { return p.LogE(Above, -t) >= bar }, -p.Median(), -(first - 2*width))
	return lower, upper
}

// edge finds by bisection the smallest t in (inside, outside] that is
// rejected; rejection is monotone in t. +Inf if not even outside is.
func edge(rejected func(float64) bool, inside, outside float64) float64 {
	if !rejected(outside) {
		return math.Inf(1)
	}
	if rejected(inside) {
		return inside
	}
	for range 60 {
		mid := inside + (outside-inside)/2
		if mid <= inside || mid >= outside {
			break
		}
		if rejected(mid) {
			outside = mid
		} else {
			inside = mid
		}
	}
	return outside
}

// Futile reports that it is hopeless to show δ < theta (Below) or > theta
// (Above): the mean of the clipped scores lies more than 2.5 standard errors
// on the wrong side. It is non-binding: stopping costs power, never validity.
func (p *Pairs) Futile(side Side, theta float64, from int) bool {
	if len(p.d) < from || len(p.d) <= BurnIn+1 {
		return false
	}
	c := 2 * madSD * madSorted(p.order)
	var sum, squares float64
	for _, d := range p.d {
		g := score(d, c, theta)
		if side == Above {
			g = -g
		}
		sum += g
		squares += float64(g * g)
	}
	n := float64(len(p.d))
	mean := sum / n
	variance := max(0, (squares-float64(n*mean)*mean)/(n-1))
	return mean < -2.5*math.Sqrt(max(variance, 1/(n*n))/n)
}

// mixture is (1/J) Σ_j Π (1 + λ_j g): one wealth a fraction, kept as mantissa
// and log so that long series neither overflow nor underflow.
type mixture struct {
	bets   []float64
	wealth []float64
	logs   []float64
}

func newMixture(bets []float64) *mixture {
	m := &mixture{bets: bets, wealth: make([]float64, len(bets)), logs: make([]float64, len(bets))}
	for j := range m.wealth {
		m.wealth[j] = 1
	}
	return m
}

// bet multiplies every wealth by 1 + λ_j g, g in [−1, 1].
func (m *mixture) bet(g float64) {
	for j, l := range m.bets {
		w := m.wealth[j] * (1 + float64(l*g))
		if w > 1e100 || w < 1e-100 {
			m.logs[j] += math.Log(w)
			w = 1
		}
		m.wealth[j] = w
	}
}

// reached is log() ≥ logBar without the logarithms where that is possible.
func (m *mixture) reached(logBar float64) bool {
	sum := 0.0
	for j, w := range m.wealth {
		if m.logs[j] != 0 || logBar > 600 {
			return m.log() >= logBar
		}
		sum += w
	}
	return sum >= float64(len(m.wealth))*math.Exp(logBar)
}

func (m *mixture) log() float64 {
	var logs [16]float64
	for j, w := range m.wealth {
		logs[j] = m.logs[j] + math.Log(w)
	}
	return logSumExp(logs[:len(m.wealth)]) - math.Log(float64(len(m.wealth)))
}

func logSumExp(logs []float64) float64 {
	top := slices.Max(logs)
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum)
}

func medianSorted(s []float64) float64 {
	n := len(s)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return s[n/2]
	}
	return s[n/2-1] + (s[n/2]-s[n/2-1])/2
}

// madSorted is the median of |s_i − median| of an ascending s, by walking
// outwards from the middle.
func madSorted(s []float64) float64 {
	n := len(s)
	if n == 0 {
		return 0
	}
	m := medianSorted(s)
	right := n / 2
	left := right - 1
	var last, before float64
	for range n/2 + 1 {
		before = last
		if right >= n || (left >= 0 && m-s[left] <= s[right]-m) {
			last = m - s[left]
			left--
		} else {
			last = s[right] - m
			right++
		}
	}
	if n%2 == 1 {
		return last
	}
	return before + (last-before)/2
}
