package factory

import (
	"math"
	"slices"
)

// How the outer bandit splits a context's evaluations over engines. It is a
// rule for who asks next, a function of what was told so far, so a replay of
// the journal splits them the same way.
const (
	banditFloor  = .5  // of its planned share an engine keeps, however little it finds
	banditLimit  = 2   // times its planned share is the most that an engine gets
	banditGood   = .1  // a loss among this share of the latest ones is a find
	banditLatest = 512 // losses that finds are held against
	banditMemory = .8  // of the finds and evaluations so far, from batch to batch of an engine
	banditPrior  = 24  // evaluations at the average rate that every engine begins with
)

// bandit gives each batch to the engine that is furthest behind its weight
// (start-time fair queueing). An engine's weight is its planned share times its
// finds an evaluation, relative to those of all, between the floor and the
// limit. Finds are ranks, so neither the scale of a metric nor a single lucky
// sample of a noisy one moves much.
type bandit struct {
	fixed  bool // planned shares are kept: somebody has chosen them
	stakes []stake
	latest []float64 // the latest finite losses, oldest first
}

type stake struct {
	planned    float64 // share, > 0
	virtual    float64 // evaluations so far, each divided by the weight it was given at
	ended      bool
	finds      float64 // discounted
	evaluation float64 // evaluations, discounted
}

// newBandit makes a bandit; planned shares need not add up to 1.
func newBandit(mix []EngineShare, fixed bool) *bandit {
	b := &bandit{fixed: fixed}
	sum := 0.
	for _, e := range mix {
		sum += e.Share
	}
	for _, e := range mix {
		b.stakes = append(b.stakes, stake{planned: e.Share / sum})
	}
	return b
}

// next is the index of the engine whose turn it is; −1 when all have ended.
func (b *bandit) next() int {
	out := -1
	for i, s := range b.stakes {
		if !s.ended && (out < 0 || s.virtual < b.stakes[out].virtual) {
			out = i
		}
	}
	return out
}

// end says that an engine has nothing more to ask.
func (b *bandit) end(i int) { b.stakes[i].ended = true }

// asked charges an engine for n evaluations.
func (b *bandit) asked(i, n int) { b.stakes[i].virtual += float64(n) / b.weight(i) }

// rate is finds an evaluation, pulled to the average of all by the prior.
func (s stake) rate() float64 {
	return (s.finds + float64(banditPrior*banditGood)) / (s.evaluation + banditPrior)
}

// weight is the share that an engine deserves now.
func (b *bandit) weight(i int) float64 {
	s := b.stakes[i]
	if b.fixed {
		return s.planned
	}
	average := 0.
	for _, other := range b.stakes {
		average += float64(other.planned * other.rate())
	}
	return s.planned * math.Min(banditLimit, math.Max(banditFloor, s.rate()/average))
}

// told books a batch of an engine's losses; failures are infinite.
func (b *bandit) told(i int, losses []float64) {
	for _, l := range losses {
		if !math.IsInf(l, 0) && !math.IsNaN(l) {
			b.latest = append(b.latest, l)
		}
	}
	b.latest = b.latest[max(0, len(b.latest)-banditLatest):]
	s := &b.stakes[i]
	s.finds, s.evaluation = banditMemory*s.finds, banditMemory*s.evaluation+float64(len(losses))
	if len(b.latest) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(b.latest))
	good := sorted[int(banditGood*float64(len(sorted)-1))]
	for _, l := range losses {
		if l <= good {
			s.finds++
		}
	}
}
