package plot

import "math"

// The frame of a chart, in drawing units: about one CSS pixel on a phone.
const (
	ChartW, ChartH           = 400.0, 232.0
	ChartLeft, ChartRight    = 50.0, 384.0
	ChartTop, ChartBottom    = 14.0, 190.0
	axisTitleY, xTickY, midX = 224.0, 205.0, (ChartLeft + ChartRight) / 2
)

// Frame draws axes, ticks and titles of a chart between the
// scales' ends.
func (d *Drawing) Frame(x, y Scale, xs, ys []float64, xLabel, yLabel func(float64) string, xTitle string) {
	for _, v := range ys {
		d.Line("axis", ChartLeft, y.At(v), ChartRight, y.At(v))
		d.Text("", "end", ChartLeft-5, y.At(v)+3.5, yLabel(v))
	}
	d.Line("axis", ChartLeft, ChartBottom, ChartRight, ChartBottom)
	for _, v := range xs {
		d.Line("axis", x.At(v), ChartBottom, x.At(v), ChartBottom+4)
		anchor, at := "middle", x.At(v)
		if at > ChartRight-14 {
			anchor, at = "end", at+10 // keep the last label inside the drawing
		}
		d.Text("", anchor, math.Min(at, ChartW-2), xTickY, xLabel(v))
	}
	d.Text("", "middle", midX, axisTitleY, xTitle)
}
