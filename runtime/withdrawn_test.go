package runtime_test

import (
	"errors"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// A variant that was withdrawn stops serving when the host looks again, though
// neither the release's number nor its manifest has changed.
func TestAWithdrawnVariantStopsServing(t *testing.T) {
	repo := runtimetest.New(t, catalog.Policy{MaxExperiments: 1})
	both := []string{"low"}
	rel := repo.Release(both, runtimetest.Variant{Name: "base", Data: []byte("1"), Contexts: both}, runtimetest.Variant{Name: "other", Data: []byte("2"), Contexts: both})
	rt, err := runtime.Open(t.Context(), runtime.Config{Stage: runtimetest.Stage, Limits: runtime.Limits{Ramp: []float64{1}}}, rel)
	if err != nil {
		t.Fatal(err)
	}
	x := rt.Executor()
	x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Variant: 2, Ramp: runtime.RampManual})
	x.Widen(0, 1, 2)
	if d := x.Promote(0, 3); d.Outcome != runtime.Applied || rt.Load().Select(0) != 2 {
		t.Fatalf("%+v", d)
	}
	generation := rt.Load().Generation()
	if err := rt.Adopt(t.Context(), rel); err != nil || rt.Load().Generation() != generation {
		t.Fatalf("the same release again: %v, generation %d after %d", err, rt.Load().Generation(), generation)
	}
	if err := rt.Adopt(t.Context(), repo.Yank(2)); err != nil {
		t.Fatal(err)
	}
	if s := rt.Load(); s.Select(0) != 1 || s.Release() != rel.Release().Sequence || s.Handle(2) != nil {
		t.Errorf("%d serves, handle of 2 is %v", s.Select(0), s.Handle(2))
	}
	if d := x.Propose(runtime.Proposal{Tick: 9, Base: rt.Load().Generation(), Variant: 2}); d.Reason != runtime.ReasonUnknownVariant {
		t.Errorf("%v", d.Reason)
	}
}

// A baseline that was withdrawn stops serving too where the host has a fallback
// of its own; a host without one has nothing else to serve, and is told so.
func TestAWithdrawnBaselineStopsServing(t *testing.T) {
	both := []string{"low"}
	for name, builtIn := range map[string]any{"a host with a built-in": "own", "a host without": nil} {
		repo := runtimetest.New(t, catalog.Policy{MaxExperiments: 1})
		rel := repo.Release(both, runtimetest.Variant{Name: "base", Data: []byte("1"), Contexts: both}, runtimetest.Variant{Name: "other", Data: []byte("2"), Contexts: both})
		rt, err := runtime.Open(t.Context(), runtime.Config{Stage: runtimetest.Stage, BuiltIn: builtIn}, rel)
		if err != nil {
			t.Fatal(err)
		}
		if rt.Load().Select(0) != 1 {
			t.Fatalf("%s: %d serves before", name, rt.Load().Select(0))
		}
		err = rt.Adopt(t.Context(), repo.Yank(1))
		if builtIn == nil {
			if !errors.Is(err, runtime.ErrBaseline) || rt.Load().Select(0) != 1 {
				t.Errorf("%s: %v, %d serves", name, err, rt.Load().Select(0))
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s := rt.Load(); s.Select(0) != catalog.BuiltIn || s.Handle(0) != builtIn || s.Handle(1) != builtIn {
			t.Errorf("%s: %d serves, handles %v and %v", name, s.Select(0), s.Handle(0), s.Handle(1))
		}
		x := rt.Executor()
		x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Variant: 2, Ramp: runtime.RampManual})
		x.Widen(0, 1, 2)
		if d := x.Promote(0, 3); d.Outcome != runtime.Applied || rt.Load().Select(0) != 2 {
			t.Errorf("%s: what is left cannot serve: %+v", name, d)
		}
	}
}
