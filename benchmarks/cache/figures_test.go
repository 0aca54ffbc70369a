package cache

import (
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// TestFigures prints what docs/cache.md says about time and memory:
//
//	ARQON_CACHE_FIGURES=1 go test ./benchmarks/cache -run TestFigures -v
func TestFigures(t *testing.T) {
	if os.Getenv("ARQON_CACHE_FIGURES") == "" {
		t.Skip("ARQON_CACHE_FIGURES=1 measures")
	}
	d := newDomain(t)
	dearest := benchmarks.Point{paramPolicy: scoreName, paramLength: "6", "score_sample": int64(11)} // (24 + 2) × 11 = 286 of 288
	for i := range instructionsMax {
		n := strconv.Itoa(i)
		dearest["op"+n], dearest["a"+n], dearest["b"+n] = "div", "count", "age"
	}
	for _, context := range []string{"zipf-2k", "recency-2k", "once-8k"} {
		t.Log(context)
		for _, p := range append(append([]benchmarks.Point{Baseline()}, starts()...), dearest) {
			b, err := d.Build(t.Context(), p, 1)
			if err != nil {
				t.Fatal(err)
			}
			in, err := d.Open(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			samples, err := in.Measure(t.Context(), benchmarks.Request{Scenario: context, Seed: 5, Repeats: 9, Fidelity: .3, Purpose: benchmarks.ForGates})
			if err != nil {
				t.Fatal(err)
			}
			var ns []float64
			for _, s := range samples {
				ns = append(ns, s.Values[MetricNS])
			}
			slices.Sort(ns)
			t.Logf("  %4.0f ns a use (%.0f to %.0f)  %5.1f bytes an entry  %s",
				ns[len(ns)/2], ns[0], ns[len(ns)-1], samples[0].Values[MetricBytesPerEntry], in.(*instance).strategy)
		}
	}
}
