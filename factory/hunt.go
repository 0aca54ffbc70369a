package factory

import (
	"fmt"
	"math"
	"sort"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

// The phases of a hunt, in order. A sample belongs to exactly one, so that
// what selects a point and what is published about it never mix.
const (
	phaseOpen   = "open"   // the baseline, for a scale
	phaseSearch = "search" // one sample a point, asked by the engines
	phaseRace   = "race"   // the best of them again, in common blocks
	phaseClaim  = "claim"  // the winner alone, next to the baseline: what is published
	phaseOver   = "over"
)

// How a noisy budget is spent. A point in the search gets one sample: what an
// engine learns from two points is more than what it learns from one point
// twice. Drift of the session moves a whole round and so hardly touches ranks;
// it does touch the published value, which is why the baseline is sampled now
// and then and beside the claim.
const (
	openSamples      = 4
	referenceEvery   = 32   // search samples between two looks at the baseline
	huntBatch        = 32   // points asked of an engine at once, at most
	raceShare        = .14  // of the budget
	raceShareTiny    = .10  // the same below tinyBudget: the race hurts what it takes from
	tinyBudget       = 500  //
	raceRungs        = 3    // halvings
	claimShare       = .10  // of the budget, at most; half of it for the baseline beside the winner
	claimShareTiny   = .06  // the same below tinyBudget
	claimErrorWanted = .006 // standard error of a claim, relative
	claimSamplesMin  = 5
	claimTries       = 3 // winners that may fail when measured again

	finalistsOnOtherData = 6 // of a deterministic context
)

// tried is a point with every sample of it.
type tried struct {
	point  benchmarks.Point
	digest artifacts.Digest
	origin string
	engine string
	order  int // of the first sample
	search []measurement
	race   []measurement
	claim  []measurement
	loss   float64 // after the last phase it was part of
}

// want is one sample that a hunt asks for.
type want struct {
	hunt      *hunt
	phase     string
	arm       *tried
	reference bool // the baseline as a reference, not as a point in question
	lane      *huntLane
	seed      uint64
}

// huntLane is one engine of a hunt.
type huntLane struct {
	name   string
	share  float64
	engine engine.Engine
	asked  int
	ended  bool
	told   []engine.Trial
}

// listener is an engine that learns from what others were told.
type listener interface{ Hear([]engine.Trial) }

// favourer is an engine with an opinion about the known points that is better
// than their losses.
type favourer interface {
	Favourites(n int) []benchmarks.Point
}

// hunt looks for the best point of one context with a budget of samples. It
// measures nothing itself: next says what to measure, take gets the answers in
// the same order, and everything it decides follows from those.
type hunt struct {
	scenario benchmarks.Scenario
	metrics  []benchmarks.Metric
	success  benchmarks.Metric
	noisy    bool
	budget   int
	root     seed.Root

	phase     string
	round     uint64
	spent     map[string]int // samples by phase, references not counted
	refs      int
	sinceRef  int
	baseline  *tried
	reference map[string][]measurement // by phase: samples of the baseline beside the phase
	scale     map[string]float64       // the baseline's values, from the opening
	lanes     []*huntLane
	known     map[artifacts.Digest]*tried
	arms      []*tried // in order of first sample
	hurry     bool
	raceLeft  int
	rung      int
	finalists []*tried
	winner    *tried
	dead      int // winners that failed
	best      float64
}

func newHunt(sc benchmarks.Scenario, d benchmarks.Description, budget int, root seed.Root, baseline benchmarks.Point) *hunt {
	h := &hunt{
		scenario: sc, budget: budget, root: root, phase: phaseOpen, spent: map[string]int{},
		reference: map[string][]measurement{}, known: map[artifacts.Digest]*tried{}, best: math.Inf(1),
	}
	h.metrics, h.noisy = needed(d, sc)
	h.success = successOf(h.metrics)
	h.baseline = &tried{point: baseline, digest: baseline.Digest(), origin: "baseline"}
	return h
}

// total is every sample asked so far.
func (h *hunt) total() int {
	n := h.refs
	for _, p := range []string{phaseOpen, phaseSearch, phaseRace, phaseClaim} {
		n += h.spent[p]
	}
	return n
}

// tail is what the search leaves for the race and the claim.
func (h *hunt) tail() int {
	if !h.noisy {
		return h.raceBudget() + 2
	}
	return h.raceBudget() + 2*h.claimMax()
}

func (h *hunt) raceBudget() int {
	if !h.noisy { // other data, once
		return min(finalistsOnOtherData+1, h.budget/10)
	}
	share := raceShare
	if h.budget < tinyBudget {
		share = raceShareTiny
	}
	return int(share * float64(h.budget))
}

// claimMax is the winner's samples; as many of the baseline stand beside them.
func (h *hunt) claimMax() int {
	share := claimShare
	if h.budget < tinyBudget {
		share = claimShareTiny
	}
	return max(1, min(claimSamplesMin, h.budget/8), int(share*float64(h.budget)/2))
}

// next returns the samples of the next round; none when the hunt is over.
func (h *hunt) next() ([]want, error) {
	h.round++
	switch h.phase {
	case phaseOpen:
		n := 1
		if h.noisy {
			n = max(1, min(openSamples, h.budget/20))
		}
		var out []want
		for range n {
			out = append(out, want{arm: h.baseline})
		}
		return h.sealed(out), nil
	case phaseSearch:
		out, err := h.searchRound()
		if err != nil || len(out) > 0 {
			return h.sealed(out), err
		}
		h.beginRace()
		return h.next()
	case phaseRace:
		if out := h.raceRound(); len(out) > 0 {
			return h.sealed(out), nil
		}
		h.phase = phaseClaim
		return h.next()
	case phaseClaim:
		return h.sealed(h.claimRound()), nil
	}
	return nil, nil
}

// sealed gives every sample its seed: all points of a round share it, so that
// what a program draws from its seed is common to what is compared; a point
// that comes again in the round gets another.
func (h *hunt) sealed(out []want) []want {
	times := map[*tried]uint64{}
	for i := range out {
		w := &out[i]
		w.hunt, w.phase = h, h.phase
		name := "factory/sample/" + h.scenario.Name
		if h.noisy {
			w.seed = seed.Derive(h.root, name, h.round, times[w.arm])
		} else {
			w.seed = seed.Derive(h.root, name+"/"+h.seedPhase())
		}
		times[w.arm]++
	}
	return out
}

// seedPhase: in a deterministic context the seed chooses the data, which must
// be the same for everything that is compared.
func (h *hunt) seedPhase() string {
	if h.phase == phaseOpen {
		return phaseSearch
	}
	return h.phase
}

// searchRound asks the lane that is furthest behind its share.
func (h *hunt) searchRound() ([]want, error) {
	for {
		left := h.budget - h.total() - h.tail()
		l := h.behind()
		if left <= 0 || h.hurry || l == nil {
			return nil, nil
		}
		if _, done := l.engine.Done(); done {
			l.ended = true
			continue
		}
		var out []want
		if h.noisy && h.sinceRef >= referenceEvery && left > 1 {
			out = append(out, want{arm: h.baseline, reference: true})
			left--
		}
		n := min(left, huntBatch)
		asked := l.engine.Ask(n)
		if len(asked) > n {
			return nil, fmt.Errorf("engine %s asked %d points instead of at most %d", l.name, len(asked), n)
		}
		if l.ended = len(asked) == 0; l.ended {
			continue
		}
		for _, p := range asked {
			a := h.arm(p, l.name)
			out = append(out, want{arm: a, lane: l})
			l.asked++
		}
		return out, nil
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
	var believed []*tried
	for _, l := range h.lanes {
		if f, ok := l.engine.(favourer); ok && len(believed) == 0 {
			for _, p := range f.Favourites(n) {
				if a := h.known[p.Digest()]; a != nil && !math.IsInf(a.loss, 1) {
					believed = append(believed, a)
				}
			}
		}
	}
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

func (h *hunt) behind() *huntLane {
	var out *huntLane
	for _, l := range h.lanes {
		if !l.ended && (out == nil || float64(l.asked)*out.share < float64(out.asked)*l.share) {
			out = l
		}
	}
	return out
}

func (h *hunt) arm(p engine.Proposal, engineName string) *tried {
	digest := p.Point.Digest()
	a := h.known[digest]
	if a == nil {
		a = &tried{point: p.Point, digest: digest, origin: p.Origin, engine: engineName, order: len(h.arms), loss: math.Inf(1)}
		h.known[digest] = a
		h.arms = append(h.arms, a)
	}
	return a
}

// take books the answer to a want.
func (h *hunt) take(w want, x measurement) {
	if w.reference {
		h.refs++
		h.sinceRef = 0
		h.reference[w.phase] = append(h.reference[w.phase], x)
		return
	}
	h.spent[w.phase]++
	switch w.phase {
	case phaseOpen:
		h.reference[w.phase] = append(h.reference[w.phase], x)
	case phaseSearch:
		h.sinceRef++
		w.arm.search = append(w.arm.search, x)
		w.arm.loss = h.lossOf(w.arm.search)
		one := h.lossOf([]measurement{x})
		h.best = math.Min(h.best, w.arm.loss)
		w.lane.told = append(w.lane.told, engine.Trial{Index: len(w.lane.told), Point: w.arm.point, Loss: one, Failed: x.Failed, Values: x.Values})
	case phaseRace:
		w.arm.race = append(w.arm.race, x)
	case phaseClaim:
		w.arm.claim = append(w.arm.claim, x)
	}
}

// close ends a round: what was measured is told, and the phase may change.
func (h *hunt) close() error {
	switch h.phase {
	case phaseOpen:
		base := h.joined(h.reference[phaseOpen], nil)
		if base.Failed != "" {
			return fmt.Errorf("the baseline fails in context %s: %s: %w", h.scenario.Name, base.Failed, ErrDomain)
		}
		h.scale = base.Values
		h.phase = phaseSearch
	case phaseSearch:
		for _, l := range h.lanes {
			if len(l.told) > 0 {
				for i := range l.told {
					l.told[i].Index = l.asked - len(l.told) + i
				}
				l.engine.Tell(l.told)
				for _, other := range h.lanes {
					if ear, ok := other.engine.(listener); ok && other != l {
						ear.Hear(l.told)
					}
				}
				l.told = nil
			}
		}
	case phaseRace:
		h.halve()
	case phaseClaim:
		x := h.joined(h.winner.claim, nil)
		if x.Failed == "" {
			h.phase = phaseOver
			return nil
		}
		if h.winner == h.baseline {
			return fmt.Errorf("the baseline fails in context %s: %s: %w", h.scenario.Name, x.Failed, ErrDomain)
		}
		h.nextWinner()
	}
	return nil
}

// joined is what several samples of a point say together: failed if most of
// them are, else the estimate of each metric and its change from scale.
func (h *hunt) joined(samples []measurement, scale map[string]float64) measurement {
	var good []measurement
	failed := "never measured"
	for _, x := range samples {
		if x.Failed == "" {
			good = append(good, x)
		} else {
			failed = x.Failed
		}
	}
	if 2*len(good) <= len(samples) {
		return measurement{Failed: failed}
	}
	out := measurement{Type: good[0].Type, Values: map[string]float64{}, Change: map[string]float64{}}
	for _, m := range h.metrics {
		v := estimateOf(valuesOf(good, m.Name)).value()
		out.Values[m.Name] = v
		if a, ok := scale[m.Name]; ok {
			out.Change[m.Name] = bounded(change(m, a, v))
		}
	}
	return out
}

func valuesOf(samples []measurement, metric string) []float64 {
	var out []float64
	for _, x := range samples {
		if x.Failed == "" {
			out = append(out, x.Values[metric])
		}
	}
	return out
}

func (h *hunt) lossOf(samples []measurement) float64 {
	return loss(h.metrics, h.joined(samples, h.scale))
}

// scaleIn is the baseline that a phase compares with: deterministic metrics
// are measured on other data in each phase, noisy ones have one scale.
func (h *hunt) scaleIn(phase string) map[string]float64 {
	if h.noisy || len(h.reference[phase]) == 0 {
		return h.scale
	}
	return h.joined(h.reference[phase], nil).Values
}

// beginRace picks the finalists.
func (h *hunt) beginRace() {
	h.phase = phaseRace
	h.raceLeft = h.raceBudget()
	if h.hurry {
		h.raceLeft = int(raceShare * float64(h.total()))
	}
	n := max(1, min(h.raceLeft/(2*raceRungs), 24))
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

// halve keeps the better half of the finalists, by their race samples alone.
func (h *hunt) halve() {
	for _, a := range h.finalists {
		a.loss = loss(h.metrics, h.joined(a.race, h.scaleIn(phaseRace)))
	}
	sort.SliceStable(h.finalists, func(i, j int) bool { return h.finalists[i].loss < h.finalists[j].loss })
	h.winner = h.finalists[0]
	h.finalists = h.finalists[:(len(h.finalists)+1)/2]
}

// claimRound measures the winner and the baseline in turns.
func (h *hunt) claimRound() []want {
	n := 1
	if h.noisy {
		n = h.claimSamples()
	}
	var out []want
	for i := range n {
		out = append(out, want{arm: h.winner})
		if h.winner != h.baseline {
			out = append(out, want{arm: h.baseline, reference: true})
			if i%2 == 1 {
				k := len(out)
				out[k-1], out[k-2] = out[k-2], out[k-1]
			}
		}
	}
	return out
}

// claimSamples is how many the wanted error needs, by the baseline's noise, as
// far as the budget goes.
func (h *hunt) claimSamples() int {
	var all []measurement
	for _, p := range []string{phaseOpen, phaseSearch} {
		all = append(all, h.reference[p]...)
	}
	e := estimateOf(valuesOf(all, h.success.Name))
	n := claimSamplesMin
	if e.log && e.n > 1 {
		n = max(n, int(math.Ceil(e.sigma*e.sigma/(claimErrorWanted*claimErrorWanted))))
	} else {
		n = h.claimMax()
	}
	left := h.budget - h.total()
	if h.winner == h.baseline {
		left *= 2
	}
	return max(1, min(n, left/2))
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
