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
	t.now = t.now[:0]
	for _, k := range t.knobs {
		t.now = append(t.now, m.knobs[k])
	}
	if t.asked {
		t.search.TellAt(t.now, loss)
	}
	t.asked = true
	a.lanes[c].tuning = id
	out := make([]KnobDelta, 0, len(t.knobs)) // the proposal's: its reader may keep it
	for i, x := range t.search.Ask() {
		if x != t.now[i] {
			out = append(out, KnobDelta{Knob: t.knobs[i], Delta: x - t.now[i]})
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

// tunable says that Tier 2 may move a knob of a variant, and within what.
func (k *viewKnob) tunable(id catalog.VariantID) (adapt.Range, bool) {
	if k.Variant != id || !k.Present || !(k.Bounds.Min < k.Bounds.Max) {
		return adapt.Range{}, false
	}
	return adapt.Range{Min: k.Bounds.Min, Max: k.Bounds.Max, StepMax: k.Bounds.MaxDelta}, true
}

// fits reports whether the release has the tuner's knobs within its ranges, and
// no others.
func (t *tuner) fits(v *view) bool {
	n := 0
	for i := range v.Knobs {
		r, ok := v.Knobs[i].tunable(t.variant)
		if !ok || n == adapt.KnobsMax {
			continue
		}
		if n == len(t.knobs) || t.knobs[n] != KnobID(i) || t.ranges[n] != r {
			return false
		}
		n++
	}
	return n == len(t.knobs)
}

// tuner finds or makes the tuner of a variant; a release with other bounds
// starts it afresh. It is nil for a variant without knobs that can move.
func (a *Adaptation) tuner(m *machine, id catalog.VariantID) *tuner {
	i, ok := a.tunerOf(id)
	if ok && a.tuners[i].fits(m.view) {
		return &a.tuners[i]
	}
	n := tuner{variant: id}
	var start []float64
	for k := range m.view.Knobs {
		if r, ok := m.view.Knobs[k].tunable(id); ok && len(n.knobs) < adapt.KnobsMax {
			n.knobs, n.ranges, start = append(n.knobs, KnobID(k)), append(n.ranges, r), append(start, m.knobs[k])
		}
	}
	if len(n.knobs) == 0 {
		return nil
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
