package worlds

import (
	"fmt"
	"math"
	"testing"

	"github.com/arqon/arqon/runtime/adapt"
)

// TestKnobTable prints the knob table of docs/runtime.md.
func TestKnobTable(t *testing.T) {
	n := seeds()
	if n == 0 {
		t.Skip("ARQON_WORLDS=5 ARQON_FIRST=100 go test ./runtime/adapt/worlds -run TestKnobTable -v")
	}
	const T = 6000
	algorithms := []adapt.Algorithm{adapt.Auto, adapt.CMA, adapt.SPSADecaying, adapt.SPSAConstant, adapt.NES, adapt.PBT}
	fmt.Printf("%-28s", "mean loss of best (asked)")
	for _, a := range algorithms {
		fmt.Printf(" %17v", a)
	}
	fmt.Println("  ratio")
	for _, l := range Landscapes() {
		fmt.Printf("%-28s", l.Name())
		var own float64
		least := math.Inf(1)
		for _, a := range algorithms {
			asked, best := 0.0, 0.0
			for s := first(); s < first()+n; s++ {
				tuner, err := l.Tuner(adapt.TunerConfig{Seed: s, Algorithm: a})
				if err != nil {
					t.Fatal(err)
				}
				x, b := l.Run(tuner, s+1, T)
				asked, best = asked+x/float64(n), best+b/float64(n)
			}
			fmt.Printf(" %7.4f (%7.4f)", best, asked)
			if a == adapt.Auto {
				own = best
			} else {
				least = min(least, best)
			}
		}
		fmt.Printf("  %5.2f\n", own/least)
	}
}

// TestKnobsApart prints what Auto loses beside CMA-ES and SPSA on landscapes that were chosen to be hard for it.
func TestKnobsApart(t *testing.T) {
	n := seeds()
	if n == 0 {
		t.Skip("ARQON_WORLDS=5 ARQON_FIRST=100 go test ./runtime/adapt/worlds -run TestKnobsApart -v")
	}
	const T = 6000
	for _, dim := range []int{10, 50} {
		for _, noise := range []float64{0, .02} {
			for _, w := range apart {
				var mean [3]float64
				for k, a := range []adapt.Algorithm{adapt.Auto, adapt.CMA, adapt.SPSADecaying} {
					for s := first(); s < first()+n; s++ {
						tuner, err := Landscape{Dim: dim}.Tuner(adapt.TunerConfig{Seed: s, Algorithm: a})
						if err != nil {
							t.Fatal(err)
						}
						_, best := runApart(tuner, w.loss, noise, s+1, T)
						mean[k] += best / float64(n)
					}
				}
				fmt.Printf("| %s, %d knobs, noise %g | %.4f | %.4f | %.4f | %.2f |\n", w.name, dim, noise, mean[0], mean[1], mean[2], mean[0]/min(mean[1], mean[2]))
			}
		}
	}
}
