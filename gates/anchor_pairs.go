package gates

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// anchorSuffix sets the third arm's pairs apart in the record.
const anchorSuffix = "/anchor"

// againstAnchor adds the anchor's results once the candidate stands beside
// tonight's baseline.
func (t *trial) againstAnchor(ctx context.Context, a, b evaluation) error {
	switch {
	case t.j.night.Anchor == nil || t.c.Reference:
		return nil
	case !t.j.night.Anchor.Measured:
		t.onPaper(a, b)
		return nil
	case findingOf(GateRegression, t.rep.Results, "").Outcome != Pass:
		return nil // no pairs for what is lost already
	}
	return t.besideAnchor(ctx, b)
}

// besideAnchor measures the candidate beside the anchor itself: every guardrail
// must be shown to be not worse than its tolerance, at the level of one
// candidate, as against the baseline.
func (t *trial) besideAnchor(ctx context.Context, b evaluation) error {
	r := benchmarks.Request{Scenario: t.c.Context, Seed: t.j.gateSeed(t.c.Context, "full"), Fidelity: 1}
	a, err := t.j.evaluate(ctx, &t.j.anchor, "anchor/"+t.c.Context, "full", r)
	if err != nil {
		return err
	}
	var questions []question
	for _, m := range t.metrics {
		switch {
		case m.Role == benchmarks.Success:
		case m.Kind == benchmarks.Measured:
			questions = append(questions, question{TestNotWorse, t.j.series(t.c.Context, m)})
		default:
			t.addAnchor(t.j.night.Wording.exact(GateRegression, TestNotWorse, m, a, b, t.logBar(), t.itemOrder("full")))
		}
	}
	if len(questions) == 0 {
		return nil
	}
	src := pairSource{
		j: t.j, name: t.key + anchorSuffix, context: t.c.Context,
		a: t.j.instance(&t.j.anchor), b: t.j.instance(&t.arm), arms: []*arm{&t.j.anchor, &t.arm},
	}
	got, err := t.collect(ctx, src, questions, evalue.BrokenAfter)
	if err != nil {
		return err
	}
	t.rep.AnchorPairs, t.rep.AnchorFailed = got.pairs, got.failed
	for _, q := range questions {
		res := q.series.result(GateRegression, TestNotWorse, 0)
		if got.failed != "" {
			res = res.invalid("%s", got.failed)
		}
		if most := q.series.upperLimit(); finite(most) {
			res.Drawn = &most
		}
		t.addAnchor(res)
		t.j.learn(t.c.Context, q.series)
	}
	return nil
}

// addAnchor files a comparison with the anchor under its own word.
func (t *trial) addAnchor(r Result) {
	r.Test = TestAnchor
	if r.Exact {
		m := r.metric()
		worse := exactWorse(m, r.Baseline, r.Candidate)
		r.Drawn = finitePointer(worse)
	}
	r.Reason = fmt.Sprintf("against the anchor of epoch %d: %s", t.j.night.Anchor.Epoch, r.Reason)
	t.rep.Results = append(t.rep.Results, r)
}
