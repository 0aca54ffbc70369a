package universe

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Field is the state of a universe: one plane a channel, rows after another,
// on a torus. Values are float64 whatever a kernel computes in.
type Field struct {
	Width, Height int
	Planes        [][]float64 // by channel; Width·Height values each
}

// NewField returns a field of zeros.
func NewField(channels, width, height int) *Field {
	f := &Field{Width: width, Height: height, Planes: make([][]float64, channels)}
	for c := range f.Planes {
		f.Planes[c] = make([]float64, width*height)
	}
	return f
}

// Clone returns a copy that shares nothing with f.
func (f *Field) Clone() *Field {
	out := NewField(len(f.Planes), f.Width, f.Height)
	for c := range f.Planes {
		copy(out.Planes[c], f.Planes[c])
	}
	return out
}

// Start names a way in which fields begin.
type Start string

// The starts: the law decides which one shows its patterns.
const (
	Spots Start = "spots" // channel 0 full, channel 1 empty, squares of the opposite
	Waves Start = "waves" // smooth waves of every channel
	Noise Start = "noise" // patches of uniform noise in an empty field
)

var starts = map[Start]func(f *Field, l Law, r *rand.Rand){Spots: spots, Waves: waves, Noise: patches}

// NewStart makes the field in which a law begins; the stream decides where
// things are.
func (l Law) NewStart(width, height int, r *rand.Rand) *Field {
	f := NewField(len(l.Channels), width, height)
	starts[l.Start](f, l, r)
	return f
}

func spots(f *Field, l Law, r *rand.Rand) {
	for c, p := range f.Planes {
		from := l.Channels[c].Max
		if c > 0 {
			from = l.Channels[c].Min
		}
		for i := range p {
			p[i] = from
		}
	}
	side := min(16, max(4, min(f.Width, f.Height)/10))
	for range max(2, f.Width*f.Height/1024) {
		x0, y0 := r.IntN(f.Width), r.IntN(f.Height)
		for y := range side {
			for x := range side {
				i := (y0+y)%f.Height*f.Width + (x0+x)%f.Width
				for c, p := range f.Planes {
					share := .5
					if c > 0 {
						share = .25
					}
					p[i] = l.Channels[c].Min + (l.Channels[c].Max-l.Channels[c].Min)*(share+.02*r.Float64())
				}
			}
		}
	}
}

func waves(f *Field, l Law, r *rand.Rand) {
	for c, p := range f.Planes {
		middle, half := (l.Channels[c].Min+l.Channels[c].Max)/2, (l.Channels[c].Max-l.Channels[c].Min)/2
		kx, ky := float64(1+r.IntN(4)), float64(1+r.IntN(4))
		phase := r.Float64()
		for i := range p {
			x, y := float64(i%f.Width)/float64(f.Width), float64(i/f.Width)/float64(f.Height)
			p[i] = middle + half*(.4*math.Sin(2*math.Pi*(kx*x+ky*y+phase))+.05*(r.Float64()-.5))
		}
	}
}

func patches(f *Field, l Law, r *rand.Rand) {
	for c, p := range f.Planes {
		lo, span := l.Channels[c].Min, l.Channels[c].Max-l.Channels[c].Min
		for i := range p {
			p[i] = lo
		}
		side := max(8, min(f.Width, f.Height)/4)
		for range max(2, f.Width*f.Height/(2*side*side)) {
			x0, y0 := r.IntN(f.Width), r.IntN(f.Height)
			for y := range side {
				for x := range side {
					p[(y0+y)%f.Height*f.Width+(x0+x)%f.Width] = lo + span*r.Float64()
				}
			}
		}
	}
}

// finite refuses a field that has left the numbers or gone far beyond the
// law's range.
func (f *Field) finite(l Law) error {
	for c, p := range f.Planes {
		far := 4 * max(math.Abs(l.Channels[c].Min), math.Abs(l.Channels[c].Max))
		for i, v := range p {
			if !(math.Abs(v) <= far) { // NaN too
				return fmt.Errorf("channel %s is %v at column %d, row %d: the law diverges", l.Channels[c].Name, v, i%f.Width, i/f.Width)
			}
		}
	}
	return nil
}

// maxDifference is the largest difference of two values at the same place, in
// units of the channel's range.
func maxDifference(l Law, a, b *Field) float64 {
	out := 0.0
	for c := range a.Planes {
		span := l.Channels[c].Max - l.Channels[c].Min
		for i, v := range a.Planes[c] {
			d := math.Abs(v-b.Planes[c][i]) / span
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			out = max(out, d)
		}
	}
	return out
}

// statistics describe a pattern without saying where it is: a channel's mean,
// standard deviation, and root mean square step between neighbours in a row,
// all in units of the channel's range.
func (f *Field) statistics(l Law) []float64 {
	var out []float64
	for c, p := range f.Planes {
		span := l.Channels[c].Max - l.Channels[c].Min
		n := float64(len(p))
		mean, slope := 0.0, 0.0
		for _, v := range p {
			mean += v / n
		}
		variance := 0.0
		for y := range f.Height {
			row := p[y*f.Width : (y+1)*f.Width]
			before := row[f.Width-1]
			for _, v := range row {
				variance += float64((v-mean)*(v-mean)) / n
				slope += float64((v-before)*(v-before)) / n
				before = v
			}
		}
		out = append(out, mean/span, math.Sqrt(variance)/span, math.Sqrt(slope)/span)
	}
	return out
}

// statisticDifference is the largest difference of two fields' statistics.
func statisticDifference(l Law, a, b *Field) float64 {
	out := 0.0
	other := b.statistics(l)
	for i, v := range a.statistics(l) {
		d := math.Abs(v - other[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		out = max(out, d)
	}
	return out
}

// Distance is how far two fields of the law are apart: the largest difference
// of two values, and of the two patterns' statistics, in units of a channel's
// range. It is +Inf where a value is no number.
func (l Law) Distance(a, b *Field) (most, statistic float64) {
	return maxDifference(l, a, b), statisticDifference(l, a, b)
}

// Complexity is the multi-scale structural complexity of a square field's first
// channel, in units of its range: 0 for a uniform one. See structure.
func (l Law) Complexity(f *Field) float64 {
	span := l.Channels[0].Max - l.Channels[0].Min
	pattern := make([]float64, len(f.Planes[0]))
	for i, v := range f.Planes[0] {
		pattern[i] = (v - l.Channels[0].Min) / span
	}
	return sum(structure(pattern, f.Width))
}
