package universe

import (
	"context"
	"fmt"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
)

// Name is the domain's name in studies and catalogs.
const Name = "universe"

// Metrics.
const (
	MetricNS        = "ns_per_cell_step" // thread CPU time
	MetricError     = "max_error"        // the largest difference from the oracle, in units of a channel's range
	MetricStatistic = "statistic_error"  // the same of the pattern's statistics
	MetricModule    = "module_bytes"     // the largest module
)

// Budgets say how far from the oracle a kernel may be after errorSteps steps.
type budget struct {
	name             string
	error, statistic float64 // limits
}

var budgets = []budget{
	{"exact", 0, 0},
	{"1e-5", 1e-5, 1e-5},
	{"statistics", 1, .005},
}

// context is a grid and a budget.
type scene struct {
	width  int
	budget budget
}

func (s scene) name() string { return fmt.Sprintf("%d-%s", s.width, s.budget.name) }

func scenes() []scene {
	var out []scene
	for _, w := range Widths {
		for _, b := range budgets {
			out = append(out, scene{w, b})
		}
	}
	return out
}

// scene finds a context of the domain's law: kernels of one law are not
// measured in another's.
func (d *Domain) scene(name string) (scene, error) {
	for _, s := range scenes() {
		if contextOf(d.tag, s) == name {
			return s, nil
		}
	}
	return scene{}, fmt.Errorf("scenario %.80q is not one of the law %s", name, d.program.law.Name)
}

const moduleLimit = 4096 // bytes

// Describe implements benchmarks.Domain.
func (d *Domain) Describe(context.Context) (benchmarks.Description, error) {
	limit := float64(moduleLimit)
	out := benchmarks.Description{
		Name: Name, Version: "1", Space: space(d.clang, d.native), Baseline: Baseline(),
		Metrics: []benchmarks.Metric{
			{Name: MetricNS, Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured, Role: benchmarks.Success, Compare: benchmarks.Ratio, Tolerance: .05},
			{Name: MetricError, Unit: "1", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Difference},
			{Name: MetricStatistic, Unit: "1", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Difference},
			{Name: MetricModule, Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 9, Limit: &limit},
		},
	}
	for _, s := range scenes() {
		allowed := map[string]float64{MetricError: s.budget.error, MetricStatistic: s.budget.statistic}
		short := s.name()
		if d.tag == "" {
			short = ""
		}
		out.Scenarios = append(out.Scenarios, benchmarks.Scenario{
			Name: contextOf(d.tag, s), Short: short, Features: map[string]float64{"cells": float64(s.width * s.width), "error": s.budget.error},
			Tolerances: allowed, Limits: allowed,
		})
	}
	return out, nil
}

// Parameters.
const (
	paramPrecision = "precision"
	paramSIMD      = "simd"
	paramUnroll    = "unroll"
	paramFuse      = "fuse"
	paramRows      = "rows"
	paramOrder     = "order"
	paramBuilder   = "builder"
	paramLevel     = "level"
	paramCPU       = "cpu"
	builderGo      = "go" // Emit
	builderClang   = "clang"
	builderNative  = "native"
	orderForward   = "forward"
	orderSerpent   = "serpentine"
)

// Baseline is the straightforward kernel: double precision, one cell after
// another.
func Baseline() benchmarks.Point {
	return benchmarks.Point{paramPrecision: F64.String(), paramSIMD: false, paramUnroll: "1", paramFuse: "1", paramOrder: orderForward}
}

// space is what there is to choose: with a compiler, who builds the kernel too.
func space(compiler *Clang, native *Native) benchmarks.Space {
	var names []string
	for p := range precisionCount {
		names = append(names, p.String())
	}
	out := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: paramPrecision, Kind: benchmarks.Categorical, Choices: names, Default: names[0]},
		{Name: paramSIMD, Kind: benchmarks.Bool, Default: false},
		{Name: paramUnroll, Kind: benchmarks.Ordinal, Choices: choices(unrolls), Default: "1"},
		{Name: paramFuse, Kind: benchmarks.Ordinal, Choices: choices(fuses), Default: "1"},
		{Name: paramRows, Kind: benchmarks.Ordinal, Choices: choices(bands), Default: strconv.Itoa(bands[0]), When: map[string][]any{paramFuse: {"2", "4", "8"}}},
		{Name: paramOrder, Kind: benchmarks.Categorical, Choices: []string{orderForward, orderSerpent}, Default: orderForward},
	}}
	if compiler == nil && native == nil {
		return out
	}
	builders := benchmarks.Parameter{Name: paramBuilder, Kind: benchmarks.Categorical, Choices: []string{builderGo}, Default: builderGo}
	var more []benchmarks.Parameter
	if compiler != nil {
		builders.Choices = append(builders.Choices, builderClang)
		more = append(more, benchmarks.Parameter{Name: paramLevel, Kind: benchmarks.Ordinal, Choices: levels, Default: levels[1], When: map[string][]any{paramBuilder: {builderClang}}})
	}
	if native != nil {
		builders.Choices = append(builders.Choices, builderNative)
		if len(native.levels) > 1 { // one is no choice
			more = append(more, benchmarks.Parameter{
				Name: paramCPU, Kind: benchmarks.Ordinal, Choices: native.levels, Default: native.levels[len(native.levels)-1], When: map[string][]any{paramBuilder: {builderNative}},
			})
		}
	}
	out.Parameters = append(append(out.Parameters, builders), more...)
	return out
}

func choices(of []int) []string {
	out := make([]string, len(of))
	for i, v := range of {
		out[i] = strconv.Itoa(v)
	}
	return out
}

// planOf reads a normalized point. Without fused steps bands are as high as
// they go: they change nothing.
func planOf(p benchmarks.Point) (Plan, error) {
	out := Plan{Precision: precisionCount, Rows: bands[len(bands)-1]}
	for q := range precisionCount {
		if p[paramPrecision] == q.String() {
			out.Precision = q
		}
	}
	out.SIMD, _ = p[paramSIMD].(bool)
	out.Serpentine = p[paramOrder] == orderSerpent
	for name, to := range map[string]*int{paramUnroll: &out.Unroll, paramFuse: &out.Fuse, paramRows: &out.Rows} {
		text, active := p[name].(string)
		if !active {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return Plan{}, fmt.Errorf("%s %q: %w", name, text, benchmarks.ErrBadCandidate)
		}
		*to = n
	}
	if err := out.check(); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", err, benchmarks.ErrBadCandidate)
	}
	return out, nil
}
