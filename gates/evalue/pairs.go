package evalue

import (
	"math"
	"slices"
)

// Pairs is a growing series of paired differences d_i, oriented so that larger
// is worse (ln B_i − ln A_i of baseline A and candidate B, or B_i − A_i, turned
// round where larger values are better), with the e-processes on their centre
// δ. Beside each difference stands the belief about its noise that was fixed
// before it was measured: bets follow the belief, validity does not.
//
// Assumption: given the past, d_i is symmetric about δ. A fair coin that
// orders every pair gives that for all noise that belongs to the time slot,
// whatever its drift; neither independence nor moments are needed.
type Pairs struct {
	d      []float64
	order  []float64 // the d so far, ascending
	models []Model   // models[i] was believed of d[i] before it; Scale 0: nothing, a bet on the sign

	night  Model // what the night taught before the first pair
	known  bool
	weight float64 // how many own pairs that is worth
	pinned bool    // the belief is the truth and does not learn: a plan's simulation
}

// scaleLeast, as a log ratio, is less noise than any clock has: below it there
// is no scale, and the bets are on the sign alone.
const scaleLeast = 1e-9

// ownFew is how many own pairs set the scale when the night knows nothing.
const ownFew = 4

// NewPairs starts a series. night is what is known of the noise so far, the
// zero Noise if nothing; it is only read, now.
func NewPairs(night *Noise) *Pairs {
	p := &Pairs{weight: night.weight()}
	p.night, p.known = night.Model()
	return p
}

// Add appends one difference. It must be finite.
func (p *Pairs) Add(d float64) {
	p.models = append(p.models, p.belief())
	p.d = append(p.d, d)
	at, _ := slices.BinarySearch(p.order, d)
	p.order = slices.Insert(p.order, at, d)
}

// Len is the number of pairs.
func (p *Pairs) Len() int { return len(p.d) }

// Differences are all so far, in order; they are only read.
func (p *Pairs) Differences() []float64 { return p.d }

// Median of the differences; 0 when empty.
func (p *Pairs) Median() float64 { return medianSorted(p.order) }

// SD estimates the standard deviation of one difference: 1.4826·MAD.
func (p *Pairs) SD() float64 { return madSD * madSorted(p.order) }

// belief is about the next pair: the night's shape, and a scale between the
// night's and the series' own.
func (p *Pairs) belief() Model {
	if p.pinned {
		return p.night
	}
	own := 0.0
	if len(p.d) >= ownFew {
		own = p.SD()
	}
	m := Model{Nu: 3, Scale: own}
	if p.known {
		m = p.night
		if own > 0 {
			n := float64(len(p.d))
			// the sd by MAD of the fitted model's own scale, so that like is compared with like
			own /= madOf(m.Nu)
			m.Scale = math.Exp((float64(p.weight*math.Log(m.Scale)) + float64(n*math.Log(own))) / (p.weight + n))
		}
	}
	if !(m.Scale >= scaleLeast) {
		m.Scale = 0
	}
	return m
}

// centre is the maximum-likelihood estimate of δ under the belief; the median
// while there is none.
func (p *Pairs) centre() float64 {
	m := p.belief()
	if m.Scale == 0 || len(p.d) == 0 {
		return p.Median()
	}
	return m.centre(p.d, p.Median())
}

// Process is the e-process against "δ ≥ theta" (Below) or "δ ≤ theta" (Above)
// that looks for a δ beyond theta by shift. It bets on what has been added
// since it was last asked.
type Process struct {
	pairs              *Pairs
	sign, theta, shift float64
	next               int
	k                  wealth
}

// Process starts at the first pair; shift > 0.
func (p *Pairs) Process(side Side, theta, shift float64) *Process {
	q := &Process{pairs: p, sign: 1, theta: theta, shift: shift, k: newWealth()}
	if side == Above {
		q.sign = -1
	}
	return q
}

// LogE is ln K after all pairs so far.
func (q *Process) LogE() float64 {
	for ; q.next < len(q.pairs.d); q.next++ {
		q.k.bet(q.pairs.models[q.next], q.sign*(q.theta-q.pairs.d[q.next]), q.shift)
	}
	return q.k.log()
}

// LogE is the process after all pairs.
func (p *Pairs) LogE(side Side, theta, shift float64) float64 {
	return p.Process(side, theta, shift).LogE()
}

// Race is the process after 1..Len pairs.
func (p *Pairs) Race(side Side, theta, shift float64) []float64 {
	q := p.Process(side, theta, shift)
	out := make([]float64, len(p.d))
	for i, x := range p.d {
		q.k.bet(p.models[i], q.sign*(theta-x), shift)
		out[i] = q.k.log()
	}
	return out
}

// Interval is the confidence sequence of δ at the stop: with probability
// 1−alpha it covers δ at every n at once, hence at any stopping time (Howard,
// Ramdas, McAuliffe, Sekhon 2021). It holds what neither side's process has
// rejected at 2/alpha, by bisection; an end is ±Inf while it cannot be told.
func (p *Pairs) Interval(alpha, shift float64) (lower, upper float64) {
	if len(p.d) == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	return -p.edge(Above, alpha, shift), p.edge(Below, alpha, shift)
}

// edge is the largest δ (Below; its negative for Above) that is not rejected.
func (p *Pairs) edge(side Side, alpha, shift float64) float64 {
	if len(p.d) == 0 {
		return math.Inf(1)
	}
	bar := math.Log(2 / alpha)
	first, last := p.order[0], p.order[len(p.order)-1]
	wide := last - first + shift
	for _, m := range p.models {
		wide = max(wide, 4*m.Scale)
	}
	if side == Above {
		return edge(func(t float64) bool { return p.LogE(Above, -t, shift) >= bar }, -p.Median(), -(first - 16*wide))
	}
	return edge(func(t float64) bool { return p.LogE(Below, t, shift) >= bar }, p.Median(), last+16*wide)
}
