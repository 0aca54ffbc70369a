package report

import (
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// A forest row places one result on an axis where 0 is the baseline and right
// is worse. Every row has its own unit (its tolerance, or its limit), so that
// metrics in different units can stand under each other; the axis is asinh, so
// that a 60 % gain and a 1 % tolerance are both readable.
type forestRow struct {
	r       gates.Result
	point   float64 // in units; NaN: not to be placed
	lo, hi  float64 // interval, lo ≤ hi; NaN: none
	passTo  float64 // the interval (or, if exact, the point) must stay left of this
	hasPass bool
}

// forest is a set of rows on one axis.
type forest struct {
	rows   []forestRow
	lo, hi float64 // of the axis, in asinh units
}

// maxUnits bounds the axis: beyond it a point sits on the edge.
const maxUnits = 2000

// newForest places the results that can be placed, success metric first, then
// in the order of the gates.
func newForest(rs []gates.Result, minEffect float64) forest {
	f := forest{lo: -1, hi: 1.4}
	for _, r := range forestOrder(rs) {
		row := place(r, minEffect)
		f.rows = append(f.rows, row)
		for _, u := range []float64{row.point, row.lo, row.hi, row.passTo} {
			if math.IsNaN(u) {
				continue
			}
			x := math.Asinh(math.Max(-maxUnits, math.Min(maxUnits, u)))
			f.lo, f.hi = math.Min(f.lo, x), math.Max(f.hi, x)
		}
	}
	f.lo, f.hi = plot.Padded(f.lo, f.hi, 0.06)
	return f
}

func forestOrder(rs []gates.Result) []gates.Result {
	var out []gates.Result
	// The comparison comes first because it is what people came for; the
	// other gates follow in the order in which they were passed.
	for _, g := range []string{gates.GateRegression, gates.GateCorrectness, gates.GateEnvelope, gates.GateRobustness, gates.GateCanary, gates.GateApproval} {
		for _, success := range []bool{true, false} {
			for _, r := range rs {
				if r.Test != gates.TestNone && r.Gate == g && (r.Role == benchmarks.Success) == success {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// place computes the row of one result.
func place(r gates.Result, minEffect float64) forestRow {
	row := forestRow{r: r, lo: math.NaN(), hi: math.NaN(), passTo: 0, hasPass: true}
	if r.Decision == gates.Invalid {
		row.point, row.passTo, row.hasPass = math.NaN(), math.NaN(), false
		return row
	}
	unit := r.Tolerance
	switch r.Test {
	case gates.TestLimit:
		at, ok := limitChange(r)
		if !ok {
			row.point, row.passTo, row.hasPass = math.NaN(), math.NaN(), false
			return row
		}
		unit = math.Max(math.Abs(at), 1e-9)
		row.passTo = at / unit
	case gates.TestNotWorse, gates.TestCVaR, gates.TestAnchor:
		if r.Tolerance > 0 {
			row.passTo = 1
		}
	case gates.TestBetter, gates.TestSame:
		unit = math.Max(r.Tolerance, minEffect)
	}
	if unit <= 0 {
		unit = math.Max(minEffect, 1e-3)
	}
	row.point = worse(r, r.Change) / unit
	if !hasInterval(r) {
		return row
	}
	if r.Lower != nil {
		row.lo = worse(r, *r.Lower) / unit
	}
	if r.Upper != nil {
		row.hi = worse(r, *r.Upper) / unit
	}
	if r.Direction == benchmarks.Higher {
		row.lo, row.hi = row.hi, row.lo
	}
	return row
}

// limitChange is the absolute limit as an oriented change from the baseline.
func limitChange(r gates.Result) (float64, bool) {
	if r.Limit == nil {
		return 0, false
	}
	m := benchmarks.Metric{Direction: r.Direction, Compare: r.Compare}
	if r.Compare != benchmarks.Difference && r.Baseline == 0 {
		return 0, false
	}
	at := m.Worse(r.Baseline, *r.Limit)
	return at, !math.IsNaN(at) && !math.IsInf(at, 0)
}

// x maps units to [from, to].
func (f forest) x(units, from, to float64) float64 {
	a := math.Asinh(math.Max(-maxUnits, math.Min(maxUnits, units)))
	return plot.Scale{Lo: f.lo, Hi: f.hi, From: from, To: to}.At(a)
}

// ends returns the drawn ends of the row's interval: an open side runs to the
// edge of the axis.
func (f forest) ends(row forestRow, from, to float64) (lo, hi float64, ok bool) {
	if math.IsNaN(row.lo) && math.IsNaN(row.hi) {
		return 0, 0, false
	}
	lo, hi = from, to
	if !math.IsNaN(row.lo) {
		lo = f.x(row.lo, from, to)
	}
	if !math.IsNaN(row.hi) {
		hi = f.x(row.hi, from, to)
	}
	return lo, hi, true
}

// textRow draws a row n columns wide: light shade where the test passes, the
// baseline, the edge of the pass region, the interval and the estimate.
func (f forest) textRow(row forestRow, n int) string {
	cells := make([]rune, n)
	for i := range cells {
		cells[i] = ' '
	}
	if math.IsNaN(row.point) {
		return string(cells)
	}
	last := float64(n - 1)
	col := func(x float64) int { return min(max(int(math.Round(x)), 0), n-1) }
	edge := col(f.x(row.passTo, 0, last))
	if row.hasPass {
		for i := 0; i < edge; i++ {
			cells[i] = '·'
		}
		cells[edge] = '┊'
	}
	if zero := col(f.x(0, 0, last)); cells[zero] != '┊' {
		cells[zero] = '│'
	}
	if lo, hi, ok := f.ends(row, 0, last); ok {
		for i := col(lo); i <= col(hi); i++ {
			cells[i] = '─'
		}
	}
	cells[col(f.x(row.point, 0, last))] = '●'
	return string(cells)
}
