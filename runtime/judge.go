package runtime

import (
	"math"

	"github.com/arqon/arqon/catalog"
)

// ruling is what a window means for one class.
type ruling struct {
	class  Class
	event  event // evBreach, evAbort, evWiden, evPromote, or eventCount: nothing
	reason Reason
}

// judge looks at a window without changing anything but the pooled evidence of
// live experiments. A window whose tick is not newer than the last one can
// still take a class back, but never forward: a stuck clock must not disarm
// the guardrails, and a repeated window is no new evidence.
func (m *machine) judge(w *Window) []ruling {
	fresh := w.Tick > m.tick
	m.see(w.Tick)
	var out []ruling
	for c := range m.lanes {
		if r := m.judgeClass(w, Class(c), fresh); r.event != eventCount || r.reason != NoReason {
			out = append(out, r)
		}
	}
	return out
}

func (m *machine) judgeClass(w *Window, c Class, fresh bool) ruling {
	l := &m.lanes[c]
	nothing := ruling{class: c, event: eventCount}
	if m.dead != NoReason {
		return nothing
	}
	live := l.candidate != catalog.BuiltIn
	base, _ := m.guard(w, c, l.incumbent)
	switch {
	case base != NoReason && l.incumbent == m.view.base(c) && !live:
		nothing.reason = ReasonBaselineBreach
		return nothing
	case base != NoReason:
		return ruling{c, evBreach, base}
	case !live:
		return nothing
	}
	harm, complete := m.guard(w, c, l.candidate)
	if harm != NoReason {
		return ruling{c, evAbort, harm}
	}
	if !fresh {
		return nothing
	}
	if m.pool(w, c); m.harmed(c) {
		return ruling{c, evAbort, ReasonHarm}
	}
	return m.forward(w, c, complete)
}

// forward decides whether an automatic ramp takes its next step.
func (m *machine) forward(w *Window, c Class, complete bool) ruling {
	l := &m.lanes[c]
	r := ruling{class: c, event: eventCount}
	if l.ramp != RampAuto || l.state != Canary && !l.shadow || l.pending {
		return r
	}
	need := float64(m.view.WindowRequests)
	if l.shadow {
		need *= float64(m.view.Limits.ShadowWindows)
	}
	if !complete || w.Dropped > 0 || l.arms[1].count < need ||
		uint64(m.tick-l.since) < m.view.Limits.ApplyTicksMin {
		r.reason = ReasonThinEvidence
		return r
	}
	r.event, r.reason = evWiden, ReasonEvidence
	if l.share >= 1 {
		r.event = evPromote
	}
	return r
}

// guard checks a variant's cells against the signed limits. complete says that
// every guarded metric had enough requests.
func (m *machine) guard(w *Window, c Class, id catalog.VariantID) (why Reason, complete bool) {
	complete = true
	need := uint64(m.view.WindowRequests)
	for _, g := range m.view.Guards {
		if g.Class >= 0 && g.Class != int(c) {
			continue
		}
		cell, ok := w.Cell(c, id, g.Metric)
		bad := cell.Invalid
		if ok && !cell.sane() {
			bad += cell.Count
		}
		switch {
		case !ok || cell.Count+cell.Invalid < need:
			complete = false
		case 2*bad > cell.Count+cell.Invalid:
			return ReasonInvalidMetric, false
		case bad > 0:
			complete = false
			if cell.sane() && g.broken(cell.value(m.view.Metrics[g.Metric].Stat)) {
				return ReasonGuardrail, false
			}
		case g.broken(cell.value(m.view.Metrics[g.Metric].Stat)):
			return ReasonGuardrail, false
		}
	}
	return NoReason, complete
}

// pool adds the window's success metric to both arms of an experiment.
func (m *machine) pool(w *Window, c Class) {
	s := m.view.Classes[c].Success
	if s < 0 {
		return
	}
	l := &m.lanes[c]
	for i, id := range [2]catalog.VariantID{l.incumbent, l.candidate} {
		if cell, ok := w.Cell(c, id, MetricID(s)); ok && cell.sane() {
			l.arms[i].add(float64(cell.Count), cell.Mean, cell.Var)
		}
	}
}

// harmed is a Welch test on the pooled success metric: the candidate's mean is
// worse by more than HarmRatio of the incumbent's and by HarmZ standard errors.
func (m *machine) harmed(c Class) bool {
	l := &m.lanes[c]
	a, b := l.arms[0], l.arms[1]
	need := float64(m.view.WindowRequests)
	if a.count < max(need, 2) || b.count < max(need, 2) {
		return false
	}
	worse := b.mean - a.mean
	if m.view.Classes[c].Higher {
		worse = -worse
	}
	if !(worse > math.Abs(a.mean)*m.view.Limits.HarmRatio) {
		return false
	}
	return worse > m.view.Limits.HarmZ*math.Sqrt(a.errorSquared()+b.errorSquared())
}

// advance makes the next step of an automatic ramp pending.
func (m *machine) advance(r ruling) Decision {
	l := &m.lanes[r.class]
	d := Decision{Generation: m.generation, Class: r.class, Variant: l.candidate, Outcome: InCanary, Reason: r.reason}
	if r.event == evPromote {
		m.intend(r.class, evPromote, 0)
		d.Outcome, d.Share = Applied, 1
		return d
	}
	next := l.step + 1
	if l.shadow {
		next = 0
	}
	m.intend(r.class, evWiden, m.view.Limits.Ramp[min(next, len(m.view.Limits.Ramp)-1)])
	d.Share = l.target
	return d
}

// effects is what observe needs from the world: the executor swaps a prebuilt
// snapshot and logs, a replay compares.
type effects interface {
	retreat(c Class, e event, why Reason) (Transition, bool)
	enqueue(kind uint16, encode func([]byte) []byte)
}

// observe judges a window, takes back what must go back, and makes the next
// steps of ramps pending. A transition whose From and To are the same explains
// why nothing moved.
func (m *machine) observe(w *Window, fx effects) (out []Transition, plans []Decision) {
	rulings := m.judge(w)
	for c := range m.lanes {
		if t, ok := m.cool(Class(c)); ok {
			fx.enqueue(recordTransition, t.encode)
			out = append(out, t)
		}
	}
	for _, r := range rulings {
		switch r.event {
		case evBreach, evAbort:
			if t, ok := fx.retreat(r.class, r.event, r.reason); ok {
				out = append(out, t)
			}
		case evWiden, evPromote:
			d := m.advance(r)
			fx.enqueue(recordDecision, d.encode)
			plans = append(plans, d)
		default:
			l := &m.lanes[r.class]
			about := l.candidate
			if about == catalog.BuiltIn {
				about = l.incumbent
			}
			out = append(out, m.transition(r.class, l.state, r.reason, about))
		}
	}
	return out, plans
}
