package evalue

import (
	"math"
	"math/rand/v2"
	"slices"
)

// planPaths is the number of simulated series behind a plan: the power it
// states has a standard error of at most .035.
const planPaths = 200

// Power simulates showing "δ < 0" when the truth is −effect and one pair's
// difference has standard deviation sd, stopping at ln e ≥ logBar, at the
// latest after pairsMax pairs. It returns the share of series that cross and
// the number of pairs within which 80 % do (0: not within pairsMax).
//
// The noise is normal; heavier tails cost little, because scores are clipped.
// The simulation's seed is fixed: the same question has the same answer.
func Power(effect, sd, logBar float64, pairsMax int) (power float64, pairs80 int) {
	rng := rand.New(rand.NewPCG(0x6172716f6e, 1))
	var crossed []int
	for range planPaths {
		p := &Pairs{}
		m := newMixture(pairBets[:])
		for i := range pairsMax {
			p.Add(float64(sd*rng.NormFloat64()) - effect)
			if p.c[i] < 0 {
				continue
			}
			m.bet(p.gain(i, Below, 0))
			if m.log() >= logBar {
				crossed = append(crossed, i+1)
				break
			}
		}
	}
	slices.Sort(crossed)
	if need := planPaths * 8 / 10; len(crossed) >= need {
		pairs80 = crossed[need-1]
	}
	return float64(len(crossed)) / planPaths, pairs80
}

// BlindSpot is the effect that crosses in half of the series: smaller ones
// will more likely than not be missed. +Inf when none up to 10 does.
func BlindSpot(sd, logBar float64, pairsMax int) float64 {
	seen := func(effect float64) bool {
		p, _ := Power(effect, sd, logBar, pairsMax)
		return p >= .5
	}
	if !seen(10) {
		return math.Inf(1)
	}
	low, high := 0.0, 10.0
	if sd > 0 && sd < 10 && seen(2*sd) {
		high = 2 * sd
	}
	for range 10 {
		mid := (low + high) / 2
		if seen(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
