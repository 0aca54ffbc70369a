package infer

import (
	"maps"
	"os"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// point changes the baseline.
func point(change benchmarks.Point) benchmarks.Point {
	p := Baseline()
	maps.Copy(p, change)
	return p
}

type handPicked struct {
	name string
	p    benchmarks.Point
}

// handPickedPoints are the variants of the table and of BenchmarkPredict.
func handPickedPoints() []handPicked {
	pruned := benchmarks.Point{paramPrune0: 0.3, paramPrune1: 0.7, paramPrune2: 0.8}
	with := func(a benchmarks.Point, b benchmarks.Point) benchmarks.Point {
		a = a.Clone()
		maps.Copy(a, b)
		return point(a)
	}
	return []handPicked{
		{"baseline", Baseline()},
		{"exits .90", point(benchmarks.Point{paramExit0: 0.9, paramExit1: 0.9})},
		{"exits .80", point(benchmarks.Point{paramExit0: 0.8, paramExit1: 0.8})},
		{"exits .70", point(benchmarks.Point{paramExit0: 0.7, paramExit1: 0.7})},
		{"exits .50", point(benchmarks.Point{paramExit0: 0.5, paramExit1: 0.5})},
		{"pruned .30 .70 .80", point(pruned)},
		{"exits .80, pruned", with(pruned, benchmarks.Point{paramExit0: 0.8, paramExit1: 0.8})},
		{"escalate .80", point(benchmarks.Point{paramRoute: routeEscalate, paramExit0: 0.8})},
		{"small", point(benchmarks.Point{paramRoute: routeSmall})},
		{"int8 q .999", point(benchmarks.Point{paramPrecision: precisionI8, paramQuantile: 0.999})},
		{"int4 q .999", point(benchmarks.Point{paramPrecision: precisionI4, paramQuantile: 0.999})},
		{"int4 q .99, pruned", with(pruned, benchmarks.Point{paramPrecision: precisionI4, paramQuantile: 0.99})},
		{"int4 q .99, exits .80", point(benchmarks.Point{paramPrecision: precisionI4, paramQuantile: 0.99, paramExit0: 0.8, paramExit1: 0.8})},
	}
}

// TestOpportunity prints what there is to discover, on all 10,000 test images:
//
//	ARQON_INFER_OPPORTUNITY=1 go test ./benchmarks/infer -run TestOpportunity -v
func TestOpportunity(t *testing.T) {
	if os.Getenv("ARQON_INFER_OPPORTUNITY") == "" {
		t.Skip("set ARQON_INFER_OPPORTUNITY=1; it trains the full recipe")
	}
	d, err := New(Options{CacheDir: os.Getenv("ARQON_INFER_CACHE"), Seed: 1, Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	measure := func(scenario string, p benchmarks.Point) (accuracy, macs, cpuNS, p99NS, bytes float64) {
		b, err := d.Build(t.Context(), p, 1)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		checks, err := in.Check(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			if !c.Pass {
				t.Errorf("%v: %s: %s", p, c.Name, c.Detail)
			}
		}
		s, err := in.Measure(t.Context(), benchmarks.Request{Scenario: scenario, Seed: 7, Repeats: 1, Fidelity: 1, Purpose: benchmarks.ForGates})
		if err != nil {
			t.Fatal(err)
		}
		v := s[0].Values
		return v[MetricAccuracy], v[MetricMACs], v[MetricCPU], v[MetricP99], v[MetricBytes]
	}
	t.Logf("%-24s %8s %9s %8s %8s %8s", "variant", "accuracy", "MACs", "cpu µs", "p99 µs", "KB")
	for _, h := range handPickedPoints() {
		a, m, c, p, b := measure(LowLoad, h.p)
		t.Logf("%-24s %8.4f %9.0f %8.1f %8.1f %8.1f", h.name, a, m, c/1e3, p/1e3, b/1e3)
	}
	for _, context := range []string{Shifted, Noisy, Inverted} {
		plain, _, _, _, _ := measure(context, Baseline())
		early, _, _, _, _ := measure(context, point(benchmarks.Point{paramExit0: 0.8, paramExit1: 0.8}))
		adapted, _, _, _, _ := measure(context, point(benchmarks.Point{paramAdapter: context}))
		small, _, _, _, _ := measure(context, point(benchmarks.Point{paramAdapter: context, paramRoute: routeSmall}))
		t.Logf("%-10s base %.4f, exits .80 %.4f, adapter %.4f, small with adapter %.4f", context, plain, early, adapted, small)
	}
}
