// Package qd is quality-diversity search: an archive that keeps the best point
// of every cell of a grid of descriptors (MAP-Elites), filled by two kinds of
// emitter in turns. What comes out is not one good point but a map of good
// points that differ: a specialist for each place of the grid.
//
// The improvement emitter is CMA-ME's: a CMA-ES (package cma) that ranks its
// samples by what they did to the archive, those that opened a cell first, then
// those that improved one, and that begins anew at a random elite when a whole
// generation did neither (Fontaine, Togelius, Nikolaidis & Hoover, "Covariance
// Matrix Adaptation for the Rapid Illumination of Behavior Space", GECCO 2020,
// arXiv:1912.02400, section 4). It moves the knobs that have an order; the
// categoricals stay those of its elite.
//
// The variation emitter is Iso+LineDD (Vassiliades & Mouret, GECCO 2018,
// arXiv:1804.03906) with mutation of what has no order: a child of two elites.
//
// Contexts do not mix: a factory makes one engine, and so one archive, for each
// context. The package is not for finding the single best point fastest; cma,
// catcma and gp do that.
package qd

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Limits and constants.
const (
	redrawsMax   = 100 // draws for one feasible sample
	idleMax      = 200 // generations in a row without a new point before the engine is done
	firstMin     = 8   // random points before the emitters begin, at least …
	firstMax     = 60  // … and at most …
	firstShare   = 10  // … else this part of the budget
	firstTrying  = 400 // draws for one random point that is new
	isoSigma     = .05 // Iso+LineDD, in widths of the cube
	lineSigma    = .2
	emitterSigma = .15 // first step of an improvement emitter, in widths of the cube
)

// outcome is what was told about a point.
type outcome struct {
	Cell int         `json:"cell"` // −1: none
	Loss engine.Loss `json:"loss"`
}

// searcher is the engine.
type searcher struct {
	cfg    engine.Config
	grid   Grid
	axes   []axis
	start  []benchmarks.Point
	pcg    *rand.PCG
	rng    *rand.Rand
	lambda int
	// numeric: every knob is a float, an integer or an ordinal.
	numeric bool

	archive  Archive
	known    map[string]outcome // by engine.Key
	trials   int                // told, heard ones not counted
	opened   int                // start points asked
	randoms  int                // random points asked
	asked    []benchmarks.Point // wait for Tell
	turn     int                // generations ended
	drawn    []sample           // of the present generation
	litter   []child            // of the present generation
	emitter  *emitter           // nil: the next improvement generation makes one
	emitters int                // made so far
	idle     int
	stop     string
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New. An error names what the
// space, a descriptor or a start point is refused for.
func Engine(cfg engine.Config) (engine.Engine, error) {
	if cfg.Space.Dim() == 0 {
		return nil, errors.New("qd: the space has no parameter")
	}
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	grid, err := NewGrid(cfg.Space, cfg.Descriptors)
	if err != nil {
		return nil, err
	}
	e := &searcher{cfg: cfg, grid: grid, axes: axesOf(cfg.Space), start: start, known: map[string]outcome{}}
	e.pcg = seed.Source(seed.Root(cfg.Seed), "qd")
	e.rng = rand.New(e.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	e.numeric = len(e.axes) == len(cfg.Space.Parameters) && !slices.ContainsFunc(cfg.Space.Parameters, func(p benchmarks.Parameter) bool {
		return p.Kind == benchmarks.Permutation
	})
	e.lambda = max(6, min(12, 4+len(e.axes)/2), min(cfg.Parallel, 64))
	return e, nil
}

// Ask returns at most n points, all of one generation.
func (e *searcher) Ask(n int) []engine.Proposal {
	if e.stop != "" || n <= 0 || len(e.asked) > 0 {
		return nil
	}
	var out []engine.Proposal
	ask := func(p benchmarks.Point, origin string, parents ...int) {
		out = append(out, engine.Proposal{Point: p, Origin: origin, Parents: parents})
		e.asked = append(e.asked, p)
	}
	for ; e.opened < len(e.start) && len(out) < n; e.opened++ {
		ask(e.start[e.opened].Clone(), fmt.Sprintf("qd start %d", e.opened))
	}
	if len(out) > 0 {
		return out
	}
	for ; e.randoms < e.first() && len(out) < n; e.randoms++ {
		p, ok := e.random()
		if !ok {
			e.randoms = e.first() // there is little else: the emitters say when it is nothing
			break
		}
		ask(p, "qd random")
	}
	if len(out) > 0 {
		return out
	}
	for len(out) < n {
		c, more := e.draw()
		if !more {
			if len(out) > 0 || !e.nextGeneration() {
				break
			}
			continue
		}
		if c.Point != nil {
			e.idle = 0
			ask(c.Point, e.origin(), c.Parents...)
		}
	}
	return out
}

// first is how many random points fill the archive before the emitters begin.
func (e *searcher) first() int {
	if e.cfg.Budget == 0 {
		return firstMax
	}
	return max(firstMin, min(firstMax, e.cfg.Budget/firstShare))
}

func (e *searcher) isNew(p benchmarks.Point) bool {
	_, known := e.known[engine.Key(p)]
	return !known && !slices.ContainsFunc(e.asked, p.Equal)
}

// random draws a new feasible point.
func (e *searcher) random() (benchmarks.Point, bool) {
	for range firstTrying {
		// Sample may answer with an infeasible default when it finds nothing.
		p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(e.rng))
		if err == nil && e.isNew(p) {
			return p, true
		}
	}
	return nil, false
}

func (e *searcher) origin() string {
	if e.improving() {
		return fmt.Sprintf("qd improvement e%d i%d", e.emitters, len(e.drawn)-1)
	}
	return fmt.Sprintf("qd line g%d i%d", e.turn, len(e.drawn)-1)
}

// improving says whose generation it is: of three, the improvement emitter has
// two where every knob is a number, one where some are not, and none where
// nothing has an order.
func (e *searcher) improving() bool {
	switch {
	case len(e.axes) == 0:
		return false
	case e.numeric:
		return e.turn%3 < 2
	}
	return e.turn%3 == 0
}

// draw draws one sample of the generation; more is false when all are drawn.
// A sample without a point costs nothing: it is known, or not feasible. What is
// drawn depends on the archive at the begin of the generation alone, so that
// it does not matter in which parts a generation is asked.
func (e *searcher) draw() (c child, more bool) {
	if e.improving() {
		if e.emitter == nil && !e.newEmitter() {
			return child{}, false
		}
		c.Point, more = e.emitter.draw(e.cfg.Space)
		c.Parents = trialsOf(e.emitter.elite)
	} else {
		if e.litter == nil {
			e.litter = e.children()
		}
		if more = len(e.drawn) < len(e.litter); more {
			c = e.litter[len(e.drawn)]
		}
	}
	if !more {
		return child{}, false
	}
	var s sample
	if c.Point != nil {
		s = sample{Key: engine.Key(c.Point), Fresh: e.isNew(c.Point)}
	}
	e.drawn = append(e.drawn, s)
	if !s.Fresh {
		return child{}, true
	}
	return c, true
}

// nextGeneration ends a generation whose samples have all been told; false
// when nothing new is found any more.
func (e *searcher) nextGeneration() bool {
	for i := range e.drawn {
		if s := &e.drawn[i]; !s.Fresh {
			s.Gain = engine.Loss(e.missed(s.Key))
		}
	}
	if e.improving() && e.emitter != nil && !e.emitter.learn(e.drawn) {
		e.emitter = nil
	}
	e.drawn, e.litter = nil, nil
	e.turn++
	if e.idle++; e.idle > idleMax {
		e.stop = "every point that it draws is known"
	}
	return e.stop == ""
}

// Tell takes the results of the last Ask, in its order.
func (e *searcher) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if len(e.asked) == 0 {
			return
		}
		p := e.asked[0]
		e.asked = e.asked[1:]
		e.learn(p, t, e.trials)
		e.trials++
	}
	if len(e.asked) == 0 {
		e.asked = nil
	}
}

// Hear takes what other engines were told in the same context: their points
// count for the archive too.
func (e *searcher) Hear(trials []engine.Trial) {
	for _, t := range trials {
		if p, err := e.cfg.Space.Normalize(t.Point); err == nil {
			e.learn(p, t, -1)
		}
	}
}

// learn puts a point into the archive and notes what it did there.
func (e *searcher) learn(p benchmarks.Point, t engine.Trial, trial int) {
	key := engine.Key(p)
	o := outcome{Cell: -1, Loss: engine.Loss(engine.Worst(t.Loss))}
	what, gain := Rejected, math.Inf(-1)
	if cell, ok := e.grid.Cell(p, t.Values); ok {
		what, gain = e.archive.Add(Elite{Cell: cell, Point: p, Loss: float64(o.Loss), Trial: trial})
		o.Cell = cell
	}
	e.known[key] = o
	for i := range e.drawn {
		if s := &e.drawn[i]; s.Key == key && s.Fresh {
			s.Change, s.Gain = what, engine.Loss(gain)
		}
	}
}

// missed is how much a known point misses its cell's elite by, as a gain; −Inf
// for one that has no cell or is no point.
func (e *searcher) missed(key string) float64 {
	o, known := e.known[key]
	if !known || o.Cell < 0 {
		return math.Inf(-1)
	}
	return e.archive.missed(o.Cell, float64(o.Loss))
}

// Done says that the engine draws nothing new any more.
func (e *searcher) Done() (string, bool) { return e.stop, e.stop != "" }
