package slog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/runtimetest"
	arqonslog "github.com/arqon/arqon/runtime/slog"
)

func TestACycleInRecords(t *testing.T) {
	least := .5
	repo := runtimetest.New(t, catalog.Policy{
		MaxExperiments: 1, CoolDownTicks: 3, WindowRequests: 10, Guardrails: []catalog.Guardrail{{Metric: "quality", Min: &least}},
	})
	rel := repo.Release([]string{"low"},
		runtimetest.Variant{Name: "base", Data: []byte("1"), Contexts: []string{"low"}},
		runtimetest.Variant{Name: "bad", Data: []byte("2"), Contexts: []string{"low"},
			Knobs: []catalog.Knob{{Name: "k", Default: 1, Bounds: catalog.Bounds{Min: 0, Max: 2, MaxDelta: .5}}}})
	rt, err := runtime.Open(t.Context(), runtime.Config{Stage: runtimetest.Stage, Metrics: []runtime.Metric{{Name: "quality"}}}, rel)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	l := arqonslog.New(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), rt)
	knob, ok := rt.Knob(2, "k")
	if !ok {
		t.Fatal("no knob")
	}
	x := rt.Executor()
	d := x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Variant: 2, Knobs: []runtime.KnobDelta{{Knob: knob, Delta: 9}}})
	stale := x.Propose(runtime.Proposal{Tick: 1, Base: 77, Variant: 2})
	l.Cycle(t.Context(), nil, []runtime.Decision{d, stale})
	rec := rt.Recorder(0)
	for range 20 {
		rec.Record(1, 0, 0, .9)
		rec.Record(2, 0, 0, .1)
	}
	rec.Flush()
	l.Cycle(t.Context(), x.Observe(rt.Collect(2)), nil)
	l.Release(t.Context())

	var got []string
	for line := range strings.Lines(out.String()) {
		var r struct {
			Level, Msg string
			Arqon      map[string]any
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		a := r.Arqon
		words := []any{r.Level, r.Msg, a["class"], a["outcome"], a["from"], a["to"], a["reason"], a["variant_id"]}
		b, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b))
	}
	want := []string{
		`["INFO","decision","low","canary",null,null,"none",2]`,
		`["INFO","decision","low","refused",null,null,"stale base",2]`,
		`["WARN","transition","low",null,"canary","rolled back","guardrail",2]`,
		`["INFO","release",null,null,null,null,null,null]`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(out.String(), `"Value":1.5,"Clipped":true`) {
		t.Error("the knob that was applied, after clipping, is not in the record:\n" + out.String())
	}
}

// A class that the runtime does not know keeps its number.
func TestAnUnknownClassKeepsItsNumber(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", arqonslog.TransitionAttrs(runtime.Transition{Class: 9}, nil)...)
	if !strings.Contains(out.String(), `"class":9`) {
		t.Error(out.String())
	}
}
