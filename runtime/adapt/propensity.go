package adapt

import "math"

// Propensity is the probability, given the state, with which the policy makes
// this pick: exactly 1 for an Optimist, and for a Tournament the probability
// that the arm's draw is the largest of the finalists', each normal and
// independent, by quadrature to about 1e-6. It is for logs and off-policy
// estimates and not on the path of a decision.
func (b *Bandit) Propensity(p Pick) float64 {
	if !p.OK || p.N > finalistsMax {
		return 0
	}
	if p.N <= 1 || p.Breach || b.s.Config.Policy == Optimist {
		return 1
	}
	own := -1
	for i, f := range p.Finalist[:p.N] {
		if f.Arm == p.Arm {
			own = i
		}
	}
	if own < 0 {
		return 0
	}
	f := p.Finalist[own]
	if !(f.SD > 0) {
		f.SD = math.SmallestNonzeroFloat64
	}
	// ∫ φ(z) Π_j Φ((mean + sd·z − mean_j) ÷ sd_j) dz by the trapezoid rule
	const reach, step = 8.0, 1.0 / 32
	total := 0.0
	for i := range int(2*reach/step) + 1 {
		z := -reach + float64(i)*step
		v := math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
		for j, o := range p.Finalist[:p.N] {
			if j != own {
				v *= math.Erfc(-(f.Mean+f.Bonus+f.SD*z-o.Mean-o.Bonus)/(max(o.SD, math.SmallestNonzeroFloat64)*math.Sqrt2)) / 2
			}
		}
		total += v * step
	}
	return min(max(total, 0), 1)
}
