package main

import (
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/adapt"
)

// universeTuner is Tier 2 of a universe: every few windows it looks at how
// structured shard 0's pattern has become, and proposes where the knobs of the
// kernel in force (feed, kill, …) should go. Tier 1 clips what leaves the
// bounds that the entry signs, or moves too far at once.
type universeTuner struct {
	load    *universeLoad
	by      map[catalog.VariantID]*knobSearch
	serving catalog.VariantID // whose question is open; the built-in has none
	moves   int               // of knobs, accepted
}

// knobSearch is what is known of one variant's knobs.
type knobSearch struct {
	knobs  []runtime.KnobID
	search *adapt.Tuner
	asked  bool // what serves now is what it asked for, as far as Tier 1 let it go
}

// tunePeriod is how many windows knobs stay: a pattern answers slowly. Of 1, 4
// and 10, patterns fared best with 10 (docs/universe.md).
const tunePeriod = 10

// due says whether knobs have stayed long enough to be judged.
func (t *universeTuner) due(w *window) bool {
	return w.from/t.load.host.plan.window%tunePeriod == tunePeriod-1
}

// cycle tells the loss of the window to the search of the variant that serves
// it, and proposes what that asks for next. A variant that was taken back in
// between has failed: its question is answered by "never again".
func (t *universeTuner) cycle(w *window, pattern *universe.Field) {
	host := t.load.host
	snap := host.rt.Load()
	id := snap.Select(w.id)
	if t.serving != id {
		if s := t.by[t.serving]; s != nil && s.asked {
			s.search.Tell(math.NaN())
			s.asked = false
		}
		t.serving = id
	}
	h, ok := snap.Handle(id).(*kernelHandle)
	if !ok || len(h.knobs) == 0 {
		return
	}
	s := t.by[id]
	if s == nil {
		if s = t.begin(id, h.knobs, snap); s == nil {
			return
		}
		t.by[id] = s
	}
	now := make([]float64, len(s.knobs))
	for i, k := range s.knobs {
		now[i] = snap.Knob(k)
	}
	if s.asked {
		s.search.TellAt(now, -t.load.here().law.Complexity(pattern))
		s.asked = false
	}
	p := runtime.Proposal{Tick: host.tick, Base: snap.Generation(), Class: w.id, Variant: id, Seed: adapt.Draw(host.flags.seed, uint64(w.id), uint64(host.tick))}
	for i, x := range s.search.Ask() {
		if x != now[i] {
			p.Knobs = append(p.Knobs, runtime.KnobDelta{Knob: s.knobs[i], Delta: x - now[i]})
		}
	}
	if len(p.Knobs) == 0 { // it wants to see this point again
		s.asked = true
		return
	}
	d := host.rt.Executor().Propose(p)
	if d.Outcome == runtime.Refused {
		host.decided([]runtime.Decision{d})
		return
	}
	s.asked = true
	t.moves += len(d.Knobs)
}

// begin starts the search where the knobs are, nil if the release in force has
// not all of them.
func (t *universeTuner) begin(id catalog.VariantID, knobs []catalog.Knob, snap *runtime.Snapshot) *knobSearch {
	s := &knobSearch{}
	var ranges []adapt.Range
	var start []float64
	for _, k := range knobs {
		at, ok := t.load.host.rt.Knob(id, k.Name)
		if !ok {
			return nil
		}
		s.knobs = append(s.knobs, at)
		ranges = append(ranges, adapt.Range{Min: k.Bounds.Min, Max: k.Bounds.Max, StepMax: k.Bounds.MaxDelta})
		start = append(start, snap.Knob(at))
	}
	var err error
	s.search, err = adapt.NewTuner(adapt.TunerConfig{Seed: adapt.Draw(t.load.host.flags.seed, ^uint64(0), uint64(id))}, ranges, start)
	if err != nil {
		t.load.host.note("tuner", err.Error())
		return nil
	}
	return s
}

// knobsOf are the law's knobs as a variant has them in the release in force:
// by the law's order, −1 where the entry has none and the default stands.
func (l *universeLoad) knobsOf(rt *runtime.Runtime, id catalog.VariantID) []int {
	knobs := l.here().law.Knobs
	out := make([]int, len(knobs))
	for i, k := range knobs {
		out[i] = -1
		if at, ok := rt.Knob(id, k.Name); ok {
			out[i] = int(at)
		}
	}
	return out
}

// turn gives a field the knobs of the snapshot. It notes for shard 0 from which
// step on, so that the reference can do the same.
func (l *universeLoad) turn(s *shard, g *ground, snap *runtime.Snapshot, at []int) error {
	values := g.law.Defaults()
	for i, k := range at {
		if k >= 0 {
			values[i] = snap.Knob(runtime.KnobID(k))
		}
	}
	if slices.Equal(values, g.knobs[s.index]) {
		return nil
	}
	g.knobs[s.index] = values
	u := g.fields[s.index]
	if s.index == 0 {
		l.turned = append(l.turned, knobTurn{u.Steps(), values})
	}
	return u.SetKnobs(g.law, values)
}

// knobTurn is a field's knobs from a step on.
type knobTurn struct {
	from   uint64
	values []float64
}
