package factory_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
	"github.com/arqon/arqon/gates"
)

// bowl is a domain of one function: how far a point is from (.3, 7).
type bowl struct{}

func (bowl) Describe(context.Context) (benchmarks.Description, error) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "x", Kind: benchmarks.Float, Min: 0, Max: 1, Default: .9},
		{Name: "n", Kind: benchmarks.Int, Min: 1, Max: 9, Default: int64(1)},
	}}
	return benchmarks.Description{
		Name: "bowl", Version: "1", Space: space, Baseline: space.Default(), Scenarios: []benchmarks.Scenario{{Name: "only"}},
		Metrics: []benchmarks.Metric{{
			Name: "loss", Unit: "1", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.Success, Compare: benchmarks.Difference,
		}},
	}, nil
}

func (bowl) Build(_ context.Context, p benchmarks.Point, seed uint64) (benchmarks.Bundle, error) {
	return benchmarks.Bundle{Point: p, Seed: seed, Type: "bowl"}, nil
}

func (bowl) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	return at{b.Point}, nil
}

type at struct{ p benchmarks.Point }

func (a at) Measure(context.Context, benchmarks.Request) ([]benchmarks.Sample, error) {
	dx, dn := a.p["x"].(float64)-.3, float64(a.p["n"].(int64)-7)
	return []benchmarks.Sample{{Values: map[string]float64{"loss": dx*dx + dn*dn}}}, nil
}

func (at) Check(context.Context, uint64) ([]benchmarks.Check, error) { return nil, nil }
func (at) Close() error                                              { return nil }

// A search over a function of a program's own, without files but the journal:
// cut off and called again, it goes on where it was.
func ExampleRecommend() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "arqon-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d, _ := bowl{}.Describe(ctx)
	found, err := factory.Recommend(ctx, factory.Discovery{
		Study:  factory.Study{Name: "bowl", Domain: "bowl", Seed: 1, Workers: 1, Fidelity: 1, Candidates: 1, Channel: "staging", Engines: factory.DefaultEngines(), Policy: gates.DefaultPolicy(), Budget: factory.Budget{Evaluations: 300}},
		Domain: bowl{}, Description: d, Engines: roster.Engines(), Journal: filepath.Join(dir, "journal.ledger"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range found.Contexts {
		p, err := benchmarks.DecodePoint(d.Space, r.Point)
		fmt.Printf("%s: n = %v, x = %.2f, loss %.3f instead of %.3f, %v\n", r.Context, p["n"], p["x"], r.Claimed, r.Baseline, err)
	}
	// Output: only: n = 7, x = 0.30, loss 0.000 instead of 36.360, <nil>
}
