package factory

import (
	"math"
)

// How a claim is planned. A published value has two errors: the noise of the
// winner's own samples, and what the session has drifted since it began, which
// the baseline beside the winner can show. Samples of the baseline are worth
// their cost only where noise is small against the drift, so both numbers
// follow from the noise that was seen.
const (
	claimShare       = .10 // of the budget, at most
	claimSamplesMin  = 8
	claimErrorWanted = .004 // standard error of a claim, relative: more samples would buy nothing that anyone sees
	claimLook        = 3    // samples of the winner before the rest: does it still work?
	claimTries       = 3    // winners that may fail when measured again

	// driftUsual is the standard deviation of a session's drift, relative, that
	// is assumed before anything was seen: that of an undisturbed machine over
	// an hour. Now and then a machine is disturbed; then its drift may be
	// anything up to a few times driftUpset.
	driftUsual  = .015
	driftUpset  = .1
	upsetsUsual = .02 // share of sessions
	// noiseUsual stands for the noise where too few samples say anything.
	noiseUsual = .05
)

// claimMax is the samples that the search leaves for the claim.
func (h *hunt) claimMax() int {
	return max(2, min(claimSamplesMin, h.budget/4), int(float64(claimShare*float64(h.budget))))
}

// claimPlan is how a claim spends its samples, and what error it then has.
type claimPlan struct {
	winner, baseline int
	se               float64 // relative
}

// planClaim finds the split of at most total samples with the least error, and
// the least total that reaches claimErrorWanted. sigma is the noise of one
// sample of the winner, baseSigma that of the baseline, of which the session
// has given n samples.
func planClaim(total int, sigma, baseSigma float64, n int) claimPlan {
	split := func(total int) claimPlan {
		best := claimPlan{total, 0, math.Hypot(sigma/math.Sqrt(float64(total)), driftUsual)}
		for m := spikesNeedAtAll; 2*m <= total; m++ { // fewer could be one disturbance
			v := float64(sigma*sigma)/float64(total-m) + drifted(driftUsual*driftUsual, comparing(baseSigma, m, n))
			if se := math.Sqrt(v); se < best.se {
				best = claimPlan{total - m, m, se}
			}
		}
		return best
	}
	best := split(max(1, total))
	if best.se > claimErrorWanted {
		return best
	}
	low, high := min(total, claimSamplesMin), total // the error falls with the total
	for low < high {
		if mid := (low + high) / 2; split(mid).se > claimErrorWanted {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return split(low)
}

// comparing is the variance of the difference of two means of the baseline, of
// m and of n samples; without one of them there is nothing to compare.
func comparing(sigma float64, m, n int) float64 {
	if m == 0 || n == 0 {
		return math.Inf(1)
	}
	return float64(sigma*sigma) * (1/float64(m) + 1/float64(n))
}

// drift is what is believed of a drift that was seen as moved, with variance
// s2: the mean and the variance of a normal mean whose own variance is either
// the usual or an upset machine's, each with the weight that what was seen gives
// it. A variance fitted to what was seen instead believes any loud comparison:
// it made the error of a claim larger than no correction at all.
func drift(moved, s2 float64) (mean, variance float64) {
	if math.IsInf(s2, 1) {
		return 0, driftUsual * driftUsual
	}
	weights, means, second := 0., 0., 0.
	for _, k := range []struct{ share, tau float64 }{{1 - upsetsUsual, driftUsual}, {upsetsUsual, driftUpset}} {
		tau2 := float64(k.tau * k.tau)
		total := tau2 + s2
		w := k.share / math.Sqrt(total) * math.Exp(-float64(moved*moved)/(2*total))
		m := moved * (tau2 / total)
		weights, means = weights+w, means+float64(w*m)
		second += float64(w * (float64(m*m) + drifted(tau2, s2)))
	}
	if weights == 0 { // further than any drift: as seen
		return moved, s2
	}
	mean = means / weights
	return mean, math.Max(0, second/weights-float64(mean*mean))
}

// drifted is what stays unknown of a drift of variance tau2 when it was seen
// with variance s2 (the posterior of a normal mean).
func drifted(tau2, s2 float64) float64 {
	if math.IsInf(s2, 1) || tau2+s2 == 0 {
		return tau2
	}
	return float64(tau2*s2) / (tau2 + s2)
}

// claimRound measures the winner, with the baseline spread between its samples:
// first a look at whether it still works, then the rest.
func (h *hunt) claimRound() []want {
	winner, baseline := 1, 1
	if h.noisy {
		plan := h.planned
		if len(h.winner.claim) == 0 {
			sigma, baseSigma, n := h.claimNoise()
			rough := 1 + 1/math.Sqrt(float64(max(n, 1)))             // few samples may show too little noise, which would end the claim early
			most := min(h.budget-h.total(), h.claimMax()+h.raceLeft) // less than the budget where the engines ended before it
			plan = planClaim(max(1, most), rough*sigma, rough*baseSigma, n)
			h.planned = plan
			plan.winner, plan.baseline = min(plan.winner, claimLook), 0
		} else {
			plan.winner -= len(h.winner.claim)
		}
		winner, baseline = plan.winner, plan.baseline
	}
	if h.winner == h.baseline {
		winner, baseline = winner+baseline, 0
	}
	var out []want
	for i, beside := 0, 0; i < winner; i++ {
		out = append(out, want{arm: h.winner})
		for ; beside*winner < baseline*(i+1); beside++ {
			out = append(out, want{arm: h.baseline, reference: true})
		}
	}
	return out
}

// claimOver reports whether the winner has all the samples of its plan.
func (h *hunt) claimOver() bool {
	return !h.noisy || len(h.winner.claim) >= h.planned.winner || h.total() >= h.budget
}

// claimNoise is the noise of one sample of the winner, from its race, that of
// the baseline, and how many samples the session has of that.
func (h *hunt) claimNoise() (sigma, baseSigma float64, n int) {
	base := estimateOf(valuesOf(h.session(), h.success.Name))
	baseSigma = noiseUsual
	if base.log && base.n >= spikesNeedAtAll {
		baseSigma = base.sigma
	}
	sigma = baseSigma
	if own := estimateOf(valuesOf(h.winner.race, h.success.Name)); own.log && own.n >= spikesNeedAtAll {
		sigma = own.sigma
	}
	if !base.log {
		n = 0 // drift is taken out of logarithms only
	} else {
		n = base.n
	}
	return sigma, baseSigma, n
}

// session is every sample of the baseline before the claim.
func (h *hunt) session() []measurement {
	return append(append([]measurement(nil), h.reference[phaseOpen]...), h.reference[phaseSearch]...)
}

// claimed is the winner's value from its fresh samples alone, moved by what the
// baseline shows beside them against the session, as far as that can be told
// from noise.
func (h *hunt) claimed() (claim, base estimate) {
	claim = estimateOf(valuesOf(h.winner.claim, h.success.Name))
	base = estimateOf(valuesOf(h.session(), h.success.Name))
	if !h.noisy { // one value, to its last digit
		return exactly(valuesOf(h.winner.claim, h.success.Name), claim), exactly(valuesOf(h.session(), h.success.Name), base)
	}
	if !claim.log || !base.log {
		return claim, base
	}
	moved, s2 := 0., math.Inf(1)
	beside := estimateOf(valuesOf(h.reference[phaseClaim], h.success.Name))
	if beside.log && len(h.reference[phaseClaim]) >= spikesNeedAtAll && h.winner != h.baseline {
		moved = base.center - beside.center
		s2 = comparing(math.Max(base.sigma, beside.sigma), beside.n, base.n)
	}
	if claim.n == 1 {
		claim.se = noiseUsual
	}
	moved, left := drift(moved, s2)
	claim.center += moved
	claim.se = math.Hypot(claim.se, math.Sqrt(left))
	return claim, base
}

func exactly(values []float64, e estimate) estimate {
	if v, same := sameValue(values); same {
		return estimate{n: e.n, center: v}
	}
	return e
}

// nextWinner replaces a winner that fails when it is measured again.
func (h *hunt) nextWinner() {
	h.winner.loss = math.Inf(1)
	h.dead++
	next := h.baseline
	if h.dead < claimTries {
		for _, a := range h.arms {
			if a.loss < 0 && (next == h.baseline || a.loss < next.loss) {
				next = a
			}
		}
	}
	h.winner = next
}
