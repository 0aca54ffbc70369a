package gates

import (
	"math"
	"slices"
)

// cvarSeedsLeast is the fewest draws whose upper limit at 1−alpha can be below
// the largest possible loss: the band must be narrower than the tail.
func cvarSeedsLeast(alpha float64) int {
	if alpha <= 0 {
		return 0
	}
	return int(math.Floor(-math.Log(alpha)/(2*cvarTail*cvarTail))) + 1
}

// cvarUpper is an upper confidence limit, at 1−alpha (alpha ≤ ½), of the mean
// of the worst share of a loss that is never above most, from independent
// draws. Distribution-free: the one-sided Dvoretzky–Kiefer–Wolfowitz band
// around the empirical distribution, integrated over the tail (Thomas &
// Learned-Miller, "Concentration inequalities for conditional value at risk",
// ICML 2019, theorem 3).
func cvarUpper(losses []float64, share, most, alpha float64) float64 {
	n := len(losses)
	if n == 0 || alpha > .5 {
		return most
	}
	z := slices.Clone(losses)
	slices.Sort(z)
	z = append(z, most)
	band := math.Sqrt(-math.Log(alpha) / (2 * float64(n)))
	sum := 0.0
	for i := 1; i <= n; i++ {
		inside := float64(i)/float64(n) - band - (1 - share)
		sum += float64((z[i] - z[i-1]) * max(0, inside))
	}
	return most - sum/share
}
