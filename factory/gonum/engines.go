package gonum

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
	"gonum.org/v1/gonum/optimize"
)

var (
	_ engine.New = Polish
	_ engine.New = CMA
)

const (
	polishStep = .05 // first simplex, as a share of the range
	polishRuns = 8
	baseline   = .3 // standard deviation of gonum's first samples, as a share of the range
	maxRuns    = 12 // of the baseline: populations up to 2,048 times the first
	// Generations without a point that is new, in a row, before the sampler is
	// asked for another run.
	patiencePolish   = 1000
	patienceBaseline = 20
)

// Polish moves the numbers of the best start point, or of the default point,
// and leaves the choices as they are: Nelder-Mead with the coefficients of Gao
// & Han, "Implementing the Nelder-Mead simplex algorithm with adaptive
// parameters", Comput. Optim. Appl. 51 (2012), which are gonum's. A run that
// finds nothing better for 25 evaluations a dimension is followed by one with a
// simplex of half the size on the other side. The name in a study is "polish".
//
// It asks one point after the other and takes noise for truth: the last step
// of a deterministic search in a few dimensions.
func Polish(cfg engine.Config) (engine.Engine, error) {
	return newEngine("polish", cfg, patiencePolish, search{
		method: func(int, int) (optimize.Method, int) { return &optimize.NelderMead{SimplexSize: 1}, 1 },
		moves: func(p benchmarks.Parameter, active bool) bool {
			number := p.Kind == benchmarks.Float || p.Kind == benchmarks.Int || p.Kind == benchmarks.Ordinal
			return active && number
		},
		step: func(run, cells int) float64 {
			step := polishStep * math.Pow(-.5, float64(run))
			if cells > 0 { // a neighbouring cell, at least
				step = math.Copysign(math.Min(.5, math.Max(math.Abs(step), 1/float64(cells))), step)
			}
			return step
		},
		runs:  polishRuns,
		quiet: func(dim int) int { return 25 * (dim + 1) },
	})
}

// CMA is gonum's CmaEsChol as it comes, on the unit cube, with a population
// that doubles whenever the method says that it has converged. It is there to
// be compared with: its step size does not reach its samples (a test in package
// cma shows it), so they begin with a standard deviation of .3 of the range
// because the cube is scaled to it. The name in a study is "gonum-cma".
func CMA(cfg engine.Config) (engine.Engine, error) {
	return newEngine("gonum-cma", cfg, patienceBaseline, search{
		method: func(run, dim int) (optimize.Method, int) {
			lambda := (4 + int(3*math.Log(float64(dim)))) << run
			return &optimize.CmaEsChol{Population: lambda, Src: rand.NewPCG(cfg.Seed, seed.Derive(seed.Root(cfg.Seed), "gonum/cma", uint64(run)))}, lambda //nolint:forbidigo // gonum wants a source; its state is derived
		},
		moves: func(benchmarks.Parameter, bool) bool { return true },
		step:  func(int, int) float64 { return baseline },
		runs:  maxRuns,
		quiet: func(int) int { return 0 },
	})
}

func newEngine(name string, cfg engine.Config, patience int, s search) (engine.Engine, error) {
	if cfg.Space.Dim() == 0 {
		return nil, fmt.Errorf("%w: the space has no parameter", engine.ErrSpace)
	}
	s.name = name
	return engine.Generational(name, snapshotVersion, patience, cfg, newSampler(s, cfg.Space))
}
