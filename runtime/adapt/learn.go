package adapt

import "math"

// arm is what is known of one arm's reward.
type arm struct {
	Models [models]linear `json:"models"` // with weights of its own, before the link
	Seen   [models]sums   `json:"seen"`   // as they came, for the weights of all
	Levels [models]level  `json:"levels"` // with the weights of all
	Wide   wide           `json:"wide"`
	Noise  [kinds]spread  `json:"noise"` // around either
	Watch  CUSUM          `json:"watch"`
	Last   uint64         `json:"last"`  // step of the last reward
	Audit  uint64         `json:"audit"` // step since which it must be looked at again; 0: it need not
	Odds   float64        `json:"odds"`  // of an audit: log of P(changed) ÷ P(unchanged)

	waiting float64 // choices of it whose reward may still come: those in the ring
}

// Every arm has a model for each rate of forgetting; the one whose rewards
// were the likelier lately is believed.
const models = 2

// memories are the shares of what was seen that remain after another reward.
var memories = [models]float64{1, .98}

// What drift does, and how long things are remembered.
const (
	driftSlack     = .5
	driftThreshold = 11
	driftQuiet     = 100   // steps in which alarms are of one change
	auditPrior     = -.85  // log odds that an arm has changed with another
	auditClear     = -1.15 // log odds at which it has not
	auditChanged   = 2.    // log odds at which it has
	wanderShare    = .002
	plainShare     = 3. // of the variance of all rewards, divided among the weights
	plainRewards   = 10 // that tell how much rewards vary
	noiseMemory    = 300
	pooledMemory   = 20_000
	likelyMemory   = .995
	likelyMargin   = 4. // nats by which another rate of forgetting must predict better
)

// noise is the pooled variance of rewards around their predictions.
func (b *Bandit) noise(kind int) float64 {
	return max(b.s.Noise[kind].against(.01, 2), b.s.Config.NoiseMin*b.s.Config.NoiseMin)
}

// noiseOf is an arm's own.
func (b *Bandit) noiseOf(a *arm, kind int) float64 {
	pooled := b.noise(kind)
	return min(max(a.Noise[kind].against(pooled, 8), pooled/16), 16*pooled)
}

// plain is the variance that a weight is taken to have over arms before arms
// have shown it: a share of the noise, but no more than all rewards together
// vary, so that loud noise is no promise of large weights.
func (b *Bandit) plain(kind int) float64 {
	v := b.s.Config.Ridge * b.noise(kind)
	if kind == oneWeight || b.s.Config.Dim == 0 || b.s.Rewards.Spread.N < plainRewards {
		return v // levels: rewards of the few arms that served say little of the others
	}
	weights := b.s.Config.Dim + 1
	if kind == wideWeights {
		weights = len(b.q)
	}
	seen := plainShare * b.s.Rewards.variance() / float64(weights)
	return min(v, max(seen, b.s.Config.NoiseMin*b.s.Config.NoiseMin))
}

// wander is the variance that an arm's reward gains a step while it is not
// asked: nothing before a first change was seen.
func (b *Bandit) wander() float64 {
	if b.s.Config.Fixed {
		return 0
	}
	return float64(b.noise(b.s.Believed.kind())*b.s.Config.Ridge*wanderShare*b.s.Alarms) / float64(b.s.Step+1000)
}

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
	b.s.Arms[k].waiting--
	drift = b.observe(k, c.X, reward, c.Predicted, latencyMS)
	b.settle()
	return drift
}

// settle lets what was observed take effect on all arms: at once after a
// reward, so that a decision need not, and once for all that a window showed.
func (b *Bandit) settle() {
	if !b.s.Stale {
		return
	}
	b.s.Stale = false
	b.s.Gate.refresh()
	b.generalise()
}

// Observe learns from a request that the bandit did not choose an arm for: k
// served it, x are its features. What is no number is not learned from. It
// reports whether beliefs were reset.
func (b *Bandit) Observe(k int, x []float64, reward, predictedMS, latencyMS float64) (drift bool) {
	if k < 0 || k >= b.s.Config.Arms {
		b.dropped++
		return false
	}
	b.s.Step++
	b.features(x)
	return b.observe(k, b.x, reward, predictedMS, latencyMS)
}

func (b *Bandit) observe(k int, x []float64, reward, predictedMS, latencyMS float64) bool {
	if predictedMS > 0 {
		b.s.Gate.observe(k, predictedMS, latencyMS)
		b.s.Stale = true
	}
	if !(math.Abs(reward) <= rewardMax) {
		b.dropped++
		return false
	}
	if !b.s.Begun {
		b.s.Begun, b.s.Origin = true, reward
	}
	squares(x, b.xx)
	if len(b.q) > 0 {
		widen(x, b.q)
	}
	return b.learn(k, x, reward-b.s.Origin)
}

func (b *Bandit) learn(k int, x []float64, y float64) (drift bool) {
	a := &b.s.Arms[k]
	a.Last = b.s.Step
	known := a.Models[0].N > 0
	for h := range hypothesis(hypotheses) {
		if b.open(h) {
			b.said[h] = b.predict(a, h, x)
		}
	}
	if known {
		b.compare(y)
	}
	b.s.Rewards.add(y)
	p := b.said[b.s.Believed]
	e, sd := y-p.mean, math.Sqrt(p.noise+p.width)
	switch {
	case b.s.Config.Fixed || !known:
	case a.Audit > 0 && b.audited(a, x, y, e, sd*sd, p.noise):
		b.forget(a)
	case a.Models[b.s.Believed.memory()].N > 1 && a.Watch.Add(e/sd, driftSlack, driftThreshold) != 0:
		drift = true
		b.changed(a)
	}
	if known && !drift {
		b.spread(a, y)
	}
	for m := range a.Models {
		l, p := &a.Models[m], &b.said[hypothesisOf(ownWeights, m)]
		if memories[m] < 1 {
			l.keep(memories[m])
			a.Seen[m].keep(memories[m])
		}
		l.add(x, p.eta+(y-p.mean)/p.slope, p.slope*p.slope)
		a.Seen[m].add(x, y, 1)
		l.solve(p.noise, &b.s.Populations[m], b.work)
	}
	b.learnWide(a, y)
	if known && !drift && b.s.Config.Dim > 0 {
		own, wide := hypothesisOf(ownWeights, 0), hypothesisOf(wideWeights, 0)
		if len(b.q) > 0 && b.s.Likely[wide] > b.s.Likely[own] {
			own = wide
		}
		b.bend(&b.said[own], y)
	}
	b.s.Stale = true
	return drift
}

func (b *Bandit) learnWide(a *arm, y float64) {
	if len(b.q) == 0 {
		return
	}
	p := &b.said[hypothesisOf(wideWeights, 0)]
	if a.Wide.N == 0 { // never asked, or forgotten since p was said
		a.Wide.forget(&b.s.Wide)
		p.eta, p.etaWidth = dot(a.Wide.W, b.q), a.Wide.times(b.q, b.px)
		p.mean, p.slope = b.s.Link.at(p.eta, p.etaWidth)
	}
	a.Wide.add(b.px, (y-p.mean)/p.slope, p.noise/(p.slope*p.slope)+p.etaWidth)
	if !a.Wide.sound() {
		a.Wide.forget(&b.s.Wide)
	}
}

// spread learns how far rewards are from what was said of them.
func (b *Bandit) spread(a *arm, y float64) {
	m := b.s.Believed.memory()
	for kind := range kinds {
		h := hypothesisOf(kind, m)
		if kind == wideWeights {
			h = hypothesisOf(kind, 0)
		}
		if !b.open(h) {
			continue
		}
		p := &b.said[h]
		e := y - p.mean
		squared := min(e*e*p.noise/(p.noise+p.width), 16*p.noise)
		a.Noise[kind].add(squared, noiseMemory)
		b.s.Noise[kind].add(squared, pooledMemory)
	}
}

// audited weighs whether an arm that is looked at again has changed. It
// reports that it has.
func (b *Bandit) audited(a *arm, x []float64, y, e, variance, noise float64) bool {
	mean, fresh := b.stranger(x)
	fresh += noise
	other := y - mean
	a.Odds += (math.Log(variance/fresh) + float64(e*e/variance) - float64(other*other/fresh)) / 2
	a.Audit = b.s.Step
	switch {
	case a.Odds > auditChanged:
		a.Audit = 0
		return true
	case a.Odds < auditClear:
		a.Audit = 0
	}
	return false
}

// forget leaves of what was seen of an arm as much as one reward would say.
func (b *Bandit) forget(a *arm) {
	if len(b.q) > 0 {
		a.Wide.forget(&b.s.Wide)
	}
	for m := range a.Models {
		if l := &a.Models[m]; l.N > 1 {
			a.Seen[m].keep(1 / l.N)
			l.keep(1 / l.N)
		}
	}
	for kind := range a.Noise {
		n := &a.Noise[kind]
		n.N, n.Sum = n.N/4, n.Sum/4
	}
	a.Watch = CUSUM{}
}

// changed forgets the arm whose rewards have moved. The others may have moved
// too: each will be looked at again, the sooner the less that costs. Alarms
// that follow at once are taken for the same change.
func (b *Bandit) changed(moved *arm) {
	b.forget(moved)
	moved.Audit = 0
	if b.s.Step < b.s.Quiet {
		return
	}
	b.s.Alarms++
	b.s.Quiet = b.s.Step + driftQuiet
	for i := range b.s.Arms {
		if a := &b.s.Arms[i]; a != moved && a.Models[0].N > 0 {
			a.Audit, a.Odds = b.s.Step, auditPrior
		}
	}
}

// generalise learns what arms have in common, and lets a few arms at a time,
// in turn, believe it.
func (b *Bandit) generalise() {
	variance := b.plain(ownWeights)
	for m := range b.s.Populations {
		b.s.Populations[m].fit(b.s.Arms, m, variance)
	}
	b.agree()
	b.sweep()
	for range 1 + len(b.s.Arms)/16 {
		b.s.Turn = (b.s.Turn + 1) % len(b.s.Arms)
		b.believe(&b.s.Arms[b.s.Turn])
	}
	for i := range b.s.Arms {
		if a := &b.s.Arms[i]; a.Models[0].N == 0 {
			b.believe(a)
		}
	}
}

func (b *Bandit) believe(a *arm) {
	noise := b.noiseOf(a, ownWeights)
	for m := range a.Models {
		a.Models[m].solve(noise, &b.s.Populations[m], b.work)
	}
}

// Expect tells what an arm is expected to earn before anything was seen of it:
// that counts as weight rewards. Rewards that are no numbers change nothing.
func (b *Bandit) Expect(k int, reward, weight float64) {
	if k < 0 || k >= len(b.s.Arms) || !(math.Abs(reward) <= rewardMax) || !(weight > 0 && weight <= 1e9) {
		return
	}
	if !b.s.Begun {
		b.s.Begun, b.s.Origin = true, reward
	}
	a := &b.s.Arms[k]
	for m := range a.Models {
		for _, l := range [...]*sums{&a.Models[m].sums, &a.Seen[m]} {
			l.A[len(l.A)-1] += weight
			l.B[len(l.B)-1] += float64(weight * (reward - b.s.Origin))
			l.N += weight
		}
	}
	b.expectWide(a, reward-b.s.Origin, weight)
	b.believe(a)
}

// Dropped counts rewards that changed nothing.
func (b *Bandit) Dropped() uint64 { return b.dropped }
