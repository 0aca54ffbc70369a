// Package ga is a genetic algorithm over typed genomes: the engine for spaces
// of choices, conditions and permutations.
//
// Operators and population are eaopt's; its GA type, which evaluates by
// itself, is not used. An iteration gives eaopt's population a generator of
// its own, made from the seed and the iteration alone, lets ModGenerational
// breed (that is the ask), takes every fitness that comes out of it for
// unknown, and sorts by what was told (that is the tell). eaopt_test.go shows
// each defect of eaopt v0.4.2 that this goes around, so that a fixed release
// is noticed.
//
// With thousands of evaluations the population is divided into islands that
// exchange migrants, and each island into species that breed apart.
//
// It is not for smooth continuous spaces: package cma needs a tenth of the
// evaluations there.
package ga

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"

	"github.com/MaxHalford/eaopt"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// ErrSpace is wrapped when a space cannot be bred in.
var ErrSpace = errors.New("ga")

const (
	snapshotVersion = 2
	// maxRepairs bounds the extra mutations of a child that is infeasible or
	// already known; maxDraws the random points that then take its place.
	maxRepairs = 30
	maxDraws   = 100
	contest    = 3  // contestants of a tournament
	crossRate  = .8 // of pairs
	mutRate    = .9 // of children
)

// breeder is the engine.
type breeder struct {
	cfg   engine.Config
	space *layout
	start []benchmarks.Point
	herd  herd
	size  int // of an island

	gen      int                 // generations bred
	pops     []eaopt.Individuals // by island, best first
	children []child
	asked    int // children handed out
	told     int
	trials   int // children told in all generations
	memory   engine.Memory
	stop     string
}

// child is one proposal of the present generation.
type child struct {
	g      *genome
	p      benchmarks.Point
	loss   float64
	origin string
	island int
}

var _ engine.New = Engine

// Engine makes the engine for a space: an engine.New.
func Engine(cfg engine.Config) (engine.Engine, error) { return newBreeder(cfg, herdFor(cfg.Budget)) }

func newBreeder(cfg engine.Config, h herd) (engine.Engine, error) {
	b := &breeder{cfg: cfg, space: newLayout(cfg.Space), herd: h, pops: make([]eaopt.Individuals, h.islands)}
	if !slices.ContainsFunc(cfg.Space.Parameters, movable) {
		return nil, fmt.Errorf("%w: the space has no parameter with two values", ErrSpace)
	}
	var err error
	if b.start, err = cfg.Opening(); err != nil {
		return nil, err
	}
	b.size = max(10, populationSize(cfg)/h.islands)
	return b, nil
}

// populationSize grows with the root of the budget: 300 evaluations are 17 of
// 17, 3,000 are 55 of 55.
func populationSize(cfg engine.Config) int {
	n := 30
	if cfg.Budget > 0 {
		n = int(math.Sqrt(float64(cfg.Budget)))
	}
	return min(max(n, 10, cfg.Parallel), 200)
}

// Ask returns at most n children of one generation.
func (b *breeder) Ask(n int) []engine.Proposal {
	if b.stop != "" || n <= 0 || b.asked > b.told {
		return nil
	}
	if b.asked == len(b.children) {
		b.breed()
		if len(b.children) == 0 {
			b.stop = "every point that it draws is known"
			return nil
		}
	}
	var out []engine.Proposal
	for ; b.asked < len(b.children) && len(out) < n; b.asked++ {
		c := b.children[b.asked]
		out = append(out, engine.Proposal{Point: c.p.Clone(), Origin: c.origin, Parents: c.g.ancestors()})
	}
	return out
}

// Tell takes the results of the last Ask, in its order.
func (b *breeder) Tell(trials []engine.Trial) {
	for _, t := range trials {
		if b.told == b.asked {
			return
		}
		c := &b.children[b.told]
		c.loss = engine.Worst(t.Loss)
		c.g.id = b.trials
		b.memory.Add(engine.Key(c.p), c.loss)
		b.told++
		b.trials++
	}
	if b.told == len(b.children) && b.told > 0 {
		b.survive()
	}
}

// Done implements engine.Engine.
func (b *breeder) Done() (string, bool) { return b.stop, b.stop != "" }

// survive keeps the best of parents and children on every island; of equals,
// the older. Now and then some migrate.
func (b *breeder) survive() {
	for _, c := range b.children {
		b.pops[c.island] = append(b.pops[c.island], individual(c.g, c.loss))
	}
	for i := range b.pops {
		slices.SortStableFunc(b.pops[i], byFitness)
		b.pops[i] = b.pops[i][:min(len(b.pops[i]), b.size)]
	}
	b.children, b.asked, b.told = nil, 0, 0
	if b.gen%migrateEvery == 0 {
		b.migrate()
	}
}

func individual(g *genome, loss float64) eaopt.Individual {
	return eaopt.Individual{Genome: g, Fitness: loss, Evaluated: true}
}

// breed makes the next generation of children, each a new feasible point.
func (b *breeder) breed() {
	rng := b.stream("ga/breed")
	nursery := nursery{b: b, seen: map[string]bool{}}
	if b.gen == 0 {
		for i, p := range b.start {
			nursery.add(b.space.fromPoint(p), fmt.Sprintf("ga start %d", i))
		}
	}
	for island, pop := range b.pops {
		nursery.island = island
		var bred eaopt.Individuals
		if len(pop) >= contest+2 {
			bred = b.apply(pop, rng)
		}
		for i := 0; i < b.size && len(nursery.children) < (island+1)*b.size; i++ {
			var g *genome
			if i < len(bred) {
				g, _ = bred[i].Genome.(*genome)
			}
			if g == nil || !nursery.repair(g, rng) {
				nursery.random()
			}
		}
	}
	b.children = nursery.children
	b.gen++
}

// stream is eaopt's kind of generator, fresh for this generation.
func (b *breeder) stream(name string) *rand.Rand {
	return rand.New(rand.NewSource(int64(seed.Derive(seed.Root(b.cfg.Seed), name, uint64(b.gen))))) //nolint:forbidigo // eaopt wants the old package; its seed is derived
}

// nursery collects the children of a generation.
type nursery struct {
	b        *breeder
	seen     map[string]bool
	island   int // of the next child
	children []child
}

// add takes the genome unless it is infeasible or known.
func (n *nursery) add(g *genome, origin string) bool {
	p, err := g.point()
	if err != nil {
		return false
	}
	key := engine.Key(p)
	if _, known := n.b.memory.Loss(key); known || n.seen[key] {
		return false
	}
	n.seen[key] = true
	n.children = append(n.children, child{g: g, p: p, origin: origin, island: n.island})
	return true
}

// repair mutates until the genome can be added.
func (n *nursery) repair(g *genome, rng *rand.Rand) bool {
	for range maxRepairs {
		if n.add(g, n.origin(g)) {
			return true
		}
		g.Mutate(rng)
	}
	return false
}

func (n *nursery) origin(g *genome) string {
	how := ""
	if g.mutated {
		how = " mutated"
	}
	if g.parents[1] < 0 {
		return fmt.Sprintf("ga g%d of %d%s", n.b.gen, g.parents[0], how)
	}
	return fmt.Sprintf("ga g%d %d×%d%s", n.b.gen, g.parents[0], g.parents[1], how)
}

// random adds a point drawn from the whole space, if one is new.
func (n *nursery) random() {
	rng := seed.Stream(seed.Root(n.b.cfg.Seed), "ga/random", uint64(n.b.gen), uint64(len(n.children)))
	for range maxDraws {
		p, err := n.b.cfg.Space.Normalize(n.b.cfg.Space.Sample(rng))
		if err != nil {
			continue
		}
		if n.add(n.b.space.fromPoint(p), fmt.Sprintf("ga g%d random", n.b.gen)) {
			return
		}
	}
}

// wireGenome and breederState are the wire form of a snapshot.
type wireGenome struct {
	Genes   []gene      `json:"genes"`
	ID      int         `json:"id"`
	Parents [2]int      `json:"parents"`
	Mutated bool        `json:"mutated,omitempty"`
	Loss    engine.Loss `json:"loss"`
	Origin  string      `json:"origin,omitempty"`
	Island  int         `json:"island,omitempty"`
}

type breederState struct {
	Gen      int            `json:"gen"`
	Pop      []wireGenome   `json:"pop"`
	Children []wireGenome   `json:"children"`
	Asked    int            `json:"asked"`
	Told     int            `json:"told"`
	Trials   int            `json:"trials"`
	Memory   *engine.Memory `json:"memory"`
	Stop     string         `json:"stop"`
}

func wire(g *genome, loss float64, origin string, island int) wireGenome {
	return wireGenome{Genes: g.genes, ID: g.id, Parents: g.parents, Mutated: g.mutated, Loss: engine.Loss(loss), Origin: origin, Island: island}
}

// Snapshot implements engine.Engine. There is no random state: every
// generator is made anew from the seed and the generation.
func (b *breeder) Snapshot() ([]byte, error) {
	s := breederState{Gen: b.gen, Pop: []wireGenome{}, Children: []wireGenome{}, Asked: b.asked, Told: b.told,
		Trials: b.trials, Memory: &b.memory, Stop: b.stop}
	for island, pop := range b.pops {
		for _, i := range pop {
			g, ok := i.Genome.(*genome)
			if !ok {
				return nil, fmt.Errorf("%w: a foreign genome in the population", ErrSpace)
			}
			s.Pop = append(s.Pop, wire(g, i.Fitness, "", island))
		}
	}
	for _, c := range b.children {
		s.Children = append(s.Children, wire(c.g, c.loss, c.origin, c.island))
	}
	return engine.Seal("ga", snapshotVersion, b.cfg.Fingerprint(), s)
}

// Restore implements engine.Engine.
func (b *breeder) Restore(raw []byte) error {
	s := breederState{Memory: new(engine.Memory)}
	if err := engine.Unseal("ga", snapshotVersion, b.cfg.Fingerprint(), raw, &s); err != nil {
		return err
	}
	switch {
	case s.Gen < 0 || s.Trials < 0:
		return fmt.Errorf("%w: gen: %d, trials: %d", engine.ErrSnapshot, s.Gen, s.Trials)
	case len(s.Pop) > b.size*b.herd.islands:
		return fmt.Errorf("%w: pop: %d individuals, at most %d", engine.ErrSnapshot, len(s.Pop), b.size*b.herd.islands)
	case s.Told < 0 || s.Told > s.Asked || s.Asked > len(s.Children):
		return fmt.Errorf("%w: asked: told %d, asked %d of %d", engine.ErrSnapshot, s.Told, s.Asked, len(s.Children))
	case s.Memory == nil:
		return fmt.Errorf("%w: memory is missing", engine.ErrSnapshot)
	}
	pops := make([]eaopt.Individuals, b.herd.islands)
	for i, w := range s.Pop {
		g, err := b.genome(w)
		if err != nil {
			return fmt.Errorf("%w: pop[%d]: %w", engine.ErrSnapshot, i, err)
		}
		pops[w.Island] = append(pops[w.Island], individual(g, float64(w.Loss)))
	}
	var children []child
	for i, w := range s.Children {
		g, err := b.genome(w)
		if err != nil {
			return fmt.Errorf("%w: children[%d]: %w", engine.ErrSnapshot, i, err)
		}
		p, err := g.point()
		if err != nil {
			return fmt.Errorf("%w: children[%d]: %w", engine.ErrSnapshot, i, err)
		}
		children = append(children, child{g: g, p: p, loss: float64(w.Loss), origin: w.Origin, island: w.Island})
	}
	b.gen, b.pops, b.children, b.asked, b.told = s.Gen, pops, children, s.Asked, s.Told
	b.trials, b.memory, b.stop = s.Trials, *s.Memory, s.Stop
	return nil
}

// genome checks and takes back a genome.
func (b *breeder) genome(w wireGenome) (*genome, error) {
	l := b.space
	if w.Island < 0 || w.Island >= b.herd.islands {
		return nil, fmt.Errorf("island %d of %d", w.Island, b.herd.islands)
	}
	if len(w.Genes) != len(l.Parameters) {
		return nil, fmt.Errorf("%d genes for %d parameters", len(w.Genes), len(l.Parameters))
	}
	for i, q := range l.Parameters {
		if err := w.Genes[i].check(q); err != nil {
			return nil, fmt.Errorf("gene %q: %w", q.Name, err)
		}
	}
	return &genome{space: l, genes: w.Genes, id: w.ID, parents: w.Parents, mutated: w.Mutated}, nil
}

func (g gene) check(q benchmarks.Parameter) error {
	ok := true
	switch q.Kind {
	case benchmarks.Float:
		ok = g.X >= q.Min && g.X <= q.Max
	case benchmarks.Int:
		ok = float64(g.K) >= q.Min && float64(g.K) <= q.Max
	case benchmarks.Categorical, benchmarks.Ordinal:
		ok = g.K >= 0 && g.K < int64(len(q.Choices))
	case benchmarks.Bool:
		ok = g.K == 0 || g.K == 1
	case benchmarks.Permutation:
		sorted := slices.Sorted(slices.Values(g.O))
		ok = len(sorted) == len(q.Choices)
		for i, k := range sorted {
			ok = ok && i == k
		}
	}
	if !ok {
		b, err := json.Marshal(g)
		return errors.Join(fmt.Errorf("%s is not a %s of the space", b, q.Kind), err)
	}
	return nil
}
