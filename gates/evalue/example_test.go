package evalue_test

import (
	"fmt"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Pairs of samples, baseline and candidate, are judged as they come: is the
// candidate at least 2 % faster? It may be looked at after every pair; the
// chance that anything false is ever promoted stays below Alpha.
func ExampleDecider() {
	q := evalue.Question{Goal: evalue.Better, MinEffect: .02, Alpha: .01, Candidates: 1}
	if err := q.Check(); err != nil {
		fmt.Println(err)
		return
	}
	noise := seed.Stream(seed.Root(1), "example")
	judge := func(effect float64) {
		d := evalue.NewDecider(q, &evalue.Noise{})
		for !d.Done() {
			a := 100 * (1 + .01*noise.NormFloat64()) // ns, measured one beside the other
			b := 100 * (1 + effect) * (1 + .01*noise.NormFloat64())
			d.Add(a, b)
		}
		x := d.Decide()
		fmt.Printf("promote: %v after %d pairs, %+.1f %%: %s\n", x.Promote, x.Pairs, 100*x.Estimate, x.Reason)
	}
	judge(-.05)
	judge(0)
	// Output:
	// promote: true after 9 pairs, -6.1 %: shown
	// promote: false after 9 pairs, +0.5 %: futile: no effect explains the pairs better than the smallest effect of interest
}
