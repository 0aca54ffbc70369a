package runtime

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// The small world of these tests: two classes, a baseline and three variants,
// one of which only canary scope allows, two knobs on variant 2, guardrails on
// accuracy everywhere and on latency in "burst".

const (
	idBase   catalog.VariantID = 1
	idFast   catalog.VariantID = 2 // 40 % cheaper in low load and burst
	idSmall  catalog.VariantID = 3 // 10 % cheaper in low load only
	idUntold catalog.VariantID = 4 // serves both, nothing shown
)

func ptr(x float64) *float64 { return &x }

func entry(id catalog.VariantID, change float64, contexts ...string) catalog.Entry {
	name := fmt.Sprintf("v%d", id)
	e := catalog.Entry{
		ID:       id,
		Variant:  catalog.Variant{Name: name, Domain: "toy", Identity: artifacts.DigestOf([]byte(name))},
		Envelope: catalog.Envelope{Contexts: contexts, MemoryBytesMax: 1000 * int64(id)},
		Scope:    catalog.ScopeStaging,
	}
	for _, c := range contexts {
		if change != 0 {
			e.Expectations = append(e.Expectations, catalog.Expectation{
				Metric: "cost", Context: c, Direction: "lower", Scale: "ratio", Baseline: 100, Value: 100 * (1 + change),
				Change: change, Lower: change - .05, Upper: change + .05, Alpha: .01,
			})
		}
	}
	return e
}

func toyRelease(sequence uint64) *catalog.Release {
	fast := entry(idFast, -.4, "low", "burst")
	fast.Variant.Knobs = []catalog.Knob{
		{Name: "threshold", Default: .5, Bounds: catalog.Bounds{Min: 0, Max: 1, MaxDelta: .1}},
		{Name: "batch", Default: 8, Bounds: catalog.Bounds{Min: 1, Max: 64, MaxDelta: 4}},
	}
	return &catalog.Release{
		Schema: catalog.ManifestSchema, Channel: "staging", Domain: "toy", Sequence: sequence, RuntimeMin: 1,
		Contexts: []string{"low", "burst"}, Baseline: idBase, NextID: 5,
		Policy: catalog.Policy{
			Guardrails:     []catalog.Guardrail{{Metric: "accuracy", Min: ptr(.8)}, {Metric: "latency", Context: "burst", Max: ptr(1000)}},
			MaxExperiments: 1, CoolDownTicks: 3, WindowRequests: 10,
		},
		Entries: []catalog.Entry{entry(idBase, 0, "low", "burst"), fast, entry(idSmall, -.1, "low"), entry(idUntold, 0, "low", "burst")},
	}
}

func manifestOf(r *catalog.Release) string {
	return string(artifacts.DigestOf(fmt.Appendf(nil, "%s %d", r.Channel, r.Sequence)))
}

var toyMetrics = []Metric{{Name: "cost"}, {Name: "accuracy"}, {Name: "latency", Stat: P99}}

const (
	mCost MetricID = iota
	mAccuracy
	mLatency
)

const (
	cLow Class = iota
	cBurst
)

func toyConfig() Config {
	return Config{
		Metrics: toyMetrics, Shards: 2, Seed: 7, BuiltIn: "built in",
		Stage: func(_ context.Context, e catalog.Entry, _ artifacts.Getter) (any, error) { return e.Variant.Name, nil },
	}
}

func openToy(t testing.TB, cfg Config, change ...func(*catalog.Release)) *Runtime {
	t.Helper()
	r := toyRelease(1)
	for _, f := range change {
		f(r)
	}
	rt, err := open(context.Background(), cfg, r, manifestOf(r), nil)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// cells describes a window by (class, variant): cost, accuracy, p99.
func window(tick Tick, cells ...Cell) *Window { return &Window{Tick: tick, Cells: cells} }

func seen(c Class, v catalog.VariantID, cost, accuracy, latency float64) []Cell {
	cell := func(m MetricID, x float64) Cell {
		return Cell{Class: c, Variant: v, Metric: m, Count: 50, Mean: x, Var: 1e-4, Min: x, Max: x, P50: x, P99: x}
	}
	return []Cell{cell(mCost, cost), cell(mAccuracy, accuracy), cell(mLatency, latency)}
}

func propose(rt *Runtime, tick Tick, c Class, v catalog.VariantID, r Ramp, knobs ...KnobDelta) Decision {
	return rt.Executor().Propose(Proposal{Tick: tick, Base: rt.Load().Generation(), Class: c, Variant: v, Ramp: r, Knobs: knobs})
}

// check asserts what must hold whenever nothing is in flight.
func check(t testing.TB, rt *Runtime) {
	t.Helper()
	if err := invariants(rt); err != nil {
		t.Fatal(err)
	}
}

func invariants(rt *Runtime) error {
	x := &rt.executor
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noticeKill()
	s, m := rt.Load(), x.m
	var errs []error
	fail := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if !s.Intact() {
		fail("snapshot %d is not intact", s.generation)
	}
	if want := x.bare(m); want.checksum != s.checksum {
		fail("the published snapshot %d is not the machine's state %d", s.generation, m.generation)
	}
	for c := range m.lanes {
		l := m.lanes[c]
		for _, id := range []catalog.VariantID{l.incumbent, l.candidate} {
			if id != catalog.BuiltIn && m.view.eligible(id, Class(c)) != NoReason {
				fail("class %d has ineligible variant %d: %v", c, id, m.view.eligible(id, Class(c)))
			}
			if s.Handle(id) == nil {
				fail("variant %d has no handle", id)
			}
		}
		if (l.candidate != catalog.BuiltIn) != (l.state == StagedState || l.state == Canary || l.state == Paused) {
			fail("class %d: candidate %d in state %v", c, l.candidate, l.state)
		}
		if l.pending && l.state != StagedState && l.state != Canary {
			fail("class %d: pending in state %v", c, l.state)
		}
	}
	for k, v := range m.knobs {
		if b := m.view.Knobs[k].Bounds; !(v >= b.Min && v <= b.Max) {
			fail("knob %d is %g", k, v)
		}
	}
	if dead := rt.Killed() != NoReason; dead {
		for c := range s.route {
			if s.route[c] != uint32(m.view.Baseline) || s.canary[c].below != 0 {
				fail("class %d does not serve the baseline although the switch is on", c)
			}
		}
	}
	return errors.Join(errs...)
}
