package adapt

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Range is a knob as a tuner sees it.
type Range struct {
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	StepMax float64 `json:"step_max"` // the most that it may move at once; 0: any distance
}

// TunerConfig of a Tuner. The zero config watches for drift and noise itself.
type TunerConfig struct {
	Seed      uint64    `json:"seed"`
	Algorithm Algorithm `json:"algorithm"`
}

// Tuner moves knobs by asking for losses, one point at a time. It is a
// function of the configuration and of what it was told.
type Tuner struct {
	s      tunerState
	search Search

	asked, best, told, unit []float64 // what Ask and Best return, and scratch
}

// tunerLayout is the version of a snapshot. Before 2 the search of Auto was
// another.
const tunerLayout = 2

type tunerState struct {
	Layout int             `json:"layout"`
	Config TunerConfig     `json:"config"`
	Ranges []Range         `json:"ranges"`
	Asked  []float64       `json:"asked"` // in the unit cube; empty: nothing waits for a loss
	Search json.RawMessage `json:"search"`
}

// NewTuner starts at a point within the ranges.
func NewTuner(c TunerConfig, ranges []Range, start []float64) (*Tuner, error) {
	t := &Tuner{s: tunerState{Layout: tunerLayout, Config: c, Ranges: slices.Clone(ranges)}}
	if err := t.s.checkRanges(); err != nil {
		return nil, err
	}
	if len(start) != len(ranges) {
		return nil, fmt.Errorf("tuner: %d ranges, %d knobs to start from", len(ranges), len(start))
	}
	step := make([]float64, len(ranges))
	for i, r := range ranges {
		if !(start[i] >= r.Min && start[i] <= r.Max) {
			return nil, fmt.Errorf("tuner: knob %d starts at %v, outside [%v, %v]", i, start[i], r.Min, r.Max)
		}
		step[i] = 1
		if r.StepMax > 0 && r.StepMax < r.Max-r.Min {
			step[i] = r.StepMax / (r.Max - r.Min)
		}
	}
	t.scratch()
	t.toUnit(start)
	s, err := newSearch(c.Algorithm, c.Seed, t.unit, step)
	if err != nil {
		return nil, err
	}
	t.search = s
	return t, nil
}

func (s *tunerState) checkRanges() error {
	if len(s.Ranges) < 1 || len(s.Ranges) > KnobsMax {
		return fmt.Errorf("tuner: %d knobs: want 1 to %d", len(s.Ranges), KnobsMax)
	}
	for i, r := range s.Ranges {
		if !usable(r.Min) || !usable(r.Max) || !(r.Min < r.Max) || !(r.StepMax >= 0) {
			return fmt.Errorf("tuner: knob %d in [%v, %v], steps of %v: want a range and steps that are not negative", i, r.Min, r.Max, r.StepMax)
		}
	}
	return nil
}

func (t *Tuner) scratch() {
	d := len(t.s.Ranges)
	t.asked, t.best, t.told, t.unit = make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, d)
}

// toUnit sets t.unit.
func (t *Tuner) toUnit(knobs []float64) {
	for i, r := range t.s.Ranges {
		t.unit[i] = min(max((knobs[i]-r.Min)/(r.Max-r.Min), 0), 1)
	}
}

func (t *Tuner) toKnobs(unit, out []float64) {
	for i, r := range t.s.Ranges {
		out[i] = min(max(r.Min+float64(unit[i]*(r.Max-r.Min)), r.Min), r.Max)
	}
}

// Ask returns the next point to measure. Asking again before a loss was told
// gives the same point. The slice is valid until the next Ask.
func (t *Tuner) Ask() []float64 {
	if len(t.s.Asked) == 0 {
		t.s.Asked = append(t.s.Asked, t.unit...)
		t.search.Ask(t.s.Asked)
	}
	t.toKnobs(t.s.Asked, t.asked)
	return t.asked
}

// Tell gives the loss of the point that was asked last; NaN says that it was
// not measured or must not be tried again. A loss that nothing was asked for
// changes nothing.
func (t *Tuner) Tell(loss float64) { t.tell(t.s.Asked, loss) }

// TellAt gives the loss of the point that was tried instead of the one asked
// for, where something had cut the way short.
func (t *Tuner) TellAt(knobs []float64, loss float64) {
	if len(t.s.Asked) == 0 {
		return
	}
	if len(knobs) != len(t.s.Ranges) || slices.ContainsFunc(knobs, math.IsNaN) {
		t.tell(t.s.Asked, math.NaN())
		return
	}
	t.toKnobs(t.s.Asked, t.told)
	if slices.Equal(knobs, t.told) {
		t.tell(t.s.Asked, loss)
		return
	}
	t.toUnit(knobs)
	t.tell(t.unit, loss)
}

func (t *Tuner) tell(at []float64, loss float64) {
	if len(t.s.Asked) == 0 {
		return
	}
	t.search.Tell(at, loss)
	t.s.Asked = t.s.Asked[:0]
}

// Best is the recommended point: what to serve when nothing is to be tried. The
// slice is valid until the next Best.
func (t *Tuner) Best() []float64 {
	t.search.Best(t.unit)
	t.toKnobs(t.unit, t.best)
	return t.best
}

// Snapshot returns the whole state.
func (t *Tuner) Snapshot() ([]byte, error) {
	s, err := t.s, error(nil)
	if len(s.Asked) == 0 {
		s.Asked = nil
	}
	if s.Search, err = json.Marshal(t.search); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// Restore takes a snapshot back; on an error the tuner is unchanged.
func (t *Tuner) Restore(raw []byte) error {
	var n tunerState
	if err := decode(raw, &n); err != nil {
		return err
	}
	if n.Layout != tunerLayout {
		return fmt.Errorf("tuner: layout %d of a snapshot, want %d: begin a new search: %w", n.Layout, tunerLayout, ErrState)
	}
	if err := n.checkRanges(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	d := len(n.Ranges)
	blank := make([]float64, d)
	s, err := newSearch(n.Config.Algorithm, n.Config.Seed, blank, blank)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := decode(n.Search, s); err != nil {
		return err
	}
	if !s.valid(d) || len(n.Asked) > 0 && !inCube(n.Asked, d) {
		return fmt.Errorf("tuner: %v: sizes or numbers: %w", n.Config.Algorithm, ErrState)
	}
	n.Search = nil
	t.s, t.search = n, s
	t.scratch()
	return nil
}

// Knobs is how many there are.
func (t *Tuner) Knobs() int { return len(t.s.Ranges) }
