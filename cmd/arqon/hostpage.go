package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/plot"
)

//go:embed hostpage.tmpl
var hostPage string

var hostTemplate = template.Must(template.New("run").Parse(hostPage))

// runView is what the page shows of a run.
type runView struct {
	Title, Lede string
	Answers     []answerView
	Style       template.CSS
	Head        []string
	Phases      [][]string
	Figures     []figureView
	Events      []hostEvent
	Omitted     int
	Notes       []string
}

// answerView is what a reader asks first, and the answer.
type answerView struct {
	Term, Big, Class, Small string
}

// answers are those at the top of the page.
func (r runResult) answers() []answerView {
	word, why, _ := strings.Cut(r.Verdict.Text, ": ")
	v := answerView{"Changes", word, "FAIL", why}
	if r.Verdict.Absorbed {
		v.Class = "PASS"
	}
	slowest, swings, late, never := 0, 0, 0, 0
	for _, p := range r.Phases {
		swings, late = swings+p.Recovery.Oscillation, late+p.Recovery.OverLimit
		if !p.Recovery.Recovered {
			never++
			continue
		}
		slowest = max(slowest, p.Recovery.Requests)
	}
	again := count(swings, "change", "changes") + " of variant after recovering"
	if never > 0 {
		again = count(never, "phase", "phases") + " did not recover; " + again
	}
	return []answerView{
		v,
		{"Slowest recovery", count(slowest, "request", "requests"), "", again},
		{"Guardrails", count(r.Trips, "trip", "trips"), "", fmt.Sprintf("%s; %s over a signed limit, %d after recovering", count(r.Rollbacks, "rollback", "rollbacks"), count(r.Violations, "window", "windows"), late)},
		{"Requests", plot.Grouped(float64(r.Requests)), "", fmt.Sprintf("%s dropped, %s, %s", grouped(r.Dropped), count(r.Torn, "torn snapshot", "torn snapshots"), count(r.Swaps, "swap", "swaps"))},
	}
}

type figureView struct {
	Title, Text string
	Plot        template.HTML
}

// eventsShown bounds the events of the page; JSON has them all.
const eventsShown = 400

// page writes the run as one self-contained HTML file.
func (r runResult) page(w io.Writer) error {
	v := runView{
		Title: fmt.Sprintf("Arqon run: %s release %d", plot.Clean(r.Channel, 60), r.Release),
		Lede:  r.sentence(), Answers: r.answers(), Style: plot.Style(), Notes: []string{recoveryLegend},
		Events: r.Events[:min(len(r.Events), eventsShown)], Omitted: max(0, len(r.Events)-eventsShown),
	}
	if r.legend != "" {
		v.Notes = append(v.Notes, r.legend)
	}
	if len(r.Variants) > 0 {
		v.Notes = append(v.Notes, r.who())
	}
	v.Head, v.Phases = r.rows()
	for i := range r.series {
		if f, ok := r.seriesFigure(i); ok {
			v.Figures = append(v.Figures, f)
		}
	}
	if f, ok := r.variantFigure(); ok {
		v.Figures = append(v.Figures, f)
	}
	return hostTemplate.Execute(w, v)
}

// ticks is the frame that every figure of a run shares: decision cycles from
// the first to the last window, and where the phases begin.
func (r runResult) ticks() (x plot.Scale, ok bool) {
	x = plot.Scale{Lo: math.Inf(1), Hi: math.Inf(-1), From: plot.ChartLeft, To: plot.ChartRight}
	for _, p := range r.Phases {
		for _, w := range p.Windows {
			x.Lo, x.Hi = min(x.Lo, float64(w.Tick)), max(x.Hi, float64(w.Tick))
		}
	}
	return x, x.Hi > x.Lo
}

// phaseMarks draws a line where each phase begins, and its name.
func (r runResult) phaseMarks(d *plot.Drawing, x plot.Scale) {
	for i, p := range r.Phases {
		if len(p.Windows) == 0 {
			continue
		}
		at := x.At(float64(p.Windows[0].Tick))
		if i > 0 {
			d.Line("axis", at, plot.ChartTop, at, plot.ChartBottom)
		}
		d.Text("", "start", at+2, plot.ChartTop-4+9*float64(i%2), plot.Clean(p.Context, 20))
	}
}

// seriesFigure draws one series over the whole run, its signed limits, and
// what the host did.
func (r runResult) seriesFigure(series int) (figureView, bool) {
	x, ok := r.ticks()
	if !ok {
		return figureView{}, false
	}
	s := r.series[series]
	lo, hi := r.span(series)
	lo, hi = plot.Padded(lo, hi, .08)
	y := plot.Scale{Lo: lo, Hi: hi, From: plot.ChartBottom, To: plot.ChartTop + 10}
	d := plot.NewDrawing(fmt.Sprintf("series-%d", series), s.header, fmt.Sprintf("%s of each window over the run.", s.header), plot.ChartW, plot.ChartH)
	d.Frame(x, y, plot.Ticks(x.Lo, x.Hi, 6), plot.Ticks(lo, hi, 5), plot.Grouped, s.unit.tick, "decision cycle")
	r.phaseMarks(d, x)
	for _, p := range r.Phases {
		var px, py []float64
		for i, w := range p.Windows {
			px, py = append(px, x.At(float64(w.Tick))), append(py, y.At(w.Values[series]))
			from := x.At(float64(w.Tick))
			to := from
			if i+1 < len(p.Windows) {
				to = x.At(float64(p.Windows[i+1].Tick))
			}
			for _, l := range w.Limits {
				for _, limit := range []*float64{l.Min, l.Max} {
					if limit != nil && l.Series == series && *limit >= lo && *limit <= hi {
						d.Line("l-limit", from, y.At(*limit), to, y.At(*limit))
					}
				}
			}
		}
		d.Polyline("curve", px, py)
		for _, w := range p.Windows {
			if sh := w.Shadow; sh != nil && series < len(sh.Values) {
				at := min(max(y.At(sh.Values[series]), plot.ChartTop+10), plot.ChartBottom)
				d.Circle("open", x.At(float64(w.Tick)), at, 3, fmt.Sprintf("cycle %d, in shadow: variant %d, %s on %d copies", w.Tick, sh.Variant, s.unit.text(sh.Values[series]), sh.Tried))
			}
		}
	}
	r.eventMarks(d, x, plot.ChartBottom-6)
	return figureView{
		Title: s.header, Plot: d.Done(),
		Text: "One point a window; thick lines are signed limits of the phase's context. Diamonds: guardrail trips, rollbacks and ends in shadow; circles: releases adopted and variants proposed by hand." + r.shadowNote(),
	}, true
}

// shadowNote explains what figures show of shadows, where there was one.
func (r runResult) shadowNote() string {
	if r.Shadowed == 0 {
		return ""
	}
	return " Small open circles: a variant in shadow, on copies of the window's requests."
}

func (r runResult) span(series int) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, p := range r.Phases {
		for _, w := range p.Windows {
			lo, hi = min(lo, w.Values[series]), max(hi, w.Values[series])
			if sh := w.Shadow; sh != nil && series < len(sh.Values) {
				lo, hi = min(lo, sh.Values[series]), max(hi, sh.Values[series])
			}
		}
	}
	return lo, hi
}

func (r runResult) eventMarks(d *plot.Drawing, x plot.Scale, y float64) {
	for _, e := range r.Events {
		tip := fmt.Sprintf("cycle %d, %s: %s", e.Tick, e.What, plot.Clean(e.Text, 200))
		switch e.What {
		case eventGuardrail, eventRollback, eventShadowStop:
			d.Diamond("b-FAIL", x.At(float64(e.Tick)), y, 5, tip)
		case eventRelease, eventProposed:
			d.Circle("ring", x.At(float64(e.Tick)), y, 4, tip)
		}
	}
}

// variantFigure draws which variant served most of each window.
func (r runResult) variantFigure() (figureView, bool) {
	x, ok := r.ticks()
	if !ok {
		return figureView{}, false
	}
	var ids []catalog.VariantID
	for _, p := range r.Phases {
		for _, w := range p.Windows {
			if !slices.Contains(ids, w.Variant) {
				ids = append(ids, w.Variant)
			}
			if w.Shadow != nil && !slices.Contains(ids, w.Shadow.Variant) {
				ids = append(ids, w.Shadow.Variant)
			}
		}
	}
	slices.Sort(ids)
	y := plot.Scale{Lo: -1.5, Hi: float64(len(ids)) - .5, // the lowest row is for events
		From: plot.ChartBottom, To: plot.ChartTop + 10}
	at := make([]float64, len(ids))
	for i := range ids {
		at[i] = float64(i)
	}
	d := plot.NewDrawing("variants", "VariantId", "Which variant served most of each window.", plot.ChartW, plot.ChartH)
	name := func(i float64) string { return fmt.Sprint(ids[min(max(int(i), 0), len(ids)-1)]) }
	d.Frame(x, y, plot.Ticks(x.Lo, x.Hi, 6), at, plot.Grouped, name, "decision cycle")
	r.phaseMarks(d, x)
	var px, py []float64
	for _, p := range r.Phases {
		for _, w := range p.Windows {
			level := y.At(float64(slices.Index(ids, w.Variant)))
			if len(px) > 0 {
				px, py = append(px, x.At(float64(w.Tick))), append(py, py[len(py)-1])
			}
			px, py = append(px, x.At(float64(w.Tick))), append(py, level)
		}
	}
	d.Polyline("curve", px, py)
	for _, p := range r.Phases {
		for _, w := range p.Windows {
			if w.Shadow != nil {
				d.Circle("open", x.At(float64(w.Tick)), y.At(float64(slices.Index(ids, w.Shadow.Variant))), 3, fmt.Sprintf("cycle %d: variant %d in shadow", w.Tick, w.Shadow.Variant))
			}
		}
	}
	r.eventMarks(d, x, plot.ChartBottom-6)
	return figureView{Title: "VariantId", Text: "The variant that served most of each window: every step is a swap." + r.shadowNote(), Plot: d.Done()}, true
}

// sparkColumns is how wide a phase's line is in a terminal.
const sparkColumns = 48

// printPlots draws the first series, phase by phase, for a terminal.
func (r runResult) printPlots(w io.Writer) error {
	if len(r.Phases) == 0 || len(r.series) == 0 {
		return nil
	}
	p := plot.NewPrinter(w, terminal(w))
	lo, hi := r.span(0)
	s := r.series[0]
	p.Blank()
	p.Para(plot.Plain, 0, 0, fmt.Sprintf("%s by window, from %s to %s:", s.header, s.unit.text(lo), s.unit.text(hi)))
	for _, ph := range r.Phases {
		var ys []float64
		for _, w := range ph.Windows {
			ys = append(ys, w.Values[0])
		}
		for i, line := range p.Sparkline(ys, lo, hi, sparkColumns, 2) {
			name := ""
			if i == 1 {
				name = ph.Context
			}
			p.Raw(p.PlainText(plot.PadLeft(plot.Clean(name, 16), 16)) + " " + line + "\n")
		}
	}
	return p.Err()
}
