package openfeature_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/openfeature"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// open is a runtime of one class with two string values and a knob.
func open(t *testing.T) (*runtimetest.Repository, *runtime.Runtime) {
	t.Helper()
	repo := runtimetest.New(t, catalog.Policy{MaxExperiments: 1})
	rt, err := runtime.Open(t.Context(), runtime.Config{Stage: openfeature.Stage}, repo.Release([]string{"page"}, pages...))
	if err != nil {
		t.Fatal(err)
	}
	return repo, rt
}

var pages = []runtimetest.Variant{
	{Name: "old", Data: []byte(`"old page"`), Contexts: []string{"page"},
		Knobs: []catalog.Knob{{Name: "width", Default: 1.5, Bounds: catalog.Bounds{Min: 1, Max: 2, MaxDelta: .1}}}},
	{Name: "new", Data: []byte(`"new page"`), Contexts: []string{"page"}},
}

func evaluation(subject string) of.FlattenedContext {
	return of.FlattenedContext{of.TargetingKey: subject}
}

// A subject keeps its variant while a share lasts, and keeps it while the share
// grows; who has no name stays with the incumbent.
func TestACanaryKeepsItsSubjects(t *testing.T) {
	_, rt := open(t)
	p := openfeature.New(rt, openfeature.Options{})
	x := rt.Executor()
	x.Propose(runtime.Proposal{Tick: 1, Base: rt.Load().Generation(), Variant: 2, Ramp: runtime.RampManual})
	had := map[string]bool{}
	for tick, share := range []float64{.2, .5} {
		if d := x.Widen(0, share, runtime.Tick(tick+2)); d.Outcome == runtime.Refused {
			t.Fatal(d.Reason)
		}
		n := 0
		for i := range 2000 {
			who := fmt.Sprint("subject ", i)
			d := p.StringEvaluation(t.Context(), "page", "none", evaluation(who))
			if d.Reason != of.SplitReason || d.FlagMetadata["variantId"] == nil {
				t.Fatalf("%+v", d)
			}
			if d.Variant == "new" {
				n++
				had[who] = true
			} else if had[who] {
				t.Fatalf("%s lost its variant when the share grew", who)
			}
		}
		if f := float64(n) / 2000; f < share-.05 || f > share+.05 {
			t.Errorf("a share of %v is %v of the subjects", share, f)
		}
		if d := p.StringEvaluation(t.Context(), "page", "none", nil); d.Value != "old page" {
			t.Errorf("without a subject: %+v", d)
		}
	}
}

func TestKnobsAgeAndTheKillSwitch(t *testing.T) {
	_, rt := open(t)
	age := time.Minute
	p := openfeature.New(rt, openfeature.Options{Age: func() time.Duration { return age }, AgeMax: time.Hour})
	if d := p.FloatEvaluation(t.Context(), "page#width", 0, nil); d.Value != 1.5 || d.Variant != "old" {
		t.Errorf("%+v", d)
	}
	if d := p.FloatEvaluation(t.Context(), "page#height", 7, nil); d.Value != 7 || d.Reason != of.ErrorReason {
		t.Errorf("%+v", d)
	}
	age = 2 * time.Hour
	if d := p.StringEvaluation(t.Context(), "page", "", nil); d.Value != "old page" || d.Reason != openfeature.StaleReason {
		t.Errorf("%+v", d)
	}
	rt.Kill(runtime.ReasonOperator)
	if d := p.StringEvaluation(t.Context(), "page", "", nil); d.Value != "old page" || d.Reason != of.DisabledReason {
		t.Errorf("%+v", d)
	}
}

// A listener of the SDK hears of a new release.
func TestListenersHearOfReleases(t *testing.T) {
	repo, rt := open(t)
	p := openfeature.New(rt, openfeature.Options{})
	domain := t.Name()
	if err := of.SetNamedProviderAndWait(domain, p); err != nil {
		t.Fatal(err)
	}
	heard := make(chan of.EventDetails, 1)
	listen := func(d of.EventDetails) { heard <- d }
	of.NewClient(domain).AddHandler(of.ProviderConfigChange, &listen)
	more := append(pages[:2:2], runtimetest.Variant{Name: "newer", Data: []byte(`"newer"`), Contexts: []string{"page"}})
	if err := rt.Adopt(t.Context(), repo.Release([]string{"page"}, more...)); err != nil {
		t.Fatal(err)
	}
	p.Adopted()
	if d := <-heard; d.Message != "release 2" || len(d.FlagChanges) != 1 {
		t.Errorf("%+v", d)
	}
	for range 100 { // nobody reads: events are dropped, nothing blocks
		openfeature.New(rt, openfeature.Options{}).Stale("no network")
	}
}

func TestWhatIsNoValueIsNotStaged(t *testing.T) {
	for _, data := range []string{"", "null", "{", `1 2`, `1e999`, `{"a":1e999}`, `"` + strings.Repeat("x", 70_000) + `"`} {
		repo := runtimetest.New(t, catalog.Policy{})
		rel := repo.Release([]string{"page"}, runtimetest.Variant{Name: "v", Data: []byte(data + " "), Contexts: []string{"page"}})
		_, err := runtime.Open(t.Context(), runtime.Config{Stage: openfeature.Stage}, rel)
		if err == nil || !strings.Contains(err.Error(), "variant 1 v") || !strings.Contains(err.Error(), openfeature.ErrNotAValue.Error()) {
			t.Errorf("%.20q: %v", data, err)
		}
	}
}
