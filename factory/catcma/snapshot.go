package catcma

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/factory/engine"
)

const (
	engineName      = "catcma"
	snapshotVersion = 2
)

// state is the wire form of the sampler's state.
type state struct {
	Core  []byte      `json:"core"` // the optimizer's own snapshot
	Cat   categorical `json:"cat"`
	Drawn [][]int     `json:"drawn"`
	Runs  int         `json:"runs"`
	RNG   []byte      `json:"rng"`
	Stop  string      `json:"stop"`
}

// State implements engine.Sampler.
func (e *sampler) State() (json.RawMessage, error) {
	core, err := e.opt.Snapshot()
	if err != nil {
		return nil, err
	}
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("rng: %w", err)
	}
	return json.Marshal(state{Core: core, Cat: e.cat, Drawn: e.drawn, Runs: e.runs, RNG: rng, Stop: e.stop})
}

// SetState implements engine.Sampler.
func (e *sampler) SetState(b json.RawMessage) error {
	var s state
	if err := engine.DecodeState(b, &s); err != nil {
		return err
	}
	if err := e.refuse(s); err != nil {
		return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
	}
	if err := e.opt.Restore(s.Core); err != nil {
		return err
	}
	e.cat, e.drawn, e.runs, e.stop = s.Cat, s.Drawn, s.Runs, s.Stop
	return e.pcg.UnmarshalBinary(s.RNG) // checked above
}

// refuse names what in a snapshot cannot be.
func (e *sampler) refuse(s state) error {
	switch {
	case s.Runs < 0:
		return fmt.Errorf("runs: %d", s.Runs)
	case len(s.Cat.Q) != len(e.vars) || len(s.Cat.S) != len(e.cat.S):
		return fmt.Errorf("cat: %d distributions, the space has %d", len(s.Cat.Q), len(e.vars))
	case !(s.Cat.Delta >= 1) || math.IsNaN(s.Cat.Gamma):
		return fmt.Errorf("cat: delta %v, gamma %v", s.Cat.Delta, s.Cat.Gamma)
	}
	for v, q := range s.Cat.Q {
		sum := 0.
		for _, p := range q {
			if !(p > 0 && p <= 1) {
				return fmt.Errorf("cat.q[%d]: probability %v", v, p)
			}
			sum += p
		}
		if len(q) != e.vars[v].choices || math.Abs(sum-1) > 1e-6 {
			return fmt.Errorf("cat.q[%d]: %d choices that add up to %v", v, len(q), sum)
		}
	}
	for i, picks := range s.Drawn {
		if len(picks) != len(e.vars) {
			return fmt.Errorf("drawn[%d]: %d picks", i, len(picks))
		}
		for v, k := range picks {
			if k < -1 || k >= e.vars[v].choices {
				return fmt.Errorf("drawn[%d]: choice %d of %s", i, k, e.vars[v].name)
			}
		}
	}
	if err := new(rand.PCG).UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("rng: %w", err)
	}
	return nil
}
