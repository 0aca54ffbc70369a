package universe

import (
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// Two laws that differ in one factor answer differently, and each the same way
// twice.
func TestGoldenAnswersTellLawsApart(t *testing.T) {
	d := NewLawDomain()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	other := LawBaseline()
	other["factor_v0"] = -.098
	ask := func(p benchmarks.Point) benchmarks.Golden {
		b, err := d.Build(t.Context(), p, 1)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		a, ok := in.(benchmarks.Answerer)
		if !ok {
			t.Fatal("a law has no golden answers")
		}
		golden, err := a.Answer(t.Context(), questionLaw)
		if err != nil || len(golden) != 1 || golden[0].Digest == "" {
			t.Fatalf("%v, %v", golden, err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		return golden[0]
	}
	first := ask(LawBaseline())
	if err := first.Compare(ask(LawBaseline())); err != nil {
		t.Error(err)
	}
	if first.Compare(ask(other)) == nil {
		t.Error("two laws give the same answer")
	}
}
