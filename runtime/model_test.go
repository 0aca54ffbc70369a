package runtime

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/catalog"
)

// wild draws numbers as a broken sensor would send them.
func wild(t *rapid.T, name string) float64 {
	return rapid.OneOf(
		rapid.Float64Range(-2, 2), rapid.Float64Range(0, 2000),
		rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324}),
	).Draw(t, name)
}

func wildWindow(t *rapid.T, tick Tick) *Window {
	w := &Window{Tick: tick, Dropped: rapid.SampledFrom([]uint64{0, 0, 0, 5}).Draw(t, "dropped")}
	n := rapid.IntRange(0, 8).Draw(t, "cells")
	for range n {
		c := rapid.Custom(func(t *rapid.T) Cell {
			x := wild(t, "x")
			return Cell{
				Class: Class(rapid.IntRange(0, 3).Draw(t, "class")), Metric: MetricID(rapid.IntRange(0, 4).Draw(t, "metric")),
				Variant: catalog.VariantID(rapid.IntRange(0, 6).Draw(t, "variant")), Count: rapid.SampledFrom([]uint64{0, 3, 10, 500}).Draw(t, "count"),
				Invalid: rapid.SampledFrom([]uint64{0, 0, 1, 600}).Draw(t, "invalid"), Mean: x, Var: math.Abs(wild(t, "var")), Min: x, Max: x, P50: x, P99: x,
			}
		}).Draw(t, "cell")
		w.Cells = append(w.Cells, c)
	}
	for _, c := range []Class{cLow, cBurst} {
		if rapid.Bool().Draw(t, "sensible") {
			for id := idBase; id <= idUntold; id++ {
				w.Cells = append(w.Cells, seen(c, id, 100, rapid.SampledFrom([]float64{.9, .9, .9, .5}).Draw(t, "accuracy"), 500)...)
			}
		}
	}
	return w
}

// Whatever is proposed, observed, commanded and adopted, in whatever order,
// the invariants hold after every call, knobs move by no more than their
// largest step, nothing ineligible serves, and the log replays to the same
// bytes.
func TestExecutorHoldsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := &memoryLog{}
		cfg := toyConfig()
		cfg.Log = log
		r := toyRelease(1)
		r.Policy.CoolDownTicks = rapid.IntRange(0, 3).Draw(t, "cool down")
		if rapid.Bool().Draw(t, "canary") {
			r.Channel = "canary"
			r.Entries[3].Scope = catalog.ScopeCanary
		}
		channel, sequence := r.Channel, uint64(1)
		rt, err := open(context.Background(), cfg, r, manifestOf(r), nil)
		if err != nil {
			t.Fatal(err)
		}
		tier2, err := NewAdaptation(rt, AdaptConfig{Knobs: true, SLA: "latency"})
		if err != nil {
			t.Fatal(err)
		}
		x := rt.Executor()
		tick, generation := Tick(0), uint64(0)
		knobs := append([]float64(nil), rt.Load().knobs...)
		class := func(t *rapid.T) Class { return Class(rapid.IntRange(0, 2).Draw(t, "class")) }
		forward := func(d Decision) {
			for _, k := range d.Knobs {
				if d.Outcome == Applied && math.Abs(k.Value-knobs[k.Knob]) > x.m.view.Knobs[k.Knob].Bounds.MaxDelta {
					t.Fatalf("knob %d moved from %g to %g", k.Knob, knobs[k.Knob], k.Value)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"tick": func(t *rapid.T) { tick += Tick(rapid.IntRange(0, 3).Draw(t, "by")) },
			"propose": func(t *rapid.T) {
				p := Proposal{
					Tick: tick, Base: rt.Load().Generation() - rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(t, "stale"), Class: class(t),
					Variant: catalog.VariantID(rapid.IntRange(0, 6).Draw(t, "variant")), Ramp: Ramp(rapid.IntRange(0, 3).Draw(t, "ramp")),
				}
				for range rapid.IntRange(0, 2).Draw(t, "knobs") {
					p.Knobs = append(p.Knobs, KnobDelta{KnobID(rapid.IntRange(0, 3).Draw(t, "knob")), wild(t, "delta")})
				}
				forward(x.Propose(p))
			},
			"widen":    func(t *rapid.T) { x.Widen(class(t), wild(t, "share"), tick) },
			"promote":  func(t *rapid.T) { x.Promote(class(t), tick) },
			"pause":    func(t *rapid.T) { x.Pause(class(t), tick) },
			"resume":   func(t *rapid.T) { x.Resume(class(t), tick) },
			"rollback": func(t *rapid.T) { x.Rollback(class(t), Reason(rapid.IntRange(0, 250).Draw(t, "reason")), tick) },
			"snapback": func(t *rapid.T) { x.Snapback(class(t), ReasonOperator, tick) },
			"kill":     func(t *rapid.T) { rt.Kill(Reason(rapid.IntRange(0, 250).Draw(t, "reason"))) },
			"revive": func(t *rapid.T) {
				if err := x.Revive(tick); err != nil {
					t.Fatal(err)
				}
			},
			"observe": func(t *rapid.T) { x.Observe(wildWindow(t, tick)) },
			"cycle": func(t *rapid.T) {
				_, ds := tier2.Cycle(wildWindow(t, tick))
				for _, d := range ds {
					forward(d)
				}
			},
			"adopt": func(t *rapid.T) {
				n := toyRelease(sequence + uint64(rapid.IntRange(0, 1).Draw(t, "newer")))
				n.Channel = channel
				if rapid.Bool().Draw(t, "without fast") {
					n.Entries = append(n.Entries[:1:1], n.Entries[2:]...)
				}
				if rapid.Bool().Draw(t, "other baseline") {
					n.Baseline = idUntold
				}
				if err := rt.adopt(context.Background(), n, manifestOf(n), nil); err == nil {
					sequence = n.Sequence
				}
			},
			"": func(t *rapid.T) {
				if err := invariants(rt); err != nil {
					t.Fatal(err)
				}
				if g := rt.Load().Generation(); g < generation {
					t.Fatalf("generation went from %d to %d", generation, g)
				} else {
					generation = g
				}
				knobs = append(knobs[:0], rt.Load().knobs...)
			},
		})
		if err := x.Sync(); err != nil {
			t.Fatal(err)
		}
		var again Replayer
		for _, rec := range log.records {
			if err := again.Feed(rec.kind, rec.payload); err != nil {
				t.Fatal(err)
			}
		}
		if done := again.Done(); done.Generation != x.m.generation {
			t.Fatalf("replay ends at generation %d, runtime at %d", done.Generation, x.m.generation)
		}
	})
}
