package otel_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/otel"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// traced is a runtime with a good and a bad variant beside the baseline, a
// clock that goes a second a cycle, and what was exported.
type traced struct {
	t       *testing.T
	repo    *runtimetest.Repository
	rt      *runtime.Runtime
	tracer  *otel.Tracer
	spans   *tracetest.InMemoryExporter
	seconds int
}

var variants = []runtimetest.Variant{
	{Name: "base", Data: []byte("1"), Contexts: []string{"low"}},
	{Name: "good", Data: []byte("2"), Contexts: []string{"low"}, Expect: []catalog.Expectation{
		{Metric: "quality", Context: "low", Unit: "1", Direction: "higher", Scale: "difference", Baseline: .8, Value: .9, Change: .1, Lower: .1, Upper: .1},
	}},
	{Name: "bad", Data: []byte("3"), Contexts: []string{"low"}},
}

func newTraced(t *testing.T) *traced {
	t.Helper()
	least := .5
	w := &traced{t: t, spans: tracetest.NewInMemoryExporter()}
	w.repo = runtimetest.New(t, catalog.Policy{
		MaxExperiments: 1, CoolDownTicks: 1, WindowRequests: 10, Guardrails: []catalog.Guardrail{{Metric: "quality", Min: &least}},
	})
	var err error
	w.rt, err = runtime.Open(t.Context(), runtime.Config{
		Stage: runtimetest.Stage, Metrics: []runtime.Metric{{Name: "quality"}}, Limits: runtime.Limits{Ramp: []float64{.5, 1}},
	}, w.repo.Release([]string{"low"}, variants...))
	if err != nil {
		t.Fatal(err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	w.tracer = otel.New(p, w.rt, func() time.Time { return runtimetest.Night.Add(time.Duration(w.seconds) * time.Second) })
	return w
}

func (w *traced) propose(v catalog.VariantID) {
	w.seconds++
	d := w.rt.Executor().Propose(runtime.Proposal{Tick: runtime.Tick(w.seconds), Base: w.rt.Load().Generation(), Variant: v})
	w.tracer.Cycle(w.t.Context(), nil, []runtime.Decision{d})
}

// cycle serves 200 requests; 3 is bad.
func (w *traced) cycle() {
	w.seconds++
	rec, snap := w.rt.Recorder(0), w.rt.Load()
	quality := map[catalog.VariantID]float64{1: .8, 2: .9, 3: .1}
	for i := range uint64(200) {
		id := snap.Route(0, i)
		rec.Record(id, 0, 0, quality[id]+.001*float64(i%3))
	}
	rec.Flush()
	w.tracer.Cycle(w.t.Context(), w.rt.Executor().Observe(w.rt.Collect(runtime.Tick(w.seconds))), nil)
}

// take returns the spans that have ended since the last call.
func (w *traced) take() tracetest.SpanStubs {
	out := w.spans.GetSpans()
	w.spans.Reset()
	return out
}

func events(s tracetest.SpanStub) (names []string) {
	for _, e := range s.Events {
		names = append(names, e.Name)
	}
	return names
}

func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func TestACanaryThatHoldsIsOneSpan(t *testing.T) {
	w := newTraced(t)
	w.propose(2)
	for range 5 {
		if w.cycle(); len(w.spans.GetSpans()) > 0 {
			break
		}
	}
	got := w.take()
	if len(got) != 1 || got[0].Name != otel.RolloutSpan || got[0].Status.Code == codes.Error {
		t.Fatalf("%+v", got)
	}
	s := got[0]
	if attr(s, otel.ClassKey) != "low" || attr(s, otel.VariantKey) != "2" || attr(s, otel.OutcomeKey) != "canary" || attr(s, otel.ReleaseKey) != "1" {
		t.Errorf("attributes %v", s.Attributes)
	}
	if names := events(s); len(names) < 2 || names[len(names)-1] != "promoted" {
		t.Errorf("events %v", names)
	}
	if s.StartTime != runtimetest.Night.Add(time.Second) || !s.EndTime.After(s.StartTime) {
		t.Errorf("from %v to %v", s.StartTime, s.EndTime)
	}
	w.propose(2) // refused: no change
	w.cycle()
	if got := w.take(); len(got) != 0 {
		t.Errorf("a refusal and an idle cycle made %v", got)
	}
}

func TestACanaryThatBreaksALimitEndsInError(t *testing.T) {
	w := newTraced(t)
	w.propose(3)
	w.cycle()
	got := w.take()
	if len(got) != 1 || got[0].Status.Code != codes.Error || got[0].Status.Description != "guardrail" {
		t.Fatalf("%+v", got)
	}
	if names := events(got[0]); len(names) != 1 || names[0] != "rolled back" {
		t.Errorf("events %v", names)
	}
}

func TestAReleaseAndAShutdownEndWhatIsOpen(t *testing.T) {
	w := newTraced(t)
	w.propose(2)
	more := append(variants[:3:3], runtimetest.Variant{Name: "new", Data: []byte("4"), Contexts: []string{"low"}})
	if err := w.rt.Adopt(t.Context(), w.repo.Release([]string{"low"}, more...)); err != nil {
		t.Fatal(err)
	}
	w.tracer.Cycle(t.Context(), nil, nil)
	if got := w.take(); len(got) != 1 || len(events(got[0])) != 1 || events(got[0])[0] != "ended from outside" {
		t.Fatalf("%+v", got)
	}
	w.propose(2)
	w.tracer.Close()
	if got := w.take(); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
}
