package runtime

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/adapt"
)

// showing is a window in which every variant of both classes was seen.
func showing(tick Tick, cost func(catalog.VariantID) float64) *Window {
	w := window(tick)
	for _, c := range []Class{cLow, cBurst} {
		for id := idBase; id <= idUntold; id++ {
			w.Cells = append(w.Cells, seen(c, id, cost(id), .9, 100)...)
		}
	}
	return w
}

func newTestAdaptation(t *testing.T, rt *Runtime, c AdaptConfig) *Adaptation {
	t.Helper()
	a, err := NewAdaptation(rt, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A host that ends and comes back with a snapshot decides as one that went on,
// for every policy and every search, and its log replays from the snapshot.
func TestAdaptationGoesOnFromASnapshot(t *testing.T) {
	for i := range 6 {
		c := AdaptConfig{Knobs: true, SLA: "latency", Policy: adapt.Policy(i % 2), Algorithm: adapt.Algorithm(i)}
		log := &memoryLog{}
		cfg := toyConfig()
		cfg.Log = log
		rt := openToy(t, cfg)
		straight := newTestAdaptation(t, rt, c)
		cost := func(tick Tick) func(catalog.VariantID) float64 {
			return func(id catalog.VariantID) float64 {
				return 100 - 10*float64(id%3) + adapt.Normal(3, uint64(tick), uint64(id)) + 30*math.Abs(rt.Load().Knob(0)-.4)
			}
		}
		for tick := Tick(1); tick < 30; tick++ {
			straight.Cycle(showing(tick, cost(tick)))
		}
		raw, err := straight.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		resumed, err := ResumeAdaptation(rt, raw)
		if err != nil {
			t.Fatal(err)
		}
		for tick := Tick(30); tick < 60; tick++ {
			w := showing(tick, cost(tick))
			want := straight.step(rt.executor.m, w)
			if got := resumed.step(rt.executor.m, w); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%v, tick %d: %v, straight %v", c, tick, got, want)
			}
		}
		if resumed, err = ResumeAdaptation(rt, raw); err != nil {
			t.Fatal(err)
		}
		for tick := Tick(30); tick < 60; tick++ {
			resumed.Cycle(showing(tick, cost(tick)))
		}
		log.replay(t)
		if moved := rt.Load().Knob(0); moved == .5 {
			t.Errorf("%v: no knob moved", c)
		}
		raw[len(raw)/2] ^= 1
		if _, err := ResumeAdaptation(rt, raw[:len(raw)-9]); !errors.Is(err, ErrRecord) && !errors.Is(err, adapt.ErrState) {
			t.Errorf("half a snapshot: %v", err)
		}
	}
}

// Constraints come before costs: a cheaper variant whose latency is not known
// to stay within the SLA is not chosen, and where none is, the baseline is.
func TestTheSLAComesFirst(t *testing.T) {
	slow := func(ns map[catalog.VariantID]float64) func(*catalog.Release) {
		return func(r *catalog.Release) {
			r.Policy.Guardrails = append(r.Policy.Guardrails, catalog.Guardrail{Metric: "latency", Max: ptr(1000.)})
			for i := range r.Entries {
				e := &r.Entries[i]
				e.Curves = nil
				if x := ns[e.ID]; x > 0 {
					e.Curves = []catalog.LatencyCurve{{Context: "low", P99NS: x}, {Context: "burst", P99NS: x}}
				}
			}
		}
	}
	for _, c := range []struct {
		name string
		ns   map[catalog.VariantID]float64
		want catalog.VariantID
	}{
		{"the cheapest is fast", map[catalog.VariantID]float64{idBase: 300, idFast: 300, idUntold: 300}, idFast},
		{"the cheapest is too slow", map[catalog.VariantID]float64{idBase: 300, idFast: 1200, idUntold: 300}, idUntold},
		{"nothing is known", nil, idBase},
		{"all are too slow", map[catalog.VariantID]float64{idBase: 2000, idFast: 3000, idUntold: 4000}, idBase},
	} {
		rt := openToy(t, toyConfig(), slow(c.ns))
		a := newTestAdaptation(t, rt, AdaptConfig{SLA: "latency"})
		cost := map[catalog.VariantID]float64{idBase: 100, idFast: 50, idSmall: 200, idUntold: 80}
		for tick := Tick(1); tick < 40; tick++ {
			w := showing(tick, func(id catalog.VariantID) float64 { return cost[id] })
			for i := range w.Cells {
				if x := &w.Cells[i]; x.Metric == mLatency {
					x.Mean = c.ns[x.Variant]
					x.P99 = c.ns[x.Variant]
				}
			}
			a.Cycle(w)
			check(t, rt)
		}
		if got := rt.Load().Select(cLow); got != c.want {
			t.Errorf("%s: %d serves, want %d", c.name, got, c.want)
		}
	}
}
