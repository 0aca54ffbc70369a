package report

import (
	"math"
	"sort"

	"github.com/arqon/arqon/gates"
)

// quantileOf is the linearly interpolated quantile q in [0, 1] of xs (type 7
// of Hyndman & Fan 1996). NaN for no values.
func quantileOf(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := append([]float64(nil), xs...)
	sort.Float64s(s)
	return quantileSorted(s, q)
}

func quantileSorted(s []float64, q float64) float64 {
	h := q * float64(len(s)-1)
	i := int(math.Floor(h))
	if i >= len(s)-1 {
		return s[len(s)-1]
	}
	return s[i] + float64((h-float64(i))*(s[i+1]-s[i]))
}

// pairPoint is one pair's change of one metric.
type pairPoint struct {
	index  int
	ratio  float64 // B/A − 1
	logged float64 // ln(B/A)
	bFirst bool
	marked bool
}

// pairPoints extracts a metric from raw pairs in time order; pairs without two
// positive finite values are left out.
func pairPoints(ps []gates.PairRecord, metric string) []pairPoint {
	var out []pairPoint
	for _, p := range ps {
		a, b := p.A[metric], p.B[metric]
		if !(a > 0 && b > 0) || math.IsInf(a, 0) || math.IsInf(b, 0) {
			continue
		}
		out = append(out, pairPoint{index: p.Index, ratio: b/a - 1, logged: math.Log(b / a), bFirst: p.BFirst, marked: p.Marked})
	}
	return out
}
