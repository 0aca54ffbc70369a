package factory

import (
	"fmt"
	"math"

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
	openSamples    = 4
	referenceEvery = 24 // search samples between two looks at the baseline
	huntBatch      = 32 // points asked of an engine at once, at most
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
	engine engine.Engine
	asked  int
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
	turns     *bandit // over lanes
	known     map[artifacts.Digest]*tried
	arms      []*tried // in order of first sample
	hurry     bool
	ended     bool // the engines have nothing more to ask
	raceLeft  int
	rung      int
	finalists []*tried
	winner    *tried
	planned   claimPlan
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
	return h.raceBudget() + h.claimMax()
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
		for turn, l := range h.lanes {
			if len(l.told) > 0 {
				losses := make([]float64, len(l.told))
				for i := range l.told {
					l.told[i].Index = l.asked - len(l.told) + i
					losses[i] = l.told[i].Loss
				}
				l.engine.Tell(l.told)
				h.turns.told(turn, losses)
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
			if h.claimOver() {
				h.phase = phaseOver
			}
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
		values := valuesOf(good, m.Name)
		v, same := sameValue(values)
		if !same {
			v = estimateOf(values).value()
		}
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

// fidelity: the search is measured as the study says, the claim in full, and
// the race in between.
func (h *hunt) fidelity(search float64) float64 {
	switch h.phase {
	case phaseSearch:
		return search
	case phaseRace:
		return h.raceFidelity(search)
	}
	return 1
}

func (h *hunt) note() string {
	if math.IsInf(h.best, 1) {
		return "nothing measured yet"
	}
	if !feasible(h.best) {
		return "nothing inside the limits yet"
	}
	// The loss of a feasible point is w/(1+|w|); see loss.
	return fmt.Sprintf("lowest so far %s", describeChange(h.success, h.changeOf(h.best)))
}

func (h *hunt) changeOf(loss float64) float64 {
	w := loss / (1 - math.Abs(loss))
	if h.success.Direction == benchmarks.Higher {
		return -w
	}
	return w
}

// recommendation reads the claim off the winner's fresh samples.
func (h *hunt) recommendation() Recommendation {
	x := h.joined(h.winner.claim, h.scaleIn(phaseClaim))
	claim, base := h.claimed()
	if x.Failed == "" {
		x.Values[h.success.Name] = claim.value()
	}
	out := Recommendation{
		Context: h.scenario.Name, Point: h.winner.point.Canonical(), Metric: h.success.Name, Unit: h.success.Unit,
		Claimed: claim.value(), Interval: claim.interval(), Values: x.Values, Baseline: base.value(),
		Feasible: x.Failed == "" && brokenBy(h.metrics, x) == "", Engine: h.winner.engine, Origin: h.winner.origin,
		Noise: h.noiseFloor(), Evaluations: h.total(), Points: len(h.arms),
		Spent: map[string]int{"search": h.spent[phaseSearch], "race": h.spent[phaseRace], "claim": h.spent[phaseClaim], "baseline": h.spent[phaseOpen] + h.refs},
	}
	return out
}
