package gates

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// intervalAlpha is the level of every interval that is shown.
const intervalAlpha = .05

// exactSlack keeps the rounding of a subtraction from deciding at the limit.
const exactSlack = 1e-12

func record(m benchmarks.Metric) MetricRecord {
	if m.Compare == "" {
		m.Compare = benchmarks.Ratio
	}
	return MetricRecord{
		Name: m.Name, Unit: m.Unit, Direction: m.Direction, Kind: m.Kind, Role: m.Role,
		Compare: m.Compare, Tolerance: m.Tolerance, Limit: m.Limit, Range: m.Range,
	}
}

// Metric is the record as the word of benchmarks.
func (m MetricRecord) Metric() benchmarks.Metric {
	return benchmarks.Metric{
		Name: m.Name, Unit: m.Unit, Direction: m.Direction, Kind: m.Kind, Role: m.Role,
		Compare: m.Compare, Tolerance: m.Tolerance, Limit: m.Limit, Range: m.Range,
	}
}

// betterSide is where the candidate's change must lie to be better.
func betterSide(m benchmarks.Metric) evalue.Side {
	if m.Direction == benchmarks.Higher {
		return evalue.Above
	}
	return evalue.Below
}

func opposite(s evalue.Side) evalue.Side {
	if s == evalue.Below {
		return evalue.Above
	}
	return evalue.Below
}

// changeBound is the change (signed as measured) at which the metric is worse
// by the tolerance.
func changeBound(m benchmarks.Metric, tolerance float64) float64 {
	if m.Direction != benchmarks.Higher {
		return tolerance
	}
	if m.Compare == benchmarks.Ratio {
		return max(-tolerance, -1+1e-9) // a ratio cannot fall by more than everything
	}
	return -tolerance
}

// pairBound is changeBound on the scale of paired differences.
func pairBound(m benchmarks.Metric, tolerance float64) float64 {
	b := changeBound(m, tolerance)
	if m.Compare == benchmarks.Ratio {
		return math.Log1p(b)
	}
	return b
}

// pairChange takes a paired difference back to the scale of changes.
func pairChange(m benchmarks.Metric, d float64) float64 {
	if m.Compare == benchmarks.Ratio {
		return math.Expm1(d)
	}
	return d
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// words for people

// changeWords says a change with its sign spelt out.
func changeWords(m benchmarks.Metric, c float64) string {
	if m.Compare == benchmarks.Difference {
		switch {
		case c > 0:
			return fmt.Sprintf("%.4g higher", c)
		case c < 0:
			return fmt.Sprintf("%.4g lower", -c)
		}
		return "unchanged"
	}
	switch {
	case c > 1:
		return fmt.Sprintf("%.3g times", 1+c)
	case c > 0:
		return fmt.Sprintf("%.2f %% higher", 100*c)
	case c < 0:
		return fmt.Sprintf("%.2f %% lower", -100*c)
	}
	return "unchanged"
}

// number is a change without words: percent for a ratio.
func number(m benchmarks.Metric, c float64) string {
	if m.Compare == benchmarks.Difference {
		return fmt.Sprintf("%+.4g", c)
	}
	return fmt.Sprintf("%+.2f %%", 100*c)
}

func intervalWords(m benchmarks.Metric, lower, upper *float64) string {
	if lower == nil && upper == nil {
		return "no interval yet"
	}
	lo, hi := "−∞", "∞"
	if lower != nil {
		lo = number(m, *lower)
	}
	if upper != nil {
		hi = number(m, *upper)
	}
	return fmt.Sprintf("%g %% interval [%s, %s]", 100*(1-intervalAlpha), lo, hi)
}

// eWords says "e = 41,200 ≥ 20,000" from logarithms.
func eWords(logE, logBar float64) string {
	sign := "<"
	if logE >= logBar {
		sign = "≥"
	}
	return fmt.Sprintf("e = %s %s %s", eNumber(logE), sign, eNumber(logBar))
}

func eNumber(l float64) string {
	if l > math.Log(1e6) || l < math.Log(1e-3) {
		return fmt.Sprintf("10^%.1f", l/math.Ln10)
	}
	return fmt.Sprintf("%.4g", math.Exp(l))
}

func finitePointer(x float64) *float64 {
	if !finite(x) {
		return nil
	}
	return &x
}
