package gates

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

func TestPolicySchema(t *testing.T) {
	var s struct {
		Properties map[string]struct {
			Type             string
			Minimum, Maximum float64
			Default          any
			Description      string
		}
		AdditionalProperties bool
	}
	if err := json.Unmarshal(PolicySchema(), &s); err != nil {
		t.Fatal(err)
	}
	full := DefaultPolicy()
	full.CVaRAlpha = .05 // or it is left out
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		p, ok := s.Properties[name]
		if !ok || p.Description == "" || p.Default == nil {
			t.Errorf("%s: not described: %+v", name, p)
		}
		if v, ok := fields[name].(float64); ok && (v < p.Minimum || v > p.Maximum) {
			t.Errorf("%s: the default %v is outside %v to %v", name, v, p.Minimum, p.Maximum)
		}
	}
	if len(s.Properties) != len(fields) || s.AdditionalProperties {
		t.Errorf("%d properties for %d fields", len(s.Properties), len(fields))
	}
}

func TestPlanPolicy(t *testing.T) {
	p := DefaultPolicy()
	quiet, err := PlanPolicy(p, 20, .02)
	if err != nil {
		t.Fatal(err)
	}
	if quiet.Underpower || quiet.Power < .8 || quiet.Pairs80 < quiet.PairsFewest || quiet.Pairs80 > p.PairsMax || *quiet.BlindSpot >= p.MinEffect {
		t.Errorf("a quiet machine: %+v", quiet)
	}
	loud, err := PlanPolicy(p, 20, .1)
	if err != nil {
		t.Fatal(err)
	}
	if !loud.Underpower || loud.Power >= .8 || loud.Raise <= p.PairsMax || *loud.BlindSpot <= p.MinEffect {
		t.Errorf("a loud machine: %+v", loud)
	}
	if again, err := PlanPolicy(p, 20, .1); err != nil || again.Raise != loud.Raise || again.Power != loud.Power {
		t.Errorf("asked twice: %+v, %v", again, err)
	}
	for _, bad := range []float64{0, -1, 11} {
		if _, err := PlanPolicy(p, 20, bad); err == nil {
			t.Errorf("a noise of %v was planned with", bad)
		}
	}
	if _, err := PlanPolicy(p, 0, .02); err == nil {
		t.Error("no candidates were planned with")
	}
}

func TestRejudge(t *testing.T) {
	n := recordedNight(t)
	find := func(cs []Change, i int) Change { return cs[i] }
	same, err := Rejudge(n, n.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range same {
		if c.Differs() {
			t.Errorf("the same policy: %+v", c)
		}
	}
	strict := n.Policy
	strict.AlphaYear = 1e-9 // a bar that the recorded pairs cannot reach
	got, err := Rejudge(n, strict)
	if err != nil {
		t.Fatal(err)
	}
	if c := find(got, 1); c.Is != Unknown || c.IsGate != GateRegression || !strings.Contains(c.Why, "more pairs") {
		t.Errorf("a bar out of reach: %+v", c)
	}
	capped := strict
	capped.PairsMax = 12
	if got, err = Rejudge(n, capped); err != nil {
		t.Fatal(err)
	}
	if c := find(got, 1); c.Is != Inconclusive.String() || !c.Differs() {
		t.Errorf("a low cap: %+v", c)
	}
	harder := n.Policy
	harder.Robustness = slices.Clone(n.Policy.Robustness)
	harder.Robustness[0].Level = .3
	if got, err = Rejudge(n, harder); err != nil {
		t.Fatal(err)
	}
	if c := find(got, 1); c.Is != Unknown || c.IsGate != GateRobustness {
		t.Errorf("another disturbance: %+v", c)
	}
	harder.Robustness = []Disturbance{}
	if got, err = Rejudge(n, harder); err != nil {
		t.Fatal(err)
	}
	if c := find(got, 1); c.Is != Pass.String() {
		t.Errorf("no disturbance: %+v", c)
	}
}

func TestLooser(t *testing.T) {
	p := DefaultPolicy()
	p.Robustness = usual
	if l := p.Looser(p); len(l) != 0 {
		t.Errorf("the same: %v", l)
	}
	next := p
	next.AlphaYear, next.Approvals, next.Robustness = .02, 1, p.Robustness[1:]
	if l := p.Looser(next); len(l) != 4 { // the night's share grows with the year's
		t.Errorf("looser: %v", l)
	}
	if l := next.Looser(p); len(l) != 0 {
		t.Errorf("tighter: %v", l)
	}
}

// A machine too loud for the policy: the gate says so and measures nothing.
func TestUnderpowered(t *testing.T) {
	d := newToy(.2, 31)
	j := d.judge(t, 31)
	j.Policy.PairsMax, j.Policy.ControlDelay, j.Policy.ControlPairsMax = 20, 1, 400
	n, _, err := j.Night(t.Context(), []Candidate{d.candidate(t, "fast", benchmarks.Point{"speed": .99})})
	if err != nil {
		t.Fatal(err)
	}
	c := n.Candidates[0]
	if n.Outcome == Pass && (c.Outcome != Inconclusive || !strings.Contains(c.Why, "underpowered") || len(c.Pairs) != 0) {
		t.Errorf("%s: %s, %d pairs", c.Outcome, c.Why, len(c.Pairs))
	}
	if n.Outcome != Pass {
		t.Errorf("the night itself: %s", n.Reason)
	}
}
