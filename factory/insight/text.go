package insight

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/internal/plot"
)

// knobsShown bounds the bars of importance.
const knobsShown = 10

// Text writes the overview for a terminal.
func Text(w io.Writer, o Overview, terminal plot.Terminal) error {
	p := page{plot.NewPrinter(w, terminal)}
	p.Raw(p.Paint(plot.Strong, p.PlainText("Search "+o.Run)) + "\n")
	p.Para(plot.Plain, 2, 0, o.summary())
	if s := o.portfolioWords(); s != "" {
		p.Para(plot.Plain, 2, 0, s)
	}
	for _, c := range o.Contexts {
		p.context(c)
	}
	return p.Err()
}

type page struct{ *plot.Printer }

func (p page) context(c Context) {
	p.Heading(c.Name + ": " + c.question())
	p.Labelled("winner", 11, tone(c), c.headline())
	p.Labelled("", 11, plot.Plain, c.foundBy())
	if c.Winner != nil {
		p.Labelled("differs", 11, plot.Plain, knobWords(c.Winner.Differs))
	}
	p.Blank()
	p.engines(c)
	p.convergence(c)
	p.importance(c)
	p.archive(c)
	p.points(c)
	p.lineage(c)
	for i, s := range c.noteWords() {
		if i == 0 {
			p.Blank()
		}
		p.Labelled(map[bool]string{true: "trouble"}[i == 0], 11, plot.Plain, s)
	}
	for i, s := range c.noiseWords() {
		if i == 0 {
			p.Blank()
		}
		p.Labelled(map[bool]string{true: "noise"}[i == 0], 11, plot.Plain, s)
	}
}

func tone(c Context) plot.Tone {
	if c.Winner == nil || c.Winner.At == 0 {
		return plot.Unsure
	}
	return plot.Good
}

func (p page) engines(c Context) {
	var rows [][]plot.Cell
	number := func(n int) plot.Cell { return plot.Cell{Text: plot.Grouped(float64(n)), Right: true} }
	for _, e := range c.Engines {
		at := ""
		if e.Best != nil {
			at = plot.Grouped(float64(e.BestAt))
		}
		rows = append(rows, []plot.Cell{
			{Text: plot.Clean(e.Name, 40)}, number(e.Asked), number(e.Failed), number(e.Infeasible), number(e.Repeated),
			{Text: c.changeOrNone(e.Best), Right: true}, {Text: at, Right: true}, number(e.Records),
		})
	}
	p.Table([]string{"engine", "asked", "failed", "beyond limits", "repeats", "best seen", "at point", "records"}, rows, -1)
}

// convergence is one line an engine, all on one scale.
func (p page) convergence(c Context) {
	best := c.best()
	if len(best) == 0 {
		return
	}
	lo, hi := 0.0, 0.0
	for _, e := range c.Engines {
		for _, s := range e.Steps {
			lo, hi = math.Min(lo, s.Change), math.Max(hi, s.Change)
		}
	}
	if lo == hi {
		hi = lo + 1
	}
	p.Blank()
	p.Para(plot.Faint, 2, 0, fmt.Sprintf("best so far, from point 1 to %s (top %s, bottom %s)", plot.Grouped(float64(c.Asked)), c.change(hi), c.change(lo)))
	cols := min(60, p.Columns-24)
	line := func(name string, steps []Step) {
		path := pathOf(steps, c.Asked, cols*2, hi)
		rows := 1 // of four levels
		if p.Terminal.ASCII {
			rows = 3
		}
		for i, row := range p.Sparkline(path, lo, hi, cols, rows) {
			label := ""
			if i == 0 {
				label = name
			}
			p.Raw(strings.TrimRight("  "+plot.Pad(p.Short(label, 16), 16)+"  "+row, " ") + "\n")
		}
	}
	for _, e := range c.Engines {
		if len(e.Steps) > 0 {
			line(e.Name, e.Steps)
		}
	}
	if len(c.Engines) > 1 {
		line("all", best)
	}
}

// pathOf samples a staircase at n places; before the first step it is at the
// top of the scale.
func pathOf(steps []Step, asked, n int, before float64) []float64 {
	out := make([]float64, n)
	k := 0
	for i := range out {
		at := float64(i+1) / float64(n) * float64(max(asked, 1))
		for k < len(steps) && float64(steps[k].At) <= at {
			k++
		}
		out[i] = before
		if k > 0 {
			out[i] = steps[k-1].Change
		}
	}
	return out
}

func (p page) importance(c Context) {
	if c.Knobs == nil {
		return
	}
	p.Blank()
	p.Para(plot.Plain, 2, 0, "What the ranking of the points depends on")
	top := math.Max(c.Knobs.Knobs[0].Share, 1e-9)
	width := min(36, p.Columns-40)
	for _, k := range c.Knobs.Knobs[:min(len(c.Knobs.Knobs), knobsShown)] {
		bar := strings.Repeat("█", int(math.Round(k.Share/top*float64(width))))
		p.Raw("  " + plot.Pad(p.Short(k.Knob, 22), 22) + "  " + plot.PadLeft(p.PlainText(plot.Percent(k.Share)), 7) + "  " + p.PlainText(bar) + "\n")
	}
	if s := c.Knobs.pairWords(); s != "" {
		p.Para(plot.Plain, 2, 0, s)
	}
	p.Para(plot.Faint, 2, 0, c.Knobs.words())
}

// shades are the signs of a map, from worse than the baseline to the best.
var shades = []string{"·", "░", "▒", "▓", "█"}

func (p page) archive(c Context) {
	if c.Archive == nil {
		return
	}
	m := newHeat(*c.Archive)
	p.Blank()
	p.Para(plot.Plain, 2, 0, fmt.Sprintf("Map of good points: %s down, %s across", m.rowName, m.columnName))
	p.Para(plot.Faint, 2, 0, c.archiveWords())
	left := 0
	for _, l := range m.rows {
		left = max(left, len([]rune(l)))
	}
	left = min(left, 20)
	signs := shades
	if p.Terminal.ASCII {
		signs = []string{".", ":", "o", "O", "#"}
	}
	if p.numbers(c, m, signs) {
		return
	}
	cell := 2
	if len(m.columns)*cell > p.Columns-left-6 {
		cell = 1
	}
	for r, label := range m.rows {
		line := "  " + plot.PadLeft(p.Short(label, left), left) + " "
		for col := range m.columns {
			sign := " "
			if e := m.at(r, col); e != nil {
				sign = signs[m.shade(*e)]
			}
			line += strings.Repeat(sign, cell)
		}
		p.Raw(strings.TrimRight(line, " ") + "\n")
	}
	p.Para(plot.Faint, 2, 0, fmt.Sprintf("%s from left to right: %s. %s worse than the baseline, %s up to a quarter of the best gain, %s the best quarter; empty: not reached.",
		m.columnName, strings.Join(m.columns, ", "), signs[0], signs[1], signs[4]))
}

// numbers writes a small map as a table: in each cell its shade and the change.
// It reports whether the terminal is wide enough.
func (p page) numbers(c Context, m heat, signs []string) bool {
	const cellsMax = 12 * 24
	if len(m.columns)*len(m.rows) > cellsMax || len(m.rows) < 2 {
		return false
	}
	width := 2
	head := []string{m.rowName}
	rows := make([][]plot.Cell, len(m.rows))
	for r, label := range m.rows {
		rows[r] = []plot.Cell{{Text: p.Short(label, 20)}}
		width = max(width, len([]rune(label)), len([]rune(m.rowName)))
	}
	for col, label := range m.columns {
		wide := len([]rune(label))
		head = append(head, label)
		for r := range m.rows {
			cell := plot.Cell{Right: true}
			if e := m.at(r, col); e != nil {
				cell.Text = signs[m.shade(*e)] + " " + c.change(e.Change[c.Metric])
			}
			wide = max(wide, len([]rune(cell.Text)))
			rows[r] = append(rows[r], cell)
		}
		width += 2 + wide
	}
	if width+2 > p.Columns {
		return false
	}
	p.Table(head, rows, -1)
	p.Para(plot.Faint, 2, 0, fmt.Sprintf("%s worse than the baseline, %s up to a quarter of the best gain, %s the best quarter; empty: not reached, or beyond a limit.",
		signs[0], signs[1], signs[4]))
	return true
}

// heat is an archive flattened to its first two axes: of the others, the best.
type heat struct {
	rows, columns       []string
	rowName, columnName string
	best                map[[2]int]factory.ArchiveOne
	least               float64
}

func newHeat(a factory.Archive) heat {
	m := heat{rows: []string{""}, best: map[[2]int]factory.ArchiveOne{}}
	first := a.Axes[0]
	m.columns, m.columnName = first.Labels, first.Knob+first.Metric
	if len(a.Axes) > 1 {
		m.rows, m.rowName = first.Labels, m.columnName
		m.columns, m.columnName = a.Axes[1].Labels, a.Axes[1].Knob+a.Axes[1].Metric
	}
	for _, e := range a.Elites {
		k := [2]int{0, e.Bins[0]}
		if len(e.Bins) > 1 {
			k = [2]int{e.Bins[0], e.Bins[1]}
		}
		if old, had := m.best[k]; !had || e.Loss < old.Loss {
			m.best[k] = e
		}
		m.least = math.Min(m.least, e.Loss)
	}
	return m
}

func (m heat) at(row, column int) *factory.ArchiveOne {
	if e, ok := m.best[[2]int{row, column}]; ok {
		return &e
	}
	return nil
}

// shade is 0 for a point that is not better than the baseline, else 1 to 4 by
// quarters of the best gain.
func (m heat) shade(e factory.ArchiveOne) int {
	if e.Loss >= 0 || m.least >= 0 {
		return 0
	}
	return min(4, 1+int(4*e.Loss/m.least))
}

func (p page) lineage(c Context) {
	if c.Winner == nil || len(c.Winner.Lineage) < 2 {
		return
	}
	p.Blank()
	p.Para(plot.Plain, 2, 0, "How the winner came about")
	p.Para(plot.Faint, 2, 0, c.Winner.lineageWords())
	var rows [][]plot.Cell
	for _, s := range c.Winner.Lineage {
		rows = append(rows, []plot.Cell{
			{Text: plot.Grouped(float64(s.At)), Right: true}, {Text: c.changeOrNone(s.Change), Right: true},
			{Text: plot.Clean(s.Origin, 40)}, {Text: knobWords(s.Knobs)},
		})
	}
	p.Table([]string{"point", "change", "origin", "knobs, against the step before"}, rows, 3)
}
