// Package de is differential evolution: L-SHADE, R. Tanabe and A. Fukunaga,
// "Improving the Search Performance of SHADE Using Linear Population Size
// Reduction", CEC 2014; the success history is "Success-History Based Parameter
// Adaptation for Differential Evolution", CEC 2013, the archive and
// current-to-pbest/1 are those of JADE, Zhang & Sanderson, TEVC 13(5), 2009.
//
// It searches the unit cube of a space: floats are their coordinate, integers,
// ordinals, booleans and categoricals are cells of one, a permutation is its
// random keys. It moves differences of its own population and no model, so it
// is at home where a landscape is separable or rugged, and slow where variables
// turn together: package cma is faster there.
//
// It is not for noise: a parent that was lucky is replaced only by a luckier
// child.
package de

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

const (
	snapshotVersion = 1
	maxRedraws      = 50 // draws for one feasible trial
	patience        = 20 // generations in a row without a new point before a restart

	sizePerDim    = 18  // population at the start, by dimension, at most
	sizeLast      = 4   // population at the end of the budget
	leastGens     = 25  // generations that the first population leaves the budget for
	archiveShare  = 2.6 // of the population
	memories      = 6   // H: pairs of F and CR remembered
	bestShare     = .11 // p: the best that a trial is drawn towards
	collapsed     = 1e-12
	maxPopulation = 4096
)

// member is a point of the cube and its loss.
type member struct {
	X    []float64   `json:"x"`
	Loss engine.Loss `json:"loss"`
}

// child is one trial vector of the generation.
type child struct {
	x     []float64
	point benchmarks.Point // nil: no feasible one was found
	f, cr float64
}

// evolution implements engine.Sampler. A generation's trials follow from the
// population, the memories and (seed, run, generation) alone.
type evolution struct {
	cfg   engine.Config
	first int // population at the start

	run, gen int
	spent    int // trials learned from in this run
	pop      []member
	archive  [][]float64
	mF, mCR  []float64 // mCR < 0: the terminal value, CR 0
	slot     int       // of the memories, written next
	children []child   // of the generation
	next     int       // of them, drawn next
	start    [][]float64
	stop     string
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New; the name in a study is
// "de". The population shrinks over the budget of the configuration; without
// one it keeps its size.
func Engine(cfg engine.Config) (engine.Engine, error) {
	n := cfg.Space.Dim()
	if n == 0 {
		return nil, fmt.Errorf("%w: no parameter", engine.ErrSpace)
	}
	e := &evolution{cfg: cfg, first: sizePerDim * n}
	if cfg.Budget > 0 {
		e.first = min(e.first, cfg.Budget/leastGens)
	} else {
		e.first = min(e.first, 100)
	}
	e.first = min(max(e.first, 12, cfg.Parallel), maxPopulation)
	e.forget()
	return engine.Generational("de", snapshotVersion, patience, cfg, e)
}

// forget begins a run: no population, no archive, the memories at .5.
func (e *evolution) forget() {
	e.gen, e.spent, e.slot, e.next = 0, 0, 0, 0
	e.pop, e.archive, e.children = nil, nil, nil
	e.mF, e.mCR = slices.Repeat([]float64{.5}, memories), slices.Repeat([]float64{.5}, memories)
}

// Begin takes the start points into the first population.
func (e *evolution) Begin(start []engine.Trial) {
	for _, t := range start {
		e.start = append(e.start, e.cfg.Space.Encode(t.Point))
	}
}

// Draw implements engine.Sampler.
func (e *evolution) Draw() (benchmarks.Point, string, bool) {
	if e.stop != "" {
		return nil, "", false
	}
	if e.children == nil {
		e.breed()
	}
	for e.next < len(e.children) {
		c := e.children[e.next]
		e.next++
		if c.point != nil {
			return c.point.Clone(), fmt.Sprintf("de r%d g%d i%d", e.run, e.gen, e.next-1), true
		}
	}
	if !slices.ContainsFunc(e.children, func(c child) bool { return c.point != nil }) {
		e.stop = "no feasible point was found"
	}
	return nil, "", false
}

// breed makes the children of the generation.
func (e *evolution) breed() {
	rng := seed.Stream(seed.Root(e.cfg.Seed), "de", uint64(e.run), uint64(e.gen))
	e.next = 0
	if len(e.pop) == 0 {
		e.children = e.settlers(rng)
		return
	}
	order := e.order()
	e.children = make([]child, len(e.pop))
	for i := range e.children {
		e.children[i] = e.child(i, order, rng)
	}
}

// settlers are the first population: the start points, the rest uniform.
func (e *evolution) settlers(rng *rand.Rand) []child {
	out := make([]child, e.first)
	for i := range out {
		for try := range maxRedraws {
			x := make([]float64, e.cfg.Space.Dim())
			for j := range x {
				x[j] = rng.Float64()
			}
			if try == 0 && i < len(e.start) && e.run == 0 {
				x = e.start[i]
			}
			if out[i] = (child{x: x, point: e.decode(x)}); out[i].point != nil {
				break
			}
		}
		if out[i].point != nil {
			continue
		}
		if p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(rng)); err == nil {
			out[i] = child{x: e.cfg.Space.Encode(p), point: p}
		}
	}
	return out
}

func (e *evolution) decode(x []float64) benchmarks.Point {
	p, err := e.cfg.Space.Decode(x)
	if err != nil {
		return nil
	}
	return p
}

// order lists the population by loss; of equals, the older.
func (e *evolution) order() []int {
	order := make([]int, len(e.pop))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case e.pop[a].Loss < e.pop[b].Loss:
			return -1
		case e.pop[a].Loss > e.pop[b].Loss:
			return 1
		}
		return 0
	})
	return order
}

// child draws the trial vector of parent i: current-to-pbest/1/bin.
func (e *evolution) child(i int, order []int, rng *rand.Rand) child {
	x := e.pop[i].X
	c := child{x: make([]float64, len(x))}
	for range maxRedraws {
		c.f, c.cr = e.parameters(rng)
		best := e.pop[order[rng.IntN(max(2, int(math.Round(bestShare*float64(len(e.pop))))))]].X
		a, b := e.difference(i, rng)
		keep := rng.IntN(len(x)) // one coordinate at least is the mutant's
		for j := range x {
			c.x[j] = x[j]
			if u := rng.Float64(); j != keep && u >= c.cr {
				continue
			}
			v := x[j] + float64(c.f*(best[j]-x[j])) + float64(c.f*(a[j]-b[j]))
			switch { // JADE, eq. 9: halfway to the bound
			case v < 0:
				v = x[j] / 2
			case v > 1:
				v = (1 + x[j]) / 2
			}
			c.x[j] = v
		}
		if c.point = e.decode(c.x); c.point != nil {
			break
		}
	}
	return c
}

// difference draws r1 from the population and r2 from the population and the
// archive, both other than i and than each other.
func (e *evolution) difference(i int, rng *rand.Rand) (a, b []float64) {
	r1 := rng.IntN(len(e.pop) - 1)
	if r1 >= i {
		r1++
	}
	for {
		switch r2 := rng.IntN(len(e.pop) + len(e.archive)); {
		case r2 >= len(e.pop):
			return e.pop[r1].X, e.archive[r2-len(e.pop)]
		case r2 != i && r2 != r1:
			return e.pop[r1].X, e.pop[r2].X
		}
	}
}

// parameters draws F from a Cauchy and CR from a normal distribution around a
// remembered pair (SHADE, eqs. 1–3).
func (e *evolution) parameters(rng *rand.Rand) (f, cr float64) {
	k := rng.IntN(memories)
	for f <= 0 {
		f = e.mF[k] + float64(.1*math.Tan(math.Pi*(rng.Float64()-.5)))
	}
	if e.mCR[k] >= 0 {
		cr = math.Min(1, math.Max(0, e.mCR[k]+float64(.1*rng.NormFloat64())))
	}
	return math.Min(f, 1), cr
}

// Learn implements engine.Sampler: selection, archive, memories, and a smaller
// population.
func (e *evolution) Learn(losses []float64) {
	rng := seed.Stream(seed.Root(e.cfg.Seed), "de/learn", uint64(e.run), uint64(e.gen))
	settling := len(e.pop) == 0
	var won []child
	var gain []float64
	told := 0
	for i, c := range e.children {
		loss := math.Inf(1)
		if c.point != nil && told < len(losses) {
			loss = losses[told]
			told++
		}
		if settling {
			e.pop = append(e.pop, member{c.x, engine.Loss(loss)})
			continue
		}
		parent := e.pop[i]
		if c.point == nil || loss > float64(parent.Loss) {
			continue
		}
		if loss < float64(parent.Loss) {
			e.archive = append(e.archive, parent.X)
			won = append(won, c)
			if g := float64(parent.Loss) - loss; !math.IsInf(g, 0) {
				gain = append(gain, g)
			} else {
				gain = append(gain, 1) // better than a failure: by how much, nobody knows
			}
		}
		e.pop[i] = member{c.x, engine.Loss(loss)}
	}
	e.spent += told
	e.remember(won, gain)
	e.shrink(rng)
	e.children, e.next = nil, 0
	e.gen++
	if !settling && e.spread() < collapsed {
		e.Restart()
	}
}

// remember moves one pair of the memories to the weighted Lehmer means of what
// succeeded (L-SHADE, algorithm 1).
func (e *evolution) remember(won []child, gain []float64) {
	if len(won) == 0 {
		return
	}
	var f, f2, cr, cr2, most float64
	for i, c := range won {
		f += gain[i] * c.f
		f2 += gain[i] * c.f * c.f
		cr += gain[i] * c.cr
		cr2 += gain[i] * c.cr * c.cr
		most = math.Max(most, c.cr)
	}
	if f > 0 {
		e.mF[e.slot] = f2 / f
	}
	switch {
	case e.mCR[e.slot] < 0 || most == 0:
		e.mCR[e.slot] = -1
	case cr > 0:
		e.mCR[e.slot] = cr2 / cr
	}
	e.slot = (e.slot + 1) % memories
}

// shrink drops the worst of the population as the budget goes (L-SHADE,
// eq. 10), and random points of an archive that is too large.
func (e *evolution) shrink(rng *rand.Rand) {
	if e.cfg.Budget > 0 {
		left := 1 - math.Min(1, float64(e.spent)/float64(e.cfg.Budget))
		size := sizeLast + int(math.Round(left*float64(e.first-sizeLast)))
		if size < len(e.pop) {
			keep := e.order()[:size]
			slices.Sort(keep)
			var pop []member
			for _, i := range keep {
				pop = append(pop, e.pop[i])
			}
			e.pop = pop
		}
	}
	for len(e.archive) > int(archiveShare*float64(len(e.pop))) {
		k := rng.IntN(len(e.archive))
		e.archive = slices.Delete(e.archive, k, k+1)
	}
}

// spread is the largest range of a coordinate over the population.
func (e *evolution) spread() float64 {
	var most float64
	for j := range e.pop[0].X {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, m := range e.pop {
			lo, hi = math.Min(lo, m.X[j]), math.Max(hi, m.X[j])
		}
		most = math.Max(most, hi-lo)
	}
	return most
}

// Restart begins with a new population.
func (e *evolution) Restart() {
	spent := e.spent // the budget goes on
	e.run++
	e.forget()
	e.spent = spent
}

// Done implements engine.Sampler.
func (e *evolution) Done() (string, bool) { return e.stop, e.stop != "" }

// state is the wire form of the sampler's state.
type state struct {
	Run     int         `json:"run"`
	Gen     int         `json:"gen"`
	Spent   int         `json:"spent"`
	Pop     []member    `json:"pop"`
	Archive [][]float64 `json:"archive"`
	MF      []float64   `json:"m_f"`
	MCR     []float64   `json:"m_cr"`
	Slot    int         `json:"slot"`
	Bred    bool        `json:"bred"`
	Next    int         `json:"next"`
	Start   [][]float64 `json:"start"`
	Stop    string      `json:"stop"`
}

// State implements engine.Sampler.
func (e *evolution) State() (json.RawMessage, error) {
	return json.Marshal(state{
		Run: e.run, Gen: e.gen, Spent: e.spent, Pop: e.pop, Archive: e.archive, MF: e.mF, MCR: e.mCR,
		Slot: e.slot, Bred: e.children != nil, Next: e.next, Start: e.start, Stop: e.stop,
	})
}

// SetState implements engine.Sampler.
func (e *evolution) SetState(b json.RawMessage) error {
	var s state
	if err := engine.DecodeState(b, &s); err != nil {
		return err
	}
	if err := e.refuse(s); err != nil {
		return fmt.Errorf("%w: %w", engine.ErrSnapshot, err)
	}
	e.run, e.gen, e.spent, e.pop, e.archive = s.Run, s.Gen, s.Spent, s.Pop, s.Archive
	e.mF, e.mCR, e.slot, e.start, e.stop = s.MF, s.MCR, s.Slot, s.Start, s.Stop
	e.children = nil
	if s.Bred {
		e.breed()
	}
	e.next = min(s.Next, len(e.children))
	return nil
}

// refuse names what in a state cannot be.
func (e *evolution) refuse(s state) error {
	switch {
	case s.Run < 0 || s.Gen < 0 || s.Spent < 0 || s.Next < 0:
		return fmt.Errorf("run %d, gen %d, spent %d, next %d", s.Run, s.Gen, s.Spent, s.Next)
	case len(s.Pop) > maxPopulation || (len(s.Pop) > 0 && len(s.Pop) < sizeLast):
		return fmt.Errorf("pop: %d members", len(s.Pop))
	case len(s.Archive) > 3*maxPopulation:
		return fmt.Errorf("archive: %d points", len(s.Archive))
	case len(s.MF) != memories || len(s.MCR) != memories:
		return fmt.Errorf("m_f, m_cr: %d and %d values, want %d", len(s.MF), len(s.MCR), memories)
	case s.Slot < 0 || s.Slot >= memories:
		return fmt.Errorf("slot: %d", s.Slot)
	}
	for i := range s.MF {
		if !(s.MF[i] > 0 && s.MF[i] <= 1) || !(s.MCR[i] <= 1) {
			return fmt.Errorf("m_f[%d] %v, m_cr[%d] %v", i, s.MF[i], i, s.MCR[i])
		}
	}
	cube := func(x []float64) bool {
		return len(x) == e.cfg.Space.Dim() && !slices.ContainsFunc(x, func(v float64) bool { return !(v >= 0 && v <= 1) })
	}
	for i, m := range s.Pop {
		if !cube(m.X) {
			return fmt.Errorf("pop[%d]: not a point of the cube", i)
		}
	}
	for i, x := range s.Archive {
		if !cube(x) {
			return fmt.Errorf("archive[%d]: not a point of the cube", i)
		}
	}
	for i, x := range s.Start {
		if !cube(x) {
			return fmt.Errorf("start[%d]: not a point of the cube", i)
		}
	}
	return nil
}
