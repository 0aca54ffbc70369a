package gates

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// question is what the decider is asked about a measured metric: better on the
// success metric, not worse elsewhere, among k claims that share alpha. A
// guardrail without a tolerance has to be better, because equality cannot be
// shown.
func (p Policy) question(m benchmarks.Metric, alpha float64, k int) evalue.Question {
	q := evalue.Question{
		Goal: evalue.NotWorse, Higher: m.Direction == benchmarks.Higher, Difference: m.Compare != benchmarks.Ratio,
		Repeats:   m.Kind == benchmarks.Deterministic,
		Tolerance: m.Tolerance, MinEffect: p.MinEffect, Alpha: alpha, Candidates: k, PairsMax: p.PairsMax,
	}
	if m.Role == benchmarks.Success || m.Tolerance == 0 {
		q.Goal = evalue.Better
	}
	return q
}

// measuredSeries is one measured metric over all pairs, as it is judged.
type measuredSeries struct {
	metric   benchmarks.Metric
	question evalue.Question
	d        *evalue.Decider
	a, b     []float64
	drawn    float64 // what earlier promotions used of the tolerance, as a paired difference
	wording  wording // of the record that the results go to
	bad      error   // the first pair that cannot be used

	running map[process]*evalue.Process
}

type process struct {
	side  evalue.Side
	theta float64
}

// newSeries starts a series; noise is what is known of the metric's.
func newSeries(m benchmarks.Metric, q evalue.Question, noise *evalue.Noise) *measuredSeries {
	return &measuredSeries{metric: m, question: q, d: evalue.NewDecider(q, noise), running: map[process]*evalue.Process{}}
}

// newSeries starts one that knows what tonight's pairs have taught about the
// metric's noise, and words its results as the record does.
func (j *Judge) newSeries(m benchmarks.Metric, q evalue.Question, context string) *measuredSeries {
	s := newSeries(m, q, j.learned(context, m.Name))
	s.wording = j.night.Wording
	return s
}

// series starts one at tonight's level.
func (j *Judge) series(context string, m benchmarks.Metric) *measuredSeries {
	a := j.night.Alpha
	return j.newSeries(m, j.Policy.question(m, a.Night, a.K), context)
}

// learned is what tonight's pairs have taught about a metric's noise so far.
func (j *Judge) learned(where, metric string) *evalue.Noise {
	key := where + "/" + metric
	if j.known[key] == nil {
		j.known[key] = &evalue.Noise{}
	}
	return j.known[key]
}

// learn adds a series that has been judged. What it teaches shapes the bets on
// the next one and the number of its pairs, never the error.
func (j *Judge) learn(where string, s *measuredSeries) {
	if s.bad == nil {
		j.learned(where, s.metric.Name).Add(s.d.Pairs().Differences())
	}
}

func (s *measuredSeries) len() int { return s.d.Pairs().Len() }

func (s *measuredSeries) logBar() float64 {
	return evalue.LogBar(s.question.Candidates, s.question.Alpha)
}

// logE is the log e-value of "δ < theta" or "δ > theta", kept running; δ is
// larger where the candidate is worse.
func (s *measuredSeries) logE(side evalue.Side, theta float64) float64 {
	key := process{side, theta}
	if s.running[key] == nil {
		s.running[key] = s.d.Process(side, theta)
	}
	return s.running[key].LogE()
}

func (s *measuredSeries) add(p PairRecord) {
	if s.bad != nil {
		return
	}
	a, okA := p.A[s.metric.Name]
	b, okB := p.B[s.metric.Name]
	if !okA || !okB {
		s.bad = fmt.Errorf("metric %s is missing in pair %d", s.metric.Name, p.Index)
		return
	}
	s.d.Add(a, b)
	if why := s.d.Refused(); why != "" {
		s.bad = fmt.Errorf("metric %s: %s", s.metric.Name, s.wording.refused(why, s.metric))
		return
	}
	s.a, s.b = append(s.a, a), append(s.b, b)
}

func (s *measuredSeries) addAll(pairs []PairRecord) *measuredSeries {
	for _, p := range pairs {
		s.add(p)
	}
	return s
}

// answer is what a test says so far about one series.
type answer struct {
	outcome Outcome
	logE    float64 // of the claim that would pass
	futile  bool
}

// ask applies a test to the series. floor is the night's noise floor on the
// scale of changes (better only).
func (s *measuredSeries) ask(test string, floor float64) answer {
	out := answer{outcome: Inconclusive}
	bar := s.logBar()
	switch test {
	case TestBetter, TestNotWorse:
		out.logE = s.d.Claim()
		switch {
		case s.d.Shown():
			out.outcome = Pass
		case s.d.Refuted():
			out.outcome = Fail
		}
		out.futile = out.outcome == Inconclusive && s.d.Futile()
		if test == TestBetter && out.outcome == Pass && math.Abs(s.d.Estimate()) < floor {
			out.outcome = Inconclusive
		}
	case TestAnchor:
		if out.logE = s.logE(evalue.Below, s.anchorRoom()); out.logE >= bar {
			out.outcome = Pass
		} else if s.logE(evalue.Above, s.anchorRoom()) >= bar {
			out.outcome = Fail
		}
	case TestLimit:
		return s.askLimit(bar)
	case TestSame:
		out.outcome, out.logE = Pass, s.sameLogE()
		if out.logE >= bar {
			out.outcome = Invalid
		}
	default:
		out.outcome = Invalid
	}
	return out
}

// askLimit bets on the candidate's own values against the absolute limit.
func (s *measuredSeries) askLimit(bar float64) answer {
	out := answer{outcome: Inconclusive}
	good := betterSide(s.metric)
	inside := evalue.LimitLogE(s.b, good, *s.metric.Limit)
	if len(inside) == 0 {
		return out
	}
	outside := evalue.LimitLogE(s.b, opposite(good), *s.metric.Limit)
	switch out.logE = inside[len(inside)-1]; {
	case out.logE >= bar:
		out.outcome = Pass
	case outside[len(outside)-1] >= bar:
		out.outcome = Fail
	}
	return out
}

// sameLogE is evidence for any difference at all, both sides averaged.
func (s *measuredSeries) sameLogE() float64 {
	return logMean(s.logE(evalue.Below, 0), s.logE(evalue.Above, 0))
}

func logMean(a, b float64) float64 {
	hi, lo := max(a, b), min(a, b)
	return hi + math.Log1p(math.Exp(lo-hi)) - math.Ln2
}

// race is the log e-value of the test by pair.
func (s *measuredSeries) race(test string) Race {
	var e []float64
	switch test {
	case TestLimit:
		e = evalue.LimitLogE(s.b, betterSide(s.metric), *s.metric.Limit)
	case TestSame:
		e = s.d.Race(evalue.Below, 0)
		for i, x := range s.d.Race(evalue.Above, 0) {
			e[i] = logMean(e[i], x)
		}
	default:
		e = s.d.Race(evalue.Below, s.d.Edge())
	}
	return raceOf(e)
}

// raceOf numbers the log e-values of pairs.
func raceOf(logE []float64) Race {
	n := make([]int, len(logE))
	for i := range n {
		n[i] = i + 1
	}
	return Race{N: n, LogE: logE}
}

// result judges the metric on the pairs so far.
func (s *measuredSeries) result(gate, test string, floor float64) Result {
	r := newResult(gate, test, s.metric)
	r.N, r.LogBar, r.Alpha = s.len(), s.logBar(), intervalAlpha
	if s.bad != nil {
		return r.invalid("%v", s.bad)
	}
	if r.N == 0 {
		return r.invalid("no pairs were measured")
	}
	r.Baseline, r.Candidate = median(s.a), median(s.b)
	r.Change = s.d.Estimate()
	r.Lower, r.Upper = s.interval()
	r.Race = s.race(test)
	a := s.ask(test, floor)
	r.LogE, r.Decision = a.logE, a.outcome
	r.Reason = r.sentence(s.wording, s.metric, floor, a.futile)
	return r
}

// interval is the confidence sequence of the change; nil: cannot be told.
func (s *measuredSeries) interval() (lower, upper *float64) {
	lo, hi := s.d.Interval(intervalAlpha)
	lower, upper = finitePointer(lo), finitePointer(hi)
	if !s.question.Difference && lo <= -1 {
		lower = nil
	}
	return lower, upper
}
