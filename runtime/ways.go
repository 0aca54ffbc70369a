package runtime

import (
	"math"
	"slices"
)

// Snapshots are built by the writer alone, and most of what one holds is what
// the one before held: a knob that moves leaves every route as it was, a class
// that goes another way leaves the knobs. Such parts are shared, because nobody
// ever changes them. What the kill switch stores and the ways back of every
// class are prepared with each change, so that taking them costs one swap.

// draft is where the routes of the next snapshot are put together.
type draft struct {
	route  []uint32
	canary []canaryArm
}

// draw puts the routes of a machine's classes into the draft.
func (d *draft) draw(m *machine) {
	d.route, d.canary = slices.Grow(d.route[:0], len(m.lanes)), slices.Grow(d.canary[:0], len(m.lanes))
	for c := range m.lanes {
		l := &m.lanes[c]
		var a canaryArm
		if l.state == Canary || l.state == Paused {
			a = arm(l.candidate, l.share, l.salt)
		} else if l.shadow && !l.pending {
			a = canaryArm{variant: uint32(l.candidate)}
		}
		d.route, d.canary = append(d.route, uint32(l.incumbent)), append(d.canary, a)
	}
}

// settle draws every class on its fallback.
func (d *draft) settle(v *view) {
	d.route, d.canary = slices.Grow(d.route[:0], len(v.Classes)), slices.Grow(d.canary[:0], len(v.Classes))
	for c := range v.Classes {
		d.route, d.canary = append(d.route, uint32(v.base(Class(c)))), append(d.canary, canaryArm{})
	}
}

// alike reports whether a snapshot has the routes of the draft.
func (d *draft) alike(s *Snapshot) bool {
	return slices.Equal(s.route, d.route) && slices.Equal(s.canary, d.canary)
}

// alike reports whether two sets of knobs are the same to the bit.
func alike(a, b []float64) bool {
	if same(a, b) {
		return true
	}
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// fill gives a snapshot its parts: the draft's routes and the knobs, from one of
// the others (nil: none) where that has the same, and the checksum.
func (x *Executor) fill(s *Snapshot, m *machine, generation uint64, knobs []float64, others ...*Snapshot) {
	s.generation, s.release, s.table = generation, m.view.Sequence, x.table
	for _, o := range others {
		if o == nil {
			continue
		}
		if s.route == nil && x.draft.alike(o) {
			s.route, s.canary, s.routesSum = o.route, o.canary, o.routesSum
		}
		if s.knobs == nil && alike(o.knobs, knobs) {
			s.knobs, s.knobsSum = o.knobs, o.knobsSum
		}
	}
	if s.route == nil {
		s.route, s.canary = slices.Clone(x.draft.route), slices.Clone(x.draft.canary)
		s.routesSum = sumRoutes(s.route, s.canary)
	}
	if s.knobs == nil {
		s.knobs, s.knobsSum = knobs, sumKnobs(knobs)
	}
	s.checksum = checksum(generation, s.release, s.routesSum, s.knobsSum)
}

// bare makes the snapshot of a machine's state, without a way to kill it.
func (x *Executor) bare(m *machine) *Snapshot {
	s := &Snapshot{}
	x.draft.draw(m)
	x.fill(s, m, m.generation, m.knobs, x.rt.live.Load(), x.bottom)
	return s
}

// build makes the snapshot of a machine's state and what the kill switch would
// store in its place.
func (x *Executor) build(m *machine) *Snapshot {
	s := x.bare(m)
	if m.dead == NoReason {
		s.kill = x.killed(m, m.generation+1)
	}
	return s
}

// killed makes what the kill switch leads to.
func (x *Executor) killed(m *machine, generation uint64) *Snapshot {
	s := &Snapshot{}
	x.draft.settle(m.view)
	x.fill(s, m, generation, m.defaults, x.bottom)
	x.bottom = s
	return s
}

// rebuild prepares the ways back from the machine's present state. One that
// leads where another leads is the same snapshot.
func (x *Executor) rebuild() {
	m := x.m
	if m.dead == NoReason && !x.belongs(x.below, m.generation+2) {
		x.below = x.killed(m, m.generation+2)
	}
	x.draft.draw(m)
	for i, e := range [...]event{evAbort, evBreach} {
		if len(x.back[i]) != len(m.lanes) {
			x.back[i] = make([]*Snapshot, len(m.lanes))
		}
		for c := range m.lanes {
			to, ok := m.wayBack(Class(c), e)
			if !ok {
				x.back[i][c] = nil
				continue
			}
			route, canary := x.draft.route[c], x.draft.canary[c]
			x.draft.route[c], x.draft.canary[c] = uint32(to.incumbent), canaryArm{}
			x.back[i][c] = x.prepare(to.knobs, x.back[i][c], x.back[0][c], x.back[i][max(c, 1)-1], x.rt.live.Load(), x.bottom)
			x.draft.route[c], x.draft.canary[c] = route, canary
		}
	}
}

// belongs reports whether a snapshot is of a generation of the release in force.
func (x *Executor) belongs(s *Snapshot, generation uint64) bool {
	return s != nil && s.generation == generation && s.release == x.m.view.Sequence && s.table == x.table
}

// prepare makes one way back, or takes one of the others that leads there.
func (x *Executor) prepare(knobs []float64, others ...*Snapshot) *Snapshot {
	next := x.m.generation + 1
	for _, o := range others {
		if x.belongs(o, next) && o.kill == x.below && x.draft.alike(o) && alike(o.knobs, knobs) {
			return o
		}
	}
	s := &Snapshot{kill: x.below}
	x.fill(s, x.m, next, knobs, others...)
	return s
}
