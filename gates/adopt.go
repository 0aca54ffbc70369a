package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/gates/evalue"
)

// PolicySchema returns the JSON Schema (draft 2020-12) of a policy: closed,
// every field with its range and meaning. YAML files of the same form are what
// studies name.
func PolicySchema() []byte {
	type object = map[string]any
	properties := object{}
	for _, s := range DefaultPolicy().spans() {
		kind := "number"
		if s.whole {
			kind = "integer"
		}
		p := object{"type": kind, "minimum": s.min, "maximum": s.max, "default": s.v, "description": s.about}
		if s.name == "alpha_night" {
			p["maximum"] = .2
			p["description"] = s.about + "; at most alpha_year"
		}
		if s.name == "canary_pairs_max" {
			p["minimum"] = 1
			p["description"] = s.about + "; at least canary_pairs times the number of stages"
		}
		properties[s.name] = p
	}
	number := func(lo, hi float64) object { return object{"type": "number", "minimum": lo, "maximum": hi} }
	properties["robustness"] = object{
		"type": "array", "description": "disturbances that a candidate must stand as well as the baseline; left out: the default, as far as the domain supports it; named and not supported: INCONCLUSIVE; empty: the gate is waived, and says so",
		"default": usual,
		"items": object{
			"type": "object", "additionalProperties": false, "required": []string{"kind", "level", "tolerance"},
			"properties": object{
				"kind":      object{"type": "string", "minLength": 1, "description": "the domain's word"},
				"level":     object{"type": "number"},
				"tolerance": number(0, 10),
			},
		},
	}
	properties["canary_stages"] = object{
		"type": "array", "minItems": 1, "default": DefaultPolicy().CanaryStages, "description": "shares of the traffic, rising; the last is 1",
		"items": object{"type": "number", "exclusiveMinimum": 0, "maximum": 1},
	}
	b, err := json.MarshalIndent(object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Arqon gate policy",
		"description": "What a night's judgement follows. A field that is left out keeps its default. The statistics are a closed list and not configurable.",
		"type":        "object", "additionalProperties": false, "properties": properties,
	}, "", " ")
	if err != nil {
		return nil // constants: it cannot fail
	}
	return append(b, '\n')
}

// Looser lists the fields in which next protects less than p, in words.
// Tightening one field does not make up for loosening another.
func (p Policy) Looser(next Policy) []string {
	var out []string
	was, now := p.spans(), next.spans()
	was[1].v, now[1].v = p.Night(), next.Night()
	for i := range was {
		if d := now[i].v - was[i].v; was[i].looser != 0 && d*float64(was[i].looser) > 0 {
			out = append(out, fmt.Sprintf("%s from %v to %v", was[i].name, was[i].v, now[i].v))
		}
	}
	if p.CVaRAlpha > 0 && (next.CVaRAlpha == 0 || next.CVaRAlpha > p.CVaRAlpha) {
		out = append(out, fmt.Sprintf("cvar_alpha from %v to %v", p.CVaRAlpha, next.CVaRAlpha))
	}
	asked, _ := p.disturbances()
	kept, named := next.disturbances()
	if p.Robustness != nil && !named {
		kept = nil // as far as the domain knows them: that may be none
	}
	for _, d := range asked {
		i := slices.IndexFunc(kept, func(x Disturbance) bool {
			return x.Kind == d.Kind && math.Abs(x.Level) >= math.Abs(d.Level) && x.Tolerance <= d.Tolerance
		})
		if i < 0 {
			out = append(out, fmt.Sprintf("robustness: nothing as hard as %s %g with tolerance %g", d.Kind, d.Level, d.Tolerance))
		}
	}
	if len(next.CanaryStages) < len(p.CanaryStages) || next.CanaryStages[0] > p.CanaryStages[0] {
		out = append(out, fmt.Sprintf("canary_stages from %v to %v", p.CanaryStages, next.CanaryStages))
	}
	return out
}

// PolicyPlan is what a policy will cost and see, before it is adopted.
type PolicyPlan struct {
	Policy      artifacts.Digest `json:"policy"`
	K           int              `json:"candidates"` // registered a night
	AlphaNight  float64          `json:"alpha_night"`
	Bar         float64          `json:"bar"`              // e-value that promotes
	Nights      int              `json:"nights_a_year"`    // that the year's budget pays for
	PairSD      float64          `json:"pair_sd"`          // of one pair's log ratio: what was assumed
	MinEffect   float64          `json:"min_effect"`       //
	Power       float64          `json:"power"`            // at MinEffect within the cap
	Pairs80     int              `json:"pairs_80"`         // that find MinEffect in 80 % of nights; 0: the cap cannot
	PairsFewest int              `json:"pairs_fewest"`     // that any candidate could cross with
	Expected    int              `json:"pairs_expected"`   // of a whole night of candidates at MinEffect, canaries and controls at their caps
	PairsCap    int              `json:"pairs_cap"`        // a night cannot measure more
	BlindSpot   *float64         `json:"blind_spot"`       // effects under it are more likely missed than not; nil: every effect is
	Underpower  bool             `json:"underpowered"`     // the gate would not start
	Raise       int              `json:"pairs_max_needed"` // cap that reaches 80 %; 0: none up to 10,000
}

// PlanPolicy simulates what the policy can show on a machine where one pair's
// log ratio has standard deviation pairSD, with k candidates a night. The same
// question has the same answer.
func PlanPolicy(p Policy, k int, pairSD float64) (PolicyPlan, error) {
	if err := p.Check(); err != nil {
		return PolicyPlan{}, err
	}
	if k < 1 || k > 1e6 {
		return PolicyPlan{}, fmt.Errorf("%d candidates: want 1 to 1,000,000", k)
	}
	if !(pairSD > 0 && pairSD <= 10) {
		return PolicyPlan{}, fmt.Errorf("noise of %v: want the standard deviation of one pair's log ratio, above 0 and at most 10 (.02 is 2 %%)", pairSD)
	}
	bar := evalue.LogBar(k, p.Night())
	out := PolicyPlan{
		Policy: p.Digest(), K: k, AlphaNight: p.Night(), Bar: float64(k) / p.Night(), PairSD: pairSD, MinEffect: p.MinEffect,
		Nights: int(p.AlphaYear/p.Night() + 1e-9), PairsFewest: evalue.PairsToReach(bar),
	}
	q := evalue.Question{
		Goal: evalue.Better, MinEffect: p.MinEffect, Alpha: p.Night(), Candidates: k, PairsMax: p.PairsMax,
	}
	out.Power, out.Pairs80 = evalue.Power(q, p.MinEffect, pairSD)
	out.Underpower = out.Pairs80 == 0
	if spot := evalue.BlindSpot(q, pairSD); finite(spot) {
		out.BlindSpot = &spot
	}
	each := out.Pairs80
	if out.Underpower {
		each = p.PairsMax
		q.PairsMax = 10000
		if _, n := evalue.Power(q, p.MinEffect, pairSD); n > 0 {
			out.Raise = n
		}
	}
	controls := max(p.ReferencePairs, evalue.PairsToReach(evalue.LogBar(1, p.Night()))) + 2*p.ControlPairsMax
	out.Expected = controls + k*(each+p.CanaryPairs*len(p.CanaryStages))
	out.PairsCap = controls + k*(p.PairsMax+p.CanaryPairsMax)
	return out, nil
}

// Unknown is what Rejudge says where the recorded samples do not reach.
const Unknown = "UNKNOWN"

// Change is one past verdict under another policy.
type Change struct {
	Run     string  `json:"run"`
	Name    string  `json:"candidate"`
	Context string  `json:"context"`
	Was     Outcome `json:"was"`
	WasGate string  `json:"was_gate"`
	Is      string  `json:"is"` // an outcome, or UNKNOWN
	IsGate  string  `json:"is_gate"`
	Why     string  `json:"why"`
}

// Differs reports whether the verdict, or what could be said, is another one.
func (c Change) Differs() bool { return c.Is != c.Was.String() || c.IsGate != c.WasGate }

// Rejudge replays a past night under another policy, from its raw samples: one
// Change a candidate. Where the new policy asks for what was not measured (a
// higher bar wants more pairs, another disturbance other data) the answer is
// UNKNOWN, never a guess. Controls, noise floors and approvals stand as they
// were recorded, and so does the number of candidates. Verify the night first.
func Rejudge(n Night, p Policy) ([]Change, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	j, candidates, err := replayJudge(n)
	if err != nil {
		return nil, err
	}
	j.Policy = p
	j.forget(n.Policy, p)
	a := &j.night.Alpha
	a.Night = p.Night()
	a.LogBar = evalue.LogBar(a.K, a.Night)
	j.night.Controls = n.Controls
	for _, f := range n.Noise {
		if j.noise[f.Context] == nil {
			j.noise[f.Context] = map[string]NoiseFloor{}
		}
		j.noise[f.Context][f.Metric] = f
	}
	for _, c := range n.Controls {
		if c.Name == controlSameCode {
			j.teach(c.Context, c.Pairs)
		}
	}
	for _, p := range n.Probes {
		j.teach(p.Context, p.Pairs)
	}
	out := make([]Change, len(candidates))
	for _, i := range referencesFirst(candidates) {
		c := candidates[i]
		was := n.Candidates[i]
		out[i] = Change{Run: n.Run, Name: was.Name, Context: was.Context, Was: was.Outcome, WasGate: was.Gate}
		t := &trial{j: j, c: c, key: keyOf(c), metrics: j.order[c.Context]}
		err := t.judge(context.Background())
		switch {
		case err == nil && t.rep.Gate == GateCanary && !j.rec.knows("canary/"+t.key+"/rehearsal"):
			out[i].Is, out[i].IsGate, out[i].Why = Unknown, GateCanary, "passes the gates before the canary, which was never staged"
		case err == nil:
			out[i].Is, out[i].IsGate, out[i].Why = t.rep.Outcome.String(), t.rep.Gate, t.rep.Why
		case errors.Is(err, ErrNoRaw) || errors.Is(err, ErrDiffers):
			out[i].Is, out[i].IsGate = Unknown, nextGate(t.rep.Findings)
			out[i].Why = "asks for what was not measured: " + missingWords(err)
		default:
			return nil, fmt.Errorf("night %s: %w", n.Run, err)
		}
	}
	return out, nil
}

// forget drops the answers that were given to another question than the new
// policy asks under the same key.
func (j *Judge) forget(was, is Policy) {
	same := was.RobustFidelity == is.RobustFidelity
	before, _ := was.disturbances()
	after, _ := is.disturbances()
	whole := same && len(before) == len(after)
	for i, d := range after {
		if i < len(before) && before[i].Kind == d.Kind && before[i].Level == d.Level && same {
			continue
		}
		whole = false
		j.drop(fmt.Sprintf("/robust/%d/", i))
	}
	if !whole { // the random draws are made from the whole list
		j.drop("/cvar/")
	}
}

func (j *Judge) drop(part string) {
	for key := range j.rec.known {
		if strings.HasPrefix(key, "eval/") && strings.Contains(key, part) {
			delete(j.rec.known, key)
		}
	}
}

// nextGate is the gate that was asked after the findings so far.
func nextGate(said []Finding) string {
	return Order()[min(len(said), len(Order())-1)]
}

func missingWords(err error) string {
	s := err.Error()
	for _, kind := range []struct{ key, words string }{
		{": pair/", "more pairs than were measured"}, {": canary/", "more canary pairs than were observed, or a stage that was never reached"},
		{"/robust/", "a disturbance that was not measured"}, {"/cvar/", "random disturbances that were not measured"},
		{": check/", "checks that were not run"}, {": eval/", "deterministic values that were not measured"},
	} {
		if strings.Contains(s, kind.key) {
			return kind.words
		}
	}
	return s
}
