package factory

import (
	"context"
	"fmt"
	"sort"

	"github.com/arqon/arqon/benchmarks"
)

// A context whose success metric is deterministic is searched without a clock,
// so that the same seed finds the same points (ADR 5). Its measured guardrails
// are therefore first looked at here: a finalist that is clearly beyond one
// would be refused by the gates, after many more pairs, and would have taken
// the place of a point that could have passed.

// screenPairs are what a finalist is looked at with. It leaves only if every
// one of them is beyond a tolerance or limit: a finalist just at its tolerance
// leaves by chance in 1 of 32, one whose noise alone is beyond hardly ever.
const screenPairs = 5

// screenRounds is how often a context goes back to the search's next best
// points for finalists that stay.
const screenRounds = 8

// screened lists the measured guardrails that the search of a context has not
// looked at; none where it measured pairs itself.
func screened(d benchmarks.Description, sc benchmarks.Scenario) []benchmarks.Metric {
	if _, paired := needed(d, sc); paired {
		return nil
	}
	var out []benchmarks.Metric
	for _, m := range d.In(sc) {
		if m.Kind == benchmarks.Measured && m.Role == benchmarks.GuardRole {
			out = append(out, m)
		}
	}
	return out
}

// within picks k finalists of a context that are not clearly beyond a measured
// guardrail. The fresh ones come first; when too few of them stay, the
// search's next best points are measured afresh too. It returns fewer than k
// if there are no more.
func (s *search) within(ctx context.Context, c int, fresh, rest []Outcome, afresh func([]Outcome) ([]Outcome, error)) ([]Outcome, error) {
	k := s.cfg.Study.Candidates
	metrics := screened(s.cfg.Description, s.cfg.Description.Scenarios[c])
	if len(metrics) == 0 {
		return pick(fresh, k, s.engineOf), nil
	}
	passed := map[string]bool{}
	for round := 0; ; {
		chosen := pick(fresh, k, s.engineOf)
		beyond, err := s.screen(ctx, c, metrics, chosen, passed)
		if err != nil {
			return nil, err
		}
		if len(beyond) > 0 {
			fresh = without(fresh, beyond)
			continue
		}
		if len(chosen) >= k || len(rest) == 0 || round == screenRounds {
			return chosen, nil
		}
		round++
		more := pick(rest, finalistsPerCandidate*k, s.engineOf)
		rest = without(rest, points(more))
		if more, err = afresh(more); err != nil {
			return nil, err
		}
		fresh = append(fresh, more...)
		sort.SliceStable(fresh, func(i, j int) bool { return fresh[i].Loss < fresh[j].Loss })
	}
}

// screen looks at those of a context's finalists that have not passed yet, and
// returns the points of those that are clearly beyond a guardrail, or fail.
// One at a time: they are timed, and neighbours would disturb.
func (s *search) screen(ctx context.Context, c int, metrics []benchmarks.Metric, finalists []Outcome, passed map[string]bool) (map[string]bool, error) {
	beyond := map[string]bool{}
	sc := s.cfg.Description.Scenarios[c]
	for _, o := range finalists {
		key := string(o.Point.Canonical())
		if passed[key] {
			continue
		}
		j := job{
			scenario: sc, metrics: metrics, paired: true, kindest: true, point: o.Point,
			phase: "screen", fidelity: s.cfg.Study.Fidelity, pairs: screenPairs,
		}
		err := s.measureAll(ctx, kindScreen, []job{j}, func(_ int, x measurement) (Outcome, error) {
			if x.Values != nil { // not from the journal, which holds the verdict alone
				x.Failed = beyondInAll(metrics, x)
			}
			if x.Failed != "" {
				beyond[key] = true
				s.progress.Say(fmt.Sprintf("%s: a finalist of %s leaves: %s", sc.Name, s.engineOf(o), x.Failed))
			} else {
				passed[key] = true
			}
			return outcome(sc.Name, o.Point, measurement{Type: x.Type, Failed: x.Failed}, 0, o.Trial), nil
		})
		if err != nil {
			return nil, err
		}
	}
	return beyond, nil
}

// beyondInAll says what a finalist is beyond of in every pair, or "". It names
// no measured number: it is all of a look that the journal keeps, so two nights
// that decide the same have the same journal.
func beyondInAll(metrics []benchmarks.Metric, kindest measurement) string {
	for _, m := range metrics {
		if limitExcess(m, kindest.Values[m.Name]) > 0 {
			return fmt.Sprintf("%s is beyond the limit %.4g in each of %d pairs", m.Name, *m.Limit, screenPairs)
		}
		if overTolerance(m, kindest) {
			return fmt.Sprintf("%s is beyond the tolerance %.4g in each of %d pairs beside the baseline", m.Name, m.Tolerance, screenPairs)
		}
	}
	return ""
}

// points names the points of outcomes.
func points(list []Outcome) map[string]bool {
	out := map[string]bool{}
	for _, o := range list {
		out[string(o.Point.Canonical())] = true
	}
	return out
}

// without drops the outcomes at the named points.
func without(list []Outcome, named map[string]bool) []Outcome {
	var out []Outcome
	for _, o := range list {
		if !named[string(o.Point.Canonical())] {
			out = append(out, o)
		}
	}
	return out
}
