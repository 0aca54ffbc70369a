package report

import (
	"math"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// share reports whether the result's metric is read as a percentage.
func share(r gates.Result) bool {
	if plot.IsShare(r.Unit) {
		return true
	}
	return (r.Unit == "" || r.Unit == "1") && r.Range != nil && r.Range[0] == 0 && r.Range[1] == 1
}

// unitOf is the unit that value should print.
func unitOf(r gates.Result) string {
	if share(r) {
		return "share"
	}
	return r.Unit
}

// values prints "1.21 M → 507 k".
func values(r gates.Result) string {
	a, b := apartValues(unitOf(r), r.Baseline, r.Candidate)
	if r.Kind == benchmarks.Measured {
		// The change is the median over pairs, which drift cannot move; the
		// medians of the two arms can differ from it.
		return "medians " + a + " → " + b
	}
	return a + " → " + b
}

// apartValues prints two values so that different ones look different.
func apartValues(unit string, a, b float64) (string, string) {
	s, t := plot.Value(unit, a), plot.Value(unit, b)
	if s != t || a == b || math.IsNaN(a) || math.IsNaN(b) {
		return s, t
	}
	long := func(x float64) string { return strconv.FormatFloat(x, 'g', 9, 64) + plot.Spaced(unit) }
	return long(a), long(b)
}

// worse orients a change of the result's metric: positive is worse.
func worse(r gates.Result, change float64) float64 {
	if r.Direction == benchmarks.Higher {
		return -change
	}
	return change
}

// changeScale returns the factor and the words in which a change is read: a
// ratio as percent, a difference of shares as points, else the plain unit.
func changeScale(r gates.Result) (factor float64, unit string) {
	switch {
	case r.Compare != benchmarks.Difference:
		return 100, "%"
	case share(r):
		return 100, "points"
	case r.Unit == "" || r.Unit == "1":
		return 1, ""
	}
	return 1, plot.Clean(r.Unit, 20)
}

// change prints a signed change: "−58.2 %", "−0.31 points".
func change(r gates.Result, x float64) string {
	f, unit := changeScale(r)
	s := plot.Signed(f*x, plot.DecimalsFor(f*x))
	if math.Abs(x) >= 1e6 {
		s = plot.Compact(f * x)
		if x > 0 {
			s = "+" + s
		}
	}
	if unit == "" {
		return s
	}
	return s + plot.NBSP + unit
}

// changeWords says a change without signs: "58.2 % lower", "unchanged".
func changeWords(r gates.Result, x float64) string {
	f, unit := changeScale(r)
	s := plot.Fixed(math.Abs(f*x), plot.DecimalsFor(f*x))
	if f*x != 0 && math.Abs(f*x) < 0.005 {
		s = plot.Compact(math.Abs(f * x))
	}
	if unit != "" {
		s += plot.NBSP + unit
	}
	switch {
	case math.IsNaN(x):
		return "not measured"
	case x < 0:
		return s + " lower"
	case x > 0:
		return s + " higher"
	}
	return "unchanged"
}

// betterWorse says which side of the baseline a change is on.
func betterWorse(r gates.Result, x float64) string {
	switch w := worse(r, x); {
	case w < 0:
		return "better"
	case w > 0:
		return "worse"
	}
	return "the same"
}

// interval prints the confidence interval of the change, or why there is none.
func interval(r gates.Result) string {
	f, unit := changeScale(r)
	if unit != "" {
		unit = plot.NBSP + unit
	}
	switch {
	case !hasInterval(r) && r.Exact:
		return "exact"
	case r.Lower == nil && r.Upper == nil:
		return "no interval"
	case r.Lower == nil:
		return "at most " + plot.Signed(f**r.Upper, plot.DecimalsFor(f**r.Upper)) + unit
	case r.Upper == nil:
		return "at least " + plot.Signed(f**r.Lower, plot.DecimalsFor(f**r.Lower)) + unit
	}
	d := max(plot.DecimalsFor(f**r.Lower), plot.DecimalsFor(f**r.Upper))
	return "[" + plot.Signed(f**r.Lower, d) + ", " + plot.Signed(f**r.Upper, d) + "]" + unit
}

// level prints 1−alpha with as many decimals as it needs.
func level(alpha float64) string {
	if alpha <= 0 || alpha >= 1 || math.IsNaN(alpha) {
		return ""
	}
	d := max(0, int(math.Ceil(-math.Log10(100*alpha)-1e-9)))
	return plot.Fixed(100*(1-alpha), min(d, 9)) + plot.NBSP + "%"
}

// oneIn prints a small probability as a chance that people can picture.
func oneIn(p float64) string {
	if p <= 0 || math.IsNaN(p) {
		return "0"
	}
	if p >= .1 {
		return plot.Percent(p)
	}
	return "1 in " + plot.Compact(plot.RoundSig(1/p, 3))
}

// used prints what a result was judged on.
func used(r gates.Result) string {
	if r.Kind == benchmarks.Measured {
		return plot.Count(r.N, "pair")
	}
	if r.Test == gates.TestCVaR {
		return plot.Count(max(r.N, len(r.Values)), "disturbance")
	}
	if r.N <= 1 {
		return "one value"
	}
	return plot.Count(r.N, "item")
}

// required says in words what the result's test asks for.
func required(r gates.Result) string {
	f, unit := changeScale(r)
	if unit != "" {
		unit = plot.NBSP + unit
	}
	tol := plot.Fixed(f*r.Tolerance, plot.DecimalsFor(f*r.Tolerance)) + unit
	switch r.Test {
	case gates.TestBetter:
		return "must be better than the baseline"
	case gates.TestNotWorse:
		if r.Tolerance == 0 {
			return "must not be worse than the baseline"
		}
		return "may be at most " + tol + " worse"
	case gates.TestLimit:
		if r.Limit == nil {
			return "has no absolute limit"
		}
		_, limit := apartValues(unitOf(r), r.Candidate, *r.Limit)
		if r.Direction == benchmarks.Higher {
			return "must be at least " + limit
		}
		return "must be at most " + limit
	case gates.TestSame:
		return "must not differ from itself"
	case gates.TestNone:
		return "is not known to the domain: not counted"
	case gates.TestAnchor:
		return "may be at most " + tol + " worse than the epoch's anchor"
	case gates.TestCVaR:
		return "mean of the worst tenth may be at most " + tol + " worse"
	}
	return plot.Clean(r.Test, 60)
}

// sureness says how sure a result is, in one phrase.
func sureness(r gates.Result) string {
	switch {
	case r.Exact:
		return "exact" // an e-value beside it is information, not the decision
	case r.LogBar > 0 && r.LogE >= r.LogBar:
		return "e" + plot.NBSP + "=" + plot.NBSP + evalue(r.LogE) + plot.NBSP + "≥ " + evalue(r.LogBar)
	case r.LogBar > 0:
		return "e" + plot.NBSP + "=" + plot.NBSP + evalue(r.LogE) + plot.NBSP + "< " + evalue(r.LogBar)
	}
	return "no test"
}

// hasInterval reports whether there is more to show than the estimate.
func hasInterval(r gates.Result) bool {
	switch {
	case r.Lower == nil && r.Upper == nil:
		return false
	case r.Lower == nil || r.Upper == nil:
		return true
	}
	return *r.Lower < *r.Upper
}

// test names what a row of a plot or a table is about: metric, and the
// disturbance if there was one.
func testName(r gates.Result) string {
	s := plot.Clean(r.Metric, 60)
	if r.Perturbation != nil {
		s += " under " + plot.Clean(r.Perturbation.Kind, 30) + " " + plot.Compact(r.Perturbation.Level)
	}
	switch r.Test {
	case gates.TestCVaR:
		s += ", worst tenth"
	case gates.TestAnchor:
		s += " against the anchor"
	}
	return s
}

// evalue prints exp(logE), which may be far outside float64.
func evalue(logE float64) string {
	switch {
	case math.IsNaN(logE):
		return "not a number"
	case math.IsInf(logE, -1):
		return "0"
	case math.IsInf(logE, 1):
		return "\u221e"
	}
	log10 := logE / math.Ln10
	switch {
	case log10 >= 7 || log10 < -3:
		exp := math.Floor(log10)
		mantissa := math.Pow(10, log10-exp)
		if mantissa >= 9.95 {
			mantissa, exp = 1, exp+1
		}
		return plot.Fixed(mantissa, 1) + "e" + strconv.Itoa(int(exp))
	default:
		return plot.Compact(math.Exp(logE))
	}
}
