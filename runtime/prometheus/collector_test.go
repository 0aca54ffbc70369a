package prometheus_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/prometheus"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// A release with one good variant and a limit on quality; every request of the
// test takes 40 µs.
func open(t *testing.T, change ...func(*runtime.Config)) (*runtime.Runtime, *prometheus.Collector, *prom.Registry) {
	t.Helper()
	least := .5
	repo := runtimetest.New(t, catalog.Policy{
		MaxExperiments: 1, CoolDownTicks: 3, WindowRequests: 10,
		Guardrails: []catalog.Guardrail{{Metric: "quality", Min: &least}},
	})
	rel := repo.Release([]string{"low", "burst"},
		runtimetest.Variant{Name: "base", Data: []byte("base"), Contexts: []string{"low", "burst"}},
		runtimetest.Variant{Name: "better", Data: []byte("better"), Contexts: []string{"low"}})
	metrics := []runtime.Metric{{Name: "quality"}, {Name: "latency_ns", Stat: runtime.P99}}
	c, err := prometheus.New(metrics, prometheus.Options{LatencyMetric: "latency_ns", Buckets: []float64{1e-5, 1e-4, 1e-3}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := runtime.Config{Stage: runtimetest.Stage, Metrics: metrics, Tap: c.Tap}
	for _, f := range change {
		f(&cfg)
	}
	rt, err := runtime.Open(t.Context(), cfg, rel)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Attach(rt); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(c.Attach(rt), prometheus.ErrAttached) {
		t.Error("a second runtime was accepted")
	}
	reg := prom.NewPedanticRegistry()
	reg.MustRegister(c)
	return rt, c, reg
}

func serve(rt *runtime.Runtime, v catalog.VariantID, n int, quality float64) {
	rec := rt.Recorder(0)
	for range n {
		rec.Record(v, 0, 0, quality)
		rec.Record(v, 0, 1, 40e3)
	}
	rec.Flush()
}

// Copies of requests are no requests: neither their count nor their latency is
// that of what users saw, not even in the window that ends the shadow.
func TestCopiesInShadowAreNoRequests(t *testing.T) {
	rt, c, reg := open(t, func(cfg *runtime.Config) { cfg.Limits.ShadowWindows = 2 })
	x := rt.Executor()
	c.Cycle(nil, nil, []runtime.Decision{x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Class: 0, Variant: 2})})
	for tick := runtime.Tick(2); tick < 4; tick++ {
		serve(rt, 1, 30, .9)
		serve(rt, 2, 10, .9)
		win := rt.Collect(tick)
		ts := x.Observe(win)
		if tick == 3 { // after the window was collected, before it is counted
			end, ok := x.Rollback(0, runtime.ReasonHarm, tick)
			if !ok || end.From != runtime.StagedState {
				t.Fatalf("%+v", end)
			}
			ts = append(ts, end)
		}
		c.Cycle(win, ts, nil)
	}
	expect(t, reg, `
# HELP arqon_requests_total Requests that a variant answered, as of the last collected window.
# TYPE arqon_requests_total counter
arqon_requests_total{class="low",variant="1"} 60
arqon_requests_total{class="low",variant="2"} 0
# HELP arqon_shadow_requests_total Copies of requests that a variant in shadow tried; none of them was sent to anybody.
# TYPE arqon_shadow_requests_total counter
arqon_shadow_requests_total{class="low",variant="2"} 20
`, "arqon_requests_total", "arqon_shadow_requests_total")
	expect(t, reg, `
# HELP arqon_request_duration_seconds Latency of requests by variant.
# TYPE arqon_request_duration_seconds histogram
arqon_request_duration_seconds_bucket{class="low",variant="1",le="1e-05"} 0
arqon_request_duration_seconds_bucket{class="low",variant="1",le="0.0001"} 60
arqon_request_duration_seconds_bucket{class="low",variant="1",le="0.001"} 60
arqon_request_duration_seconds_bucket{class="low",variant="1",le="+Inf"} 60
arqon_request_duration_seconds_sum{class="low",variant="1"} 0.0024
arqon_request_duration_seconds_count{class="low",variant="1"} 60
`, "arqon_request_duration_seconds")
	serve(rt, 2, 10, .9) // in shadow no more: these are requests
	c.Cycle(rt.Collect(9), nil, nil)
	expect(t, reg, `
# HELP arqon_requests_total Requests that a variant answered, as of the last collected window.
# TYPE arqon_requests_total counter
arqon_requests_total{class="low",variant="1"} 60
arqon_requests_total{class="low",variant="2"} 10
`, "arqon_requests_total")
}

// The whole life of a canary that turns out badly, as a scrape shows it.
func TestAScrapeTellsTheStory(t *testing.T) {
	rt, c, reg := open(t)
	x := rt.Executor()
	d := x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Class: 0, Variant: 2, Ramp: runtime.RampManual})
	w := x.Widen(0, .25, 2)
	refused := x.Propose(runtime.Proposal{Tick: 2, Base: rt.Load().Generation(), Class: 1, Variant: 2, Ramp: runtime.RampManual})
	c.Cycle(nil, nil, []runtime.Decision{d, w, refused})
	expect(t, reg, `
# HELP arqon_variant_share_ratio Share of a class's requests that a variant serves.
# TYPE arqon_variant_share_ratio gauge
arqon_variant_share_ratio{class="burst",variant="1"} 1
arqon_variant_share_ratio{class="low",variant="1"} 0.75
arqon_variant_share_ratio{class="low",variant="2"} 0.25
`, "arqon_variant_share_ratio")

	serve(rt, 1, 30, .9)
	serve(rt, 2, 10, .1)
	win := rt.Collect(3)
	c.Cycle(win, x.Observe(win), nil)
	expect(t, reg, `
# HELP arqon_decisions_total Answers of the executor to proposals.
# TYPE arqon_decisions_total counter
arqon_decisions_total{outcome="canary",reason="none"} 1
arqon_decisions_total{outcome="refused",reason="class not served"} 1
arqon_decisions_total{outcome="staged",reason="none"} 1
# HELP arqon_guardrail_trips_total Times that a window broke a signed limit.
# TYPE arqon_guardrail_trips_total counter
arqon_guardrail_trips_total{class="low"} 1
# HELP arqon_release_sequence Sequence number of the release in force.
# TYPE arqon_release_sequence gauge
arqon_release_sequence 1
# HELP arqon_request_duration_seconds Latency of requests by variant.
# TYPE arqon_request_duration_seconds histogram
arqon_request_duration_seconds_bucket{class="low",variant="1",le="1e-05"} 0
arqon_request_duration_seconds_bucket{class="low",variant="1",le="0.0001"} 30
arqon_request_duration_seconds_bucket{class="low",variant="1",le="0.001"} 30
arqon_request_duration_seconds_bucket{class="low",variant="1",le="+Inf"} 30
arqon_request_duration_seconds_sum{class="low",variant="1"} 0.0012
arqon_request_duration_seconds_count{class="low",variant="1"} 30
arqon_request_duration_seconds_bucket{class="low",variant="2",le="1e-05"} 0
arqon_request_duration_seconds_bucket{class="low",variant="2",le="0.0001"} 10
arqon_request_duration_seconds_bucket{class="low",variant="2",le="0.001"} 10
arqon_request_duration_seconds_bucket{class="low",variant="2",le="+Inf"} 10
arqon_request_duration_seconds_sum{class="low",variant="2"} 0.0004
arqon_request_duration_seconds_count{class="low",variant="2"} 10
# HELP arqon_requests_total Requests that a variant answered, as of the last collected window.
# TYPE arqon_requests_total counter
arqon_requests_total{class="low",variant="1"} 30
arqon_requests_total{class="low",variant="2"} 10
# HELP arqon_rollbacks_total Times that a class went back to what served before or to the baseline.
# TYPE arqon_rollbacks_total counter
arqon_rollbacks_total{class="low",reason="guardrail"} 1
`, "arqon_decisions_total", "arqon_guardrail_trips_total", "arqon_release_sequence", "arqon_request_duration_seconds",
		"arqon_requests_total", "arqon_rollbacks_total")
	if n, err := testutil.GatherAndCount(reg, "arqon_rollout_state"); err != nil || n != 2*int(runtime.Killed) {
		t.Errorf("%d series of states, %v", n, err)
	}
	rt.Kill(runtime.ReasonOperator)
	expect(t, reg, `
# HELP arqon_killed 1 while the kill switch is on.
# TYPE arqon_killed gauge
arqon_killed 1
`, "arqon_killed")
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func expect(t *testing.T, reg *prom.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	metrics := []runtime.Metric{{Name: "latency_ns"}}
	for _, o := range []prometheus.Options{
		{LatencyMetric: "cost"}, {Buckets: []float64{2, 1}}, {Buckets: []float64{0}}, {Buckets: []float64{math.Inf(1)}}, {Buckets: []float64{math.NaN()}},
	} {
		if _, err := prometheus.New(metrics, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Scrapes run beside requests and cycles.
func TestScrapesRunBesideCycles(t *testing.T) {
	rt, c, reg := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			_, err = reg.Gather()
		}
		done <- err
	}()
	for tick := range 200 {
		serve(rt, 1, 10, .9)
		w := rt.Collect(runtime.Tick(tick))
		c.Cycle(w, rt.Executor().Observe(w), nil)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, reg, `
# HELP arqon_requests_total Requests that a variant answered, as of the last collected window.
# TYPE arqon_requests_total counter
arqon_requests_total{class="low",variant="1"} 2000
`, "arqon_requests_total")
}
