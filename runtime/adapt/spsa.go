package adapt

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Range is a knob as SPSA sees it: absolute bounds and the largest step that
// one update may make.
type Range struct {
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	StepMax float64 `json:"step_max"`
}

// SPSAConfig of an SPSA. The zero gains are Spall's recommendations; a
// constant gain tracks a moving optimum and never settles.
type SPSAConfig struct {
	Seed     uint64  `json:"seed"`
	Key      uint64  `json:"key"`      // keys the draws
	A        float64 `json:"a"`        // first step, as a share of the range; 0: .05
	C        float64 `json:"c"`        // perturbation, as a share of the range; 0: .02
	Alpha    float64 `json:"alpha"`    // decay of the step; 0: .602 (Spall 1998, §III.B)
	Gamma    float64 `json:"gamma"`    // decay of the perturbation; 0: .101
	Constant bool    `json:"constant"` // no decay
}

func (c SPSAConfig) filled() SPSAConfig {
	or := func(x *float64, d float64) {
		if *x == 0 {
			*x = d
		}
	}
	or(&c.A, .05)
	or(&c.C, .02)
	or(&c.Alpha, .602)
	or(&c.Gamma, .101)
	return c
}

// spsaState: each iteration measures θ+cΔ, then θ−cΔ, then moves θ.
type spsaState struct {
	Config    SPSAConfig `json:"config"`
	Ranges    []Range    `json:"ranges"`
	Theta     []float64  `json:"theta"`
	Iteration uint64     `json:"iteration"`
	Minus     bool       `json:"minus"` // the plus side has been measured
	PlusLoss  float64    `json:"plus_loss"`
	PlusAt    []float64  `json:"plus_at"` // where it was measured, after Tier 1's clipping
	Scale     float64    `json:"scale"`   // moving average of |y⁺−y⁻|: makes gains free of the loss's unit
}

// SPSA is simultaneous perturbation stochastic approximation (Spall 1992):
// two measurements an iteration, whatever the number of knobs.
type SPSA struct{ s spsaState }

// NewSPSA starts at theta.
func NewSPSA(c SPSAConfig, ranges []Range, theta []float64) (*SPSA, error) {
	if len(ranges) == 0 || len(ranges) != len(theta) {
		return nil, fmt.Errorf("spsa: %d ranges for %d knobs", len(ranges), len(theta))
	}
	for i, r := range ranges {
		if !finite(r.Min) || !finite(r.Max) || !finite(r.StepMax) || r.Min > r.Max || r.StepMax <= 0 || !(theta[i] >= r.Min && theta[i] <= r.Max) {
			return nil, fmt.Errorf("spsa: knob %d: %v in [%v, %v], step %v", i, theta[i], r.Min, r.Max, r.StepMax)
		}
	}
	c = c.filled()
	for name, x := range map[string]float64{"a": c.A, "c": c.C, "alpha": c.Alpha, "gamma": c.Gamma} {
		if !finite(x) || x <= 0 {
			return nil, fmt.Errorf("spsa: %s is %v: want a positive number", name, x)
		}
	}
	return &SPSA{spsaState{Config: c, Ranges: slices.Clone(ranges), Theta: slices.Clone(theta)}}, nil
}

// gains are a_k and c_k as shares of a knob's range (Spall 1998, eq. 4–5).
func (s *SPSA) gains() (a, c float64) {
	g := s.s.Config
	if g.Constant {
		return g.A, g.C
	}
	k := float64(s.s.Iteration)
	const stability = 10 // Spall's A: a tenth of the iterations expected at first
	return g.A * math.Pow((1+stability)/(k+1+stability), g.Alpha), g.C / math.Pow(k+1, g.Gamma)
}

// perturbation is c_k·Δ_i of knob i: never more than half its largest step,
// so that plus and minus side are one step apart.
func (s *SPSA) perturbation(i int, c float64) float64 {
	r := s.s.Ranges[i]
	return Sign(s.s.Config.Seed, s.s.Config.Key, s.s.Iteration, uint64(i)) * min(c*(r.Max-r.Min), r.StepMax/2)
}

// Ask returns the point to measure next, within bounds.
func (s *SPSA) Ask() []float64 {
	_, c := s.gains()
	out := make([]float64, len(s.s.Theta))
	for i, t := range s.s.Theta {
		d := s.perturbation(i, c)
		if s.s.Minus {
			d = -d
		}
		out[i] = min(max(t+d, s.s.Ranges[i].Min), s.s.Ranges[i].Max)
	}
	return out
}

// Tell gives the loss that was measured at the point that was really applied.
// A loss that is not finite restarts the iteration.
func (s *SPSA) Tell(at []float64, loss float64) {
	if len(at) != len(s.s.Theta) || !usable(loss) || slices.ContainsFunc(at, func(x float64) bool { return !finite(x) }) {
		s.s.Minus, s.s.PlusAt = false, nil
		return
	}
	if !s.s.Minus {
		s.s.Minus, s.s.PlusLoss, s.s.PlusAt = true, loss, slices.Clone(at)
		return
	}
	a, c := s.gains()
	diff := s.s.PlusLoss - loss
	if s.s.Scale == 0 {
		s.s.Scale = math.Abs(diff)
	}
	s.s.Scale += .1 * (math.Abs(diff) - s.s.Scale)
	if s.s.Scale > 0 {
		for i := range s.s.Theta {
			r := s.s.Ranges[i]
			apart := s.s.PlusAt[i] - at[i]
			if apart == 0 {
				continue // clipped onto the same value: no information
			}
			slope := diff / s.s.Scale * (2 * s.perturbation(i, c) / apart) * Sign(s.s.Config.Seed, s.s.Config.Key, s.s.Iteration, uint64(i))
			step := min(max(-a*slope*(r.Max-r.Min), -r.StepMax/2), r.StepMax/2)
			s.s.Theta[i] = min(max(s.s.Theta[i]+step, r.Min), r.Max)
		}
	}
	s.s.Iteration++
	s.s.Minus, s.s.PlusAt = false, nil
}

// Theta is the current estimate.
func (s *SPSA) Theta() []float64 { return slices.Clone(s.s.Theta) }

// Snapshot returns the whole state.
func (s *SPSA) Snapshot() ([]byte, error) { return json.Marshal(s.s) }

// Restore takes a snapshot back; on an error nothing is changed.
func (s *SPSA) Restore(b []byte) error {
	var n spsaState
	if err := decode(b, &n); err != nil {
		return err
	}
	if _, err := NewSPSA(n.Config, n.Ranges, n.Theta); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if n.Minus && len(n.PlusAt) != len(n.Theta) {
		return fmt.Errorf("spsa: plus side has %d knobs: %w", len(n.PlusAt), ErrState)
	}
	s.s = n
	return nil
}
