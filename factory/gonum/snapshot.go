package gonum

import (
	"encoding/json"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// state is the wire form of the sampler's state. What the run's method was
// told gives back the rest.
type state struct {
	Run      int             `json:"run"`
	Origin   json.RawMessage `json:"origin"` // null before Begin
	Told     []engine.Loss   `json:"told"`
	Drawn    int             `json:"drawn"` // of the present generation
	Best     json.RawMessage `json:"best"`
	BestLoss engine.Loss     `json:"best_loss"`
	Stale    int             `json:"stale"`
	Blind    int             `json:"blind"`
	Stop     string          `json:"stop"`
}

// State implements engine.Sampler.
func (s *sampler) State() (json.RawMessage, error) {
	return json.Marshal(state{
		Run: s.run, Origin: canonical(s.origin), Told: s.told, Drawn: s.next, Best: canonical(s.best),
		BestLoss: engine.Loss(s.bestLoss), Stale: s.stale, Blind: s.blind, Stop: s.stop,
	})
}

func canonical(p benchmarks.Point) json.RawMessage {
	if p == nil {
		return json.RawMessage("null")
	}
	return p.Canonical()
}

// SetState implements engine.Sampler.
func (s *sampler) SetState(b json.RawMessage) error {
	var w state
	if err := engine.DecodeState(b, &w); err != nil {
		return err
	}
	switch {
	case w.Run < 0 || w.Run > s.runs:
		return fmt.Errorf("%w: run: %d of %d", engine.ErrSnapshot, w.Run, s.runs)
	case w.Stale < 0 || w.Blind < 0 || w.Drawn < 0:
		return fmt.Errorf("%w: stale %d, blind %d, drawn %d", engine.ErrSnapshot, w.Stale, w.Blind, w.Drawn)
	}
	t := newSampler(s.search, s.space)
	var err error
	if t.best, err = s.point("best", w.Best); err != nil {
		return err
	}
	if t.origin, err = s.point("origin", w.Origin); err != nil {
		return err
	}
	t.run = w.Run
	if t.origin != nil && w.Stop == "" {
		if err := t.replay(w); err != nil {
			t.hangUp()
			return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
		}
	}
	t.told, t.bestLoss, t.stale, t.blind, t.stop = w.Told, float64(w.BestLoss), w.Stale, w.Blind, w.Stop
	t.next = w.Drawn
	s.hangUp()
	s.adopt(t)
	return nil
}

// point decodes a point of the state.
func (s *sampler) point(field string, raw json.RawMessage) (benchmarks.Point, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	p, err := benchmarks.DecodePoint(s.space, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", engine.ErrSnapshot, field, err)
	}
	return p, nil
}

// replay tells the method of the run what it was told.
func (s *sampler) replay(w state) error {
	best := s.best
	s.best = s.origin
	s.start()
	s.best = best
	if s.stop != "" {
		return fmt.Errorf("origin: %s", s.stop)
	}
	losses := make([]float64, len(w.Told))
	for i, l := range w.Told {
		losses[i] = engine.Worst(float64(l))
	}
	for len(losses) > 0 {
		n := len(s.talk.ask())
		if n == 0 || n > len(losses) {
			return fmt.Errorf("told: %d losses are not those of whole generations", len(w.Told))
		}
		s.talk.tell(losses[:n])
		losses = losses[n:]
	}
	if w.Drawn > 0 {
		s.load(s.talk.ask())
	}
	if w.Drawn > len(s.generation) {
		return fmt.Errorf("drawn: %d of a generation of %d", w.Drawn, len(s.generation))
	}
	return nil
}

// adopt takes over everything that t has, its conversation too.
func (s *sampler) adopt(t *sampler) {
	t.cleanup.Stop()
	*s = *t
	s.watch()
}
