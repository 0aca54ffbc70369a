package cma

import (
	"math"
	"slices"
)

// history remembers the best and the median loss of each generation of a run.
type history struct {
	best, median []float64
	blind        int // generations in a row without one finite loss
	scratch      []float64
}

func (h *history) reset() {
	h.best = slices.Grow(h.best[:0], 1024)
	h.median = slices.Grow(h.median[:0], 1024)
	h.blind = 0
}

func (h *history) add(best, median float64) {
	h.best = append(h.best, best)
	h.median = append(h.median, median)
}

// Limits of the stop criteria: appendix B.3 of the tutorial and, where it
// leaves a choice, the defaults of pycma.
const (
	tolFun      = 1e-12
	tolX        = 1e-11 // of the first step size
	tolUpSigma  = 1e4   // growth of σ·max(d) over the first step size
	maxCond     = 1e14
	maxBlindGen = 5

	hopelessFactor = 1000
)

// stopped names the criterion that ends the run, or "".
func (r *run) stopped(floor []float64, bestLoss float64) string {
	s := &r.s
	n := s.n
	switch {
	case r.hist.blind >= maxBlindGen:
		return "no finite loss"
	case r.hist.blind > 0 || r.gen == 0:
		return ""
	}
	if !r.noisy() && r.hopeless(bestLoss) { // under noise the best loss was a lucky one
		return "hopeless"
	}
	if r.flat() {
		return "tolfun"
	}
	if r.small(floor) {
		return "tolx"
	}
	dMin, dMax := r.shape.axes()
	switch {
	case dMax*dMax > maxCond*dMin*dMin:
		return "conditioncov"
	case r.sigma*dMax > tolUpSigma*r.sigma0:
		return "tolupsigma"
	case !r.noisy() && float64(r.gen) > 100+150*float64((n+3)*(n+3))/math.Sqrt(float64(s.lambda)):
		return "maxiter"
	case !r.moves():
		return "noeffect"
	case r.rate == nil && r.stagnates(): // slow is what adapted rates are
		return "stagnation"
	}
	return ""
}

// flat: the losses of this generation and the best ones of the last
// 10 + 30n/λ generations span less than tolFun (TolFun, EqualFunValues).
func (r *run) flat() bool {
	s := &r.s
	window := 10 + int(math.Ceil(30*float64(s.n)/float64(s.lambda)))
	if len(r.hist.best) < window {
		return false
	}
	recent := r.hist.best[len(r.hist.best)-window:]
	lo, hi := slices.Min(recent), slices.Max(recent)
	if hi-lo > tolFun {
		return false
	}
	for _, k := range r.order {
		if l := r.loss[k]; !math.IsInf(l, 1) {
			lo, hi = math.Min(lo, l), math.Max(hi, l)
		}
	}
	return hi-lo <= tolFun
}

// hopeless: an earlier run found a loss that this one, as it converges, will
// not reach: the gap is more than hopelessFactor times what the best losses of
// the last window moved. Not in the literature's list; it only uses ratios of
// differences, so it does not depend on the scale of the loss, and it saves the
// evaluations that polish a poor local optimum to the last digit.
func (r *run) hopeless(bestLoss float64) bool {
	s := &r.s
	window := 10 + int(math.Ceil(30*float64(s.n)/float64(s.lambda)))
	if len(r.hist.best) < 2*window {
		return false
	}
	recent := r.hist.best[len(r.hist.best)-window:]
	lo, hi := slices.Min(recent), slices.Max(recent)
	return hi > lo && lo-bestLoss > hopelessFactor*(hi-lo) // a plateau is no convergence
}

// small: no coordinate moves by more than tolX of the first step (TolX). A
// coordinate with a floor always does.
func (r *run) small(floor []float64) bool {
	n := r.s.n
	limit := tolX * r.sigma0
	for i := range n {
		if floor != nil && floor[i] > 0 {
			return false
		}
		if r.sigma*math.Abs(r.pc[i]) > limit || r.sigma*math.Sqrt(r.shape.variance(i)) > limit {
			return false
		}
	}
	return true
}

// moves is false when a tenth of a standard deviation along the axis whose
// turn it is, or a fifth in one coordinate, no longer changes the mean
// (NoEffectAxis, NoEffectCoord).
func (r *run) moves() bool {
	n := r.s.n
	j := r.gen % n
	axis := false
	r.shape.axis(j, r.t)
	for i := range n {
		if r.m[i]+.1*r.sigma*r.t[i] != r.m[i] {
			axis = true
		}
		if r.m[i]+.2*r.sigma*math.Sqrt(r.shape.variance(i)) == r.m[i] {
			return false
		}
	}
	return axis
}

// stagnates: over the last fifth of the generations, and at least
// 120 + 30n/λ, neither the best nor the median loss got better.
func (r *run) stagnates() bool {
	if r.gen%32 != 0 {
		return false
	}
	s := &r.s
	N := float64(s.n)
	least := int(100 + 100*math.Pow(N, 1.5)/float64(s.lambda))
	l := max(r.gen/10, least/2)
	if r.gen <= least || len(r.hist.best) < 2*l {
		return false
	}
	return r.hist.tailMedian(r.hist.best, 0, l) >= r.hist.tailMedian(r.hist.best, l, l) &&
		r.hist.tailMedian(r.hist.median, 0, l) >= r.hist.tailMedian(r.hist.median, l, l)
}

// tailMedian is the median of the l values before the last skip ones.
func (h *history) tailMedian(v []float64, skip, l int) float64 {
	h.scratch = append(h.scratch[:0], v[len(v)-skip-l:len(v)-skip]...)
	slices.Sort(h.scratch)
	return h.scratch[l/2]
}
