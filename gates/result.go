package gates

import (
	"fmt"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// racePoints thins the race of items.
const racePoints = 100

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

// sentence explains a measured result with its numbers.
func (r Result) sentence(w wording, m benchmarks.Metric, floor float64, futile bool) string {
	tail := fmt.Sprintf("%s, %d pairs", eWords(r.LogE, r.LogBar), r.N)
	interval := intervalWords(m, r.Lower, r.Upper)
	change := changeWords(m, r.Change)
	switch r.Test {
	case TestLimit:
		return fmt.Sprintf("%s: median %s against the limit %.4g (%s)", m.Name, w.quantity(fmt.Sprintf("%.4g", r.Candidate), m.Unit), *m.Limit, tail)
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
func (w wording) exact(gate, test string, m benchmarks.Metric, a, b evaluation, logBar float64, order uint64) Result {
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
	r.Reason = r.exactSentence(w, m)
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

func (r Result) exactSentence(w wording, m benchmarks.Metric) string {
	baseline, candidate := w.quantity(fmt.Sprintf("%.6g", r.Baseline), m.Unit), w.quantity(fmt.Sprintf("%.6g", r.Candidate), m.Unit)
	values := fmt.Sprintf("%s: %.6g against %s, %s", m.Name, r.Candidate, baseline, changeWords(m, r.Change))
	items := ""
	if r.N > 0 {
		items = fmt.Sprintf(", exact on the %d gate items, %s", r.N, intervalWords(m, r.Lower, r.Upper))
	}
	switch r.Test {
	case TestLimit:
		return fmt.Sprintf("%s: %s against the limit %.6g", m.Name, candidate, *m.Limit)
	case TestSame:
		if r.Decision == Pass {
			return fmt.Sprintf("%s: %s, equal to itself", m.Name, candidate)
		}
		return fmt.Sprintf("%s: %.6g and %s from identical builds: not deterministic", m.Name, r.Candidate, baseline)
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
