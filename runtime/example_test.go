package runtime_test

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// broken is a testing.TB for programs that are no tests.
type broken struct{}

func (broken) Helper()           {}
func (broken) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// A service embeds the runtime: it opens a release, asks one snapshot a request
// which variant serves and where its knobs are, reports what the request cost,
// moves a knob and takes a new variant within signed bounds, and goes back.
func ExampleOpen() {
	ctx := context.Background()
	batch := catalog.Knob{Name: "batch", Unit: "1", Default: 8, Bounds: catalog.Bounds{Min: 1, Max: 64, MaxDelta: 16}}
	releases := runtimetest.New(broken{}, catalog.Policy{MaxExperiments: 1, WindowRequests: 1}) // yours come from trust.Client.Refresh
	rel := releases.Release([]string{"low", "burst"},
		runtimetest.Variant{Name: "today", Data: []byte("weights a"), Contexts: []string{"low", "burst"}, Knobs: []catalog.Knob{batch}},
		runtimetest.Variant{Name: "small", Data: []byte("weights b"), Contexts: []string{"burst"}})

	rt, err := runtime.Open(ctx, runtime.Config{Stage: runtimetest.Stage, Metrics: []runtime.Metric{{Name: "cost"}}}, rel)
	if err != nil {
		fmt.Println(err)
		return
	}
	burst, _ := rt.Class("burst") // once, not a request
	cost, _ := rt.Metric("cost")
	knob, _ := rt.Knob(1, "batch")
	rec := rt.Recorder(0) // one a goroutine

	serve := func() {
		s := rt.Load() // one snapshot for the whole request
		v := s.Select(burst)
		fmt.Printf("variant %d, %s, batch %g\n", v, s.Handle(v), s.Knob(knob))
		rec.Record(v, burst, cost, 3.5)
	}
	serve()
	rec.Flush() // an owner that goes idle hands over what it has
	window := rt.Collect(1)
	cell, _ := window.Cell(burst, 1, cost)
	fmt.Printf("%d request of cost %g\n", cell.Count, cell.Mean)

	x := rt.Executor()
	x.Observe(window) // a signed limit that it broke would take the class back
	d := x.Propose(runtime.Proposal{Tick: 2, Base: rt.Load().Generation(), Class: burst, Variant: 1, Knobs: []runtime.KnobDelta{{Knob: knob, Delta: 40}}})
	fmt.Printf("%s, clipped to %g: %v\n", d.Outcome, d.Knobs[0].Value, d.Knobs[0].Clipped)

	d = x.Propose(runtime.Proposal{Tick: 3, Base: rt.Load().Generation(), Class: burst, Variant: 2, Ramp: runtime.RampManual})
	fmt.Println(d.Outcome, d.Share)
	d = x.Widen(burst, 1, 4) // a person says so: every request
	fmt.Println(d.Outcome, d.Share)
	d = x.Promote(burst, 5)
	fmt.Println(d.Outcome, d.Share)
	serve()

	t, _ := x.Rollback(burst, runtime.ReasonOperator, 6)
	fmt.Println(t.To, "for", t.Reason, "to variant", t.Serves)
	serve()

	// Output:
	// variant 1, weights a, batch 8
	// 1 request of cost 3.5
	// applied, clipped to 24: true
	// staged 0
	// canary 1
	// applied 1
	// variant 2, weights b, batch 24
	// rolled back for operator to variant 1
	// variant 1, weights a, batch 24
}
