package factory

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// What estimates are made of.
const (
	spikeSigmas     = 2.5   // a value further from the median, in robust standard deviations, is a disturbance
	spikeShrink     = .9113 // variance of a normal that is cut at ±spikeSigmas
	madToSigma      = 1.4826
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
	if len(y) == 0 {
		return estimate{}
	}
	kept, shrink := y, 1.
	if len(y) >= spikesNeedAtAll {
		kept, shrink = undisturbed(y), spikeShrink
	}
	e.n = len(kept)
	e.center = stat.Mean(kept, nil)
	if e.n > 1 {
		e.sigma = math.Sqrt(stat.Variance(kept, nil) / shrink)
		e.se = e.sigma / math.Sqrt(float64(e.n))
	}
	return e
}

func undisturbed(y []float64) []float64 {
	m := median(y)
	off := make([]float64, len(y))
	for i, v := range y {
		off[i] = math.Abs(v - m)
	}
	reach := spikeSigmas * madToSigma * median(off)
	var kept []float64
	for i, v := range y {
		if off[i] <= reach {
			kept = append(kept, v)
		}
	}
	return kept // at least half of them: the median's distance is inside
}

// value is the center on the values' own scale.
func (e estimate) value() float64 {
	if e.log {
		return math.Exp(e.center)
	}
	return e.center
}

// interval is the two-sided interval of the center on the values' own scale
// (Student's t). One value alone has no known spread: the interval is the
// value.
func (e estimate) interval() [2]float64 {
	if e.n < 2 || e.se == 0 {
		return [2]float64{e.value(), e.value()}
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(e.n - 1)}.Quantile(.5 + intervalLevel/2)
	lo, hi := e, e
	lo.center -= t * e.se
	hi.center += t * e.se
	return [2]float64{lo.value(), hi.value()}
}

// shrunk is a correction that is only known up to se, pulled towards 0 by as
// much as it could be noise (the positive part of James and Stein's rule).
func shrunk(correction, se float64) float64 {
	if correction == 0 {
		return 0
	}
	return correction * math.Max(0, 1-float64(se*se)/float64(correction*correction))
}
