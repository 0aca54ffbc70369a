package qd

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

const (
	engineName      = "qd"
	snapshotVersion = 1
)

// state is the wire form of a snapshot.
type state struct {
	RNG      []byte            `json:"rng"`
	Elites   []eliteState      `json:"elites"` // in the order in which their cells were reached
	Keys     []string          `json:"keys"`   // of the known points, ascending
	Known    []outcome         `json:"known"`
	Trials   int               `json:"trials"`
	Opened   int               `json:"opened"`
	Randoms  int               `json:"randoms"`
	Asked    []json.RawMessage `json:"asked"`
	Turn     int               `json:"turn"`
	Drawn    []sample          `json:"drawn"`
	Litter   []childState      `json:"litter"`
	Emitter  *emitterState     `json:"emitter"`
	Emitters int               `json:"emitters"`
	Idle     int               `json:"idle"`
	Stop     string            `json:"stop"`
}

type eliteState struct {
	Cell  int             `json:"cell"`
	Point json.RawMessage `json:"point"`
	Loss  float64         `json:"loss"`
	Trial int             `json:"trial"`
}

type childState struct {
	Point   json.RawMessage `json:"point"` // null: none
	Parents []int           `json:"parents"`
}

type emitterState struct {
	Elite int       `json:"elite"`
	Cube  []float64 `json:"cube"`
	Core  []byte    `json:"core"` // the CMA-ES's own snapshot
	From  []float64 `json:"from"` // where it began
}

// Snapshot implements engine.Engine.
func (e *searcher) Snapshot() ([]byte, error) {
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("qd rng: %w", err)
	}
	s := state{
		RNG: rng, Keys: slices.Sorted(maps.Keys(e.known)), Trials: e.trials, Opened: e.opened, Randoms: e.randoms, Turn: e.turn,
		Drawn: e.drawn, Emitters: e.emitters, Idle: e.idle, Stop: e.stop,
	}
	for _, x := range e.archive.elites {
		s.Elites = append(s.Elites, eliteState{Cell: x.Cell, Point: x.Point.Canonical(), Loss: x.Loss, Trial: x.Trial})
	}
	for _, k := range s.Keys {
		s.Known = append(s.Known, e.known[k])
	}
	for _, p := range e.asked {
		s.Asked = append(s.Asked, p.Canonical())
	}
	for _, c := range e.litter {
		raw := json.RawMessage("null")
		if c.Point != nil {
			raw = c.Point.Canonical()
		}
		s.Litter = append(s.Litter, childState{Point: raw, Parents: c.Parents})
	}
	if m := e.emitter; m != nil {
		core, err := m.opt.Snapshot()
		if err != nil {
			return nil, err
		}
		s.Emitter = &emitterState{Elite: m.elite, Cube: m.cube, Core: core, From: m.from}
	}
	return engine.Seal(engineName, snapshotVersion, e.cfg.Fingerprint(), s)
}

// Restore implements engine.Engine.
func (e *searcher) Restore(b []byte) error {
	var s state
	if err := engine.Unseal(engineName, snapshotVersion, e.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	next := *e
	if err := next.take(s); err != nil {
		return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
	}
	if err := e.pcg.UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	next.pcg, next.rng = e.pcg, e.rng
	*e = next
	return nil
}

// take reads everything but the random state, and names what cannot be.
func (e *searcher) take(s state) error {
	switch {
	case s.Opened < 0 || s.Opened > len(e.start) || s.Randoms < 0:
		return fmt.Errorf("opened: %d of %d start points", s.Opened, len(e.start))
	case s.Trials < 0 || s.Turn < 0 || s.Emitters < 0 || s.Idle < 0:
		return fmt.Errorf("trials %d, turn %d, emitters %d, idle %d", s.Trials, s.Turn, s.Emitters, s.Idle)
	case len(s.Keys) != len(s.Known):
		return fmt.Errorf("known: %d outcomes of %d keys", len(s.Known), len(s.Keys))
	}
	if err := new(rand.PCG).UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("rng: %w", err)
	}
	e.archive = Archive{}
	for i, x := range s.Elites {
		p, err := benchmarks.DecodePoint(e.cfg.Space, x.Point)
		if err != nil {
			return fmt.Errorf("elites[%d]: %w", i, err)
		}
		if x.Cell < 0 || x.Cell >= e.grid.Cells() {
			return fmt.Errorf("elites[%d]: cell %d of %d", i, x.Cell, e.grid.Cells())
		}
		if what, _ := e.archive.Add(Elite{Cell: x.Cell, Point: p, Loss: x.Loss, Trial: x.Trial}); what != Opened {
			return fmt.Errorf("elites[%d]: cell %d twice", i, x.Cell)
		}
	}
	e.known = make(map[string]outcome, len(s.Keys))
	for i, k := range s.Keys {
		e.known[k] = s.Known[i]
	}
	e.asked, e.litter = nil, nil
	for i, raw := range s.Asked {
		p, err := benchmarks.DecodePoint(e.cfg.Space, raw)
		if err != nil {
			return fmt.Errorf("asked[%d]: %w", i, err)
		}
		e.asked = append(e.asked, p)
	}
	for i, c := range s.Litter {
		var p benchmarks.Point
		if string(c.Point) != "null" {
			var err error
			if p, err = benchmarks.DecodePoint(e.cfg.Space, c.Point); err != nil {
				return fmt.Errorf("litter[%d]: %w", i, err)
			}
		}
		e.litter = append(e.litter, child{Point: p, Parents: c.Parents})
	}
	e.trials, e.opened, e.randoms, e.turn, e.drawn, e.emitters, e.idle, e.stop = s.Trials, s.Opened, s.Randoms, s.Turn, s.Drawn, s.Emitters, s.Idle, s.Stop
	e.emitter = nil
	if s.Emitter == nil {
		return nil
	}
	return e.takeEmitter(*s.Emitter)
}

func (e *searcher) takeEmitter(s emitterState) error {
	for _, c := range [][]float64{s.Cube, s.From} {
		if len(c) != e.cfg.Space.Dim() {
			return fmt.Errorf("emitter: %d coordinates, the space has %d", len(c), e.cfg.Space.Dim())
		}
	}
	for i, x := range s.From {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("emitter.from[%d] is %v", i, x)
		}
	}
	m := e.emitterAt(s.From, e.emitters)
	m.cube, m.elite = s.Cube, s.Elite
	if err := m.opt.Restore(s.Core); err != nil {
		return fmt.Errorf("emitter.core: %w", err)
	}
	e.emitter = m
	return nil
}
