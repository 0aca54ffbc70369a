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
	rng := rand.New(rand.NewPCG(0x6172716f6e, 1)) //nolint:forbidigo // one fixed stream: a plan is a function of its arguments
	var crossed []int
	for range planPaths {
		if n := planPath(rng, effect, sd, logBar, pairsMax); n > 0 {
			crossed = append(crossed, n)
		}
	}
	slices.Sort(crossed)
	if need := planPaths * 8 / 10; len(crossed) >= need {
		pairs80 = crossed[need-1]
	}
	return float64(len(crossed)) / planPaths, pairs80
}

// planPath is the pair at which one simulated series crosses; 0: it does not.
// After settled pairs the scale is taken as known: it hardly moves any more.
func planPath(rng *rand.Rand, effect, sd, logBar float64, pairsMax int) int {
	const settled = 40
	p := &Pairs{}
	m := newMixture(pairBets[:])
	crossing := 0
	for i := range pairsMax {
		d, c := float64(sd*rng.NormFloat64())-effect, 2*sd
		if crossing > 0 {
			continue // the draws go on, so that every path starts at the same place of the stream
		}
		if i < settled {
			p.Add(d)
			if c = p.c[i]; c < 0 {
				continue
			}
		}
		m.bet(score(d, c, 0))
		if m.reached(logBar) {
			crossing = i + 1
		}
	}
	return crossing
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
