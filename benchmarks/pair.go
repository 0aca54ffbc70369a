package benchmarks

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/arqon/arqon/internal/seed"
)

// Pair is a baseline sample A and a candidate sample B measured next to each
// other, in an order that a recorded coin chose before anything was measured.
type Pair struct {
	Index    int      `json:"index"`
	BFirst   bool     `json:"b_first"`             // the coin
	A        Sample   `json:"a"`                   // baseline
	B        Sample   `json:"b"`                   // candidate
	CanaryNS [3]int64 `json:"canary_ns,omitempty"` // a fixed spin before, between and after
	Marked   bool     `json:"marked,omitempty"`    // a canary over 1.25× the run's minimum: the machine was disturbed
}

// markedOver is how much slower than its minimum a spin may be.
const markedOver = 1.25

// warmMax bounds what a Pairer remembers; forgetting costs a burn-in pair.
const warmMax = 4096

// Pairer measures pairs of one run. It remembers the fastest spin that it has
// seen and which comparisons are warm. Use it from one goroutine; spins of two
// Pairers on one machine disturb each other, which is what marks are for.
type Pairer struct {
	// Metrics must all be in every sample, finite and in their Range.
	Metrics []Metric
	// Spin does a fixed amount of work and returns the nanoseconds it took;
	// nil is a dependent chain of integer operations on the wall clock.
	Spin func() int64

	minimumNS int64
	warm      map[string]bool
}

// NewPairer returns a Pairer for the metrics of d.
func NewPairer(d Description) *Pairer { return &Pairer{Metrics: d.Metrics} }

// MinimumNS is the fastest spin so far; 0 before the first one.
func (p *Pairer) MinimumNS() int64 { return p.minimumNS }

// MeasurePair measures the baseline a and the candidate b next to each other.
//
// The order is seed.Coin(root, "pair/order/"+candidate, index); both arms get
// the same seed, derived from root, candidate, r.Seed and index. The first
// pair of a (candidate, scenario) is preceded by a burn-in pair that nobody
// sees. r.Repeats must be 0 or 1: a pair is one sample an arm. A metric that
// is missing or not finite is an error naming it.
func (p *Pairer) MeasurePair(ctx context.Context, root seed.Root, candidate string, index int, a, b Instance, r Request) (Pair, error) {
	if r.Repeats > 1 {
		return Pair{}, fmt.Errorf("pair %d: %d repeats, a pair is one sample an arm", index, r.Repeats)
	}
	r.Repeats = 1
	base := r.Seed
	name := candidate + "\x00" + r.Scenario
	if !p.warm[name] {
		r.Seed = seed.Derive(root, "pair/warm/"+candidate, base)
		if _, err := p.measure(ctx, a, b, r, false); err != nil {
			return Pair{}, fmt.Errorf("burn-in: %w", err)
		}
		p.calibrate()
		if p.warm == nil || len(p.warm) >= warmMax {
			p.warm = map[string]bool{}
		}
		p.warm[name] = true
	}
	r.Seed = seed.Derive(root, "pair/request/"+candidate, base, uint64(index))
	out, err := p.measure(ctx, a, b, r, seed.Coin(root, "pair/order/"+candidate, uint64(index)))
	if err != nil {
		return Pair{}, fmt.Errorf("pair %d: %w", index, err)
	}
	out.Index = index
	return out, nil
}

func (p *Pairer) measure(ctx context.Context, a, b Instance, r Request, bFirst bool) (Pair, error) {
	out := Pair{BFirst: bFirst}
	arms := [2]struct {
		name string
		of   Instance
		to   *Sample
	}{{"baseline", a, &out.A}, {"candidate", b, &out.B}}
	if bFirst {
		arms[0], arms[1] = arms[1], arms[0]
	}
	out.CanaryNS[0] = p.spin()
	for i, arm := range arms {
		if err := ctx.Err(); err != nil {
			return Pair{}, err
		}
		s, err := arm.of.Measure(ctx, r)
		if err != nil {
			return Pair{}, fmt.Errorf("%s: %w", arm.name, err)
		}
		if len(s) != 1 {
			return Pair{}, fmt.Errorf("%s: %d samples instead of 1", arm.name, len(s))
		}
		if err := CheckSample(p.Metrics, r, s[0]); err != nil {
			return Pair{}, fmt.Errorf("%s: %w", arm.name, err)
		}
		*arm.to = s[0]
		out.CanaryNS[i+1] = p.spin()
	}
	for _, ns := range out.CanaryNS {
		if float64(ns) > markedOver*float64(p.minimumNS) {
			out.Marked = true
		}
	}
	return out, nil
}

// calibrate gives the minimum a fair chance before the first pair is judged.
func (p *Pairer) calibrate() {
	for range 8 {
		p.spin()
	}
}

func (p *Pairer) spin() int64 {
	f := p.Spin
	if f == nil {
		f = SpinNS
	}
	ns := max(f(), 1)
	if p.minimumNS == 0 || ns < p.minimumNS {
		p.minimumNS = ns
	}
	return ns
}

// SpinNS is the canary: a fixed chain of dependent multiplications (about a
// third of a millisecond on a 3 GHz core), timed on the wall clock so that
// being descheduled shows.
func SpinNS() int64 {
	start := time.Now()
	x := uint64(start.Nanosecond()) | 1
	for range 1 << 18 {
		x *= 0x9e3779b97f4a7c15
		x ^= x >> 29
	}
	ns := time.Since(start).Nanoseconds()
	if x == 0 { // cannot happen for an odd start, but the compiler does not know and keeps the loop
		ns++
	}
	return ns
}

// CheckSample refuses a sample that lacks a metric the request asked for,
// holds one that is not finite, or has items that leave the metric's Range.
func CheckSample(metrics []Metric, r Request, s Sample) error {
	for _, m := range metrics {
		if r.OnlyDeterministic && m.Kind != Deterministic || r.OnlyMeasured && m.Kind != Measured {
			continue
		}
		v, ok := s.Values[m.Name]
		if !ok {
			return fmt.Errorf("metric %s is missing in scenario %s", m.Name, r.Scenario)
		}
		if !finite(v) {
			return fmt.Errorf("metric %s is %v in scenario %s", m.Name, v, r.Scenario)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Items)) {
		i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
		if i < 0 || metrics[i].Range == nil {
			return fmt.Errorf("items of %s in scenario %s: no metric with that name and a range", name, r.Scenario)
		}
		lo, hi := float32(metrics[i].Range[0]), float32(metrics[i].Range[1])
		for j, v := range s.Items[name] {
			if math.IsNaN(float64(v)) || v < lo || v > hi {
				return fmt.Errorf("metric %s, item %d: %v is outside %v to %v", name, j, v, lo, hi)
			}
		}
	}
	return nil
}
