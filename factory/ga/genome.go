package ga

import (
	"errors"
	"math"
	"math/rand"
	"slices"

	"github.com/MaxHalford/eaopt"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// gene is the value of one parameter, active or not: a gene that a condition
// silences is carried along and speaks again when the condition holds.
type gene struct {
	X float64 `json:"x"`           // float: the value
	K int64   `json:"k"`           // int: the value; categorical, ordinal, bool: the index
	O []int   `json:"o,omitempty"` // permutation: positions in Choices
}

// genome implements eaopt.Genome over a space.
type genome struct {
	space *layout
	genes []gene

	id      int    // trial that it came from, −1 before it is one
	parents [2]int // trials; {−1, −1}: drawn at random
	mutated bool
}

// layout is what every genome of an engine shares.
type layout struct {
	benchmarks.Space
	owner []int // the parameter whose condition decides on this one, or itself
}

// ancestors are the trials that the genome was made from, if any.
func (g *genome) ancestors() (out []int) {
	for _, id := range g.parents {
		if id >= 0 {
			out = append(out, id)
		}
	}
	return out
}

func newLayout(s benchmarks.Space) *layout {
	l := &layout{Space: s}
	index := map[string]int{}
	for i, p := range s.Parameters {
		index[p.Name] = i
	}
	for i, p := range s.Parameters {
		owner := i
		for _, name := range sortedNames(p.When) {
			if j, ok := index[name]; ok {
				owner = j
				break
			}
		}
		l.owner = append(l.owner, owner)
	}
	for i := range l.owner { // to the root; Check has refused cycles
		for hops := 0; hops < len(l.owner) && l.owner[l.owner[i]] != l.owner[i]; hops++ {
			l.owner[i] = l.owner[l.owner[i]]
		}
	}
	return l
}

func sortedNames(m map[string][]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fromPoint makes the genome of a normalized point. Inactive genes hold the
// parameter's default.
func (l *layout) fromPoint(p benchmarks.Point) *genome {
	g := &genome{space: l, genes: make([]gene, len(l.Parameters)), id: -1, parents: [2]int{-1, -1}}
	for i, q := range l.Parameters {
		v, ok := p[q.Name]
		if !ok {
			v = q.Default
		}
		g.genes[i] = geneOf(q, v)
	}
	return g
}

func geneOf(q benchmarks.Parameter, v any) gene {
	switch q.Kind {
	case benchmarks.Float:
		x, ok := v.(float64)
		if !ok {
			x = at(q, .5)
		}
		return gene{X: x}
	case benchmarks.Int:
		k, ok := v.(int64)
		if !ok {
			k = int64(q.Min)
		}
		return gene{K: k}
	case benchmarks.Categorical, benchmarks.Ordinal:
		s, _ := v.(string)
		return gene{K: int64(max(0, slices.Index(q.Choices, s)))}
	case benchmarks.Bool:
		if b, _ := v.(bool); b {
			return gene{K: 1}
		}
		return gene{}
	case benchmarks.Permutation:
		items, _ := v.([]string)
		g := gene{O: make([]int, len(q.Choices))}
		for i := range g.O {
			g.O[i] = i
			if len(items) == len(g.O) {
				g.O[i] = max(0, slices.Index(q.Choices, items[i]))
			}
		}
		return g
	}
	return gene{}
}

// ends of the range on its own scale.
func ends(q benchmarks.Parameter) (lo, hi float64) {
	if q.Log {
		return math.Log(q.Min), math.Log(q.Max)
	}
	return q.Min, q.Max
}

func share(q benchmarks.Parameter, x float64) float64 {
	lo, hi := ends(q)
	if hi <= lo {
		return .5
	}
	if q.Log {
		x = math.Log(x)
	}
	return math.Min(math.Max((x-lo)/(hi-lo), 0), 1)
}

// at is the inverse of share.
func at(q benchmarks.Parameter, u float64) float64 {
	lo, hi := ends(q)
	x := lo + float64(u*(hi-lo))
	if q.Log {
		x = math.Exp(x)
	}
	return math.Min(math.Max(x, q.Min), q.Max)
}

// point decodes; an error wraps benchmarks.ErrBadCandidate.
func (g *genome) point() (benchmarks.Point, error) {
	p := make(benchmarks.Point, len(g.genes))
	for i, q := range g.space.Parameters {
		p[q.Name] = g.genes[i].value(q)
	}
	return g.space.Normalize(p)
}

func (g gene) value(q benchmarks.Parameter) any {
	switch q.Kind {
	case benchmarks.Float:
		return g.X
	case benchmarks.Int:
		return g.K
	case benchmarks.Categorical, benchmarks.Ordinal:
		return q.Choices[g.K]
	case benchmarks.Bool:
		return g.K == 1
	case benchmarks.Permutation:
		out := make([]string, len(g.O))
		for i, k := range g.O {
			out[i] = q.Choices[k]
		}
		return out
	}
	return nil
}

// errEvaluate is what eaopt would get if it evaluated: it never does.
var errEvaluate = errors.New("genomes are evaluated by whoever asked, not by eaopt")

// Evaluate implements eaopt.Genome.
func (g *genome) Evaluate() (float64, error) { return math.Inf(1), errEvaluate }

// Clone implements eaopt.Genome. The clone's parent is the original.
func (g *genome) Clone() eaopt.Genome {
	c := &genome{space: g.space, genes: slices.Clone(g.genes), id: -1, parents: [2]int{g.id, -1}}
	for i := range c.genes {
		c.genes[i].O = slices.Clone(c.genes[i].O)
	}
	return c
}

// Crossover implements eaopt.Genome: gene by gene, a conditional gene with the
// one that decides on it, so that a branch of the space is inherited whole.
// Both genomes become children.
func (g *genome) Crossover(mate eaopt.Genome, rng *rand.Rand) {
	m, ok := mate.(*genome)
	if !ok {
		return
	}
	coins := make([]bool, len(g.genes))
	for i := range coins {
		coins[i] = rng.Intn(2) == 0
	}
	for i, q := range g.space.Parameters {
		a, b := &g.genes[i], &m.genes[i]
		swap := coins[g.space.owner[i]]
		switch q.Kind {
		case benchmarks.Float:
			if rng.Intn(2) == 0 { // somewhere between the two
				x, y := []float64{share(q, a.X)}, []float64{share(q, b.X)}
				eaopt.CrossUniformFloat64(x, y, rng)
				a.X, b.X = at(q, x[0]), at(q, y[0])
			}
		case benchmarks.Permutation:
			if len(a.O) >= 3 && rng.Intn(2) == 0 { // orders that mix both
				if rng.Intn(2) == 0 {
					eaopt.CrossOXInt(a.O, b.O, rng)
				} else {
					eaopt.CrossPMXInt(a.O, b.O, rng)
				}
			}
		case benchmarks.Int, benchmarks.Categorical, benchmarks.Ordinal, benchmarks.Bool:
		}
		if swap {
			*a, *b = *b, *a
		}
	}
	one, two := g.parents[0], m.parents[0]
	g.parents, m.parents = [2]int{one, two}, [2]int{two, one}
}

// Mutate implements eaopt.Genome: on average one active gene changes, and at
// least one.
func (g *genome) Mutate(rng *rand.Rand) {
	active := g.active()
	if len(active) == 0 {
		return
	}
	g.mutated = true
	always := active[rng.Intn(len(active))]
	rate := .5 / float64(len(active))
	for _, i := range active {
		if rng.Float64() < rate || i == always {
			g.genes[i].mutate(g.space.Parameters[i], rng)
		}
	}
}

// active lists the genes that count in the genome's point.
func (g *genome) active() []int {
	all := make(benchmarks.Point, len(g.genes))
	for i, q := range g.space.Parameters {
		all[q.Name] = g.genes[i].value(q)
	}
	on := g.space.Active(all)
	var out []int
	for i, q := range g.space.Parameters {
		if on[q.Name] && movable(q) {
			out = append(out, i)
		}
	}
	return out
}

// movable parameters have more than one value.
func movable(q benchmarks.Parameter) bool {
	switch q.Kind {
	case benchmarks.Float, benchmarks.Int:
		return q.Max > q.Min
	case benchmarks.Categorical, benchmarks.Ordinal, benchmarks.Permutation:
		return len(q.Choices) > 1
	case benchmarks.Bool:
		return true
	}
	return false
}

// reach draws the size of a step as a share of the range, log-uniform from
// .003 to .3: large enough to leave a basin, small enough to polish, and
// nothing to adapt.
func reach(rng *rand.Rand) float64 { return .3 * math.Pow(10, -2*rng.Float64()) }

func (g *gene) mutate(q benchmarks.Parameter, rng *rand.Rand) {
	switch q.Kind {
	case benchmarks.Float:
		g.X = at(q, engine.Fold(share(q, g.X)+float64(reach(rng)*rng.NormFloat64())))
	case benchmarks.Int:
		g.step(q, rng)
	case benchmarks.Categorical, benchmarks.Bool:
		n := int64(2)
		if q.Kind == benchmarks.Categorical {
			n = int64(len(q.Choices))
		}
		g.K = (g.K + 1 + rng.Int63n(n-1)) % n
	case benchmarks.Ordinal:
		n := int64(len(q.Choices))
		if rng.Intn(4) == 0 {
			g.K = (g.K + 1 + rng.Int63n(n-1)) % n
			return
		}
		g.K = bounce(g.K+1-2*rng.Int63n(2), 0, n-1)
	case benchmarks.Permutation:
		if len(g.O) > 2 && rng.Intn(3) == 0 {
			eaopt.MutSpliceInt(g.O, rng)
			return
		}
		eaopt.MutPermuteInt(g.O, 1, rng)
	}
}

// step moves an integer by at least 1, on its own scale.
func (g *gene) step(q benchmarks.Parameter, rng *rand.Rand) {
	from := g.K
	u := engine.Fold(share(q, float64(from)) + float64(reach(rng)*rng.NormFloat64()))
	g.K = int64(math.Round(at(q, u)))
	if g.K == from {
		g.K = bounce(from+1-2*rng.Int63n(2), int64(q.Min), int64(q.Max))
	}
}

// bounce keeps a step of 1 inside the bounds by taking it the other way.
func bounce(k, lo, hi int64) int64 {
	switch {
	case k < lo:
		return min(lo+1, hi)
	case k > hi:
		return max(hi-1, lo)
	}
	return k
}
