package cma_test

import (
	"fmt"

	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/internal/seed"
)

// The least value of Rosenbrock's function in five dimensions.
func Example() {
	o, err := cma.New(cma.Config{
		Dim:    5,
		Lower:  []float64{-2, -2, -2, -2, -2},
		Upper:  []float64{2, 2, 2, 2, 2},
		Budget: 5000,
		Seed:   1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	x := make([]float64, 5)
	for o.Ask(x) {
		var loss float64
		for i := range 4 {
			a, b := x[i+1]-x[i]*x[i], 1-x[i]
			loss += 100*a*a + b*b
		}
		o.Tell(loss)
	}
	why, _ := o.Done()
	best := o.Best(x)
	fmt.Printf("%s: below 1e-10: %v at %.3f\n", why, best < 1e-10, x)
	// Output: budget: below 1e-10: true at [1.000 1.000 1.000 1.000 1.000]
}

// A loss whose noise is as large as itself: points are asked again as often as
// that needs, and the mean, not the best sample, is the answer.
func ExampleConfig_reevaluate() {
	noise := seed.Stream(seed.Root(1), "example")
	distance := func(repeats int) float64 {
		o, err := cma.New(cma.Config{
			Dim: 4, Lower: []float64{-5, -5, -5, -5}, Upper: []float64{5, 5, 5, 5},
			Budget: 10_000, Seed: 1, NoRestart: true, Reevaluate: repeats,
		})
		if err != nil {
			fmt.Println(err)
			return 0
		}
		square := func(x []float64) (sum float64) {
			for _, v := range x {
				sum += (v - 1) * (v - 1)
			}
			return sum
		}
		x := make([]float64, 4)
		for o.Ask(x) {
			o.Tell(square(x) * (1 + noise.NormFloat64()))
		}
		o.Mean(x)
		return square(x)
	}
	fmt.Printf("below 1e-3 without: %v, with up to 50: %v\n", distance(0) < 1e-3, distance(50) < 1e-3)
	// Output: below 1e-3 without: false, with up to 50: true
}
