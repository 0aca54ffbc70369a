package runtime

import (
	"slices"

	"github.com/arqon/arqon/catalog"
)

// wayBack is where a retreat would lead.
type wayBack struct {
	incumbent, previous catalog.VariantID
	knobs               []float64
}

// wayBack says where an abort or a breach would lead a class, and whether it is
// legal now. Knobs of whoever would lose the class, and the baseline's own,
// return to their defaults: the baseline is a known-good configuration, not
// only a variant.
func (m *machine) wayBack(c Class, e event) (wayBack, bool) {
	if int(c) >= len(m.lanes) || m.dead != NoReason {
		return wayBack{}, false
	}
	l := &m.lanes[c]
	if _, ok := step(l.state, e); !ok {
		return wayBack{}, false
	}
	base := m.view.base(c)
	switch {
	case e == evBreach:
		return wayBack{base, base, m.knobsWithout(l.incumbent, base, l.candidate)}, true
	case l.candidate != catalog.BuiltIn:
		return wayBack{l.incumbent, l.previous, m.knobsWithout(l.candidate)}, true
	}
	back := l.previous
	if m.view.eligible(back, c) != NoReason {
		back = base
	}
	return wayBack{back, base, m.knobsWithout(l.incumbent)}, true
}

// retreat takes a class back at once: an abort to what served before, a breach
// to the baseline.
func (m *machine) retreat(c Class, e event, why Reason) (Transition, bool) {
	to, ok := m.wayBack(c, e)
	if !ok {
		return Transition{}, false
	}
	l := &m.lanes[c]
	from, about := l.state, l.incumbent
	if l.candidate != catalog.BuiltIn && e == evAbort {
		about = l.candidate
	}
	m.move(c, e)
	m.move(c, evReturned)
	m.generation++
	m.knobs, l.incumbent, l.previous = to.knobs, to.incumbent, to.previous
	l.candidate, l.share, l.step, l.shadow, l.pending, l.moves = catalog.BuiltIn, 0, 0, false, false, nil
	l.arms = [2]evidence{}
	l.cooling = m.tick + m.coolDown(l, why)
	l.changed, l.since = true, m.tick
	return m.transition(c, from, why, about), true
}

// coolDown is how long a class stays back. Every further retreat for cause
// doubles it, so that a guardrail that flaps is met less and less often; a
// change that held for eight cool-downs, or a new release, clears the record.
func (m *machine) coolDown(l *lane, why Reason) Tick {
	ticks := Tick(m.view.CoolDownTicks)
	switch why {
	case ReasonGuardrail, ReasonHarm, ReasonInvalidMetric:
	default:
		return ticks
	}
	if l.changed && m.tick-l.since > 8*ticks {
		l.strikes = 0
	}
	l.strikes = min(l.strikes+1, strikesMax)
	return ticks << (l.strikes - 1)
}

const strikesMax = 11 // 1,024 cool-downs

// knobsWithout returns the knobs with those of some variants at their defaults;
// what is as it was is not copied.
func (m *machine) knobsWithout(ids ...catalog.VariantID) []float64 {
	if same(m.knobs, m.defaults) {
		return m.knobs
	}
	moved, kept := false, false
	for i, d := range m.defaults {
		switch {
		case m.knobs[i] == d:
		case slices.Contains(ids, m.view.Knobs[i].Variant):
			moved = true
		default:
			kept = true
		}
	}
	switch {
	case !moved:
		return m.knobs
	case !kept:
		return m.defaults
	}
	out := slices.Clone(m.knobs)
	for i, d := range m.defaults {
		if out[i] != d && slices.Contains(ids, m.view.Knobs[i].Variant) {
			out[i] = d
		}
	}
	return out
}

// same reports whether two slices are one array.
func same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
