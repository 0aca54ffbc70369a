package cache

import (
	"slices"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// Policies of every family answer, each in its own way but for a few that are
// the same cache at these sizes; and the trace asks something of all of them.
func TestGoldenAnswersTellPoliciesApart(t *testing.T) {
	var seen [][]float64
	for _, s := range Families() {
		golden, err := (&instance{strategy: s}).Answer(t.Context())
		if err != nil || len(golden) != 1 {
			t.Fatalf("%v: %v, %v", s, golden, err)
		}
		if (golden[0].Tolerance == 0) != (len(s.program) == 0) {
			t.Errorf("%v: tolerance %v", s, golden[0].Tolerance)
		}
		if slices.Contains(golden[0].Values[:goldenParts], 0) {
			t.Errorf("%v: a part of the trace without a hit: %v", s, golden[0].Values)
		}
		if !slices.ContainsFunc(seen, func(v []float64) bool { return slices.Equal(v, golden[0].Values) }) {
			seen = append(seen, golden[0].Values)
		}
		again, err := Open(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := golden[0].Compare(benchmarks.Golden{Question: questionHits, Values: again.goldenHits()}); err != nil {
			t.Errorf("%v: %v", s, err)
		}
	}
	if len(seen) < len(Families())-1 {
		t.Errorf("%d families give %d answers", len(Families()), len(seen))
	}
}
