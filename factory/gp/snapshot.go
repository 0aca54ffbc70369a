package gp

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

const (
	engineName      = "gp"
	snapshotVersion = 1
)

// state is the wire form of a snapshot.
type state struct {
	Points []json.RawMessage `json:"points"` // canonical, in the order they were told
	Losses [][]engine.Loss   `json:"losses"` // by point
	Asked  []json.RawMessage `json:"asked"`
	Opened int               `json:"opened"`
	Theta  []float64         `json:"theta"`
	Fitted int               `json:"fitted"`
	RNG    []byte            `json:"rng"`
	Stop   string            `json:"stop"`
}

// Snapshot implements engine.Engine.
func (e *searcher) Snapshot() ([]byte, error) {
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("gp rng: %w", err)
	}
	s := state{Opened: e.opened, Theta: e.theta, Fitted: e.fitted, RNG: rng, Stop: e.stop}
	for _, k := range e.known {
		s.Points, s.Losses = append(s.Points, k.point.Canonical()), append(s.Losses, k.losses)
	}
	for _, p := range e.asked {
		s.Asked = append(s.Asked, p.Canonical())
	}
	return engine.Seal(engineName, snapshotVersion, e.cfg.Fingerprint(), s)
}

// Restore implements engine.Engine.
func (e *searcher) Restore(b []byte) error {
	var s state
	if err := engine.Unseal(engineName, snapshotVersion, e.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	known, asked, err := e.decode(s)
	if err != nil {
		return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
	}
	if err := e.pcg.UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	e.known, e.byKey = known, make(map[string]*seen, len(known))
	for _, k := range known {
		e.byKey[k.key] = k
	}
	e.asked, e.opened, e.theta, e.fitted, e.stop = asked, s.Opened, s.Theta, s.Fitted, s.Stop
	return nil
}

// decode names what in a snapshot cannot be.
func (e *searcher) decode(s state) (known []*seen, asked []benchmarks.Point, err error) {
	switch {
	case len(s.Points) != len(s.Losses):
		return nil, nil, fmt.Errorf("losses: %d of %d points", len(s.Losses), len(s.Points))
	case s.Opened < 0 || s.Opened > len(e.start):
		return nil, nil, fmt.Errorf("opened: %d of %d start points", s.Opened, len(e.start))
	case s.Theta != nil && len(s.Theta) != len(e.axes)+2:
		return nil, nil, fmt.Errorf("theta: %d values, the space needs %d", len(s.Theta), len(e.axes)+2)
	}
	for i, v := range s.Theta {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil, fmt.Errorf("theta[%d]: %v", i, v)
		}
	}
	for i, raw := range s.Points {
		p, err := benchmarks.DecodePoint(e.cfg.Space, raw)
		if err != nil {
			return nil, nil, fmt.Errorf("points[%d]: %w", i, err)
		}
		if len(s.Losses[i]) == 0 {
			return nil, nil, fmt.Errorf("losses[%d]: none", i)
		}
		known = append(known, &seen{key: keyOf(e.where(p)), where: e.where(p), losses: s.Losses[i], point: p})
	}
	for i, raw := range s.Asked {
		p, err := benchmarks.DecodePoint(e.cfg.Space, raw)
		if err != nil {
			return nil, nil, fmt.Errorf("asked[%d]: %w", i, err)
		}
		asked = append(asked, p)
	}
	return known, asked, new(rand.PCG).UnmarshalBinary(s.RNG)
}
