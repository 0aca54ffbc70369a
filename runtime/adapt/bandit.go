package adapt

import (
	"fmt"
	"math"
)

// Policy is how a bandit turns beliefs into a choice.
type Policy uint8

// The policies.
const (
	Optimist   Policy = iota // the upper bound: LinUCB (Li et al. 2010) with noise and prior that are learned
	Tournament               // the most optimistic few meet in a posterior draw (Thompson 1933)
	policyCount
)

// BanditConfig of a contextual bandit. Arms is mandatory; the zero of
// everything else is the default.
type BanditConfig struct {
	Arms     int     `json:"arms"`
	Dim      int     `json:"dim"` // features of a request; 0: none
	Seed     uint64  `json:"seed"`
	LimitMS  float64 `json:"limit_ms"` // latency that no choice may pass; 0: none
	Policy   Policy  `json:"policy"`
	Explore  float64 `json:"explore"`   // standard deviations of optimism, more as long as an arm is little known where requests do not matter; 0: 1.5
	Finalist int     `json:"finalist"`  // arms in a tournament, 2 to 4; 0: 3
	Ridge    float64 `json:"ridge"`     // prior variance of a weight ÷ noise variance, until arms have shown theirs; 0: 4
	NoiseMin float64 `json:"noise_min"` // standard deviation of rewards that is always allowed for; 0: 1e-6
	Stay     float64 `json:"stay"`      // what another arm must promise more than the one that serves, in standard deviations of the noise
	Audit    float64 `json:"audit"`     // standard deviations of arms by which the claim of one that may have changed grows a step; 0: .05
	Fixed    bool    `json:"fixed"`     // no drift detection: for comparison
}

// The limits of a bandit.
const (
	armsMax      = 1 << 12
	dimMax       = 64
	pendingSize  = 1 << 10 // choices whose reward may still come
	finalistsMax = 4
	rewardMax    = 1e24 // what counts as a number: the fourth power stays in range
	featureMax   = 8    // of a scaled feature
)

func (c BanditConfig) filled() (BanditConfig, error) {
	if c.Arms < 1 || c.Arms > armsMax || c.Dim < 0 || c.Dim > dimMax {
		return c, fmt.Errorf("bandit: %d arms of %d features: want 1 to %d and 0 to %d", c.Arms, c.Dim, armsMax, dimMax)
	}
	if c.Policy >= policyCount {
		return c, fmt.Errorf("bandit: policy %d", c.Policy)
	}
	or := func(x *float64, d float64) {
		if *x == 0 {
			*x = d
		}
	}
	or(&c.Explore, 1.5)
	or(&c.Ridge, 4)
	or(&c.NoiseMin, 1e-6)
	or(&c.Audit, .05)
	if c.Finalist == 0 {
		c.Finalist = 3
	}
	if c.Finalist < 2 || c.Finalist > finalistsMax {
		return c, fmt.Errorf("bandit: %d finalists: want 2 to %d", c.Finalist, finalistsMax)
	}
	for _, x := range [...]float64{c.Explore, c.Ridge, c.LimitMS, c.NoiseMin, c.Stay, c.Audit} {
		if !(x >= 0 && x <= 1e9) {
			return c, fmt.Errorf("bandit: %v: want numbers from 0 to 1e9", x)
		}
	}
	return c, nil
}

// Pick is a bandit's choice. The zero Pick is none.
type Pick struct {
	Arm      int
	OK       bool // false: no arm is eligible, the caller falls back
	Safe     int  // arms that were eligible and within the limit
	Breach   bool // none was within the limit: the arm nearest to it was taken
	Finalist [finalistsMax]Finalist
	N        int // finalists
}

// Finalist is an arm that may be chosen, with the belief that speaks for it,
// in units of the reward, before the curve through which arms with weights of
// their own speak.
type Finalist struct {
	Arm      int
	Mean, SD float64
	Explore  float64 // standard deviations of optimism
	Bonus    float64 // for the arm that serves, and for arms that must be looked at again
}

// choice is what is kept of a pick until its reward comes.
type choice struct {
	T         uint64    `json:"t"`
	Arm       int       `json:"arm"`
	Predicted float64   `json:"predicted"`
	X         []float64 `json:"x"`
	waiting   bool
}

// Bandit chooses an arm for each request by its features: eligibility and the
// latency limit first, then the reward that a Bayesian linear model of each
// arm, or of all arms together, promises. It is a function of (state, seed, what it is told).
type Bandit struct {
	s banditState

	ring    []choice           // by t, modulo its length
	x       []float64          // features of this request, scaled, 1 last
	xx      []float64          // its squares
	q       []float64          // x, its products, and 1; empty: they are too many
	q2      []float64          // squares of q
	px      []float64          // a covariance times q
	rest    []rival            // arms that may still be the most optimistic
	work    []float64          // scratch of an update
	said    [hypotheses]saying // of the reward that is learned from
	prior   population         // of common weights
	steps   population         // of steps of the link
	stepFit linear

	dropped uint64 // rewards that belong to no choice, or are no numbers
}

// NewBandit makes a bandit; an error names what is wrong.
func NewBandit(c BanditConfig) (*Bandit, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	b := &Bandit{s: banditState{Config: c, Arms: make([]arm, c.Arms), Gate: NewGate(c.Arms, c.LimitMS), Serving: -1}}
	b.s.Link = newLink()
	b.s.Wide = newPopulation(wideDim(c.Arms, c.Dim), c.Ridge*b.noise(ownWeights))
	for i := range b.s.Populations {
		b.s.Populations[i] = newPopulation(c.Dim+1, c.Ridge*b.noise(ownWeights))
		b.s.Commons[i] = common{Weights: newLinear(c.Dim), Var: c.Ridge * b.noise(ownWeights)}
	}
	if c.Dim > 0 {
		b.s.Believed = hypothesisOf(oneWeight, 0)
	}
	for i := range b.s.Arms {
		b.s.Arms[i] = b.newArm()
	}
	b.scratch()
	return b, nil
}

func (b *Bandit) scratch() {
	d := b.s.Config.Dim + 1
	n := d * (d + 1) / 2
	b.x, b.xx, b.work = make([]float64, d), make([]float64, n), make([]float64, max(n, stepDim*(stepDim+1)/2))
	b.steps = newPopulation(stepDim, 1)
	b.stepFit = newLinear(stepDim)
	b.prior = newPopulation(b.s.Config.Dim, 1)
	q := wideDim(b.s.Config.Arms, b.s.Config.Dim)
	b.q, b.q2, b.px, b.rest = make([]float64, q), make([]float64, q), make([]float64, q), make([]rival, 0, b.s.Config.Arms)
	b.ring = make([]choice, pendingSize)
	xs := make([]float64, pendingSize*d)
	for i := range b.ring {
		b.ring[i].X = xs[i*d : (i+1)*d : (i+1)*d]
	}
}

// features takes the request's features in: what is no number counts as 0.
func (b *Bandit) features(x []float64) {
	d := b.s.Config.Dim
	if len(b.s.Scale) != d && len(x) == d {
		b.s.Scale = make([]float64, d)
		for i, v := range x {
			b.s.Scale[i] = 1
			if finite(v) && math.Abs(v) > 1 {
				b.s.Scale[i] = 1 / math.Abs(v)
			}
		}
	}
	for i := range d {
		b.x[i] = 0
		if i < len(x) && finite(x[i]) && i < len(b.s.Scale) {
			b.x[i] = min(max(x[i]*b.s.Scale[i], -featureMax), featureMax)
		}
	}
	b.x[d] = 1
	squares(b.x, b.xx)
}

// Choose picks an arm for request t: x are its features, eligible says which
// arms may be used at all, predictedMS is their expected latency (nil: no
// limit is applied). It does not allocate after the first request.
func (b *Bandit) Choose(t uint64, x []float64, eligible []bool, predictedMS []float64) Pick {
	p := b.Prefer(x, eligible, predictedMS)
	if p.OK {
		b.remember(t, p.Arm, predictedMS)
	}
	return p
}

// Prefer is Choose for a caller that tells by Observe what became of it.
func (b *Bandit) Prefer(x []float64, eligible []bool, predictedMS []float64) Pick {
	b.settle()
	b.s.Step++
	b.features(x)
	p := Pick{Arm: -1}
	nearest, nearestMS := -1, math.Inf(1)
	now := b.now()
	finalists := b.s.Config.Finalist
	if b.s.Config.Policy == Optimist {
		finalists = 1
	}
	b.rest = b.rest[:0]
	limited := b.s.Gate.Limit > 0 && predictedMS != nil
	for k := range min(b.s.Config.Arms, len(eligible)) {
		if !eligible[k] {
			continue
		}
		if limited {
			upper, known := math.Inf(1), false
			if k < len(predictedMS) {
				upper, known = b.s.Gate.Upper(k, predictedMS[k])
			}
			if nearest < 0 || upper < nearestMS {
				nearest, nearestMS = k, upper
			}
			if !known || upper > b.s.Gate.Limit {
				continue
			}
		}
		p.Safe++
		if now.wide {
			f := b.belief(k, &now, false)
			b.rest = append(b.rest, rival{k, f.optimism()})
			continue
		}
		p.enter(b.belief(k, &now, true), finalists)
	}
	b.narrow(&p, &now, finalists)
	switch {
	case p.N > 0:
		p.Arm, p.OK = b.decide(&p), true
	case nearest >= 0:
		p.Arm, p.OK, p.Breach = nearest, true, true
	}
	return p
}

// rival is an arm and the optimism that it has at most.
type rival struct {
	arm   int
	score float64
}

// narrow finds the n most optimistic of the rest. How far off a belief may be
// costs a look at all pairs of weights, and is taken to be no more than if each
// weight were off independently: arms that are not among the n with that need
// not be looked at.
func (b *Bandit) narrow(p *Pick, now *moment, n int) {
	for len(b.rest) > 0 {
		best, top := 0, math.Inf(-1)
		for i := range b.rest {
			if o := b.rest[i].score; o > top {
				best, top = i, o
			}
		}
		if p.N == n && top <= p.Finalist[n-1].optimism() {
			return
		}
		p.enter(b.belief(b.rest[best].arm, now, true), n)
		last := len(b.rest) - 1
		b.rest[best] = b.rest[last]
		b.rest = b.rest[:last]
	}
}

// enter keeps the n most optimistic arms, the best first.
func (p *Pick) enter(f Finalist, n int) {
	score := f.optimism()
	i := p.N
	for i > 0 && score > p.Finalist[i-1].optimism() {
		i--
	}
	if i >= n {
		return
	}
	p.N = min(p.N+1, n)
	copy(p.Finalist[i+1:p.N], p.Finalist[i:])
	p.Finalist[i] = f
}

func (f *Finalist) optimism() float64 { return f.Mean + f.Bonus + float64(f.Explore*f.SD) }

func (b *Bandit) decide(p *Pick) int {
	if b.s.Config.Policy == Optimist || p.N == 1 {
		return p.Finalist[0].Arm
	}
	best, top := -1, math.Inf(-1)
	for _, f := range p.Finalist[:p.N] {
		draw := f.Mean + f.Bonus + float64(f.SD*Normal(b.s.Config.Seed, b.s.Step, uint64(f.Arm)))
		if best < 0 || draw > top {
			best, top = f.Arm, draw
		}
	}
	return best
}

// moment is what all arms share within one request.
type moment struct {
	memory   int
	common   bool
	wide     bool
	noise    float64 // variance
	base     float64 // of a reward, where features move all arms alike
	explore  float64 // standard deviations of optimism, at least
	patience float64 // steps an arm ÷ noise; 0: requests differ, which is chance enough
	doubtful float64 // patience · variance from which optimism grows
	stay     float64 // bonus of the arm that serves
	wander   float64 // variance a step by which an arm's reward may have moved unseen
	audit    float64 // bonus a step of an arm that must be looked at again
}

func (b *Bandit) now() moment {
	h := b.s.Believed
	m := moment{memory: h.memory(), common: h.kind() == oneWeight, wide: h.kind() == wideWeights, explore: b.s.Config.Explore, noise: b.noise(h.kind())}
	if m.wide {
		widen(b.x, b.q)
		for i, v := range b.q {
			b.q2[i] = v * v
		}
	}
	if (m.common || b.s.Config.Dim == 0) && b.s.Config.Stay == 0 { // where another arm is dear, optimism does not grow
		m.patience = float64(b.s.Step) / (float64(b.s.Config.Arms) * m.noise)
		m.doubtful = math.Exp(m.explore * m.explore / 2)
	}
	if m.common {
		m.base = dot(b.s.Commons[m.memory].Weights.W, b.x[:b.s.Config.Dim])
	}
	if b.s.Config.Stay > 0 {
		m.stay = b.s.Config.Stay * math.Sqrt(m.noise)
	}
	if b.s.Alarms > 0 {
		m.wander = b.wander()
	}
	if m.wander > 0 || b.s.Gate.Shock > 0 {
		_, v := b.stranger(b.x)
		m.audit = b.s.Config.Audit * math.Sqrt(v)
	}
	return m
}

// belief is an arm's expected reward for the present request and how far off
// that may be: at most, where it is not asked for exactly and weights are wide.
func (b *Bandit) belief(k int, now *moment, exact bool) Finalist {
	a := &b.s.Arms[k]
	var variance float64
	f := Finalist{Arm: k}
	switch {
	case now.common:
		l := &a.Levels[now.memory]
		f.Mean, variance = now.base+l.Mean, l.Var
	case now.wide:
		w := &a.Wide
		f.Mean, variance = dots(w.W, b.q, w.width, b.q2)
		if exact {
			variance = min(variance, w.square(b.q))
		}
	default:
		l := &a.Models[now.memory]
		f.Mean, variance = l.mean(b.x), l.width(b.xx)
	}
	if a.waiting > 0 { // what is on its way will settle as much: others are asked meanwhile
		variance /= 1 + float64(a.waiting*variance)/now.noise
	}
	if now.wander > 0 {
		variance += float64(now.wander * float64(b.s.Step-a.Last))
		if a.Audit > 0 {
			f.Bonus = now.audit * float64(b.s.Step-a.Audit)
		}
	}
	if asked, since := b.s.Gate.Unsettled(k); asked {
		f.Bonus += now.audit * float64(since)
	}
	f.SD = math.Sqrt(variance)
	f.Explore = now.explore
	if g := variance * now.patience; g > now.doubtful {
		f.Explore = math.Sqrt(2 * math.Log(g)) // steps ÷ (arms · rewards that it is known as well as by): Audibert, Bubeck 2009
	}
	if k == b.s.Serving {
		f.Bonus += now.stay
	}
	return f
}

// Serve tells which arm serves while no other is chosen, −1 for none: with
// BanditConfig.Stay another must promise more than it by a margin.
func (b *Bandit) Serve(k int) { b.s.Serving = min(max(k, -1), b.s.Config.Arms-1) }

func (b *Bandit) remember(t uint64, k int, predicted []float64) {
	c := &b.ring[t%pendingSize]
	if c.waiting { // its reward never came
		b.s.Arms[c.Arm].waiting--
	}
	b.s.Arms[k].waiting++
	c.T, c.Arm, c.Predicted, c.waiting = t, k, 0, true
	if k < len(predicted) && predicted[k] > 0 && usable(predicted[k]) {
		c.Predicted = predicted[k]
	}
	copy(c.X, b.x)
}

// Arms is how many there are to choose from.
func (b *Bandit) Arms() int { return len(b.s.Arms) }
