package adapt

import (
	"encoding/json"
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

// BanditConfig of a contextual bandit. Arms and Dim are mandatory; the zero of
// everything else is the default.
type BanditConfig struct {
	Arms     int     `json:"arms"`
	Dim      int     `json:"dim"` // features of a request
	Seed     uint64  `json:"seed"`
	LimitMS  float64 `json:"limit_ms"` // latency that no choice may pass; 0: none
	Policy   Policy  `json:"policy"`
	Explore  float64 `json:"explore"`  // standard deviations of optimism; 0: .8
	Finalist int     `json:"finalist"` // arms in a tournament, 2 to 4; 0: 3
	Ridge    float64 `json:"ridge"`    // prior variance of a weight ÷ noise variance; 0: 4
	Fixed    bool    `json:"fixed"`    // no drift detection: for comparison
}

// The limits of a bandit.
const (
	armsMax     = 1 << 12
	dimMax      = 64
	pendingSize = 1 << 10 // choices whose reward may still come
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
	or(&c.Explore, .8)
	or(&c.Ridge, 4)
	if c.Finalist == 0 {
		c.Finalist = 3
	}
	if c.Finalist < 2 || c.Finalist > finalistsMax {
		return c, fmt.Errorf("bandit: %d finalists: want 2 to %d", c.Finalist, finalistsMax)
	}
	for _, x := range [...]float64{c.Explore, c.Ridge, c.LimitMS} {
		if !(x >= 0 && x <= 1e9) {
			return c, fmt.Errorf("bandit: %v: want numbers from 0 to 1e9", x)
		}
	}
	return c, nil
}

const finalistsMax = 4

// rewardMax is what counts as a number: the fourth power stays in range.
const rewardMax = 1e24

// Pick is a bandit's choice. The zero Pick is none.
type Pick struct {
	Arm      int
	OK       bool // false: no arm is eligible, the caller falls back
	Safe     int  // arms that were eligible and within the limit
	Breach   bool // none was within the limit: the arm nearest to it was taken
	Finalist [finalistsMax]Finalist
	N        int // finalists
}

// Finalist is an arm of a tournament with the belief it was drawn from.
type Finalist struct {
	Arm      int
	Mean, SD float64
}

// choice is what is kept of a pick until its reward comes.
type choice struct {
	T         uint64    `json:"t"`
	Arm       int       `json:"arm"`
	Predicted float64   `json:"predicted"`
	X         []float64 `json:"x"`
	waiting   bool
}

// arm is what is known of one arm's reward.
type arm struct {
	Linear linear  `json:"linear"` // on the features
	Flat   linear  `json:"flat"`   // without them
	Noise  spread  `json:"noise"`
	Watch  CUSUM   `json:"watch"`
	Last   float64 `json:"last"` // step of the last reward
}

type banditState struct {
	Config   BanditConfig `json:"config"`
	Step     uint64       `json:"step"`
	Arms     []arm        `json:"arms"`
	Shared   linear       `json:"shared"` // all arms, forgetting: what a fresh arm starts from
	Noise    spread       `json:"noise"`
	Gate     Gate         `json:"gate"`
	Scale    []float64    `json:"scale"` // of features; empty until the first request
	LossLin  float64      `json:"loss_lin"`
	LossFlat float64      `json:"loss_flat"`
	Alarms   float64      `json:"alarms"`
	Quiet    uint64       `json:"quiet"`   // alarms before this step are of the same change as the last this step
	Waiting  []choice     `json:"waiting"` // of a snapshot: choices without a reward, by slot
}

// Bandit chooses an arm for each request by its features: eligibility and the
// latency limit first, then the reward that a Bayesian linear model of each
// arm promises. It is a function of (state, seed, what it is told).
type Bandit struct {
	s banditState

	ring []choice  // by t, modulo its length
	x    []float64 // features of this request, scaled, 1 last
	xx   []float64 // its squares
	g    []float64 // scratch of an update

	dropped uint64 // rewards that belong to no choice, or are no numbers
}

// NewBandit makes a bandit; an error names what is wrong.
func NewBandit(c BanditConfig) (*Bandit, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	d := c.Dim + 1
	b := &Bandit{s: banditState{Config: c, Arms: make([]arm, c.Arms), Shared: newLinear(d, c.Ridge), Gate: NewGate(c.Arms, c.LimitMS)}}
	for i := range b.s.Arms {
		b.s.Arms[i] = arm{Linear: newLinear(d, c.Ridge), Flat: newLinear(1, flatRidge*c.Ridge)}
	}
	b.scratch()
	return b, nil
}

func (b *Bandit) scratch() {
	d := b.s.Config.Dim + 1
	b.x, b.g, b.xx = make([]float64, d), make([]float64, d), make([]float64, d*(d+1)/2)
	b.ring = make([]choice, pendingSize)
	xs := make([]float64, pendingSize*d)
	for i := range b.ring {
		b.ring[i].X = xs[i*d : (i+1)*d : (i+1)*d]
	}
}

// featureMax bounds a scaled feature.
const featureMax = 8

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
	b.s.Step++
	b.features(x)
	p := Pick{Arm: -1}
	nearest, nearestMS := -1, math.Inf(1)
	now := b.now()
	finalists := b.s.Config.Finalist
	if b.s.Config.Policy == Optimist {
		finalists = 1
	}
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
		mean, sd := b.belief(k, now)
		p.enter(Finalist{k, mean, sd}, b.s.Config.Explore, finalists)
	}
	switch {
	case p.N > 0:
		p.Arm, p.OK = b.decide(&p, t), true
	case nearest >= 0:
		p.Arm, p.OK, p.Breach = nearest, true, true
	default:
		return p
	}
	b.remember(t, p.Arm, predictedMS)
	return p
}

// enter keeps the n most optimistic arms, the best first.
func (p *Pick) enter(f Finalist, explore float64, n int) {
	score := f.Mean + float64(explore*f.SD)
	i := p.N
	for i > 0 && score > p.Finalist[i-1].Mean+float64(explore*p.Finalist[i-1].SD) {
		i--
	}
	if i >= n {
		return
	}
	p.N = min(p.N+1, n)
	copy(p.Finalist[i+1:p.N], p.Finalist[i:])
	p.Finalist[i] = f
}

func (b *Bandit) decide(p *Pick, t uint64) int {
	if b.s.Config.Policy == Optimist || p.N == 1 {
		return p.Finalist[0].Arm
	}
	best, top := -1, math.Inf(-1)
	for _, f := range p.Finalist[:p.N] {
		draw := f.Mean + float64(f.SD*Normal(b.s.Config.Seed, b.s.Step, uint64(f.Arm)))
		if best < 0 || draw > top {
			best, top = f.Arm, draw
		}
	}
	return best
}

// moment is what all arms share within one request.
type moment struct {
	noise, hazard float64
	flat          bool
}

func (b *Bandit) now() moment { return moment{b.noise(), b.hazard(), b.flat()} }

// belief is an arm's expected reward for the present request and how far off
// that may be, in units of the reward.
func (b *Bandit) belief(k int, now moment) (mean, sd float64) {
	a := &b.s.Arms[k]
	wander := float64(now.hazard * (float64(b.s.Step) - a.Last))
	if now.flat {
		return a.Flat.W[0], math.Sqrt(now.noise * (a.Flat.P[0] + wander))
	}
	return a.Linear.mean(b.x), math.Sqrt(now.noise * (a.Linear.width(b.xx) + wander))
}

// ratio is an arm's noise ÷ the pooled one: an observation of a noisy arm
// counts for less, but what it may turn out to be worth is no larger.
func (b *Bandit) ratio(a *arm) float64 {
	pooled := b.noise()
	return min(max(a.Noise.against(pooled, 8)/pooled, 1./16), 16)
}

// noise is the pooled variance of rewards around their predictions.
func (b *Bandit) noise() float64 { return max(b.s.Noise.against(.01, 2), 1e-12) }

// flat says whether features have not earned their keep: the model without
// them has predicted as well.
func (b *Bandit) flat() bool { return b.s.LossFlat <= flatBias*b.s.LossLin }

// hazard is how much an arm's belief widens for each step in which it was not
// asked, in units of its noise: nothing before a first change was seen.
func (b *Bandit) hazard() float64 {
	if b.s.Config.Fixed {
		return 0
	}
	return float64(b.s.Config.Ridge*wanderShare*b.s.Alarms) / float64(b.s.Step+1000)
}

func (b *Bandit) remember(t uint64, k int, predicted []float64) {
	c := &b.ring[t%pendingSize]
	c.T, c.Arm, c.Predicted, c.waiting = t, k, 0, true
	if k < len(predicted) && predicted[k] > 0 && usable(predicted[k]) {
		c.Predicted = predicted[k]
	}
	copy(c.X, b.x)
}

// What drift does, and how long things are remembered.
const (
	driftSlack     = .5
	driftThreshold = 9
	driftDoubt     = .3  // share of the prior's variance that other arms' intercepts regain
	driftQuiet     = 100 // steps in which alarms are of one change
	wanderShare    = .002
	noiseMemory    = 300
	pooledMemory   = 20_000
	lossMemory     = .995
	sharedMemory   = .99
	flatBias       = 1.02 // how much better features must predict to be used
	flatRidge      = 4    // the prior variance of an arm's mean ÷ that of a weight
)

// Reward tells what choice t earned (more is better) and how long it took. A
// reward that belongs to no waiting choice (late by more than 1,024 steps, a
// duplicate, of another arm) or that is no number changes nothing; a latency
// that is no number is not learned from. It reports whether beliefs were
// reset because the world has changed.
func (b *Bandit) Reward(t uint64, k int, reward, latencyMS float64) (drift bool) {
	c := &b.ring[t%pendingSize]
	if !c.waiting || c.T != t || c.Arm != k {
		b.dropped++
		return false
	}
	c.waiting = false
	if c.Predicted > 0 {
		b.s.Gate.Observe(k, c.Predicted, latencyMS)
	}
	if !(math.Abs(reward) <= rewardMax) {
		b.dropped++
		return false
	}
	squares(c.X, b.xx)
	return b.learn(k, c.X, reward)
}

func (b *Bandit) learn(k int, x []float64, y float64) bool {
	a, ridge := &b.s.Arms[k], b.s.Config.Ridge
	one := x[len(x)-1:]
	wander := float64(b.hazard() * (float64(b.s.Step) - a.Last))
	a.Last = float64(b.s.Step)
	a.Linear.doubt(wander/ridge, ridge)
	a.Flat.doubt(wander/ridge, ridge)
	ratio := b.ratio(a)
	noise := ratio * b.noise()
	eLin, eFlat := y-a.Linear.mean(x), y-a.Flat.W[0]
	if a.Linear.N > 0 {
		b.s.LossLin = float64(lossMemory*b.s.LossLin) + float64(eLin*eLin)
		b.s.LossFlat = float64(lossMemory*b.s.LossFlat) + float64(eFlat*eFlat)
	}
	e, w := eLin, a.Linear.width(b.xx)/ratio // of the prediction, in units of the arm's noise
	if b.flat() {
		e, w = eFlat, a.Flat.P[0]/ratio
	}
	drift := false
	if a.Linear.N > 1 && !b.s.Config.Fixed {
		if drift = a.Watch.Add(e/math.Sqrt(noise*(1+w)), driftSlack, driftThreshold) != 0; drift {
			b.changed(a)
		}
	}
	if !drift && a.Linear.N > 0 {
		squared := min(e*e/(1+w), 16*noise)
		a.Noise.add(squared, noiseMemory)
		b.s.Noise.add(squared, pooledMemory)
	}
	a.Linear.learn(x, b.g, y, ratio, 1, ridge)
	a.Flat.learn(one, b.g[:1], y, ratio, 1, flatRidge*ridge)
	b.s.Shared.learn(x, b.g, y, 1, sharedMemory, ridge)
	b.seedFresh()
	return drift
}

// seedFresh starts arms that were never asked from what all arms share.
func (b *Bandit) seedFresh() {
	mean := b.s.Shared.W
	for i := range b.s.Arms {
		if a := &b.s.Arms[i]; a.Linear.N == 0 && a.Flat.N == 0 {
			copy(a.Linear.W, mean)
			a.Flat.W[0] = mean[len(mean)-1]
		}
	}
}

// changed forgets the arm whose rewards have moved, and doubts what is known
// of the others: they may have moved too. Alarms that follow at once are taken
// for the same change.
func (b *Bandit) changed(moved *arm) {
	ridge := b.s.Config.Ridge
	moved.Linear.reset(ridge)
	moved.Flat.reset(flatRidge * ridge)
	moved.Noise.N, moved.Noise.Sum = moved.Noise.N/4, moved.Noise.Sum/4
	if b.s.Step < b.s.Quiet {
		return
	}
	b.s.Alarms++
	b.s.Quiet = b.s.Step + driftQuiet
	for i := range b.s.Arms {
		if a := &b.s.Arms[i]; a != moved {
			a.Linear.doubt(driftDoubt, ridge)
			a.Flat.doubt(1, flatRidge*ridge)
		}
	}
}

// Dropped counts rewards that changed nothing.
func (b *Bandit) Dropped() uint64 { return b.dropped }

// Snapshot returns the whole state.
func (b *Bandit) Snapshot() ([]byte, error) {
	s := b.s
	s.Waiting = nil
	for _, c := range b.ring {
		if c.waiting {
			s.Waiting = append(s.Waiting, c)
		}
	}
	return json.Marshal(s)
}

// Restore takes a snapshot back; on an error the bandit is unchanged.
func (b *Bandit) Restore(raw []byte) error {
	var n banditState
	if err := decode(raw, &n); err != nil {
		return err
	}
	c, err := n.Config.filled()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	n.Config = c
	d := c.Dim + 1
	ok := len(n.Arms) == c.Arms && n.Shared.valid(d) && n.Noise.valid() && n.Gate.valid(c.Arms) && usable(n.LossLin) && usable(n.LossFlat) &&
		n.Alarms >= 0 && usable(n.Alarms) && len(n.Waiting) <= pendingSize && (len(n.Scale) == 0 || len(n.Scale) == c.Dim)
	for i := range n.Arms {
		a := &n.Arms[i]
		ok = ok && a.Linear.valid(d) && a.Flat.valid(1) && a.Noise.valid() && usable(a.Last) && a.Last >= 0
	}
	for _, c := range n.Waiting {
		ok = ok && c.Arm >= 0 && c.Arm < n.Config.Arms && c.Predicted >= 0 && usable(c.Predicted) && len(c.X) == d && allUsable(c.X)
	}
	ok = ok && allUsable(n.Scale)
	if !ok {
		return fmt.Errorf("bandit: sizes or numbers: %w", ErrState)
	}
	waiting := n.Waiting
	n.Waiting = nil
	b.s = n
	b.scratch()
	for _, w := range waiting {
		c := &b.ring[w.T%pendingSize]
		copy(c.X, w.X)
		c.T, c.Arm, c.Predicted, c.waiting = w.T, w.Arm, w.Predicted, true
	}
	return nil
}

func allUsable(xs []float64) bool {
	for _, x := range xs {
		if !usable(x) {
			return false
		}
	}
	return true
}
