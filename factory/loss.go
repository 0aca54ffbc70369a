package factory

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

// measurement is what is known about a point in a context. The zero
// measurement knows nothing.
type measurement struct {
	Type   string
	Values map[string]float64 // the point's own values; medians if paired
	Change map[string]float64 // against the baseline on the compare scale, signed as measured
	Failed string
}

// needed lists the metrics that the search looks at in a context: the success
// metric and the deterministic guardrails, and the measured guardrails too if
// the success metric is itself measured. Otherwise the noise of a guardrail
// would make a search that could be replayed bit for bit depend on the machine;
// the gates judge measured guardrails with fresh pairs anyway.
func needed(d benchmarks.Description, sc benchmarks.Scenario) (metrics []benchmarks.Metric, paired bool) {
	all := d.In(sc)
	for _, m := range all {
		paired = paired || m.Role == benchmarks.Success && m.Kind == benchmarks.Measured
	}
	for _, m := range all {
		if paired || m.Kind == benchmarks.Deterministic {
			metrics = append(metrics, m)
		}
	}
	return metrics, paired
}

// change compares b with the baseline's a on the metric's scale, signed as
// measured: B/A−1 or B−A.
func change(m benchmarks.Metric, a, b float64) float64 {
	w := m.Worse(a, b)
	if m.Direction == benchmarks.Higher {
		return -w
	}
	return w
}

// pairedChange is the median over pairs: of the log ratio, back on the ratio
// scale, or of the difference. Values that have no ratio (≤ 0) are compared
// by their medians.
func pairedChange(m benchmarks.Metric, a, b []float64) float64 {
	d := make([]float64, len(a))
	for i := range a {
		switch {
		case m.Compare == benchmarks.Difference:
			d[i] = b[i] - a[i]
		case a[i] > 0 && b[i] > 0:
			d[i] = math.Log(b[i] / a[i])
		default:
			return change(m, median(a), median(b))
		}
	}
	if m.Compare == benchmarks.Difference {
		return median(d)
	}
	return math.Expm1(median(d))
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	if n%2 == 1 {
		return s[n/2]
	}
	return s[n/2-1]/2 + s[n/2]/2
}

// violation scales: a tolerance below this counts as this.
const violationScale = .01

// loss ranks a measurement in a context; lower is better, the baseline is 0.
//
//	w   how much worse than the baseline the success metric is, on its compare
//	    scale (negative: better)
//	v_g (excess over the tolerance) / max(tolerance, .01), for a guardrail that
//	    is worse than its tolerance; for a limit that is broken, the relative
//	    excess / .01; 0 otherwise
//
//	loss = w/(1+|w|)             if every v is 0     in (−1, 1)
//	     = 1 + Σ ln(1 + v_g)     otherwise           above 1
//	     = +Inf                  if it failed
//
// So every feasible point is before every infeasible one, and the loss rises
// strictly with each violation. Engines look at ranks, so only the order
// matters.
func loss(metrics []benchmarks.Metric, x measurement) float64 {
	if x.Failed != "" {
		return math.Inf(1)
	}
	violated := 0.0
	success := math.Inf(1)
	for _, m := range metrics {
		worse := oriented(m, x.Change[m.Name])
		if m.Role == benchmarks.Success {
			success = float64(worse / (1 + math.Abs(worse)))
		} else if over := worse - m.Tolerance; over > 0 {
			violated += math.Log1p(over / math.Max(m.Tolerance, violationScale))
		}
		violated += math.Log1p(limitExcess(m, x.Values[m.Name]) / violationScale)
	}
	if violated > 0 {
		return 1 + violated
	}
	return success
}

func oriented(m benchmarks.Metric, change float64) float64 {
	if m.Direction == benchmarks.Higher {
		return -change
	}
	return change
}

// limitExcess is how far v is beyond the metric's limit, relative to the
// limit; 0 inside.
func limitExcess(m benchmarks.Metric, v float64) float64 {
	if m.Limit == nil {
		return 0
	}
	over := v - *m.Limit
	if m.Direction == benchmarks.Higher {
		over = -over
	}
	if over <= 0 {
		return 0
	}
	return over / math.Max(math.Abs(*m.Limit), 1e-9)
}

// feasible reports whether a loss is one of a point that breaks nothing.
func feasible(loss float64) bool { return loss < 1 }

// brokenBy names the first thing that makes a measurement infeasible, or "".
func brokenBy(metrics []benchmarks.Metric, x measurement) string {
	if x.Failed != "" {
		return x.Failed
	}
	for _, m := range metrics {
		if limitExcess(m, x.Values[m.Name]) > 0 {
			return fmt.Sprintf("%s %.4g is beyond the limit %.4g", m.Name, x.Values[m.Name], *m.Limit)
		}
		if overTolerance(m, x) {
			return fmt.Sprintf("%s changes by %+.4g, tolerance %.4g", m.Name, x.Change[m.Name], m.Tolerance)
		}
	}
	return ""
}

// overTolerance reports whether a guardrail is worse than its tolerance.
func overTolerance(m benchmarks.Metric, x measurement) bool {
	return m.Role != benchmarks.Success && oriented(m, x.Change[m.Name]) > m.Tolerance
}

// successOf finds the success metric; a checked description has one.
func successOf(metrics []benchmarks.Metric) benchmarks.Metric {
	for _, m := range metrics {
		if m.Role == benchmarks.Success {
			return m
		}
	}
	return benchmarks.Metric{}
}

// describeChange puts a change into words: "cost −42.1 %".
func describeChange(m benchmarks.Metric, change float64) string {
	if m.Compare == benchmarks.Difference {
		return fmt.Sprintf("%s %+.4g %s", m.Name, change, m.Unit)
	}
	return fmt.Sprintf("%s %+.1f %%", m.Name, 100*change)
}
