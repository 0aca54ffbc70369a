package evalue

import (
	"errors"
	"fmt"
	"math"
)

// itemBets are the fractions of the mixture over items: there are thousands of
// them and the interesting means are small, so the grid reaches far down.
var itemBets = [...]float64{.004, .008, .016, .03, .06, .12, .25, .5, .9}

// Items is a baseline and a candidate measured on the same items: a_i and b_i
// in [lo, hi], in an order drawn from a seed before the values were known.
//
// Assumption: the items are an exchangeable sample of the population that the
// claim is about, and values lie in [lo, hi]. No symmetry, no variance. The
// change is E[b]−E[a] (Ratio false) or E[b]/E[a]−1 (Ratio true).
//
// Source: betting on a bounded mean, Waudby-Smith & Ramdas, "Estimating means
// of bounded random variables by betting", JRSS-B 2024, with a mixture of
// fixed bets.
type Items struct {
	a, b  []float64
	span  float64 // hi−lo for differences, hi for ratios
	ratio bool
}

// ErrItems is wrapped by every refusal of NewItems.
var ErrItems = errors.New("items cannot be bet on")

// NewItems checks the values. order permutes the items; nil keeps them.
func NewItems(a, b []float32, lo, hi float64, ratio bool, order []int) (*Items, error) {
	if len(a) != len(b) || len(a) == 0 {
		return nil, fmt.Errorf("%d baseline and %d candidate values: %w", len(a), len(b), ErrItems)
	}
	if order != nil && len(order) != len(a) {
		return nil, fmt.Errorf("order of %d for %d items: %w", len(order), len(a), ErrItems)
	}
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return nil, fmt.Errorf("range [%v, %v]: %w", lo, hi, ErrItems)
	}
	it := &Items{a: make([]float64, len(a)), b: make([]float64, len(a)), span: hi - lo, ratio: ratio}
	if ratio {
		if lo < 0 {
			return nil, fmt.Errorf("range [%v, %v]: a ratio needs values ≥ 0: %w", lo, hi, ErrItems)
		}
		it.span = hi
	}
	for i := range a {
		k := i
		if order != nil {
			k = order[i]
		}
		it.a[i], it.b[i] = float64(a[k]), float64(b[k])
		for _, x := range [2]float64{it.a[i], it.b[i]} {
			if !(x >= lo-slack(hi) && x <= hi+slack(hi)) {
				return nil, fmt.Errorf("item %d is %v, outside [%v, %v]: %w", k, x, lo, hi, ErrItems)
			}
		}
	}
	it.span += 2 * slack(hi)
	return it, nil
}

// slack allows for a range that was rounded to float32 on its way.
func slack(hi float64) float64 { return 1e-6 * math.Abs(hi) }

// Len is the number of items.
func (it *Items) Len() int { return len(it.a) }

// Change is the estimate over all items; a ratio to nothing is +Inf, or 0 if
// both are nothing.
func (it *Items) Change() float64 {
	var sa, sb float64
	for i := range it.a {
		sa += it.a[i]
		sb += it.b[i]
	}
	if !it.ratio {
		return (sb - sa) / float64(len(it.a))
	}
	if sa == 0 {
		if sb == 0 {
			return 0
		}
		return math.Inf(1)
	}
	return sb/sa - 1
}

// gain of item i for "the change is below theta", in [−1, 1], with mean ≤ 0
// when the change is ≥ theta. Increasing in theta.
func (it *Items) gain(i int, side Side, theta float64) float64 {
	return it.gainOf(it.a[i], it.b[i], side, theta)
}

func (it *Items) gainOf(a, b float64, side Side, theta float64) float64 {
	var g float64
	if it.ratio {
		g = (float64((1+theta)*a) - b) / (it.span * max(1, 1+theta))
	} else {
		g = (theta - (b - a)) / (it.span + math.Abs(theta))
	}
	if side == Above {
		return -g
	}
	return g
}

// LogE returns ln K after all items for the null "change ≥ theta" (Below) or
// "change ≤ theta" (Above). For a ratio, theta > −1.
func (it *Items) LogE(side Side, theta float64) float64 {
	m := newMixture(itemBets[:])
	for i := range it.a {
		m.bet(it.gain(i, side, theta))
	}
	return m.log()
}

// Race returns ln K after about points evenly spaced counts of items, the last
// one included.
func (it *Items) Race(side Side, theta float64, points int) (n []int, logE []float64) {
	step := max(1, len(it.a)/max(1, points))
	m := newMixture(itemBets[:])
	for i := range it.a {
		m.bet(it.gain(i, side, theta))
		if (i+1)%step == 0 || i == len(it.a)-1 {
			n = append(n, i+1)
			logE = append(logE, m.log())
		}
	}
	return n, logE
}

// alike are the items with the same two values: what all items together make
// does not depend on their order.
type alike struct{ a, b, count float64 }

// alikeMost is how many kinds of items are worth counting: right and wrong
// answers are four.
const alikeMost = 64

// grouped counts the kinds in the order of their first item; nil if there are
// more than alikeMost.
func (it *Items) grouped() []alike {
	at := map[[2]float64]int{}
	var out []alike
	for i := range it.a {
		k := [2]float64{it.a[i], it.b[i]}
		g, ok := at[k]
		if !ok {
			if len(out) == alikeMost {
				return nil
			}
			g = len(out)
			at[k], out = g, append(out, alike{a: k[0], b: k[1]})
		}
		out[g].count++
	}
	return out
}

// logE is LogE by kinds of items.
func (it *Items) logE(kinds []alike, side Side, theta float64) float64 {
	if kinds == nil {
		return it.LogE(side, theta)
	}
	var logs [len(itemBets)]float64
	for _, k := range kinds {
		g := it.gainOf(k.a, k.b, side, theta)
		for j, l := range itemBets {
			logs[j] += float64(k.count * math.Log1p(float64(l*g)))
		}
	}
	return logSumExp(logs[:]) - math.Log(float64(len(logs)))
}

// Interval is the confidence sequence of the change after all items at
// 1−alpha; an end is ±Inf while it cannot be told.
func (it *Items) Interval(alpha float64) (lower, upper float64) {
	bar := math.Log(2 / alpha)
	at := it.Change()
	if math.IsInf(at, 0) {
		return math.Inf(-1), math.Inf(1)
	}
	low, high := -it.span, it.span
	if it.ratio {
		low, high = -1, max(10, 10*at)
	}
	kinds := it.grouped()
	upper = edge(func(t float64) bool { return it.logE(kinds, Below, t) >= bar }, at, high)
	lower = -edge(func(t float64) bool { return it.logE(kinds, Above, -t) >= bar }, -at, -low)
	if it.ratio && math.IsInf(lower, -1) {
		lower = -1 // values are ≥ 0: nothing is more than 100 % lower
	}
	return lower, upper
}

// limitBets are the fractions of the mixture over signs.
var limitBets = [...]float64{.05, .1, .2, .3, .45, .6, .8, .95}

// LimitLogE returns, for n = 1..len(x), ln K for the null "the median of x is
// at or over the limit" (Below; mirrored for Above): a bet on the sign of
// limit − x_i, a tie counting against the claim.
//
// Assumption: P(x_i < limit | past) ≤ ½ under the null. No symmetry, no scale.
func LimitLogE(x []float64, side Side, limit float64) []float64 {
	m := newMixture(limitBets[:])
	out := make([]float64, len(x))
	for i, v := range x {
		g := -1.0
		if side == Below && v < limit || side == Above && v > limit {
			g = 1
		}
		m.bet(g)
		out[i] = m.log()
	}
	return out
}
