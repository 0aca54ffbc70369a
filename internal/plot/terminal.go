package plot

import (
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Terminal says what a terminal can show. The zero value is plain text without
// colour, 80 columns wide.
type Terminal struct {
	Color bool // ANSI colours; never the only carrier of a meaning
	ASCII bool // bytes 0x20 to 0x7E and line feeds only
	Width int  // columns; 0 means 80, smaller than 40 means 40
}

const (
	defaultColumns = 80
	minColumns     = 40
	maxColumns     = 200
)

// Tone is what a piece of text means; the words always say it too.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Strong
	Good
	Bad
	Unsure
	Faint
)

var toneCodes = map[Tone]string{Strong: "1", Good: "32;1", Bad: "31;1", Unsure: "33;1", Faint: "2"}

// Printer collects the lines of a page; the first write error sticks.
type Printer struct {
	Terminal Terminal
	Columns  int
	w        io.Writer
	err      error
}

// NewPrinter begins a page.
func NewPrinter(w io.Writer, o Terminal) *Printer {
	cols := o.Width
	if cols == 0 {
		cols = defaultColumns
	}
	return &Printer{w: w, Terminal: o, Columns: min(max(cols, minColumns), maxColumns)}
}

// Raw writes s as it is: it must be safe already.
func (p *Printer) Raw(s string) {
	if p.err == nil {
		// Unbreakable spaces have kept the words together; a reader who searches
		// or copies wants ordinary ones.
		_, p.err = io.WriteString(p.w, strings.ReplaceAll(s, NBSP, " "))
	}
}

// PlainText is s as this terminal can show it, without colour.
func (p *Printer) PlainText(s string) string {
	s = Clean(s, 4000)
	if p.Terminal.ASCII {
		return toASCII(s)
	}
	return s
}

// Paint colours text that plainText has already made safe.
func (p *Printer) Paint(t Tone, safe string) string {
	code := toneCodes[t]
	if !p.Terminal.Color || code == "" || safe == "" {
		return safe
	}
	return "\x1b[" + code + "m" + safe + "\x1b[0m"
}

// Err is the first error of writing.
func (p *Printer) Err() error { return p.err }

// Blank writes an empty line.
func (p *Printer) Blank() { p.Raw("\n") }

// Para prints s wrapped to the width, later lines indented by hang columns
// more than the first.
func (p *Printer) Para(t Tone, indent, hang int, s string) {
	for i, l := range Wrap(p.PlainText(s), p.Columns-indent-hang, p.Columns-indent) {
		pad := indent
		if i > 0 {
			pad += hang
		}
		p.Raw(strings.Repeat(" ", pad) + p.Paint(t, l) + "\n")
	}
}

// Heading starts a section.
func (p *Printer) Heading(s string) {
	p.Blank()
	p.Raw(p.Paint(Strong, p.PlainText(s)) + "\n")
}

// Command prints a command on its own line, never wrapped: it must survive
// copy and paste.
func (p *Printer) Command(s string) { p.Raw("  $ " + p.PlainText(s) + "\n") }

// Labelled prints "label  text" with the text wrapped in its own column.
func (p *Printer) Labelled(label string, width int, t Tone, s string) {
	head := Pad(p.PlainText(label), width)
	for i, l := range Wrap(p.PlainText(s), p.Columns-width-4, p.Columns-width-4) {
		if i > 0 {
			head = strings.Repeat(" ", width)
		}
		p.Raw("  " + head + "  " + p.Paint(t, l) + "\n")
	}
}

// Wrap breaks s at spaces; a word longer than a line stays whole.
func Wrap(s string, rest, first int) []string {
	var lines []string
	line, limit := "", max(first, 10)
	for word := range strings.SplitSeq(s, " ") {
		switch {
		case word == "":
		case line == "":
			line = word
		case width(line)+1+width(word) <= limit:
			line += " " + word
		default:
			lines = append(lines, line)
			line, limit = word, max(rest, 10)
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

func width(s string) int { return utf8.RuneCountInString(s) }

// Pad fills s with spaces on the right to n columns.
func Pad(s string, n int) string {
	if w := width(s); w < n {
		return s + strings.Repeat(" ", n-w)
	}
	return s
}

// PadLeft fills s with spaces on the left to n columns.
func PadLeft(s string, n int) string {
	if w := width(s); w < n {
		return strings.Repeat(" ", n-w) + s
	}
	return s
}

// Short cuts s to n columns and marks the cut.
func (p *Printer) Short(s string, n int) string {
	s = p.PlainText(s)
	if width(s) <= n {
		return s
	}
	mark := p.PlainText("…")
	r := []rune(s)
	return string(r[:max(n-width(mark), 1)]) + mark
}

// Cell is one cell of a table.
type Cell struct {
	Text  string
	Tone  Tone
	Right bool
}

// Table prints rows under a header; columns are as wide as their content, and
// the column named by flex is wrapped into what is left of the width.
func (p *Printer) Table(head []string, rows [][]Cell, flex int) {
	const gap = 2
	widths := make([]int, len(head))
	for i, h := range head {
		widths[i] = width(p.PlainText(h))
	}
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], width(p.PlainText(c.Text)))
		}
	}
	used := 2
	for _, w := range widths {
		used += w + gap
	}
	if over := used - gap - p.Columns; over > 0 && flex >= 0 {
		widths[flex] = max(widths[flex]-over, min(widths[flex], 16))
	}
	row := func(cells []Cell) {
		out := "  "
		for i, c := range cells {
			s := p.Short(c.Text, widths[i])
			last := i == len(cells)-1
			switch {
			case c.Right:
				s = PadLeft(s, widths[i])
			case !last:
				s = Pad(s, widths[i])
			}
			out += p.Paint(c.Tone, s)
			if !last {
				out += strings.Repeat(" ", gap)
			}
		}
		p.Raw(strings.TrimRight(out, " ") + "\n")
	}
	line := func(cells []Cell) {
		if flex < 0 || flex >= len(cells) || width(p.PlainText(cells[flex].Text)) <= widths[flex] {
			row(cells)
			return
		}
		for i, part := range Wrap(p.PlainText(cells[flex].Text), widths[flex], widths[flex]) {
			next := make([]Cell, len(cells))
			if i == 0 {
				copy(next, cells)
			}
			next[flex] = Cell{Text: part, Tone: cells[flex].Tone}
			row(next)
		}
	}
	top := make([]Cell, len(head))
	for i, h := range head {
		top[i] = Cell{Text: h, Tone: Faint}
		if len(rows) > 0 {
			top[i].Right = rows[0][i].Right
		}
	}
	line(top)
	for _, r := range rows {
		line(r)
	}
}

// brailleDots are the bits of a braille cell, left and right column, from the
// bottom dot to the top one.
var brailleDots = [2][4]rune{{0x40, 0x04, 0x02, 0x01}, {0x80, 0x20, 0x10, 0x08}}

// Sparkline draws ys in n columns as braille dots (two samples and four
// levels a column and row) in rows lines, or as ASCII digits-free dots.
// Values are clamped to [lo, hi].
func (p *Printer) Sparkline(ys []float64, lo, hi float64, n, rows int) []string {
	if len(ys) == 0 || n < 1 || rows < 1 {
		return nil
	}
	perCol, perRow := 2, 4
	if p.Terminal.ASCII {
		perCol, perRow = 1, 1
	}
	grid := make([][]rune, rows)
	for i := range grid {
		grid[i] = make([]rune, n)
	}
	cols := n * perCol
	s := Scale{Lo: lo, Hi: hi, From: 0, To: float64(rows*perRow - 1)}
	for c := range cols {
		level := int(math.Round(s.At(resample(ys, c, cols))))
		row := rows - 1 - level/perRow
		if p.Terminal.ASCII {
			grid[row][c] = '*'
			continue
		}
		grid[row][c/2] |= 0x2800 | brailleDots[c%2][level%4]
	}
	out := make([]string, rows)
	for i, g := range grid {
		for _, r := range g {
			if r == 0 {
				r = ' '
			}
			out[i] += string(r)
		}
	}
	return out
}

// resample returns the value of ys at column c of cols: the last value that
// falls into the column, so that the final column is the final value.
func resample(ys []float64, c, cols int) float64 {
	i := (c+1)*len(ys)/cols - 1
	return ys[min(max(i, 0), len(ys)-1)]
}
