package cma

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/optimize"
)

// CPU an evaluation inside the optimizer, ours and stock gonum's in turn in the
// same run, on Rosenbrock's function, whose own share is under a tenth of a
// microsecond:
//
//	go test ./factory/cma -run xxx -bench AgainstGonum -benchtime 20x
func BenchmarkAgainstGonum(b *testing.B) {
	for _, n := range []int{20, 100} {
		b.Run(fmt.Sprintf("D=%d", n), func(b *testing.B) {
			per := 20 * defaultLambda(n)
			lo, hi := region(n)
			o := mustNew(b, Config{Dim: n, Seed: 1, Lower: lo, Upper: hi, NoRestart: true})
			x := make([]float64, n)
			b.ReportAllocs()
			var ours, theirs float64 // CPU seconds
			for b.Loop() {
				from := cpuSeconds()
				for range per {
					if !o.Ask(x) {
						o = mustNew(b, Config{Dim: n, Seed: 1, Lower: lo, Upper: hi, NoRestart: true})
						o.Ask(x)
					}
					o.Tell(rosenbrock(x))
				}
				half := cpuSeconds()
				ours += half - from
				gonum(b, n, per)
				theirs += cpuSeconds() - half
			}
			evals := float64(per) * float64(b.N)
			b.ReportMetric(1e6*ours/evals, "µs/eval")
			b.ReportMetric(1e6*theirs/evals, "µs/eval-gonum")
			b.ReportMetric(ours/theirs, "ours/gonum")
		})
	}
}

// gonum spends evaluations with stock gonum's CMA-ES.
func gonum(b *testing.B, n, evals int) {
	method := &optimize.CmaEsChol{InitStepSize: 1, Src: rand.NewPCG(1, 2)}
	settings := &optimize.Settings{FuncEvaluations: evals, Concurrent: 1, Converger: optimize.NeverTerminate{}}
	if _, err := optimize.Minimize(optimize.Problem{Func: rosenbrock}, make([]float64, n), settings, method); err != nil {
		b.Fatal(err)
	}
}
