package catcma

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/factory/engine"
)

const (
	engineName      = "catcma"
	snapshotVersion = 1
)

// state is the wire form of a snapshot.
type state struct {
	Core   []byte         `json:"core"` // the optimizer's own snapshot
	Cat    categorical    `json:"cat"`
	Begun  bool           `json:"begun"`
	Opened int            `json:"opened"`
	Memory *engine.Memory `json:"memory"`
	Queue  []draw         `json:"queue"`
	Asked  []string       `json:"asked"`
	Best   string         `json:"best"`
	Idle   int            `json:"idle"`
	Runs   int            `json:"runs"`
	RNG    []byte         `json:"rng"`
	Stop   string         `json:"stop"`
}

// Snapshot implements engine.Engine.
func (e *searcher) Snapshot() ([]byte, error) {
	core, err := e.opt.Snapshot()
	if err != nil {
		return nil, err
	}
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("catcma rng: %w", err)
	}
	return engine.Seal(engineName, snapshotVersion, e.cfg.Fingerprint(), state{
		Core: core, Cat: e.cat, Begun: e.begun, Opened: e.opened, Memory: &e.memory, Queue: e.queue,
		Asked: e.asked, Best: e.best, Idle: e.idle, Runs: e.runs, RNG: rng, Stop: e.stop,
	})
}

// Restore implements engine.Engine.
func (e *searcher) Restore(b []byte) error {
	s := state{Memory: new(engine.Memory)}
	if err := engine.Unseal(engineName, snapshotVersion, e.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	if err := e.refuse(s); err != nil {
		return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
	}
	if err := e.opt.Restore(s.Core); err != nil {
		return err
	}
	if err := e.pcg.UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	e.cat, e.begun, e.opened, e.memory, e.queue = s.Cat, s.Begun, s.Opened, *s.Memory, s.Queue
	e.asked, e.best, e.idle, e.runs, e.stop = s.Asked, s.Best, s.Idle, s.Runs, s.Stop
	return nil
}

// refuse names what in a snapshot cannot be.
func (e *searcher) refuse(s state) error {
	switch {
	case s.Memory == nil:
		return fmt.Errorf("memory is missing")
	case s.Opened < 0 || s.Opened > len(e.start):
		return fmt.Errorf("opened: %d of %d start points", s.Opened, len(e.start))
	case s.Idle < 0 || s.Runs < 0:
		return fmt.Errorf("idle %d, runs %d", s.Idle, s.Runs)
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
	for i, d := range s.Queue {
		if len(d.Picks) != len(e.vars) {
			return fmt.Errorf("queue[%d]: %d picks", i, len(d.Picks))
		}
		for v, k := range d.Picks {
			if k < -1 || k >= e.vars[v].choices {
				return fmt.Errorf("queue[%d]: choice %d of %s", i, k, e.vars[v].name)
			}
		}
	}
	return new(rand.PCG).UnmarshalBinary(s.RNG)
}
