package gates

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// regression is gate 4: better on the success metric of the context, not worse
// on every guardrail (intersection–union: each at the full level, no
// correction among them), against the baseline measured beside the candidate.
// A reference must be identical in what is deterministic and show no
// difference in what is measured.
func (t *trial) regression(ctx context.Context) (Finding, error) {
	a, b, err := t.full(ctx)
	if err != nil {
		return Finding{}, err
	}
	for _, m := range t.metrics {
		if m.Kind == benchmarks.Deterministic {
			t.rep.Results = append(t.rep.Results, t.j.night.Wording.exact(GateRegression, t.test(m), m, a, b, t.logBar(), t.itemOrder("full")))
		}
	}
	if f := findingOf(GateRegression, t.rep.Results, ""); f.Outcome != Pass {
		return f, nil // no pairs for what is lost already
	}
	if t.hasMeasured(func(benchmarks.Metric) bool { return true }) {
		if f, err := t.measurePairs(ctx); err != nil || f.Outcome != Pass {
			return f, err
		}
		for _, m := range t.metrics {
			if m.Kind == benchmarks.Measured {
				t.rep.Results = append(t.rep.Results, t.measured(GateRegression, t.test(m), m))
			}
		}
	}
	if err := t.againstAnchor(ctx, a, b); err != nil {
		return Finding{}, err
	}
	f := findingOf(GateRegression, t.rep.Results, t.regressionWords())
	for _, r := range t.rep.Results { // the metric that ended the measuring speaks for the open ones
		if r.Gate == GateRegression && r.Metric == t.stopMetric && r.Decision == f.Outcome && f.Outcome != Pass {
			f.Reason = r.Reason
		}
	}
	return f, nil
}

// test is what the regression gate asks of a metric.
func (t *trial) test(m benchmarks.Metric) string {
	switch {
	case t.c.Reference:
		return TestSame
	case m.Role == benchmarks.Success:
		return TestBetter
	}
	return TestNotWorse
}

func (t *trial) regressionWords() string {
	guards, success := 0, ""
	for _, r := range t.rep.Results {
		if r.Gate != GateRegression || r.Test == TestAnchor {
			continue
		}
		if r.Role == benchmarks.Success {
			success = r.Reason
		} else {
			guards++
		}
	}
	if t.c.Reference && len(t.rep.Pairs) == 0 && t.j.night.Wording > 0 {
		return "the baseline itself: equal to itself on every deterministic metric"
	}
	if t.c.Reference {
		return fmt.Sprintf("the baseline itself: equal to itself on every deterministic metric, no difference in %d pairs of identical builds", len(t.rep.Pairs))
	}
	return fmt.Sprintf("%s; not worse on %d guardrails", success, guards)
}

func (t *trial) measured(gate, test string, m benchmarks.Metric) Result {
	s := t.series[m.Name]
	if t.pairsFailed != "" {
		r := newResult(gate, test, m)
		r.N, r.LogBar, r.Alpha = s.len(), s.logBar(), intervalAlpha
		return r.invalid("%s", t.pairsFailed)
	}
	return s.result(gate, test, t.floor(m.Name))
}

// question is one test on one measured metric.
type question struct {
	test   string
	series *measuredSeries
}

// measurePairs measures the one set of pairs that serves all measured metrics
// of the candidate. It stops when every question is answered, when one is
// answered against the candidate, when one is hopeless, or at the cap. PASS
// means that there is something to judge.
func (t *trial) measurePairs(ctx context.Context) (Finding, error) {
	if t.stopped != "" {
		return Finding{Outcome: Pass}, nil
	}
	if f, err := t.plan(ctx); err != nil || f.Outcome != Pass {
		return f, err
	}
	var questions []question
	for _, m := range t.metrics {
		if m.Kind != benchmarks.Measured {
			continue
		}
		s := t.j.series(t.c.Context, m)
		t.series[m.Name] = s
		questions = append(questions, question{t.test(m), s})
		if a := t.j.night.Anchor; a != nil && !a.Measured && !t.c.Reference && m.Role != benchmarks.Success {
			if s.drawn, _ = a.drawn(t.c.Context, m.Name); s.drawn != 0 {
				questions = append(questions, question{TestAnchor, s})
			}
		}
		if m.Limit != nil {
			questions = append(questions, question{TestLimit, s})
		}
	}
	least := evalue.BrokenAfter
	if t.c.Reference {
		least = t.j.identicalPairs(t.logBar())
	}
	src := pairSource{j: t.j, name: t.key, context: t.c.Context, a: t.j.instance(&t.j.base), b: t.j.instance(&t.arm), arms: []*arm{&t.j.base, &t.arm}}
	got, err := t.collect(ctx, src, questions, least)
	if err != nil {
		return Finding{}, err
	}
	t.rep.Pairs, t.stopped, t.stopMetric = got.pairs, got.stopped, got.metric
	t.pairsFailed, t.rep.PairFailed = got.failed, got.failed
	if t.c.Reference {
		t.j.addNoise(t.c.Context, t.inOrder())
	}
	return Finding{Outcome: Pass}, nil
}

// collected is one set of pairs and why it ended.
type collected struct {
	pairs           []PairRecord
	stopped, metric string // the metric that ended it, if one did
	failed          string // why a pair could not be measured
}

// collect measures pairs until every question is answered (from least pairs
// on), one is answered against the candidate, one is hopeless, or the cap is
// reached.
func (t *trial) collect(ctx context.Context, src pairSource, questions []question, least int) (collected, error) {
	var out collected
	for i := 0; out.stopped == ""; i++ {
		if i == t.j.Policy.PairsMax {
			out.stopped = fmt.Sprintf("the cap of %d pairs was reached", i)
			break
		}
		p, failed, err := src.next(ctx, i)
		if err != nil {
			return out, err
		}
		if failed != "" {
			out.failed, out.stopped = failed, "a pair could not be measured: "+failed
			break
		}
		out.pairs = append(out.pairs, p)
		for k, q := range questions {
			if k == 0 || questions[k-1].series != q.series {
				q.series.add(p)
			}
		}
		out.stopped, out.metric = t.enough(questions, i+1, least)
		t.progress(GateRegression, i+1, t.j.Policy.PairsMax)
	}
	return out, nil
}

// inOrder are the series of the candidate's measured metrics so far, in the
// order of the context.
func (t *trial) inOrder() []*measuredSeries {
	var out []*measuredSeries
	for _, m := range t.metrics {
		if s := t.series[m.Name]; s != nil {
			out = append(out, s)
		}
	}
	return out
}

// enough says why measuring may stop, or "", and which metric ended it.
func (t *trial) enough(questions []question, n, least int) (why, metric string) {
	open := 0
	for _, q := range questions {
		name := q.series.metric.Name
		if q.series.bad != nil {
			return q.series.bad.Error(), name
		}
		a := q.series.ask(q.test, t.floor(name))
		switch {
		case a.outcome == Fail || a.outcome == Invalid:
			return fmt.Sprintf("%s was decided against the candidate after %d pairs", name, n), name
		case a.outcome == Inconclusive && a.futile:
			return fmt.Sprintf("%s had no hope left after %d pairs", name, n), name
		case a.outcome == Inconclusive:
			open++
		}
	}
	if open > 0 || n < least {
		return "", ""
	}
	return fmt.Sprintf("every question was answered after %d pairs", n), ""
}
