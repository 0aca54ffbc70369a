package gates

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
)

// envelope is gate 2: the absolute limits of the context. Deterministic
// metrics are compared, measured ones bet on with the candidate's own values
// (evalue.LimitLogE): inside must be shown.
func (t *trial) envelope(ctx context.Context) (Finding, error) {
	var results []Result
	limits := 0
	a, b, err := t.full(ctx)
	if err != nil {
		return Finding{}, err
	}
	for _, m := range t.metrics {
		if m.Limit == nil || m.Kind != benchmarks.Deterministic {
			continue
		}
		limits++
		results = append(results, t.j.night.Wording.exact(GateEnvelope, TestLimit, m, a, b, t.logBar(), 0))
	}
	f := findingOf(GateEnvelope, results, "")
	if f.Outcome == Pass && t.hasMeasured(func(m benchmarks.Metric) bool { return m.Limit != nil }) {
		if f, err := t.measurePairs(ctx); err != nil || f.Outcome != Pass {
			t.rep.Results = append(t.rep.Results, results...)
			return f, err
		}
		for _, m := range t.metrics {
			if m.Limit == nil || m.Kind != benchmarks.Measured {
				continue
			}
			limits++
			results = append(results, t.measured(GateEnvelope, TestLimit, m))
		}
	}
	t.rep.Results = append(t.rep.Results, results...)
	passed := fmt.Sprintf("inside all %d limits of the context", limits)
	if limits == 0 {
		passed = "the context sets no limits"
	}
	return findingOf(GateEnvelope, results, passed), nil
}

func (t *trial) hasMeasured(which func(benchmarks.Metric) bool) bool {
	for _, m := range t.metrics {
		if m.Kind == benchmarks.Measured && which(m) {
			return true
		}
	}
	return false
}
