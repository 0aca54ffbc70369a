package gates

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// racePoints thins the race of items.
const racePoints = 100

// constantFrom is how many equal samples of one arm prove a broken timer.
const constantFrom = 8

func newResult(gate, test string, m benchmarks.Metric) Result {
	return Result{
		Gate: gate, Test: test, Metric: m.Name, Unit: m.Unit, Direction: m.Direction, Compare: m.Compare,
		Kind: m.Kind, Role: m.Role, Tolerance: m.Tolerance, Limit: m.Limit, Range: m.Range,
	}
}

func (r Result) invalid(format string, args ...any) Result {
	r.Decision, r.Reason = Invalid, r.Metric+": "+fmt.Sprintf(format, args...)
	return r
}

// measuredSeries is one metric over all pairs, ready to be judged.
type measuredSeries struct {
	metric benchmarks.Metric
	d      *evalue.Pairs
	a, b   []float64
	drawn  float64 // what earlier promotions used of the tolerance, on the paired scale
	bad    error   // the first pair that cannot be used

	running map[process]*evalue.Process
}

type process struct {
	side  evalue.Side
	theta float64
}

func newSeries(m benchmarks.Metric) *measuredSeries {
	return &measuredSeries{metric: m, d: &evalue.Pairs{}, running: map[process]*evalue.Process{}}
}

// logE is the log e-value of "beyond theta on the side", kept running.
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
	d, err := pairDelta(s.metric, p)
	if err != nil {
		s.bad = err
		return
	}
	s.d.Add(d)
	s.a = append(s.a, p.A[s.metric.Name])
	s.b = append(s.b, p.B[s.metric.Name])
	if n := len(s.a); n >= constantFrom && s.metric.Kind == benchmarks.Measured && (constant(s.a) || constant(s.b)) {
		s.bad = fmt.Errorf("metric %s is measured but %d samples of one arm are all equal: the timer is broken", s.metric.Name, n)
	}
}

func constant(x []float64) bool {
	for _, v := range x[1:] {
		if v != x[0] {
			return false
		}
	}
	return true
}

func seriesOf(m benchmarks.Metric, pairs []PairRecord) *measuredSeries {
	s := newSeries(m)
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

// ask applies a test to the series at the bar. floor is the night's noise
// floor on the scale of changes (better only).
func (s *measuredSeries) ask(test string, logBar, floor float64, p Policy) answer {
	m := s.metric
	good := betterSide(m)
	var logE, logHarm, theta float64
	switch test {
	case TestBetter:
		theta = 0
	case TestNotWorse:
		theta = pairBound(m, m.Tolerance)
	case TestAnchor:
		theta = anchorRoom(m, s.drawn)
	case TestLimit:
		below := evalue.LimitLogE(s.b, good, *m.Limit)
		above := evalue.LimitLogE(s.b, opposite(good), *m.Limit)
		if len(below) == 0 {
			return answer{outcome: Inconclusive}
		}
		return decide(below[len(below)-1], above[len(above)-1], logBar, false)
	case TestSame:
		e := s.sameLogE()
		if e >= logBar {
			return answer{outcome: Invalid, logE: e}
		}
		return answer{outcome: Pass, logE: e}
	default:
		return answer{outcome: Invalid}
	}
	logE, logHarm = s.logE(good, theta), s.logE(opposite(good), theta)
	futile := p.FutilityFrom > 0 && s.d.Futile(good, theta, p.FutilityFrom)
	out := decide(logE, logHarm, logBar, futile)
	if test == TestBetter && out.outcome == Pass && math.Abs(pairChange(m, s.d.Median())) < floor {
		out.outcome = Inconclusive
	}
	return out
}

func decide(logE, logHarm, logBar float64, futile bool) answer {
	switch {
	case logE >= logBar:
		return answer{outcome: Pass, logE: logE}
	case logHarm >= logBar:
		return answer{outcome: Fail, logE: logE}
	}
	return answer{outcome: Inconclusive, logE: logE, futile: futile}
}

// sameLogE is evidence for any difference at all, both sides averaged.
func (s *measuredSeries) sameLogE() float64 {
	below, above := s.logE(evalue.Below, 0), s.logE(evalue.Above, 0)
	return logMean(below, above)
}

func logMean(a, b float64) float64 {
	hi, lo := max(a, b), min(a, b)
	return hi + math.Log1p(math.Exp(lo-hi)) - math.Ln2
}

// race is the log e-value of the test by pair.
func (s *measuredSeries) race(test string) Race {
	m := s.metric
	var e []float64
	switch test {
	case TestLimit:
		e = evalue.LimitLogE(s.b, betterSide(m), *m.Limit)
	case TestSame:
		e = s.d.Race(evalue.Below, 0)
		for i, x := range s.d.Race(evalue.Above, 0) {
			e[i] = logMean(e[i], x)
		}
	case TestNotWorse:
		e = s.d.Race(betterSide(m), pairBound(m, m.Tolerance))
	default:
		e = s.d.Race(betterSide(m), 0)
	}
	n := make([]int, len(e))
	for i := range n {
		n[i] = i + 1
	}
	return Race{N: n, LogE: e}
}

// measured judges a measured metric on the pairs.
func measured(gate, test string, m benchmarks.Metric, pairs []PairRecord, logBar, floor float64, p Policy) Result {
	s := seriesOf(m, pairs)
	r := newResult(gate, test, m)
	r.N, r.LogBar, r.Alpha = s.d.Len(), logBar, intervalAlpha
	if s.bad != nil {
		return r.invalid("%v", s.bad)
	}
	if r.N == 0 {
		return r.invalid("no pairs were measured")
	}
	r.Baseline, r.Candidate = median(s.a), median(s.b)
	r.Change = pairChange(m, s.d.Median())
	lo, hi := s.d.Interval(intervalAlpha)
	r.Lower, r.Upper = finitePointer(pairChange(m, lo)), finitePointer(pairChange(m, hi))
	if math.IsInf(lo, -1) {
		r.Lower = nil
	}
	r.Race = s.race(test)
	a := s.ask(test, logBar, floor, p)
	r.LogE, r.Decision = a.logE, a.outcome
	r.Reason = r.sentence(m, floor, a.futile)
	return r
}

// sentence explains a measured result with its numbers.
func (r Result) sentence(m benchmarks.Metric, floor float64, futile bool) string {
	tail := fmt.Sprintf("%s, %d pairs", eWords(r.LogE, r.LogBar), r.N)
	interval := intervalWords(m, r.Lower, r.Upper)
	change := changeWords(m, r.Change)
	switch r.Test {
	case TestLimit:
		return fmt.Sprintf("%s: median %.4g %s against the limit %.4g (%s)", m.Name, r.Candidate, m.Unit, *m.Limit, tail)
	case TestSame:
		if r.Decision == Pass {
			return fmt.Sprintf("%s: identical builds did not differ (%s, %s)", m.Name, interval, tail)
		}
		return fmt.Sprintf("%s: identical builds differ, the measurement cannot be trusted (%s, %s)", m.Name, interval, tail)
	case TestBetter:
		switch {
		case r.Decision == Inconclusive && r.LogE >= r.LogBar:
			return fmt.Sprintf("%s: %s is inside tonight's noise floor of %.2f %% (%s)", m.Name, change, 100*floor, tail)
		case futile:
			return fmt.Sprintf("%s: %s, no hope of showing it better (%s, %s)", m.Name, change, interval, tail)
		}
		return fmt.Sprintf("%s: %s, %s, %s", m.Name, change, interval, tail)
	}
	limit := number(m, changeBound(m, m.Tolerance))
	if futile {
		return fmt.Sprintf("%s: %s, no hope of staying inside %s (%s, %s)", m.Name, change, limit, interval, tail)
	}
	return fmt.Sprintf("%s: %s, %s, tolerance %s, %s", m.Name, change, interval, limit, tail)
}

// evaluation is one arm's deterministic values with the items unpacked.
type evaluation struct {
	key         string
	values      map[string]float64
	items       map[string]itemSeries
	failed      string
	unsupported bool
}

type itemSeries struct {
	digest artifacts.Digest
	values []float32
}

// exact judges a deterministic metric on the full gate data: by comparison,
// and for "better" also by betting on the paired items when there are any,
// because the claim is about the population that the items come from.
func exact(gate, test string, m benchmarks.Metric, a, b evaluation, logBar float64, order uint64) Result {
	r := newResult(gate, test, m)
	r.Exact = true
	if bad := missing(m, a, b); bad != "" {
		return r.invalid("%s", bad)
	}
	r.Baseline, r.Candidate = a.values[m.Name], b.values[m.Name]
	worse := m.Worse(r.Baseline, r.Candidate)
	r.Change = signed(m, worse)
	if !finite(r.Change) {
		return r.invalid("%v against %v cannot be compared", r.Candidate, r.Baseline)
	}
	r.Lower, r.Upper = finitePointer(r.Change), finitePointer(r.Change)
	it, err := r.pairItems(m, a, b, order)
	if err != nil {
		return r.invalid("%v", err)
	}
	switch test {
	case TestBetter:
		r.Decision = Fail
		if worse < 0 {
			r.Decision = Pass
		}
		if it != nil {
			r.Exact = false
			r.bet(it, m, 0, logBar)
			if r.Decision == Pass && r.LogE < logBar {
				r.Decision = Inconclusive
			}
		}
	case TestNotWorse:
		r.Decision = Fail
		if worse <= m.Tolerance+exactSlack {
			r.Decision = Pass
		}
		if it != nil {
			r.bet(it, m, changeBound(m, m.Tolerance), logBar)
		}
	case TestLimit:
		r.Decision = Fail
		inside := r.Candidate <= *m.Limit
		if m.Direction == benchmarks.Higher {
			inside = r.Candidate >= *m.Limit
		}
		if inside {
			r.Decision = Pass
		}
	case TestSame:
		r.Decision = Invalid
		if r.Baseline == r.Candidate && a.items[m.Name].digest == b.items[m.Name].digest {
			r.Decision = Pass
		}
	}
	r.Reason = r.exactSentence(m)
	return r
}

func missing(m benchmarks.Metric, a, b evaluation) string {
	for i, e := range []evaluation{a, b} {
		arm := [2]string{"baseline", "candidate"}[i]
		if e.failed != "" {
			return arm + ": " + e.failed
		}
		v, ok := e.values[m.Name]
		if !ok {
			return "missing for the " + arm
		}
		if !finite(v) {
			return fmt.Sprintf("%v for the %s", v, arm)
		}
	}
	return ""
}

// signed turns "worse by" into a change as measured.
func signed(m benchmarks.Metric, worse float64) float64 {
	if m.Direction == benchmarks.Higher {
		return 0 - worse
	}
	return worse
}

// pairItems pairs the items of both arms in the seeded order; nil without a
// range or items.
func (r *Result) pairItems(m benchmarks.Metric, a, b evaluation, order uint64) (*evalue.Items, error) {
	ia, ib := a.items[m.Name], b.items[m.Name]
	if m.Range == nil || len(ia.values) == 0 && len(ib.values) == 0 {
		return nil, nil
	}
	perm := seed.Stream(seed.Root(order), "gates/items").Perm(len(ia.values))
	it, err := evalue.NewItems(ia.values, ib.values, m.Range[0], m.Range[1], m.Compare == benchmarks.Ratio, perm)
	if err != nil {
		return nil, err
	}
	r.BaseItems, r.CandItems, r.Order, r.N = ia.digest, ib.digest, order, it.Len()
	return it, nil
}

// bet fills in what the items say about "the change is on the good side of
// theta".
func (r *Result) bet(it *evalue.Items, m benchmarks.Metric, theta, logBar float64) {
	side := betterSide(m)
	lo, hi := it.Interval(intervalAlpha)
	r.Lower, r.Upper, r.Alpha = finitePointer(lo), finitePointer(hi), intervalAlpha
	r.Race.N, r.Race.LogE = it.Race(side, theta, racePoints)
	r.LogE, r.LogBar = r.Race.LogE[len(r.Race.LogE)-1], logBar
}

func (r Result) exactSentence(m benchmarks.Metric) string {
	values := fmt.Sprintf("%s: %.6g against %.6g %s, %s", m.Name, r.Candidate, r.Baseline, m.Unit, changeWords(m, r.Change))
	items := ""
	if r.N > 0 {
		items = fmt.Sprintf(", exact on the %d gate items, %s", r.N, intervalWords(m, r.Lower, r.Upper))
	}
	switch r.Test {
	case TestLimit:
		return fmt.Sprintf("%s: %.6g %s against the limit %.6g", m.Name, r.Candidate, m.Unit, *m.Limit)
	case TestSame:
		if r.Decision == Pass {
			return fmt.Sprintf("%s: %.6g %s, equal to itself", m.Name, r.Candidate, m.Unit)
		}
		return fmt.Sprintf("%s: %.6g and %.6g %s from identical builds: not deterministic", m.Name, r.Candidate, r.Baseline, m.Unit)
	case TestNotWorse:
		return fmt.Sprintf("%s, tolerance %s%s", values, number(m, changeBound(m, m.Tolerance)), items)
	}
	if r.N > 0 {
		items += ", " + eWords(r.LogE, r.LogBar)
	}
	return values + items
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	n := len(s)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return s[n/2]
	}
	return s[n/2-1] + (s[n/2]-s[n/2-1])/2
}

// findingOf joins results: the worst outcome decides and the first result
// that has it gives the reason.
func findingOf(gate string, results []Result, passed string) Finding {
	f := Finding{Gate: gate, Outcome: Pass, Reason: passed}
	for _, r := range results {
		if r.Gate == gate && r.Test != TestNone && worst(f.Outcome, r.Decision) != f.Outcome {
			f.Outcome, f.Reason = r.Decision, r.Reason
		}
	}
	return f
}

// severity: INVALID speaks before FAIL before INCONCLUSIVE.
func worst(a, b Outcome) Outcome {
	rank := func(o Outcome) int {
		switch o {
		case Invalid:
			return 0
		case Fail:
			return 1
		case Inconclusive:
			return 2
		case Pass:
			return 3
		}
		return 0
	}
	if rank(a) <= rank(b) {
		return a
	}
	return b
}
