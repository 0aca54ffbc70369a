// Package catcma is the engine for mixed spaces: CatCMA with margin. Floats,
// integers, ordinals and permutations are a Gaussian (active CMA-ES, package
// cma), categoricals and booleans are categorical distributions beside it, and
// both learn from the same ranking.
//
// Sources: Hamano et al., "CatCMA: Stochastic Optimization for Mixed-Category
// Problems", arXiv:2405.09962; the margin for integers, arXiv:2205.13482;
// "CatCMA with Margin", GECCO 2025, for centring. What differs from them: the
// margin of an integer is a floor on its standard deviation instead of an
// affine map, and the Gaussian restarts by BIPOP, when the distributions
// begin anew too.
//
// A knob that its conditions switch off takes no part: a categorical sample
// without it leaves its distribution alone, a Gaussian coordinate keeps its own
// draw, which no loss depends on. Points that differ in such knobs alone are
// one point and cost one evaluation.
//
// It is not for spaces that are permutations and little else: package ga
// searches those better.
package catcma

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Limits and constants.
const (
	maxRedraws  = 100 // draws for one feasible sample
	maxIdle     = 12  // generations in a row without a new point before a restart
	maxIdleRuns = 10  // such restarts in a row before the engine is done
	// marginCells is the least standard deviation of a coordinate of cells: a
	// mean in the middle of its cell still leaves it in one of about 40 draws.
	marginCells = .22
)

// coordinate is one axis of the Gaussian.
type coordinate struct {
	at    int // in the unit cube of the space
	cells int // 0: continuous
	log   *benchmarks.Parameter
}

// variable is one categorical distribution.
type variable struct {
	at, choices int
	name        string
}

// draw is a sample of the generation that has not been told to the optimizer.
type draw struct {
	Key   string `json:"key"`
	Picks []int  `json:"picks"` // by variable; −1: inactive
}

type searcher struct {
	cfg    engine.Config
	start  []benchmarks.Point
	axes   []coordinate
	vars   []variable
	opt    *cma.Optimizer
	cat    categorical
	pcg    *rand.PCG
	rng    *rand.Rand
	begun  bool
	opened int
	memory engine.Memory
	queue  []draw
	asked  []string
	best   string
	idle   int
	runs   int // restarts of the optimizer that the categoricals have followed
	stop   string

	x     []float64 // the Gaussian's sample
	cube  []float64 // of the whole space
	picks []int
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New. An error names what the
// space or a start point is refused for.
func Engine(cfg engine.Config) (engine.Engine, error) {
	if cfg.Space.Dim() == 0 {
		return nil, fmt.Errorf("%w: the space has no parameter", cma.ErrConfig)
	}
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	e := &searcher{cfg: cfg, start: start, pcg: seed.Source(seed.Root(cfg.Seed), "catcma")}
	e.rng = rand.New(e.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	sizes := e.layout()
	n := max(1, len(e.axes)) // a space of categoricals alone has one idle axis
	floor := make([]float64, n)
	for i, a := range e.axes {
		if a.cells > 0 {
			floor[i] = math.Min(1, marginCells/float64(a.cells))
		}
	}
	mean := make([]float64, n)
	for i := range mean {
		mean[i] = .5
	}
	e.opt, err = cma.New(cma.Config{
		Dim: n, Mean: mean, StdFloor: floor, Seed: cfg.Seed, Sigma: sigma,
		Lambda: population(len(e.axes)+len(e.vars), cfg),
	})
	if err != nil {
		return nil, err
	}
	e.cat = newCategorical(sizes)
	e.x, e.cube, e.picks = make([]float64, n), make([]float64, cfg.Space.Dim()), make([]int, len(e.vars))
	return e, nil
}

// sigma is the first step of the Gaussian, in widths of the cube.
const sigma = .25

// population is that of table 1 of the CMA tutorial over all variables, less
// when the budget is only a few generations of it.
func population(n int, cfg engine.Config) int {
	lambda := 4 + int(3*math.Log(float64(n)))
	if cfg.Budget > 0 {
		lambda = min(lambda, cfg.Budget/30)
	}
	return max(6, lambda, min(cfg.Parallel, 64))
}

// layout walks the cube: what is an axis and what a distribution.
func (e *searcher) layout() (sizes []int) {
	at := 0
	for i, p := range e.cfg.Space.Parameters {
		switch p.Kind {
		case benchmarks.Float:
			e.axes = append(e.axes, coordinate{at: at})
		case benchmarks.Int:
			a := coordinate{at: at, cells: int(p.Max-p.Min) + 1}
			if p.Log {
				a.log = &e.cfg.Space.Parameters[i]
			}
			e.axes = append(e.axes, a)
		case benchmarks.Ordinal:
			e.axes = append(e.axes, coordinate{at: at, cells: len(p.Choices)})
		case benchmarks.Permutation:
			for k := range p.Choices {
				e.axes = append(e.axes, coordinate{at: at + k, cells: len(p.Choices)})
			}
			at += len(p.Choices) - 1
		case benchmarks.Categorical:
			e.vars = append(e.vars, variable{at, len(p.Choices), p.Name})
			sizes = append(sizes, len(p.Choices))
		case benchmarks.Bool:
			e.vars = append(e.vars, variable{at, 2, p.Name})
			sizes = append(sizes, 2)
		}
		at++
	}
	return sizes
}

// Ask returns at most n points, all of one generation.
func (e *searcher) Ask(n int) []engine.Proposal {
	if e.stop != "" || n <= 0 || len(e.asked) > 0 {
		return nil
	}
	var out []engine.Proposal
	for ; e.opened < len(e.start) && len(out) < n; e.opened++ {
		p := e.start[e.opened]
		out = append(out, engine.Proposal{Point: p.Clone(), Origin: fmt.Sprintf("catcma start %d", e.opened)})
		e.asked = append(e.asked, engine.Key(p))
	}
	if len(out) > 0 {
		return out
	}
	e.begin()
	for len(out) < n {
		p, ok := e.next()
		if !ok {
			if len(out) > 0 {
				break
			}
			if e.stop != "" || !e.idleGeneration() {
				return nil
			}
			continue
		}
		key := engine.Key(p)
		e.queue = append(e.queue, draw{key, slices.Clone(e.picks)})
		if _, known := e.memory.Loss(key); known || slices.Contains(e.asked, key) {
			continue
		}
		e.asked = append(e.asked, key)
		gen, restarts := e.opt.Generation()
		out = append(out, engine.Proposal{Point: p, Origin: fmt.Sprintf("catcma r%d g%d i%d", restarts, gen, len(e.queue)-1)})
		e.idle = 0
	}
	return out
}

// begin moves the first mean to the best start point.
func (e *searcher) begin() {
	if e.begun {
		return
	}
	e.begun = true
	for _, p := range e.start {
		if engine.Key(p) == e.best {
			e.opt.Recentre(e.gaussian(e.cfg.Space.Encode(p)))
		}
	}
}

// gaussian takes the axes out of a point of the cube.
func (e *searcher) gaussian(cube []float64) []float64 {
	x := slices.Clone(e.x)
	for i, a := range e.axes {
		x[i] = cube[a.at]
	}
	return x
}

// next draws one feasible point; false when the generation has been drawn.
func (e *searcher) next() (benchmarks.Point, bool) {
	if !e.opt.Ask(e.x) {
		return nil, false
	}
	for range maxRedraws {
		e.cat.sample(e.rng, e.picks)
		for i, a := range e.axes {
			e.cube[a.at] = e.x[i]
		}
		for i, v := range e.vars {
			e.cube[v.at] = (float64(e.picks[i]) + .5) / float64(v.choices)
		}
		if p, err := e.cfg.Space.Decode(e.cube); err == nil {
			e.settle(p)
			return p, true
		}
		e.opt.Redraw(e.x)
	}
	p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(e.rng))
	if err != nil {
		e.stop = "no feasible point found: " + err.Error()
		return nil, false
	}
	cube := e.cfg.Space.Encode(p)
	e.opt.Replace(e.gaussian(cube))
	for i, v := range e.vars {
		e.picks[i] = min(v.choices-1, int(cube[v.at]*float64(v.choices)))
	}
	e.settle(p)
	return p, true
}

// settle takes inactive categoricals out of the sample.
func (e *searcher) settle(p benchmarks.Point) {
	for i, v := range e.vars {
		if _, active := p[v.name]; !active {
			e.picks[i] = -1
		}
	}
}

func (e *searcher) idleGeneration() bool {
	e.flush()
	e.idle++
	if e.idle%maxIdle == 0 {
		e.opt.Restart()
		e.follow()
	}
	if e.idle >= maxIdle*maxIdleRuns {
		e.stop = "every point that it draws is known"
		return false
	}
	return true
}

// follow begins anew with the optimizer.
func (e *searcher) follow() {
	if _, restarts := e.opt.Generation(); restarts != e.runs {
		e.runs = restarts
		e.cat.reset()
	}
}

// flush tells the drawn samples to both parts. It is called with a part of a
// generation too, when an Ask was for less; the categoricals learn only from
// whole ones.
func (e *searcher) flush() {
	told := 0
	for _, d := range e.queue {
		if len(d.Key) > 0 {
			told++
		}
	}
	if e.opt.Pending() > 0 || told == 0 {
		return // more of this generation is to come
	}
	e.margins()
	e.learn()
	for _, d := range e.queue {
		loss, _ := e.memory.Loss(d.Key)
		e.opt.Tell(loss)
	}
	e.queue = e.queue[:0]
	e.follow()
}

// margins renews the floors of integers on a logarithmic scale, whose cells
// are wide at the low end: the cell that the mean is in counts.
func (e *searcher) margins() {
	e.opt.Mean(e.x)
	for i, a := range e.axes {
		if a.log == nil {
			continue
		}
		lo, hi := math.Log(a.log.Min-.5), math.Log(a.log.Max+.5)
		v := math.Max(a.log.Min, math.Round(math.Exp(lo+float64(e.x[i]*(hi-lo)))))
		e.opt.SetStdFloor(i, marginCells*math.Log((v+.5)/(v-.5))/(hi-lo))
	}
}

// learn updates the categoricals with the weights of the tutorial's eq. 49,
// the positive half alone.
func (e *searcher) learn() {
	n := len(e.queue)
	if len(e.vars) == 0 || n < 2 {
		return
	}
	order := make([]int, n)
	loss := make([]float64, n)
	for i, d := range e.queue {
		order[i] = i
		loss[i], _ = e.memory.Loss(d.Key)
	}
	sort.SliceStable(order, func(i, j int) bool { return loss[order[i]] < loss[order[j]] })
	mu := n / 2
	w := make([]float64, mu)
	picks := make([][]int, mu)
	sum := 0.
	for i := range w {
		w[i] = math.Log(float64(n+1)/2) - math.Log(float64(i)+1)
		sum += w[i]
		picks[i] = e.queue[order[i]].Picks
	}
	for i := range w {
		w[i] /= sum
	}
	e.cat.update(picks, w)
}

// Tell takes the results of the last Ask, in its order.
func (e *searcher) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if len(e.asked) == 0 {
			return
		}
		key := e.asked[0]
		e.asked = e.asked[1:]
		e.memory.Add(key, t.Loss)
		if !e.begun {
			loss, _ := e.memory.Loss(key)
			if least, ok := e.memory.Loss(e.best); !ok || loss < least {
				e.best = key
			}
		}
	}
	if len(e.asked) == 0 {
		e.asked = nil
		e.flush()
	}
}

// Done says that the engine draws nothing new any more.
func (e *searcher) Done() (string, bool) { return e.stop, e.stop != "" }
