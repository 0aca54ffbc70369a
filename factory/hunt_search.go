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
