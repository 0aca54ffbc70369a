package cma

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Limits and constants of the adapter.
const (
	maxRedraws   = 100 // draws for one feasible sample
	maxIdle      = 20  // generations in a row without a new point before a restart
	maxIdleRuns  = 10  // such restarts in a row before the engine is done
	floorOfACell = .25 // least standard deviation of a coordinate of cells, in cells
)

// spaceEngine searches a benchmarks.Space on its unit cube.
//
// Floats are their coordinate. Integers, ordinals, booleans and categoricals
// are cells of one; the step never falls so low that a cell cannot be left
// (the idea of the margin, Hamano et al. arXiv:2205.13482, as a floor on the
// standard deviation), and a categorical, whose neighbours mean nothing, is
// sometimes drawn anew. A permutation is its random keys. A sample that
// decodes to a point already told is answered from memory and costs nothing;
// one that violates a constraint is drawn again.
type spaceEngine struct {
	cfg   engine.Config
	start []benchmarks.Point
	jumps []int // coordinates of categoricals
	logs  []int // coordinates of integers on a logarithmic scale …
	logOf []benchmarks.Parameter
	pJump float64

	opt    *Optimizer
	begun  bool // the mean has been set from the start points
	opened int  // start points asked
	memory engine.Memory
	queue  []string // keys of the samples asked of opt and not yet told to it
	asked  []string // keys of the proposals that wait for Tell
	best   string   // key of the best start point
	idle   int
	pcg    *rand.PCG
	rng    *rand.Rand
	stop   string
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New. An error names what the
// space or a start point is refused for.
func Engine(cfg engine.Config) (engine.Engine, error) {
	n := cfg.Space.Dim()
	if n == 0 {
		return nil, fmt.Errorf("%w: the space has no parameter", ErrConfig)
	}
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	e := &spaceEngine{cfg: cfg, start: start}
	e.pcg = seed.Source(seed.Root(cfg.Seed), "cma/space")
	e.rng = rand.New(e.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	floor := e.layout()
	mean := make([]float64, n)
	for i := range mean {
		mean[i] = .5
	}
	e.opt, err = New(Config{
		Dim: n, Mean: mean, StdFloor: floor, Seed: cfg.Seed, Lambda: population(n, cfg),
		Sigma: sigmaOf(cfg),
	})
	if err != nil {
		return nil, err
	}
	return e, nil
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

// sigmaOf is the first step: wide from the centre, narrower around a point
// that is known to be good.
func sigmaOf(cfg engine.Config) float64 {
	if len(cfg.Start) > 0 {
		return .2
	}
	return .3
}

// layout walks the coordinates: the floor of each, and which may jump.
func (e *spaceEngine) layout() (floor []float64) {
	for _, p := range e.cfg.Space.Parameters {
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
	e.pJump = 1 / float64(len(e.cfg.Space.Parameters))
	return floor
}

// Ask returns at most n points, all of one generation.
func (e *spaceEngine) Ask(n int) []engine.Proposal {
	if e.stop != "" || n <= 0 || len(e.asked) > 0 {
		return nil
	}
	var out []engine.Proposal
	for ; e.opened < len(e.start) && len(out) < n; e.opened++ {
		p := e.start[e.opened]
		out = append(out, engine.Proposal{Point: p.Clone(), Origin: fmt.Sprintf("cma start %d", e.opened)})
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
		e.queue = append(e.queue, key)
		if _, known := e.memory.Loss(key); known || contains(e.asked, key) {
			continue
		}
		e.asked = append(e.asked, key)
		gen, restarts := e.opt.Generation()
		out = append(out, engine.Proposal{Point: p, Origin: fmt.Sprintf("cma r%d g%d i%d", restarts, gen, e.opt.asked-1)})
		e.idle = 0
	}
	return out
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// begin moves the first mean to the best start point.
func (e *spaceEngine) begin() {
	if e.begun {
		return
	}
	e.begun = true
	for _, p := range e.start {
		key := engine.Key(p)
		if key == e.best {
			copy(e.opt.run.m, e.cfg.Space.Encode(p))
			return
		}
	}
}

// next draws one feasible point of the generation; false when the generation
// has been drawn.
func (e *spaceEngine) next() (benchmarks.Point, bool) {
	x := make([]float64, e.opt.cfg.Dim)
	if !e.opt.Ask(x) {
		return nil, false
	}
	for range maxRedraws {
		e.jump(x)
		if p, err := e.cfg.Space.Decode(x); err == nil {
			return p, true
		}
		e.opt.Redraw(x)
	}
	// The distribution lies outside the constraints: a random feasible point
	// takes the sample's place and pulls it back. Sample may answer with an
	// infeasible default when it finds nothing, hence the check.
	p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(e.rng))
	if err != nil {
		e.stop = "no feasible point found: " + err.Error()
		return nil, false
	}
	e.opt.Replace(e.cfg.Space.Encode(p))
	return p, true
}

// jump draws categoricals anew now and then.
func (e *spaceEngine) jump(x []float64) {
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

// idleGeneration tells a generation of which every point was known. Too many
// in a row begin another run, too many of those end the search.
func (e *spaceEngine) idleGeneration() bool {
	e.flush()
	e.idle++
	if e.idle%maxIdle == 0 {
		e.opt.restart()
	}
	if e.idle >= maxIdle*maxIdleRuns {
		e.stop = "every point that it draws is known"
		return false
	}
	return true
}

// logFloors renews the floors of integers on a logarithmic scale, whose cells
// are wide at the low end: the cell that the mean is in counts.
func (e *spaceEngine) logFloors() {
	for k, i := range e.logs {
		p := e.logOf[k]
		lo, hi := math.Log(p.Min-.5), math.Log(p.Max+.5)
		v := math.Max(p.Min, math.Round(math.Exp(lo+float64(fold(e.opt.run.m[i])*(hi-lo)))))
		e.opt.floor[i] = math.Min(1, floorOfACell*math.Log((v+.5)/(v-.5))/(hi-lo))
	}
}

// flush tells the samples in the order they were drawn.
func (e *spaceEngine) flush() {
	e.logFloors()
	for _, key := range e.queue {
		loss, _ := e.memory.Loss(key)
		e.opt.Tell(loss)
	}
	e.queue = e.queue[:0]
}

// Tell takes the results of the last Ask, in its order.
func (e *spaceEngine) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if len(e.asked) == 0 {
			return
		}
		key := e.asked[0]
		e.asked = e.asked[1:]
		e.memory.Add(key, t.Loss)
		if !e.begun {
			loss, _ := e.memory.Loss(key)
			if bestLoss, ok := e.memory.Loss(e.best); !ok || loss < bestLoss {
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
func (e *spaceEngine) Done() (string, bool) { return e.stop, e.stop != "" }

// spaceState is the wire form of a snapshot.
type spaceState struct {
	Core   *state         `json:"core"`
	Begun  bool           `json:"begun"`
	Opened int            `json:"opened"`
	Memory *engine.Memory `json:"memory"`
	Queue  []string       `json:"queue"`
	Asked  []string       `json:"asked"`
	Best   string         `json:"best"`
	Idle   int            `json:"idle"`
	RNG    []byte         `json:"rng"`
	Stop   string         `json:"stop"`
}

// Snapshot implements engine.Engine.
func (e *spaceEngine) Snapshot() ([]byte, error) {
	core, err := e.opt.state()
	if err != nil {
		return nil, err
	}
	rng, err := e.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("cma rng: %w", err)
	}
	return engine.Seal("cma", snapshotVersion, e.cfg.Fingerprint(), spaceState{
		Core: core, Begun: e.begun, Opened: e.opened, Memory: &e.memory, Queue: e.queue,
		Asked: e.asked, Best: e.best, Idle: e.idle, RNG: rng, Stop: e.stop,
	})
}

// Restore implements engine.Engine.
func (e *spaceEngine) Restore(b []byte) error {
	s := spaceState{Memory: new(engine.Memory)}
	if err := engine.Unseal("cma", snapshotVersion, e.cfg.Fingerprint(), b, &s); err != nil {
		return err
	}
	switch {
	case s.Core == nil:
		return fmt.Errorf("%w: core is missing", engine.ErrSnapshot)
	case s.Memory == nil:
		return fmt.Errorf("%w: memory is missing", engine.ErrSnapshot)
	case s.Opened < 0 || s.Opened > len(e.start):
		return fmt.Errorf("%w: opened: %d of %d start points", engine.ErrSnapshot, s.Opened, len(e.start))
	case s.Idle < 0:
		return fmt.Errorf("%w: idle: %d", engine.ErrSnapshot, s.Idle)
	}
	if err := new(rand.PCG).UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	if err := e.opt.setState(s.Core); err != nil {
		return err
	}
	if err := e.pcg.UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	e.begun, e.opened, e.memory, e.queue = s.Begun, s.Opened, *s.Memory, s.Queue
	e.asked, e.best, e.idle, e.stop = s.Asked, s.Best, s.Idle, s.Stop
	return nil
}
