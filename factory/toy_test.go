package factory

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/ga"
	"github.com/arqon/arqon/factory/sweep"
	"github.com/arqon/arqon/internal/seed"
)

// toy is a domain in memory: a threshold that trades cost for accuracy, a
// packing that trades bytes for cost, and an adapter that helps in one
// context. The best point differs by context.
type toy struct {
	measured bool   // cost is noisy and needs pairs
	strict   bool   // context memory allows little more cost
	slow     func() // called before every measurement
	builds   atomic.Int64
	measures atomic.Int64
	broken   atomic.Bool // everything crashes
	items    bool        // deterministic metrics come with one value an item
}

func ptr(x float64) *float64 { return &x }

func (t *toy) Describe(context.Context) (benchmarks.Description, error) {
	kind := benchmarks.Deterministic
	if t.measured {
		kind = benchmarks.Measured
	}
	d := benchmarks.Description{
		Name: "toy", Version: "1",
		Space: benchmarks.Space{Parameters: []benchmarks.Parameter{
			{Name: "threshold", Kind: benchmarks.Float, Min: .3, Max: 1, Default: 1.0},
			{Name: "packing", Kind: benchmarks.Categorical, Choices: []string{"none", "half", "tight", "rotten"}, Default: "none"},
			{Name: "adapter", Kind: benchmarks.Bool, Default: false},
			{Name: "strength", Kind: benchmarks.Int, Min: 1, Max: 10, Default: int64(5), When: map[string][]any{"adapter": {true}}},
		}},
		Metrics: []benchmarks.Metric{
			{Name: "cost", Unit: "1", Direction: benchmarks.Lower, Kind: kind, Role: benchmarks.Success, Compare: benchmarks.Ratio, Range: &[2]float64{0, 4}},
			{Name: "accuracy", Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Difference, Tolerance: .01, Range: &[2]float64{0, 1}},
			{Name: "bytes", Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: .1},
		},
		Scenarios: []benchmarks.Scenario{
			{Name: "low"}, {Name: "burst", Tolerances: map[string]float64{"accuracy": .05}},
			{Name: "memory", Success: "bytes", Tolerances: map[string]float64{"cost": 3}, Limits: map[string]float64{"bytes": 500}},
			{Name: "shifted", Success: "accuracy", Tolerances: map[string]float64{"cost": 3}},
		},
		Baseline: benchmarks.Point{"threshold": 1.0, "packing": "none", "adapter": false},
	}
	if t.strict {
		d.Scenarios[2].Tolerances = map[string]float64{"cost": .05, "accuracy": .5}
	}
	return d, nil
}

func (t *toy) Build(_ context.Context, p benchmarks.Point, s uint64) (benchmarks.Bundle, error) {
	t.builds.Add(1)
	if p["packing"] == "rotten" && p["threshold"].(float64) > .9 {
		panic("packing rots")
	}
	if p["packing"] == "rotten" {
		return benchmarks.Bundle{}, fmt.Errorf("packing rotten: %w", benchmarks.ErrBadCandidate)
	}
	kind := "early-exit"
	if p["adapter"] == true {
		kind = "adapter"
	} else if p["packing"] != "none" {
		kind = "packing"
	}
	return benchmarks.Bundle{Point: p, Seed: s, Type: kind, Files: []benchmarks.File{
		{Name: "toy.json", MediaType: "application/json", Bytes: p.Canonical()},
	}}, nil
}

func (t *toy) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	return &toyInstance{t: t, p: b.Point}, nil
}

type toyInstance struct {
	t *toy
	p benchmarks.Point
	n uint64
}

func (i *toyInstance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	i.t.measures.Add(1)
	if i.t.slow != nil {
		i.t.slow()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if i.t.broken.Load() {
		return nil, fmt.Errorf("gone: %w", benchmarks.ErrCrash)
	}
	x := i.p["threshold"].(float64)
	cost, accuracy, bytes := .1+.9*x*x, .86-.1*(1-x)*(1-x), 900.0
	switch i.p["packing"] {
	case "half":
		cost, bytes = cost*1.1, 480
	case "tight":
		cost, bytes, accuracy = cost*2, 200, accuracy-.004
	}
	if r.Scenario == "shifted" {
		accuracy -= .4
	}
	if i.p["adapter"] == true {
		s, _ := i.p["strength"].(int64)
		help := .3 - .02*math.Abs(float64(s)-7)
		if r.Scenario == "shifted" {
			accuracy += help
		} else {
			accuracy -= .1
		}
		bytes += 15
	}
	if x > .62 && x < .63 {
		accuracy = math.NaN()
	}
	if i.t.measured {
		i.n++
		cost *= 1 + .02*seed.Stream(seed.Root(r.Seed), "toy", i.n).Float64()
	}
	jitter := .002 * seed.Stream(seed.Root(r.Seed), "toy/data").Float64() // another sample of the data
	values := map[string]float64{"cost": cost, "accuracy": accuracy - jitter, "bytes": bytes}
	out := benchmarks.Sample{Values: values}
	if i.t.items {
		out.Items = items(values, r.Seed)
	}
	return []benchmarks.Sample{out}, nil
}

// items spreads values over a few hundred requests, the same way for every
// variant measured with the same seed, so that their mean is the value.
func items(values map[string]float64, s uint64) map[string][]float32 {
	const n = 512
	draw := seed.Stream(seed.Root(s), "toy/items")
	out := map[string][]float32{}
	easy := draw.Perm(n)
	for _, m := range []string{"cost", "accuracy"} {
		out[m] = make([]float32, n)
	}
	for i := range n {
		out["cost"][i] = float32(values["cost"])
		if float64(easy[i]) < values["accuracy"]*n {
			out["accuracy"][i] = 1
		}
	}
	return out
}

func (i *toyInstance) Check(context.Context, uint64) ([]benchmarks.Check, error) {
	return []benchmarks.Check{{Name: "open", Pass: true}}, nil
}

func (i *toyInstance) Close() error { return nil }

func toyEngines() map[string]engine.New {
	return map[string]engine.New{"ga": ga.Engine, "sweep": sweep.Engine}
}

const toyYAML = `name: toy
domain: toy
seed: 7
workers: 2
budget: {evaluations: 240}
engines:
  - {name: ga, share: 2}
  - {name: sweep, share: 1}
candidates_per_context: 2
`

func toyStudy(t testing.TB, edit ...string) Study {
	t.Helper()
	st, err := parseStudy("toy.yaml", []byte(strings.NewReplacer(edit...).Replace(toyYAML)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// discovery is a search of the toy with its journal in dir.
func discovery(t testing.TB, d *toy, st Study, journal string) Discovery {
	t.Helper()
	found, err := d.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err = st.Apply(found)
	if err != nil {
		t.Fatal(err)
	}
	return Discovery{Study: st, Domain: d, Description: found, Engines: toyEngines(), Journal: journal}
}

// ticking is a clock that moves by step at every look.
func ticking(step time.Duration) func() time.Duration {
	var now time.Duration
	return func() time.Duration {
		now += step
		return now
	}
}
