package factory

import (
	"math"
	"sort"
)

// How the race is run: successive halving where the resource is replicates ×
// fidelity. Every rung measures all finalists that are left in common blocks,
// and at its end, a barrier that completion order cannot move, the worse half
// leaves, and so does whoever is beaten for certain before that.
const (
	raceShare     = .14  // of a budget of raceBudgetFull under raceNoise; √ of the noise, and less of a small budget
	raceShareMin  = .04  // where there is no noise the ranking of the search stands
	raceShareMax  = .18  //
	raceNoise     = .06  // noise of one sample, relative
	raceBudgetAll = 1000 // budgets below it pay less: the race hurts what it takes from
	raceScarce    = .28  // the power of the budget by which they do
	raceRungs     = 3    // halvings
	finalistsMax  = 24
	raceCertain   = 2.8  // standard errors of a paired difference at which an arm leaves early
	raceEqual     = .002 // all arms left are this close to the leader for certain: more blocks decide nothing

	finalistsOnOtherData = 6 // of a deterministic context
)

// raceBudget is the samples that the search leaves for the race. It follows the
// noise that the baseline has shown so far.
func (h *hunt) raceBudget() int {
	if !h.noisy { // other data, once
		return min(finalistsOnOtherData+1, h.budget/10)
	}
	share := raceShare * math.Sqrt(h.noiseSeen()/raceNoise) * math.Pow(math.Min(1, float64(h.budget)/raceBudgetAll), raceScarce)
	return int(math.Min(raceShareMax, math.Max(raceShareMin, share)) * float64(h.budget))
}

// noiseSeen is the noise of one sample of the baseline, relative.
func (h *hunt) noiseSeen() float64 {
	if e := estimateOf(valuesOf(h.session(), h.success.Name)); e.log && e.n >= spikesNeedAtAll {
		return e.sigma
	}
	return noiseUsual
}

// NoiseFloor is what the baseline shows against itself (A/A) over a search: a
// difference between two points below it says nothing.
type NoiseFloor struct {
	Samples int     `json:"samples"` // of the baseline, the claim's included
	Sigma   float64 `json:"sigma"`   // standard deviation of one sample, relative, disturbances left out
	Odd     float64 `json:"odd"`     // share of samples that were disturbances
	// Pair is the half-width of the range that holds 95 % of B/A−1 where A and B
	// are one sample of the same point each.
	Pair float64 `json:"pair"`
}

// noiseFloor is nil where nothing is measured with noise, or too rarely to say.
func (h *hunt) noiseFloor() *NoiseFloor {
	values := valuesOf(append(h.session(), h.reference[phaseClaim]...), h.success.Name)
	e := estimateOf(values)
	if !h.noisy || !e.log || len(values) < spikesNeedAtAll {
		return nil
	}
	const quantile = 1.959964 // of the normal distribution, two-sided 95 %
	return &NoiseFloor{
		Samples: len(values), Sigma: e.sigma, Odd: 1 - float64(e.n)/float64(len(values)),
		Pair: math.Expm1(quantile * math.Sqrt2 * e.sigma),
	}
}

// favourites are the n most promising points: those of an engine with an
// opinion first, in turns with those of the lowest losses.
func (h *hunt) favourites(n int) []*tried {
	ranked := append([]*tried(nil), h.arms...)
	sort.SliceStable(ranked, func(i, j int) bool { return ranked[i].loss < ranked[j].loss })
	for len(ranked) > 0 && math.IsInf(ranked[len(ranked)-1].loss, 1) {
		ranked = ranked[:len(ranked)-1]
	}
	believed := h.believed(n)
	var out []*tried
	taken := map[*tried]bool{}
	add := func(from []*tried, at int) {
		if at < len(from) && len(out) < n && !taken[from[at]] {
			taken[from[at]] = true
			out = append(out, from[at])
		}
	}
	for i := 0; i < len(ranked) && len(out) < n; i++ {
		add(believed, 2*i)
		add(believed, 2*i+1)
		add(ranked, i)
	}
	return out
}

// believed are the points that the first engine with an opinion likes best.
func (h *hunt) believed(n int) []*tried {
	var out []*tried
	for _, l := range h.lanes {
		f, ok := l.engine.(favourer)
		if !ok {
			continue
		}
		for _, p := range f.Favourites(n) {
			if a := h.known[p.Digest()]; a != nil && !math.IsInf(a.loss, 1) {
				out = append(out, a)
			}
		}
		return out
	}
	return nil
}

// beginRace picks the finalists.
func (h *hunt) beginRace() {
	h.phase = phaseRace
	h.raceLeft = h.raceBudget()
	if h.hurry {
		h.raceLeft = int(raceShare * float64(h.total()))
	}
	n := max(1, min(3, h.raceLeft/2), min(h.raceLeft/(2*raceRungs), finalistsMax))
	if !h.noisy {
		n = max(1, h.raceLeft-1)
	}
	ranked := h.favourites(n)
	if len(ranked) == 0 || h.best >= 0 && !h.hasFinalist(ranked, h.baseline) {
		ranked = append([]*tried{h.baseline}, ranked...) // what runs today is not beaten yet
	}
	h.finalists = ranked[:min(n, len(ranked))]
	h.winner = h.finalists[0]
}

func (h *hunt) hasFinalist(list []*tried, a *tried) bool {
	for _, b := range list {
		if b.digest == a.digest {
			return true
		}
	}
	return false
}

// raceRound measures every finalist left in blocks: the k-th samples of all of
// them stand next to each other, so that they share whatever the machine was
// doing.
func (h *hunt) raceRound() []want {
	if len(h.finalists) < 2 || h.raceLeft < len(h.finalists) || h.rung >= raceRungs {
		return nil
	}
	if !h.noisy {
		h.rung = raceRungs
		out := []want{{arm: h.baseline, reference: true}}
		for _, a := range h.finalists {
			out = append(out, want{arm: a})
		}
		return out
	}
	share := h.raceLeft / (raceRungs - h.rung)
	blocks := max(1, share/len(h.finalists))
	var out []want
	for range blocks {
		for _, a := range h.finalists {
			out = append(out, want{arm: a})
		}
	}
	h.raceLeft -= len(out)
	h.rung++
	return out
}

// raceFidelity rises from rung to rung, from above the search's to 1.
func (h *hunt) raceFidelity(search float64) float64 {
	return math.Pow(search, 1-float64(h.rung)/raceRungs)
}

// halve ends a rung: by their race samples alone the worse half of the
// finalists leaves, and whoever else the leader beats for certain.
func (h *hunt) halve() {
	for _, a := range h.finalists {
		a.loss = loss(h.metrics, h.joined(a.race, h.scaleIn(phaseRace)))
	}
	sort.SliceStable(h.finalists, func(i, j int) bool { return h.finalists[i].loss < h.finalists[j].loss })
	h.winner = h.finalists[0]
	h.finalists = h.finalists[:(len(h.finalists)+1)/2]
	if !h.noisy {
		return
	}
	kept, equal := h.finalists[:1], true
	for _, a := range h.finalists[1:] {
		e := h.behindLeader(a)
		if e.n >= spikesNeedAtAll && e.center > raceCertain*e.se {
			continue
		}
		kept = append(kept, a)
		equal = equal && e.n >= spikesNeedAtAll && math.Abs(e.center)+float64(raceCertain*e.se) < raceEqual
	}
	if h.finalists = kept; equal {
		h.finalists = kept[:1]
	}
}

// behindLeader is how much worse than the leader an arm is in the blocks that
// both have, as a difference of logarithms where there are any.
func (h *hunt) behindLeader(a *tried) estimate {
	var logs, plain []float64
	for k := range min(len(a.race), len(h.winner.race)) {
		x, y := h.winner.race[k], a.race[k]
		if x.Failed != "" || y.Failed != "" {
			continue
		}
		v, w := x.Values[h.success.Name], y.Values[h.success.Name]
		d := w - v
		if v > 0 && w > 0 {
			logs = append(logs, oriented(h.success, math.Log(w/v)))
		}
		plain = append(plain, oriented(h.success, d))
	}
	if len(logs) == len(plain) {
		return meanOf(logs)
	}
	e := meanOf(plain)
	if scale := math.Abs(h.scale[h.success.Name]); scale > 0 { // relative, as raceEqual is
		e.center, e.se = e.center/scale, e.se/scale
	}
	return e
}
