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
	maxRedraws = 100 // draws for one feasible sample
	patience   = 12  // generations in a row without a new point before a restart
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

type sampler struct {
	space benchmarks.Space
	axes  []coordinate
	vars  []variable
	opt   *cma.Optimizer
	cat   categorical
	pcg   *rand.PCG
	rng   *rand.Rand
	drawn [][]int // choices of the generation's samples, by variable; −1: inactive
	runs  int     // restarts of the optimizer that the categoricals have followed
	stop  string

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
	e := &sampler{space: cfg.Space, pcg: seed.Source(seed.Root(cfg.Seed), "catcma")}
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
	var err error
	e.opt, err = cma.New(cma.Config{
		Dim: n, Mean: mean, StdFloor: floor, Seed: cfg.Seed, Sigma: sigma,
		Lambda: population(len(e.axes)+len(e.vars), cfg),
		Scouts: -1, // the distributions learn from the generations of the Gaussian
	})
	if err != nil {
		return nil, err
	}
	e.cat = newCategorical(sizes)
	e.x, e.cube, e.picks = make([]float64, n), make([]float64, cfg.Space.Dim()), make([]int, len(e.vars))
	return engine.Generational(engineName, snapshotVersion, patience, cfg, e)
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
func (e *sampler) layout() (sizes []int) {
	at := 0
	for i, p := range e.space.Parameters {
		switch p.Kind {
		case benchmarks.Float:
			e.axes = append(e.axes, coordinate{at: at})
		case benchmarks.Int:
			a := coordinate{at: at, cells: int(p.Max-p.Min) + 1}
			if p.Log {
				a.log = &e.space.Parameters[i]
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

// Begin moves the first mean to the best start point.
func (e *sampler) Begin(start []engine.Trial) {
	if best := engine.Best(start); best != nil {
		e.opt.Recentre(e.gaussian(e.space.Encode(best)))
	}
}

// gaussian takes the axes out of a point of the cube.
func (e *sampler) gaussian(cube []float64) []float64 {
	x := slices.Clone(e.x)
	for i, a := range e.axes {
		x[i] = cube[a.at]
	}
	return x
}

// Draw draws one feasible point of the generation.
func (e *sampler) Draw() (benchmarks.Point, string, bool) {
	if e.stop != "" || !e.opt.Ask(e.x) {
		return nil, "", false
	}
	p := e.feasible()
	if p == nil {
		return nil, "", false
	}
	e.settle(p)
	gen, restarts := e.opt.Generation()
	origin := fmt.Sprintf("catcma r%d g%d i%d", restarts, gen, len(e.drawn))
	e.drawn = append(e.drawn, slices.Clone(e.picks))
	return p, origin, true
}

// feasible decodes the sample, or what takes its place; nil, and Done, when no
// point of the space is feasible.
func (e *sampler) feasible() benchmarks.Point {
	for range maxRedraws {
		e.cat.sample(e.rng, e.picks)
		for i, a := range e.axes {
			e.cube[a.at] = e.x[i]
		}
		for i, v := range e.vars {
			e.cube[v.at] = (float64(e.picks[i]) + .5) / float64(v.choices)
		}
		if p, err := e.space.Decode(e.cube); err == nil {
			return p
		}
		e.opt.Redraw(e.x)
	}
	p, err := e.space.Normalize(e.space.Sample(e.rng))
	if err != nil {
		e.stop = "no feasible point found: " + err.Error()
		return nil
	}
	cube := e.space.Encode(p)
	e.opt.Replace(e.gaussian(cube))
	for i, v := range e.vars {
		e.picks[i] = min(v.choices-1, int(cube[v.at]*float64(v.choices)))
	}
	return p
}

// settle takes inactive categoricals out of the sample.
func (e *sampler) settle(p benchmarks.Point) {
	for i, v := range e.vars {
		if _, active := p[v.name]; !active {
			e.picks[i] = -1
		}
	}
}

// Restart implements engine.Sampler.
func (e *sampler) Restart() {
	e.opt.Restart()
	e.follow()
}

// follow begins anew with the optimizer.
func (e *sampler) follow() {
	if _, restarts := e.opt.Generation(); restarts != e.runs {
		e.runs = restarts
		e.cat.reset()
	}
}

// Learn tells the generation to both parts.
func (e *sampler) Learn(losses []float64) {
	e.margins()
	e.learn(losses)
	for _, loss := range losses {
		e.opt.Tell(loss)
	}
	e.drawn = e.drawn[:0]
	e.follow()
}

// margins renews the floors of integers on a logarithmic scale, whose cells
// are wide at the low end: the cell that the mean is in counts.
func (e *sampler) margins() {
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
func (e *sampler) learn(losses []float64) {
	n := len(losses)
	if len(e.vars) == 0 || n < 2 {
		return
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return losses[order[i]] < losses[order[j]] })
	mu := n / 2
	w := make([]float64, mu)
	picks := make([][]int, mu)
	sum := 0.
	for i := range w {
		w[i] = math.Log(float64(n+1)/2) - math.Log(float64(i)+1)
		sum += w[i]
		picks[i] = e.drawn[order[i]]
	}
	for i := range w {
		w[i] /= sum
	}
	e.cat.update(picks, w)
}

// Done implements engine.Sampler.
func (e *sampler) Done() (string, bool) { return e.stop, e.stop != "" }
