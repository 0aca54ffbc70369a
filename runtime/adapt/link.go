package adapt

import "math"

// link is the curve that rewards follow where they saturate: an arm's own
// weights say η = θ·x, and the reward expected is
//
//	c + tanh(κ·(η − c))÷κ
//
// with a κ of its own on either side of c, the same curve for all arms
// (generalised linear models: McCullagh, Nelder 1989; as bandits: Filippi et
// al. 2010). Its slope is 1 in the middle, so that η is in the unit of
// rewards, and it is nearly straight until rewards say otherwise. It increases:
// which of two η is the better reward, it does not change. It changes what a
// line learns from rewards near an end, where they say little of weights.
//
// The curve is learned by Gauss-Newton steps, one after each round of rewards.
// A step may find as well that all lines are too flat or too low, and corrects
// them, so that the curve need not wait for weights to follow.
type link struct {
	Centre float64    `json:"centre"` // c, from Origin
	Bend   [2]float64 `json:"bend"`   // κ below and above c; 0: straight
	Fit    sums       `json:"fit"`    // of errors, on what a step changes
	Seen   float64    `json:"seen"`   // rewards of this round
	Round  int        `json:"round"`
}

// What a step changes.
const (
	stepBelow = iota // κ
	stepAbove
	stepGain // of lines around c
	stepShift
	stepDim
)

const (
	linkBegins   = 30   // rewards that tell where the middle is
	linkRound    = 60   // rewards of the first round
	linkGrows    = 1.3  // each round ÷ the one before
	linkRoundMax = 1000 // rewards of a round
	linkRounds   = 64   // that are counted
	linkBend     = .33  // κ · standard deviation of rewards, before there are reasons
	linkTrust    = .5   // standard deviation of all that a step changes, in such units
	linkBendMin  = .1
	linkBendMax  = 1.5
	linkSlopeMin = .05
)

func newLink() link { return link{Fit: newSums(stepDim)} }

func (l *link) side(eta float64) int {
	if eta > l.Centre {
		return stepAbove
	}
	return stepBelow
}

// at is the reward expected where η has that mean and variance, and its slope
// in η (after the approximation of MacKay 1992 for the logistic function).
func (l *link) at(eta, variance float64) (mean, slope float64) {
	bend := l.Bend[l.side(eta)]
	if bend == 0 {
		return eta, 1
	}
	shrink := 1 / math.Sqrt(1+float64(math.Pi/2*variance*bend*bend))
	th := math.Tanh(shrink * bend * (eta - l.Centre))
	return l.Centre + th/bend, max(shrink*(1-float64(th*th)), linkSlopeMin)
}

// see learns from a reward that was e above the curve at η, where rewards have
// that variance.
func (l *link) see(eta, e, variance float64) {
	side := l.side(eta)
	bend := l.Bend[side]
	u := bend * (eta - l.Centre)
	th := math.Tanh(u)
	slope := 1 - float64(th*th)
	var j [stepDim]float64 // what one unit of each change adds to the reward expected
	j[side] = (float64(slope*u) - th) / (bend * bend)
	j[stepGain] = slope * (eta - l.Centre)
	j[stepShift] = slope
	sd := math.Sqrt(variance)
	l.Fit.add(j[:], min(max(e, -4*sd), 4*sd), 1/variance)
}

// due reports that a round is over.
func (l *link) due() bool {
	if l.Bend[stepBelow] == 0 {
		return l.Seen >= linkBegins
	}
	return l.Seen >= min(linkRound*math.Pow(linkGrows, float64(l.Round)), linkRoundMax)
}

// step bends the curve and returns how lines change with it: η becomes
// gain·η + shift. mean and sd are of rewards; fit, prior and work are scratch.
func (l *link) step(mean, sd float64, fit *linear, prior *population, work []float64) (gain, shift float64) {
	l.Seen = 0
	if !(sd > 0 && usable(1/(sd*sd))) {
		return 1, 0
	}
	if l.Bend[stepBelow] == 0 {
		l.Centre, l.Bend = mean, [2]float64{linkBend / sd, linkBend / sd}
		return 1, 0
	}
	for i, unit := range [stepDim]float64{1 / sd, 1 / sd, 1, sd} {
		prior.Mean[i], prior.Var[i] = 0, linkTrust*linkTrust*unit*unit
	}
	prior.Mean[stepBelow] = linkBend/sd - l.Bend[stepBelow]
	prior.Mean[stepAbove] = linkBend/sd - l.Bend[stepAbove]
	fit.sums = l.Fit
	fit.solve(1, prior, work)
	for i := range l.Bend {
		l.Bend[i] = min(max(l.Bend[i]+fit.W[i], linkBendMin/sd), linkBendMax/sd)
	}
	gain = min(max(1+fit.W[stepGain], .5), 2)
	shift = min(max(fit.W[stepShift], -sd), sd) + l.Centre - float64(gain*l.Centre)
	clear(l.Fit.B) // what is known of the curve stays, and it is where that is best
	l.Round = min(l.Round+1, linkRounds)
	return gain, shift
}

func (l *link) valid() bool {
	for _, bend := range l.Bend {
		if !(bend >= 0 && usable(bend)) {
			return false
		}
	}
	return usable(l.Centre) && l.Fit.valid(stepDim) && l.Seen >= 0 && usable(l.Seen) && l.Round >= 0 && l.Round <= linkRounds &&
		(l.Bend[stepBelow] > 0) == (l.Bend[stepAbove] > 0)
}

// bend learns the curve from reward y of which p was said.
func (b *Bandit) bend(p *saying, y float64) {
	l := &b.s.Link
	if l.Bend[stepBelow] > 0 {
		mean, slope := l.at(p.eta, 0)
		width := p.etaWidth * slope * slope
		if width > p.noise {
			return // the arm is too little known to speak of the curve
		}
		l.see(p.eta, y-mean, p.noise+width)
	}
	l.Seen++
	if !l.due() {
		return
	}
	gain, shift := l.step(b.s.Rewards.Mean, math.Sqrt(b.s.Rewards.variance()), &b.stepFit, &b.steps, b.work)
	if gain == 1 && shift == 0 {
		return
	}
	for m := range b.s.Populations {
		b.s.Populations[m].rescale(gain, shift)
		for i := range b.s.Arms {
			b.s.Arms[i].Models[m].rescale(gain, shift)
		}
	}
	if len(b.q) > 0 {
		b.s.Wide.rescale(gain, shift)
		for i := range b.s.Arms {
			b.s.Arms[i].Wide.rescale(gain, shift)
		}
	}
}

// rescale makes of a model of η one of gain·η + shift: weights of rewards go
// by the square of the slope of the link, which is 1 ÷ gain of what it was.
func (l *linear) rescale(gain, shift float64) {
	d := len(l.B)
	ones := l.A[d*(d-1)/2:] // Σ weight x
	square := gain * gain
	for i := range l.B {
		l.B[i] = (float64(gain*l.B[i]) + float64(shift*ones[i])) / square
		l.W[i] *= gain
	}
	for i := range l.A {
		l.A[i] /= square
		l.P[i] *= square
	}
	l.W[d-1] += shift
}

func (p *population) rescale(gain, shift float64) {
	for i := range p.Mean {
		p.Mean[i] *= gain
		p.Var[i] *= gain * gain
	}
	p.Mean[len(p.Mean)-1] += shift
}
