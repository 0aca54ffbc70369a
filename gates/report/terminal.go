package report

import (
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// TextOptions says what the terminal can show. The zero value is plain text
// without colour, 80 columns wide.
type TextOptions struct {
	Color bool  // ANSI colours; never the only carrier of a meaning
	ASCII bool  // bytes 0x20 to 0x7E and line feeds only
	Width int   // columns; 0 means 80, smaller than 40 means 40
	Where Where // for the commands to copy
}

const (
	defaultColumns = 80
	minColumns     = 40
	maxColumns     = 200
)

// tone is what a piece of text means; the words always say it too.
type tone int

const (
	plain tone = iota
	strong
	good
	bad
	unsure
	faint
)

var toneCodes = map[tone]string{strong: "1", good: "32;1", bad: "31;1", unsure: "33;1", faint: "2"}

// printer collects the lines of a page; the first write error sticks.
type printer struct {
	w    io.Writer
	opts TextOptions
	cols int
	err  error
}

func newPrinter(w io.Writer, o TextOptions) *printer {
	cols := o.Width
	if cols == 0 {
		cols = defaultColumns
	}
	return &printer{w: w, opts: o, cols: min(max(cols, minColumns), maxColumns)}
}

func (p *printer) raw(s string) {
	if p.err == nil {
		// Unbreakable spaces have kept the words together; a reader who searches
		// or copies wants ordinary ones.
		_, p.err = io.WriteString(p.w, strings.ReplaceAll(s, nbsp, " "))
	}
}

// plainText is s as this terminal can show it, without colour.
func (p *printer) plainText(s string) string {
	s = clean(s, 4000)
	if p.opts.ASCII {
		return toASCII(s)
	}
	return s
}

// paint colours text that plainText has already made safe.
func (p *printer) paint(t tone, safe string) string {
	code := toneCodes[t]
	if !p.opts.Color || code == "" || safe == "" {
		return safe
	}
	return "\x1b[" + code + "m" + safe + "\x1b[0m"
}

func (p *printer) blank() { p.raw("\n") }

// para prints s wrapped to the width, later lines indented by hang columns
// more than the first.
func (p *printer) para(t tone, indent, hang int, s string) {
	for i, l := range wrap(p.plainText(s), p.cols-indent-hang, p.cols-indent) {
		pad := indent
		if i > 0 {
			pad += hang
		}
		p.raw(strings.Repeat(" ", pad) + p.paint(t, l) + "\n")
	}
}

// heading starts a section.
func (p *printer) heading(s string) {
	p.blank()
	p.raw(p.paint(strong, p.plainText(s)) + "\n")
}

// command prints a command on its own line, never wrapped: it must survive
// copy and paste.
func (p *printer) command(s string) { p.raw("  $ " + p.plainText(s) + "\n") }

// labelled prints "label  text" with the text wrapped in its own column.
func (p *printer) labelled(label string, width int, t tone, s string) {
	head := pad(p.plainText(label), width)
	for i, l := range wrap(p.plainText(s), p.cols-width-4, p.cols-width-4) {
		if i > 0 {
			head = strings.Repeat(" ", width)
		}
		p.raw("  " + head + "  " + p.paint(t, l) + "\n")
	}
}

// wrap breaks s at spaces; a word longer than a line stays whole.
func wrap(s string, rest, first int) []string {
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

func pad(s string, n int) string {
	if w := width(s); w < n {
		return s + strings.Repeat(" ", n-w)
	}
	return s
}

func padLeft(s string, n int) string {
	if w := width(s); w < n {
		return strings.Repeat(" ", n-w) + s
	}
	return s
}

// short cuts s to n columns and marks the cut.
func (p *printer) short(s string, n int) string {
	s = p.plainText(s)
	if width(s) <= n {
		return s
	}
	mark := p.plainText("…")
	r := []rune(s)
	return string(r[:max(n-width(mark), 1)]) + mark
}

// cell is one cell of a table.
type cell struct {
	s     string
	tone  tone
	right bool
}

// table prints rows under a header; columns are as wide as their content, and
// the column named by flex is wrapped into what is left of the width.
func (p *printer) table(head []string, rows [][]cell, flex int) {
	const gap = 2
	widths := make([]int, len(head))
	for i, h := range head {
		widths[i] = width(p.plainText(h))
	}
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], width(p.plainText(c.s)))
		}
	}
	used := 2
	for _, w := range widths {
		used += w + gap
	}
	if over := used - gap - p.cols; over > 0 && flex >= 0 {
		widths[flex] = max(widths[flex]-over, min(widths[flex], 16))
	}
	row := func(cells []cell) {
		out := "  "
		for i, c := range cells {
			s := p.short(c.s, widths[i])
			last := i == len(cells)-1
			switch {
			case c.right:
				s = padLeft(s, widths[i])
			case !last:
				s = pad(s, widths[i])
			}
			out += p.paint(c.tone, s)
			if !last {
				out += strings.Repeat(" ", gap)
			}
		}
		p.raw(strings.TrimRight(out, " ") + "\n")
	}
	line := func(cells []cell) {
		if flex < 0 || flex >= len(cells) || width(p.plainText(cells[flex].s)) <= widths[flex] {
			row(cells)
			return
		}
		for i, part := range wrap(p.plainText(cells[flex].s), widths[flex], widths[flex]) {
			next := make([]cell, len(cells))
			if i == 0 {
				copy(next, cells)
			}
			next[flex] = cell{s: part, tone: cells[flex].tone}
			row(next)
		}
	}
	top := make([]cell, len(head))
	for i, h := range head {
		top[i] = cell{s: h, tone: faint}
		if len(rows) > 0 {
			top[i].right = rows[0][i].right
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

// sparkline draws ys in n columns as braille dots (two samples and four
// levels a column and row) in rows lines, or as ASCII digits-free dots.
// Values are clamped to [lo, hi].
func (p *printer) sparkline(ys []float64, lo, hi float64, n, rows int) []string {
	if len(ys) == 0 || n < 1 || rows < 1 {
		return nil
	}
	perCol, perRow := 2, 4
	if p.opts.ASCII {
		perCol, perRow = 1, 1
	}
	grid := make([][]rune, rows)
	for i := range grid {
		grid[i] = make([]rune, n)
	}
	cols := n * perCol
	s := scale{lo: lo, hi: hi, from: 0, to: float64(rows*perRow - 1)}
	for c := range cols {
		level := int(math.Round(s.at(resample(ys, c, cols))))
		row := rows - 1 - level/perRow
		if p.opts.ASCII {
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
