package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// square is a sound domain: its cost is x².
type square struct {
	describe func(*benchmarks.Description)
	build    func(benchmarks.Point, *benchmarks.Bundle) error
	measure  func(benchmarks.Request, []benchmarks.Sample) ([]benchmarks.Sample, error)
	checks   []benchmarks.Check
	checkErr error
	closeErr error
}

func (s square) Describe(context.Context) (benchmarks.Description, error) {
	d := benchmarks.Description{
		Name: "square", Version: "1",
		Space:     benchmarks.Space{Parameters: []benchmarks.Parameter{{Name: "x", Kind: benchmarks.Float, Min: -1, Max: 1}}},
		Metrics:   []benchmarks.Metric{{Name: "cost", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.Success, Range: &[2]float64{0, 1}}},
		Scenarios: []benchmarks.Scenario{{Name: "calm"}, {Name: "rough"}},
		Baseline:  benchmarks.Point{"x": .5},
	}
	if s.describe != nil {
		s.describe(&d)
	}
	return d, nil
}

func (s square) Build(ctx context.Context, p benchmarks.Point, seed uint64) (benchmarks.Bundle, error) {
	d, err := square{}.Describe(ctx)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	n, err := d.Space.Normalize(p)
	b := benchmarks.Bundle{Point: n, Seed: seed, Type: "square", Files: []benchmarks.File{{Name: "x", Bytes: n.Canonical()}}}
	if s.build != nil {
		return b, s.build(p, &b)
	}
	return b, err
}

func (s square) Open(context.Context, benchmarks.Bundle) (benchmarks.Instance, error) { return s, nil }

func (s square) Measure(_ context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	if r.Scenario != "calm" && r.Scenario != "rough" {
		return nil, fmt.Errorf("unknown scenario %s", r.Scenario)
	}
	var out []benchmarks.Sample
	for range r.Repeats {
		out = append(out, benchmarks.Sample{Values: map[string]float64{"cost": .25}, Items: map[string][]float32{"cost": {.25, .25}}})
	}
	if s.measure != nil {
		return s.measure(r, out)
	}
	if r.Perturbation != nil {
		return nil, benchmarks.ErrUnsupported
	}
	return out, nil
}

func (s square) Check(context.Context, uint64) ([]benchmarks.Check, error) {
	return s.checks, s.checkErr
}
func (s square) Close() error { return s.closeErr }

var sound = []benchmarks.Check{{Name: "golden", Pass: true}}

func TestASoundDomainPasses(t *testing.T) {
	Run(t, square{checks: sound})
	Run(t, square{checkErr: fmt.Errorf("check: %w", benchmarks.ErrUnsupported)})
}

func TestEveryBrokenPromiseIsNoticed(t *testing.T) {
	n := 0
	for _, tc := range []struct {
		promise string
		domain  square
	}{
		{"describes itself soundly", square{describe: func(d *benchmarks.Description) { d.Metrics = nil }}},
		{"describes itself the same way twice", square{describe: func(d *benchmarks.Description) { n++; d.Version = fmt.Sprint(n) }}},
		{"builds the baseline purely", square{build: func(_ benchmarks.Point, b *benchmarks.Bundle) error {
			n++
			b.Files[0].Bytes = fmt.Append(nil, n)
			return nil
		}}},
		{"builds the baseline purely", square{build: func(p benchmarks.Point, _ *benchmarks.Bundle) error { p["x"] = .1; return nil }}},
		{"builds the baseline purely", square{build: func(_ benchmarks.Point, b *benchmarks.Bundle) error { b.Files = nil; return nil }}},
		{"builds the baseline purely", square{build: func(_ benchmarks.Point, b *benchmarks.Bundle) error { b.Seed++; return nil }}},
		{"refuses a point outside the space as a bad candidate", square{build: func(benchmarks.Point, *benchmarks.Bundle) error { return nil }}},
		{"measures every metric in every scenario", square{measure: func(_ benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			s[0].Values["cost"] = math.NaN()
			return s, nil
		}}},
		{"measures every metric in every scenario", square{measure: func(r benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			if r.Scenario == "rough" {
				return nil, benchmarks.ErrUnsupported
			}
			return s, nil
		}}},
		{"measures every metric in every scenario", square{measure: func(_ benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			return s[:1], nil
		}}},
		{"repeats deterministic metrics exactly", square{measure: func(_ benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			n++
			s[0].Values["cost"] = float64(n)
			return s, nil
		}}},
		{"keeps items the same length in every arm", square{measure: func(_ benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			n++
			s[0].Items["cost"] = make([]float32, n)
			return s, nil
		}}},
		{"declines an unknown perturbation", square{measure: func(_ benchmarks.Request, s []benchmarks.Sample) ([]benchmarks.Sample, error) {
			return s, nil
		}}},
		{"passes its own checks on the baseline", square{checks: []benchmarks.Check{{Name: "golden", Detail: "off by one"}}}},
		{"passes its own checks on the baseline", square{}},
		{"closes", square{closeErr: errors.New("still busy")}},
	} {
		found := false
		var all []string
		for _, f := range Examine(t.Context(), tc.domain) {
			if f.Broken() {
				all = append(all, f.Promise)
				found = found || f.Promise == tc.promise
			}
		}
		if !found {
			t.Errorf("%s: not noticed, only: %s", tc.promise, strings.Join(all, "; "))
		}
	}
}
