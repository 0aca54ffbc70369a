// Package sim plays nights whose truth is known against decision rules: the
// gates' own and the usual ones. It tells how often a rule promotes what it
// must not, what it finds, and what that costs in samples. It also speaks
// gatesim/1, the line protocol through which a foreign simulator or a foreign
// benchmark drives the same decisions.
//
// It measures nothing real and decides nothing about a real candidate: that is
// the gates' work.
package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Noises are the names of the noise models, in the order of the tables.
var Noises = []string{"lognormal", "heavy", "ar1", "turbo", "ramp", "combined"}

// noise is the log of one sample's noise after another, in measuring order.
type noise func() float64

// newNoise makes a model; sd is the standard deviation of its independent
// part, as a log ratio.
//
//	lognormal  independent normal
//	heavy      Student t with 2 degrees of freedom, and 1 % Cauchy spikes
//	ar1        half independent, on an AR(1) drift (φ .95) of twice that sd
//	turbo      a clock with two states 10 % apart that changes every 50 samples
//	ramp       a drift of a tenth of the sd a sample, back to the start every 500
//	combined   ar1, turbo, ramp and heavy at half their strength
func newNoise(name string, sd float64, r *rand.Rand) (noise, error) {
	white := func() float64 { return sd * r.NormFloat64() }
	switch name {
	case "lognormal":
		return white, nil
	case "heavy":
		return heavy(sd, r), nil
	case "ar1":
		drift := ar1(2*sd, r)
		return func() float64 { return white() + drift() }, nil
	case "turbo":
		state := turbo(.10, r)
		return func() float64 { return white() + state() }, nil
	case "ramp":
		up := ramp(sd / 10)
		return func() float64 { return white() + up() }, nil
	case "combined":
		a, t, u, h := ar1(sd, r), turbo(.05, r), ramp(sd/20), heavy(sd/2, r)
		return func() float64 { return a() + t() + u() + h() }, nil
	}
	return nil, fmt.Errorf("noise %q: want one of %v", name, Noises)
}

func heavy(sd float64, r *rand.Rand) noise {
	return func() float64 {
		if r.Float64() < .01 {
			return max(-5, min(5, sd*r.NormFloat64()/(1e-9+math.Abs(r.NormFloat64()))))
		}
		return max(-5, min(5, sd*r.NormFloat64()/math.Sqrt(1e-12+r.ExpFloat64())))
	}
}

func ar1(sd float64, r *rand.Rand) noise {
	const phi = .95
	x := sd * r.NormFloat64()
	return func() float64 {
		x = phi*x + sd*math.Sqrt(1-phi*phi)*r.NormFloat64()
		return x
	}
}

func turbo(step float64, r *rand.Rand) noise {
	slow := false
	return func() float64 {
		if r.Float64() < .02 {
			slow = !slow
		}
		if slow {
			return step
		}
		return 0
	}
}

func ramp(step float64) noise {
	n := 0
	return func() float64 {
		n = (n + 1) % 500
		return step * float64(n)
	}
}

// Truth is what a candidate is.
type Truth int

// The three kinds of candidates.
const (
	Null Truth = iota
	Harmful
	Improved
)

// Plan says what nights are played.
type Plan struct {
	Noise      string
	SD         float64 // of one sample's independent noise, as a log ratio
	Nights     int
	Candidates int
	// Harmful and Improved are shares of the candidates; the rest are equal to
	// the baseline.
	Harmful, Improved float64
	// HarmBy and ImproveBy are their effects as ratios (.05: 5 % worse).
	HarmBy, ImproveBy float64
	Goal              evalue.Goal
	Tolerance         float64
	MinEffect         float64
	Alpha             float64
	Seed              seed.Root
}

// DefaultPlan is the night that the figures of docs/statistics.md are about.
func DefaultPlan() Plan {
	return Plan{
		Noise: "lognormal", SD: .02, Nights: 100, Candidates: 200, Harmful: .1, Improved: .1,
		HarmBy: .05, ImproveBy: .03, Tolerance: .02, MinEffect: .03, Alpha: .01, Seed: 1,
	}
}

// most are the limits of a plan.
const (
	nightsMost     = 1_000_000
	candidatesMost = 10_000
)

// Check names the field that cannot be played.
func (p Plan) Check() error {
	if !slices.Contains(Noises, p.Noise) {
		return fmt.Errorf("noise %q: want one of %v", p.Noise, Noises)
	}
	switch {
	case !(p.SD > 0 && p.SD <= 1):
		return fmt.Errorf("sd %v: must lie in (0, 1]", p.SD)
	case p.Nights < 1 || p.Nights > nightsMost:
		return fmt.Errorf("nights %d: must lie in 1..%d", p.Nights, nightsMost)
	case p.Candidates < 1 || p.Candidates > candidatesMost:
		return fmt.Errorf("candidates %d: must lie in 1..%d", p.Candidates, candidatesMost)
	case !(p.Harmful >= 0 && p.Improved >= 0 && p.Harmful+p.Improved <= 1):
		return fmt.Errorf("shares %v harmful and %v improved: must be 0 or more and at most 1 together", p.Harmful, p.Improved)
	case !(p.HarmBy > p.Tolerance && p.HarmBy < 10):
		return fmt.Errorf("harm by %v: must be more than the tolerance %v", p.HarmBy, p.Tolerance)
	case !(p.ImproveBy > 0 && p.ImproveBy < 1):
		return fmt.Errorf("improvement by %v: must lie in (0, 1)", p.ImproveBy)
	}
	return p.Question().Check()
}

// Question is what a night of the plan asks.
func (p Plan) Question() evalue.Question {
	return evalue.Question{
		Goal: p.Goal, Tolerance: p.Tolerance, MinEffect: p.MinEffect, Alpha: p.Alpha, Candidates: p.Candidates,
	}
}

// world is one night: candidates with a truth, and a machine with noise.
type world struct {
	truth  []Truth
	effect []float64 // as a log ratio
	noise  noise
}

func newWorld(p Plan, night int) (*world, error) {
	r := seed.Stream(p.Seed, "sim/night/"+p.Noise, uint64(night))
	n, err := newNoise(p.Noise, p.SD, r)
	if err != nil {
		return nil, err
	}
	w := &world{truth: make([]Truth, p.Candidates), effect: make([]float64, p.Candidates), noise: n}
	harmful := int(math.Round(p.Harmful * float64(p.Candidates)))
	improved := int(math.Round(p.Improved * float64(p.Candidates)))
	for i, at := range r.Perm(p.Candidates) {
		switch {
		case i < harmful:
			w.truth[at], w.effect[at] = Harmful, math.Log1p(p.HarmBy)
		case i < harmful+improved:
			w.truth[at], w.effect[at] = Improved, math.Log1p(-p.ImproveBy)
		}
	}
	return w, nil
}

// base is what the baseline takes without noise.
const base = 1000.0

// measure runs the arms in order: true is the candidate.
func (w *world) measure(id int, arms []bool) []float64 {
	out := make([]float64, len(arms))
	for i, candidate := range arms {
		x := w.noise()
		if candidate {
			x += w.effect[id]
		}
		out[i] = base * math.Exp(x)
	}
	return out
}
