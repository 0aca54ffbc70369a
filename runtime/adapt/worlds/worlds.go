// Package worlds simulates hosts to measure learners on: arms whose rewards
// and latencies shift under them, and landscapes of knobs whose optimum moves,
// each a function of a seed.
//
// It is not for serving: nothing that runs in production imports it, and no
// learner may be tuned to what only these worlds do.
package worlds

import (
	"math"

	"github.com/arqon/arqon/runtime/adapt"
)

// Shape is how a reward depends on the request.
type Shape uint8

// The shapes.
const (
	Linear  Shape = iota // each arm has its own weights
	Flat                 // features say nothing
	Offset               // features move all arms alike
	Curved               // a saturating function of weights, with an interaction
	Steep                // a logistic function of weights: most arms earn next to all or next to nothing
	Product              // weights of arms, and of one product of two features
	Bump                 // a bell around the request that each arm is made for
)

// Bandit describes a world of arms; T is its length in steps.
type Bandit struct {
	Name                           string
	Shape                          Shape
	Load, Mix, Cut, Switch, Uneven bool
}

// Bandits are the worlds that the tables of docs/runtime.md are made of.
func Bandits() []Bandit {
	return []Bandit{
		{Name: "still"}, {Name: "still, flat", Shape: Flat},
		{Name: "load step", Load: true}, {Name: "mix drift", Mix: true}, {Name: "resource cut", Cut: true},
		{Name: "arm switches", Switch: true}, {Name: "arm switches, flat", Shape: Flat, Switch: true},
		{Name: "uneven noise", Uneven: true},
		{Name: "all", Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
		{Name: "all, flat", Shape: Flat, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
		{Name: "all, offset", Shape: Offset, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
		{Name: "all, curved", Shape: Curved, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
	}
}

// Curves are worlds of other shapes, to see that what was made for one shape
// is good for more.
func Curves() []Bandit {
	return []Bandit{
		{Name: "still, steep", Shape: Steep}, {Name: "all, steep", Shape: Steep, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
		{Name: "still, product", Shape: Product}, {Name: "all, product", Shape: Product, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
		{Name: "still, bump", Shape: Bump}, {Name: "all, bump", Shape: Bump, Load: true, Mix: true, Cut: true, Switch: true, Uneven: true},
	}
}

// The sizes of a world of arms.
const (
	ArmCount   = 30
	FeatureDim = 8
	LimitMS    = 100
)

// Request is what a learner is asked about.
type Request struct {
	X           []float64
	Eligible    []bool
	PredictedMS []float64
}

// Learner is a contextual bandit under test.
type Learner interface {
	Choose(t uint64, r Request) (arm int)
	Reward(t uint64, arm int, reward, latencyMS float64)
}

// Score is how a learner did in a world.
type Score struct {
	Regret     float64 // Σ best expected reward within the limit − that of the choice
	Violations int     // latency above the limit although an arm within it was there
	Ineligible int
}

// keys of the draws of a world.
const (
	keyTheta uint64 = iota + 1
	keyBase
	keyNoise
	keyMix
	keyX
	keyOut
	keyPredict
	keyReward
	keyLatency
	keySwitch
	keyBias
)

type banditState struct {
	w           Bandit
	seed        uint64
	theta       [ArmCount][FeatureDim + 1]float64
	base        [ArmCount]float64 // ms
	bias        [ArmCount]float64 // true ÷ predicted
	noise       [ArmCount]float64
	centre      [3][FeatureDim]float64
	share       [3]float64
	load        float64
	cutOff      [ArmCount]bool
	slow        [ArmCount]float64
	x           [FeatureDim]float64
	value, real [ArmCount]float64
}

func (w Bandit) start(seed uint64) *banditState {
	s := &banditState{w: w, seed: seed, load: 1, share: [3]float64{.6, .3, .1}}
	for k := range ArmCount {
		for i := range FeatureDim + 1 {
			s.theta[k][i] = adapt.Normal(seed, keyTheta, uint64(k), uint64(i))
		}
		s.base[k] = 15 + 70*adapt.Uniform(seed, keyBase, uint64(k))
		s.bias[k] = math.Exp(.05 * adapt.Normal(seed, keyBias, uint64(k)))
		s.noise[k], s.slow[k] = .1, 1
		if w.Uneven {
			s.noise[k] = .03 * math.Pow(10, adapt.Uniform(seed, keyNoise, uint64(k)))
		}
	}
	for c := range s.centre {
		for i := range FeatureDim {
			s.centre[c][i] = 2*adapt.Uniform(seed, keyMix, uint64(c), uint64(i)) - 1
		}
	}
	return s
}

// shock changes the world at its appointed times.
func (s *banditState) shock(t, T int) {
	at := func(share float64) bool { return t == int(share*float64(T)) }
	if s.w.Load {
		switch {
		case at(.2):
			s.load = 1.5
		case at(.35):
			s.load = 1.1
		case at(.7):
			s.load = 1.3
		}
	}
	if s.w.Mix {
		r := min(max((float64(t)/float64(T)-.4)/.1, 0), 1)
		s.share = [3]float64{.6 - .5*r, .3, .1 + .5*r}
	}
	if s.w.Cut {
		for k := range ArmCount {
			switch {
			case at(.5) && k%4 == 0:
				s.cutOff[k] = true
			case at(.5) && k%4 == 1:
				s.slow[k] = 1.6
			case at(.8):
				s.cutOff[k], s.slow[k] = false, 1
			}
		}
	}
	if s.w.Switch && (at(.3) || at(.6) || at(.85)) {
		s.switchBest(uint64(t))
	}
}

// switchBest exchanges the rewards of the arm that is best for the commonest
// requests and of another.
func (s *banditState) switchBest(t uint64) {
	best, top := 0, math.Inf(-1)
	for k := range ArmCount {
		if v := s.reward(k, s.centre[0][:]); v > top && !s.cutOff[k] {
			best, top = k, v
		}
	}
	other := int(adapt.Draw(s.seed, keySwitch, t) % ArmCount)
	s.theta[best], s.theta[other] = s.theta[other], s.theta[best]
}

func (s *banditState) reward(k int, x []float64) float64 {
	w, dot := &s.theta[k], 0.0
	for i, v := range x {
		dot += w[i] * v
	}
	switch s.w.Shape {
	case Flat:
		return .5 + .12*w[FeatureDim]
	case Offset:
		shared := 0.0
		for i, v := range x {
			shared += s.theta[0][i] * v
		}
		return .5 + .1*w[FeatureDim] + .08*shared
	case Curved:
		return .5 + .3*math.Tanh(.6*dot+.5*w[FeatureDim]+.8*x[0]*x[1]*w[2])
	case Steep:
		return 1 / (1 + math.Exp(-1.5*dot-w[FeatureDim]))
	case Product: // of two features that the arm's weights name
		i := 1 + int(math.Abs(w[0])*1e6)%(FeatureDim-1)
		return .5 + .08*w[FeatureDim] + .05*dot + .2*w[1]*x[0]*x[i]
	case Bump:
		far := 0.0
		for i, v := range x {
			d := v - .6*w[i]
			far += d * d
		}
		return .1 + .8*math.Exp(-far/4+.2*w[FeatureDim])
	case Linear:
	}
	return .5 + .08*w[FeatureDim] + .08*dot
}

// next draws a request and what its arms are really worth.
func (s *banditState) next(t int, r *Request) {
	key := uint64(t)
	c, u := 0, adapt.Uniform(s.seed, keyX, key)
	for c < 2 && u > s.share[c] {
		u -= s.share[c]
		c++
	}
	for i := range FeatureDim {
		s.x[i] = s.centre[c][i] + .4*adapt.Normal(s.seed, keyX, key, uint64(i))
	}
	copy(r.X, s.x[:])
	for k := range ArmCount {
		r.Eligible[k] = !s.cutOff[k] && adapt.Uniform(s.seed, keyOut, key, uint64(k)) > .1
		size := math.Exp(.05 * adapt.Normal(s.seed, keyPredict, key, uint64(k)))
		r.PredictedMS[k] = s.base[k] * size
		s.real[k] = s.base[k] * size * s.bias[k] * s.load * s.slow[k]
		s.value[k] = s.reward(k, s.x[:])
	}
}

// latencyNoise is the standard deviation of the logarithm of a latency.
const latencyNoise = .04

// Run plays T steps. The same seed gives every learner the same requests and
// the same noise.
func (w Bandit) Run(l Learner, seed uint64, T int) Score {
	s := w.start(seed)
	r := Request{make([]float64, FeatureDim), make([]bool, ArmCount), make([]float64, ArmCount)}
	var out Score
	for t := range T {
		s.shock(t, T)
		s.next(t, &r)
		k := l.Choose(uint64(t), r)
		best, within := math.Inf(-1), false
		for j := range ArmCount {
			// an arm that meets the limit in all but 1 of 1,000 requests
			if r.Eligible[j] && s.real[j]*math.Exp(3.09*latencyNoise) <= LimitMS {
				best, within = max(best, s.value[j]), true
			}
		}
		if k < 0 || k >= ArmCount {
			continue
		}
		key := uint64(t)
		seen := s.real[k] * math.Exp(latencyNoise*adapt.Normal(seed, keyLatency, key, uint64(k)))
		if !r.Eligible[k] {
			out.Ineligible++
		}
		if within {
			out.Regret += max(best-s.value[k], 0)
			if seen > LimitMS {
				out.Violations++
			}
		}
		l.Reward(key, k, s.value[k]+s.noise[k]*adapt.Normal(seed, keyReward, key, uint64(k)), seen)
	}
	return out
}
