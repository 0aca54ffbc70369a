package gates

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// cvarTail is the share of the worst draws whose mean is limited.
const cvarTail = .1

// cvarShare is the share of a disturbance's fidelity that one random draw gets.
const cvarShare = .25

// robustness is gate 3: under every disturbance of the policy the candidate
// may be worse than the baseline under the same disturbance by the metric's
// tolerance and the disturbance's own on top, and the mean of the worst tenth
// over random disturbances stays inside the policy's limit. Both are exact on
// the gate data, which is seeded freshly. Judged are the deterministic metrics
// that inputs can move: the success metric and those measured item by item.
func (t *trial) robustness(ctx context.Context) (Finding, error) {
	p := t.j.Policy
	asked, named := p.disturbances()
	if len(asked) == 0 {
		return Finding{Outcome: Pass, Reason: "waived: the policy names no disturbance"}, nil
	}
	metrics := t.movable()
	switch {
	case len(metrics) == 0 && !named:
		return Finding{Outcome: Pass, Reason: "not applicable: no metric is deterministic, so none shows what a disturbance of the input does; the policy names none"}, nil
	case len(metrics) == 0:
		return Finding{Outcome: Inconclusive, Reason: "no deterministic metric that a disturbance could move: leave the policy's robustness list empty to waive this gate"}, nil
	}
	var known []Disturbance
	var unknown []string
	for i, d := range asked {
		ok, err := t.disturb(ctx, i, d, metrics)
		if err != nil {
			return Finding{}, err
		}
		if ok {
			known = append(known, d)
		} else {
			unknown = append(unknown, d.Kind)
		}
	}
	switch {
	case len(unknown) > 0 && named:
		return Finding{Outcome: Inconclusive, Reason: fmt.Sprintf("the policy names what the domain does not support: %s; take it off the robustness list, or an empty list waives this gate",
			strings.Join(unknown, ", "))}, nil
	case len(known) == 0:
		return Finding{Outcome: Pass, Reason: fmt.Sprintf("not applicable: the domain supports no disturbance of its inputs (asked for: %s) and the policy names none; nothing was disturbed",
			strings.Join(unknown, ", "))}, nil
	}
	if p.CVaRSeeds > 0 {
		if err := t.cvar(ctx, known, metrics[0]); err != nil {
			return Finding{}, err
		}
	}
	return findingOf(GateRobustness, t.rep.Results, t.robustWords(len(known), unknown)), nil
}

func (t *trial) robustWords(known int, unknown []string) string {
	words := fmt.Sprintf("not worse than the baseline under %d disturbances", known)
	if len(unknown) > 0 {
		words += fmt.Sprintf(" (not supported by the domain: %s)", strings.Join(unknown, ", "))
	}
	for _, r := range t.rep.Results {
		if r.Test == TestCVaR {
			words += "; " + r.Reason
		}
	}
	return words
}

// movable are the deterministic metrics that a disturbance of the input can
// move: those measured item by item, the success metric first; failing those,
// the success metric; where that is measured with noise, the first guardrail
// that is not.
func (t *trial) movable() []benchmarks.Metric {
	var out []benchmarks.Metric
	for _, m := range t.metrics {
		switch {
		case m.Kind != benchmarks.Deterministic || m.Range == nil:
		case m.Role == benchmarks.Success:
			out = slices.Insert(out, 0, m)
		default:
			out = append(out, m)
		}
	}
	if m, ok := successOf(t.metrics); ok && len(out) == 0 && m.Kind == benchmarks.Deterministic {
		out = append(out, m)
	}
	for _, m := range t.metrics {
		if len(out) == 0 && m.Kind == benchmarks.Deterministic {
			out = append(out, m)
		}
	}
	return out
}

// disturb judges one disturbance; false if the domain does not know it.
func (t *trial) disturb(ctx context.Context, i int, d Disturbance, metrics []benchmarks.Metric) (bool, error) {
	use := fmt.Sprintf("robust/%d/%s", i, d.Kind)
	a, b, err := t.both(ctx, use, benchmarks.Request{
		Scenario: t.c.Context, Seed: t.j.gateSeed(t.c.Context, use), Fidelity: t.j.Policy.RobustFidelity,
		Perturbation: &benchmarks.Perturbation{Kind: d.Kind, Level: d.Level},
	})
	if err != nil {
		return false, err
	}
	known := !a.unsupported && !b.unsupported
	for _, m := range metrics {
		m.Tolerance += d.Tolerance
		var r Result
		if known {
			r = t.j.night.Wording.exact(GateRobustness, TestNotWorse, m, a, b, t.logBar(), t.itemOrder(use))
		} else {
			r = newResult(GateRobustness, TestNone, m)
			r.Decision, r.Reason = Inconclusive, fmt.Sprintf("%s: the domain does not support the disturbance %s", m.Name, d.Kind)
		}
		r.Perturbation = &benchmarks.Perturbation{Kind: d.Kind, Level: d.Level}
		if known {
			r.Reason = fmt.Sprintf("under %s %g: %s", d.Kind, d.Level, r.Reason)
		}
		t.rep.Results = append(t.rep.Results, r)
	}
	return known, nil
}

// cvar limits the mean of the worst tenth of the losses over random
// disturbances: kind, level and data are drawn from the night's seed.
func (t *trial) cvar(ctx context.Context, from []Disturbance, m benchmarks.Metric) error {
	p := t.j.Policy
	r := newResult(GateRobustness, TestCVaR, m)
	r.Exact, r.Tolerance, r.N = true, p.CVaRLimit, p.CVaRSeeds
	for i := range p.CVaRSeeds {
		rng := seed.Stream(t.j.Seed, "gates/cvar/"+t.c.Context, uint64(i))
		d := from[rng.IntN(len(from))]
		use := fmt.Sprintf("cvar/%d", i)
		a, b, err := t.both(ctx, use, benchmarks.Request{
			Scenario: t.c.Context, Seed: rng.Uint64(), Fidelity: p.RobustFidelity * cvarShare,
			Perturbation: &benchmarks.Perturbation{Kind: d.Kind, Level: d.Level * (.25 + float64(.75*rng.Float64()))},
		})
		if err != nil {
			return err
		}
		if bad := missing(m, a, b); bad != "" {
			t.rep.Results = append(t.rep.Results, r.invalid("draw %d: %s", i, bad))
			return nil
		}
		loss := m.Worse(a.values[m.Name], b.values[m.Name])
		if !finite(loss) {
			t.rep.Results = append(t.rep.Results, r.invalid("draw %d cannot be compared", i))
			return nil
		}
		r.Values = append(r.Values, loss)
		r.Baseline += a.values[m.Name] / float64(p.CVaRSeeds)
		r.Candidate += b.values[m.Name] / float64(p.CVaRSeeds)
	}
	tail := worstTail(r.Values)
	r.Change = signed(m, tail)
	r.Reason = fmt.Sprintf("%s: %s in the mean of the worst tenth of %d random disturbances, limit %s",
		m.Name, changeWords(m, r.Change), len(r.Values), number(m, changeBound(m, p.CVaRLimit)))
	r.Decision = Fail
	if tail <= p.CVaRLimit+exactSlack {
		r.Decision = Pass
	}
	r.limitTail(m, p)
	t.rep.Results = append(t.rep.Results, r)
	return nil
}

// limitTail adds the upper confidence limit of the worst tenth, where the
// metric has a range and enough was drawn to say anything, and holds the
// candidate to it if the policy asks for that.
func (r *Result) limitTail(m benchmarks.Metric, p Policy) {
	level := p.CVaRAlpha
	if level == 0 {
		level = intervalAlpha
	}
	upper := math.Inf(1)
	if m.Range != nil && m.Compare == benchmarks.Difference {
		most := m.Range[1] - m.Range[0]
		if u := cvarUpper(r.Values, cvarTail, most, level); u < most {
			upper = u
		}
	}
	if finite(upper) {
		r.Alpha = level
		if edge := signed(m, upper); m.Direction == benchmarks.Higher {
			r.Lower = &edge
		} else {
			r.Upper = &edge
		}
		r.Reason += fmt.Sprintf(", at the worst %s with %g %% confidence", number(m, signed(m, upper)), 100*(1-level))
	}
	if p.CVaRAlpha > 0 && r.Decision == Pass && upper > p.CVaRLimit+exactSlack {
		r.Decision = Inconclusive
		if !finite(upper) {
			r.Reason += ", and no upper limit can be told"
		}
	}
}

// worstTail is CVaR.9: the mean of the largest tenth, at least one.
func worstTail(losses []float64) float64 {
	s := slices.Clone(losses)
	slices.Sort(s)
	n := max(1, int(math.Ceil(cvarTail*float64(len(s)))))
	sum := 0.0
	for _, x := range s[len(s)-n:] {
		sum += x
	}
	return sum / float64(n)
}
