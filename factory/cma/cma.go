// Package cma is an active CMA-ES with BIPOP restarts: the engine for
// continuous spaces, and for mixed ones through a relaxation.
//
// [Optimizer] is the numeric core, usable alone: it minimises a function of
// []float64 by ask and tell. [Engine] puts a benchmarks.Space in front of it.
//
// The algorithm is that of N. Hansen, "The CMA Evolution Strategy: A
// Tutorial", arXiv:1604.00772 (equation numbers in the code are his), the
// restarts are N. Hansen, "Benchmarking a BI-Population CMA-ES on the
// BBOB-2009 Function Testbed", GECCO 2009.
//
// Against noise it can adapt its learning rates ([Config].AdaptRate) or evaluate
// points more than once ([Config].Reevaluate). It is not for spaces that are mostly categorical or permutations: package ga searches
// those better.
//
// # Bounds
//
// Inside bounds the search space is unfolded: a coordinate that leaves the
// region is reflected back from the bound, as light in a mirror, so that every
// sample is feasible, the loss stays continuous, and an optimum on a bound
// looks like any other optimum. What lost: clipping with a penalty, whose weight
// has to be learned from the losses, and re-drawing until feasible, which
// shrinks the step towards a bound and costs draws without limit in a corner.
package cma

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Limits on what New accepts.
const (
	maxDim    = 2048
	maxLambda = 1 << 16
)

// ErrConfig is wrapped by every refusal of a configuration.
var ErrConfig = errors.New("cma config")

// Config makes an Optimizer.
type Config struct {
	Dim   int       // 1 to 2048
	Lower []float64 // Dim lower ends of the region; nil: 0
	Upper []float64 // Dim upper ends; nil: 1
	// Unbounded lets samples leave the region, which is then only the place
	// where restarts begin.
	Unbounded bool
	Mean      []float64 // where the first run begins; nil: drawn from the region
	Sigma     float64   // first step, as a share of the region's width; 0: 0.3
	Lambda    int       // population of the first run; 0: 4 + 3·ln Dim
	Budget    int       // evaluations; 0: no limit
	Seed      uint64
	// StdFloor holds, by coordinate, the least standard deviation as a share
	// of the region's width; nil or 0: none.
	StdFloor []float64
	// Form is what is learned of the covariance; the zero value decides by
	// dimension and budget.
	Form Form
	// AdaptRate lets the learning rates follow the signal, for losses with
	// noise. The search is slower where there is none, and [Optimizer.Mean],
	// not [Optimizer.Best], is then the point to recommend. It needs the Full
	// form, which AutoForm then is.
	AdaptRate bool
	// Reevaluate is the other answer to noise: a part of each generation is
	// asked twice, and where the two answers rank it differently, every point
	// is asked more often, up to this many times (at most 4,096), and then the
	// step grows. 0: never twice. [Optimizer.Again] says which points are asked
	// once more, and [Optimizer.Mean] is the point to recommend.
	Reevaluate int
	// NoRestart ends after the first run.
	NoRestart bool
	// Scouts is how many uniform points a restart with a small population looks
	// at before it begins at the best of them: at most 1,000. 0: 30·Dim, at most
	// 1,000; −1: none, it begins anywhere.
	Scouts int
}

// Optimizer minimises by ask and tell. The zero Optimizer is not usable: see
// [New]. It is not safe for concurrent use.
type Optimizer struct {
	cfg          Config
	lower, width []float64
	pcg          *rand.PCG
	rng          *rand.Rand

	run    run
	plan   plan
	scouts scouting
	asked  int // samples of this generation, or scouts, handed out
	told   int // losses of this generation, or of scouts, taken
	evals  int

	best     []float64 // in units of the region
	bestLoss float64
	stop     string

	floor []float64 // StdFloor as it is now: derived by the caller, not part of a snapshot
	u     []float64 // scratch
}

// New makes an optimizer. An error wraps [ErrConfig] and names the field.
func New(cfg Config) (*Optimizer, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := cfg.Dim
	o := &Optimizer{cfg: cfg, bestLoss: math.Inf(1)}
	o.lower = make([]float64, n)
	o.width = make([]float64, n)
	for i := range n {
		o.width[i] = 1
		if cfg.Lower != nil {
			o.lower[i] = cfg.Lower[i]
			o.width[i] = cfg.Upper[i] - cfg.Lower[i]
		}
	}
	if o.cfg.Sigma == 0 {
		o.cfg.Sigma = .3
	}
	if o.cfg.Lambda == 0 {
		o.cfg.Lambda = max(5, defaultLambda(n))
	}
	o.cfg.StdFloor = slices.Clone(cfg.StdFloor)
	o.floor = slices.Clone(cfg.StdFloor)
	o.best = make([]float64, n)
	o.u = make([]float64, n)
	o.pcg = seed.Source(seed.Root(cfg.Seed), "cma")
	o.rng = rand.New(o.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	o.plan = newPlan(o.cfg.Lambda)
	o.scouts.size = scoutsFor(cfg)

	mean := make([]float64, n)
	if cfg.Mean != nil {
		for i := range n {
			mean[i] = (cfg.Mean[i] - o.lower[i]) / o.width[i]
		}
	} else {
		o.uniform(mean)
	}
	o.cfg.Form = formFor(cfg.Form, n, cfg.Budget)
	if cfg.AdaptRate {
		o.cfg.Form = Full
		o.run.rate = new(rate)
	}
	if cfg.Reevaluate > 0 {
		o.run.again = &uncertainty{most: cfg.Reevaluate}
	}
	o.run.start(n, o.cfg.Lambda, o.cfg.Form, mean, o.cfg.Sigma)
	return o, nil
}

func (c Config) check() error {
	n := c.Dim
	if n < 1 || n > maxDim {
		return fmt.Errorf("%w: Dim %d is not in 1…%d", ErrConfig, n, maxDim)
	}
	if (c.Lower == nil) != (c.Upper == nil) {
		return fmt.Errorf("%w: Lower and Upper go together", ErrConfig)
	}
	for _, f := range []struct {
		name string
		v    []float64
	}{{"Lower", c.Lower}, {"Upper", c.Upper}, {"Mean", c.Mean}, {"StdFloor", c.StdFloor}} {
		if f.v != nil && len(f.v) != n {
			return fmt.Errorf("%w: %s has %d values, Dim is %d", ErrConfig, f.name, len(f.v), n)
		}
		for i, v := range f.v {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: %s[%d] is %v", ErrConfig, f.name, i, v)
			}
		}
	}
	for i := range c.Lower {
		if w := c.Upper[i] - c.Lower[i]; !(w > 0) || math.IsInf(w, 0) {
			return fmt.Errorf("%w: Upper[%d] %v is not above Lower[%d] %v", ErrConfig, i, c.Upper[i], i, c.Lower[i])
		}
	}
	for i, v := range c.StdFloor {
		if v < 0 || v > 1 {
			return fmt.Errorf("%w: StdFloor[%d] %v is not in 0…1", ErrConfig, i, v)
		}
	}
	switch {
	case math.IsNaN(c.Sigma) || c.Sigma < 0 || c.Sigma > 1e3:
		return fmt.Errorf("%w: Sigma %v is not in 0…1000 widths", ErrConfig, c.Sigma)
	case c.Lambda != 0 && (c.Lambda < 2 || c.Lambda > maxLambda):
		return fmt.Errorf("%w: Lambda %d is not in 2…%d", ErrConfig, c.Lambda, maxLambda)
	case c.Form < AutoForm || c.Form > Separable:
		return fmt.Errorf("%w: Form %d is not one of AutoForm, Full, Separable", ErrConfig, c.Form)
	case c.AdaptRate && c.Form == Separable:
		return fmt.Errorf("%w: AdaptRate needs the Full form, Form is Separable", ErrConfig)
	case c.Reevaluate < 0 || c.Reevaluate > maxRepeats:
		return fmt.Errorf("%w: Reevaluate %d is not in 0…%d", ErrConfig, c.Reevaluate, maxRepeats)
	case c.Scouts < -1 || c.Scouts > maxScouts:
		return fmt.Errorf("%w: Scouts %d is not in −1…%d", ErrConfig, c.Scouts, maxScouts)
	case c.Budget < 0:
		return fmt.Errorf("%w: Budget %d is negative", ErrConfig, c.Budget)
	}
	return nil
}

// Ask fills x (length Dim) with the next point to evaluate. It returns false
// when the whole generation has been asked (tell it first) or Done. A
// generation may be asked in parts; every point asked is told, in ask order.
func (o *Optimizer) Ask(x []float64) bool {
	if o.stop != "" || o.asked == o.wanted() {
		return false
	}
	o.asked++
	o.draw(x)
	return true
}

// wanted is how many points are asked before anything is learned.
func (o *Optimizer) wanted() int {
	if o.scouts.on {
		return o.scouts.size
	}
	wanted := o.run.s.lambda
	if a := o.run.again; a != nil {
		wanted = a.repeats() * (wanted + len(a.again))
	}
	return wanted
}

// draw makes the last point asked.
func (o *Optimizer) draw(x []float64) {
	if o.scouts.on {
		o.scout(o.asked-1, x)
		return
	}
	k, second, before := o.spot(o.asked - 1)
	if second || before > 0 {
		o.place(k, x)
		return
	}
	o.run.sample(k, o.rng)
	o.point(k, x)
}

// Redraw replaces the last point asked, for a caller that knows that it cannot
// work. A point that is asked again stays.
func (o *Optimizer) Redraw(x []float64) {
	if o.asked == o.told || o.Again() {
		return
	}
	o.draw(x)
}

// Replace says that instead of the last point asked, x is evaluated: a
// repaired point, a known good one. Far from the mean, only a plausible part
// of the way to x enters the update. A point that is asked again stays.
func (o *Optimizer) Replace(x []float64) {
	if o.asked == o.told || o.Again() {
		return
	}
	n := o.run.s.n
	if o.scouts.on {
		for i, at := 0, o.scouts.at(o.asked-1, n); i < n; i++ {
			at[i] = (x[i] - o.lower[i]) / o.width[i]
		}
		return
	}
	k, _, _ := o.spot(o.asked - 1)
	for i := range o.u {
		u := (x[i] - o.lower[i]) / o.width[i]
		o.run.x[k*n+i] = u
		if !o.cfg.Unbounded {
			u = unfold(u, o.run.m[i])
		}
		o.u[i] = u
	}
	o.run.inject(k, o.u)
}

// point reflects sample k into the bounds and writes it in the caller's units.
func (o *Optimizer) point(k int, x []float64) {
	n := o.run.s.n
	y := o.run.y[k*n : (k+1)*n]
	out := o.run.x[k*n : (k+1)*n]
	for i := range n {
		u := o.run.m[i] + float64(o.run.sigma*y[i])
		if !o.cfg.Unbounded {
			u = engine.Fold(u)
		}
		out[i] = u
	}
	o.place(k, x)
}

// place writes sample k, which point or Replace has placed.
func (o *Optimizer) place(k int, x []float64) {
	n := o.run.s.n
	for i, u := range o.run.x[k*n : (k+1)*n] {
		x[i] = o.lower[i] + float64(o.width[i]*u)
		if !o.cfg.Unbounded && o.cfg.Upper != nil {
			x[i] = min(x[i], o.cfg.Upper[i]) // the sum may round over the bound
		}
	}
}

// Tell takes the loss of the oldest point asked and not told. NaN and −Inf
// count as +Inf: worse than every other point, and without effect on anything
// but the order.
func (o *Optimizer) Tell(loss float64) {
	if o.told == o.asked {
		return
	}
	if math.IsNaN(loss) || math.IsInf(loss, -1) {
		loss = math.Inf(1)
	}
	x, k := o.run.x, o.told
	if o.scouts.on {
		x, o.scouts.loss[k] = o.scouts.x, loss
	} else {
		k = o.add(k, loss)
	}
	if loss < o.bestLoss {
		o.bestLoss = loss
		n := o.run.s.n
		copy(o.best, x[k*n:(k+1)*n])
	}
	o.told++
	o.evals++
	if o.told == o.wanted() {
		if o.scouts.on {
			o.endScouting()
		} else {
			o.endGeneration()
		}
	}
	if o.cfg.Budget > 0 && o.evals >= o.cfg.Budget {
		o.stop = "budget"
	}
}

func (o *Optimizer) endGeneration() {
	r := &o.run
	o.plan.spend(o.told)
	o.asked, o.told = 0, 0
	if r.again != nil {
		r.again.measure(r.loss)
	}
	kept := r.update()
	if r.again != nil {
		r.sigma *= r.again.treat(r.s.n)
	}
	if !o.cfg.Unbounded {
		r.capSigma(o.widest())
	}
	r.widen(o.floor)
	why := ""
	if !kept || !r.decompose() || math.IsNaN(r.sigma) || math.IsInf(r.sigma, 0) {
		why = "lost its covariance"
	} else {
		why = r.stopped(o.floor, o.bestLoss)
	}
	if why == "" {
		return
	}
	if o.cfg.NoRestart {
		o.stop = why
		return
	}
	o.restart()
}

// widest is the largest standard deviation inside bounds. Both switches answer
// noise with longer steps; beyond a third of the region the mirror images of
// the landscape overlap, and what they would average out is the signal.
func (o *Optimizer) widest() float64 {
	if o.run.noisy() {
		return 1. / 3
	}
	return 1
}

// restart begins the next run of the plan: a large one at a random point of the
// region, a small one with a look at many.
func (o *Optimizer) restart() {
	o.asked, o.told = 0, 0
	lambda, sigma := o.plan.next(o.cfg.Sigma, o.rng)
	o.uniform(o.u)
	o.run.start(o.cfg.Dim, lambda, o.cfg.Form, o.u, sigma)
	if o.scouts.on = false; o.plan.regime == smallRun {
		o.scouts.begin(o.cfg.Dim)
	}
}

// uniform draws a point of the region.
func (o *Optimizer) uniform(u []float64) {
	for i := range u {
		u[i] = o.rng.Float64()
	}
}

// Best writes the best point told so far into x and returns its loss; +Inf,
// and x untouched, before the first finite loss.
func (o *Optimizer) Best(x []float64) float64 {
	if math.IsInf(o.bestLoss, 1) {
		return o.bestLoss
	}
	for i := range o.best {
		x[i] = o.lower[i] + float64(o.width[i]*o.best[i])
	}
	return o.bestLoss
}

// Evaluations returns how many losses have been told.
func (o *Optimizer) Evaluations() int { return o.evals }

// Generation returns the generation within the present run, and the runs that
// ended before it.
func (o *Optimizer) Generation() (gen, restarts int) { return o.run.gen, o.plan.restarts }

// Done says that nothing more is asked, and why.
func (o *Optimizer) Done() (string, bool) { return o.stop, o.stop != "" }

// unfold returns the mirror image of u in [0, 1] that is nearest to m.
func unfold(u, m float64) float64 {
	k := 2 * math.Round((m-u)/2)
	a := k + u
	k = 2 * math.Round((m+u)/2)
	b := k - u
	if math.Abs(b-m) < math.Abs(a-m) {
		return b
	}
	return a
}
