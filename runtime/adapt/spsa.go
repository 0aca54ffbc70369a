package adapt

import (
	"math"
	"slices"
)

// spsa is simultaneous perturbation stochastic approximation (Spall 1992): two
// measurements an iteration, θ+cΔ and θ−cΔ, whatever the number of knobs.
// Constant gains follow a moving optimum and never settle.
type spsa struct {
	Seed      uint64    `json:"seed"`
	Constant  bool      `json:"constant"`
	Step      []float64 `json:"step"` // the most that a knob may move at once
	Theta     []float64 `json:"theta"`
	Iteration uint64    `json:"iteration"`
	Minus     bool      `json:"minus"` // the plus side has been measured
	PlusLoss  float64   `json:"plus_loss"`
	PlusAt    []float64 `json:"plus_at"`
	Scale     float64   `json:"scale"` // moving average of |y⁺−y⁻|: makes gains free of the loss's unit
}

// Spall 1998, §III.B; the gains are shares of a knob's range.
const (
	spsaA         = .05
	spsaC         = .02
	spsaAlpha     = .602
	spsaGamma     = .101
	spsaStability = 10 // Spall's A: a tenth of the iterations expected at first
)

func newSPSA(seed uint64, start, step []float64, constant bool) *spsa {
	return &spsa{Seed: seed, Constant: constant, Step: slices.Clone(step), Theta: slices.Clone(start)}
}

// gains are a_k and c_k (Spall 1998, eq. 4–5).
func (s *spsa) gains() (a, c float64) {
	if s.Constant {
		return spsaA, spsaC
	}
	k := float64(s.Iteration)
	return spsaA * math.Pow((1+spsaStability)/(k+1+spsaStability), spsaAlpha), spsaC / math.Pow(k+1, spsaGamma)
}

// perturbation is c_k·Δ_i: never more than half the largest step, so that plus
// and minus side are one step apart.
func (s *spsa) perturbation(i int, c float64) float64 {
	return Sign(s.Seed, s.Iteration, uint64(i)) * min(c, s.Step[i]/2)
}

func (s *spsa) Ask(out []float64) {
	_, c := s.gains()
	for i, t := range s.Theta {
		d := s.perturbation(i, c)
		if s.Minus {
			d = -d
		}
		out[i] = min(max(t+d, 0), 1)
	}
}

// Tell restarts the iteration on a loss that is no number.
func (s *spsa) Tell(at []float64, loss float64) {
	if !usable(loss) {
		s.Minus, s.PlusAt = false, s.PlusAt[:0]
		return
	}
	if !s.Minus {
		s.Minus, s.PlusLoss, s.PlusAt = true, loss, append(s.PlusAt[:0], at...)
		return
	}
	a, c := s.gains()
	diff := s.PlusLoss - loss
	if s.Scale == 0 {
		s.Scale = math.Abs(diff)
	}
	s.Scale += .1 * (math.Abs(diff) - s.Scale)
	if s.Scale > 0 {
		for i := range s.Theta {
			apart := s.PlusAt[i] - at[i]
			if apart == 0 {
				continue // clipped onto the same value: no information
			}
			slope := diff / s.Scale * (2 * s.perturbation(i, c) / apart) * Sign(s.Seed, s.Iteration, uint64(i))
			step := min(max(-a*slope, -s.Step[i]/2), s.Step[i]/2)
			s.Theta[i] = min(max(s.Theta[i]+step, 0), 1)
		}
	}
	s.Iteration++
	s.Minus, s.PlusAt = false, s.PlusAt[:0]
}

func (s *spsa) Best(out []float64) { copy(out, s.Theta) }

func (s *spsa) valid(d int) bool {
	return inCube(s.Theta, d) && len(s.Step) == d && allUsable(s.Step) && usable(s.Scale) && usable(s.PlusLoss) && (!s.Minus || inCube(s.PlusAt, d))
}
