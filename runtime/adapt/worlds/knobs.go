package worlds

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/runtime/adapt"
)

// Motion is what the optimum of a landscape does.
type Motion uint8

// The motions.
const (
	Still Motion = iota
	Drift        // it wanders on a circle
	Jump         // it is elsewhere after every third of the time
)

func (m Motion) String() string { return [...]string{"still", "drift", "jump"}[m] }

// Landscape is a loss over [0, 1]^Dim.
type Landscape struct {
	Dim        int
	Rosenbrock bool
	Motion     Motion
	Noise      float64 // standard deviation, as a share of the loss at the start
}

// Landscapes are those of docs/runtime.md.
func Landscapes() (out []Landscape) {
	for _, rosenbrock := range []bool{false, true} {
		for _, dim := range []int{10, 50} {
			for _, m := range []Motion{Still, Drift, Jump} {
				for _, noise := range []float64{0, .02} {
					out = append(out, Landscape{dim, rosenbrock, m, noise})
				}
			}
		}
	}
	return out
}

// Name of a landscape.
func (l Landscape) Name() string {
	shape := "quadratic"
	if l.Rosenbrock {
		shape = "rosenbrock"
	}
	noise := ""
	if l.Noise > 0 {
		noise = ", noisy"
	}
	return fmt.Sprintf("%s %d, %v%s", shape, l.Dim, l.Motion, noise)
}

// optimum is where the landscape is least after a share of the time.
func (l Landscape) optimum(seed uint64, share float64, out []float64) {
	phase := uint64(0)
	if l.Motion == Jump {
		phase = uint64(share * 3)
	}
	for i := range out {
		out[i] = .25 + .5*adapt.Uniform(seed, phase, uint64(i))
		if l.Motion == Drift {
			out[i] += .15 * math.Sin(2*math.Pi*(share+adapt.Uniform(seed, 99, uint64(i))))
		}
	}
}

// loss at x; 0 at the optimum o.
func (l Landscape) loss(x, o []float64) (sum float64) {
	n := float64(l.Dim)
	if !l.Rosenbrock {
		for i := range x { // condition 100
			d := x[i] - o[i]
			sum += math.Pow(100, float64(i)/max(n-1, 1)) * d * d
		}
		return sum / n
	}
	at := func(i int) float64 { return 1 + 4*(x[i]-o[i]) } // the optimum is at 1
	for i := range len(x) - 1 {
		a, b := at(i), at(i+1)
		sum += 100*(b-a*a)*(b-a*a) + (1-a)*(1-a)
	}
	return sum / n
}

// Tuner starts in the middle of the landscape.
func (l Landscape) Tuner(c adapt.TunerConfig) (*adapt.Tuner, error) {
	ranges, start := make([]adapt.Range, l.Dim), make([]float64, l.Dim)
	for i := range ranges {
		ranges[i], start[i] = adapt.Range{Max: 1}, .5
	}
	return adapt.NewTuner(c, ranges, start)
}

// Run asks a tuner T times and returns the mean true loss of what it asked
// for and of what it recommended, as shares of the loss of never moving.
func (l Landscape) Run(t *adapt.Tuner, seed uint64, T int) (asked, best float64) {
	o, start := make([]float64, l.Dim), make([]float64, l.Dim)
	for i := range start {
		start[i] = .5
	}
	l.optimum(seed, 0, o)
	sd, never := l.Noise*l.loss(start, o), 0.0
	for step := range T {
		l.optimum(seed, float64(step)/float64(T), o)
		x := t.Ask()
		v := l.loss(x, o)
		asked += v
		best += l.loss(t.Best(), o)
		never += l.loss(start, o)
		t.Tell(v + sd*adapt.Normal(seed, 77, uint64(step)))
	}
	return asked / never, best / never
}
