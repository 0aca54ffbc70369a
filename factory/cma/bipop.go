package cma

import (
	"math"
	"math/rand/v2"
)

// plan decides on restarts: BIPOP, N. Hansen, GECCO-BBOB 2009, section 2.
// Runs with a population that grows alternate with runs of a small one and a
// small step.
//
// Three constants differ from the paper's 2, 1 and ½, which were made for
// budgets of 1e5·D and more. Within 2,000·D evaluations, doubling arrives at a
// population that sees the shape of a multimodal function when the budget is
// spent; and functions without such a shape are found by many short runs from
// many places. Small runs also look before they begin: see scouting. See
// docs/search.md for what each is worth.
type plan struct {
	lambda0  int // λdefault
	restarts int // runs that have ended
	large    int // λ of the last large run; λ0 before the first
	growths  int
	// Evaluations spent by regime. The first run counts for neither.
	spentLarge, spentSmall int
	regime                 regime
}

const (
	growth     = 4    // of the population from one large run to the next
	smallShare = 2    // evaluations of small runs for each one of large runs
	smallMost  = .125 // λ of a small run is between λ0 and this share of the last large λ
	maxGrowths = 5    // λ up to 1,024 times the default; 512 in the paper
)

type regime int

const (
	firstRun regime = iota
	largeRun
	smallRun
)

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
	if p.regime == firstRun || smallShare*p.spentLarge <= p.spentSmall {
		p.regime = largeRun
		if p.growths < maxGrowths && p.large*growth <= maxLambda {
			p.growths++
			p.large *= growth
		}
		return p.large, sigma0
	}
	p.regime = smallRun
	// λs = λd·(smallMost·λl/λd)^(U²), σs = σd·10^(−2U)
	u := rng.Float64()
	ratio := math.Max(1, smallMost*float64(p.large)/float64(p.lambda0))
	lambda = int(float64(p.lambda0) * math.Pow(ratio, u*u))
	return lambda, sigma0 * math.Pow(10, -2*rng.Float64())
}
