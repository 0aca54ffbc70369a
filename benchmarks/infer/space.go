package infer

import (
	"context"

	"github.com/arqon/arqon/benchmarks"
)

// Name is the domain's name in studies and catalogs.
const Name = "infer"

// Parameters of the space.
const (
	paramExit0     = "exit0_threshold"
	paramExit1     = "exit1_threshold"
	paramPrune0    = "prune0"
	paramPrune1    = "prune1"
	paramPrune2    = "prune2"
	paramPrecision = "precision"
	paramQuantile  = "calibration_quantile"
	paramAdapter   = "adapter"
	paramRoute     = "route"

	routeCascade  = "cascade"  // every exit may answer
	routeEscalate = "escalate" // the small stage answers or everything runs
	routeSmall    = "small"    // the model ends at exit 1 and carries no stage 2

	precisionF32 = "f32"
	precisionI8  = "int8"
	precisionI4  = "int4"
)

// Metrics.
const (
	MetricAccuracy = "accuracy"       // share of images answered right
	MetricMACs     = "cost_macs"      // mean multiply-accumulates executed a request
	MetricCPU      = "cpu_ns"         // thread CPU time a request
	MetricP99      = "p99_ns"         // 99th percentile of the wall time of a request
	MetricBytes    = "artifact_bytes" // size of the file
)

// fullMACs is what all three stages and exits cost unpruned: the range that a
// gate may bet on.
const fullMACs = 49*32 + (196+32)*96 + (784+96)*256 + classes*(32+96+256)

// memoryLimitBytes is the cap of the context memory-300k.
const memoryLimitBytes = 300_000

// Describe implements benchmarks.Domain. It needs no data.
func (d *Domain) Describe(context.Context) (benchmarks.Description, error) {
	return benchmarks.Description{
		Name: Name, Version: "1",
		Space: space(), Metrics: metrics(), Scenarios: scenarios(), Baseline: Baseline(),
	}, nil
}

// Baseline is what runs before anything is discovered: f32, every stage.
func Baseline() benchmarks.Point {
	return benchmarks.Point{
		paramRoute: routeCascade, paramExit0: 1.0, paramExit1: 1.0,
		paramPrune0: 0.0, paramPrune1: 0.0, paramPrune2: 0.0,
		paramPrecision: precisionF32, paramAdapter: adapterNone,
	}
}

func space() benchmarks.Space {
	number := func(name string, low, high, def float64, when map[string][]any) benchmarks.Parameter {
		return benchmarks.Parameter{Name: name, Kind: benchmarks.Float, Min: low, Max: high, Default: def, When: when}
	}
	choice := func(name string, choices ...string) benchmarks.Parameter {
		return benchmarks.Parameter{Name: name, Kind: benchmarks.Categorical, Choices: choices, Default: choices[0]}
	}
	return benchmarks.Space{Parameters: []benchmarks.Parameter{
		choice(paramRoute, routeCascade, routeEscalate, routeSmall),
		number(paramExit0, 0.2, 1, 1, nil), // 1: exit 0 never answers
		number(paramExit1, 0.2, 1, 1, map[string][]any{paramRoute: {routeCascade}}),
		number(paramPrune0, 0, 0.95, 0, nil),
		number(paramPrune1, 0, 0.95, 0, nil),
		number(paramPrune2, 0, 0.95, 0, map[string][]any{paramRoute: {routeCascade, routeEscalate}}),
		choice(paramPrecision, precisionF32, precisionI8, precisionI4),
		number(paramQuantile, 0.95, 1, 0.999, map[string][]any{paramPrecision: {precisionI8, precisionI4}}),
		choice(paramAdapter, adapterNames...),
	}}
}

func metrics() []benchmarks.Metric {
	return []benchmarks.Metric{
		{Name: MetricAccuracy, Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic,
			Role: benchmarks.GuardRole, Compare: benchmarks.Difference, Tolerance: 0.01, Range: &[2]float64{0, 1}},
		{Name: MetricMACs, Unit: "MAC", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic,
			Role: benchmarks.Success, Compare: benchmarks.Ratio, Tolerance: 0.05, Range: &[2]float64{0, fullMACs}},
		{Name: MetricCPU, Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured,
			Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 0.10},
		{Name: MetricP99, Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured,
			Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 0.50},
		{Name: MetricBytes, Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic,
			Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 0.10},
	}
}

// scenarios lists the contexts. An early exit makes the slowest request a
// little slower (it asks exits that the baseline does not), and the tail of a
// few hundred requests on a shared machine is mostly the machine's, hence the
// room in p99: it guards against twice as slow, not against a few per cent. On
// drifted inputs the baseline is nearly useless, so time may be spent there.
// An adapter's own file may differ by a little, hence the room in bytes.
func scenarios() []benchmarks.Scenario {
	features := func(rps, memory, shift, noise, inverted float64) map[string]float64 {
		return map[string]float64{
			"requests_per_second": rps, "memory_bytes": memory,
			"shift_px": shift, "noise": noise, "inverted": inverted,
		}
	}
	const roomy = 64 << 20
	drift := func(name string, f map[string]float64) benchmarks.Scenario {
		return benchmarks.Scenario{Name: name, Features: f, Success: MetricAccuracy,
			Tolerances: map[string]float64{MetricMACs: 0.10, MetricCPU: 0.60, MetricP99: 3}}
	}
	return []benchmarks.Scenario{
		{Name: LowLoad, Features: features(10, roomy, 0, 0, 0), Success: MetricMACs,
			Tolerances: map[string]float64{MetricAccuracy: 0.005}},
		{Name: Burst, Features: features(5000, roomy, 0, 0, 0), Success: MetricCPU,
			Tolerances: map[string]float64{MetricAccuracy: 0.02}},
		{Name: Memory300K, Features: features(10, memoryLimitBytes, 0, 0, 0), Success: MetricBytes,
			Tolerances: map[string]float64{MetricAccuracy: 0.005, MetricCPU: 3, MetricP99: 3},
			Limits:     map[string]float64{MetricBytes: memoryLimitBytes}},
		drift(Shifted, features(10, roomy, shiftPx, 0, 0)),
		drift(Noisy, features(10, roomy, 0, noiseSD, 0)),
		drift(Inverted, features(10, roomy, 0, 0, 1)),
	}
}

// choices is a point, taken apart and checked.
type choices struct {
	route, precision, adapter string
	thresholds                Thresholds
	prune                     [maxStages]float64
	quantile                  float64
}

// parse normalizes p and takes it apart; errors wrap benchmarks.ErrBadCandidate.
func parse(p benchmarks.Point) (benchmarks.Point, choices, error) {
	p, err := space().Normalize(p)
	if err != nil {
		return nil, choices{}, err
	}
	word := func(name string) string { s, _ := p[name].(string); return s }
	number := func(name string, inactive float64) float64 {
		if x, ok := p[name].(float64); ok {
			return x
		}
		return inactive
	}
	return p, choices{
		route: word(paramRoute), precision: word(paramPrecision), adapter: word(paramAdapter),
		thresholds: Thresholds{float32(number(paramExit0, 1)), float32(number(paramExit1, 1))},
		prune:      [maxStages]float64{number(paramPrune0, 0), number(paramPrune1, 0), number(paramPrune2, 0)},
		quantile:   number(paramQuantile, 1),
	}, nil
}

// kind names the variant type in the domain's words: what the point changes,
// or composite when it changes several things.
func (c *choices) kind() string {
	var kinds []string
	if c.route == routeEscalate || c.route == routeSmall {
		kinds = append(kinds, "escalation")
	} else if c.thresholds[0] < neverExit || c.thresholds[1] < neverExit {
		kinds = append(kinds, "early-exit")
	}
	if c.prune != ([maxStages]float64{}) {
		kinds = append(kinds, "pruning")
	}
	if c.precision != precisionF32 {
		kinds = append(kinds, "quantization")
	}
	if c.adapter != adapterNone {
		kinds = append(kinds, "adapter")
	}
	switch len(kinds) {
	case 0:
		return "baseline"
	case 1:
		return kinds[0]
	}
	return "composite"
}
