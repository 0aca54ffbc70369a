package gates

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
)

// Metrics whose names say what a latency curve is made of.
var (
	p50Names = []string{"p50_ns", "cpu_ns"}
	p99Names = []string{"p99_ns"}
)

// curves is what one request costs: medians over the pairs' candidate arms.
func (t *trial) curves() []catalog.LatencyCurve {
	if len(t.rep.Pairs) == 0 || t.pairsFailed != "" {
		return nil
	}
	p50, ok50 := t.typical(p50Names)
	p99, ok99 := t.typical(p99Names)
	if !ok50 && !ok99 {
		return nil
	}
	return []catalog.LatencyCurve{{Context: t.c.Context, P50NS: p50, P99NS: p99, Samples: len(t.rep.Pairs)}}
}

func (t *trial) typical(names []string) (float64, bool) {
	for _, name := range names {
		var x []float64
		for _, p := range t.rep.Pairs {
			if v, ok := p.B[name]; ok {
				x = append(x, v)
			}
		}
		if len(x) > 0 {
			return median(x), true
		}
	}
	return 0, false
}

// expectations are the regression gate's results in the catalog's words, the
// success metric first: that is what a reader of the entry looks for. A
// measured one without a finite interval is left out: the runtime would have
// nothing to plan with.
func (t *trial) expectations() []catalog.Expectation {
	var out []catalog.Expectation
	success := 0
	for _, r := range t.rep.Results {
		if r.Gate != GateRegression || r.Test == TestAnchor || r.Decision != Pass || r.Lower == nil || r.Upper == nil {
			continue
		}
		e := catalog.Expectation{
			Metric: r.Metric, Context: t.c.Context, Unit: r.Unit, Direction: string(r.Direction), Scale: string(r.Compare),
			Baseline: r.Baseline, Value: r.Candidate, Change: r.Change, Lower: *r.Lower, Upper: *r.Upper,
			Alpha: r.Alpha, Exact: r.Lower == r.Upper || *r.Lower == *r.Upper,
		}
		if r.Role == benchmarks.Success {
			out = slices.Insert(out, success, e)
			success++
			continue
		}
		out = append(out, e)
	}
	return out
}

// whatIf says what would change the verdict, from the results that stand in
// the way.
func (t *trial) whatIf() []string {
	var out []string
	for _, r := range t.rep.Results {
		if r.Decision == Pass || r.Test == TestNone {
			continue
		}
		out = append(out, r.whatIf(t.j.Policy)...)
	}
	if len(out) > 0 {
		return out
	}
	switch t.rep.Outcome {
	case Pass:
		return t.whatWouldSink()
	case Inconclusive, Fail, Invalid:
		if t.rep.Gate != "" {
			out = append(out, fmt.Sprintf("the %s gate: %s", t.rep.Gate, t.rep.Why))
		}
	}
	return out
}

// whatWouldSink names the closest call of a candidate that passed.
func (t *trial) whatWouldSink() []string {
	closest, least := Result{}, math.Inf(1)
	for _, r := range t.rep.Results {
		if r.Gate != GateRegression || r.Test != TestNotWorse {
			continue
		}
		m := r.metric()
		if room := r.Tolerance - m.Worse(r.Baseline, r.Candidate); room < least {
			closest, least = r, room
		}
	}
	if math.IsInf(least, 1) {
		return nil
	}
	m := closest.metric()
	return []string{fmt.Sprintf("the closest guardrail is %s: %s with a tolerance of %s; a tolerance under %.4g would have refused it",
		closest.Metric, changeWords(m, closest.Change), number(m, changeBound(m, closest.Tolerance)), max(0, closest.Tolerance-least))}
}

func (r Result) metric() benchmarks.Metric {
	return benchmarks.Metric{
		Name: r.Metric, Unit: r.Unit, Direction: r.Direction, Compare: r.Compare, Kind: r.Kind, Role: r.Role,
		Tolerance: r.Tolerance, Limit: r.Limit, Range: r.Range,
	}
}

func (r Result) whatIf(p Policy) []string {
	m := r.metric()
	switch {
	case r.Decision == Invalid:
		return []string{"nothing but a measurement that can be trusted: " + r.Reason}
	case r.Test == TestAnchor:
		return []string{fmt.Sprintf("a new epoch, pinned by people, or a candidate that is less worse on %s", r.Metric)}
	case r.Test == TestLimit && r.Decision == Fail:
		return []string{fmt.Sprintf("a limit on %s of %.6g instead of %.6g", r.Metric, r.Candidate, *r.Limit)}
	case (r.Test == TestNotWorse || r.Test == TestCVaR) && r.Decision == Fail:
		return []string{fmt.Sprintf("a tolerance on %s of %.4g instead of %.4g", r.Metric, m.Worse(r.Baseline, r.Candidate), r.Tolerance)}
	case r.Test == TestBetter && r.Decision == Fail:
		return []string{fmt.Sprintf("a candidate that improves %s: this one is %s", r.Metric, changeWords(m, r.Change))}
	case r.Decision == Inconclusive && r.Kind == benchmarks.Measured && r.LogE > 0 && r.N > 0 && r.LogE < r.LogBar:
		need := int(math.Ceil(float64(r.N) * r.LogBar / r.LogE))
		return []string{fmt.Sprintf("about %d pairs instead of %d at this rate of evidence on %s (pairs_max is %d)", need, r.N, r.Metric, p.PairsMax)}
	case r.Decision == Inconclusive:
		return []string{fmt.Sprintf("more evidence on %s: %s", r.Metric, eWords(r.LogE, r.LogBar))}
	}
	return nil
}
