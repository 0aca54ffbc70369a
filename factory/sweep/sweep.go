// Package sweep walks through a space without learning: low-discrepancy points
// ([Engine], Halton's, and [Sobol]), the full grid ([Grid]) and one factor at
// a time ([OneFactor]).
//
// It is the honest opponent of the engines that learn, the way to map a small
// space completely, and the first look at a large one. It is not for finding
// the last tenth of a percent.
package sweep

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// ErrSpace is wrapped when a space cannot be walked in the way asked for.
var ErrSpace = errors.New("sweep")

const (
	snapshotVersion = 1
	// maxSkips bounds how many infeasible or known points are passed over in
	// one Ask before the walk gives up.
	maxSkips = 100_000
)

// path yields the points of a walk. A point may be infeasible (nil): it is
// passed over.
type path interface {
	// at returns point number cursor; more is false past the end.
	at(cursor int) (p benchmarks.Point, more bool)
	origin(cursor int) string
	// turn is called past the end: it may lay a new path from what was told,
	// which then begins at cursor 0, and reports whether it did.
	turn(best benchmarks.Point) bool
	state() json.RawMessage
	setState(json.RawMessage) error
}

// walker is the engine around a path: start points first, every point once.
type walker struct {
	name  string
	cfg   engine.Config
	path  path
	start []benchmarks.Point

	opened   int
	cursor   int
	memory   engine.Memory
	asked    []benchmarks.Point
	best     benchmarks.Point
	bestLoss float64
	stop     string
}

func newWalker(name string, cfg engine.Config) (*walker, error) {
	if len(cfg.Space.Parameters) == 0 {
		return nil, fmt.Errorf("%w: the space has no parameter", ErrSpace)
	}
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	return &walker{name: name, cfg: cfg, start: start, bestLoss: engine.Worst(nan)}, nil
}

// Ask implements engine.Engine.
func (w *walker) Ask(n int) []engine.Proposal {
	if w.stop != "" || n <= 0 || len(w.asked) > 0 {
		return nil
	}
	var out []engine.Proposal
	known := map[string]bool{} // in this Ask
	add := func(p benchmarks.Point, origin string) {
		key := engine.Key(p)
		if _, told := w.memory.Loss(key); told || known[key] {
			return
		}
		known[key] = true
		w.asked = append(w.asked, p)
		out = append(out, engine.Proposal{Point: p.Clone(), Origin: origin})
	}
	for ; w.opened < len(w.start) && len(out) < n; w.opened++ {
		add(w.start[w.opened], fmt.Sprintf("%s start %d", w.name, w.opened))
	}
	if w.opened < len(w.start) || len(out) > 0 {
		return out
	}
	for skips := 0; len(out) < n; skips++ {
		if skips > maxSkips {
			w.stop = fmt.Sprintf("%d points in a row were infeasible or known", maxSkips)
			break
		}
		p, more := w.path.at(w.cursor)
		if !more {
			if len(out) > 0 {
				break // a new path may depend on what these are told
			}
			if w.path.turn(w.best) {
				w.cursor = 0
				continue
			}
			w.stop = "every point has been asked"
			break
		}
		before := len(out)
		if p != nil {
			add(p, w.path.origin(w.cursor))
		}
		if len(out) > before {
			skips = 0
		}
		w.cursor++
	}
	return out
}

// Sizes is how many points the walk asks, and how many there are in the whole
// space; 0: that is not known.
func (w *walker) Sizes() (asked, whole int) {
	if p, ok := w.path.(interface{ sizes() (int, int) }); ok {
		return p.sizes()
	}
	return 0, 0
}

// Tell implements engine.Engine.
func (w *walker) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if len(w.asked) == 0 {
			return
		}
		p := w.asked[0]
		w.asked = w.asked[1:]
		loss := engine.Worst(t.Loss)
		w.memory.Add(engine.Key(p), loss)
		if w.best == nil || loss < w.bestLoss {
			w.best, w.bestLoss = p, loss
		}
	}
}

// Done implements engine.Engine.
func (w *walker) Done() (string, bool) { return w.stop, w.stop != "" }

type walkerState struct {
	Opened   int               `json:"opened"`
	Cursor   int               `json:"cursor"`
	Memory   *engine.Memory    `json:"memory"`
	Asked    []json.RawMessage `json:"asked"`
	Best     json.RawMessage   `json:"best"`
	BestLoss engine.Loss       `json:"best_loss"`
	Stop     string            `json:"stop"`
	Path     json.RawMessage   `json:"path"`
}

// Snapshot implements engine.Engine.
func (w *walker) Snapshot() ([]byte, error) {
	s := walkerState{Opened: w.opened, Cursor: w.cursor, Memory: &w.memory, Asked: []json.RawMessage{},
		Best: json.RawMessage("null"), BestLoss: engine.Loss(w.bestLoss), Stop: w.stop, Path: w.path.state()}
	for _, p := range w.asked {
		s.Asked = append(s.Asked, p.Canonical())
	}
	if w.best != nil {
		s.Best = w.best.Canonical()
	}
	return engine.Seal(w.name, snapshotVersion, w.cfg.Fingerprint(), s)
}

// Restore implements engine.Engine.
func (w *walker) Restore(b []byte) error {
	s := walkerState{Memory: new(engine.Memory)}
	if err := engine.Unseal(w.name, snapshotVersion, w.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	if s.Opened < 0 || s.Opened > len(w.start) {
		return fmt.Errorf("%w: opened: %d of %d start points", engine.ErrSnapshot, s.Opened, len(w.start))
	}
	if s.Cursor < 0 {
		return fmt.Errorf("%w: cursor: %d", engine.ErrSnapshot, s.Cursor)
	}
	if s.Memory == nil {
		return fmt.Errorf("%w: memory is missing", engine.ErrSnapshot)
	}
	var asked []benchmarks.Point
	for i, raw := range s.Asked {
		p, err := benchmarks.DecodePoint(w.cfg.Space, raw)
		if err != nil {
			return fmt.Errorf("%w: asked[%d]: %w", engine.ErrSnapshot, i, err)
		}
		asked = append(asked, p)
	}
	var best benchmarks.Point
	if string(s.Best) != "null" {
		p, err := benchmarks.DecodePoint(w.cfg.Space, s.Best)
		if err != nil {
			return fmt.Errorf("%w: best: %w", engine.ErrSnapshot, err)
		}
		best = p
	}
	if err := w.path.setState(s.Path); err != nil {
		return fmt.Errorf("%w: path: %w", engine.ErrSnapshot, err)
	}
	w.opened, w.cursor, w.memory, w.asked = s.Opened, s.Cursor, *s.Memory, asked
	w.best, w.bestLoss, w.stop = best, float64(s.BestLoss), s.Stop
	return nil
}

// fixed is the part of a path that never changes.
type fixed struct{}

func (fixed) turn(benchmarks.Point) bool { return false }
func (fixed) state() json.RawMessage     { return json.RawMessage("null") }
func (fixed) setState(b json.RawMessage) error {
	if string(b) != "null" {
		return errors.New("want null")
	}
	return nil
}
