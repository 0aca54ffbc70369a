package runtime

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

func TestReleasesThatAreRefused(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(*catalog.Release)
		want   error
	}{
		{"abi", func(r *catalog.Release) { r.RuntimeMin = catalog.RuntimeABI + 1 }, ErrABI},
		{"baseline is no entry", func(r *catalog.Release) { r.Baseline = 8 }, ErrBaseline},
		{"baseline for other hardware", func(r *catalog.Release) { r.Entries[0].Envelope.Hardware.OS = "plan9" }, ErrBaseline},
		{"baseline of narrow scope", func(r *catalog.Release) { r.Entries[0].Scope = "" }, ErrBaseline},
		{"no contexts", func(r *catalog.Release) { r.Contexts = nil }, ErrRelease},
		{"id twice", func(r *catalog.Release) { r.Entries[2].ID = idBase }, ErrRelease},
		{"id too large", func(r *catalog.Release) { r.Entries[2].ID = variantIDMax + 1 }, ErrRelease},
		{"entry with the built-in's id", func(r *catalog.Release) { r.Entries[2].ID = 0 }, ErrRelease},
		{"unmeasured guardrail", func(r *catalog.Release) { r.Policy.Guardrails[0].Metric = "smell" }, ErrUnmeasured},
		{"guardrail at NaN", func(r *catalog.Release) { r.Policy.Guardrails[0].Min = ptr(math.NaN()) }, ErrRelease},
		{"guardrail nowhere", func(r *catalog.Release) { r.Policy.Guardrails[1].Context = "mars" }, ErrRelease},
		{"knob default out of bounds", func(r *catalog.Release) { r.Entries[1].Variant.Knobs[0].Default = 2 }, ErrRelease},
		{"knob without step", func(r *catalog.Release) { r.Entries[1].Variant.Knobs[0].Bounds.MaxDelta = 0 }, ErrRelease},
		{"knob bound NaN", func(r *catalog.Release) { r.Entries[1].Variant.Knobs[0].Bounds.Max = math.NaN() }, ErrRelease},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := toyRelease(2)
			c.change(r)
			if _, err := open(ctx, toyConfig(), r, manifestOf(r), nil); !errors.Is(err, c.want) {
				t.Fatalf("open: %v", err)
			}
			rt := openToy(t, toyConfig())
			before := rt.Load()
			if err := rt.adopt(ctx, r, manifestOf(r), nil); !errors.Is(err, c.want) {
				t.Fatalf("adopt: %v", err)
			}
			if rt.Load() != before {
				t.Fatal("a refused release changed the snapshot")
			}
		})
	}
	if _, err := Open(ctx, toyConfig(), nil); !errors.Is(err, ErrUnverified) {
		t.Fatalf("nil: %v", err)
	}
	if _, err := Open(ctx, toyConfig(), &catalog.Verified{}); !errors.Is(err, ErrUnverified) {
		t.Fatalf("zero: %v", err)
	}
	if err := openToy(t, toyConfig()).Adopt(ctx, &catalog.Verified{}); !errors.Is(err, ErrUnverified) {
		t.Fatalf("adopt zero: %v", err)
	}
}

func TestAdoptKeepsWhatIsStillApproved(t *testing.T) {
	ctx := context.Background()
	staged := map[string]int{}
	cfg := toyConfig()
	cfg.Stage = func(_ context.Context, e catalog.Entry, _ artifacts.Getter) (any, error) {
		staged[e.Variant.Name]++
		return e.Variant.Name, nil
	}
	rt := openToy(t, cfg)
	rt.Install(1)
	knob, _ := rt.Knob(idFast, "batch")
	propose(rt, 2, cLow, idFast, RampAuto, KnobDelta{knob, 3})
	old := rt.Load()

	r := toyRelease(2)
	r.Contexts = []string{"night", "burst", "low"} // another order, one more
	r.Entries[1].Envelope.Contexts = []string{"low"}
	r.Entries = append(r.Entries, entry(5, -.2, "night"))
	if err := rt.adopt(ctx, r, manifestOf(r), nil); err != nil {
		t.Fatal(err)
	}
	s := rt.Load()
	night, ok := rt.Class("night")
	if c, _ := rt.Class("low"); !ok || c != cLow || night != 2 || s.Classes() != 3 {
		t.Fatalf("classes %v", rt.Classes())
	}
	// The baseline's envelope does not name the new context: the host's own
	// fallback serves it until something is approved for it.
	if s.Select(cLow) != idFast || s.Select(cBurst) != idBase || s.Select(night) != catalog.BuiltIn || s.Release() != 2 {
		t.Fatalf("low %d burst %d night %d", s.Select(cLow), s.Select(cBurst), s.Select(night))
	}
	if s.Knob(knob) != 11 {
		t.Fatalf("knob %g", s.Knob(knob))
	}
	if old.Release() != 1 || !old.Intact() || old.Select(cBurst) != idFast || old.Handle(idFast) != "v2" {
		t.Fatal("a request in flight lost its snapshot")
	}
	if staged["v2"] != 1 || staged["v5"] != 1 {
		t.Fatalf("staged %v: an unchanged variant is not staged again", staged)
	}
	if err := rt.adopt(ctx, toyRelease(1), manifestOf(toyRelease(1)), nil); !errors.Is(err, ErrOlder) {
		t.Fatalf("older: %v", err)
	}
	if err := rt.adopt(ctx, r, "another manifest", nil); !errors.Is(err, ErrOlder) {
		t.Fatalf("same sequence, other bytes: %v", err)
	}
	if err := rt.adopt(ctx, r, manifestOf(r), nil); err != nil || rt.Load() != s {
		t.Fatalf("the same release again: %v", err)
	}
	foreign := toyRelease(9)
	foreign.Channel = "canary"
	if err := rt.adopt(ctx, foreign, manifestOf(foreign), nil); !errors.Is(err, ErrForeign) {
		t.Fatalf("foreign: %v", err)
	}
	check(t, rt)
}

func TestStagingFailureKeepsTheReleaseBefore(t *testing.T) {
	ctx := context.Background()
	cfg := toyConfig()
	boom := ""
	cfg.Stage = func(_ context.Context, e catalog.Entry, _ artifacts.Getter) (any, error) {
		switch {
		case e.Variant.Name == boom:
			return nil, errors.New("bad bytes")
		case boom == "panic" && e.ID == 5:
			panic("index out of range")
		case boom == "nothing" && e.ID == 5:
			return nil, nil
		}
		return e.Variant.Name, nil
	}
	rt := openToy(t, cfg)
	for _, boom = range []string{"v5", "panic", "nothing"} {
		r := toyRelease(2)
		r.Entries = append(r.Entries, entry(5, -.2, "low"))
		before := rt.Load()
		if err := rt.adopt(ctx, r, manifestOf(r), nil); !errors.Is(err, ErrStage) || rt.Load() != before {
			t.Fatalf("%s: %v", boom, err)
		}
	}
}
