package sim

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Result is what a rule did over all nights of a plan.
type Result struct {
	Rule       string  `json:"rule"`
	Noise      string  `json:"noise"`
	SD         float64 `json:"sd"`
	Goal       string  `json:"goal"`
	Nights     int     `json:"nights"`
	Candidates int     `json:"candidates"`
	Alpha      float64 `json:"alpha"`
	Seed       uint64  `json:"seed"`

	// NightsHarmful promoted something worse than the tolerance, NightsFalse
	// something that is not better (goal better) or harmful (not worse).
	NightsHarmful int     `json:"nights_harmful"`
	NightsFalse   int     `json:"nights_false"`
	Improved      int     `json:"improved"`
	Found         int     `json:"found"`
	Equal         int     `json:"equal"`
	EqualAccepted int     `json:"equal_accepted"`
	Power         float64 `json:"power"`
	// Samples a candidate, over all and over the improved ones alone.
	Samples         float64 `json:"samples"`
	SamplesEqual    float64 `json:"samples_equal"`
	SamplesHarmful  float64 `json:"samples_harmful"`
	SamplesImproved float64 `json:"samples_improved"`
	// FixedPairs is the size of the signed-rank design with the same power and
	// FixedShare the samples as a share of its samples; FixedShareAtEffect the
	// same for the candidates that the design was made for.
	FixedPairs         int     `json:"fixed_pairs,omitempty"`
	FixedShare         float64 `json:"fixed_share,omitempty"`
	FixedShareAtEffect float64 `json:"fixed_share_at_effect,omitempty"`
	// Bias is the mean of estimate − truth over the promoted, in points (%).
	Bias float64 `json:"bias_points"`
	// Covered is the share of 95 % intervals that hold the truth at the stop;
	// 0 when the rule gives none.
	Covered float64 `json:"covered,omitempty"`
}

// intervalAlpha is the level at which coverage is counted.
const intervalAlpha = .05

// Play plays every night of the plan under the named rule; step hears of each.
func Play(ctx context.Context, p Plan, name string, step func(done int)) (Result, error) {
	if err := p.Check(); err != nil {
		return Result{}, err
	}
	r, err := newRule(p, name)
	if err != nil {
		return Result{}, err
	}
	return play(ctx, p, name, r, step)
}

func newRule(p Plan, name string) (rule, error) {
	q := p.Question()
	switch name {
	case "ours":
		return &Judge{Seed: p.Seed}, nil
	case "ebh":
		return selecting{&Judge{Seed: p.Seed}, evalue.EBH}, nil
	case "elond":
		return selecting{&Judge{Seed: p.Seed}, evalue.ELOND}, nil
	case "naive":
		return naive(p.Seed, q), nil
	case "benchstat":
		return benchstat(p.Seed, q), nil
	case "fixed":
		n, err := FixedPairs(p, .95)
		return signedRank(p.Seed, q, n), err
	}
	return nil, fmt.Errorf("rule %q: want one of %v", name, Rules)
}

func play(ctx context.Context, p Plan, name string, r rule, step func(done int)) (Result, error) {
	t := tally{plan: p}
	ids := make([]int, p.Candidates)
	for i := range ids {
		ids[i] = i
	}
	for night := range p.Nights {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		w, err := newWorld(p, night)
		if err != nil {
			return Result{}, err
		}
		t.begin(w)
		measure := func(id int, arms []bool) ([]float64, error) { return w.measure(id, arms), nil }
		if err := r.night(night, p.Question(), ids, measure, t.add); err != nil {
			return Result{}, fmt.Errorf("night %d: %w", night, err)
		}
		t.end()
		if step != nil {
			step(night + 1)
		}
	}
	return t.result(name), nil
}

// tally counts.
type tally struct {
	plan  Plan
	world *world

	harmfulNight, falseNight   bool
	harmfulNights, falseNights int
	count, promoted, samples   [3]int
	bias                       float64
	intervals, covered         int
}

func (t *tally) begin(w *world) {
	t.world, t.harmfulNight, t.falseNight = w, false, false
}

func (t *tally) add(o Outcome) error {
	truth, effect := t.world.truth[o.ID], t.world.effect[o.ID]
	t.count[truth]++
	t.samples[truth] += o.samples
	if o.decider != nil {
		t.intervals++
		bar := math.Log(2 / intervalAlpha)
		if o.decider.Process(evalue.Below, effect).LogE() < bar && o.decider.Process(evalue.Above, effect).LogE() < bar {
			t.covered++
		}
	}
	if !o.Promote {
		return nil
	}
	t.promoted[truth]++
	t.bias += o.Estimate - math.Expm1(effect)
	t.harmfulNight = t.harmfulNight || truth == Harmful
	t.falseNight = t.falseNight || truth == Harmful || truth == Null && t.plan.Goal == evalue.Better
	return nil
}

func (t *tally) end() {
	if t.harmfulNight {
		t.harmfulNights++
	}
	if t.falseNight {
		t.falseNights++
	}
}

func (t *tally) result(ruleName string) Result {
	p := t.plan
	share := func(a, b int) float64 {
		if b == 0 {
			return 0
		}
		return float64(a) / float64(b)
	}
	all := t.promoted[Null] + t.promoted[Harmful] + t.promoted[Improved]
	r := Result{
		Rule: ruleName, Noise: p.Noise, SD: p.SD, Goal: "better", Nights: p.Nights, Candidates: p.Candidates, Alpha: p.Alpha, Seed: uint64(p.Seed),
		NightsHarmful: t.harmfulNights, NightsFalse: t.falseNights,
		Improved: t.count[Improved], Found: t.promoted[Improved], Equal: t.count[Null], EqualAccepted: t.promoted[Null],
		Samples:      share(t.samples[Null]+t.samples[Harmful]+t.samples[Improved], p.Nights*p.Candidates),
		SamplesEqual: share(t.samples[Null], t.count[Null]), SamplesHarmful: share(t.samples[Harmful], t.count[Harmful]),
		SamplesImproved: share(t.samples[Improved], t.count[Improved]), Covered: share(t.covered, t.intervals),
	}
	r.Power = share(r.Found, r.Improved)
	at := r.SamplesImproved
	if p.Goal == evalue.NotWorse {
		r.Goal, r.Power, at = "noninferior", share(r.EqualAccepted, r.Equal), r.SamplesEqual
	}
	if all > 0 {
		r.Bias = 100 * t.bias / float64(all)
	}
	if n, err := FixedPairs(p, min(r.Power, .995)); err == nil && r.Power > 0 {
		r.FixedPairs, r.FixedShare, r.FixedShareAtEffect = n, r.Samples/float64(2*n), at/float64(2*n)
	}
	return r
}

// fixedReps is how many candidates the size of the fixed design is found with.
const fixedReps = 4000

// FixedPairs is the smallest number of pairs at which the exact signed-rank
// test at α/K has the given power at the effect to be found, under the plan's
// noise: the yardstick of what pairs cost without looking early. It is found
// by simulation, by bisection over n.
func FixedPairs(p Plan, power float64) (int, error) {
	theta, effect := 0.0, math.Log1p(-p.MinEffect)
	if p.Goal == evalue.NotWorse {
		theta, effect = math.Log1p(p.Tolerance), 0
	}
	r := seed.Stream(p.Seed, "sim/fixed/"+p.Noise)
	reps := fixedReps
	found := func(n int) (float64, error) {
		slot, err := newNoise(p.Noise, p.SD, r)
		if err != nil {
			return 0, err
		}
		bar := rankBar(n, p.Alpha/float64(p.Candidates))
		hits := 0
		d := make([]float64, n)
		for range reps {
			for i := range d {
				u, v := slot(), slot()
				if r.Uint64()&1 == 1 {
					u, v = v, u
				}
				d[i] = theta - (effect + u - v)
			}
			if rankSum(d) >= bar {
				hits++
			}
		}
		return float64(hits) / float64(reps), nil
	}
	low, high := 2, 4
	for {
		reps = min(fixedReps, max(400, 400000/high))
		f, err := found(high)
		if err != nil {
			return 0, err
		}
		if f >= power {
			break
		}
		low, high = high, 2*high
		if high > 4096 {
			return 0, fmt.Errorf("no fixed design of up to %d pairs has power %.3f", high/2, power)
		}
	}
	for high-low > 1 {
		mid := (low + high) / 2
		f, err := found(mid)
		if err != nil {
			return 0, err
		}
		if f >= power {
			high = mid
		} else {
			low = mid
		}
	}
	return high, nil
}
