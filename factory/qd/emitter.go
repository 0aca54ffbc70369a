package qd

import (
	"math"
	"slices"
	"sort"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// marginCells is the least standard deviation of a coordinate of cells, in
// cells (the margin of package catcma).
const marginCells = .22

// axis is a coordinate of the unit cube that has an order.
type axis struct {
	at    int
	cells int // 0: continuous, or wide cells of a logarithmic scale
}

// axesOf lists the ordered coordinates of a space: all but categoricals and
// booleans.
func axesOf(space benchmarks.Space) (out []axis) {
	at := 0
	for _, p := range space.Parameters {
		switch p.Kind {
		case benchmarks.Float:
			out = append(out, axis{at: at})
		case benchmarks.Int:
			a := axis{at: at}
			if !p.Log {
				a.cells = int(p.Max-p.Min) + 1
			}
			out = append(out, a)
		case benchmarks.Ordinal:
			out = append(out, axis{at: at, cells: len(p.Choices)})
		case benchmarks.Permutation:
			for k := range p.Choices {
				out = append(out, axis{at: at + k, cells: len(p.Choices)})
			}
		case benchmarks.Categorical, benchmarks.Bool:
		}
		at += p.Width()
	}
	return out
}

// margin is the least useful standard deviation of the coordinate.
func (a axis) margin() float64 {
	if a.cells == 0 {
		return 0
	}
	return math.Min(1, marginCells/float64(a.cells))
}

// sample is one draw of the present generation.
type sample struct {
	Key    string      `json:"key"`    // "": no feasible point was found
	Fresh  bool        `json:"fresh"`  // it was asked; else it is known already
	Change Change      `json:"change"` // what it did to the archive
	Gain   engine.Loss `json:"gain"`   // against the elite that it met
}

// emitter is a CMA-ES around an elite.
type emitter struct {
	elite int // the trial of the elite that it began at; −1: not one of this engine
	axes  []axis
	from  []float64 // the elite's coordinates in the unit cube
	cube  []float64 // the last sample's; those without an order stay the elite's
	opt   *cma.Optimizer
	x     []float64
}

// newEmitter begins at a random elite; false if there is none.
func (e *searcher) newEmitter() bool {
	if e.archive.Len() == 0 {
		return false
	}
	from := e.archive.nth(e.rng.IntN(e.archive.Len()))
	e.emitters++
	e.emitter = e.emitterAt(e.cfg.Space.Encode(from.Point), e.emitters)
	e.emitter.elite = from.Trial
	return true
}

// emitterAt makes number n, around a point of the unit cube.
func (e *searcher) emitterAt(cube []float64, n int) *emitter {
	m := &emitter{axes: e.axes, from: cube, cube: slices.Clone(cube), x: make([]float64, len(e.axes))}
	mean, floor := make([]float64, len(e.axes)), make([]float64, len(e.axes))
	for i, a := range e.axes {
		mean[i], floor[i] = cube[a.at], a.margin()
	}
	opt, err := cma.New(cma.Config{
		Dim: len(e.axes), Mean: mean, Sigma: emitterSigma, Lambda: e.lambda, StdFloor: floor, NoRestart: true,
		Seed: seed.Derive(seed.Root(e.cfg.Seed), "qd/emitter", uint64(n)),
	})
	if err != nil {
		panic(err) // coordinates of the unit cube and constants: nothing that New refuses
	}
	m.opt = opt
	return m
}

// draw returns the next sample as a point, nil if none was feasible; false
// when the generation is drawn.
func (m *emitter) draw(space benchmarks.Space) (benchmarks.Point, bool) {
	if !m.opt.Ask(m.x) {
		return nil, false
	}
	for range redrawsMax {
		for i, a := range m.axes {
			m.cube[a.at] = m.x[i]
		}
		if p, err := space.Decode(m.cube); err == nil {
			return p, true
		}
		m.opt.Redraw(m.x)
	}
	return nil, true
}

// learn tells the CMA-ES the ranks of a whole generation (Fontaine 2020,
// algorithm 2): first what opened a cell, by loss as the archive saw it, then
// by how much a cell's elite was beaten or missed. False when the emitter is
// done: nothing in the generation changed the archive, or the CMA-ES has
// converged.
func (m *emitter) learn(drawn []sample) bool {
	order := make([]int, len(drawn))
	changed := false
	for i := range order {
		order[i] = i
		changed = changed || drawn[i].Change != Rejected
	}
	sort.SliceStable(order, func(i, j int) bool {
		a, b := drawn[order[i]], drawn[order[j]]
		if (a.Change == Opened) != (b.Change == Opened) {
			return a.Change == Opened
		}
		return a.Gain > b.Gain
	})
	rank := make([]float64, len(drawn))
	for r, i := range order {
		rank[i] = float64(r)
		if drawn[i].Change == Rejected && math.IsInf(float64(drawn[i].Gain), -1) {
			rank[i] = math.Inf(1)
		}
	}
	for _, r := range rank {
		m.opt.Tell(r)
	}
	_, done := m.opt.Done()
	return changed && !done
}

// child is a point made from elites.
type child struct {
	Point   benchmarks.Point // nil: no feasible one was found
	Parents []int            // trials of this engine
}

// trialsOf lists the trials that are this engine's own.
func trialsOf(elites ...int) (out []int) {
	for _, t := range elites {
		if t >= 0 && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// children draws a generation of variation.
func (e *searcher) children() []child {
	out := make([]child, e.lambda)
	for i := range out {
		out[i] = e.child()
	}
	return out
}

// child is Iso+LineDD over the ordered coordinates; what has no order comes
// from either parent, and now and then from nowhere.
func (e *searcher) child() child {
	if e.archive.Len() == 0 {
		p, _ := e.random()
		return child{Point: p}
	}
	for range redrawsMax {
		one, other := e.archive.nth(e.rng.IntN(e.archive.Len())), e.archive.nth(e.rng.IntN(e.archive.Len()))
		a, b := e.cfg.Space.Encode(one.Point), e.cfg.Space.Encode(other.Point)
		e.vary(a, b)
		if p, err := e.cfg.Space.Decode(a); err == nil {
			return child{Point: p, Parents: trialsOf(one.Trial, other.Trial)}
		}
	}
	return child{}
}

// vary moves a in the direction of b and around.
func (e *searcher) vary(a, b []float64) {
	ordered := make([]bool, len(a))
	along := lineSigma * e.rng.NormFloat64()
	for _, x := range e.axes {
		ordered[x.at] = true
		sigma := math.Max(isoSigma, 2*x.margin())
		a[x.at] += float64(sigma*e.rng.NormFloat64()) + float64(along*(b[x.at]-a[x.at]))
	}
	for i := range a {
		switch {
		case ordered[i]:
		case e.rng.Float64() < 1/float64(len(a)):
			a[i] = e.rng.Float64()
		case e.rng.Float64() < .25:
			a[i] = b[i]
		}
	}
}
