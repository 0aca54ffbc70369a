package insight

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Constants of the forest.
const (
	treesMax     = 48
	leafMin      = 3    // points in a leaf, at least
	featureShare = .7   // of the features are looked at for a split
	pointsMax    = 1500 // the forest looks at; more are thinned evenly
)

// tree is a regression tree over the unit cube; nodes[0] is the root.
type tree struct {
	nodes []node
	out   []int // points that it was not grown on
}

// node splits at x[feature] < at, or is a leaf with feature −1.
type node struct {
	feature     int
	at          float64
	left, right int
	value       float64
}

// growForest grows trees on bootstrap samples of x (rows of equal length in
// [0, 1]) and y.
func growForest(x [][]float64, y []float64, rng *rand.Rand) []tree {
	forest := make([]tree, treesMax)
	for t := range forest {
		in := make([]int, len(y))
		drawn := make([]bool, len(y))
		for i := range in {
			in[i] = rng.IntN(len(y))
			drawn[in[i]] = true
		}
		g := grower{x: x, y: y, rng: rng}
		g.grow(in)
		forest[t].nodes = g.nodes
		for i, d := range drawn {
			if !d {
				forest[t].out = append(forest[t].out, i)
			}
		}
	}
	return forest
}

type grower struct {
	x     [][]float64
	y     []float64
	rng   *rand.Rand
	nodes []node
}

// grow adds the tree over the points and returns its root.
func (g *grower) grow(points []int) int {
	mean := 0.0
	for _, i := range points {
		mean += g.y[i]
	}
	mean /= float64(len(points))
	at := len(g.nodes)
	g.nodes = append(g.nodes, node{feature: -1, value: mean})
	feature, threshold, ok := g.split(points)
	if !ok {
		return at
	}
	var low, high []int
	for _, i := range points {
		if g.x[i][feature] < threshold {
			low = append(low, i)
		} else {
			high = append(high, i)
		}
	}
	left, right := g.grow(low), g.grow(high)
	g.nodes[at] = node{feature: feature, at: threshold, left: left, right: right, value: mean}
	return at
}

// split finds the threshold that leaves the least squared error, among a
// random part of the features; false if none leaves less than there is.
func (g *grower) split(points []int) (feature int, threshold float64, ok bool) {
	n := len(points)
	if n < 2*leafMin {
		return 0, 0, false
	}
	d := len(g.x[0])
	look := g.rng.Perm(d)[:max(1, int(math.Ceil(featureShare*float64(d))))]
	sum := 0.0
	for _, i := range points {
		sum += g.y[i]
	}
	best := sum*sum/float64(n) + 1e-12
	order := slices.Clone(points)
	for _, f := range look {
		sort.SliceStable(order, func(a, b int) bool { return g.x[order[a]][f] < g.x[order[b]][f] })
		low := 0.0
		for k := 1; k < n; k++ {
			low += g.y[order[k-1]]
			a, b := g.x[order[k-1]][f], g.x[order[k]][f]
			if a == b || k < leafMin || n-k < leafMin {
				continue
			}
			if gain := low*low/float64(k) + (sum-low)*(sum-low)/float64(n-k); gain > best {
				best, feature, threshold, ok = gain, f, (a+b)/2, true
			}
		}
	}
	return feature, threshold, ok
}

func (t tree) predict(x []float64) float64 {
	i := 0
	for t.nodes[i].feature >= 0 {
		if x[t.nodes[i].feature] < t.nodes[i].at {
			i = t.nodes[i].left
		} else {
			i = t.nodes[i].right
		}
	}
	return t.nodes[i].value
}

// explained is the share of the variance of y that trees explain at points they
// were not grown on (out of bag); below 0 if they do worse than the mean.
func explained(forest []tree, x [][]float64, y []float64) float64 {
	sum, n := make([]float64, len(y)), make([]int, len(y))
	for _, t := range forest {
		for _, i := range t.out {
			sum[i] += t.predict(x[i])
			n[i]++
		}
	}
	mean, seen := 0.0, 0
	for i := range y {
		if n[i] > 0 {
			mean += y[i]
			seen++
		}
	}
	mean /= float64(max(seen, 1))
	missed, total := 0.0, 0.0
	for i := range y {
		if n[i] > 0 {
			e := y[i] - sum[i]/float64(n[i])
			missed += e * e
			total += (y[i] - mean) * (y[i] - mean)
		}
	}
	if total == 0 {
		return 0
	}
	return 1 - missed/total
}

// leaf is a box of the unit cube with one value.
type leaf struct {
	lo, hi []float64
	value  float64
	volume float64
}

func (t tree) leaves(d int) (out []leaf) {
	lo, hi := make([]float64, d), make([]float64, d)
	for i := range hi {
		hi[i] = 1
	}
	var walk func(int)
	walk = func(i int) {
		n := t.nodes[i]
		if n.feature < 0 {
			l := leaf{lo: slices.Clone(lo), hi: slices.Clone(hi), value: n.value, volume: 1}
			for f := range lo {
				l.volume *= hi[f] - lo[f]
			}
			out = append(out, l)
			return
		}
		old := hi[n.feature]
		hi[n.feature] = n.at
		walk(n.left)
		hi[n.feature] = old
		old = lo[n.feature]
		lo[n.feature] = n.at
		walk(n.right)
		lo[n.feature] = old
	}
	walk(0)
	return out
}

// variance is the mean of a tree over the cube and its variance there.
func variance(leaves []leaf) (mean, total float64) {
	for _, l := range leaves {
		mean += l.volume * l.value
	}
	for _, l := range leaves {
		total += l.volume * (l.value - mean) * (l.value - mean)
	}
	return mean, total
}

// mainEffect is the variance of the tree's marginal over feature f:
// ∫ (a_f(θ) − mean)² dθ with a_f the mean of the tree where x_f = θ (Hutter,
// Hoos & Leyton-Brown 2014, eq. 4 to 6).
func mainEffect(leaves []leaf, mean float64, f int) float64 {
	cuts := cutsOf(leaves, f)
	marginal := make([]float64, len(cuts)-1)
	for _, l := range leaves {
		share := l.value * l.volume / (l.hi[f] - l.lo[f])
		for k := index(cuts, l.lo[f]); cuts[k] < l.hi[f]; k++ {
			marginal[k] += share
		}
	}
	v := 0.0
	for k, a := range marginal {
		v += (cuts[k+1] - cuts[k]) * (a - mean) * (a - mean)
	}
	return v
}

// jointEffect is the variance of the marginal over two features; less the two
// main effects it is that of their interaction (eq. 6).
func jointEffect(leaves []leaf, mean float64, f, g int) float64 {
	a, b := cutsOf(leaves, f), cutsOf(leaves, g)
	w := len(b)
	diff := make([]float64, len(a)*w) // of the joint marginal, to be summed up twice
	for _, l := range leaves {
		share := l.value * l.volume / ((l.hi[f] - l.lo[f]) * (l.hi[g] - l.lo[g]))
		i0, i1, j0, j1 := index(a, l.lo[f]), index(a, l.hi[f]), index(b, l.lo[g]), index(b, l.hi[g])
		diff[i0*w+j0] += share
		diff[i0*w+j1] -= share
		diff[i1*w+j0] -= share
		diff[i1*w+j1] += share
	}
	v := 0.0
	for i := range len(a) - 1 {
		row := 0.0
		for j := range w - 1 {
			row += diff[i*w+j]
			above := 0.0
			if i > 0 {
				above = diff[(i-1)*w+j]
			}
			diff[i*w+j] = row + above
			e := diff[i*w+j] - mean
			v += (a[i+1] - a[i]) * (b[j+1] - b[j]) * e * e
		}
	}
	return v
}

func cutsOf(leaves []leaf, f int) []float64 {
	cuts := []float64{0, 1}
	for _, l := range leaves {
		cuts = append(cuts, l.lo[f])
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

func index(cuts []float64, x float64) int {
	i, _ := slices.BinarySearch(cuts, x)
	return i
}
