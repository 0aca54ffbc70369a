package sweep

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// Limits of the grid.
const (
	maxGridPoints  = 1 << 30
	maxLevels      = 1 << 16
	maxOrderedSort = 5 // permutations of up to five items are listed in full
	maxCounted     = 1 << 16
)

var _ engine.New = Grid

// Grid walks every combination of every choice. Floats, and integers with more
// values than fit, get as many levels as the budget allows, the ends included;
// without a budget, 5. Combinations that differ only in inactive parameters
// count once. The order strides through the grid, so that a walk cut short has
// still been everywhere. The name in a study is "grid".
func Grid(cfg engine.Config) (engine.Engine, error) {
	w, err := newWalker("grid", cfg)
	if err != nil {
		return nil, err
	}
	g := &gridPath{space: cfg.Space}
	if err := g.lay(cfg.Budget); err != nil {
		return nil, err
	}
	w.path = g
	return w, nil
}

type gridPath struct {
	fixed
	space  benchmarks.Space
	axes   []axis
	total  int
	stride int
}

// axis lists the levels of one parameter.
type axis struct {
	p      benchmarks.Parameter
	most   int // levels that exist; 0: any number
	levels int
}

func (g *gridPath) lay(budget int) error {
	for _, p := range g.space.Parameters {
		a := axis{p: p, most: countLevels(p)}
		a.levels = a.most
		if scalable(p) {
			a.levels = min(2, levelLimit(a.most))
		}
		g.axes = append(g.axes, a)
	}
	if g.product() < 0 {
		return fmt.Errorf("%w: the grid has more than %d points: use sweep or one-factor", ErrSpace, maxGridPoints)
	}
	if budget == 0 {
		for i := range g.axes {
			if scalable(g.axes[i].p) {
				g.axes[i].levels = min(5, levelLimit(g.axes[i].most))
			}
		}
		if g.product() < 0 {
			return fmt.Errorf("%w: the grid has more than %d points: give a budget", ErrSpace, maxGridPoints)
		}
	}
	g.refine(budget)
	g.total = g.product()
	g.stride = strideOf(g.total)
	return nil
}

// refine adds a level to one scalable axis after the other while the budget
// lasts.
func (g *gridPath) refine(budget int) {
	if g.fits(budget) {
		whole, _ := g.whole()
		g.axes = whole.axes
		return
	}
	for grown := true; grown; {
		grown = false
		for i := range g.axes {
			a := &g.axes[i]
			if !scalable(a.p) || a.levels >= levelLimit(a.most) {
				continue
			}
			a.levels++
			if n := g.product(); n < 0 || n > budget {
				a.levels--
				continue
			}
			grown = true
		}
	}
}

// fits reports whether every point of the whole space is within the budget, as
// points, not as combinations: those that differ in switched-off knobs alone, or
// break a constraint, are none.
func (g *gridPath) fits(budget int) bool {
	whole, known := g.whole()
	return known && whole.total <= maxCounted && (whole.total <= budget || g.conditional() && whole.count(budget) <= budget)
}

// whole is the grid with every level there is; false where a knob is a
// continuum.
func (g *gridPath) whole() (gridPath, bool) {
	full := gridPath{space: g.space, axes: slices.Clone(g.axes)}
	for i, a := range full.axes {
		if a.most == 0 {
			return full, false
		}
		full.axes[i].levels = levelLimit(a.most)
	}
	if full.total = full.product(); full.total < 0 {
		full.total = maxGridPoints
	}
	full.stride = 1
	return full, true
}

func (g *gridPath) conditional() bool {
	return len(g.space.Constraints) > 0 || slices.ContainsFunc(g.space.Parameters, func(p benchmarks.Parameter) bool { return p.When != nil })
}

func scalable(p benchmarks.Parameter) bool {
	return p.Kind == benchmarks.Float || p.Kind == benchmarks.Int
}

func levelLimit(most int) int {
	if most == 0 {
		return maxLevels
	}
	return min(most, maxLevels)
}

// countLevels is the number of values; 0 for a float.
func countLevels(p benchmarks.Parameter) int {
	switch p.Kind {
	case benchmarks.Float:
		return 0
	case benchmarks.Int:
		return int(math.Min(p.Max-p.Min+1, maxLevels))
	case benchmarks.Categorical, benchmarks.Ordinal:
		return len(p.Choices)
	case benchmarks.Bool:
		return 2
	case benchmarks.Permutation:
		if len(p.Choices) > maxOrderedSort {
			return 1
		}
		n := 1
		for i := 2; i <= len(p.Choices); i++ {
			n *= i
		}
		return n
	}
	return 1
}

// product is the number of points, or −1 above maxGridPoints.
func (g *gridPath) product() int {
	n := 1
	for _, a := range g.axes {
		if a.levels > 0 && n > maxGridPoints/a.levels {
			return -1
		}
		n *= a.levels
	}
	return n
}

// sizes counts the points that are asked, and those of the whole space (0 where
// a knob is a continuum). Of a grid too large to count it is the number of
// combinations.
func (g *gridPath) sizes() (asked, whole int) {
	if full, known := g.whole(); known {
		whole = full.count(maxCounted)
	}
	return g.count(maxCounted), whole
}

// count counts the points, each once, until there are more than most.
func (g *gridPath) count(most int) int {
	if g.total > maxCounted {
		return g.total
	}
	known := map[string]bool{}
	for i := range g.total {
		if p, _ := g.at(i); p != nil {
			known[engine.Key(p)] = true
		}
		if len(known) > most {
			break
		}
	}
	return len(known)
}

// strideOf returns a step near the golden section that visits all of n.
func strideOf(n int) int {
	s := max(1, int(float64(n)*.6180339887498949))
	for gcd(s, n) != 1 {
		s++
	}
	return s
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (g *gridPath) at(cursor int) (benchmarks.Point, bool) {
	if cursor >= g.total {
		return nil, false
	}
	i := cursor * g.stride % g.total // both are below 2³¹
	p := benchmarks.Point{}
	for _, a := range g.axes {
		p[a.p.Name] = a.value(i % a.levels)
		i /= a.levels
	}
	q, err := g.space.Normalize(p)
	if err != nil {
		return nil, true
	}
	return q, true
}

func (g *gridPath) origin(cursor int) string {
	return fmt.Sprintf("grid %d of %d", cursor*g.stride%g.total, g.total)
}

// value is level i of the axis.
func (a axis) value(i int) any {
	share := .5
	if a.levels > 1 {
		share = float64(i) / float64(a.levels-1)
	}
	return levelOf(a.p, i, share)
}

// levelOf returns level i of a parameter of listed values, or the value at a
// share of the range of one that is a number.
func levelOf(p benchmarks.Parameter, i int, share float64) any {
	switch p.Kind {
	case benchmarks.Float:
		return numberAt(p, share)
	case benchmarks.Int:
		return int64(math.Round(numberAt(p, share)))
	case benchmarks.Categorical, benchmarks.Ordinal:
		return p.Choices[i]
	case benchmarks.Bool:
		return i == 1
	case benchmarks.Permutation:
		return nthOrder(p.Choices, i)
	}
	return nil
}

// numberAt is the number at a share of the range, on its own scale.
func numberAt(p benchmarks.Parameter, share float64) float64 {
	lo, hi := p.Min, p.Max
	if p.Log {
		lo, hi = math.Log(lo), math.Log(hi)
	}
	v := lo + float64(share*(hi-lo))
	if p.Log {
		v = math.Exp(v)
	}
	return math.Min(math.Max(v, p.Min), p.Max)
}

// nthOrder is permutation i of the items in lexical order of positions;
// permutation 0 is the order given.
func nthOrder(items []string, i int) []string {
	rest := append([]string(nil), items...)
	f := 1
	for k := 2; k < len(rest); k++ {
		f *= k
	}
	var out []string
	for len(rest) > 0 {
		k := i / f % len(rest)
		out = append(out, rest[k])
		rest = append(rest[:k], rest[k+1:]...)
		i %= f
		if len(rest) > 1 {
			f /= len(rest)
		}
	}
	return out
}
