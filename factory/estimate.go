package factory

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// What estimates are made of.
const (
	spikeSigmas     = 3     // a value further from the median, in robust standard deviations, is a disturbance
	spikeShrink     = .9733 // variance of a normal that is cut at ±spikeSigmas
	cutPrice        = 1.06  // on the standard error: where the cut falls is chance too (TestEstimateIgnoresSpikes)
	madToSigma      = 1.4826
	madSmall        = .8 // n/(n−.8) takes the bias out of the median deviation of n values (Croux & Rousseeuw 1992)
	intervalLevel   = .95
	spikesNeedAtAll = 5 // fewer values than this say nothing about which of them is odd
)

// estimate is where repeated values lie. The zero estimate knows nothing.
type estimate struct {
	log    bool    // center and se are of logarithms: every value was above 0
	n      int     // values used
	center float64 // mean without disturbances
	sigma  float64 // standard deviation of one value
	se     float64 // standard error of the center
}

// estimateOf is the mean of the values, of their logarithms if all are
// positive, without those further than spikeSigmas from the median. Cutting
// both sides keeps the mean of an undisturbed distribution where it is, and
// disturbances of a measurement are on one side and far.
func estimateOf(values []float64) estimate {
	e := estimate{log: true}
	for _, v := range values {
		e.log = e.log && v > 0
	}
	y := make([]float64, len(values))
	for i, v := range values {
		y[i] = v
		if e.log {
			y[i] = math.Log(v)
		}
	}
	out := meanOf(y)
	out.log = e.log && out.n > 0
	return out
}

// meanOf is the mean without disturbances of values that may have any sign.
func meanOf(y []float64) estimate {
	if len(y) == 0 {
		return estimate{}
	}
	kept, shrink, price := y, 1., 1.
	if len(y) >= spikesNeedAtAll {
		kept, shrink, price = undisturbed(y), spikeShrink, cutPrice
	}
	e := estimate{n: len(kept), center: stat.Mean(kept, nil)}
	if e.n > 1 {
		e.sigma = math.Sqrt(stat.Variance(kept, nil) / shrink)
		e.se = price * e.sigma / math.Sqrt(float64(e.n))
	}
	return e
}

func undisturbed(y []float64) []float64 {
	m := median(y)
	off := make([]float64, len(y))
	for i, v := range y {
		off[i] = math.Abs(v - m)
	}
	n := float64(len(y))
	reach := spikeSigmas * madToSigma * median(off) * n / (n - madSmall)
	var kept []float64
	for i, v := range y {
		if off[i] <= reach {
			kept = append(kept, v)
		}
	}
	return kept // at least half of them: the median's distance is inside
}

// sameValue is the one value that repeated values have, if they all do: a
// logarithm and back would change its last digit.
func sameValue(values []float64) (v float64, same bool) {
	for _, x := range values {
		if x != values[0] {
			return 0, false
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	return values[0], true
}

// value is the center on the values' own scale.
func (e estimate) value() float64 {
	if e.log {
		return math.Exp(e.center)
	}
	return e.center
}

// interval is the two-sided interval of the center on the values' own scale
// (Student's t). Where no spread is known the interval is the value.
func (e estimate) interval() [2]float64 {
	if e.n == 0 || e.se == 0 {
		return [2]float64{e.value(), e.value()}
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(max(1, e.n-1))}.Quantile(.5 + intervalLevel/2)
	lo, hi := e, e
	lo.center -= t * e.se
	hi.center += t * e.se
	return [2]float64{lo.value(), hi.value()}
}
