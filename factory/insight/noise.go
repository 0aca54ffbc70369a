package insight

import (
	"math"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
)

// Noise is what the journal tells about how far measurements can be believed.
type Noise struct {
	Measured bool `json:"measured"` // the success metric has noise; else it is exact on the data that it saw
	// Baseline is the scatter of single samples of what runs today, over the
	// session: the noise floor.
	Baseline *Scatter `json:"baseline"`
	// Repeats is the scatter of samples of one point around that point's
	// median, over all points that were measured again.
	Repeats *Scatter `json:"repeats"`
	// Optimism is how much better finalists looked in the search than when they
	// were measured afresh: positive is a search that believed in luck.
	Optimism *Scatter `json:"optimism"`
}

// Scatter is a robust summary: relative for values above 0, else in the
// metric's unit.
type Scatter struct {
	N        int     `json:"n"`        // values
	Median   float64 `json:"median"`   // of the deviations; of Baseline and Repeats 0 by definition
	Sigma    float64 `json:"sigma"`    // 1.4826 × the median absolute deviation
	Relative bool    `json:"relative"` // shares, of logarithms
}

const madToSigma = 1.4826

func noiseOf(a factory.Account, context string, m benchmarks.Metric) Noise {
	n := Noise{Measured: m.Kind == benchmarks.Measured}
	groups := map[string][]float64{} // by purpose and point
	var order []string
	search, fresh := map[string]float64{}, map[string][]float64{}
	for _, o := range a.Observations {
		v, ok := o.Values[m.Name]
		if o.Context != context || o.Failed != "" || o.Cached || !ok {
			continue
		}
		point := string(o.Point.Canonical())
		key := o.Purpose + " " + point
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], v)
		c, ok := o.Change[m.Name]
		switch {
		case !ok:
		case o.Purpose == factory.ForClaim:
			fresh[point] = append(fresh[point], c)
		case o.Purpose == factory.ForSearch:
			if old, had := search[point]; !had || m.Direction == benchmarks.Lower && c < old || m.Direction == benchmarks.Higher && c > old {
				search[point] = c
			}
		}
	}
	if n.Measured {
		var base, repeats [][]float64
		for _, key := range order {
			if strings.HasPrefix(key, factory.ForBaseline+" ") {
				base = append(base, groups[key])
			} else if len(groups[key]) > 1 {
				repeats = append(repeats, groups[key])
			}
		}
		n.Baseline, n.Repeats = around(base), around(repeats)
	}
	n.Optimism = optimism(search, fresh, m)
	return n
}

// around pools deviations from the median of each group; nil for fewer than
// three values.
func around(groups [][]float64) *Scatter {
	var d []float64
	relative := true
	for _, g := range groups {
		for _, v := range g {
			relative = relative && v > 0
		}
	}
	for _, g := range groups {
		y := slices.Clone(g)
		if relative {
			for i := range y {
				y[i] = math.Log(y[i])
			}
		}
		mid := median(y)
		if len(y) > 1 {
			for _, v := range y {
				d = append(d, v-mid)
			}
		}
	}
	if len(d) < 3 {
		return nil
	}
	return &Scatter{N: len(d), Sigma: robustSigma(d), Relative: relative}
}

// optimism compares changes of the same points: what the search saw, and what
// fresh samples say.
func optimism(search map[string]float64, fresh map[string][]float64, m benchmarks.Metric) *Scatter {
	var d []float64
	for point, changes := range fresh {
		if seen, ok := search[point]; ok {
			gap := median(changes) - seen
			if m.Direction == benchmarks.Higher {
				gap = -gap
			}
			d = append(d, gap)
		}
	}
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d) // a map's order must not show
	return &Scatter{N: len(d), Median: median(d), Sigma: robustSigma(d), Relative: m.Compare != benchmarks.Difference}
}

func robustSigma(d []float64) float64 {
	mid := median(d)
	off := make([]float64, len(d))
	for i, v := range d {
		off[i] = math.Abs(v - mid)
	}
	return madToSigma * median(off)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return s[n/2-1]/2 + s[n/2]/2
}
