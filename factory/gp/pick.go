package gp

import (
	"math"
	"sort"

	"github.com/arqon/arqon/benchmarks"
)

// candidate is a point that might be asked.
type candidate struct {
	point benchmarks.Point
	where []float64
	key   string // of where
}

// pick chooses a batch of new points.
func (e *searcher) pick(n int) []benchmarks.Point {
	m, all := e.think()
	if m == nil {
		return nil
	}
	own := m.means(places(all))
	order := byMean(own)
	best := own[order[0]]
	var parents []benchmarks.Point
	for _, i := range order[:min(12, len(order))] {
		parents = append(parents, all[i].point)
	}
	pool := e.effort.pool * (n + 2) / (batchMax + 2)
	points := e.neighbours(parents, pool, 1)
	b := m.predict(wheres(points))
	for round := 1; round <= refinements && len(points) > 0; round++ {
		gain := improvement(b, best)
		var liked []benchmarks.Point
		for _, i := range topOf(gain, 8) {
			liked = append(liked, points[i].point)
		}
		more := e.neighbours(liked, pool/3, math.Pow(.5, float64(round)))
		// The best of both rounds go on together.
		keep := topOf(gain, pool/3)
		var next []candidate
		for _, i := range keep {
			next = append(next, points[i])
		}
		points = distinct(append(next, more...))
		b = m.joined(b, keep, wheres(points[len(keep):]))
	}
	var out []benchmarks.Point
	taken := make([]bool, len(points))
	for len(out) < n && len(out) < len(points) {
		k, most := -1, math.Inf(-1)
		for i, g := range improvement(b, best) {
			if !taken[i] && g > most {
				k, most = i, g
			}
		}
		if k < 0 {
			break
		}
		taken[k] = true
		out = append(out, points[k].point)
		m.believe(&b, k)
	}
	return out
}

// Favourites are the known points that the model believes in most, best first.
// Under noise they are better than the points with the lowest losses, which
// are also the luckiest.
func (e *searcher) Favourites(n int) []benchmarks.Point {
	m, all := e.think()
	if m == nil {
		return nil
	}
	var out []benchmarks.Point
	for _, i := range byMean(m.means(places(all))) {
		if len(out) == n {
			break
		}
		if !math.IsInf(all[i].loss(), 1) {
			out = append(out, all[i].point)
		}
	}
	return out
}

func byMean(mean []float64) []int {
	order := make([]int, len(mean))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return mean[order[i]] < mean[order[j]] })
	return order
}

// topOf are the indices of the n largest values, largest first.
func topOf(v []float64, n int) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return v[order[i]] > v[order[j]] })
	return order[:min(n, len(order))]
}

// improvement is the logarithm of the expected improvement below best, which
// still ranks points where the improvement itself is zero in floating point
// (Ament et al., arXiv:2310.20708).
func improvement(b belief, best float64) []float64 {
	out := make([]float64, len(b.mean))
	for i, mu := range b.mean {
		s := math.Sqrt(b.variance[i])
		out[i] = math.Log(s) + logH((best-mu)/s)
	}
	return out
}

// logH is ln(φ(z) + z·Φ(z)).
func logH(z float64) float64 {
	const lnRoot2Pi = .9189385332046727
	if z > -6 {
		return math.Log(math.Exp(-z*z/2-lnRoot2Pi) + z*.5*math.Erfc(-z/math.Sqrt2))
	}
	return -z*z/2 - lnRoot2Pi - 2*math.Log(-z) // h(z) ≈ φ(z)/z² far below
}

func wheres(points []candidate) [][]float64 {
	out := make([][]float64, len(points))
	for i, p := range points {
		out[i] = p.where
	}
	return out
}

func distinct(points []candidate) []candidate {
	seen := make(map[string]bool, len(points))
	var out []candidate
	for _, p := range points {
		if !seen[p.key] {
			seen[p.key] = true
			out = append(out, p)
		}
	}
	return out
}

// neighbours draws new feasible points around parents, the first ones more
// often: a few knobs moved, a few taken from another parent; one in twelve
// anywhere in the space. reach scales the moves.
func (e *searcher) neighbours(parents []benchmarks.Point, n int, reach float64) []candidate {
	cubes := make([][]float64, len(parents))
	for i, p := range parents {
		cubes[i] = e.cfg.Space.Encode(p)
	}
	u := make([]float64, e.dim)
	var out []candidate
	for range n {
		for range triesMax {
			if e.rng.IntN(12) == 0 && reach == 1 {
				for i := range u {
					u[i] = e.rng.Float64()
				}
			} else {
				e.child(u, cubes, reach)
			}
			p, err := e.cfg.Space.Decode(u)
			if err == nil && len(e.round) > 0 && e.rng.IntN(3) == 0 {
				p, err = e.rounded(p)
			}
			if err != nil {
				continue
			}
			where := e.where(p)
			if c := (candidate{p, where, keyOf(where)}); e.isNew(c) {
				out = append(out, c)
				break
			}
		}
	}
	return distinct(out)
}

// rounded moves half of the whole numbers to the nearest multiple of a small
// power of two.
func (e *searcher) rounded(p benchmarks.Point) (benchmarks.Point, error) {
	for _, name := range e.round {
		v, active := p[name].(int64)
		step := int64(1) << (1 + e.rng.IntN(roundTwos))
		if e.rng.IntN(2) == 0 || !active {
			continue
		}
		q, _ := e.cfg.Space.Parameter(name)
		to := float64((v + step/2) / step * step)
		if to >= q.Min && to <= q.Max {
			p[name] = int64(to)
		}
	}
	return e.cfg.Space.Normalize(p)
}

// child fills u with a changed copy of a parent.
func (e *searcher) child(u []float64, parents [][]float64, reach float64) {
	a := int(float64(len(parents)) * e.rng.Float64() * e.rng.Float64())
	copy(u, parents[a])
	if e.rng.IntN(3) == 0 {
		other := parents[e.rng.IntN(len(parents))]
		for i := range u {
			if e.rng.IntN(2) == 0 {
				u[i] = other[i]
			}
		}
	}
	d := float64(len(u))
	share := math.Max(1, math.Min(d, math.Exp(e.rng.Float64()*math.Log(d)))) / d // one knob to all of them
	step := reach * .35 * math.Exp(-3*e.rng.Float64())
	for i, ax := range e.axes[:e.dim] {
		if e.rng.Float64() >= share {
			continue
		}
		if ax.category {
			if e.rng.Float64() < .5 {
				u[i] = e.rng.Float64()
			}
			continue
		}
		v := u[i] + step*e.rng.NormFloat64()
		if v < 0 || v > 1 {
			v = math.Abs(v)
			if v > 1 {
				v = math.Max(0, 2-v)
			}
		}
		u[i] = v
	}
}
