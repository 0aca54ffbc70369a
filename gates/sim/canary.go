package sim

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Alarms are the names of the ways to notice a harmful canary.
var Alarms = []string{"harm", "detector", "cusum"}

// CanaryPlan is a canary under watch, many times.
type CanaryPlan struct {
	Noise  string
	SD     float64
	Runs   int
	Pairs  int // of one canary that goes well
	HarmBy float64
	// HarmAt is the pair at which a harmful canary begins to harm.
	HarmAt int
	Within int // pairs in which harm must be noticed
	// Tolerance of the metric: the alarm's line is evalue.Question.Line.
	Tolerance float64
	MinEffect float64
	Alpha     float64 // P(a good canary is rolled back)
	Seed      seed.Root
}

// DefaultCanary is the canary of docs/statistics.md.
func DefaultCanary() CanaryPlan {
	return CanaryPlan{Noise: "lognormal", SD: .02, Runs: 2000, Pairs: 250, HarmBy: .05, Within: 50, Tolerance: .02, MinEffect: .03, Alpha: .001, Seed: 1}
}

// CanaryResult counts.
type CanaryResult struct {
	Alarm     string  `json:"alarm"`
	Noise     string  `json:"noise"`
	SD        float64 `json:"sd"`
	Runs      int     `json:"runs"`
	HarmAt    int     `json:"harm_at"`
	Tolerance float64 `json:"tolerance"`
	// Noticed is the share of harmful canaries rolled back within so many pairs
	// of the harm; Delay the mean pairs it took those.
	Within  int     `json:"within"`
	Noticed float64 `json:"noticed"`
	Delay   float64 `json:"delay"`
	// False is how many of the canaries equal to the baseline were rolled back
	// in all of their pairs; FalseEdge how many that are worse by just
	// the alarm's line; Edge how many that use up all of it.
	False     int `json:"false"`
	FalseEdge int `json:"false_edge"`
	Edge      int `json:"edge"`
}

// Check names the field that cannot be played.
func (p CanaryPlan) Check() error {
	q := DefaultPlan()
	q.Noise, q.SD, q.Nights, q.HarmBy, q.Tolerance, q.MinEffect, q.Alpha = p.Noise, p.SD, p.Runs, p.HarmBy, p.Tolerance, p.MinEffect, p.Alpha
	if err := q.Check(); err != nil {
		return err
	}
	const pairsMost = 10000
	switch {
	case p.Pairs < 1 || p.Pairs > pairsMost:
		return fmt.Errorf("pairs %d: must lie in 1..%d", p.Pairs, pairsMost)
	case p.HarmAt < 0 || p.HarmAt > pairsMost || p.Within < 1 || p.Within > pairsMost:
		return fmt.Errorf("harm at %d, within %d: must lie in 0..%d", p.HarmAt, p.Within, pairsMost)
	}
	return nil
}

// alarm tells after each difference whether to roll back.
type alarm func(d float64) bool

func newAlarm(p CanaryPlan, name string, history *evalue.Noise) (alarm, error) {
	q := evalue.Question{Tolerance: p.Tolerance, MinEffect: p.MinEffect}
	// a run length of Pairs/α bounds the probability within Pairs by α
	length := math.Log(float64(p.Pairs)) - math.Log(p.Alpha)
	switch name {
	case "harm":
		h := evalue.NewHarm(q, history, p.Pairs)
		return func(d float64) bool { h.Add(d); return h.LogE() >= -math.Log(p.Alpha) }, nil
	case "detector", "cusum":
		s := evalue.NewDetector(q, history)
		return func(d float64) bool {
			sr, cusum := s.Step(d)
			if name == "cusum" {
				return cusum >= length
			}
			return sr >= length
		}, nil
	}
	return nil, fmt.Errorf("alarm %q: want one of %v", name, Alarms)
}

// PlayCanary watches Runs harmful canaries and as many of each good kind. The
// noise is known from 64 A/A pairs of the same machine, as a night leaves them.
func PlayCanary(ctx context.Context, p CanaryPlan, name string) (CanaryResult, error) {
	out := CanaryResult{Alarm: name, Noise: p.Noise, SD: p.SD, Runs: p.Runs, HarmAt: p.HarmAt, Tolerance: p.Tolerance, Within: p.Within}
	if err := p.Check(); err != nil {
		return out, err
	}
	noticed, delay := 0, 0
	for run := range p.Runs {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		at, err := p.watch(name, run, 0, math.Log1p(p.HarmBy))
		if err != nil {
			return out, err
		}
		if at > 0 && at > p.HarmAt && at <= p.HarmAt+p.Within {
			noticed++
			delay += at - p.HarmAt
		}
		line := evalue.Question{Tolerance: p.Tolerance, MinEffect: p.MinEffect}.Line()
		for kind, worse := range []float64{0, line, p.Tolerance} {
			count := []*int{&out.False, &out.FalseEdge, &out.Edge}[kind]
			at, err := p.watch(name, run, kind+1, math.Log1p(worse))
			if err != nil {
				return out, err
			}
			if at > 0 {
				*count++
			}
		}
	}
	out.Noticed = float64(noticed) / float64(p.Runs)
	if noticed > 0 {
		out.Delay = float64(delay) / float64(noticed)
	}
	return out, nil
}

// watch returns the pair (from 1) at which the alarm rang, 0 if it did not.
// kind 0 is harmful from HarmAt on, the others shifted by effect throughout.
func (p CanaryPlan) watch(name string, run, kind int, effect float64) (int, error) {
	r := seed.Stream(p.Seed, "sim/canary/"+p.Noise, uint64(run), uint64(kind))
	slot, err := newNoise(p.Noise, p.SD, r)
	if err != nil {
		return 0, err
	}
	pair := func() float64 {
		u, v := slot(), slot()
		if r.Uint64()&1 == 1 {
			u, v = v, u
		}
		return u - v
	}
	const historyPairs = 64
	history := &evalue.Noise{}
	past := make([]float64, historyPairs)
	for i := range past {
		past[i] = pair()
	}
	history.Add(past)
	ring, err := newAlarm(p, name, history)
	if err != nil {
		return 0, err
	}
	pairs := p.Pairs
	if kind == 0 {
		pairs = p.HarmAt + p.Within
	}
	for i := range pairs {
		d := pair()
		if kind > 0 || i >= p.HarmAt {
			d += effect
		}
		if ring(d) {
			return i + 1, nil
		}
	}
	return 0, nil
}
