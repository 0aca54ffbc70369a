package cache

import (
	"context"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
)

// Name is the domain's name in studies and catalogs.
const Name = "cache"

const (
	paramPolicy = "policy"
	paramLength = "program_length"
)

// Metrics.
const (
	MetricHitRatio      = "hit_ratio"       // share of uses that found their key
	MetricByteHitRatio  = "byte_hit_ratio"  // the same, weighed by size
	MetricNS            = "ns_per_op"       // thread CPU time of one use, the admission after a miss included
	MetricBytesPerEntry = "bytes_per_entry" // what the policy itself needs beside key and value
)

// Describe implements benchmarks.Domain. It reads nothing.
func (d *Domain) Describe(context.Context) (benchmarks.Description, error) {
	out := benchmarks.Description{
		Name: Name, Version: "1", Space: space(), Metrics: metrics(), Baseline: Baseline(), Starts: starts(),
	}
	for _, w := range d.workloads {
		out.Scenarios = append(out.Scenarios, w.scenario())
	}
	return out, nil
}

// Baseline is what runs nearly everywhere today: LRU.
func Baseline() benchmarks.Point { return benchmarks.Point{paramPolicy: kinds[0].name} }

// starts are the families as people use them, and programs that say what is
// known already, for new ones to begin from.
func starts() []benchmarks.Point {
	var out []benchmarks.Point
	for _, k := range kinds[1:] {
		if k.name != scoreName {
			out = append(out, benchmarks.Point{paramPolicy: k.name})
		}
	}
	for _, x := range []struct {
		admit int64
		lines [][]string // an operation and its operands
	}{
		{0, [][]string{{"neg", "recency"}}},                                                         // LRU, of a sample
		{0, [][]string{{"max", "count", "count"}}},                                                  // LFU
		{1, [][]string{{"max", "freq", "freq"}}},                                                    // TinyLFU without a window
		{0, [][]string{{"div", "count", "age"}}},                                                    // hyperbolic caching (Blankstein, Sen, Freedman 2017)
		{0, [][]string{{"max", "gap", "recency"}, {"neg", "r0"}}},                                   // LIRS's recency of reuse
		{1, [][]string{{"add", "recency", "sixteenth"}, {"div", "freq", "r0"}}},                     // how often, the sooner the better
		{1, [][]string{{"div", "decayed", "missed"}}},                                               // LRFU (Lee et al. 2001), and what came in with a scan is worth less
		{1, [][]string{{"add", "recency", "one"}, {"mul", "r0", "missed"}, {"div", "often", "r1"}}}, // the same over a long history
		{1, [][]string{{"sub", "count", "missed"}}},                                                 // LFU that lets no scan in
		{1, [][]string{{"mul", "missed", "reuse"}, {"div", "often", "r0"}}},                         // LIRS's distance beside it
	} {
		p := benchmarks.Point{
			paramPolicy: scoreName, "score_sample": int64(16), "score_admit": x.admit, paramLength: strconv.Itoa(len(x.lines)),
		}
		for i, line := range x.lines {
			p[opName(i)] = line[0]
			for k, operand := range line[1:] {
				p[operandParameter(k, i)] = operand
			}
		}
		out = append(out, p)
	}
	return out
}

// metrics: a miss costs what the cache is for, tens of microseconds and more,
// so a policy may take ten times LRU's time (some 50 ns) and remember as many
// keys again as it holds and then some.
func metrics() []benchmarks.Metric {
	return []benchmarks.Metric{
		{Name: MetricHitRatio, Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic,
			Role: benchmarks.Success, Compare: benchmarks.Difference, Tolerance: .005, Range: &[2]float64{0, 1}},
		{Name: MetricByteHitRatio, Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic,
			Role: benchmarks.GuardRole, Compare: benchmarks.Difference, Tolerance: .02},
		{Name: MetricNS, Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured,
			Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 9},
		{Name: MetricBytesPerEntry, Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic,
			Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 4},
	}
}

// space: the policy, its parts, and a program as a list of fixed length whose
// tail is inactive. Everything is whole or a choice.
func space() benchmarks.Space {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	out := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: paramPolicy, Kind: benchmarks.Categorical, Choices: names, Default: names[0]},
	}}
	for _, k := range kinds {
		for _, p := range k.parts {
			out.Parameters = append(out.Parameters, benchmarks.Parameter{
				Name: p.name, Kind: benchmarks.Int, Min: float64(p.min), Max: float64(p.max), Log: p.log,
				Default: int64(p.def), When: map[string][]any{paramPolicy: {k.name}},
			})
		}
	}
	var lengths []string
	for n := 1; n <= instructionsMax; n++ {
		lengths = append(lengths, strconv.Itoa(n))
	}
	out.Parameters = append(out.Parameters, benchmarks.Parameter{
		Name: paramLength, Kind: benchmarks.Ordinal, Choices: lengths, Default: lengths[0],
		When: map[string][]any{paramPolicy: {scoreName}},
	})
	for i := range instructionsMax {
		out.Parameters = append(out.Parameters, instructionParameters(i, lengths[i:])...)
	}
	return out
}

// instructionParameters are the genes of instruction i, active in programs of
// the given lengths; the default program of one instruction is LRU by sample:
// the longest unused goes, because its score, minus its recency, is lowest.
func instructionParameters(i int, lengths []string) []benchmarks.Parameter {
	long := make([]any, len(lengths))
	for k, n := range lengths {
		long[k] = n
	}
	out := []benchmarks.Parameter{{
		Name: opName(i), Kind: benchmarks.Categorical, Choices: opChoices(), Default: operations[opNeg].name,
		When: map[string][]any{paramLength: long},
	}}
	for k := range 3 {
		var taking []any
		for _, o := range operations {
			if k < o.arity {
				taking = append(taking, o.name)
			}
		}
		out = append(out, benchmarks.Parameter{
			Name: operandParameter(k, i), Kind: benchmarks.Categorical, Choices: operandChoices(i), Default: features[ofRecency],
			When: map[string][]any{paramLength: long, opName(i): taking},
		})
	}
	return out
}

func opChoices() []string {
	out := make([]string, len(operations))
	for i, o := range operations {
		out[i] = o.name
	}
	return out
}

// operandChoices are what instruction i may refer to: every number that is
// known to it, by name.
func operandChoices(i int) []string {
	var out []string
	for _, r := range operandNumbers(i) {
		out = append(out, operandName(r))
	}
	return out
}

func operandNumbers(i int) []uint8 {
	var out []uint8
	for r := range uint8(registers) {
		if known(r, i) {
			out = append(out, r)
		}
	}
	return out
}
