// Package gp is the engine for small budgets and noise: a Gaussian process
// over the mixed space says where the next points are worth a measurement. It
// needs a tenth of the evaluations of an evolution strategy and a thousand
// times its arithmetic, some milliseconds a point, which is nothing beside a
// measurement that takes seconds and too much beside one that takes none.
//
// The model is Matérn 5/2 with one length scale a knob (arXiv:2402.02229 for
// the priors), fitted by its marginal likelihood; a batch is chosen by expected
// improvement over the best posterior mean, each pick taken as measured for the
// next (kriging believer, Ginsbourger et al. 2010). Candidates come from around
// what the model likes best, so the search is local where it pays, as in TuRBO
// (Eriksson et al., arXiv:1910.01739). A knob that is switched off is at
// distance zero from itself, whatever its value would be.
//
// It is not for more than a few hundred points at once: it looks at the best
// and the latest ones, and forgets the others.
package gp

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// Limits and constants.
const (
	batchMax      = 8
	fitStepsFirst = 30
	fitSteps      = 8
	refinements   = 2   // rounds around the best candidates
	triesMax      = 20  // for a feasible neighbour
	randomTries   = 400 // for a new point anywhere, before the search is over

	roundRange = 15 // a whole number with fewer values than this has steps, not multiples
	roundTwos  = 6  // divisibility is looked at up to 2⁶
)

// effort is how much arithmetic a batch is worth.
type effort struct {
	model int // points that the posterior is conditioned on
	fit   int // points that the length scales are fitted to
	pool  int // candidates of a first round for a whole batch, fewer for a part
}

var usual = effort{model: 200, fit: 110, pool: 360}

// seen is a point with what was told about it.
type seen struct {
	key    string
	where  []float64
	losses []engine.Loss // all that were told, failures as infinity
	point  benchmarks.Point
}

// searcher is the engine.
type searcher struct {
	cfg    engine.Config
	effort effort
	start  []benchmarks.Point
	dim    int      // of the cube
	axes   []axis   // of the cube, then one for each of round
	round  []string // whole numbers whose divisibility the model looks at
	known  []*seen
	byKey  map[string]*seen
	asked  []benchmarks.Point
	opened int
	design int       // points before the model is asked
	theta  []float64 // of the last fit; nil before the first
	fitted int       // points at the last fit
	pcg    *rand.PCG
	rng    *rand.Rand
	stop   string

	scratch scratch
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New. An error names what the
// space or a start point is refused for.
func Engine(cfg engine.Config) (engine.Engine, error) { return newSearcher(cfg, usual) }

func newSearcher(cfg engine.Config, how effort) (engine.Engine, error) {
	if cfg.Space.Dim() == 0 {
		return nil, fmt.Errorf("gp: the space has no parameter")
	}
	start, err := cfg.Opening()
	if err != nil {
		return nil, err
	}
	e := &searcher{cfg: cfg, effort: how, start: start, byKey: map[string]*seen{}, pcg: seed.Source(seed.Root(cfg.Seed), "gp")}
	e.rng = rand.New(e.pcg) //nolint:forbidigo // of a source from internal/seed, whose state snapshots keep
	for _, p := range cfg.Space.Parameters {
		switch p.Kind {
		case benchmarks.Float, benchmarks.Int, benchmarks.Ordinal:
			e.axes = append(e.axes, axis{})
		case benchmarks.Categorical, benchmarks.Bool:
			e.axes = append(e.axes, axis{category: true})
		case benchmarks.Permutation:
			for range p.Choices {
				e.axes = append(e.axes, axis{})
			}
		}
	}
	e.dim = len(e.axes)
	for _, p := range cfg.Space.Parameters {
		if p.Kind == benchmarks.Int && p.Max-p.Min >= roundRange {
			e.round = append(e.round, p.Name)
			e.axes = append(e.axes, axis{divisible: true})
		}
	}
	e.design = max(8, e.dim+4)
	if cfg.Budget > 0 {
		e.design = max(4, min(e.design, cfg.Budget/4))
	}
	return e, nil
}

// where is a point as the model sees it: the unit cube, then how often two
// divides each of the whole numbers, and inactive where the point has no such
// knob. Machines like multiples of eight, and no smooth function of a number
// says which those are.
func (e *searcher) where(p benchmarks.Point) []float64 {
	out := e.cfg.Space.Encode(p)
	for _, name := range e.round {
		twos := float64(inactive)
		if v, active := p[name].(int64); active {
			twos = float64(min(bits.TrailingZeros64(uint64(v)), roundTwos)) / roundTwos
		}
		out = append(out, twos)
	}
	i := 0
	for _, q := range e.cfg.Space.Parameters {
		n := 1
		if q.Kind == benchmarks.Permutation {
			n = len(q.Choices)
		}
		if _, active := p[q.Name]; !active {
			for k := range n {
				out[i+k] = inactive
			}
		}
		i += n
	}
	return out
}

// Ask returns at most n points.
func (e *searcher) Ask(n int) []engine.Proposal {
	if e.stop != "" || n <= 0 || len(e.asked) > 0 {
		return nil
	}
	var out []engine.Proposal
	put := func(p benchmarks.Point, origin string) {
		out = append(out, engine.Proposal{Point: p.Clone(), Origin: origin})
		e.asked = append(e.asked, p)
	}
	for ; e.opened < len(e.start) && len(out) < n; e.opened++ {
		put(e.start[e.opened], fmt.Sprintf("gp start %d", e.opened))
	}
	for tries := 0; len(e.known) < e.design && len(out) < n && tries < randomTries; tries++ {
		if p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(e.rng)); err == nil && !e.has(p) {
			put(p, "gp design")
		}
	}
	if len(out) > 0 {
		return out
	}
	for i, p := range e.pick(min(n, batchMax)) {
		put(p, fmt.Sprintf("gp n%d i%d", len(e.known), i))
	}
	if len(out) > 0 {
		return out
	}
	// What the model likes is known. A point at random keeps it going.
	for range randomTries {
		if p, err := e.cfg.Space.Normalize(e.cfg.Space.Sample(e.rng)); err == nil && !e.has(p) {
			put(p, "gp random")
			return out
		}
	}
	e.stop = "every point that it draws is known"
	return nil
}

// keyOf names a place.
func keyOf(where []float64) string {
	b := make([]byte, 0, 8*len(where))
	for _, v := range where {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return string(b)
}

// has reports whether a point is known or asked.
func (e *searcher) has(p benchmarks.Point) bool {
	return !e.isNew(candidate{point: p, key: keyOf(e.where(p))})
}

func (e *searcher) isNew(c candidate) bool {
	return e.byKey[c.key] == nil && !slices.ContainsFunc(e.asked, c.point.Equal)
}

// Tell takes the results of the last Ask, in its order.
func (e *searcher) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if len(e.asked) == 0 {
			return
		}
		p := e.asked[0]
		e.asked = e.asked[1:]
		e.learn(p, t.Loss)
	}
	if len(e.asked) == 0 {
		e.asked = nil
	}
}

// Hear takes what other engines were told about the same context.
func (e *searcher) Hear(trials []engine.Trial) {
	for _, t := range trials {
		e.learn(t.Point, t.Loss)
	}
}

func (e *searcher) learn(p benchmarks.Point, loss float64) {
	where := e.where(p)
	key := keyOf(where)
	s := e.byKey[key]
	if s == nil {
		s = &seen{key: key, where: where, point: p}
		e.byKey[key] = s
		e.known = append(e.known, s)
	}
	s.losses = append(s.losses, engine.Loss(engine.Worst(loss)))
}

// Done says that the engine has nothing new to ask.
func (e *searcher) Done() (string, bool) { return e.stop, e.stop != "" }

// loss is the mean of what was told; failures only if nothing else was.
func (s *seen) loss() float64 {
	sum, n := 0., 0
	for _, l := range s.losses {
		if f := float64(l); !math.IsInf(f, 1) {
			sum, n = sum+f, n+1
		}
	}
	if n == 0 {
		return math.Inf(1)
	}
	return sum / float64(n)
}

// values are what the model learns: the losses of feasible points lie in
// (−1, 1) as w/(1+|w|) of a relative change w; ln(1+w) turns multiplicative
// noise into even noise. Above the middle everything is compressed: how bad a
// bad point is does not matter. Then mean 0 and variance 1.
func values(points []*seen) []float64 {
	y := make([]float64, len(points))
	logs := true
	for i, s := range points {
		y[i] = s.loss()
		logs = logs && y[i] > -.499999 // w > −1
	}
	for i, l := range y {
		switch {
		case l >= 1:
			y[i] = 4 + math.Log1p(math.Min(l, 1e6)-1)
		case logs:
			y[i] = math.Min(4, math.Log1p(l/(1-math.Abs(l))))
		default:
			w := l / (1 - math.Abs(l))
			y[i] = math.Min(4, math.Copysign(math.Log1p(math.Abs(w)), w))
		}
	}
	sorted := slices.Sorted(slices.Values(y))
	middle, top := sorted[len(sorted)/2], sorted[len(sorted)*9/10]
	for i, v := range y {
		v = math.Min(v, top)
		if v > middle {
			v = middle + .4*(v-middle)
		}
		y[i] = v
	}
	mean, variance := 0., 0.
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for _, v := range y {
		variance += (v - mean) * (v - mean) / float64(len(y))
	}
	scale := math.Sqrt(variance)
	if scale < 1e-12 {
		scale = 1
	}
	for i := range y {
		y[i] = (y[i] - mean) / scale
	}
	return y
}

// looked are the points that a model of at most n is made of: the better ones
// and the latest ones, in the order in which they were told.
func (e *searcher) looked(n int) []*seen {
	if len(e.known) <= n {
		return e.known
	}
	order := make([]int, len(e.known))
	for i := range order {
		order[i] = i
	}
	losses := make([]float64, len(e.known))
	for i, s := range e.known {
		losses[i] = s.loss()
	}
	sort.SliceStable(order, func(i, j int) bool { return losses[order[i]] < losses[order[j]] })
	take := make(map[int]bool, n)
	for _, i := range order[:n*3/5] {
		take[i] = true
	}
	for i := len(e.known) - 1; i >= 0 && len(take) < n; i-- {
		take[i] = true
	}
	var out []*seen
	for i, s := range e.known {
		if take[i] {
			out = append(out, s)
		}
	}
	return out
}

func places(points []*seen) [][]float64 {
	out := make([][]float64, len(points))
	for i, s := range points {
		out[i] = s.where
	}
	return out
}

// think makes the model of what is known, nil if there is none. Its length
// scales are fitted again when a tenth more is known.
func (e *searcher) think() (*model, []*seen) {
	if len(e.known) < 3 {
		return nil, nil
	}
	m := newModel(e.axes)
	m.scratch = &e.scratch
	steps := fitStepsFirst
	if e.theta != nil {
		copy(m.theta, e.theta)
		steps = fitSteps
	}
	if e.theta == nil || len(e.known) >= e.fitted+max(6, e.fitted/10) {
		some := e.looked(e.effort.fit)
		m.fit(places(some), values(some), steps)
		e.theta, e.fitted = slices.Clone(m.theta), len(e.known)
	}
	all := e.looked(e.effort.model)
	if !m.condition(places(all), values(all)) {
		return nil, nil
	}
	return m, all
}
