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
// on one side, none wasted.
func PairsToReach(logBar float64) int {
	top := pairBets[len(pairBets)-1]
	return BurnIn + int(math.Ceil((logBar+math.Log(float64(len(pairBets))))/math.Log1p(top)))
}

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

// Detector is the Shiryaev–Roberts e-detector M_t = (M_{t−1}+1)·L_t on the
// one-step e-values of a bet, with alarm at M ≥ 1/alpha: the mean run length
// to a false alarm is at least 1/alpha (Shin, Ramdas, Rinaldo, "E-detectors",
// 2023). Unlike an e-process it never loses what it needs to notice a change
// that begins late; its guarantee is a run length, not a probability.
//
// Each step's bet is a mixture over λ of its own detector. The zero Detector
// is ready.
type Detector struct {
	pairs Pairs
	m     [len(pairBets)]float64
	cusum [len(pairBets)]float64
}

// Step adds one difference d and returns the detector's value and the CUSUM
// form max(M_{t−1}, 1)·L_t for "δ has risen above theta".
func (s *Detector) Step(d, theta float64) (sr, cusum float64) {
	s.pairs.Add(d)
	i := s.pairs.Len() - 1
	if s.pairs.c[i] < 0 {
		return 0, 0
	}
	g := s.pairs.gain(i, Above, theta)
	for j, l := range pairBets {
		f := 1 + float64(l*g)
		s.m[j] = min(float64((s.m[j]+1)*f), math.MaxFloat64)
		s.cusum[j] = min(float64(max(s.cusum[j], 1)*f), math.MaxFloat64)
		sr += s.m[j] / float64(len(pairBets))
		cusum += s.cusum[j] / float64(len(pairBets))
	}
	return sr, cusum
}
