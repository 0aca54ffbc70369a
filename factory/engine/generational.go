package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

// Sampler is a search that draws points generation by generation and learns
// from whole ones: the part of an engine that differs from one to the next.
// [Generational] is the rest.
type Sampler interface {
	// Begin is called once, before the first Draw, with the start points and
	// their losses, in order; there may be none.
	Begin(start []Trial)
	// Draw returns the next point of the generation, feasible and normalized,
	// and how it came about. more is false when the whole generation has been
	// drawn, or when Done. A point may come twice.
	Draw() (p benchmarks.Point, origin string, more bool)
	// Learn takes the losses of the generation in the order drawn: finite, or
	// +Inf.
	Learn(losses []float64)
	// Restart begins anew, when generation after generation was known.
	Restart()
	// Done says that nothing more is drawn, and why.
	Done() (string, bool)

	// State returns everything that Draw and Learn read, as JSON; SetState
	// takes it back, or refuses it, naming the field and changing nothing.
	State() (json.RawMessage, error)
	SetState(json.RawMessage) error
}

// Repeater is a Sampler that wants points measured more than once, against
// noise.
type Repeater interface {
	// Again reports whether the point that Draw returned last is asked although
	// it is known.
	Again() bool
}

// Restarts after generations without a new point, in a row: see
// [Generational].
const maxIdleRestarts = 10

// Generational makes an engine of a sampler. Start points come first. A point
// that was told before is answered from memory and costs nothing, unless the
// sampler is a [Repeater] and wants it again. After patience generations in a row without a new point the sampler is restarted,
// and after ten such restarts in a row the engine is done.
//
// version is that of the sampler's state, in the envelope of snapshots. The
// configuration's start points are those of [Config.Opening].
func Generational(name string, version, patience int, cfg Config, s Sampler) (Engine, error) {
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	return &generational{name: name, version: version, patience: patience, cfg: cfg, start: start, sampler: s}, nil
}

type generational struct {
	name              string
	version, patience int
	cfg               Config
	start             []benchmarks.Point
	sampler           Sampler

	opened int // start points asked
	begun  bool
	memory Memory
	drawn  []string // keys of the generation's points that the sampler has not learned from
	asked  []string // keys of the proposals that wait for Tell
	fresh  int      // points of the generation that were asked
	idle   int      // generations in a row without one
	stop   string
}

// Ask returns at most n points, all of one generation.
func (g *generational) Ask(n int) []Proposal {
	if g.stop != "" || n <= 0 || len(g.asked) > 0 {
		return nil
	}
	if out := g.open(n); len(out) > 0 {
		return out
	}
	var out []Proposal
	for len(out) < n {
		p, origin, more := g.sampler.Draw()
		if more {
			key, repeat := g.key(p)
			g.drawn = append(g.drawn, key)
			if _, known := g.memory.Loss(key); !known && !slices.Contains(g.asked, key) {
				g.asked = append(g.asked, key)
				if !repeat {
					g.fresh++
				}
				out = append(out, Proposal{Point: p, Origin: origin})
			}
			continue
		}
		if len(out) > 0 {
			break // these are told before anything is learned
		}
		if g.learn(); g.stop != "" {
			return nil
		}
	}
	return out
}

// key names the point drawn last in memory: a repeat has a name of its own, so
// that it is neither answered from memory nor forgets what the point was told
// before. It does not count as a new point: a space of which every point is
// known ends.
func (g *generational) key(p benchmarks.Point) (key string, repeat bool) {
	key = Key(p)
	if r, ok := g.sampler.(Repeater); ok && r.Again() {
		return fmt.Sprintf("%s again %d", key, g.memory.Len()+len(g.asked)), true
	}
	return key, false
}

// open asks the start points; none when they have been asked.
func (g *generational) open(n int) []Proposal {
	var out []Proposal
	for ; g.opened < len(g.start) && len(out) < n; g.opened++ {
		p := g.start[g.opened]
		out = append(out, Proposal{Point: p.Clone(), Origin: fmt.Sprintf("%s start %d", g.name, g.opened)})
		g.asked = append(g.asked, Key(p))
	}
	if len(out) > 0 || g.begun {
		return out
	}
	g.begun = true
	var trials []Trial
	for i, p := range g.start {
		loss, _ := g.memory.Loss(Key(p))
		trials = append(trials, Trial{Index: i, Point: p, Loss: loss})
	}
	g.sampler.Begin(trials)
	return nil
}

// learn ends a generation of which every point is known.
func (g *generational) learn() {
	if why, done := g.sampler.Done(); done {
		g.stop = why
		return
	}
	losses := make([]float64, len(g.drawn))
	for i, key := range g.drawn {
		losses[i], _ = g.memory.Loss(key)
	}
	g.drawn = g.drawn[:0]
	g.sampler.Learn(losses)
	if g.idle++; g.fresh > 0 {
		g.idle = 0
	}
	g.fresh = 0
	switch {
	case g.idle >= g.patience*maxIdleRestarts:
		g.stop = "every point that it draws is known"
	case g.idle > 0 && g.idle%g.patience == 0:
		g.sampler.Restart()
	}
}

// Tell takes the results of the last Ask, in its order.
func (g *generational) Tell(trials []Trial) {
	for _, t := range trials {
		if len(g.asked) == 0 {
			return
		}
		g.memory.Add(g.asked[0], t.Loss)
		g.asked = g.asked[1:]
	}
}

// Done says that the engine draws nothing new any more.
func (g *generational) Done() (string, bool) { return g.stop, g.stop != "" }

// generationalState is the wire form of a snapshot.
type generationalState struct {
	Opened  int             `json:"opened"`
	Begun   bool            `json:"begun"`
	Memory  *Memory         `json:"memory"`
	Drawn   []string        `json:"drawn"`
	Asked   []string        `json:"asked"`
	Fresh   int             `json:"fresh"`
	Idle    int             `json:"idle"`
	Stop    string          `json:"stop"`
	Sampler json.RawMessage `json:"sampler"`
}

// Snapshot implements Engine.
func (g *generational) Snapshot() ([]byte, error) {
	inner, err := g.sampler.State()
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", g.name, err)
	}
	return Seal(g.name, g.version, g.cfg.Fingerprint(), generationalState{
		Opened: g.opened, Begun: g.begun, Memory: &g.memory, Drawn: g.drawn, Asked: g.asked,
		Fresh: g.fresh, Idle: g.idle, Stop: g.stop, Sampler: inner,
	})
}

// Restore implements Engine.
func (g *generational) Restore(b []byte) error {
	s := generationalState{Memory: new(Memory)}
	if err := Unseal(g.name, g.version, g.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	if err := g.refuse(s); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if err := g.sampler.SetState(s.Sampler); err != nil {
		if errors.Is(err, ErrSnapshot) {
			return err
		}
		return fmt.Errorf("%w: sampler: %w", ErrSnapshot, err)
	}
	g.opened, g.begun, g.memory, g.drawn, g.asked = s.Opened, s.Begun, *s.Memory, s.Drawn, s.Asked
	g.fresh, g.idle, g.stop = s.Fresh, s.Idle, s.Stop
	return nil
}

// refuse names what in a snapshot cannot be.
func (g *generational) refuse(s generationalState) error {
	switch {
	case s.Memory == nil:
		return errors.New("memory is missing")
	case s.Opened < 0 || s.Opened > len(g.start):
		return fmt.Errorf("opened: %d of %d start points", s.Opened, len(g.start))
	case s.Fresh < 0 || s.Fresh > len(s.Drawn):
		return fmt.Errorf("fresh: %d of %d drawn", s.Fresh, len(s.Drawn))
	case s.Idle < 0:
		return fmt.Errorf("idle: %d", s.Idle)
	}
	for i, key := range s.Drawn {
		if _, known := s.Memory.Loss(key); !known && !slices.Contains(s.Asked, key) {
			return fmt.Errorf("drawn[%d]: neither asked nor told", i)
		}
	}
	return nil
}

// Best returns the start point with the least loss, the first of equals; nil
// when there is none.
func Best(start []Trial) benchmarks.Point {
	var best *Trial
	for i := range start {
		if best == nil || start[i].Loss < best.Loss {
			best = &start[i]
		}
	}
	if best == nil {
		return nil
	}
	return best.Point
}
