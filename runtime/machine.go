package runtime

import (
	"math"
	"slices"

	"github.com/arqon/arqon/catalog"
)

// machine is Tier 1 without the world: a deterministic function from inputs
// (a release, proposals, windows, commands, ticks) to decisions and
// transitions. It publishes nothing, logs nothing and locks nothing; the
// Executor does, and Replay runs the same machine on logged inputs.
type machine struct {
	view       *view
	generation uint64
	tick       Tick // the highest seen
	lanes      []lane
	knobs      []float64 // never changed in place: snapshots hold the same array
	defaults   []float64 // of the view's knobs; the same
	dead       Reason    // why the kill switch is on; 0: it is off
	intents    uint64    // given out so far
}

// lane is the rollout of one class.
type lane struct {
	state     State
	incumbent catalog.VariantID
	previous  catalog.VariantID // served before the last promotion
	candidate catalog.VariantID // 0: no experiment
	ramp      Ramp
	step      int // index into Limits.Ramp
	share     float64
	salt      uint64
	plan      event   // what becomes of the lane once its intent is durable
	target    float64 // the share that evWiden leads to
	moves     []KnobValue
	pending   bool        // plan waits for its intent
	intent    uint64      // which one
	changed   bool        // since is meaningful
	since     Tick        // of the last change
	strikes   uint        // retreats for cause, each doubles the cool-down
	cooling   Tick        // until
	shadow    bool        // at share 0, but mirrored requests speak for it
	arms      [2]evidence // incumbent, candidate: success metric since the step began
}

// evidence pools windows of one arm's success metric.
type evidence struct {
	count, mean, m2 float64
}

// add folds in n values with the given mean and variance (Chan, Golub,
// LeVeque 1979).
func (e *evidence) add(n, mean, variance float64) {
	if n <= 0 {
		return
	}
	total, d := e.count+n, mean-e.mean
	e.m2 += float64(variance*(n-1)) + float64(d*d)*(e.count*n/total)
	e.mean += d * (n / total)
	e.count = total
}

func (e evidence) errorSquared() float64 {
	if e.count < 2 {
		return math.Inf(1)
	}
	return e.m2 / (e.count - 1) / e.count
}

// newMachine starts every class on the baseline.
func newMachine(v *view) *machine {
	m := &machine{view: v, generation: 1, lanes: make([]lane, len(v.Classes)), defaults: v.defaults()}
	for i := range m.lanes {
		m.lanes[i] = lane{state: Idle, incumbent: v.base(Class(i)), previous: v.base(Class(i))}
	}
	m.knobs = m.defaults
	return m
}

// clone copies what apply and retreat change.
func (m *machine) clone() *machine { return m.cloneInto(&machine{}) }

// cloneInto is clone into a machine that nobody uses any more.
func (m *machine) cloneInto(c *machine) *machine {
	lanes := append(c.lanes[:0], m.lanes...)
	*c = *m
	c.lanes = lanes
	return c
}

func (m *machine) see(t Tick) { m.tick = max(m.tick, t) }

// move makes one transition of the table; an illegal event changes nothing.
func (m *machine) move(c Class, e event) bool {
	to, ok := step(m.lanes[c].state, e)
	if ok {
		m.lanes[c].state = to
	}
	return ok
}

// cool ends a cool-down whose time has passed.
func (m *machine) cool(c Class) (Transition, bool) {
	l := &m.lanes[c]
	if l.state != RolledBack || m.tick < l.cooling {
		return Transition{}, false
	}
	from := l.state
	m.move(c, evCool)
	return m.transition(c, from, ReasonCooled, l.incumbent), true
}

func (m *machine) transition(c Class, from State, why Reason, about catalog.VariantID) Transition {
	l := &m.lanes[c]
	t := Transition{Tick: m.tick, Generation: m.generation, Class: c, From: from, To: l.state, Reason: why, Variant: about, Serves: l.incumbent}
	if about == l.candidate {
		t.Share = l.share
		return t
	}
	if about == l.incumbent {
		t.Share = 1 - l.share
	}
	return t
}

// propose validates and stages. On success the lane waits in StagedState for
// its intent to become durable, then apply brings it into force.
func (m *machine) propose(p Proposal) Decision {
	m.see(p.Tick)
	d := Decision{Generation: m.generation, Class: p.Class, Variant: p.Variant}
	if d.Reason = m.validate(p); d.Reason != NoReason {
		return d
	}
	moves, why := m.clip(p)
	if d.Reason = why; why != NoReason {
		return d
	}
	l := &m.lanes[p.Class]
	if l.candidate != catalog.BuiltIn || !m.move(p.Class, evPropose) {
		d.Reason = ReasonIllegal
		return d
	}
	m.move(p.Class, evValidate)
	m.move(p.Class, evStage)
	l.moves, l.ramp, l.step, l.share, l.shadow = moves, p.Ramp, 0, 0, false
	l.arms = [2]evidence{}
	l.salt = mix(uint64(p.Class)<<32 ^ uint64(p.Variant) ^ mix(m.generation))
	d.Knobs = moves
	switch {
	case p.Variant == l.incumbent:
		m.intend(p.Class, evSettle, 0)
		d.Outcome, d.Share = Applied, 1
	case p.Ramp == RampDirect:
		l.candidate = p.Variant
		m.intend(p.Class, evPromote, 0)
		d.Outcome, d.Share = Applied, 1
	case p.Ramp == RampAuto && m.view.Limits.ShadowWindows > 0:
		l.candidate, l.shadow = p.Variant, true
		m.intend(p.Class, evStage, 0)
		d.Outcome = Staged
	case p.Ramp == RampAuto:
		l.candidate = p.Variant
		m.intend(p.Class, evWiden, m.view.Limits.Ramp[0])
		d.Outcome, d.Share = InCanary, l.target
	default:
		l.candidate = p.Variant
		m.intend(p.Class, evStage, 0)
		d.Outcome = Staged
	}
	return d
}

// intend sets what apply will do. Each plan has its own number, so that the
// durable intent of one can never bring another into force.
func (m *machine) intend(c Class, plan event, target float64) {
	m.intents++
	l := &m.lanes[c]
	l.plan, l.target, l.pending, l.intent = plan, target, true, m.intents
}

// validate answers every question that does not need the knobs' values.
func (m *machine) validate(p Proposal) Reason {
	if int(p.Class) >= len(m.lanes) {
		return ReasonUnknownClass
	}
	m.cool(p.Class)
	l := &m.lanes[p.Class]
	switch {
	case m.dead != NoReason:
		return ReasonKilled
	case p.Base != m.generation:
		return ReasonStaleBase
	case p.Ramp >= rampCount || len(p.Knobs) > knobDeltasMax:
		return ReasonIllegal
	case l.state == RolledBack:
		return ReasonCoolingDown
	case l.state != Idle && l.state != Promoted:
		return ReasonBusy
	}
	if why := m.view.eligible(p.Variant, p.Class); why != NoReason {
		return why
	}
	e, _ := m.view.entry(p.Variant)
	switch {
	case p.Variant == l.incumbent && len(p.Knobs) == 0:
		return ReasonNoChange
	case p.Variant == l.incumbent, p.Variant == m.view.Baseline:
	case p.Ramp == RampDirect && !e.Direct:
		return ReasonNeedsRamp
	case p.Ramp != RampDirect && m.view.MaxExperiments < 1:
		return ReasonBudget
	}
	if l.changed && uint64(m.tick-l.since) < m.view.Limits.ApplyTicksMin {
		return ReasonRateLimited
	}
	return NoReason
}

// clip turns the asked deltas into values within bounds and step limits.
func (m *machine) clip(p Proposal) ([]KnobValue, Reason) {
	if len(p.Knobs) == 0 {
		return nil, NoReason
	}
	out := make([]KnobValue, 0, len(p.Knobs)) // the decision's: its reader may keep it
	for i, d := range p.Knobs {
		if int(d.Knob) >= len(m.knobs) {
			return nil, ReasonUnknownKnob
		}
		k := &m.view.Knobs[d.Knob]
		if !k.Present || k.Variant != p.Variant || twice(p.Knobs[:i], d.Knob) {
			return nil, ReasonUnknownKnob
		}
		if !finite(d.Delta) {
			return nil, ReasonNotANumber
		}
		now := m.knobs[d.Knob]
		to := now + min(max(d.Delta, -k.Bounds.MaxDelta), k.Bounds.MaxDelta)
		to = min(max(to, k.Bounds.Min), k.Bounds.Max)
		if math.Abs(to-now) > k.Bounds.MaxDelta { // rounding of now+delta
			to = now
		}
		if to == now && d.Delta != 0 && len(p.Knobs) == 1 && p.Variant == m.lanes[p.Class].incumbent {
			return nil, ReasonOutOfBounds
		}
		out = append(out, KnobValue{Knob: d.Knob, Value: to, Clipped: to != now+d.Delta})
	}
	return out, NoReason
}

func twice(before []KnobDelta, k KnobID) bool {
	for i := range before {
		if before[i].Knob == k {
			return true
		}
	}
	return false
}

// apply brings a pending plan into force. The caller has made its intent
// durable; it says false if something safer has happened in between.
func (m *machine) apply(c Class, intent uint64) (Transition, bool) {
	if int(c) >= len(m.lanes) {
		return Transition{}, false
	}
	l := &m.lanes[c]
	if !l.pending || l.intent != intent || m.dead != NoReason {
		return Transition{}, false
	}
	from, about, why := l.state, l.candidate, NoReason
	if from == Canary || l.shadow && l.plan == evWiden { // a later step of a ramp has evidence
		why = ReasonEvidence
	}
	switch l.plan {
	case evSettle:
		about = l.incumbent
		m.move(c, evSettle)
	case evStage:
	case evWiden:
		m.move(c, evWiden)
		l.share, l.shadow, l.arms = l.target, false, [2]evidence{}
		l.step = m.stepOf(l.share)
	case evPromote:
		m.move(c, evPromote)
		l.previous, l.incumbent, l.candidate, l.share = l.incumbent, l.candidate, catalog.BuiltIn, 0
	default:
		return Transition{}, false
	}
	if len(l.moves) > 0 {
		m.knobs = slices.Clone(m.knobs)
		for _, k := range l.moves {
			m.knobs[k.Knob] = k.Value
		}
	}
	m.generation++
	l.pending, l.moves, l.changed, l.since = false, nil, true, m.tick
	return m.transition(c, from, why, about), true
}

func (m *machine) stepOf(share float64) int {
	i := 0
	for i+1 < len(m.view.Limits.Ramp) && m.view.Limits.Ramp[i+1] <= share {
		i++
	}
	return i
}

// kill takes every class to the baseline with default knobs. It is legal in
// every state and final until revive.
func (m *machine) kill(why Reason) {
	if m.dead != NoReason {
		return
	}
	for c := range m.lanes {
		m.move(Class(c), evKill)
		m.lanes[c] = lane{state: m.lanes[c].state, incumbent: m.view.base(Class(c)), previous: m.view.base(Class(c))}
	}
	m.knobs = m.defaults
	m.generation++
	m.dead = why
	if why == NoReason {
		m.dead = ReasonOperator
	}
}

// revive turns the kill switch off: every class is idle on the baseline.
func (m *machine) revive() bool {
	if m.dead == NoReason {
		return false
	}
	for c := range m.lanes {
		m.move(Class(c), evRevive)
	}
	m.dead = NoReason
	m.generation++
	return true
}

// widen asks for a larger share of a manual experiment; as with propose, apply
// follows once the intent is durable.
func (m *machine) widen(c Class, share float64, t Tick) Decision {
	m.see(t)
	d := Decision{Generation: m.generation, Class: c}
	if int(c) >= len(m.lanes) {
		d.Reason = ReasonUnknownClass
		return d
	}
	l := &m.lanes[c]
	d.Variant = l.candidate
	switch {
	case m.dead != NoReason:
		d.Reason = ReasonKilled
	case l.candidate == catalog.BuiltIn || l.pending || (l.state != StagedState && l.state != Canary):
		d.Reason = ReasonIllegal
	case !(share > l.share) || share > 1:
		d.Reason = ReasonBadShare
	default:
		m.intend(c, evWiden, share)
		d.Outcome, d.Share = InCanary, share
	}
	return d
}

// promote asks that a manual experiment which serves every request becomes the
// incumbent; apply follows once the intent is durable.
func (m *machine) promote(c Class, t Tick) Decision {
	m.see(t)
	d := Decision{Generation: m.generation, Class: c}
	if int(c) >= len(m.lanes) {
		d.Reason = ReasonUnknownClass
		return d
	}
	l := &m.lanes[c]
	d.Variant = l.candidate
	switch {
	case m.dead != NoReason:
		d.Reason = ReasonKilled
	case l.pending || l.state != Canary || l.ramp != RampManual:
		d.Reason = ReasonIllegal
	case l.share < 1:
		d.Reason = ReasonBadShare
	default:
		m.intend(c, evPromote, 0)
		d.Outcome, d.Share = Applied, 1
	}
	return d
}

// hold is pause or resume: the share stays and the ramp stops, or goes on.
func (m *machine) hold(c Class, e event, t Tick) (Transition, bool) {
	m.see(t)
	if int(c) >= len(m.lanes) || m.dead != NoReason {
		return Transition{}, false
	}
	l := &m.lanes[c]
	from := l.state
	if l.pending || !m.move(c, e) {
		return Transition{}, false
	}
	l.arms = [2]evidence{}
	return m.transition(c, from, ReasonOperator, l.candidate), true
}

// adopt puts a new release in force: incumbents that are still eligible stay,
// experiments end, knobs keep their values where the new bounds allow.
func (m *machine) adopt(v *view) {
	old := m.view
	m.view, m.defaults = v, v.defaults()
	knobs := slices.Clone(m.defaults)
	for i, k := range v.Knobs {
		if i < len(m.knobs) && k.Present && m.knobs[i] >= k.Bounds.Min && m.knobs[i] <= k.Bounds.Max {
			knobs[i] = m.knobs[i]
		}
	}
	m.knobs = knobs
	keep := func(id catalog.VariantID, c int) catalog.VariantID {
		if id == old.Baseline || v.eligible(id, Class(c)) != NoReason {
			return v.base(Class(c))
		}
		return id
	}
	for c := range v.Classes {
		if c >= len(m.lanes) {
			m.lanes = append(m.lanes, lane{state: Idle, incumbent: v.base(Class(c)), previous: v.base(Class(c))})
			continue
		}
		l := &m.lanes[c]
		m.knobs = m.knobsWithout(l.candidate)
		m.move(Class(c), evRelease)
		*l = lane{
			state: l.state, incumbent: keep(l.incumbent, c), previous: keep(l.previous, c),
			changed: l.changed, since: l.since, cooling: l.cooling,
		}
	}
	m.generation++
}
