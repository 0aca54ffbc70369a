package cma

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/factory/engine"
)

// uncertainty evaluates a part of each generation twice. Where noise makes
// these change places among the others, every point of the next generation is
// evaluated more often, and when that has reached its limit, the step grows, so
// that the signal does: UH-CMA-ES, N. Hansen, A. S. P. Niederberger,
// L. Guzzella, P. Koumoutsakos, "A Method for Handling Uncertainty in
// Evolutionary Optimization With an Application to Feedback Control of
// Combustion", IEEE Transactions on Evolutionary Computation 13(1), 2009,
// section III. Names are the paper's.
//
// Two things differ. The same vector is evaluated again, not one moved by ε:
// callers answer equal points with new samples. And t_eval falls by
// αt^(−1/4), as in pycma, because one quiet generation says little.
//
// Points are evaluated one after the other: the first teval times, then the
// second, to the last, then the first λreev points teval times again.
type uncertainty struct {
	most  int // evaluations of one point, at most
	teval float64
	sBar  float64   // above 0: noise changes ranks by too much
	again []float64 // second losses of the first λreev points
}

const (
	// θ: noise is accepted up to this share of the median rank change of pure
	// noise. The paper has .2, for the fewest evaluations on a combustor; here
	// that repeats points tenfold where the plain search needs no help.
	thetaUH = 1
	cS      = .3  // the paper's 1 with many points; ours re-evaluates two or three
	alphaT  = 1.5 // growth of t_eval
)

// maxRepeats bounds Config.Reevaluate.
const maxRepeats = 1 << 12

// reevaluated is λreev: a tenth of the generation and never below 2.
func reevaluated(lambda int) int { return max(2, int(math.Ceil(.1*float64(lambda)))) }

func (a *uncertainty) reset(lambda int) {
	a.teval, a.sBar = 1, 0
	a.again = resized(a.again, reevaluated(lambda))
}

// repeats is teval as a number of evaluations.
func (a *uncertainty) repeats() int { return int(a.teval) }

// measure compares the two losses of the points that have two, and makes their
// mean the one that counts.
func (a *uncertainty) measure(loss []float64) {
	var s float64
	for i, second := range a.again {
		first := loss[i]
		before, after := a.rank(first, loss), a.rank(second, loss)
		change := math.Abs(float64(after - before))
		if change > 0 {
			change-- // its own other place
		}
		s += 2*change - a.limit(after-one(second > first), len(loss)) - a.limit(before-one(first > second), len(loss))
	}
	a.sBar += cS * (s/float64(len(a.again)) - a.sBar)
	for i, second := range a.again {
		loss[i] = loss[i]/2 + second/2
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rank is the place of v among the 2λ first and second losses, from 1; a point
// that was not evaluated again counts twice.
func (a *uncertainty) rank(v float64, loss []float64) int {
	place := 1
	for i, l := range loss {
		place += one(l < v)
		if i < len(a.again) {
			l = a.again[i]
		}
		place += one(l < v)
	}
	return place
}

// limit is Δθlim(R): the θ·50 percentile of |1−R|, |2−R| … |2λ−1−R|. In order
// these are 0, 1, 1, 2, 2 … until one side ends.
func (a *uncertainty) limit(rank, lambda int) float64 {
	last := 2*lambda - 1
	k := int(thetaUH * .5 * float64(last-1))
	side := min(rank-1, last-rank)
	if k <= 2*side {
		return float64((k + 1) / 2)
	}
	return float64(k - side)
}

// treat is algorithm 3 of the paper: it returns the factor of σ.
func (a *uncertainty) treat(n int) float64 {
	most := float64(a.most)
	switch {
	case a.sBar <= 0:
		a.teval = math.Max(1, a.teval*math.Pow(alphaT, -.25))
	case a.teval < most:
		a.teval = math.Min(most, alphaT*a.teval)
	default:
		return 1 + 2/(float64(n)+10)
	}
	return 1
}

// spot is what the asked or told evaluation number k of a generation is of: the
// point, whether it is its second turn, and how often it came before in this
// one.
func (o *Optimizer) spot(k int) (point int, second bool, before int) {
	a := o.run.again
	if a == nil {
		return k, false, 0
	}
	t := a.repeats()
	point, before = k/t, k%t
	if point >= o.run.s.lambda {
		return point - o.run.s.lambda, true, before
	}
	return point, false, before
}

// Again reports whether the last point asked was asked before in this
// generation, and is to be measured once more.
func (o *Optimizer) Again() bool {
	if o.asked == 0 || o.scouts.on {
		return false
	}
	_, second, before := o.spot(o.asked - 1)
	return second || before > 0
}

// add takes one loss of a point: losses of one turn are averaged.
func (o *Optimizer) add(k int, loss float64) (point int) {
	point, second, before := o.spot(k)
	to := &o.run.loss[point]
	if second {
		to = &o.run.again.again[point]
	}
	if before == 0 {
		*to = 0
	}
	if o.run.again != nil {
		loss /= float64(o.run.again.repeats())
	}
	*to += loss
	return point
}

// begun is how many points of the generation k evaluations have begun, and how
// many second turns.
func (o *Optimizer) begun(k int) (points, second int) {
	if k == 0 {
		return 0, 0
	}
	point, again, _ := o.spot(k - 1)
	if again {
		return o.run.s.lambda, point + 1
	}
	return point + 1, 0
}

// againState is the wire form of uncertainty.
type againState struct {
	TEval float64       `json:"t_eval"`
	S     float64       `json:"s"`
	Asked int           `json:"asked"`
	Told  int           `json:"told"`
	Again []engine.Loss `json:"again"` // begun ones only
}

func (o *Optimizer) againState() *againState {
	a := o.run.again
	if a == nil {
		return nil
	}
	s := &againState{TEval: a.teval, S: a.sBar}
	if !o.scouts.on {
		s.Asked, s.Told = o.asked, o.told
	}
	_, second := o.begun(s.Told)
	s.Again = losses(a.again[:second])
	return s
}

// check refuses what does not belong to the generation of the whole state.
func (s *againState) check(whole *state, most int) error {
	lambda := whole.Lambda
	refuse := func(field string, got any) error {
		return fmt.Errorf("%w: reevaluate.%s: %v", engine.ErrSnapshot, field, got)
	}
	switch {
	case !(s.TEval >= 1 && s.TEval <= float64(most)):
		return refuse("t_eval", s.TEval)
	case math.IsNaN(s.S) || math.IsInf(s.S, 0):
		return refuse("s", s.S)
	}
	t := int(s.TEval)
	wanted := t * (lambda + reevaluated(lambda))
	switch {
	case s.Asked < 0 || s.Asked > wanted:
		return refuse("asked", fmt.Sprintf("%d of %d", s.Asked, wanted))
	case s.Told < 0 || s.Told > s.Asked || s.Told == wanted:
		return refuse("told", fmt.Sprintf("%d of %d", s.Told, s.Asked))
	case len(s.Again) != max(0, (s.Told+t-1)/t-lambda):
		return refuse("again", fmt.Sprintf("%d values after %d losses", len(s.Again), s.Told))
	case len(whole.Norm2) != min(lambda, (s.Asked+t-1)/t):
		return refuse("asked", fmt.Sprintf("%d evaluations of %d points", s.Asked, len(whole.Norm2)))
	case len(whole.Loss) != min(lambda, (s.Told+t-1)/t):
		return refuse("told", fmt.Sprintf("%d evaluations of %d points", s.Told, len(whole.Loss)))
	}
	return nil
}

// setAgain takes a checked state.
func (o *Optimizer) setAgain(s *againState) {
	a := o.run.again
	if a == nil {
		return
	}
	a.teval, a.sBar = s.TEval, s.S
	for i, l := range s.Again {
		a.again[i] = float64(l)
	}
	if !o.scouts.on {
		o.asked, o.told = s.Asked, s.Told
	}
}
