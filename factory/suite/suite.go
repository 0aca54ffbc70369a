// Package suite is a set of made problems of the kind that tuning meets:
// mixed spaces with conditions, multiplicative noise, spikes to one side and a
// session that drifts, each with a known best point. Searches are compared on
// it by true regret, which no search ever sees.
//
// It is for tests and figures; the program never links it.
package suite

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// Families are the kinds of problem, in the order in which figures list them.
func Families() []string {
	return []string{"log-floats", "aligned", "categorical", "conditional", "ordinal", "rugged", "heteroscedastic"}
}

// Problem is one instance of a family: a domain with one context and one
// measured metric, "cost", lower is better, whose least value is 1.
type Problem struct {
	Family string
	Number uint64

	space    benchmarks.Space
	baseline benchmarks.Point
	excess   func(benchmarks.Point) float64   // ≥ 0; 0 at the best point
	sigma    func(p benchmarks.Point) float64 // of the log of a sample
	drift    func(t float64) float64          // of the log, by the number of samples so far
	noise    *rand.Rand
	spikes   float64 // share of samples
	samples  int
	drifted  float64 // sum over the samples
}

// New makes instance number of a family; unknown families are an error.
func New(family string, number uint64) (*Problem, error) {
	makers := map[string]func(*Problem, *rand.Rand){
		"log-floats": logFloats, "aligned": aligned, "categorical": categorical, "conditional": conditional,
		"ordinal": ordinal, "rugged": rugged, "heteroscedastic": heteroscedastic,
	}
	build, ok := makers[family]
	if !ok {
		return nil, fmt.Errorf("family %q: want one of %q", family, Families())
	}
	p := &Problem{Family: family, Number: number, spikes: .03}
	r := seed.Stream(seed.Root(number), "suite/"+family)
	s := .02 + .08*r.Float64()
	p.sigma = func(benchmarks.Point) float64 { return s }
	p.drift = wander(r)
	p.noise = seed.Stream(seed.Root(number), "suite/noise/"+family)
	build(p, r)
	if err := p.space.Check(); err != nil {
		return nil, fmt.Errorf("%s %d: %w", family, number, err)
	}
	// A baseline that somebody has chosen without searching: the middle one
	// of nine random points.
	best := make([]benchmarks.Point, 0, 9)
	for range 9 {
		best = append(best, p.space.Sample(r))
	}
	for i := range best { // insertion sort by true cost
		for j := i; j > 0 && p.True(best[j]) < p.True(best[j-1]); j-- {
			best[j], best[j-1] = best[j-1], best[j]
		}
	}
	p.baseline = best[4]
	return p, nil
}

// wander is a session's drift: up to 4 % to either side, slow against one
// sample and fast against a night.
func wander(r *rand.Rand) func(float64) float64 {
	a, period, phase := .01+.03*r.Float64(), 150+900*r.Float64(), 2*math.Pi*r.Float64()
	return func(t float64) float64 { return a * math.Sin(2*math.Pi*t/period+phase) }
}

// True is the cost without noise, 1 at the best point.
func (p *Problem) True(x benchmarks.Point) float64 { return 1 + p.excess(x) }

// Space is the search space.
func (p *Problem) Space() benchmarks.Space { return p.space }

// Sample measures once, with everything that disturbs a measurement.
func (p *Problem) Sample(x benchmarks.Point) float64 {
	drift := p.drift(float64(p.samples))
	p.drifted += drift
	y := math.Log(p.True(x)) + p.sigma(x)*p.noise.NormFloat64() + drift
	if p.noise.Float64() < p.spikes {
		y += .15 + .8*p.noise.Float64()
	}
	p.samples++
	return math.Exp(y)
}

// Flat is the same problem for a search that knows nothing of conditions: every
// knob is always there, and those that are switched off change nothing.
func (p *Problem) Flat() *Problem {
	flat := *p
	flat.space.Parameters = slices.Clone(p.space.Parameters)
	for i := range flat.space.Parameters {
		flat.space.Parameters[i].When = nil
	}
	flat.excess = func(x benchmarks.Point) float64 {
		on := p.space.Active(x)
		active := benchmarks.Point{}
		for name, v := range x {
			if on[name] {
				active[name] = v
			}
		}
		return p.excess(active)
	}
	flat.baseline = flat.space.Default()
	for name, v := range p.baseline {
		flat.baseline[name] = v
	}
	return &flat
}

// Drift is the mean drift of the samples so far, of the log: the part that
// nobody who measures within the session can tell from the cost itself.
func (p *Problem) Drift() float64 { return p.drifted / float64(max(1, p.samples)) }

// Tomorrow is another session of the same problem: noise and drift are new. Call
// it before the first sample.
func (p *Problem) Tomorrow() {
	p.noise = seed.Stream(seed.Root(p.Number), "suite/tomorrow/"+p.Family)
	p.drift = wander(p.noise)
}

// Still takes the drift out of the session. Call it before the first sample.
func (p *Problem) Still() { p.drift = func(float64) float64 { return 0 } }

// Samples is how often the problem was measured.
func (p *Problem) Samples() int { return p.samples }

// Describe implements benchmarks.Domain.
func (p *Problem) Describe(context.Context) (benchmarks.Description, error) {
	return benchmarks.Description{
		Name: "suite", Version: "1", Space: p.space, Baseline: p.baseline,
		Metrics: []benchmarks.Metric{{
			Name: "cost", Unit: "1", Direction: benchmarks.Lower, Kind: benchmarks.Measured,
			Role: benchmarks.Success, Compare: benchmarks.Ratio,
		}},
		Scenarios: []benchmarks.Scenario{{Name: "only"}},
	}, nil
}

// Build implements benchmarks.Domain.
func (p *Problem) Build(_ context.Context, x benchmarks.Point, s uint64) (benchmarks.Bundle, error) {
	return benchmarks.Bundle{Point: x, Seed: s, Type: p.Family}, nil
}

// Open implements benchmarks.Domain.
func (p *Problem) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	return instance{p, b.Point}, nil
}

type instance struct {
	p *Problem
	x benchmarks.Point
}

func (i instance) Measure(_ context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	var out []benchmarks.Sample
	for range max(r.Repeats, 1) {
		out = append(out, benchmarks.Sample{Values: map[string]float64{"cost": i.p.Sample(i.x)}})
	}
	return out, nil
}

func (instance) Check(context.Context, uint64) ([]benchmarks.Check, error) {
	return nil, benchmarks.ErrUnsupported
}

func (instance) Close() error { return nil }
