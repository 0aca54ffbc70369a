package adapt

import "fmt"

// TunerConfig of a Tuner. The zero config watches for drift and noise itself.
type TunerConfig struct {
	Seed      uint64    `json:"seed"`
	Algorithm Algorithm `json:"algorithm"`
}

// Tuner moves knobs that share one range by asking for losses, one point at a
// time. It is a function of the configuration and the losses that it was told.
type Tuner struct {
	search   Search
	lo, span float64
	waiting  bool
}

// NewTuner starts with every knob at baseline.
func NewTuner(c TunerConfig, knobs int, lo, hi, baseline float64) (*Tuner, error) {
	if !usable(lo) || !usable(hi) || !(lo < hi) || !(baseline >= lo && baseline <= hi) || knobs < 1 || knobs > KnobsMax {
		return nil, fmt.Errorf("tuner: %d knobs from %v in [%v, %v]: want 1 to %d knobs that start within their range", knobs, baseline, lo, hi, KnobsMax)
	}
	start := make([]float64, knobs)
	for i := range start {
		start[i] = min(max((baseline-lo)/(hi-lo), 0), 1)
	}
	s, err := NewSearch(c.Algorithm, c.Seed, start)
	if err != nil {
		return nil, err
	}
	return &Tuner{search: s, lo: lo, span: hi - lo}, nil
}

func (t *Tuner) knobs(unit []float64) []float64 {
	for i, u := range unit {
		unit[i] = min(max(t.lo+float64(u*t.span), t.lo), t.lo+t.span)
	}
	return unit
}

// Ask returns the next point to measure. Asking again before a loss was told
// gives the same point.
func (t *Tuner) Ask() []float64 {
	t.waiting = true
	return t.knobs(t.search.Ask())
}

// Tell gives the loss of the point that was asked last; NaN says that it was
// not measured. A loss that nothing was asked for changes nothing.
func (t *Tuner) Tell(loss float64) {
	if !t.waiting {
		return
	}
	t.waiting = false
	t.search.Tell(loss)
}

// Best is the recommended point: what to serve when nothing is to be tried.
func (t *Tuner) Best() []float64 { return t.knobs(t.search.Best()) }
