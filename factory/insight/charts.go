package insight

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/internal/plot"
)

// curveClasses are the style sheet's lines, told apart by dashes as well as by
// colour.
var curveClasses = []string{"curve", "curve2", "curve3", "curve4", "curve5", "curve6"}

func curveClass(i int) string { return curveClasses[i%len(curveClasses)] }

// budgetHTML is one bar: each engine's part of the points asked.
func budgetHTML(c Context, id string) template.HTML {
	if c.Asked == 0 {
		return ""
	}
	const w, h = 400.0, 14.0
	var parts []string
	for _, e := range c.Engines {
		parts = append(parts, fmt.Sprintf("%s %s", plot.Clean(e.Name, 40), plot.Percent(float64(e.Asked)/float64(c.Asked))))
	}
	d := plot.NewStrip(id, "Points by engine", strings.Join(parts, ", "), w, h)
	x := 0.0
	for i, e := range c.Engines {
		width := w * float64(e.Asked) / float64(c.Asked)
		d.Rect("fill-"+curveClass(i), x, 0, width-1, h, 0)
		x += width
	}
	return d.Done()
}

// convergenceFigure draws each engine's best so far against the points of the
// context.
func convergenceFigure(c Context, id string) *figureView {
	var values []float64
	for _, e := range c.Engines {
		for _, s := range e.Steps {
			values = append(values, s.Change)
		}
	}
	if len(values) == 0 {
		return nil
	}
	lo, hi := math.Min(0, slices.Min(values)), math.Max(0, slices.Max(values))
	if w := c.Winner; w != nil {
		lo, hi = math.Min(lo, w.Change), math.Max(hi, w.Change)
	}
	lo, hi = plot.Padded(lo, hi, .06)
	d := plot.NewDrawing(id, "Convergence", fmt.Sprintf("Best %s so far, by engine, over %s.", plot.Clean(c.Metric, 60), plot.Count(c.Asked, "point")), plot.ChartW, plot.ChartH)
	x := plot.Scale{Lo: 0, Hi: float64(max(c.Asked, 1)), From: plot.ChartLeft, To: plot.ChartRight}
	y := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartBottom, To: plot.ChartTop}
	d.Frame(x, y, plot.Ticks(x.Lo, x.Hi, 5), plot.Ticks(lo, hi, 5), plot.Grouped, c.tick, "points asked in this context")
	d.Line("zero", plot.ChartLeft, y.At(0), plot.ChartRight, y.At(0))
	f := &figureView{
		Title: "Convergence: best so far, by engine",
		Text:  "Change of the success metric against the baseline, as the search saw it. The lowest of many noisy values flatters; the diamond is what fresh samples say of the winner.",
	}
	for i, e := range c.Engines {
		if len(e.Steps) == 0 {
			continue
		}
		var px, py []float64
		for k, s := range e.Steps {
			if k > 0 {
				px, py = append(px, x.At(float64(s.At))), append(py, y.At(e.Steps[k-1].Change))
			}
			px, py = append(px, x.At(float64(s.At))), append(py, y.At(s.Change))
		}
		last := e.Steps[len(e.Steps)-1]
		px, py = append(px, x.To), append(py, y.At(last.Change))
		d.Polyline(curveClass(i), px, py)
		d.Circle("dot-ink", x.At(float64(last.At)), y.At(last.Change), 2.6, fmt.Sprintf("%s: %s at point %d", plot.Clean(e.Name, 40), c.change(last.Change), last.At))
		f.Legend = append(f.Legend, legendView{curveClass(i), fmt.Sprintf("%s %s", plot.Clean(e.Name, 40), c.change(last.Change))})
	}
	if w := c.Winner; w != nil && w.At > 0 {
		d.Diamond("ring", x.At(float64(w.At)), y.At(w.Change), 5.5, "winner, fresh: "+c.change(w.Change))
	}
	f.Plot = d.Done()
	return f
}

// tick labels a change on an axis.
func (c Context) tick(v float64) string {
	if c.Compare == string(benchmarks.Difference) {
		return plot.Signed(v, 3)
	}
	return plot.TickPercent(v)
}

// importanceFigure draws one bar a knob.
func importanceFigure(c Context, id string) *figureView {
	if c.Knobs == nil {
		return nil
	}
	knobs := c.Knobs.Knobs[:min(len(c.Knobs.Knobs), knobsShown)]
	const rowH, left = 21.0, 132.0
	h := rowH*float64(len(knobs)) + 8
	d := plot.NewDrawing(id, "Importance of knobs", fmt.Sprintf("%s explains most: %s.", plot.Clean(knobs[0].Knob, 60), plot.Percent(knobs[0].Share)), plot.ChartW, h)
	x := plot.Scale{Lo: 0, Hi: math.Max(knobs[0].Share, 1e-9), From: left, To: plot.ChartRight - 52}
	for i, k := range knobs {
		y := 4 + rowH*float64(i)
		d.Text("ink", "end", left-8, y+14, cut(k.Knob, 20))
		d.Rect("fill-curve", left, y+3, x.At(k.Share)-left, rowH-8, 2)
		d.Text("", "start", x.At(k.Share)+6, y+14, plot.Percent(k.Share))
	}
	return &figureView{
		Title: "Importance: what the ranking of the points depends on",
		Text:  c.Knobs.words(), Plot: d.Done(), Note: c.Knobs.pairWords(),
	}
}

// cut shortens a label for a place in a drawing.
func cut(s string, n int) string {
	r := []rune(plot.Clean(s, 200))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}

// What a parallel-coordinate drawing holds at most.
const (
	parallelAxes  = 10
	parallelLines = 220
	parallelBest  = .1 // the share of the points that is drawn in colour, on top
)

// parallelFigure draws points as lines over their knobs, the most important
// first, the success metric last.
func parallelFigure(o Overview, c Context, id string) *figureView {
	var points []factory.Observation
	for _, x := range o.seen[c.Name] {
		if !x.Cached && x.Feasible() {
			points = append(points, x)
		}
	}
	axes := c.parallelKnobs(o.space)
	if len(points) < 2 || len(axes) == 0 {
		return nil
	}
	slices.SortStableFunc(points, func(a, b factory.Observation) int {
		switch {
		case a.Loss < b.Loss:
			return -1
		case a.Loss > b.Loss:
			return 1
		}
		return 0
	})
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		lo, hi = math.Min(lo, p.Change[c.Metric]), math.Max(hi, p.Change[c.Metric])
	}
	const top, bottom, w = 34.0, 214.0, 1080.0
	gap := (w - 120) / float64(len(axes))
	d := plot.NewDrawing(id, "Parallel coordinates", fmt.Sprintf("%s over %s and %s.", plot.Count(len(points), "feasible point"), plot.Count(len(axes), "knob"), plot.Clean(c.Metric, 60)), w, 262)
	xAt := func(i int) float64 { return 60 + gap*float64(i) }
	y := plot.Scale{Lo: 0, Hi: 1, From: bottom, To: top}
	last := plot.Scale{Lo: lo, Hi: hi, From: bottom, To: top}
	line := func(class string, p factory.Observation) {
		var px, py []float64
		cube := o.space.Encode(p.Point)
		for i, a := range axes {
			at := bottom + 14 // inactive: below the axis
			if _, active := p.Point[a.Name]; active {
				at = y.At(cube[a.at])
			}
			px, py = append(px, xAt(i)), append(py, at)
		}
		d.Polyline(class, append(px, xAt(len(axes))), append(py, last.At(p.Change[c.Metric])))
	}
	best := max(1, int(parallelBest*float64(len(points))))
	rest := points[best:]
	for _, i := range slices.Backward(plot.Thin(len(rest), parallelLines)) {
		line("thread", rest[i])
	}
	for _, i := range slices.Backward(plot.Thin(best, parallelLines/4)) {
		line("thread-best", points[i])
	}
	for i, a := range axes {
		d.Line("zero", xAt(i), top, xAt(i), bottom)
		d.Text("ink", "middle", xAt(i), 13, cut(a.Name, 15))
		d.Text("", "middle", xAt(i), 27, cut(a.high, 15))
		d.Text("", "middle", xAt(i), bottom+30, cut(a.low, 15))
		if a.When != nil {
			d.Circle("open", xAt(i), bottom+14, 2.4, "off")
		}
	}
	at := xAt(len(axes))
	d.Line("zero", at, top, at, bottom)
	d.Text("ink", "middle", at, 13, cut(c.Metric, 15))
	d.Text("", "middle", at, 27, c.change(hi))
	d.Text("", "middle", at, bottom+30, c.change(lo))
	return &figureView{
		Title: "Parallel coordinates: " + plot.Count(len(points), "feasible point"),
		Text:  fmt.Sprintf("Each line is a point; the best %s are drawn strong. Axes by importance; categoricals in the order of their choices; a ring below an axis is a knob that is switched off.", plot.Count(best, "point")),
		Plot:  d.Done(),
	}
}

// knobAxis is an axis of the parallel coordinates.
type knobAxis struct {
	benchmarks.Parameter
	at        int // coordinate in the unit cube
	low, high string
}

// parallelKnobs are the knobs with one coordinate, most important first.
func (c Context) parallelKnobs(space benchmarks.Space) (out []knobAxis) {
	at := 0
	for _, p := range space.Parameters {
		if p.Kind == benchmarks.Permutation {
			at += p.Width()
			continue
		}
		a := knobAxis{Parameter: p, at: at, low: "false", high: "true"}
		switch p.Kind {
		case benchmarks.Float, benchmarks.Int:
			a.low, a.high = plot.Compact(p.Min), plot.Compact(p.Max)
		case benchmarks.Categorical, benchmarks.Ordinal:
			a.low, a.high = p.Choices[0], p.Choices[len(p.Choices)-1]
		case benchmarks.Bool, benchmarks.Permutation:
		}
		out = append(out, a)
		at++
	}
	if c.Knobs != nil {
		share := map[string]float64{}
		for _, k := range c.Knobs.Knobs {
			share[k.Knob] = k.Share
		}
		slices.SortStableFunc(out, func(a, b knobAxis) int {
			switch {
			case share[a.Name] > share[b.Name]:
				return -1
			case share[a.Name] < share[b.Name]:
				return 1
			}
			return 0
		})
	}
	return out[:min(len(out), parallelAxes)]
}

// Labels below a map: about so wide a letter, and cut at so many.
const (
	letterW  = 7.4
	labelMax = 14
)

// mapFigure draws the archive.
func mapFigure(c Context, id string) *figureView {
	if c.Archive == nil {
		return nil
	}
	m := newHeat(*c.Archive)
	const left, top = 96.0, 8.0
	cellH := math.Max(14, math.Min(26, 240/float64(len(m.rows))))
	cellW := (plot.ChartRight + 8 - left) / float64(len(m.columns))
	h := top + cellH*float64(len(m.rows)) + 42
	d := plot.NewDrawing(id, "Map of good points", c.archiveWords(), plot.ChartW, h)
	for r, label := range m.rows {
		y := top + cellH*float64(r)
		d.Text("", "end", left-6, y+cellH/2+4, cut(label, 14))
		for col := range m.columns {
			x := left + cellW*float64(col)
			e := m.at(r, col)
			if e == nil {
				d.Rect("cell-none", x, y, cellW-1, cellH-1, 1)
				continue
			}
			change := c.change(e.Change[c.Metric])
			d.Box(fmt.Sprintf("cell-%d", m.shade(*e)), x, y, cellW-1, cellH-1, 1, fmt.Sprintf("%s, %s: %s by %s: %s", label, m.columns[col], change, e.Engine, e.Point))
			if cellW > 44 {
				d.Text(fmt.Sprintf("on-%d", m.shade(*e)), "middle", x+cellW/2, y+cellH/2+4, change)
			}
		}
	}
	under := top + cellH*float64(len(m.rows))
	longest := 0
	for _, l := range m.columns {
		longest = max(longest, min(len([]rune(l)), labelMax))
	}
	step := max(1, int(math.Ceil(float64(longest)*letterW/cellW)))
	for col := 0; col < len(m.columns); col += step {
		d.Text("", "middle", left+cellW*(float64(col)+.5), under+14, cut(m.columns[col], labelMax))
	}
	d.Text("", "middle", (left+plot.ChartRight)/2, under+32, cut(m.columnName, 40))
	title := "Map of good points"
	if m.rowName != "" {
		title = fmt.Sprintf("Map of good points: %s down, %s across", plot.Clean(m.rowName, 40), plot.Clean(m.columnName, 40))
	}
	return &figureView{
		Title: title, Text: c.archiveWords(), Plot: d.Done(),
		Legend: []legendView{{"cell-0", "not better than the baseline"}, {"cell-1", "up to ¼ of the best gain"}, {"cell-2", "½"}, {"cell-3", "¾"}, {"cell-4", "the best quarter"}},
	}
}
