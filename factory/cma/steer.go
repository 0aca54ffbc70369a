package cma

import (
	"math"

	"github.com/arqon/arqon/factory/engine"
)

// Recentre puts the mean of the present run at x, in the caller's units, where
// a coordinate outside the region is reflected into it.
func (o *Optimizer) Recentre(x []float64) {
	for i := range o.run.m {
		o.run.m[i] = engine.Fold((x[i] - o.lower[i]) / o.width[i])
	}
}

// Mean writes the mean of the present run into x, in the caller's units.
func (o *Optimizer) Mean(x []float64) {
	for i, m := range o.run.m {
		if !o.cfg.Unbounded {
			m = engine.Fold(m)
		}
		x[i] = o.lower[i] + float64(o.width[i]*m)
	}
}

// SetStdFloor changes the least standard deviation of coordinate i, a share of
// the region's width; it has effect from the end of the generation. The
// optimizer must have been made with a StdFloor. A snapshot does not hold the
// change: set it again before the generation ends.
func (o *Optimizer) SetStdFloor(i int, share float64) {
	if i < len(o.floor) {
		o.floor[i] = math.Min(1, math.Max(0, share))
	}
}

// Restart ends the present run and begins the next one of the plan, whatever
// is still to be told.
func (o *Optimizer) Restart() { o.restart() }
