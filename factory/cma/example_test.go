package cma_test

import (
	"fmt"

	"github.com/arqon/arqon/factory/cma"
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
