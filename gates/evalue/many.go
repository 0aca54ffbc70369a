package evalue

import (
	"math"
	"sort"
)

// LogBar is ln(k/alpha): a candidate whose e-value reaches k/alpha is wrong
// with probability at most alpha over all k candidates together, whatever
// their dependence (Bonferroni on e-values, Vovk & Wang 2021).
func LogBar(k int, alpha float64) float64 {
	return math.Log(float64(max(1, k))) - math.Log(alpha)
}

// PairsToReach is the fewest pairs whose e-value can reach logBar: all of them
// far on one side.
func PairsToReach(logBar float64) int { return int(math.Ceil(logBar/math.Log1p(stake))) + 1 }

// EBH returns the indices that the e-BH procedure selects at false discovery
// rate alpha, ascending (Wang & Ramdas, "False discovery rate control with
// e-values", JRSS-B 2022). logE are the values at the stop, never running
// maxima; any dependence is allowed.
func EBH(logE []float64, alpha float64) []int {
	order := make([]int, len(logE))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return logE[order[a]] > logE[order[b]] })
	chosen := 0
	for k := 1; k <= len(order); k++ {
		if logE[order[k-1]] >= math.Log(float64(len(order)))-math.Log(alpha)-math.Log(float64(k)) {
			chosen = k
		}
	}
	out := append([]int(nil), order[:chosen]...)
	sort.Ints(out)
	return out
}

// ELOND returns the indices that e-LOND selects, one decision after another,
// at false discovery rate alpha: the t-th candidate needs
// e_t ≥ 1/(α·γ_t·(R_{t−1}+1)), γ_t = 1/(t(t+1)), R the number selected so far
// (Xu & Ramdas, "Online multiple testing with e-values", AISTATS 2024). Any
// dependence is allowed and nothing decided is ever taken back. Like EBH it
// bounds a share, not the probability of any error.
func ELOND(logE []float64, alpha float64) []int {
	out := []int{}
	for i, e := range logE {
		t := float64(i + 1)
		bar := -math.Log(alpha) + math.Log(t) + math.Log(t+1) - math.Log(float64(len(out)+1))
		if e >= bar {
			out = append(out, i)
		}
	}
	return out
}
