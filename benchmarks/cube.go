package benchmarks

import (
	"fmt"
	"math"
	"slices"
)

// The unit cube is how engines see a space: Dim coordinates in [0, 1].
//
//	float        (v−Min)/(Max−Min), or the same of logarithms
//	int, ordinal the middle of one of n equal cells; a log int has cells of
//	             equal weight per octave, from Min−½ to Max+½
//	categorical, bool   likewise, one coordinate (false is the lower cell)
//	permutation  one random key an item (Bean 1994): the order is the argsort
//	             of the keys
//
// Inactive coordinates encode to ½ and decode to nothing.

// Dim is the number of coordinates.
func (s Space) Dim() int {
	n := 0
	for _, p := range s.Parameters {
		n += p.Width()
	}
	return n
}

// Width is the number of coordinates of the parameter: one, or one an item of
// a permutation.
func (p Parameter) Width() int {
	if p.Kind == Permutation {
		return len(p.Choices)
	}
	return 1
}

// Encode maps a normalized point to Dim coordinates in [0, 1].
func (s Space) Encode(pt Point) []float64 {
	out := make([]float64, 0, s.Dim())
	for _, p := range s.Parameters {
		v, active := pt[p.Name]
		if active {
			c, err := p.value(v)
			v, active = c, err == nil
		}
		if !active {
			for range p.Width() {
				out = append(out, .5)
			}
			continue
		}
		out = append(out, p.encode(v)...)
	}
	return out
}

// Decode maps Dim coordinates to a normalized point. Coordinates outside
// [0, 1] are clipped; NaN and a wrong length are errors; a point that violates
// a constraint is an error wrapping ErrBadCandidate.
func (s Space) Decode(u []float64) (Point, error) {
	if len(u) != s.Dim() {
		return nil, fmt.Errorf("%d coordinates, the space has %d", len(u), s.Dim())
	}
	for i, x := range u {
		if math.IsNaN(x) {
			return nil, fmt.Errorf("coordinate %d is NaN", i)
		}
	}
	return s.Normalize(s.fromCube(u))
}

// fromCube decodes len(u) == Dim coordinates and drops what is inactive.
func (s Space) fromCube(u []float64) Point {
	all := make(Point, len(s.Parameters))
	for _, p := range s.Parameters {
		all[p.Name] = p.decode(u[:p.Width()])
		u = u[p.Width():]
	}
	return s.activeOnly(all)
}

func (p Parameter) encode(v any) []float64 {
	switch p.Kind {
	case Float:
		lo, hi := p.scaled()
		if hi == lo {
			return []float64{.5}
		}
		return []float64{clip((p.scale(v.(float64)) - lo) / (hi - lo))}
	case Int:
		if p.Log {
			lo, hi := p.scaled()
			return []float64{clip((math.Log(float64(v.(int64))) - lo) / (hi - lo))}
		}
		return []float64{middle(int(v.(int64)-int64(p.Min)), p.cells())}
	case Categorical, Ordinal:
		return []float64{middle(slices.Index(p.Choices, v.(string)), p.cells())}
	case Bool:
		if v.(bool) {
			return []float64{.75}
		}
		return []float64{.25}
	case Permutation:
		keys := make([]float64, len(p.Choices))
		for rank, item := range v.([]string) {
			keys[slices.Index(p.Choices, item)] = middle(rank, len(keys))
		}
		return keys
	}
	return []float64{.5}
}

func (p Parameter) decode(u []float64) any {
	switch p.Kind {
	case Float:
		lo, hi := p.scaled()
		x := lo + float64(clip(u[0])*(hi-lo))
		if p.Log {
			x = math.Exp(x)
		}
		return min(max(x, p.Min), p.Max)
	case Int:
		if p.Log {
			lo, hi := p.scaled()
			x := math.Round(math.Exp(lo + float64(clip(u[0])*(hi-lo))))
			return int64(min(max(x, p.Min), p.Max))
		}
		return int64(p.Min) + int64(cell(u[0], p.cells()))
	case Categorical, Ordinal:
		return p.Choices[cell(u[0], p.cells())]
	case Bool:
		return cell(u[0], 2) == 1
	case Permutation:
		rank := make([]int, len(u))
		for i := range rank {
			rank[i] = i
		}
		slices.SortStableFunc(rank, func(a, b int) int {
			switch {
			case u[a] < u[b]:
				return -1
			case u[a] > u[b]:
				return 1
			}
			return 0
		})
		items := make([]string, len(rank))
		for i, j := range rank {
			items[i] = p.Choices[j]
		}
		return items
	}
	return nil
}

// scaled returns the ends of the searched interval on the searched scale.
func (p Parameter) scaled() (lo, hi float64) {
	if p.Kind == Int && p.Log {
		return math.Log(p.Min - .5), math.Log(p.Max + .5)
	}
	return p.scale(p.Min), p.scale(p.Max)
}

func (p Parameter) scale(x float64) float64 {
	if p.Log {
		return math.Log(x)
	}
	return x
}

// cells is how many equal cells the coordinate has; 0 for a float.
func (p Parameter) cells() int {
	switch p.Kind {
	case Int:
		return int(p.Max-p.Min) + 1
	case Categorical, Ordinal:
		return len(p.Choices)
	case Bool:
		return 2
	case Float, Permutation:
	}
	return 0
}

func clip(x float64) float64 { return min(max(x, 0), 1) }

func middle(i, n int) float64 { return (float64(i) + .5) / float64(n) }

func cell(u float64, n int) int {
	return min(int(clip(u)*float64(n)), n-1)
}
