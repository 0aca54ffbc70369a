package plot

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Drawing writes one inline SVG. Every text goes through esc and every number
// through num, so that what it returns is well formed whatever a metric or a
// candidate is called. Colours live in the page's style sheet as classes: the
// same drawing serves light and dark.
type Drawing struct {
	b    strings.Builder
	w, h float64
}

// NewDrawing starts an SVG w × h units wide. id must be unique on the page:
// title and description are what a screen reader says.
func NewDrawing(id, title, desc string, w, h float64) *Drawing {
	d := &Drawing{w: w, h: h}
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" role="img" aria-labelledby="%s-t %s-d" class="plot">`,
		num(w), num(h), esc(id), esc(id))
	fmt.Fprintf(&d.b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, esc(id), esc(title), esc(id), esc(desc))
	return d
}

// NewStrip starts a drawing without text that may be stretched sideways.
func NewStrip(id, title, desc string, w, h float64) *Drawing {
	d := NewDrawing(id, title, desc, w, h)
	open := d.b.String()
	d.b.Reset()
	d.b.WriteString(strings.Replace(open, "<svg ", `<svg preserveAspectRatio="none" `, 1))
	return d
}

// Done returns the drawing.
func (d *Drawing) Done() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String())
}

// Line draws a straight line of the class.
func (d *Drawing) Line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, esc(class), num(x1), num(y1), num(x2), num(y2))
}

// Rect draws a rectangle with corners rounded by r.
func (d *Drawing) Rect(class string, x, y, w, h, r float64) {
	d.Box(class, x, y, w, h, r, "")
}

// Box is Rect with a tip.
func (d *Drawing) Box(class string, x, y, w, h, r float64, tip string) {
	d.mark(fmt.Sprintf(`<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="%s"`,
		esc(class), num(x), num(y), num(math.Max(w, 0)), num(math.Max(h, 0)), num(r)), "rect", tip)
}

// Circle draws a dot; tip, if any, is what a pointer resting on it reads.
func (d *Drawing) Circle(class string, x, y, r float64, tip string) {
	d.mark(fmt.Sprintf(`<circle class="%s" cx="%s" cy="%s" r="%s"`, esc(class), num(x), num(y), num(r)), "circle", tip)
}

// Diamond marks something that must not be confused with a circle even
// without colour.
func (d *Drawing) Diamond(class string, x, y, r float64, tip string) {
	d.mark(fmt.Sprintf(`<path class="%s" d="M%s %sL%s %sL%s %sL%s %sZ"`, esc(class),
		num(x), num(y-r), num(x+r), num(y), num(x), num(y+r), num(x-r), num(y)), "path", tip)
}

func (d *Drawing) mark(open, name, tip string) {
	d.b.WriteString(open)
	if tip == "" {
		d.b.WriteString("/>")
		return
	}
	fmt.Fprintf(&d.b, "><title>%s</title></%s>", esc(tip), name)
}

// Polyline joins points; y may be anything finite.
func (d *Drawing) Polyline(class string, xs, ys []float64) {
	if len(xs) == 0 {
		return
	}
	fmt.Fprintf(&d.b, `<polyline class="%s" points="`, esc(class))
	for i := range xs {
		if i > 0 {
			d.b.WriteByte(' ')
		}
		d.b.WriteString(num(xs[i]) + "," + num(ys[i]))
	}
	d.b.WriteString(`"/>`)
}

// Text writes s at (x, y); anchor is start, middle or end.
func (d *Drawing) Text(class, anchor string, x, y float64, s string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, esc(class), esc(anchor), num(x), num(y), esc(s))
}

// num prints a coordinate with one decimal: short, and equal on every machine
// that agrees on the double.
func num(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		x = 0
	}
	s := strconv.FormatFloat(x, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// esc escapes for XML text and attribute values and drops what XML 1.0 cannot
// hold.
func esc(s string) string {
	var b strings.Builder
	for _, r := range Clean(s, 2000) {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '"':
			b.WriteString("&#34;")
		case '\'':
			b.WriteString("&#39;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Scale maps [lo, hi] of the data onto [from, to] of the drawing.
type Scale struct{ Lo, Hi, From, To float64 }

// At returns where x is drawn; what lies outside is drawn on the edge.
func (s Scale) At(x float64) float64 {
	x = math.Min(math.Max(x, s.Lo), s.Hi)
	// Halves, because a span of two large numbers can overflow.
	share := (x/2 - s.Lo/2) / (s.Hi/2 - s.Lo/2)
	if !(share >= 0 && share <= 1) {
		share = .5 // an empty or infinite range, or no number at all
	}
	return s.From + share*(s.To-s.From)
}

// Ticks returns up to about n round positions in [lo, hi].
func Ticks(lo, hi float64, n int) []float64 {
	if hi <= lo || math.IsNaN(lo+hi) || math.IsInf(hi-lo, 0) {
		return nil
	}
	raw := (hi - lo) / float64(max(n, 1))
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := mag
	for _, m := range []float64{1, 2, 5, 10} {
		if step = m * mag; step >= raw {
			break
		}
	}
	var out []float64
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+step*1e-9 && len(out) <= 2*n+2; k++ {
		out = append(out, k*step)
	}
	return out
}

// Padded widens [lo, hi] by the share on both sides and never returns an
// empty or an infinite range.
func Padded(lo, hi, share float64) (float64, float64) {
	if math.IsNaN(lo) || math.IsNaN(hi) || math.IsInf(lo, 0) || math.IsInf(hi, 0) {
		return -1, 1
	}
	if lo == hi {
		if lo == 0 {
			return -1, 1
		}
		return lo - math.Abs(lo)*0.1, hi + math.Abs(hi)*0.1
	}
	p := (hi - lo) * share
	return lo - p, hi + p
}

// Thin returns at most limit indices of n, first and last among them.
func Thin(n, limit int) []int {
	if n <= limit {
		out := make([]int, n)
		for i := range out {
			out[i] = i
		}
		return out
	}
	out := make([]int, limit)
	for i := range out {
		out[i] = i * (n - 1) / (limit - 1)
	}
	return out
}
