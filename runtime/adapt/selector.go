package adapt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Method is how the selector weighs what it knows against what it does not.
type Method uint8

// The methods.
const (
	UCB      Method = iota // UCB1 on normal beliefs (Auer, Cesa-Bianchi, Fischer 2002)
	Thompson               // posterior sampling (Thompson 1933)
	methodCount
)

// SelectorConfig of a selector. The zero config is usable.
type SelectorConfig struct {
	Method         Method  `json:"method"`
	Seed           uint64  `json:"seed"`
	Class          uint64  `json:"class"`           // keys the draws
	PriorWeight    float64 `json:"prior_weight"`    // windows that a prior counts for; 0: 2
	Explore        float64 `json:"explore"`         // scale of the bonus; 0: 1
	Margin         float64 `json:"margin"`          // relative SLA margin with no evidence, shrinks with √windows; 0: .1
	DriftSlack     float64 `json:"drift_slack"`     // in standard deviations; 0: .5
	DriftThreshold float64 `json:"drift_threshold"` // in standard deviations; 0: 8
	SwitchMargin   float64 `json:"switch_margin"`   // scores must differ by this many deviations; 0: .5
}

func (c SelectorConfig) filled() SelectorConfig {
	or := func(x *float64, d float64) {
		if *x == 0 {
			*x = d
		}
	}
	or(&c.PriorWeight, 2)
	or(&c.Explore, 1)
	or(&c.Margin, .1)
	or(&c.DriftSlack, .5)
	or(&c.DriftThreshold, 8)
	or(&c.SwitchMargin, .5)
	return c
}

// Arm is a candidate as the selector meets it in a cycle. Loss is lower-is-
// better in the unit of the class's success metric.
type Arm struct {
	ID        uint32
	Allowed   bool    // Tier 1 would accept it
	Prior     float64 // expected loss; NaN: unknown, the mean of the known ones is taken
	Predicted float64 // SLA metric, e.g. p99 in ns; 0: none
	Limit     float64 // what Predicted must stay below; 0: none
}

// Observation is one window of the arm that served.
type Observation struct {
	ID   uint32
	Loss float64 // mean of the window
	SLA  float64 // observed SLA metric; 0: not observed
}

// Choice is what a cycle came to.
type Choice struct {
	ID         uint32
	OK         bool    // false: no arm is eligible, the caller falls back
	Eligible   int     // how many were
	Score      float64 // lower is better
	Drift      bool    // a change was detected and beliefs were reset
	Propensity float64 // probability of the choice given the state; 0: not known in closed form
}

// belief is what is known of an arm's loss.
type belief struct {
	ID    uint32  `json:"id"`
	Count float64 `json:"count"` // windows
	Mean  float64 `json:"mean"`
}

type selectorState struct {
	Config     SelectorConfig `json:"config"`
	Cycle      uint64         `json:"cycle"`
	Beliefs    []belief       `json:"beliefs"` // ascending id
	Noise      float64        `json:"noise"`   // Σ squared deviations from the arm's own mean
	NoiseCount float64        `json:"noise_count"`
	Correction float64        `json:"correction"` // observed ÷ predicted SLA, moving average; 0: none seen
	Drift      PageHinkley    `json:"drift"`
}

// Selector chooses an arm for one class.
type Selector struct{ s selectorState }

// NewSelector makes a selector; an error names the field.
func NewSelector(c SelectorConfig) (*Selector, error) {
	c = c.filled()
	if c.Method >= methodCount {
		return nil, fmt.Errorf("selector: method %d", c.Method)
	}
	for name, x := range map[string]float64{"prior_weight": c.PriorWeight, "explore": c.Explore, "margin": c.Margin,
		"drift_slack": c.DriftSlack, "drift_threshold": c.DriftThreshold, "switch_margin": c.SwitchMargin} {
		if !finite(x) || x < 0 {
			return nil, fmt.Errorf("selector: %s is %v: want a number that is not negative", name, x)
		}
	}
	return &Selector{selectorState{Config: c, Drift: PageHinkley{Slack: c.DriftSlack, Threshold: c.DriftThreshold}}}, nil
}

// Step takes the last window (nil: none) and chooses among the arms, incumbent
// being the one that serves. Constraints come first: an arm that is not allowed
// or whose predicted SLA, corrected by what was observed online and widened by
// a margin that shrinks with evidence, passes its limit is not in the choice.
func (s *Selector) Step(arms []Arm, incumbent uint32, last *Observation) Choice {
	s.s.Cycle++
	choice := Choice{}
	if last != nil {
		choice.Drift = s.learn(arms, *last)
	}
	fill := priorOfKnown(arms)
	sd := s.deviation(fill)
	best, current := -1, math.Inf(1)
	for i, a := range arms {
		if !s.eligible(a) {
			continue
		}
		choice.Eligible++
		score := s.score(a, fill, sd)
		if a.ID == incumbent {
			current = score
		}
		if best < 0 || score < choice.Score || (score == choice.Score && a.ID < arms[best].ID) {
			best, choice.Score, choice.ID, choice.OK = i, score, a.ID, true
		}
	}
	if choice.OK && finite(current) && current-choice.Score < float64(s.s.Config.SwitchMargin*sd) {
		choice.ID, choice.Score = incumbent, current
	}
	if choice.OK && s.s.Config.Method == UCB {
		choice.Propensity = 1
	}
	return choice
}

func priorOfKnown(arms []Arm) float64 {
	sum, n := 0.0, 0.0
	for _, a := range arms {
		if usable(a.Prior) {
			sum += a.Prior
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// learn updates the belief of the arm that served and the drift detector.
func (s *Selector) learn(arms []Arm, o Observation) (drift bool) {
	if !usable(o.Loss) {
		return false
	}
	i := slices.IndexFunc(arms, func(a Arm) bool { return a.ID == o.ID })
	if i >= 0 && o.SLA > 0 && usable(o.SLA) && arms[i].Predicted > 0 {
		ratio := min(o.SLA/arms[i].Predicted, correctionMax)
		if s.s.Correction == 0 {
			s.s.Correction = ratio
		}
		s.s.Correction += .3 * (ratio - s.s.Correction)
	}
	b := s.belief(o.ID)
	if b.Count > 0 {
		d := o.Loss - b.Mean
		sd := s.deviation(b.Mean)
		if s.s.Drift.Add(d / sd) {
			s.s.Beliefs, s.s.Noise, s.s.NoiseCount = nil, 0, 0
			b, drift = s.belief(o.ID), true
		} else {
			s.s.Noise += float64(d*d) * (b.Count / (b.Count + 1))
			s.s.NoiseCount++
		}
	}
	b.Count++
	b.Mean += (o.Loss - b.Mean) / b.Count
	return drift
}

// belief finds or makes an arm's belief.
func (s *Selector) belief(id uint32) *belief {
	i, ok := slices.BinarySearchFunc(s.s.Beliefs, id, func(b belief, id uint32) int {
		return int(int64(b.ID) - int64(id))
	})
	if !ok {
		s.s.Beliefs = slices.Insert(s.s.Beliefs, i, belief{ID: id})
	}
	return &s.s.Beliefs[i]
}

// deviation is the noise of a window's mean; before three windows have said
// anything it is a tenth of the scale of the loss.
func (s *Selector) deviation(scale float64) float64 {
	floor := math.Max(1e-9, 1e-3*math.Abs(scale))
	if s.s.NoiseCount < 3 {
		return math.Max(floor, .1*math.Abs(scale))
	}
	return math.Max(floor, math.Sqrt(s.s.Noise/s.s.NoiseCount))
}

func (s *Selector) eligible(a Arm) bool {
	if !a.Allowed {
		return false
	}
	if a.Limit <= 0 || a.Predicted <= 0 {
		return true
	}
	correction := s.s.Correction
	if correction == 0 {
		correction = 1
	}
	n := 0.0
	if i := slices.IndexFunc(s.s.Beliefs, func(b belief) bool { return b.ID == a.ID }); i >= 0 {
		n = s.s.Beliefs[i].Count
	}
	return a.Predicted*correction*(1+s.s.Config.Margin/math.Sqrt(1+n)) <= a.Limit
}

// score is the optimistic loss of an arm.
func (s *Selector) score(a Arm, fill, sd float64) float64 {
	prior := a.Prior
	if !usable(prior) {
		prior = fill
	}
	w, n, sum := s.s.Config.PriorWeight, 0.0, 0.0
	if i := slices.IndexFunc(s.s.Beliefs, func(b belief) bool { return b.ID == a.ID }); i >= 0 {
		n, sum = s.s.Beliefs[i].Count, float64(s.s.Beliefs[i].Count*s.s.Beliefs[i].Mean)
	}
	total := max(w+n, 1e-9)
	mean := (float64(w*prior) + sum) / total
	if s.s.Config.Method == Thompson {
		z := Normal(s.s.Config.Seed, s.s.Config.Class, s.s.Cycle, uint64(a.ID))
		return mean + float64(s.s.Config.Explore*z*sd)/math.Sqrt(total)
	}
	bonus := math.Sqrt(2 * math.Log(1+float64(s.s.Cycle)) / total)
	return mean - float64(s.s.Config.Explore*sd*bonus)
}

// Snapshot returns the whole state.
func (s *Selector) Snapshot() ([]byte, error) { return json.Marshal(s.s) }

// ErrState is wrapped when a snapshot cannot be restored.
var ErrState = errors.New("learner state is not well formed")

// correctionMax bounds observed ÷ predicted.
const correctionMax = 1e6

const stateBytesMax = 16 << 20

// Restore takes a snapshot back; on an error the selector is unchanged.
func (s *Selector) Restore(b []byte) error {
	var n selectorState
	if err := decode(b, &n); err != nil {
		return err
	}
	if _, err := NewSelector(n.Config); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	for i := 1; i < len(n.Beliefs); i++ {
		if n.Beliefs[i-1].ID >= n.Beliefs[i].ID {
			return fmt.Errorf("beliefs are not in order: %w", ErrState)
		}
	}
	s.s = n
	return nil
}

func decode(b []byte, v any) error {
	if len(b) > stateBytesMax {
		return fmt.Errorf("%d bytes, at most %d: %w", len(b), stateBytesMax, ErrState)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}
