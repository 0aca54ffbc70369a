package cma

import (
	"math"
	"math/rand/v2"
)

// plan decides on restarts: BIPOP, N. Hansen, GECCO-BBOB 2009, section 2.
// Runs with a population that doubles alternate with runs of a small one and
// a small step; whichever regime has spent less comes next.
type plan struct {
	lambda0   int // λdefault
	restarts  int // runs that have ended
	large     int // λ of the last large run; λ0 before the first
	doublings int
	// Evaluations spent by regime. The first run counts for neither.
	spentLarge, spentSmall int
	regime                 regime
}

type regime int

const (
	firstRun regime = iota
	largeRun
	smallRun
)

// maxDoublings is 9 in the paper: λ up to 512 times the default.
const maxDoublings = 9

func newPlan(lambda int) plan { return plan{lambda0: lambda, large: lambda} }

func (p *plan) spend(evals int) {
	switch p.regime {
	case firstRun:
	case largeRun:
		p.spentLarge += evals
	case smallRun:
		p.spentSmall += evals
	}
}

// next returns the population and the first step of the next run.
func (p *plan) next(sigma0 float64, rng *rand.Rand) (lambda int, sigma float64) {
	p.restarts++
	if p.regime == firstRun || p.spentLarge <= p.spentSmall {
		p.regime = largeRun
		if p.doublings < maxDoublings && p.large*2 <= maxLambda {
			p.doublings++
			p.large *= 2
		}
		return p.large, sigma0
	}
	p.regime = smallRun
	// λs = λd·(½·λl/λd)^(U²), σs = σd·10^(−2U)
	u := rng.Float64()
	ratio := math.Max(1, .5*float64(p.large)/float64(p.lambda0))
	lambda = int(float64(p.lambda0) * math.Pow(ratio, u*u))
	return lambda, sigma0 * math.Pow(10, -2*rng.Float64())
}
