package runtime

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/arqon/arqon/catalog"
)

func TestOpenServesTheBaselineAndInstallTheBest(t *testing.T) {
	rt := openToy(t, toyConfig())
	for _, name := range []string{"low", "burst"} {
		c, ok := rt.Class(name)
		if s := rt.Load(); !ok || s.Select(c) != idBase || s.Handle(s.Select(c)) != "v1" {
			t.Fatalf("%s does not serve the baseline", name)
		}
	}
	ds := rt.Install(1)
	if len(ds) != 2 {
		t.Fatalf("decisions: %+v", ds)
	}
	for _, d := range ds {
		if d.Outcome != Applied || d.Variant != idFast {
			t.Fatalf("decision: %+v", d)
		}
	}
	if s := rt.Load(); s.Handle(s.Select(cBurst)) != "v2" || s.Generation() != 3 || s.Release() != 1 {
		t.Fatalf("generation %d serves %v", s.Generation(), s.Handle(s.Select(cBurst)))
	}
	if s := rt.Load(); s.Select(99) != catalog.BuiltIn || s.Handle(catalog.BuiltIn) != "built in" || s.Handle(77) != "built in" || s.Knob(99) != 0 {
		t.Fatal("what does not exist must be the built-in fallback")
	}
	if len(rt.Install(2)) != 0 {
		t.Fatal("a second install has something to do")
	}
	check(t, rt)
}

func TestGuardrailSnapsBackAndCoolsDown(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	knob, ok := rt.Knob(idFast, "threshold")
	if !ok {
		t.Fatal("no knob")
	}
	if d := propose(rt, 2, cLow, idFast, RampAuto, KnobDelta{knob, .05}); d.Outcome != Applied || rt.Load().Knob(knob) != .55 {
		t.Fatalf("%+v knob %g", d, rt.Load().Knob(knob))
	}
	ts := rt.Executor().Observe(window(3, append(seen(cLow, idFast, 60, .5, 100), seen(cBurst, idFast, 60, .9, 100)...)...))
	if len(ts) != 1 || ts[0].Reason != ReasonGuardrail || ts[0].To != RolledBack || ts[0].Serves != idBase || ts[0].Variant != idFast {
		t.Fatalf("%+v", ts)
	}
	s := rt.Load()
	if s.Select(cLow) != idBase || s.Select(cBurst) != idFast || s.Knob(knob) != .5 {
		t.Fatalf("low %d burst %d knob %g", s.Select(cLow), s.Select(cBurst), s.Knob(knob))
	}
	if d := propose(rt, 4, cLow, idFast, RampDirect); d.Reason != ReasonCoolingDown {
		t.Fatalf("%+v", d)
	}
	if d := propose(rt, 6, cLow, idFast, RampDirect); d.Outcome != Applied {
		t.Fatalf("after the cool-down: %+v", d)
	}
	check(t, rt)
}

func TestAFlappingGuardrailIsMetLessAndLessOften(t *testing.T) {
	rt := openToy(t, toyConfig()) // a cool-down is 3 ticks
	var trips []Tick
	for tick := Tick(1); tick < 200; tick++ {
		rt.Install(tick)
		for _, tr := range rt.Executor().Observe(window(tick, seen(cLow, rt.Load().Select(cLow), 60, .5, 1)...)) {
			if tr.From != tr.To && tr.To == RolledBack {
				trips = append(trips, tick)
			}
		}
	}
	if want := []Tick{1, 4, 10, 22, 46, 94, 190}; !slices.Equal(trips, want) {
		t.Fatalf("trips at %v, want %v", trips, want)
	}
	if err := rt.adopt(context.Background(), toyRelease(2), manifestOf(toyRelease(2)), nil); err != nil {
		t.Fatal(err)
	}
	check(t, rt)
}

func TestRecordedRequestsTripTheGuardrail(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	rec := rt.Recorder(0)
	serve := func(n int, accuracy float64) {
		for range n {
			v := rt.Load().Select(cBurst)
			rec.Record(v, cBurst, mAccuracy, accuracy)
			rec.Record(v, cBurst, mLatency, 300)
			rec.Record(v, cBurst, mCost, 60)
		}
		rec.Flush()
	}
	serve(9, 0)
	if ts := rt.Executor().Observe(rt.Collect(2)); len(ts) != 0 {
		t.Fatalf("judged on 9 requests of 10: %+v", ts)
	}
	serve(1, 0)
	w := rt.Collect(3)
	if c, ok := w.Cell(cBurst, idFast, mLatency); !ok || c.Count != 10 || math.Abs(c.P99-300) > 300.0/64 || w.Dropped != 0 {
		t.Fatalf("cell %+v dropped %d", c, w.Dropped)
	}
	if ts := rt.Executor().Observe(w); len(ts) != 1 || ts[0].Serves != idBase {
		t.Fatalf("%+v", ts)
	}
	if rt.Load().Select(cBurst) != idBase {
		t.Fatal("no snapback")
	}
	serve(10, 0)
	ts := rt.Executor().Observe(rt.Collect(4))
	if len(ts) != 1 || ts[0].Reason != ReasonBaselineBreach || ts[0].From != ts[0].To {
		t.Fatalf("the baseline has nowhere to go: %+v", ts)
	}
}

func TestCanaryRampsOnEvidence(t *testing.T) {
	rt := openToy(t, toyConfig())
	d := propose(rt, 1, cLow, idFast, RampAuto)
	if d.Outcome != InCanary || d.Share != .01 {
		t.Fatalf("%+v", d)
	}
	good := append(seen(cLow, idBase, 100, .9, 1), seen(cLow, idFast, 60, .9, 1)...)
	tick := Tick(2)
	for _, share := range []float64{.05, .25, .5, 1} {
		ts := rt.Executor().Observe(window(tick, good...))
		if len(ts) != 1 || ts[0].To != Canary || ts[0].Share != share {
			t.Fatalf("tick %d: %+v", tick, ts)
		}
		if _, got := rt.Load().Candidate(cLow); math.Abs(got-share) > 1e-9 {
			t.Fatalf("share %g", got)
		}
		n := 0
		for key := range uint64(20_000) {
			if rt.Load().Route(cLow, key) == idFast {
				n++
			}
		}
		if got := float64(n) / 20_000; math.Abs(got-share) > .02 {
			t.Fatalf("%g of the keys go to a share of %g", got, share)
		}
		if ts := rt.Executor().Observe(window(tick, good...)); len(ts) != 0 {
			t.Fatalf("a repeated window moved the ramp: %+v", ts)
		}
		tick++
	}
	if ts := rt.Executor().Observe(window(tick, good...)); len(ts) != 1 || ts[0].To != Promoted || ts[0].Serves != idFast {
		t.Fatalf("%+v", ts)
	}
	if tr, ok := rt.Executor().Rollback(cLow, ReasonOperator, tick); !ok || tr.Serves != idBase {
		t.Fatalf("rollback of a promotion: %+v", tr)
	}
	check(t, rt)
}

// With shadow windows a candidate answers nobody until copies of requests have
// shown that it keeps the limits and does no harm.
func TestShadowFirst(t *testing.T) {
	cfg := toyConfig()
	cfg.Limits.ShadowWindows = 2
	good := func() []Cell {
		cells := append(seen(cLow, idBase, 100, .9, 1), seen(cLow, idFast, 60, .9, 1)...)
		for i := range cells {
			cells[i].Count = 10 // a window's worth
		}
		return cells
	}
	staged := func() *Runtime {
		log := &memoryLog{}
		cfg.Log = log
		rt := openToy(t, cfg)
		t.Cleanup(func() { log.replay(t) })
		d := propose(rt, 1, cLow, idFast, RampAuto)
		s := rt.Load()
		if d.Outcome != Staged || s.Shadow(cLow) != idFast || s.Shadow(cBurst) != catalog.BuiltIn || s.Handle(idFast) != "v2" {
			t.Fatalf("%+v, shadow %d", d, s.Shadow(cLow))
		}
		for key := range uint64(1000) {
			if s.Route(cLow, key) != idBase {
				t.Fatal("a shadow answers")
			}
		}
		return rt
	}
	rt := staged()
	if ts := rt.Executor().Observe(window(2, good()...)); len(ts) != 1 || ts[0].Reason != ReasonThinEvidence || rt.Load().Shadow(cLow) != idFast {
		t.Fatalf("one window of two: %+v", ts)
	}
	ts := rt.Executor().Observe(window(3, good()...))
	if len(ts) != 1 || ts[0].From != StagedState || ts[0].To != Canary || ts[0].Reason != ReasonEvidence || ts[0].Share != .01 {
		t.Fatalf("%+v", ts)
	}
	if id, _ := rt.Load().Candidate(cLow); id != idFast || rt.Load().Shadow(cLow) != catalog.BuiltIn {
		t.Fatal("no canary after the shadow")
	}
	if ts = rt.Executor().Observe(window(4, good()...)); len(ts) != 1 || ts[0].Share != .05 {
		t.Fatalf("%+v", ts)
	}
	check(t, rt)

	rt = staged()
	bad := good()
	for i := range bad {
		if bad[i].Variant == idFast && bad[i].Metric == mAccuracy {
			bad[i].Mean = .5
		}
	}
	if ts := rt.Executor().Observe(window(2, bad...)); len(ts) != 1 || ts[0].Reason != ReasonGuardrail || ts[0].Serves != idBase || rt.Load().Shadow(cLow) != catalog.BuiltIn {
		t.Fatalf("a shadow that breaks a limit: %+v", ts)
	}
	check(t, rt)
}

func TestCanaryStopsForWhateverIsWrong(t *testing.T) {
	ok := seen(cLow, idBase, 100, .9, 1)
	nan := seen(cLow, idFast, 60, .9, 1)
	nan[mAccuracy].Mean = math.NaN()
	thin := seen(cLow, idFast, 60, .9, 1)
	for i := range thin {
		thin[i].Count = 3
	}
	for _, c := range []struct {
		name   string
		w      *Window
		reason Reason
		serves catalog.VariantID
		back   bool
	}{
		{"guardrail", window(2, slices.Concat(ok, seen(cLow, idFast, 60, .7, 1))...), ReasonGuardrail, idBase, true},
		{"harm", window(2, slices.Concat(ok, seen(cLow, idFast, 130, .9, 1))...), ReasonHarm, idBase, true},
		{"not a number", window(2, slices.Concat(ok, nan)...), ReasonInvalidMetric, idBase, true},
		{"stable bad too", window(2, slices.Concat(seen(cLow, idBase, 100, .1, 1), seen(cLow, idFast, 60, .9, 1))...), ReasonGuardrail, idBase, true},
		{"thin", window(2, slices.Concat(ok, thin)...), ReasonThinEvidence, idBase, false},
		{"one metric missing", window(2, slices.Concat(ok, seen(cLow, idFast, 60, .9, 1)[:1])...), ReasonThinEvidence, idBase, false},
		{"dropped", &Window{Tick: 2, Dropped: 1, Cells: slices.Concat(ok, seen(cLow, idFast, 60, .9, 1))}, ReasonThinEvidence, idBase, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rt := openToy(t, toyConfig())
			propose(rt, 1, cLow, idFast, RampAuto)
			ts := rt.Executor().Observe(c.w)
			if len(ts) != 1 || ts[0].Reason != c.reason || ts[0].Serves != c.serves || (ts[0].To == RolledBack) != c.back {
				t.Fatalf("%+v", ts)
			}
			if _, share := rt.Load().Candidate(cLow); (share == 0) != c.back {
				t.Fatalf("share %g", share)
			}
			check(t, rt)
		})
	}
}

func TestManualExperiment(t *testing.T) {
	rt := openToy(t, toyConfig())
	x := rt.Executor()
	if d := propose(rt, 1, cLow, idUntold, RampManual); d.Outcome != Staged || d.Share != 0 {
		t.Fatalf("%+v", d)
	}
	if s := rt.Load(); s.Route(cLow, 1) != idBase || s.Handle(idUntold) != "v4" {
		t.Fatal("a staged variant serves")
	}
	if d := x.Widen(cLow, .5, 2); d.Outcome != InCanary {
		t.Fatalf("%+v", d)
	}
	for _, share := range []float64{.5, .2, 0, -1, 1.5, math.NaN()} {
		if d := x.Widen(cLow, share, 2); d.Outcome != Refused || d.Reason != ReasonBadShare {
			t.Fatalf("share %g: %+v", share, d)
		}
	}
	if d := x.Promote(cLow, 2); d.Outcome != Refused {
		t.Fatalf("promoted at half: %+v", d)
	}
	if _, ok := x.Pause(cLow, 2); !ok {
		t.Fatal("no pause")
	}
	if d := x.Widen(cLow, 1, 3); d.Reason != ReasonIllegal {
		t.Fatalf("widened while paused: %+v", d)
	}
	if _, ok := x.Resume(cLow, 3); !ok {
		t.Fatal("no resume")
	}
	if d := x.Widen(cLow, 1, 3); d.Outcome != InCanary || rt.Load().Route(cLow, 5) != idUntold {
		t.Fatalf("%+v", d)
	}
	if d := x.Promote(cLow, 4); d.Outcome != Applied || rt.Load().Select(cLow) != idUntold {
		t.Fatalf("%+v", d)
	}
	if tr, ok := x.Snapback(cLow, ReasonOperator, 5); !ok || tr.Serves != idBase {
		t.Fatalf("%+v", tr)
	}
	check(t, rt)
}

func TestProposalsAreRefusedWithTheirReason(t *testing.T) {
	canaryOnly := func(r *catalog.Release) { r.Channel = "canary"; r.Entries[3].Scope = catalog.ScopeCanary }
	for _, c := range []struct {
		name   string
		change func(*catalog.Release)
		cfg    func(*Config)
		p      func(*Proposal)
		want   Reason
	}{
		{"stale", nil, nil, func(p *Proposal) { p.Base-- }, ReasonStaleBase},
		{"future", nil, nil, func(p *Proposal) { p.Base++ }, ReasonStaleBase},
		{"unknown variant", nil, nil, func(p *Proposal) { p.Variant = 9 }, ReasonUnknownVariant},
		{"the built-in", nil, nil, func(p *Proposal) { p.Variant = 0 }, ReasonUnknownVariant},
		{"unknown class", nil, nil, func(p *Proposal) { p.Class = 7 }, ReasonUnknownClass},
		{"class not served", nil, nil, func(p *Proposal) { p.Class, p.Variant = cBurst, idSmall }, ReasonNotServed},
		{"no change", nil, nil, func(p *Proposal) { p.Variant = idBase }, ReasonNoChange},
		{"memory", nil, func(c *Config) { c.Host.MemoryBytes = 1500 }, nil, ReasonMemory},
		{"hardware", func(r *catalog.Release) { r.Entries[1].Envelope.Hardware.CPUFeatures = []string{"avx99"} }, nil, nil, ReasonHardware},
		{"architecture", func(r *catalog.Release) { r.Entries[1].Envelope.Hardware.Arch = "pdp11" }, nil, nil, ReasonHardware},
		{"scope", func(r *catalog.Release) { r.Channel = "prod"; r.Entries[0].Scope = catalog.ScopeProd }, nil, nil, ReasonScope},
		{"other channel is as strict as prod", func(r *catalog.Release) { r.Channel = "edge"; r.Entries[0].Scope = catalog.ScopeProd }, nil, nil, ReasonScope},
		{"slo", func(r *catalog.Release) {
			r.Entries[1].Expectations = append(r.Entries[1].Expectations, catalog.Expectation{Metric: "accuracy", Context: "low", Value: .7})
		}, nil, nil, ReasonSLO},
		{"needs ramp", canaryOnly, nil, func(p *Proposal) { p.Variant = idUntold }, ReasonNeedsRamp},
		{"no budget", func(r *catalog.Release) { r.Policy.MaxExperiments = 0 }, nil, func(p *Proposal) { p.Ramp = RampAuto }, ReasonBudget},
		{"ramp", nil, nil, func(p *Proposal) { p.Ramp = 9 }, ReasonIllegal},
		{"unknown knob", nil, nil, func(p *Proposal) { p.Knobs = []KnobDelta{{9, 1}} }, ReasonUnknownKnob},
		{"knob of another variant", nil, nil, func(p *Proposal) { p.Variant = idSmall; p.Knobs = []KnobDelta{{0, .1}} }, ReasonUnknownKnob},
		{"knob twice", nil, nil, func(p *Proposal) { p.Knobs = []KnobDelta{{0, .1}, {0, .1}} }, ReasonUnknownKnob},
		{"nan", nil, nil, func(p *Proposal) { p.Knobs = []KnobDelta{{0, math.NaN()}} }, ReasonNotANumber},
		{"inf", nil, nil, func(p *Proposal) { p.Knobs = []KnobDelta{{0, math.Inf(-1)}} }, ReasonNotANumber},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := toyConfig()
			if c.cfg != nil {
				c.cfg(&cfg)
			}
			change := c.change
			if change == nil {
				change = func(*catalog.Release) {}
			}
			rt := openToy(t, cfg, change)
			before := rt.Load()
			p := Proposal{Tick: 1, Base: before.Generation(), Class: cLow, Variant: idFast, Ramp: RampDirect}
			if c.p != nil {
				c.p(&p)
			}
			d := rt.Executor().Propose(p)
			if d.Outcome != Refused || d.Reason != c.want {
				t.Fatalf("%v %v, want %v", d.Outcome, d.Reason, c.want)
			}
			if rt.Load() != before {
				t.Fatal("a refusal changed the snapshot")
			}
			check(t, rt)
		})
	}
	rt := openToy(t, toyConfig())
	if d := rt.Executor().Propose(Proposal{}); d.Outcome != Refused {
		t.Fatalf("the zero proposal: %+v", d)
	}
}

func TestKnobsAreClippedAndSaidSo(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	threshold, _ := rt.Knob(idFast, "threshold")
	batch, _ := rt.Knob(idFast, "batch")
	d := propose(rt, 2, cLow, idFast, RampAuto, KnobDelta{threshold, 5}, KnobDelta{batch, -2})
	if d.Outcome != Applied || len(d.Knobs) != 2 || d.Knobs[0] != (KnobValue{threshold, .6, true}) || d.Knobs[1] != (KnobValue{batch, 6, false}) {
		t.Fatalf("%+v", d)
	}
	if d := propose(rt, 2, cLow, idFast, RampAuto, KnobDelta{batch, 1}); d.Reason != ReasonRateLimited {
		t.Fatalf("%+v", d)
	}
	for tick := Tick(3); tick < 10; tick++ {
		d = propose(rt, tick, cLow, idFast, RampAuto, KnobDelta{batch, -9})
	}
	if d.Reason != ReasonOutOfBounds || rt.Load().Knob(batch) != 1 {
		t.Fatalf("%+v, batch %g", d, rt.Load().Knob(batch))
	}
	check(t, rt)
}
