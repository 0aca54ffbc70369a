package runtime

import (
	"fmt"
	"slices"
	"sync"

	"github.com/arqon/arqon/catalog"
)

// Executor is Tier 1: the only component that changes what serves. Forward
// changes go propose → validate → stage → durable intent → one swap; the way
// back is one swap of a prebuilt snapshot first, and the log after it. The
// lock is never held across the log, so a disk that hangs delays neither a
// rollback's swap nor the kill switch.
type Executor struct {
	rt    *Runtime
	mu    sync.Mutex
	m     *machine
	spare *machine // nobody's: the next one is made in it
	table *table

	back   [2][]*Snapshot // by class: after an abort, after a breach
	below  *Snapshot      // what the kill switch stores once one of them serves
	bottom *Snapshot      // the latest that was made for the kill switch
	draft  draft

	queue   queue // what is still to be written, in machine order
	logMu   sync.Mutex
	log     Log
	writes  queue  // what is being written; this and the next two under logMu
	last    uint64 // sequence of the last record
	written bool   // there is one
	frozen  error  // why the log cannot be trusted any more; sticky
}

// routable are the arms that the next snapshot of a class can route to, those
// of the live one, and those of the ways back.
func (x *Executor) routable(m *machine, c int) [6]uint32 {
	l := &m.lanes[c]
	ids := [6]uint32{uint32(l.incumbent), uint32(l.candidate), uint32(m.view.base(Class(c))), uint32(l.previous)}
	if live := x.rt.live.Load(); live != nil && c < len(live.route) {
		ids[4], ids[5] = live.route[c], live.canary[c].variant
	}
	return ids
}

// layout lists the routable arms by class, the likeliest first and the built-in
// last.
func (x *Executor) layout(m *machine) [][]uint32 {
	out := make([][]uint32, len(m.lanes))
	for c := range m.lanes {
		ids := x.routable(m, c)
		for i, id := range ids {
			if id != uint32(catalog.BuiltIn) && !slices.Contains(ids[:i], id) {
				out[c] = append(out[c], id)
			}
		}
		out[c] = append(out[c], uint32(catalog.BuiltIn))
	}
	return out
}

// makeRoom gives whatever next can route to a place to record into.
func (x *Executor) makeRoom(next *machine) {
	if !x.rt.hasRoom(len(next.lanes), func(c int) [6]uint32 { return x.routable(next, c) }) {
		x.rt.relayout(x.layout(next))
	}
}

// swap publishes s unless the kill switch has been thrown since live was read.
func (x *Executor) swap(s *Snapshot) bool {
	live := x.rt.live.Load()
	return x.rt.killed.Load() == 0 && x.rt.live.CompareAndSwap(live, s)
}

// publish makes next the machine in force: one swap.
func (x *Executor) publish(next *machine) bool {
	x.makeRoom(next)
	if !x.swap(x.build(next)) {
		return false
	}
	x.m, x.spare = next, x.m
	x.rebuild()
	return true
}

// noticeKill brings the machine to where a kill has already put the pointer.
func (x *Executor) noticeKill() {
	why := x.rt.Killed()
	if why == NoReason || x.m.dead != NoReason {
		return
	}
	x.rt.Kill(why) // finishes the swap if the killer has not yet
	x.m.kill(why)
	if live := x.rt.live.Load(); live.generation != x.m.generation { // a retreat was overtaken
		x.rt.live.CompareAndSwap(live, x.build(x.m))
	}
	x.enqueue(recordCommand, command{Verb: verbKill, Reason: why, Tick: x.m.tick}.encode)
	x.rebuild()
}

// dead answers a request that came after a kill or a log failure.
func (x *Executor) dead() Reason {
	if x.frozen != nil {
		return ReasonLogFailed
	}
	if x.m.dead != NoReason {
		return ReasonKilled
	}
	return NoReason
}

// Propose validates, stages and applies one change; the zero Outcome is
// Refused and Reason says why. With a log it returns after the intent is
// durable and the swap has happened.
func (x *Executor) Propose(p Proposal) Decision {
	x.mu.Lock()
	x.noticeKill()
	if why := x.dead(); why != NoReason {
		d := Decision{Generation: x.m.generation, Class: p.Class, Variant: p.Variant, Reason: why}
		x.mu.Unlock()
		return d
	}
	x.enqueue(recordProposal, p.encode)
	d := x.m.propose(p)
	return x.decide(d)
}

// Widen gives a manual experiment a larger share, in (0, 1].
func (x *Executor) Widen(c Class, share float64, now Tick) Decision {
	x.mu.Lock()
	x.noticeKill()
	x.enqueue(recordCommand, command{Verb: verbWiden, Class: c, Tick: now, Share: share}.encode)
	return x.decide(x.m.widen(c, share, now))
}

// Promote makes a manual experiment that serves every request the incumbent.
func (x *Executor) Promote(c Class, now Tick) Decision {
	x.mu.Lock()
	x.noticeKill()
	x.enqueue(recordCommand, command{Verb: verbPromote, Class: c, Tick: now}.encode)
	return x.decide(x.m.promote(c, now))
}

// decide logs a decision, waits for its intent and applies it. The caller
// holds the lock; decide releases it.
func (x *Executor) decide(d Decision) Decision {
	x.enqueue(recordDecision, d.encode)
	forward := d.Outcome != Refused
	intent := uint64(0)
	if forward {
		intent = x.m.lanes[d.Class].intent
		x.rebuild() // the way back from a staged experiment is another one
	}
	x.mu.Unlock()
	if err := x.drain(forward); err != nil {
		return x.refused(d, ReasonLogFailed)
	}
	if !forward {
		return d
	}
	d, _ = x.forward(d, intent)
	return d
}

func (x *Executor) refused(d Decision, why Reason) Decision {
	return Decision{Generation: x.rt.Load().Generation(), Class: d.Class, Variant: d.Variant, Reason: why}
}

// forward swaps a staged change in, if nothing safer has happened since.
func (x *Executor) forward(d Decision, intent uint64) (Decision, Transition) {
	x.mu.Lock()
	x.noticeKill()
	next := x.m.cloneInto(x.spare)
	t, ok := next.apply(d.Class, intent)
	if ok {
		ok = x.publish(next)
	}
	if !ok {
		x.noticeKill()
		why := ReasonSuperseded
		if dead := x.dead(); dead != NoReason {
			why = dead
		}
		x.mu.Unlock()
		return x.refused(d, why), Transition{}
	}
	d.Generation = t.Generation
	x.enqueue(recordApplied, t.encode)
	x.mu.Unlock()
	if err := x.drain(false); err != nil {
		return x.refused(d, ReasonLogFailed), Transition{}
	}
	return d, t
}

// retreat takes a class back: the prebuilt snapshot first. Locked.
func (x *Executor) retreat(c Class, e event, why Reason) (Transition, bool) {
	i := 0
	if e == evBreach {
		i = 1
	}
	if int(c) >= len(x.back[i]) || x.back[i][c] == nil {
		return Transition{}, false
	}
	swapped := x.swap(x.back[i][c])
	t, ok := x.m.retreat(c, e, why)
	if ok {
		x.enqueue(recordTransition, t.encode)
	}
	if !swapped { // only the kill switch is faster
		x.noticeKill()
	}
	x.rebuild()
	return t, ok
}

// Observe judges a window: guardrails of the signed policy first (an incumbent
// that breaks one goes back to the baseline, a canary back to what served
// before), then harm, then the next step of automatic ramps. It returns what
// happened, class by class; a transition whose From and To are the same
// explains why nothing moved.
func (x *Executor) Observe(w *Window) []Transition {
	x.mu.Lock()
	x.noticeKill()
	x.enqueue(recordWindow, w.encode)
	out, plans := x.m.observe(w, x)
	intents := make([]uint64, len(plans))
	for i, d := range plans {
		intents[i] = x.m.lanes[d.Class].intent
	}
	x.mu.Unlock()
	if err := x.drain(len(out) > 0 || len(plans) > 0); err != nil {
		return out
	}
	for i, d := range plans {
		if d, t := x.forward(d, intents[i]); d.Outcome != Refused {
			out = append(out, t)
		}
	}
	return out
}

// Rollback ends the class's experiment, or, without one, returns to what
// served before the last promotion.
func (x *Executor) Rollback(c Class, why Reason, now Tick) (Transition, bool) {
	return x.takeBack(c, evAbort, verbRollback, why, now)
}

// Snapback returns the class to the baseline with default knobs.
func (x *Executor) Snapback(c Class, why Reason, now Tick) (Transition, bool) {
	return x.takeBack(c, evBreach, verbSnapback, why, now)
}

func (x *Executor) takeBack(c Class, e event, v verb, why Reason, now Tick) (Transition, bool) {
	if why == NoReason || why >= reasonCount {
		why = ReasonOperator
	}
	x.mu.Lock()
	x.noticeKill()
	x.m.see(now)
	x.enqueue(recordCommand, command{Verb: v, Class: c, Tick: now, Reason: why}.encode)
	t, ok := x.retreat(c, e, why)
	x.mu.Unlock()
	if err := x.drain(true); err != nil {
		return t, ok // the swap has happened; drain has frozen the rest
	}
	return t, ok
}

// Pause keeps a canary's share where it is; Resume lets it grow again.
func (x *Executor) Pause(c Class, now Tick) (Transition, bool) {
	return x.hold(c, evPause, verbPause, now)
}

// Resume lets a paused canary grow again, on fresh evidence.
func (x *Executor) Resume(c Class, now Tick) (Transition, bool) {
	return x.hold(c, evResume, verbResume, now)
}

func (x *Executor) hold(c Class, e event, v verb, now Tick) (Transition, bool) {
	x.mu.Lock()
	x.noticeKill()
	x.enqueue(recordCommand, command{Verb: v, Class: c, Tick: now}.encode)
	t, ok := x.m.hold(c, e, now)
	if ok {
		x.enqueue(recordTransition, t.encode)
		x.rebuild()
	}
	x.mu.Unlock()
	if err := x.drain(true); err != nil {
		return t, false
	}
	return t, ok
}

// Revive turns the kill switch off: every class idles on the baseline. It
// needs a durable intent, so a runtime whose log has failed stays frozen.
func (x *Executor) Revive(now Tick) error {
	x.mu.Lock()
	x.noticeKill()
	x.m.see(now)
	if x.m.dead == NoReason {
		x.mu.Unlock()
		return nil
	}
	x.enqueue(recordCommand, command{Verb: verbRevive, Tick: now}.encode)
	x.mu.Unlock()
	if err := x.drain(true); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	live := x.rt.live.Load()
	x.m.revive()
	x.rt.killed.Store(0)
	if x.rt.live.CompareAndSwap(live, x.build(x.m)) && x.rt.Killed() != NoReason {
		x.rt.Kill(x.rt.Killed()) // thrown again while it was being turned off
	}
	x.rebuild()
	x.noticeKill()
	return nil
}

// Status is where a class stands.
type Status struct {
	State     State
	Incumbent catalog.VariantID
	Previous  catalog.VariantID
	Candidate catalog.VariantID // BuiltIn: none
	Share     float64
	Cooling   Tick // until
}

// Status returns where a class stands.
func (x *Executor) Status(c Class) (Status, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noticeKill()
	if int(c) >= len(x.m.lanes) {
		return Status{}, false
	}
	l := &x.m.lanes[c]
	return Status{l.state, l.incumbent, l.previous, l.candidate, l.share, l.cooling}, true
}

// Frozen returns why adaptation is frozen, nil if it is not.
func (x *Executor) Frozen() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.frozen
}

func (x *Executor) viewNow() *view {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.m.view
}

// current is what Adopt starts from.
func (x *Executor) current() (*view, *table, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noticeKill()
	return x.m.view, x.table, x.refusal()
}

func (x *Executor) refusal() error {
	if x.frozen != nil {
		return fmt.Errorf("%w: %w", ErrFrozen, x.frozen)
	}
	if x.m.dead != NoReason {
		return fmt.Errorf("%w (%v): revive first", ErrKilled, x.m.dead)
	}
	return nil
}

// adopt swaps a staged release in, after its intent is durable.
func (x *Executor) adopt(v *view, t *table) error {
	x.mu.Lock()
	x.enqueue(recordRelease, v.encode)
	x.mu.Unlock()
	if err := x.drain(true); err != nil {
		return err
	}
	x.mu.Lock()
	x.noticeKill()
	if err := x.refusal(); err != nil {
		x.mu.Unlock()
		return err
	}
	before := x.table
	next := x.m.clone()
	next.adopt(v)
	x.table = t
	if !x.publish(next) {
		x.table = before
		x.noticeKill()
		err := x.refusal()
		x.mu.Unlock()
		return err
	}
	x.enqueue(recordAdopted, adopted{Sequence: v.Sequence, Generation: next.generation}.encode)
	x.mu.Unlock()
	return x.drain(false)
}
