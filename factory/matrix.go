package factory

import "fmt"

// gridEngine walks through a whole space.
const gridEngine = "grid"

// sized is an engine that knows how many points it asks, and of how many; 0:
// it does not know.
type sized interface{ Sizes() (asked, whole int) }

// matrix describes a hunt that is a walk through a whole space: the engine's
// name, the points it asks, those there are, and the budget that they all need.
func (h *hunt) matrix() (name string, asked, whole, budget int) {
	if len(h.lanes) != 1 {
		return "", 0, 0, 0
	}
	s, ok := h.lanes[0].engine.(sized)
	if !ok {
		return "", 0, 0, 0
	}
	if asked, whole = s.Sizes(); whole == 0 {
		whole = asked
	}
	budget = whole
	for walkable(h.noisy, budget) < whole+1 { // the baseline may lie between the points
		budget += max(1, whole/100)
	}
	return h.lanes[0].name, min(asked, max(0, walkable(h.noisy, h.budget))), whole, budget
}

// walkable is how many points a budget surely measures once, whatever the
// noise: what is left of it beside the baseline, the race and the claim.
func walkable(noisy bool, budget int) int {
	b := float64(budget)
	if !noisy {
		return budget - 1 - min(finalistsOnOtherData+1, budget/10) - 2
	}
	claim := max(2, min(claimSamplesMin, budget/4), int(float64(claimShare*b)))
	left := budget - openSamples - int(float64(raceShareMax*b)) - claim
	return left - left/referenceEvery - 1
}

// sayMatrix tells whoever walks through a whole space and has too few
// evaluations for it what would be enough.
func (r *recommending) sayMatrix() {
	total := 0
	for _, h := range r.hunts {
		name, asked, whole, need := h.matrix()
		total += need
		if asked < whole {
			r.progress.Say(fmt.Sprintf("%s: %s measures %d of the %d points of the space", h.scenario.Name, name, asked, whole))
		}
	}
	if total > r.cfg.Study.Budget.Evaluations {
		r.progress.Say(fmt.Sprintf("budget.evaluations: %d measure all of them", total))
	}
}
