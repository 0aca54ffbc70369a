package evalue

import (
	"math"
	"slices"
)

// Model is what is believed about the noise of one paired difference: Student's
// t with Nu degrees of freedom (0 or NuNormal and more: the normal) and a
// Scale. A belief shapes the bets and the sample size, never the error: an
// e-process bets on symmetry alone, whatever the model says.
type Model struct {
	Nu    float64
	Scale float64
}

// NuNormal and more degrees of freedom are the normal distribution.
const NuNormal = 1e6

// tails are the shapes that a fit chooses from. Their (ν+1)/2 are small whole
// numbers, so that density ratios need no logarithm.
var tails = [...]float64{1, 3, 7, NuNormal}

func (m Model) normal() bool { return m.Nu <= 0 || m.Nu >= NuNormal }

// logRatio is ln p(x−b) − ln p(x−a): how much better the centre b explains x
// than the centre a.
func (m Model) logRatio(x, a, b float64) float64 {
	s2 := m.Scale * m.Scale
	if m.normal() {
		return (x - (a+b)/2) * (b - a) / s2
	}
	qa := float64(m.Nu*s2) + float64((x-a)*(x-a))
	qb := float64(m.Nu*s2) + float64((x-b)*(x-b))
	return (m.Nu + 1) / 2 * math.Log(qa/qb)
}

// gain is the log-optimal bet against "symmetric about 0 or below" when the
// truth is this model moved to shift > 0:
//
//	g(x) = (p(x−Δ) − p(x+Δ)) / (p(x−Δ) + p(x+Δ)) = tanh(½ ln p(x−Δ)/p(x+Δ))
//
// (the likelihood ratio of the alternative to its own symmetrisation: the
// growth-optimal e-variable for symmetry, after Ramdas, Ruf, Larsson, Koolen,
// "Admissible anytime-valid sequential inference must rely on nonnegative
// martingales", 2020, section on symmetric distributions). g is odd. It is
// held where the t density ratio would turn back, so that it never decreases
// in x: with that, E[g | past] ≤ 0 for every symmetric law centred at or
// below 0.
func (m Model) gain(x, shift float64) float64 {
	s2 := m.Scale * m.Scale
	if m.normal() {
		return math.Tanh(x * shift / s2)
	}
	nu := float64(m.Nu * s2)
	turn := math.Sqrt(nu + float64(shift*shift))
	x = max(-turn, min(turn, x))
	r := (nu + float64((x+shift)*(x+shift))) / (nu + float64((x-shift)*(x-shift)))
	p := r
	switch m.Nu {
	case 1:
	case 3:
		p = r * r
	case 7:
		p = r * r
		p *= p
	default:
		p = math.Pow(r, (m.Nu+1)/2)
	}
	return (p - 1) / (p + 1)
}

// logLikelihood of centred residuals, up to a constant that is the same for
// all models.
func (m Model) logLikelihood(residuals []float64) float64 {
	sum := 0.0
	if m.normal() {
		for _, r := range residuals {
			z := r / m.Scale
			sum -= float64(z*z) / 2
		}
		return sum - float64(float64(len(residuals))*(math.Log(m.Scale)+math.Log(2*math.Pi)/2))
	}
	// products of up to 32 factors share one logarithm
	prod, n := 1.0, 0
	for _, r := range residuals {
		z := r / m.Scale
		prod *= 1 + float64(z*z)/m.Nu
		if n++; n%32 == 0 || prod > 1e200 {
			sum += math.Log(prod)
			prod = 1
		}
	}
	sum += math.Log(prod)
	hi, _ := math.Lgamma((m.Nu + 1) / 2)
	lo, _ := math.Lgamma(m.Nu / 2)
	norm := hi - lo - math.Log(m.Nu*math.Pi)/2 - math.Log(m.Scale)
	return float64(float64(len(residuals))*norm) - float64((m.Nu+1)/2*sum)
}

// centre is the maximum-likelihood location of ds under the model, from start:
// the mean for a normal, an M-estimate that ignores outliers otherwise.
func (m Model) centre(ds []float64, start float64) float64 {
	mu := start
	for range 30 {
		var sum, weight float64
		for _, d := range ds {
			w := 1.0
			if !m.normal() {
				z := (d - mu) / m.Scale
				w = (m.Nu + 1) / (m.Nu + float64(z*z))
			}
			sum += float64(w * d)
			weight += w
		}
		next := sum / weight
		if math.Abs(next-mu) <= 1e-6*m.Scale {
			return next
		}
		mu = next
	}
	return mu
}

// fit is the most likely of the tails with its scale by EM (Liu & Rubin, "ML
// estimation of the t distribution using EM", 1995). Start is a robust scale.
func fit(residuals []float64, start float64) Model {
	var best Model
	top := math.Inf(-1)
	for _, nu := range tails {
		m := Model{Nu: nu, Scale: start}
		for range 8 {
			m.Scale = m.nextScale(residuals)
		}
		if !(m.Scale > 0) {
			continue
		}
		if l := m.logLikelihood(residuals); l > top {
			best, top = m, l
		}
	}
	return best
}

// nextScale is one EM step.
func (m Model) nextScale(residuals []float64) float64 {
	sum := 0.0
	s2 := m.Scale * m.Scale
	for _, r := range residuals {
		r2 := r * r
		w := 1.0
		if !m.normal() {
			w = (m.Nu + 1) / (m.Nu + r2/s2)
		}
		sum += float64(w * r2)
	}
	return math.Sqrt(sum / float64(len(residuals)))
}

// Noise learns the noise of a night's pairs from the candidates that have
// been judged, for the bets on the next one. The zero Noise knows nothing.
type Noise struct {
	ring  [noiseKept]float64
	count int
	model Model
	stale int
}

// noiseKept is how many residuals are remembered: enough for a shape, few
// enough to follow a machine that changes over a night.
const noiseKept = 256

// noiseFew is how many residuals must be known before they shape a bet.
const noiseFew = 8

// Add learns from all differences of one candidate, after its decision.
func (n *Noise) Add(ds []float64) {
	if len(ds) < 2 {
		return
	}
	order := slices.Sorted(slices.Values(ds))
	for _, d := range ds {
		// the distance to the median of the others, freed of that median's own
		// noise, keeps a short series from looking quiet
		r := (d - medianWithout(order, d)) / math.Sqrt(1+medianVariance(len(ds)-1)/float64(len(ds)-1))
		n.ring[n.count%noiseKept] = r
		n.count++
		n.stale++
	}
}

// medianVariance is n times the variance of the median of n normal values.
func medianVariance(n int) float64 {
	if n <= 2 {
		return 1
	}
	return math.Pi / 2 * float64(n) / (float64(n) + .57)
}

// Model is the fit; ok is false while too little is known.
func (n *Noise) Model() (m Model, ok bool) {
	kept := min(n.count, noiseKept)
	if kept < noiseFew {
		return Model{}, false
	}
	if n.model.Scale == 0 || n.stale*8 >= kept {
		r := n.ring[:kept]
		start := madSD * madSorted(slices.Sorted(slices.Values(r)))
		if !(start > 0) {
			return Model{}, false
		}
		n.model, n.stale = fit(r, start), 0
	}
	return n.model, n.model.Scale > 0
}

// weight is how many own pairs the night's residuals are worth.
func (n *Noise) weight() float64 { return min(40, float64(n.count)/4) }

// medianWithout is the median of an ascending order without one value equal to
// d.
func medianWithout(order []float64, d float64) float64 {
	n := len(order) - 1
	skip := 0
	for skip < n && order[skip] < d {
		skip++
	}
	at := func(i int) float64 {
		if i >= skip {
			i++
		}
		return order[i]
	}
	if n%2 == 1 {
		return at(n / 2)
	}
	return at(n/2-1) + (at(n/2)-at(n/2-1))/2
}
