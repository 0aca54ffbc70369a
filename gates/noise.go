package gates

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// medianSE is the standard error of a median of n normal values, times √n/sd.
const medianSE = 1.2533

// addNoise derives the noise floor of every measured metric of a context from
// pairs of identical builds: the median change that they showed and two
// standard errors of it. The floor is a second fence around claims of "better";
// the error control does not rest on it.
func (j *Judge) addNoise(context string, all []*measuredSeries) {
	if j.noise[context] != nil {
		return
	}
	j.noise[context] = map[string]NoiseFloor{}
	for _, s := range all {
		if s.bad != nil || s.len() < 2 {
			continue
		}
		q, p := s.question, s.d.Pairs()
		f := NoiseFloor{Context: context, Metric: s.metric.Name, Pairs: p.Len(), SD: p.SD()}
		f.Floor = math.Abs(q.Change(p.Median())) + math.Abs(q.Change(2*medianSE*f.SD/math.Sqrt(float64(f.Pairs))))
		j.noise[context][s.metric.Name] = f
		j.night.Noise = append(j.night.Noise, f)
	}
}

// probe measures identical builds in a context that no reference has shown
// yet.
func (j *Judge) probe(ctx context.Context, context string) error {
	if j.noise[context] != nil {
		return nil
	}
	p := Probe{Context: context, Pairs: []PairRecord{}}
	src := pairSource{j: j, name: "noise/" + context, context: context, a: j.instance(&j.base), b: j.instance(&j.twin), arms: []*arm{&j.base, &j.twin}}
	for i := range j.Policy.ReferencePairs {
		pair, failed, err := src.next(ctx, i)
		if err != nil {
			return err
		}
		if failed != "" {
			p.Failed = failed
			break
		}
		p.Pairs = append(p.Pairs, pair)
		j.step(Step{Context: context, Gate: "noise", Pairs: i + 1, PairsMax: j.Policy.ReferencePairs})
	}
	j.night.Probes = append(j.night.Probes, p)
	j.addNoise(context, j.teach(context, p.Pairs))
	return nil
}

// plan states, before the first pair, what the cap can show. If 80 % power at
// the smallest effect of interest is out of reach the gate does not start.
func (t *trial) plan(ctx context.Context) (Finding, error) {
	p := t.j.Policy
	pass := Finding{Outcome: Pass}
	m, _ := successOf(t.metrics)
	t.rep.Plan = Plan{MinEffect: p.MinEffect, PairsMax: p.PairsMax}
	switch {
	case t.c.Reference:
		t.rep.Plan.Note = fmt.Sprintf("%d pairs of identical builds: they show the noise and must not differ", t.j.identicalPairs(t.logBar()))
		return pass, nil
	case m.Kind != benchmarks.Measured:
		t.rep.Plan.Note = "the success metric is deterministic: pairs are for the measured guardrails alone"
		return pass, nil
	}
	if err := t.j.probe(ctx, t.c.Context); err != nil {
		return Finding{}, err
	}
	n, ok := t.j.noise[t.c.Context][m.Name]
	if !ok {
		return Finding{Outcome: Invalid, Reason: m.Name + ": identical builds could not be measured, so nothing else can: " + t.probeFailed()}, nil
	}
	t.rep.Plan = t.j.planFor(m, n)
	if t.rep.Plan.Underpower {
		return Finding{Outcome: Inconclusive, Reason: "underpowered, not started: " + t.rep.Plan.Note}, nil
	}
	return pass, nil
}

func (t *trial) probeFailed() string {
	for _, p := range t.j.night.Probes {
		if p.Context == t.c.Context && p.Failed != "" {
			return p.Failed
		}
	}
	m, _ := successOf(t.metrics)
	for _, p := range t.j.night.Probes {
		if p.Context == t.c.Context {
			if s := t.j.series(p.Context, m).addAll(p.Pairs); s.bad != nil {
				return s.bad.Error()
			}
		}
	}
	return "no pairs"
}

// teach learns the noise of every measured metric from pairs of identical
// builds.
func (j *Judge) teach(context string, pairs []PairRecord) []*measuredSeries {
	var out []*measuredSeries
	for _, m := range j.order[context] {
		if m.Kind == benchmarks.Measured {
			s := j.series(context, m).addAll(pairs)
			j.learn(context, s)
			out = append(out, s)
		}
	}
	return out
}

type plannedFor struct {
	question evalue.Question
	sd       float64
}

// planned is one simulated plan: the same question is asked for many
// candidates.
type planned struct {
	power, blind float64
	pairs        int
}

// planFor is the plan of one metric under the noise that identical builds show.
func (j *Judge) planFor(m benchmarks.Metric, n NoiseFloor) Plan {
	pol := j.Policy
	key := plannedFor{pol.question(m, j.night.Alpha.Night, j.night.Alpha.K), n.SD}
	sim, ok := j.plans[key]
	if !ok {
		sim.power, sim.pairs = evalue.Power(key.question, pol.MinEffect, n.SD)
		sim.blind = evalue.BlindSpot(key.question, n.SD)
		j.plans[key] = sim
	}
	power, pairs := sim.power, sim.pairs
	out := Plan{
		Metric: m.Name, PairSD: n.SD, MinEffect: pol.MinEffect, PairsNeeded: pairs, PairsMax: pol.PairsMax,
		Power: power, Underpower: pairs == 0,
	}
	if spot := sim.blind; finite(spot) {
		out.BlindSpot = spot
	}
	effectWords, spotWords := number(m, pol.MinEffect), number(m, out.BlindSpot)
	out.Note = fmt.Sprintf("%s: one pair has a noise of %.2f %%; an effect of %s is found within %d pairs in 80 %% of nights; under %s would more likely than not be missed",
		m.Name, 100*n.SD, effectWords, pairs, spotWords)
	if out.Underpower {
		out.Note = fmt.Sprintf("%s: one pair has a noise of %.2f %%; %d pairs find an effect of %s in only %.0f %% of nights (want 80 %%): raise pairs_max or min_effect, or measure on a quieter machine",
			m.Name, 100*n.SD, pol.PairsMax, effectWords, 100*power)
	}
	return out
}
