package report

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

func TestNumbersForPeople(t *testing.T) {
	r := gates.Result{Unit: "1", Range: &[2]float64{0, 1}, Compare: benchmarks.Difference, Direction: benchmarks.Higher}
	cpu := gates.Result{Unit: "ns", Compare: benchmarks.Ratio, Direction: benchmarks.Lower}
	for _, c := range []struct{ got, want string }{
		{plot.Value("ns", 143000), "143 µs"}, {plot.Value("bytes", 139812), "140 kB"}, {plot.Value("share", .8577), "85.77 %"}, {plot.Value("MAC", 321536), "322 kMAC"},
		{plot.Value("1", 0), "0"}, {plot.Value("ns", math.NaN()), "no value"}, {plot.Value("req/s", 12.5), "12.50 req/s"},
		{change(cpu, -.582), "−58.2 %"}, {change(r, -.0031), "−0.31 points"}, {changeWords(cpu, .02), "2.00 % higher"}, {changeWords(cpu, 0), "unchanged"},
		{evalue(math.Log(41200)), "41,200"}, {evalue(3850), "1.1e1672"}, {evalue(-800), "3.7e-348"}, {evalue(0), "1"}, {evalue(math.Inf(-1)), "0"},
		{level(.05), "95 %"}, {level(1e-6), "99.9999 %"}, {oneIn(.01 / 365), "1 in 36,500"}, {plot.Signed(-.0001, 2), "0.00"}, {plot.Grouped(1234567), "1,234,567"},
		{plot.Percent(.0000274), "0.0027 %"}, {plot.ShareOf(.25), "25 %"}, {betterWorse(r, .01), "better"}, {betterWorse(cpu, .01), "worse"},
	} {
		if got := strings.ReplaceAll(c.got, plot.NBSP, " "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// What the forest draws agrees with what a not-worse test asks: an estimate is
// in the shaded part exactly when it is inside its tolerance, for either
// direction, and intervals are never drawn backwards.
func TestForestAgreesWithTheTest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tol := rapid.Float64Range(1e-4, 1).Draw(t, "tolerance")
		ch := rapid.Float64Range(-2, 2).Draw(t, "change")
		half := rapid.Float64Range(1e-6, 1).Draw(t, "half")
		lo, hi := ch-half, ch+half
		r := gates.Result{Gate: gates.GateRegression, Test: gates.TestNotWorse, Direction: benchmarks.Lower, Compare: benchmarks.Difference, Tolerance: tol, Change: ch, Lower: &lo, Upper: &hi, Decision: gates.Pass}
		if rapid.Bool().Draw(t, "higher is better") {
			r.Direction = benchmarks.Higher
		}
		row := place(r, .03)
		if inside := worse(r, ch) <= tol; math.Abs(worse(r, ch)-tol) > 1e-9 && inside != (row.point <= row.passTo) {
			t.Fatalf("change %v, tolerance %v: point %v, pass region ends at %v", ch, tol, row.point, row.passTo)
		}
		if !(row.lo <= row.point && row.point <= row.hi) {
			t.Fatalf("interval [%v, %v] does not hold the point %v", row.lo, row.hi, row.point)
		}
		f := newForest([]gates.Result{r}, .03)
		a, b, ok := f.ends(f.rows[0], 0, 100)
		if p := f.x(f.rows[0].point, 0, 100); !ok || a > p || p > b {
			t.Fatalf("drawn at %v in [%v, %v]", p, a, b)
		}
	})
}

func TestDistinctValuesLookDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := float64(rapid.IntRange(0, 1e7).Draw(t, "a"))
		b := float64(rapid.IntRange(0, 1e7).Draw(t, "b"))
		for _, unit := range []string{"bytes", "ns", "MAC", "1"} {
			if s, u := apartValues(unit, a, b); (s == u) != (a == b) {
				t.Fatalf("%v and %v %s print as %q and %q", a, b, unit, s, u)
			}
		}
	})
}
