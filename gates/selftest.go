package gates

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// Selftest is what the gates see on this machine where the truth is known.
type Selftest struct {
	Context  string  `json:"context"`
	Metric   string  `json:"metric"`
	Runs     int     `json:"runs"`
	PairsMax int     `json:"pairs_max"`
	Delay    float64 `json:"delay"`
	Alpha    float64 `json:"alpha"`
	K        int     `json:"candidates"`

	SD float64 `json:"sd"` // of one pair of identical builds

	// False is how many of the runs of identical builds were called different at
	// some pair, at K/Alpha; FalseOne the same for a single comparison at
	// selftestAlpha, where false alarms can be counted.
	False    int `json:"false"`
	FalseOne int `json:"false_at_5_percent"`
	// Found is how many delayed baselines a candidate was promoted against
	// within PairsMax pairs, Pairs the mean pairs of those.
	Found int     `json:"found"`
	Pairs float64 `json:"pairs"`
}

const selftestAlpha = .05

// Selftest compares identical builds and builds with an injected delay, runs
// times each, on the metric that the controls use, and counts. It decides as a
// night of k candidates at level alpha does. Nothing is recorded.
func (j *Judge) Selftest(ctx context.Context, runs, pairsMax, k int, alpha float64, step func(done int)) (out Selftest, err error) {
	if runs < 1 || pairsMax < evalue.BrokenAfter || k < 1 || !(alpha > 0 && alpha < 1) {
		return out, fmt.Errorf("selftest: want at least 1 run of at least %d pairs, 1 candidate, and alpha inside (0, 1)", evalue.BrokenAfter)
	}
	if err := j.Policy.Check(); err != nil {
		return out, err
	}
	j.begin()
	defer func() { err = errors.Join(err, j.base.close(), j.twin.close()) }()
	where, m, ok := j.controlMetric()
	if !ok || !timeUnit(m) {
		return out, fmt.Errorf("selftest: domain %s measures no time: nothing can be delayed", j.Description.Name)
	}
	q := j.Policy.question(m, alpha, k)
	q.Goal, q.PairsMax = evalue.Better, pairsMax
	out = Selftest{Context: where, Metric: m.Name, Runs: runs, PairsMax: pairsMax, Delay: j.Policy.ControlDelay, Alpha: alpha, K: k}
	slow := &delayed{arm: &j.twin, share: j.Policy.ControlDelay, metrics: j.order[where]}
	for run := range runs {
		same := j.knownPairs(where, fmt.Sprintf("selftest/same/%d", run), j.instance(&j.base), j.instance(&j.twin))
		most, s, err := same.watch(ctx, m, q, pairsMax, func(s *measuredSeries) (float64, bool) { return s.sameLogE(), false })
		if err != nil {
			return out, err
		}
		out.SD += s.d.Pairs().SD() / float64(runs)
		if most >= evalue.LogBar(1, selftestAlpha) {
			out.FalseOne++
		}
		if most >= evalue.LogBar(k, alpha) {
			out.False++
		}
		late := j.knownPairs(where, fmt.Sprintf("selftest/delay/%d", run), slow.open(j), j.instance(&j.base))
		_, s, err = late.watch(ctx, m, q, pairsMax, func(s *measuredSeries) (float64, bool) { return s.d.Claim(), s.d.Shown() })
		if err != nil {
			return out, err
		}
		if s.d.Shown() {
			out.Pairs = (float64(out.Pairs*float64(out.Found)) + float64(s.len())) / float64(out.Found+1)
			out.Found++
		}
		step(run + 1)
	}
	return out, nil
}

// knownPairs measures pairs whose truth is known.
func (j *Judge) knownPairs(where, name string, a, b func(context.Context) (benchmarks.Instance, error)) pairSource {
	return pairSource{j: j, name: name, context: where, a: a, b: b, arms: []*arm{&j.base, &j.twin}}
}

// watch measures pairs until look says enough or pairsMax, returns the largest
// log e-value that look saw, and learns the noise.
func (s pairSource) watch(ctx context.Context, m benchmarks.Metric, q evalue.Question, pairsMax int, look func(*measuredSeries) (float64, bool)) (most float64, _ *measuredSeries, err error) {
	series := s.j.newSeries(m, q, s.context)
	for i := range pairsMax {
		p, err := s.measure(ctx, i)
		if err != nil {
			return 0, nil, fmt.Errorf("selftest: %w", err)
		}
		if series.add(p); series.bad != nil {
			return 0, nil, fmt.Errorf("selftest: %w", series.bad)
		}
		e, enough := look(series)
		if most = max(most, e); enough {
			break
		}
	}
	s.j.learn(s.context, series)
	return most, series, nil
}
