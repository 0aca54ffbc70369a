// Package evalue holds the sequential tests that the gates decide with:
// betting e-processes on paired log ratios and on bounded means, the
// confidence sequences that go with them, bars for many candidates, power
// planning, and change detectors for the canary.
//
// It is pure: numbers in, numbers out, no clock, no randomness but a seeded
// simulation in Plan, nothing of ours imported. It knows no metrics, no
// policies and no gates.
//
// An e-process K for a null hypothesis is non-negative, starts at 1 and has
// E[K_τ] ≤ 1 under the null at every stopping time τ, so that
// P(∃n: K_n ≥ 1/α) ≤ α (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, "Game-
// theoretic statistics and safe anytime-valid inference", 2023). All e-values
// here are natural logarithms.
//
// Equal input gives equal bits on one architecture and toolchain: products
// that feed a sum are rounded first, so that no multiplication is fused.
package evalue

import (
	"math"
	"slices"
)

// madSD makes the median absolute deviation of a normal sample its standard
// deviation.
const madSD = 1.4826

// Side says on which side of theta the truth is to be shown.
type Side int

// Below is evidence against δ ≥ θ, Above against δ ≤ θ.
const (
	Below Side = iota
	Above
)

// edge finds by bisection the smallest t in (inside, outside] that is
// rejected; rejection is monotone in t. +Inf if not even outside is.
func edge(rejected func(float64) bool, inside, outside float64) float64 {
	if !rejected(outside) {
		return math.Inf(1)
	}
	if rejected(inside) {
		return inside
	}
	for range 50 {
		mid := inside + (outside-inside)/2
		if mid <= inside || mid >= outside {
			break
		}
		if rejected(mid) {
			outside = mid
		} else {
			inside = mid
		}
	}
	return outside
}

// mixture is (1/J) Σ_j Π (1 + λ_j g): one wealth a fraction, kept as mantissa
// and log so that long series neither overflow nor underflow.
type mixture struct {
	bets   []float64
	wealth []float64
	logs   []float64
}

func newMixture(bets []float64) *mixture {
	m := &mixture{bets: bets, wealth: make([]float64, len(bets)), logs: make([]float64, len(bets))}
	for j := range m.wealth {
		m.wealth[j] = 1
	}
	return m
}

// bet multiplies every wealth by 1 + λ_j g, g in [−1, 1].
func (m *mixture) bet(g float64) {
	for j, l := range m.bets {
		w := m.wealth[j] * (1 + float64(l*g))
		if w > 1e100 || w < 1e-100 {
			m.logs[j] += math.Log(w)
			w = 1
		}
		m.wealth[j] = w
	}
}

func (m *mixture) log() float64 {
	var logs [16]float64
	for j, w := range m.wealth {
		logs[j] = m.logs[j] + math.Log(w)
	}
	return logSumExp(logs[:len(m.wealth)]) - math.Log(float64(len(m.wealth)))
}

func logSumExp(logs []float64) float64 {
	top := slices.Max(logs)
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum)
}

func medianSorted(s []float64) float64 {
	n := len(s)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return s[n/2]
	}
	return s[n/2-1] + (s[n/2]-s[n/2-1])/2
}

// madSorted is the median of |s_i − median| of an ascending s, by walking
// outwards from the middle.
func madSorted(s []float64) float64 {
	n := len(s)
	if n == 0 {
		return 0
	}
	m := medianSorted(s)
	right := n / 2
	left := right - 1
	var last, before float64
	for range n/2 + 1 {
		before = last
		if right >= n || (left >= 0 && m-s[left] <= s[right]-m) {
			last = m - s[left]
			left--
		} else {
			last = s[right] - m
			right++
		}
	}
	if n%2 == 1 {
		return last
	}
	return before + (last-before)/2
}
