package universe

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// No two laws share a context: not two found ones of one name, and not one that
// only says it is a built-in law.
func TestContextsTellLawsApart(t *testing.T) {
	point, err := lawSpace().Normalize(LawBaseline())
	if err != nil {
		t.Fatal(err)
	}
	a, err := FoundLaw(point, string(Noise), "found")
	if err != nil {
		t.Fatal(err)
	}
	b, err := FoundLaw(point, string(Spots), "found")
	if err != nil {
		t.Fatal(err)
	}
	false1, false2 := GrayScott(), Growth()
	false1.Knobs[0].Default, false2.Knobs[0].Default = .04, .31
	laws := append(Laws(), a, b, false1, false2)
	seen := map[string]bool{}
	for _, l := range laws {
		for _, s := range scenes() {
			name := contextOf(l.Tag(), s)
			tag, width, err := ParseContext(name)
			if err != nil || tag != l.Tag() || width != s.width {
				t.Errorf("%s is read as %q, %d: %v", name, tag, width, err)
			}
			if seen[name] {
				t.Errorf("%s is a context of two laws", name)
			}
			seen[name] = true
		}
	}
	if !seen["32-1e-5"] || !seen["growth-1024-exact"] {
		t.Error("Gray-Scott's contexts have no tag, the other built-in laws' only a name")
	}
	for _, bad := range []string{"", "-32-exact", "32", "growth-64-exact", "growth32-exact", "32-exact-growth"} {
		if _, _, err := ParseContext(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if got, err := DecodeLaw(a.Encode()); err != nil || got.Tag() != a.Tag() || got.Start != Noise {
		t.Errorf("%v, %s came back as %s", err, a.Tag(), got.Tag())
	}
}

func TestAnotherLawKeepsTheContract(t *testing.T) {
	d, err := New(Growth(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	conformance.Run(t, d)
}

// A domain opens kernels of any law, since a release may hold several; but each
// is measured in the contexts of its own law alone.
func TestAKernelIsMeasuredInItsOwnLawAlone(t *testing.T) {
	other, err := New(Growth(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, other.Close) })
	b, err := other.Build(t.Context(), Baseline(), 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := grayScott(t).Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, in.Close) })
	r := benchmarks.Request{Scenario: "32-exact", Seed: 1, Repeats: 1, Fidelity: .01, OnlyDeterministic: true}
	if _, err := in.Measure(t.Context(), r); err == nil || !strings.Contains(err.Error(), "law growth") {
		t.Errorf("%v, want a context of another law refused", err)
	}
	r.Scenario = "growth-32-exact"
	samples, err := in.Measure(t.Context(), r)
	if err != nil || samples[0].Values[MetricError] != 0 {
		t.Errorf("%v %v", samples, err)
	}
	header := b.Files[slices.IndexFunc(b.Files, func(f benchmarks.File) bool { return f.Name == HeaderFile })]
	if l, err := LawIn(header.Bytes); err != nil || l.Tag() != "growth" {
		t.Errorf("%s %v", l.Tag(), err)
	}
	if _, err := LawIn([]byte(`{"law":{}}`)); !errors.Is(err, ErrBadLaw) {
		t.Errorf("%v", err)
	}
}

// Names become parts of contexts and knobs of a catalog: what these would refuse
// after a night is refused before it.
func TestNamesThatNobodyCanServeAreRefused(t *testing.T) {
	for _, bad := range []string{"", "-a", "A", "a b", "a/b", "a.b", strings.Repeat("a", lawNameMax+1)} {
		l := Growth()
		l.Name = bad
		if err := l.Check(); !errors.Is(err, ErrBadLaw) {
			t.Errorf("a law called %q: %v", bad, err)
		}
		l = Growth()
		l.Knobs[1].Name = bad
		if err := l.Check(); !errors.Is(err, ErrBadLaw) || !strings.Contains(err.Error(), "knobs[1]") {
			t.Errorf("a knob called %q: %v", bad, err)
		}
	}
	l := Growth()
	l.Knobs[1].Name = l.Knobs[0].Name
	if err := l.Check(); !errors.Is(err, ErrBadLaw) {
		t.Errorf("two knobs of one name: %v", err)
	}
}
