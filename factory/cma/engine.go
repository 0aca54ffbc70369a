package cma

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

// Limits and constants of the adapter.
const (
	maxRedraws   = 100 // draws for one feasible sample
	patience     = 20  // generations in a row without a new point before a restart
	repeatsMost  = 50  // evaluations of one point by Reevaluating
	floorOfACell = .25 // least standard deviation of a coordinate of cells, in cells
)

// spaceSampler searches a benchmarks.Space on its unit cube.
//
// Floats are their coordinate. Integers, ordinals, booleans and categoricals
// are cells of one; the step never falls so low that a cell cannot be left
// (the idea of the margin, Hamano et al. arXiv:2205.13482, as a floor on the
// standard deviation), and a categorical, whose neighbours mean nothing, is
// sometimes drawn anew. A permutation is its random keys. A sample that
// violates a constraint is drawn again.
type spaceSampler struct {
	space benchmarks.Space
	jumps []int // coordinates of categoricals
	logs  []int // coordinates of integers on a logarithmic scale …
	logOf []benchmarks.Parameter
	pJump float64
	name  string

	opt  *Optimizer
	pcg  *rand.PCG
	rng  *rand.Rand
	stop string
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New. An error names what the
// space or a start point is refused for.
func Engine(cfg engine.Config) (engine.Engine, error) { return spaceEngine("cma", cfg, Config{}) }

// Adapting is Engine with learning rates that adapt to noise: see
// [Config].AdaptRate.
func Adapting(cfg engine.Config) (engine.Engine, error) {
	return spaceEngine("cma-lra", cfg, Config{AdaptRate: true})
}

// Reevaluating is Engine with points that are evaluated again, as often as the
// noise asks for: see [Config].Reevaluate. It asks for known points on purpose;
// a caller that answers these from memory gets what Engine is.
func Reevaluating(cfg engine.Config) (engine.Engine, error) {
	most := repeatsMost
	if cfg.Budget > 0 {
		most = min(most, max(2, cfg.Budget/400))
	}
	return spaceEngine("cma-uh", cfg, Config{Reevaluate: most})
}

func spaceEngine(name string, cfg engine.Config, core Config) (engine.Engine, error) {
	n := cfg.Space.Dim()
	if n == 0 {
		return nil, fmt.Errorf("%w: the space has no parameter", ErrConfig)
	}
	s := &spaceSampler{space: cfg.Space, name: name, pcg: seed.Source(seed.Root(cfg.Seed), "cma/space")}
	s.rng = rand.New(s.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	floor := s.layout()
	mean := make([]float64, n)
	for i := range mean {
		mean[i] = .5
	}
	var err error
	core.Dim, core.Mean, core.StdFloor, core.Seed = n, mean, floor, cfg.Seed
	core.Lambda, core.Sigma, core.Scouts = population(n, cfg), sigmaOf(cfg), scoutsOf(floor)
	if !core.AdaptRate {
		core.Form = formFor(AutoForm, n, cfg.Budget)
	}
	if s.opt, err = New(core); err != nil {
		return nil, err
	}
	return engine.Generational(name, snapshotVersion, patience, cfg, s)
}

// population is the default one, less when the budget is only a few
// generations of it, and at least what the caller likes to have at once.
func population(n int, cfg engine.Config) int {
	lambda := max(6, defaultLambda(n))
	if cfg.Budget > 0 {
		lambda = max(6, min(lambda, cfg.Budget/40))
	}
	return min(max(lambda, cfg.Parallel), maxLambda)
}

// scoutsOf lets restarts look around where every coordinate is continuous.
// Elsewhere the floors keep runs from ending, and patience restarts them with
// few evaluations left.
func scoutsOf(floor []float64) int {
	if slices.Max(floor) > 0 {
		return -1
	}
	return 0
}

// sigmaOf is the first step: wide from the centre, narrower around a point
// that is known to be good.
func sigmaOf(cfg engine.Config) float64 {
	if len(cfg.Start) > 0 {
		return .2
	}
	return .3
}

// layout walks the coordinates: the floor of each, and which may jump.
func (e *spaceSampler) layout() (floor []float64) {
	for _, p := range e.space.Parameters {
		switch p.Kind {
		case benchmarks.Float:
			floor = append(floor, 0)
		case benchmarks.Int:
			if p.Log {
				e.logs, e.logOf = append(e.logs, len(floor)), append(e.logOf, p)
			}
			floor = append(floor, floorOfACell/(p.Max-p.Min+1))
		case benchmarks.Ordinal:
			floor = append(floor, floorOfACell/float64(len(p.Choices)))
		case benchmarks.Categorical:
			e.jumps = append(e.jumps, len(floor))
			floor = append(floor, floorOfACell/float64(len(p.Choices)))
		case benchmarks.Bool:
			e.jumps = append(e.jumps, len(floor))
			floor = append(floor, floorOfACell/2)
		case benchmarks.Permutation:
			for range p.Choices {
				floor = append(floor, floorOfACell/float64(len(p.Choices)))
			}
		}
	}
	e.pJump = 1 / float64(len(e.space.Parameters))
	return floor
}

// Begin moves the first mean to the best start point.
func (e *spaceSampler) Begin(start []engine.Trial) {
	if best := engine.Best(start); best != nil {
		copy(e.opt.run.m, e.space.Encode(best))
	}
}

// Draw draws one feasible point of the generation.
func (e *spaceSampler) Draw() (benchmarks.Point, string, bool) {
	x := make([]float64, e.opt.cfg.Dim)
	if e.stop != "" || !e.opt.Ask(x) {
		return nil, "", false
	}
	gen, restarts := e.opt.Generation()
	origin := fmt.Sprintf("%s r%d g%d i%d", e.name, restarts, gen, e.opt.asked-1)
	if !e.opt.Again() {
		p := e.feasible(x)
		return p, origin, p != nil
	}
	p, err := e.space.Decode(x)
	if err != nil { // feasible has returned what x decodes to
		e.stop = "a point of this generation cannot be asked again: " + err.Error()
		return nil, "", false
	}
	return p, origin + " again", true
}

// Again implements engine.Repeater.
func (e *spaceSampler) Again() bool { return e.opt.Again() }

// feasible decodes the sample x, or what takes its place; nil, and Done, when
// no point of the space is feasible.
func (e *spaceSampler) feasible(x []float64) benchmarks.Point {
	for range maxRedraws {
		e.jump(x)
		if p, err := e.space.Decode(x); err == nil {
			return p
		}
		e.opt.Redraw(x)
	}
	// The distribution lies outside the constraints: a random feasible point
	// takes the sample's place and pulls it back. Sample may answer with an
	// infeasible default when it finds nothing, hence the check.
	p, err := e.space.Normalize(e.space.Sample(e.rng))
	if err != nil {
		e.stop = "no feasible point found: " + err.Error()
		return nil
	}
	x = e.space.Encode(p)
	e.opt.Replace(x)
	if e.opt.cfg.Reevaluate > 0 { // the same bits when it is asked again
		if q, err := e.space.Decode(x); err == nil {
			return q
		}
	}
	return p
}

// jump draws categoricals anew now and then.
func (e *spaceSampler) jump(x []float64) {
	jumped := false
	for _, i := range e.jumps {
		if e.rng.Float64() < e.pJump {
			x[i] = e.rng.Float64()
			jumped = true
		}
	}
	if jumped {
		e.opt.Replace(x)
	}
}

// logFloors renews the floors of integers on a logarithmic scale, whose cells
// are wide at the low end: the cell that the mean is in counts.
func (e *spaceSampler) logFloors() {
	for k, i := range e.logs {
		p := e.logOf[k]
		lo, hi := math.Log(p.Min-.5), math.Log(p.Max+.5)
		v := math.Max(p.Min, math.Round(math.Exp(lo+float64(engine.Fold(e.opt.run.m[i])*(hi-lo)))))
		e.opt.floor[i] = math.Min(1, floorOfACell*math.Log((v+.5)/(v-.5))/(hi-lo))
	}
}

// Learn tells the optimizer the generation.
func (e *spaceSampler) Learn(losses []float64) {
	e.logFloors()
	for _, loss := range losses {
		e.opt.Tell(loss)
	}
}

// Restart implements engine.Sampler.
func (e *spaceSampler) Restart() { e.opt.Restart() }

// Done implements engine.Sampler.
func (e *spaceSampler) Done() (string, bool) { return e.stop, e.stop != "" }

// spaceState is the wire form of the sampler's state.
type spaceState struct {
	Core *state `json:"core"`
	RNG  []byte `json:"rng"`
	Stop string `json:"stop"`
}

// State implements engine.Sampler.
func (e *spaceSampler) State() (json.RawMessage, error) {
	core, err := e.opt.state()
	if err != nil {
		return nil, err
	}
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("rng: %w", err)
	}
	return json.Marshal(spaceState{Core: core, RNG: rng, Stop: e.stop})
}

// SetState implements engine.Sampler.
func (e *spaceSampler) SetState(b json.RawMessage) error {
	var s spaceState
	if err := engine.DecodeState(b, &s); err != nil {
		return err
	}
	if s.Core == nil {
		return fmt.Errorf("%w: core is missing", engine.ErrSnapshot)
	}
	if err := new(rand.PCG).UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	if err := e.opt.setState(s.Core); err != nil {
		return err
	}
	e.stop = s.Stop
	return e.pcg.UnmarshalBinary(s.RNG) // checked above
}
