package runtime

import (
	"math"
	"slices"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/adapt"
)

// tune gives the loss to the variant's tuner and returns the moves to its next
// point. A variant that serves several classes is tuned by the first of them.
// Tier 1 may cut a move short: the tuner learns where the knobs really were.
func (a *Adaptation) tune(m *machine, c Class, loss float64) []KnobDelta {
	id := m.lanes[c].incumbent
	for i := range c {
		if m.lanes[i].incumbent == id {
			return nil
		}
	}
	t := a.tuner(m, id)
	if t == nil {
		return nil
	}
	now := make([]float64, len(t.knobs))
	for i, k := range t.knobs {
		now[i] = m.knobs[k]
	}
	if t.asked {
		t.search.TellAt(now, loss)
	}
	t.asked = true
	a.lanes[c].tuning = id
	var out []KnobDelta
	for i, x := range t.search.Ask() {
		if x != now[i] {
			out = append(out, KnobDelta{Knob: t.knobs[i], Delta: x - now[i]})
		}
	}
	return out
}

// gaveUp tells a tuner that what it asked for ended in a retreat: nothing is
// as bad.
func (a *Adaptation) gaveUp(m *machine, c Class) {
	l := &a.lanes[c]
	if m.lanes[c].state != RolledBack || l.tuning == catalog.BuiltIn {
		return
	}
	if i, ok := a.tunerOf(l.tuning); ok && a.tuners[i].asked {
		a.tuners[i].search.Tell(math.NaN())
		a.tuners[i].asked = false
	}
	l.tuning = catalog.BuiltIn
}

func (a *Adaptation) tunerOf(id catalog.VariantID) (int, bool) {
	return slices.BinarySearchFunc(a.tuners, id, func(t tuner, id catalog.VariantID) int { return int(t.variant) - int(id) })
}

// tuner finds or makes the tuner of a variant; a release with other bounds
// starts it afresh. It is nil for a variant without knobs that can move.
func (a *Adaptation) tuner(m *machine, id catalog.VariantID) *tuner {
	n := tuner{variant: id}
	var start []float64
	for i, k := range m.view.Knobs {
		if k.Variant == id && k.Present && k.Bounds.Min < k.Bounds.Max && len(n.knobs) < adapt.KnobsMax {
			n.knobs = append(n.knobs, KnobID(i))
			n.ranges = append(n.ranges, adapt.Range{Min: k.Bounds.Min, Max: k.Bounds.Max, StepMax: k.Bounds.MaxDelta})
			start = append(start, m.knobs[i])
		}
	}
	if len(n.knobs) == 0 {
		return nil
	}
	i, ok := a.tunerOf(id)
	if ok && slices.Equal(a.tuners[i].ranges, n.ranges) && slices.Equal(a.tuners[i].knobs, n.knobs) {
		return &a.tuners[i]
	}
	var err error
	n.search, err = adapt.NewTuner(adapt.TunerConfig{Seed: adapt.Draw(a.seed, ^uint64(0), uint64(id)), Algorithm: a.cfg.Algorithm}, n.ranges, start)
	if err != nil {
		return nil // bounds that newView accepted and a tuner does not: beyond 1e100
	}
	if ok {
		a.tuners[i] = n
	} else {
		a.tuners = slices.Insert(a.tuners, i, n)
	}
	return &a.tuners[i]
}
