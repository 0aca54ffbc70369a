package main

import (
	"math"
	"testing"
	"time"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// shadowWorld is a runtime with variant 2 in shadow beside variant 1, and the
// goroutine that tries copies on it.
type shadowWorld struct {
	rt    *runtime.Runtime
	s     *shadow
	class runtime.Class
	tick  runtime.Tick
}

const shadowWindow = 20 // requests

func newShadowWorld(t *testing.T, share float64) *shadowWorld {
	t.Helper()
	least := .5
	repo := runtimetest.New(t, catalog.Policy{
		Guardrails: []catalog.Guardrail{{Metric: "accuracy", Min: &least}}, MaxExperiments: 1, CoolDownTicks: 5, WindowRequests: shadowWindow,
	})
	both := []string{"low"}
	rel := repo.Release(both, runtimetest.Variant{Name: "base", Data: []byte("base"), Contexts: both}, runtimetest.Variant{Name: "other", Data: []byte("other"), Contexts: both})
	cfg := runtime.Config{Stage: runtimetest.Stage, Shards: 2, Metrics: []runtime.Metric{{Name: "accuracy"}}, Success: map[string]string{"low": "accuracy"}}
	cfg.Limits.ShadowWindows = 1
	rt, err := runtime.Open(t.Context(), cfg, rel)
	if err != nil {
		t.Fatal(err)
	}
	w := &shadowWorld{rt: rt, s: newShadow(shadowFlags{windows: 1, share: share}, rt.Recorder(1), 1, 1), tick: 1}
	d := rt.Executor().Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Class: w.class, Variant: 2, Ramp: runtime.RampAuto})
	if d.Outcome != runtime.Staged || rt.Load().Shadow(w.class) != 2 {
		t.Fatalf("%+v, %d in shadow", d, rt.Load().Shadow(w.class))
	}
	go w.s.run(t.Context())
	return w
}

// serve answers a window of requests from variant 1, offers copies, and returns
// what a decision cycle makes of it.
func (w *shadowWorld) serve(t *testing.T, try func(*shadow)) []runtime.Transition {
	t.Helper()
	for k := range uint64(shadowWindow) {
		snap := w.rt.Load()
		id := snap.Route(w.class, k)
		if id != 1 {
			t.Fatalf("variant %d answers a request", id)
		}
		w.rt.Recorder(0).Record(id, w.class, 0, .9)
		if other := w.s.wants(snap, w.class, k); other != catalog.BuiltIn {
			w.s.offer(shadowJob{variant: other, class: w.class, try: try})
		}
	}
	w.rt.Recorder(0).Flush()
	w.s.settle(time.Minute)
	w.tick++
	ts := w.rt.Executor().Observe(w.rt.Collect(w.tick))
	return append(ts, w.s.endHanging(w.rt, w.tick)...)
}

func accuracyOf(x float64) func(*shadow) {
	return func(s *shadow) {
		s.rec.Record(2, 0, 0, x)
		s.samples[0].Add(x)
	}
}

func TestAGoodShadowBecomesACanary(t *testing.T) {
	w := newShadowWorld(t, 1)
	ts := w.serve(t, accuracyOf(.9))
	if len(ts) != 1 || ts[0].To != runtime.Canary || ts[0].Reason != runtime.ReasonEvidence || w.s.take() != (shadowCount{Tried: shadowWindow}) {
		t.Fatalf("%+v", ts)
	}
}

// A bad candidate ends where no request could see it, with the reason.
func TestABadShadowEndsThere(t *testing.T) {
	for name, c := range map[string]struct {
		try  func(*shadow)
		want runtime.Reason
	}{
		"below the limit": {accuracyOf(.1), runtime.ReasonGuardrail},
		"a panic":         {func(*shadow) { panic("broken model") }, runtime.ReasonInvalidMetric},
		"a nil model":     {func(s *shadow) { s.rec.Record(2, 0, 0, float64((*shadow)(nil).metrics)) }, runtime.ReasonInvalidMetric},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShadowWorld(t, 1)
			ts := w.serve(t, c.try)
			if len(ts) != 1 || !stoppedInShadow(ts[0]) || ts[0].Reason != c.want || ts[0].Variant != 2 || ts[0].Serves != 1 {
				t.Fatalf("%+v", ts)
			}
			if n := w.s.take(); n.Tried != shadowWindow || (n.Failed > 0) != (c.want == runtime.ReasonInvalidMetric) {
				t.Errorf("%+v", n)
			}
			if w.rt.Load().Shadow(w.class) != catalog.BuiltIn {
				t.Error("it is still in shadow")
			}
		})
	}
}

// A copy that never ends blocks nobody: requests are answered, copies that find
// the queue full are dropped and counted, and the variant is taken back.
func TestAShadowThatHangsCostsRequestsNothing(t *testing.T) {
	w := newShadowWorld(t, 1)
	w.s.hang = time.Nanosecond
	end, began := make(chan struct{}), make(chan struct{})
	w.s.offer(shadowJob{variant: 2, class: w.class, try: func(*shadow) { close(began); <-end }})
	<-began
	for range shadowQueue + 50 {
		w.s.offer(shadowJob{variant: 2, class: w.class, try: accuracyOf(.9)})
	}
	if n := w.s.take(); n.Dropped != 50 {
		t.Errorf("%+v: want 50 dropped", n)
	}
	if w.s.settle(time.Millisecond) {
		t.Error("settled behind a copy that has not ended")
	}
	for !w.s.hangs() {
		time.Sleep(time.Millisecond)
	}
	ts := w.s.endHanging(w.rt, 2)
	if len(ts) != 1 || !stoppedInShadow(ts[0]) || ts[0].Serves != 1 {
		t.Fatalf("%+v", ts)
	}
	close(end)
	if !w.s.settle(time.Minute) || w.s.hangs() {
		t.Error("it does not go on when the copy has ended after all")
	}
}

func TestTheShareOfCopies(t *testing.T) {
	for _, share := range []float64{1, .5, .3, .01} {
		w := newShadowWorld(t, share)
		n := 0
		for k := range uint64(1000) {
			if w.s.wants(w.rt.Load(), w.class, k) != catalog.BuiltIn {
				n++
			}
		}
		if want := int(1000*share + .5); n < want-1 || n > want+1 {
			t.Errorf("share %g: %d copies of 1000 requests", share, n)
		}
	}
	for _, f := range []shadowFlags{{-1, .5}, {shadowWindowMax + 1, .5}, {1, 0}, {1, 1.5}, {1, math.NaN()}} {
		if f.check() == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}
