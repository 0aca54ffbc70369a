package worlds

import (
	"math"

	"github.com/arqon/arqon/runtime/adapt"
)

// apart are still losses around an optimum that are no quadratics along the
// knobs; y is a point's distance from it, knob by knob.
var apart = []struct {
	name string
	loss func(y []float64) float64
}{
	{"turned", func(y []float64) float64 { return steep(100, turned(y)) }},
	{"turned, steep", func(y []float64) float64 { return steep(1e4, turned(y)) }},
	{"turned, log", func(y []float64) float64 { return math.Log(1 + 100*steep(100, turned(y))) }},
	{"corners", func(y []float64) (sum float64) {
		for _, v := range y {
			sum += math.Abs(v)
		}
		return sum
	}},
	{"ripples", func(y []float64) (sum float64) {
		for _, v := range y {
			sum += v*v + .01*(1-math.Cos(30*v))
		}
		return sum
	}},
	{"stairs", func(y []float64) float64 { return math.Floor(50*steep(10, y)) / 50 }},
	{"plateau", func(y []float64) float64 { return 1 - math.Exp(-4*steep(10, y)) }},
	{"flat bottom", func(y []float64) (sum float64) {
		for _, v := range y {
			sum += v * v * v * v
		}
		return sum
	}},
	{"three knobs matter", func(y []float64) float64 { return steep(1, y[:min(3, len(y))]) }},
}

// steep is a quadratic whose curvatures differ by a factor.
func steep(factor float64, y []float64) (sum float64) {
	for i, v := range y {
		sum += math.Pow(factor, float64(i)/max(float64(len(y)-1), 1)) * v * v
	}
	return sum / float64(len(y))
}

// turned reflects a point three times, so that no knob is a direction of the landscape.
func turned(y []float64) []float64 {
	out := append([]float64(nil), y...)
	for r := range uint64(3) {
		along, length := 0.0, 0.0
		for i, v := range out {
			n := adapt.Normal(4242, r, uint64(i))
			along, length = along+n*v, length+n*n
		}
		for i := range out {
			out[i] -= 2 * along / length * adapt.Normal(4242, r, uint64(i))
		}
	}
	return out
}

// runApart is Landscape.Run for a loss of its own.
func runApart(t *adapt.Tuner, loss func([]float64) float64, noise float64, seed uint64, T int) (asked, best float64) {
	y := make([]float64, t.Knobs())
	at := func(x []float64) float64 {
		for i := range y {
			y[i] = x[i] - .25 - .5*adapt.Uniform(seed, 0, uint64(i))
		}
		return loss(y)
	}
	never := at(t.Best())
	for step := range T {
		v := at(t.Ask())
		asked += v
		best += at(t.Best())
		t.Tell(v + noise*never*adapt.Normal(seed, 77, uint64(step)))
	}
	return asked / never / float64(T), best / never / float64(T)
}
