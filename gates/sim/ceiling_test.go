package sim

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/arqon/arqon/gates/evalue"
)

// 5 % harm under t₂ noise is not noticed within 50 pairs in 99 % of canaries
// even by who knows the noise and the harm to the last digit and bets by the
// likelihood ratio that is growth-optimal against every distribution symmetric
// about the line (Grünwald, de Heide & Koolen 2024), 2f(x)/(f(x)+f(2θ−x)). It
// is the ceiling beside our figure in docs/statistics.md.
func TestHeavyTailsHaveACeiling(t *testing.T) {
	p := DefaultCanary()
	r := rand.New(rand.NewPCG(7, 7))
	draw := heavy(p.SD, r)
	density := symmetricDensity(func() float64 { return draw() - draw() }, 4_000_000)
	line := math.Log1p(evalue.Question{Tolerance: p.Tolerance, MinEffect: p.MinEffect}.Line())
	harm, bar := math.Log1p(p.HarmBy), -math.Log(p.Alpha)
	const runs = 4000
	noticed := 0
	for range runs {
		wealth := 0.0
		for range p.Within {
			x := harm + draw() - draw()
			f, g := density(x-harm), density(2*line-x-harm)
			if wealth += math.Log(2 * f / (f + g)); wealth >= bar {
				noticed++
				break
			}
		}
	}
	share := float64(noticed) / runs
	t.Logf("with perfect knowledge %.1f %% are noticed within %d pairs", 100*share, p.Within)
	if share > .97 || share < .8 {
		t.Errorf("the ceiling is %.3f: docs/statistics.md says otherwise", share)
	}
}

// symmetricDensity estimates the density of a variable that is symmetric about
// 0 from n draws: a histogram of |x| on the scale asinh(x/sd), interpolated.
func symmetricDensity(draw func() float64, n int) func(float64) float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = math.Abs(draw())
	}
	sort.Float64s(xs)
	scale := xs[n/2]
	const bins, top = 400, 8.0
	counts := make([]float64, bins+1)
	for _, x := range xs {
		counts[min(int(math.Asinh(x/scale)/top*bins), bins)]++
	}
	return func(x float64) float64 {
		u := math.Asinh(math.Abs(x)/scale) / top * bins
		i := min(int(u), bins-1)
		// by the width of the bin on the scale of x
		lo, hi := scale*math.Sinh(float64(i)*top/bins), scale*math.Sinh(float64(i+1)*top/bins)
		return (counts[i] + .5) / (float64(n) * (hi - lo))
	}
}
