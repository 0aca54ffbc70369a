package report

import (
	"math"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
)

// share reports whether the result's metric is read as a percentage.
func share(r gates.Result) bool {
	if isShare(r.Unit) {
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
	s, t := value(unit, a), value(unit, b)
	if s != t || a == b || math.IsNaN(a) || math.IsNaN(b) {
		return s, t
	}
	long := func(x float64) string { return strconv.FormatFloat(x, 'g', 9, 64) + spaced(unit) }
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
	return 1, clean(r.Unit, 20)
}

// change prints a signed change: "−58.2 %", "−0.31 points".
func change(r gates.Result, x float64) string {
	f, unit := changeScale(r)
	s := signed(f*x, decimalsFor(f*x))
	if math.Abs(x) >= 1e6 {
		s = compact(f * x)
		if x > 0 {
			s = "+" + s
		}
	}
	if unit == "" {
		return s
	}
	return s + nbsp + unit
}

// changeWords says a change without signs: "58.2 % lower", "unchanged".
func changeWords(r gates.Result, x float64) string {
	f, unit := changeScale(r)
	s := fixed(math.Abs(f*x), decimalsFor(f*x))
	if f*x != 0 && math.Abs(f*x) < 0.005 {
		s = compact(math.Abs(f * x))
	}
	if unit != "" {
		s += nbsp + unit
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
		unit = nbsp + unit
	}
	switch {
	case !hasInterval(r) && r.Exact:
		return "exact"
	case r.Lower == nil && r.Upper == nil:
		return "no interval"
	case r.Lower == nil:
		return "at most " + signed(f**r.Upper, decimalsFor(f**r.Upper)) + unit
	case r.Upper == nil:
		return "at least " + signed(f**r.Lower, decimalsFor(f**r.Lower)) + unit
	}
	d := max(decimalsFor(f**r.Lower), decimalsFor(f**r.Upper))
	return "[" + signed(f**r.Lower, d) + ", " + signed(f**r.Upper, d) + "]" + unit
}

// level prints 1−alpha with as many decimals as it needs.
func level(alpha float64) string {
	if alpha <= 0 || alpha >= 1 || math.IsNaN(alpha) {
		return ""
	}
	d := max(0, int(math.Ceil(-math.Log10(100*alpha)-1e-9)))
	return fixed(100*(1-alpha), min(d, 9)) + nbsp + "%"
}

// oneIn prints a small probability as a chance that people can picture.
func oneIn(p float64) string {
	if p <= 0 || math.IsNaN(p) {
		return "0"
	}
	if p >= .1 {
		return percent(p)
	}
	return "1 in " + compact(roundSig(1/p, 3))
}

// roundSig rounds to n significant digits.
func roundSig(x float64, n int) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	m := math.Pow(10, float64(n-1)-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*m) / m
}

// count prints "1 pair", "38 pairs", "10,000 items".
func count(n int, one string) string {
	if n == 1 {
		return "1" + nbsp + one
	}
	return grouped(float64(n)) + nbsp + one + "s"
}

// used prints what a result was judged on.
func used(r gates.Result) string {
	if r.Kind == benchmarks.Measured {
		return count(r.N, "pair")
	}
	if r.Test == gates.TestCVaR {
		return count(max(r.N, len(r.Values)), "disturbance")
	}
	if r.N <= 1 {
		return "one value"
	}
	return count(r.N, "item")
}

// required says in words what the result's test asks for.
func required(r gates.Result) string {
	f, unit := changeScale(r)
	if unit != "" {
		unit = nbsp + unit
	}
	tol := fixed(f*r.Tolerance, decimalsFor(f*r.Tolerance)) + unit
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
	return clean(r.Test, 60)
}

// sureness says how sure a result is, in one phrase.
func sureness(r gates.Result) string {
	switch {
	case r.Exact:
		return "exact" // an e-value beside it is information, not the decision
	case r.LogBar > 0 && r.LogE >= r.LogBar:
		return "e" + nbsp + "=" + nbsp + evalue(r.LogE) + nbsp + "≥ " + evalue(r.LogBar)
	case r.LogBar > 0:
		return "e" + nbsp + "=" + nbsp + evalue(r.LogE) + nbsp + "< " + evalue(r.LogBar)
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
	s := clean(r.Metric, 60)
	if r.Perturbation != nil {
		s += " under " + clean(r.Perturbation.Kind, 30) + " " + compact(r.Perturbation.Level)
	}
	switch r.Test {
	case gates.TestCVaR:
		s += ", worst tenth"
	case gates.TestAnchor:
		s += " against the anchor"
	}
	return s
}
