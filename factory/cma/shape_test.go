package cma

import "testing"

// The worth of the separable form: the ellipsoid in 100 dimensions within
// 150·D evaluations, which are not enough to learn 5,050 covariances.
func TestSeparableFormIsFasterInHighDimensions(t *testing.T) {
	const n, budget = 100, 15_000
	lo, hi := region(n)
	best := map[Form]float64{}
	for _, form := range []Form{Full, Separable} {
		o := mustNew(t, Config{Dim: n, Lower: lo, Upper: hi, Seed: 1, Budget: budget, Form: form})
		minimise(t, o, ellipsoid, 1e-8)
		best[form] = o.Best(make([]float64, n))
	}
	t.Logf("full %.3g, separable %.3g", best[Full], best[Separable])
	if best[Full] < 100*best[Separable] {
		t.Errorf("full %.3g, separable %.3g", best[Full], best[Separable])
	}
}

func TestFormFollowsDimensionAndBudget(t *testing.T) {
	for _, c := range []struct {
		n, budget int
		want      Form
	}{{20, 100, Full}, {100, 0, Full}, {100, 5000, Separable}, {100, 20_000, Full}, {500, 0, Separable}} {
		if got := formFor(AutoForm, c.n, c.budget); got != c.want {
			t.Errorf("%d dimensions, budget %d: form %d, want %d", c.n, c.budget, got, c.want)
		}
	}
}
