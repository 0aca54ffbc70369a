package factory

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The greedy choice keeps its promise: at least 1−1/e of the best set of its
// size, no worse with more places, and a share between 0 and 1.
func TestPortfolioKeepsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, contexts := rapid.IntRange(1, 7).Draw(t, "variants"), rapid.IntRange(1, 5).Draw(t, "contexts")
		losses := make([][]float64, n)
		for x := range losses {
			losses[x] = rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1, .5), rapid.SampledFrom([]float64{0, 2, math.Inf(1)})), contexts, contexts).Draw(t, "losses")
		}
		value := func(set []int) float64 {
			v := 0.0
			for c := range contexts {
				best := 0.0
				for _, x := range set {
					best = math.Max(best, utility(losses[x][c]))
				}
				v += best
			}
			return v
		}
		before, single := 0.0, 0.0
		for k := 1; k <= n; k++ {
			best := 0.0
			for set := range 1 << n {
				var members []int
				for x := range n {
					if set>>x&1 == 1 {
						members = append(members, x)
					}
				}
				if len(members) <= k {
					best = math.Max(best, value(members))
				}
			}
			if k == 1 {
				single = best
			}
			chosen, gap := choosePortfolio(losses, k)
			got := value(chosen)
			if len(chosen) > k || got < before-1e-9 || got < (1-1/math.E)*best-1e-9 {
				t.Fatalf("%d places: %v is worth %v, after %v; the best set is worth %v", k, chosen, got, before, best)
			}
			all := make([]int, n)
			for x := range all {
				all[x] = x
			}
			want := 1.0
			if whole := value(all); whole-single > 1e-12 {
				want = (got - single) / (whole - single)
			}
			if math.Abs(gap-want) > 1e-6 || gap < -1e-9 || gap > 1+1e-9 {
				t.Fatalf("%d places: gap %v, want %v", k, gap, want)
			}
			before = got
		}
	})
}
