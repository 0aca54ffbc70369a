package gates

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
)

// trial is one candidate on its way through the gates.
type trial struct {
	j           *Judge
	c           Candidate
	key         string
	metrics     []benchmarks.Metric // of the context
	arm         arm
	series      map[string]*measuredSeries // by metric, once pairs are measured
	rep         CandidateReport
	done, total int
	stopped     string // why no more pairs are measured
	stopMetric  string // the metric that ended it, if one did
	pairsFailed string // why a pair could not be measured
}

// judge runs the gates in order and stops at the first that does not pass.
func (t *trial) judge(ctx context.Context) error {
	t.open()
	if why := t.j.broken(); why != "" {
		t.add(Finding{Gate: GateCorrectness, Outcome: Invalid, Reason: why})
		return t.finish()
	}
	for _, g := range []struct {
		name string
		ask  func(context.Context) (Finding, error)
	}{
		{GateCorrectness, t.correctness},
		{GateEnvelope, t.envelope},
		{GateRobustness, t.robustness},
		{GateRegression, t.regression},
		{GateCanary, t.canary},
		{GateApproval, t.approval},
	} {
		t.progress(g.name, 0, 0)
		if g.name == GateApproval {
			t.describe() // the signatures are over a finished report
		}
		f, err := g.ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: gate %s: %w", t.c.Variant.Name, g.name, err)
		}
		f.Gate = g.name
		t.add(f)
		if err := t.j.rec.note(t.key, f); err != nil {
			return err
		}
		t.j.step(Step{Candidate: t.c.Variant.Name, Context: t.c.Context, Gate: g.name, Done: t.done, Total: t.total, Outcome: f.Outcome, Spoke: true})
		if f.Outcome != Pass {
			break
		}
	}
	return t.finish()
}

func (t *trial) open() {
	t.series = map[string]*measuredSeries{}
	c := t.c
	t.rep = CandidateReport{
		Name: c.Variant.Name, Identity: c.Variant.Identity, Context: c.Context, Type: c.Variant.Type,
		Point: compactPoint(c.Variant.Point), Reference: c.Reference, Lineage: c.Lineage, Claim: c.Claim,
		Waivers: t.j.waivers(c), Results: []Result{}, Findings: []Finding{}, Command: t.j.Command,
	}
	if t.rep.Command == "" {
		t.rep.Command = "arqon report " + t.j.Run
	}
}

func compactPoint(p json.RawMessage) json.RawMessage {
	if len(p) == 0 {
		return json.RawMessage("null")
	}
	return p
}

func (t *trial) add(f Finding) {
	t.rep.Findings = append(t.rep.Findings, f)
	if f.Gate == GateApproval {
		return // a missing signature is no fault of the candidate
	}
	t.rep.Outcome, t.rep.Gate, t.rep.Why = f.Outcome, f.Gate, f.Reason
	if f.Outcome == Pass && f.Gate == GateCanary {
		t.rep.Why = t.reasonOf(GateRegression) // the numbers that people want first
	}
}

func (t *trial) reasonOf(gate string) string {
	for _, f := range t.rep.Findings {
		if f.Gate == gate {
			return f.Reason
		}
	}
	return ""
}

func (t *trial) finish() error {
	t.describe()
	for _, s := range t.inOrder() {
		t.j.learn(t.c.Context, s)
	}
	t.j.machineEvents(t.c.Context, t.c.Variant.Name, t.rep.Pairs)
	return nil
}

// describe fills in everything that follows from the results.
func (t *trial) describe() {
	t.rep.PairsDigest = ""
	if len(t.rep.Pairs) > 0 {
		if b, err := json.Marshal(t.rep.Pairs); err == nil { // finite numbers only: it cannot fail
			t.rep.PairsDigest = artifacts.DigestOf(b)
		}
	}
	t.rep.Stop = t.stopped
	t.rep.Curves = t.curves()
	t.rep.Expectations = t.expectations()
	t.rep.WhatIf = t.whatIf()
}

func (t *trial) progress(gate string, pairs, most int) {
	t.j.step(Step{Candidate: t.c.Variant.Name, Context: t.c.Context, Gate: gate, Pairs: pairs, PairsMax: most, Done: t.done, Total: t.total})
}

// full is both arms' deterministic metrics on the whole gate data.
func (t *trial) full(ctx context.Context) (a, b evaluation, err error) {
	return t.both(ctx, "full", benchmarks.Request{Scenario: t.c.Context, Seed: t.j.gateSeed(t.c.Context, "full"), Fidelity: 1})
}

// both evaluates baseline and candidate on the same request.
func (t *trial) both(ctx context.Context, use string, r benchmarks.Request) (a, b evaluation, err error) {
	if a, err = t.j.evaluate(ctx, &t.j.base, "baseline/"+t.c.Context, use, r); err != nil {
		return a, b, err
	}
	b, err = t.j.evaluate(ctx, &t.arm, t.key, use, r)
	return a, b, err
}

// itemOrder is the seed of the order in which items are bet on.
func (t *trial) itemOrder(use string) uint64 {
	return t.j.gateSeed(t.key, "order/"+use)
}

func (t *trial) logBar() float64 { return t.j.night.Alpha.LogBar }

// floor is tonight's noise floor of a metric in this context, on its change.
func (t *trial) floor(metric string) float64 { return t.j.noise[t.c.Context][metric].Floor }
