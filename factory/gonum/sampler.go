// Package gonum puts two optimizers of gonum.org/v1/gonum/optimize behind ask
// and tell: [Polish], a Nelder-Mead search from the best point known, and
// [CMA], gonum's CmaEsChol as it is, the baseline that package cma is measured
// against.
//
// It is not the CMA-ES to search with: gonum v0.17.0's loses its step size,
// which a test in package cma shows.
package gonum

import (
	"fmt"
	"math"
	goruntime "runtime"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

const (
	snapshotVersion = 1
	maxTold         = 1 << 22 // losses of one run, which a snapshot lists
	maxBlind        = 1000    // generations in a row without a feasible point
)

// search is what differs between the two.
type search struct {
	name string
	// method makes the optimizer of a run, from 0, and says how many points it
	// asks at once.
	method func(run, dim int) (m optimize.Method, width int)
	// moves reports whether a run moves a parameter that is active, or not,
	// where it begins.
	moves func(p benchmarks.Parameter, active bool) bool
	// step is the unit in which the method of a run sees a coordinate, as a
	// share of its range of so many cells (0: continuous).
	step func(run, cells int) float64
	runs int // in all, each around the best point so far
	// quiet is how many generations without a better point end a run, by
	// dimension; 0: as many as the method likes.
	quiet func(dim int) int
}

// sampler implements engine.Sampler. Its state is what the method was told
// since the run began: restoring replays it.
type sampler struct {
	search
	space  benchmarks.Space
	origin benchmarks.Point // where the run began; nil before Begin
	centre []float64        // the same in the cube
	axes   []int            // coordinates of the cube that the run moves
	steps  []float64        // by axis

	talk       *conversation
	cleanup    goruntime.Cleanup
	generation []benchmarks.Point // nil where infeasible
	next       int                // of the generation, to be drawn
	blind      int

	run      int
	told     []engine.Loss // of the run
	best     benchmarks.Point
	bestLoss float64
	stale    int // generations since the best of the run
	stop     string
}

func newSampler(s search, space benchmarks.Space) *sampler {
	return &sampler{search: s, space: space, bestLoss: math.Inf(1)}
}

// Begin implements engine.Sampler.
func (s *sampler) Begin(start []engine.Trial) {
	for _, t := range start {
		if s.best == nil || t.Loss < s.bestLoss {
			s.best, s.bestLoss = t.Point, t.Loss
		}
	}
	if s.best == nil {
		p, err := s.space.Normalize(s.space.Default())
		if err != nil {
			s.stop = "the default point is infeasible, and there is no other to begin at: " + err.Error()
			return
		}
		s.best = p
	}
	s.start()
}

// start begins a run around the best point.
func (s *sampler) start() {
	s.hangUp()
	s.told, s.stale, s.blind, s.generation, s.next = nil, 0, 0, nil, 0
	s.origin, s.centre = s.best, s.space.Encode(s.best)
	s.axes, s.steps = s.axes[:0], s.steps[:0]
	at := 0
	for _, p := range s.space.Parameters {
		width, cells := extent(p)
		if _, active := s.origin[p.Name]; s.moves(p, active) {
			for k := range width {
				s.axes = append(s.axes, at+k)
				s.steps = append(s.steps, s.step(s.run, cells))
			}
		}
		at += width
	}
	if len(s.axes) == 0 {
		s.stop = "the point has no knob to move"
		return
	}
	m, width := s.method(s.run, len(s.axes))
	s.talk = converse(m, len(s.axes), width)
	s.watch()
}

// watch ends the conversation with the sampler: an engine has no Close.
func (s *sampler) watch() {
	if s.talk != nil {
		s.cleanup = goruntime.AddCleanup(s, (*conversation).end, s.talk)
	}
}

// hangUp ends the conversation of the run.
func (s *sampler) hangUp() {
	if s.talk != nil {
		s.cleanup.Stop()
		s.talk.end()
		s.talk = nil
	}
}

// extent is the number of coordinates of a parameter in the cube, and of cells
// along each.
func extent(p benchmarks.Parameter) (width, cells int) {
	switch p.Kind {
	case benchmarks.Float:
		return 1, 0
	case benchmarks.Int:
		return 1, int(math.Min(p.Max-p.Min+1, 1<<30))
	case benchmarks.Bool:
		return 1, 2
	case benchmarks.Permutation:
		return len(p.Choices), len(p.Choices)
	case benchmarks.Categorical, benchmarks.Ordinal:
		return 1, len(p.Choices)
	}
	return 1, 0
}

// Draw implements engine.Sampler.
func (s *sampler) Draw() (benchmarks.Point, string, bool) {
	for s.stop == "" && s.listen() {
		for s.next < len(s.generation) {
			p := s.generation[s.next]
			s.next++
			if p != nil {
				return p.Clone(), fmt.Sprintf("%s r%d e%d", s.name, s.run, len(s.told)+s.next-1), true
			}
		}
		if s.feasible() > 0 {
			return nil, "", false // to be learned from
		}
		if s.blind++; s.blind > maxBlind {
			s.stop = fmt.Sprintf("%d points in a row were infeasible", s.blind)
			break
		}
		s.answer(nil)
	}
	return nil, "", false
}

// feasible is how many points of the generation are.
func (s *sampler) feasible() int {
	n := 0
	for _, p := range s.generation {
		if p != nil {
			n++
		}
	}
	return n
}

// listen makes sure that there is a generation; false when the run has ended
// and no other follows.
func (s *sampler) listen() bool {
	for s.stop == "" && s.generation == nil {
		points := s.talk.ask()
		quiet := s.quiet(len(s.axes))
		if points == nil || (quiet > 0 && s.stale >= quiet) || len(s.told) > maxTold {
			s.Restart()
			continue
		}
		s.load(points)
	}
	return s.stop == ""
}

// load decodes the method's points into the generation.
func (s *sampler) load(points [][]float64) {
	s.generation, s.next = make([]benchmarks.Point, len(points)), 0
	for i, z := range points {
		if floats.Norm(z, math.Inf(1)) == 0 { // not through the cube and back, which may round
			s.generation[i] = s.origin
			continue
		}
		cube := slices.Clone(s.centre)
		for k, at := range s.axes {
			cube[at] = engine.Fold(s.centre[at] + float64(s.steps[k]*z[k]))
		}
		if p, err := s.space.Decode(cube); err == nil {
			s.generation[i] = p
		}
	}
}

// Learn implements engine.Sampler.
func (s *sampler) Learn(losses []float64) {
	if s.generation == nil {
		return
	}
	s.blind = 0
	s.answer(losses)
}

// answer tells the method the generation, +Inf for what is infeasible.
func (s *sampler) answer(losses []float64) {
	s.stale++
	all := make([]float64, len(s.generation))
	for i, p := range s.generation {
		all[i] = math.Inf(1)
		if p == nil || len(losses) == 0 {
			continue
		}
		all[i], losses = losses[0], losses[1:]
		if all[i] < s.bestLoss {
			s.best, s.bestLoss, s.stale = p, all[i], 0
		}
	}
	s.talk.tell(all)
	for _, l := range all {
		s.told = append(s.told, engine.Loss(l))
	}
	s.generation = nil
}

// Restart implements engine.Sampler: the next run, if there is one.
func (s *sampler) Restart() {
	if s.run++; s.run >= s.runs {
		s.stop = "converged"
		s.hangUp()
		return
	}
	s.start()
}

// Done implements engine.Sampler.
func (s *sampler) Done() (string, bool) { return s.stop, s.stop != "" }
