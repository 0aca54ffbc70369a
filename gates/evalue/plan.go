package evalue

import (
	"math"
	"math/rand/v2"
	"slices"
)

// planPaths is the number of simulated candidates behind a plan: the power it
// states has a standard error of at most .035.
const planPaths = 200

// Power simulates candidates whose metric changes by effect (as a change to the
// better: .03 is 3 % better) where one pair's difference has standard deviation
// sd, each decided by a Decider that knows that noise. It returns the share
// that is promoted and the number of pairs within which 80 % are (0: not within
// q.PairsMax).
//
// The noise is normal. The simulation's seed is fixed: the same question has
// the same answer.
func Power(q Question, effect, sd float64) (power float64, pairs80 int) {
	var crossed []int
	for path := range planPaths {
		//nolint:forbidigo // fixed streams: a plan is a function of its arguments
		rng := rand.New(rand.NewPCG(0x6172716f6e, uint64(path)))
		d := newDecider(q, &Pairs{night: Model{Nu: NuNormal, Scale: sd}, pinned: true})
		for !d.Done() {
			d.addWorse(q.Worse(-effect) + float64(sd*rng.NormFloat64()))
		}
		if d.Shown() {
			crossed = append(crossed, d.pairs.Len())
		}
	}
	slices.Sort(crossed)
	if need := planPaths * 8 / 10; len(crossed) >= need {
		pairs80 = crossed[need-1]
	}
	return float64(len(crossed)) / planPaths, pairs80
}

// BlindSpot is the change to the better that half of the simulated candidates
// are promoted with: smaller ones will more likely than not be missed. +Inf
// when none up to 10 is seen (a ratio: up to 99 %).
func BlindSpot(q Question, sd float64) float64 {
	seen := func(effect float64) bool {
		p, _ := Power(q, effect, sd)
		return p >= .5
	}
	low, high := 0.0, 10.0
	if !q.Difference && !q.Higher {
		high = .99
	}
	if !seen(high) {
		return math.Inf(1)
	}
	if near := 2 * sd; near > 0 && near < high && seen(near) {
		high = near
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
