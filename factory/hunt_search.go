package factory

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/factory/engine"
)

// searchRound asks the lane whose turn it is.
func (h *hunt) searchRound() ([]want, error) {
	for {
		left := h.budget - h.total() - h.tail()
		turn := h.turns.next()
		h.ended = turn < 0
		if left <= 0 || h.hurry || turn < 0 {
			return nil, nil
		}
		l := h.lanes[turn]
		if _, done := l.engine.Done(); done {
			h.turns.end(turn)
			continue
		}
		var out []want
		if h.noisy && h.sinceRef >= referenceEvery && left > 1 {
			out = append(out, want{arm: h.baseline, reference: true})
			left--
		}
		n := min(left, huntBatch)
		asked := l.engine.Ask(n)
		if len(asked) > n {
			return nil, fmt.Errorf("engine %s asked %d points instead of at most %d", l.name, len(asked), n)
		}
		if len(asked) == 0 {
			h.turns.end(turn)
			continue
		}
		h.turns.asked(turn, len(asked))
		for _, p := range asked {
			a := h.arm(p, l.name)
			out = append(out, want{arm: a, lane: l})
			l.asked++
		}
		return out, nil
	}
}

func (h *hunt) arm(p engine.Proposal, engineName string) *tried {
	digest := p.Point.Digest()
	a := h.known[digest]
	if a == nil {
		a = &tried{point: p.Point, digest: digest, origin: p.Origin, engine: engineName, order: len(h.arms), loss: math.Inf(1)}
		h.known[digest] = a
		h.arms = append(h.arms, a)
	}
	return a
}

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
