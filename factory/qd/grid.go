package qd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// Limits of a grid.
const (
	descriptorsMax = 4
	binsMax        = 256
	cellsMax       = 10_000
	binsUsual      = 10
)

// ErrDescriptor is wrapped by every refusal of a descriptor; the message names
// its number and field.
var ErrDescriptor = errors.New("descriptor refused")

// Grid cuts what points are told apart by into cells. Make one with
// [NewGrid].
type Grid struct {
	space benchmarks.Space
	Axes  []Axis
}

// Axis is one descriptor over its space.
type Axis struct {
	engine.Descriptor
	Labels []string // one a bin; the last is "off" where a knob can be inactive

	parameter benchmarks.Parameter // of a knob
	at        int                  // the knob's coordinate in the unit cube
	bins      int                  // without "off"
}

// NewGrid checks the descriptors against a space. No descriptor at all means
// the space's first two knobs that are not permutations.
func NewGrid(space benchmarks.Space, descriptors []engine.Descriptor) (Grid, error) {
	if len(descriptors) == 0 {
		descriptors = firstKnobs(space)
	}
	g := Grid{space: space}
	if n := len(descriptors); n < 1 || n > descriptorsMax {
		return g, fmt.Errorf("%w: %d descriptors, want 1 to %d", ErrDescriptor, n, descriptorsMax)
	}
	cells := 1
	for i, d := range descriptors {
		a, err := newAxis(space, d)
		if err != nil {
			return g, fmt.Errorf("%w: %d: %w", ErrDescriptor, i, err)
		}
		for _, b := range g.Axes {
			if a.Name() == b.Name() {
				return g, fmt.Errorf("%w: %d: %s is an axis already", ErrDescriptor, i, a.Name())
			}
		}
		g.Axes = append(g.Axes, a)
		cells *= len(a.Labels)
	}
	if cells > cellsMax {
		return g, fmt.Errorf("%w: %d cells, at most %d: use fewer bins", ErrDescriptor, cells, cellsMax)
	}
	return g, nil
}

func firstKnobs(space benchmarks.Space) (out []engine.Descriptor) {
	for _, p := range space.Parameters {
		if p.Kind != benchmarks.Permutation && len(out) < 2 {
			out = append(out, engine.Descriptor{Knob: p.Name})
		}
	}
	return out
}

func newAxis(space benchmarks.Space, d engine.Descriptor) (Axis, error) {
	a := Axis{Descriptor: d}
	switch {
	case (d.Knob == "") == (d.Metric == ""):
		return a, errors.New("want either knob or metric")
	case d.Bins < 0 || d.Bins > binsMax:
		return a, fmt.Errorf("bins is %d: want 1 to %d, or leave it out", d.Bins, binsMax)
	}
	if d.Metric != "" {
		return metricAxis(a)
	}
	for _, p := range space.Parameters {
		if p.Name == d.Knob {
			a.parameter = p
			return knobAxis(a)
		}
		a.at += p.Width()
	}
	return a, fmt.Errorf("knob %q is not in the space", d.Knob)
}

func metricAxis(a Axis) (Axis, error) {
	if !(a.Min < a.Max) || math.IsInf(a.Max-a.Min, 0) {
		return a, fmt.Errorf("metric %s: min %v is not below max %v: give the range that matters", a.Metric, a.Min, a.Max)
	}
	if a.Log && a.Min <= 0 {
		return a, fmt.Errorf("metric %s: min %v: want above 0 with log", a.Metric, a.Min)
	}
	if a.bins = a.Bins; a.bins == 0 {
		a.bins = binsUsual
	}
	for i := range a.bins {
		a.Labels = append(a.Labels, a.span(a.Min, a.Max, a.Log, i))
	}
	return a, nil
}

func knobAxis(a Axis) (Axis, error) {
	p := a.parameter
	if a.Min != 0 || a.Max != 0 || a.Log {
		return a, fmt.Errorf("knob %s: min, max and log are those of the space: leave them out", p.Name)
	}
	values := valuesOf(p) // by cell of the unit cube; nil for a continuum
	switch {
	case p.Kind == benchmarks.Permutation:
		return a, fmt.Errorf("knob %s is a permutation: its order is no axis", p.Name)
	case (p.Kind == benchmarks.Categorical || p.Kind == benchmarks.Bool) && a.Bins != 0 && a.Bins != len(values):
		return a, fmt.Errorf("knob %s: bins is %d, its choices are %d bins: leave it out", p.Name, a.Bins, len(values))
	}
	a.bins = a.Bins
	if n := len(values); a.bins == 0 {
		a.bins = binsUsual
		if n > 0 && (n < binsUsual || p.Kind == benchmarks.Categorical || p.Kind == benchmarks.Bool) {
			a.bins = n
		}
	} else if n > 0 {
		a.bins = min(a.bins, n)
	}
	for i := range a.bins {
		a.Labels = append(a.Labels, a.knobLabel(values, i))
	}
	if p.When != nil {
		a.Labels = append(a.Labels, "off")
	}
	return a, nil
}

// valuesOf lists the values of a knob with few of them, in the order of the
// cells of its coordinate.
func valuesOf(p benchmarks.Parameter) (out []string) {
	switch p.Kind {
	case benchmarks.Categorical, benchmarks.Ordinal:
		return p.Choices
	case benchmarks.Bool:
		return []string{"false", "true"}
	case benchmarks.Int:
		if p.Log || p.Max-p.Min >= binsMax {
			return nil
		}
		for v := p.Min; v <= p.Max; v++ {
			out = append(out, short(v))
		}
	case benchmarks.Float, benchmarks.Permutation:
	}
	return out
}

// knobLabel names bin i by the values at its ends.
func (a Axis) knobLabel(values []string, i int) string {
	if n := len(values); n > 0 {
		// The first cell of a bin is the first whose middle lies in it.
		at := func(i int) int { return (2*i*n + a.bins - 1) / (2 * a.bins) }
		first, last := at(i), at(i+1)-1
		if first >= last {
			return values[first]
		}
		return values[first] + "…" + values[last]
	}
	lo, hi := a.parameter.Min, a.parameter.Max
	if a.parameter.Kind == benchmarks.Int {
		lo, hi = lo-.5, hi+.5 // as the unit cube has it
		n := float64(a.bins)
		first, last := math.Ceil(between(lo, hi, a.parameter.Log, float64(i)/n)), math.Floor(between(lo, hi, a.parameter.Log, float64(i+1)/n))
		if first < last {
			return short(first) + "…" + short(last)
		}
		return short(first)
	}
	return a.span(lo, hi, a.parameter.Log, i)
}

// span names bin i of the range by its ends.
func (a Axis) span(lo, hi float64, log bool, i int) string {
	n := float64(a.bins)
	return short(between(lo, hi, log, float64(i)/n)) + "…" + short(between(lo, hi, log, float64(i+1)/n))
}

// between interpolates, on a logarithmic scale if log.
func between(lo, hi float64, log bool, share float64) float64 {
	if log {
		return math.Exp(between(math.Log(lo), math.Log(hi), false, share))
	}
	return lo + float64(share*(hi-lo))
}

// short prints three digits, and large numbers without an exponent.
func short(x float64) string {
	s := strconv.FormatFloat(x, 'g', 3, 64)
	if strings.Contains(s, "e+") && math.Abs(x) < 1e7 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return s
}

// Name is the knob or the metric.
func (a Axis) Name() string { return a.Knob + a.Metric }

// bin returns where a point lies on the axis; false if its metric was not
// measured.
func (a Axis) bin(cube []float64, p benchmarks.Point, values map[string]float64) (int, bool) {
	if a.Metric != "" {
		v, ok := values[a.Metric]
		if !ok || math.IsNaN(v) || a.Log && v <= 0 {
			return 0, false
		}
		v, lo, hi := math.Min(math.Max(v, a.Min), a.Max), a.Min, a.Max
		if a.Log {
			v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
		}
		return min(int((v-lo)/(hi-lo)*float64(a.bins)), a.bins-1), true
	}
	if _, active := p[a.Knob]; !active {
		return len(a.Labels) - 1, a.parameter.When != nil
	}
	return min(int(cube[a.at]*float64(a.bins)), a.bins-1), true
}

// Cells is the number of cells.
func (g Grid) Cells() int {
	n := 1
	for _, a := range g.Axes {
		n *= len(a.Labels)
	}
	return n
}

// Cell returns the cell of a normalized point with what was measured of it;
// false if a metric that the grid needs was not.
func (g Grid) Cell(p benchmarks.Point, values map[string]float64) (int, bool) {
	cube := g.space.Encode(p)
	cell := 0
	for _, a := range g.Axes {
		b, ok := a.bin(cube, p, values)
		if !ok {
			return 0, false
		}
		cell = cell*len(a.Labels) + b
	}
	return cell, true
}

// Bins is Cell's inverse: one bin an axis.
func (g Grid) Bins(cell int) []int {
	out := make([]int, len(g.Axes))
	for i := len(g.Axes) - 1; i >= 0; i-- {
		n := len(g.Axes[i].Labels)
		out[i], cell = cell%n, cell/n
	}
	return out
}
