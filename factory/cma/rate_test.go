package cma

import (
	"math"
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

// The worth of adapted rates under noise: the sphere in ten dimensions with a
// normal error of 1 on every loss, 20,000 evaluations, the true loss of the
// mean at the end.
func TestAdaptedRatesUnderNoise(t *testing.T) {
	const n, budget, seeds = 10, 20_000, 5
	lo, hi := region(n)
	logs := map[bool]float64{}
	for _, adapt := range []bool{false, true} {
		for s := range uint64(seeds) {
			noise := seed.Stream(seed.Root(s), "cma/rate test")
			o := mustNew(t, Config{Dim: n, Lower: lo, Upper: hi, Seed: s, Budget: budget, AdaptRate: adapt, NoRestart: true})
			x := make([]float64, n)
			for o.Ask(x) {
				o.Tell(sphere(x) + noise.NormFloat64())
			}
			o.Mean(x)
			logs[adapt] += math.Log10(sphere(x)) / seeds
		}
	}
	t.Logf("true loss of the mean: %.2g with fixed rates, %.2g with adapted ones", math.Pow(10, logs[false]), math.Pow(10, logs[true]))
	if logs[true] > logs[false]-1 {
		t.Errorf("10^%.2f with fixed rates, 10^%.2f with adapted ones", logs[false], logs[true])
	}
}
