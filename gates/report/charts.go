package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// maxPoints bounds what one chart draws; longer series are thinned evenly.
const maxPoints = 400

// A row of the forest, in drawing units.
const (
	forestW, forestH        = 320.0, 24.0
	forestLeft, forestRight = 4.0, 316.0
)

// forestHTML draws one row of the forest.
func forestHTML(f forest, row forestRow, id string) template.HTML {
	d := plot.NewDrawing(id, testName(row.r)+": "+row.r.Decision.String(), forestText(row.r), forestW, forestH)
	if math.IsNaN(row.point) {
		why := "no baseline to compare with"
		if row.r.Decision == gates.Invalid {
			why = "could not be judged"
		}
		d.Text("", "start", forestLeft, 16, why)
		return d.Done()
	}
	const mid = forestH / 2
	edge := f.x(row.passTo, forestLeft, forestRight)
	if row.hasPass {
		d.Rect("z-good", forestLeft, 3, edge-forestLeft, forestH-6, 2)
	}
	d.Line("axis", forestLeft, mid, forestRight, mid)
	zero := f.x(0, forestLeft, forestRight)
	d.Line("zero", zero, 1, zero, forestH-1)
	if row.hasPass && math.Abs(edge-zero) > .01 {
		class := "l-warn"
		if row.r.Test == gates.TestLimit {
			class = "l-limit"
		}
		d.Line(class, edge, 1, edge, forestH-1)
	}
	if lo, hi, ok := f.ends(row, forestLeft, forestRight); ok {
		class := "ci"
		if row.r.Exact {
			class = "ci-soft" // shown beside: the exact estimate decides
		}
		d.Line(class, lo, mid, hi, mid)
		d.Line("ci-soft", lo, mid-4, lo, mid+4)
		d.Line("ci-soft", hi, mid-4, hi, mid+4)
	}
	x := f.x(row.point, forestLeft, forestRight)
	if row.r.Decision == gates.Pass {
		d.Circle("dot-ink", x, mid, 4.5, "")
	} else {
		d.Diamond("b-"+row.r.Decision.String(), x, mid, 6, "")
	}
	return d.Done()
}

// axisHTML is the forest's legend row: where better and worse are.
func axisHTML(f forest, id string) template.HTML {
	d := plot.NewDrawing(id, "Axis", "Left is better than the baseline, right is worse.", forestW, 18)
	zero := f.x(0, forestLeft, forestRight)
	d.Text("", "start", forestLeft, 12, "← better")
	d.Text("", "end", forestRight, 12, "worse →")
	if zero > forestLeft+66 && zero < forestRight-66 {
		d.Text("ink", "middle", zero, 12, "baseline")
	}
	d.Line("zero", zero, 14, zero, 18)
	return d.Done()
}

// raceGroup is the races that share an axis: those over pairs, or over items.
type raceGroup struct {
	unit string // "pair" or "item"
	rs   []gates.Result
}

// raceGroups collects the regression tests that have a race, success first.
func raceGroups(s subject) []raceGroup {
	groups := []raceGroup{{unit: "pair"}, {unit: "item"}}
	for _, success := range []bool{true, false} {
		for _, r := range s.Results {
			if r.Gate != gates.GateRegression || !hasRace(r) || (r.Role == benchmarks.Success) != success {
				continue
			}
			g := &groups[0]
			if unitName(r) == "item" {
				g = &groups[1]
			}
			if len(g.rs) < 4 {
				g.rs = append(g.rs, r)
			}
		}
	}
	var out []raceGroup
	for _, g := range groups {
		if len(g.rs) > 0 {
			out = append(out, g)
		}
	}
	if len(out) == 2 && out[1].rs[0].Role == benchmarks.Success {
		out[0], out[1] = out[1], out[0]
	}
	return out
}

var raceClasses = []string{"curve", "curve2", "curve3", "curve4"}

// raceHTML draws log e against pairs or items with the promote line and
// the line of no evidence.
func raceHTML(g raceGroup, id string) template.HTML {
	lo, hi, last := -1.0, 1.0, 2
	for _, r := range g.rs {
		l, h := raceRange(r)
		l = math.Min(l, -.22*h) // room for the words below "no evidence"
		lo, hi = math.Min(lo, l), math.Max(hi, h)
		last = max(last, r.Race.N[len(r.Race.N)-1])
	}
	logX := last > 1000
	place := func(n float64) float64 {
		if logX {
			return math.Log10(math.Max(n, 1))
		}
		return n
	}
	first := g.rs[0]
	d := plot.NewDrawing(id, "Evidence against "+g.unit+"s", fmt.Sprintf("log e of %s ends at %s after %s; the bar is %s.",
		plot.Clean(first.Metric, 60), evalue(first.LogE), plot.Count(last, g.unit), evalue(first.LogBar)), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: place(1), Hi: place(float64(last)), From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: lo / math.Ln10, Hi: hi / math.Ln10, From: plot.ChartBottom, To: plot.ChartTop}
	xs := plot.Ticks(x.Lo, x.Hi, 5)
	if logX {
		xs = nil
		for e := 0.0; e <= math.Ceil(x.Hi) && e <= x.Hi; e++ {
			xs = append(xs, e)
		}
	}
	d.Frame(x, y, xs, wholeTicks(y.Lo, y.Hi), func(v float64) string {
		if logX {
			v = math.Pow(10, v)
		}
		return plot.Grouped(v)
	}, powerOfTen, g.unit+"s measured"+map[bool]string{true: " (log scale)"}[logX])
	d.Line("zero", plot.ChartLeft, y.At(0), plot.ChartRight, y.At(0))
	for i := len(g.rs) - 1; i >= 0; i-- {
		r := g.rs[i]
		px, py := racePath(r, hi, x, y, place)
		d.Polyline(raceClasses[i], px, py)
		n := len(px) - 1
		d.Circle("dot", px[n], py[n], 3, testName(r)+": e = "+evalue(r.LogE))
		if r.LogE > hi {
			d.Text("t-cand", "start", math.Min(px[n]+7, plot.ChartRight-110), plot.ChartTop+4+12*float64(i), "goes on to "+evalue(r.LogE))
		}
	}
	raceLines(d, first, y) // words last: they must stay readable
	below := 12.0
	if first.LogE < 0 {
		below = -5 // the curve itself is below the line
	}
	d.Text("", "end", plot.ChartRight, y.At(0)+below, "e = 1: no evidence")
	return d.Done()
}

// racePath is the drawn race: from e = 1 before the first pair or item to the
// end, or to where it leaves the scale at the top.
func racePath(r gates.Result, top float64, x, y plot.Scale, place func(float64) float64) (px, py []float64) {
	px, py = []float64{x.From}, []float64{y.At(0)}
	lastX, lastE := x.From, 0.0
	for _, k := range plot.Thin(len(r.Race.N), maxPoints) {
		at, e := x.At(place(float64(r.Race.N[k]))), r.Race.LogE[k]
		if e > top {
			share := (top - lastE) / (e - lastE)
			if !(share >= 0 && share <= 1) {
				share = 1
			}
			return append(px, lastX+share*(at-lastX)), append(py, y.To)
		}
		px, py = append(px, at), append(py, y.At(e/math.Ln10))
		lastX, lastE = at, e
	}
	return px, py
}

// raceLines draws the promote line.
func raceLines(d *plot.Drawing, r gates.Result, y plot.Scale) {
	if r.LogBar > 0 { // shared by all races of a night
		at := y.At(r.LogBar / math.Ln10)
		d.Line("l-pass", plot.ChartLeft, at, plot.ChartRight, at)
		d.Text("t-pass", "start", plot.ChartLeft+4, at-4, "promote: e ≥ "+evalue(r.LogBar))
	}
}

// wholeTicks are ticks on whole powers of ten.
func wholeTicks(lo, hi float64) []float64 {
	step := math.Max(1, math.Ceil((hi-lo)/5))
	var out []float64
	for v := math.Ceil(lo/step) * step; v <= hi && len(out) < 20; v += step {
		out = append(out, v)
	}
	return out
}

// powerOfTen labels a tick of a logarithmic axis.
func powerOfTen(v float64) string {
	if math.Abs(v) <= 3 {
		return plot.Compact(math.Pow(10, v))
	}
	return "1e" + strings.ReplaceAll(plot.Fixed(v, 0), plot.Minus, "-")
}

// runHTML draws every pair's change in time order.
func runHTML(s subject, r gates.Result, points []pairPoint, id string) template.HTML {
	ys := make([]float64, len(points))
	for i, p := range points {
		ys[i] = p.ratio
	}
	lo, hi := bulk(ys, tolerances(r))
	d := plot.NewDrawing(id, "Pairs in time order", fmt.Sprintf("%s of %s, candidate against baseline, median %s.",
		plot.Count(len(points), "pair"), plot.Clean(r.Metric, 60), plot.SignedPercent(quantileOf(ys, .5))), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: float64(points[0].index) - .5, Hi: float64(points[len(points)-1].index) + .5, From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartBottom, To: plot.ChartTop}
	d.Frame(x, y, plot.Ticks(x.Lo+.5, x.Hi-.5, 5), plot.Ticks(lo, hi, 5), func(v float64) string { return plot.Grouped(v + 1) }, plot.TickPercent, "pair, in the order of measurement")
	edgeLines(d, r, func(v float64) (float64, float64, float64, float64) {
		return plot.ChartLeft, y.At(v), plot.ChartRight, y.At(v)
	}, lo, hi)
	mid := y.At(quantileOf(ys, .5))
	d.Line("l-median", plot.ChartLeft, mid, plot.ChartRight, mid)
	marked := markedPairs(points)
	for _, e := range s.night.Events {
		if !marked[e.Pair] && e.Context == s.Context && e.Candidate == s.Name && float64(e.Pair) >= x.Lo && float64(e.Pair) <= x.Hi {
			d.Line("l-unsure", x.At(float64(e.Pair)), plot.ChartTop, x.At(float64(e.Pair)), plot.ChartBottom)
		}
	}
	for _, i := range plot.Thin(len(points), maxPoints) {
		p := points[i]
		tip := fmt.Sprintf("pair %d: %s", p.index+1, plot.SignedPercent(p.ratio))
		at := x.At(float64(p.index))
		switch {
		case p.marked:
			d.Diamond("ring", at, y.At(p.ratio), 5, tip+", machine disturbed")
		case p.bFirst:
			d.Circle("open", at, y.At(p.ratio), 2.8, tip+", candidate first")
		default:
			d.Circle("dot", at, y.At(p.ratio), 2.8, tip+", baseline first")
		}
	}
	return d.Done()
}

// markedPairs are the pairs that a diamond says enough about.
func markedPairs(points []pairPoint) map[int]bool {
	m := map[int]bool{}
	for _, p := range points {
		m[p.index] = p.marked
	}
	return m
}

// tolerances are the changes that must be in sight: no change and, for a
// guardrail, the edge of its tolerance.
func tolerances(r gates.Result) []float64 {
	out := []float64{0}
	if r.Test == gates.TestNotWorse && r.Tolerance > 0 && r.Compare != benchmarks.Difference {
		out = append(out, edgeOf(r))
	}
	return out
}

func edgeOf(r gates.Result) float64 {
	if r.Direction == benchmarks.Higher {
		return -r.Tolerance
	}
	return r.Tolerance
}

// edgeLines draws the baseline and the tolerance where they are in range.
func edgeLines(d *plot.Drawing, r gates.Result, line func(float64) (x1, y1, x2, y2 float64), lo, hi float64) {
	for i, v := range tolerances(r) {
		if v < lo || v > hi {
			continue
		}
		x1, y1, x2, y2 := line(v)
		if i == 0 {
			d.Line("zero", x1, y1, x2, y2)
			continue
		}
		d.Line("l-warn", x1, y1, x2, y2)
	}
}

// bulk is the range of nearly all of xs and all of must: single wild values
// are drawn on the edge instead of flattening the rest.
func bulk(xs, must []float64) (lo, hi float64) {
	lo, hi = quantileOf(xs, .01), quantileOf(xs, .99)
	for _, m := range must {
		lo, hi = math.Min(lo, m), math.Max(hi, m)
	}
	return plot.Padded(lo, hi, .08)
}

// ecdfHTML draws the distribution of the paired changes.
func ecdfHTML(r gates.Result, sorted []float64, id string) template.HTML {
	lo, hi, note := zoomed(sorted, tolerances(r))
	d := plot.NewDrawing(id, "Distribution of the paired changes", fmt.Sprintf("A tenth of the pairs of %s lies below %s, half below %s, nine tenths below %s.", plot.Clean(r.Metric, 60),
		plot.SignedPercent(quantileSorted(sorted, .1)), plot.SignedPercent(quantileSorted(sorted, .5)), plot.SignedPercent(quantileSorted(sorted, .9))), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: 0, Hi: 1, From: plot.ChartBottom, To: plot.ChartTop}
	d.Frame(x, y, plot.Ticks(lo, hi, 5), []float64{0, .25, .5, .75, 1}, plot.TickPercent, func(v float64) string { return plot.Fixed(100*v, 0) + plot.NBSP + "%" }, "change of "+plot.Clean(r.Metric, 40)+", share of pairs below")
	edgeLines(d, r, func(v float64) (float64, float64, float64, float64) {
		return x.At(v), plot.ChartTop, x.At(v), plot.ChartBottom
	}, lo, hi)
	px, py := steps(sorted, x, y)
	d.Polyline("curve", px, py)
	if note != 0 {
		beyond(d, note)
	}
	return d.Done()
}

// zoomed is the range of xs, widened to the values in must that are near. If
// no change (0) is far away, side says where: −1 below, +1 above the range.
func zoomed(xs, must []float64) (lo, hi float64, side int) {
	lo, hi = quantileOf(xs, .01), quantileOf(xs, .99)
	reach := 1.5*(hi-lo) + 1e-9
	for i, m := range must {
		switch {
		case m < lo-reach:
			if i == 0 {
				side = -1
			}
		case m > hi+reach:
			if i == 0 {
				side = 1
			}
		default:
			lo, hi = math.Min(lo, m), math.Max(hi, m)
		}
	}
	lo, hi = plot.Padded(lo, hi, .08)
	return lo, hi, side
}

// beyond says that the baseline lies outside a distribution's range.
func beyond(d *plot.Drawing, side int) {
	if side < 0 {
		d.Text("ink", "start", plot.ChartLeft+5, plot.ChartBottom-8, "← baseline (0"+plot.NBSP+"%) is off this scale")
		return
	}
	d.Text("ink", "end", plot.ChartRight-5, plot.ChartBottom-8, "baseline (0"+plot.NBSP+"%) is off this scale →")
}

// steps is the staircase of an empirical distribution function.
func steps(sorted []float64, x, y plot.Scale) (px, py []float64) {
	n := len(sorted)
	before := 0.0
	for _, i := range plot.Thin(n, maxPoints/2) {
		at, after := x.At(sorted[i]), float64(i+1)/float64(n)
		px, py = append(px, at, at), append(py, y.At(before), y.At(after))
		before = after
	}
	return px, py
}

// shiftHTML draws, for each tenth of the distribution, how the candidate's
// quantile differs from the baseline's.
func shiftHTML(r gates.Result, base, cand []float64, id string) template.HTML {
	var qs, shift []float64
	for k := 1; k <= 9; k++ {
		q := float64(k) / 10
		a, b := quantileSorted(base, q), quantileSorted(cand, q)
		if a == 0 {
			continue
		}
		qs, shift = append(qs, q), append(shift, b/a-1)
	}
	if len(qs) < 3 {
		return ""
	}
	lo, hi, side := zoomed(shift, []float64{0})
	lo, hi = plot.Padded(lo, hi, .15)
	d := plot.NewDrawing(id, "Shift of the quantiles", fmt.Sprintf("%s: the median moves by %s, the first tenth by %s, the last by %s.", plot.Clean(r.Metric, 60),
		plot.SignedPercent(shift[len(shift)/2]), plot.SignedPercent(shift[0]), plot.SignedPercent(shift[len(shift)-1])), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: .05, Hi: .95, From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartBottom, To: plot.ChartTop}
	d.Frame(x, y, []float64{.1, .3, .5, .7, .9}, plot.Ticks(lo, hi, 5), func(v float64) string { return plot.Fixed(100*v, 0) + plot.NBSP + "%" }, plot.TickPercent, "quantile of "+plot.Clean(r.Metric, 40)+": small values left, large ones right")
	if side == 0 {
		d.Line("zero", plot.ChartLeft, y.At(0), plot.ChartRight, y.At(0))
	} else {
		at := map[int]float64{-1: plot.ChartBottom - 8, 1: plot.ChartTop + 10}[side]
		d.Text("ink", "start", plot.ChartLeft+5, at, map[int]string{-1: "↓", 1: "↑"}[side]+" baseline (0"+plot.NBSP+"%) is off this scale")
	}
	var px, py []float64
	for i := range qs {
		px, py = append(px, x.At(qs[i])), append(py, y.At(shift[i]))
	}
	d.Polyline("curve", px, py)
	for i := range px {
		d.Circle("dot", px[i], py[i], 3.2, fmt.Sprintf("quantile %s: %s", plot.Percent(qs[i]), plot.SignedPercent(shift[i])))
	}
	return d.Done()
}

// claimHTML sets the search's claim beside the fresh estimate.
func claimHTML(s subject, fresh gates.Result, id string) template.HTML {
	lo, hi := math.Min(0, math.Min(s.Claim.Change, fresh.Change)), math.Max(0, math.Max(s.Claim.Change, fresh.Change))
	flo, fhi := ends(fresh)
	lo, hi = plot.Padded(math.Min(lo, flo), math.Max(hi, fhi), .08)
	const h, left = 104.0, 62.0
	d := plot.NewDrawing(id, "Claim and fresh estimate", claimSentence(s), plot.ChartW, h)
	x := plot.Scale{Lo: lo, Hi: hi, From: left, To: plot.ChartRight}
	f, _ := changeScale(fresh)
	for _, v := range plot.Ticks(lo, hi, 4) {
		d.Line("axis", x.At(v), 8, x.At(v), 74)
		d.Text("", "middle", x.At(v), 88, plot.Signed(f*v, tickDecimals(f, hi-lo)))
	}
	d.Line("zero", x.At(0), 4, x.At(0), 78)
	d.Text("ink", "end", left-8, 28, "search")
	d.Text("ink", "end", left-8, 60, "fresh")
	d.Diamond("open", x.At(s.Claim.Change), 24, 5.5, "claim "+change(fresh, s.Claim.Change))
	if hasInterval(fresh) {
		d.Line("ci", x.At(flo), 56, x.At(fhi), 56)
	}
	d.Circle("dot", x.At(fresh.Change), 56, 4.5, "fresh "+change(fresh, fresh.Change))
	_, unit := changeScale(fresh)
	d.Text("", "middle", (left+plot.ChartRight)/2, 101, "change of "+plot.Clean(fresh.Metric, 40)+" in "+unit)
	return d.Done()
}

func tickDecimals(f, span float64) int {
	if math.Abs(f*span) < 4 {
		return 1
	}
	return 0
}
