package evalue

import (
	"errors"
	"fmt"
	"math"
)

// Goal is what a candidate has to show.
type Goal int

// Better: the metric improved. NotWorse: it is not worse than the tolerance.
const (
	Better Goal = iota
	NotWorse
)

// Question is what is asked about every candidate of a night.
type Question struct {
	Goal   Goal
	Higher bool // larger values are better
	// Tolerance is how much worse, as a ratio, a candidate may be (.02 = 2 %).
	Tolerance float64
	// MinEffect is the smallest effect of interest, as a ratio (.03 = 3 %).
	MinEffect float64
	// Alpha bounds P(anything wrong is promoted) over all candidates.
	Alpha      float64
	Candidates int
	// PairsMax caps the pairs of one candidate; 0: CapFactor times the pairs
	// that a fixed design would need.
	PairsMax int
}

// ErrQuestion is wrapped by every refusal of Question.Check.
var ErrQuestion = errors.New("cannot be decided")

// CapFactor times the pairs of a fixed design with 95 % power is the default
// cap of a sequential one.
const CapFactor = 3

// pairsMost caps every question.
const pairsMost = 20000

// Check names what makes the question undecidable.
func (q Question) Check() error {
	switch {
	case q.Goal != Better && q.Goal != NotWorse:
		return fmt.Errorf("goal %d: %w", q.Goal, ErrQuestion)
	case !(q.Alpha > 0 && q.Alpha < 1):
		return fmt.Errorf("alpha %v: must lie in (0, 1): %w", q.Alpha, ErrQuestion)
	case !(q.Tolerance >= 0 && q.Tolerance < 1):
		return fmt.Errorf("tolerance %v: must lie in [0, 1): %w", q.Tolerance, ErrQuestion)
	case !(q.MinEffect >= 0 && q.MinEffect < 1):
		return fmt.Errorf("smallest effect %v: must lie in [0, 1): %w", q.MinEffect, ErrQuestion)
	case q.Goal == Better && q.MinEffect == 0:
		return fmt.Errorf("smallest effect 0: every difference would have to be found: %w", ErrQuestion)
	case q.Goal == NotWorse && q.Tolerance == 0:
		return fmt.Errorf("tolerance 0: equality cannot be shown: %w", ErrQuestion)
	case q.Candidates < 1:
		return fmt.Errorf("%d candidates: %w", q.Candidates, ErrQuestion)
	case q.PairsMax < 0 || q.PairsMax > pairsMost:
		return fmt.Errorf("at most %d pairs: must lie in [0, %d]: %w", q.PairsMax, pairsMost, ErrQuestion)
	}
	return nil
}

// theta is the edge of the null and target the truth to be found, both as
// log ratios with larger = worse.
func (q Question) theta() (theta, target float64) {
	if q.Goal == Better {
		if q.Higher {
			return 0, -math.Log1p(q.MinEffect)
		}
		return 0, math.Log1p(-q.MinEffect)
	}
	if q.Higher {
		return -math.Log1p(-q.Tolerance), 0
	}
	return math.Log1p(q.Tolerance), 0
}

// FixedPairs is how many pairs a z test with the same level and 95 % power at
// the target would take under normal noise of the given sd.
func (q Question) FixedPairs(sd float64) float64 {
	theta, target := q.theta()
	z := normalQuantile(1-q.Alpha/float64(q.Candidates)) + normalQuantile(.95)
	m := (theta - target) / sd
	return z * z / (m * m)
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// stake is the largest share of the wealth that one bet risks.
const stake = .98

// component is one strategy of the mixture: it bets for a shift of reach times
// the one to be found, under the model with the scale times wide.
type component struct {
	weight, reach, wide, nu float64 // nu 0: the fitted tails
}

// components: most of the wealth follows the fitted model at the smallest
// effect of interest, where samples are dearest; the rest insures against
// larger effects, a wrong scale and wrong tails.
var components = [...]component{
	{.76, 1, 1, 0},
	{.08, 2, 1, 0},
	{.08, 1, 1.6, 1},
	{.08, 1, .5, 3},
}

// futile is ln of how much better "no effect" must explain the pairs than the
// smallest effect of interest does for a candidate to be given up.
const futile = 3.3

// futileStep bounds what one pair says about that.
const futileStep = 3.0

// brokenAfter is how many equal samples of one arm tell of a broken timer.
const brokenAfter = 8

// scaleLeast, as a log ratio, is less noise than any clock has: below it there
// is no scale, and the bets are on the sign alone.
const scaleLeast = 1e-9

// ownFew is how many own pairs set the scale when the night knows nothing.
const ownFew = 4

// Decider judges one candidate by pairs, as few as it can. Equal pairs give
// equal decisions.
type Decider struct {
	q             Question
	theta, target float64
	bar           float64
	night         *Noise
	base          Model
	based         bool

	pairs  Pairs
	models []Model // of pair i, known before it; Scale 0: no model yet, a bet on the sign
	k      wealth
	lack   float64 // evidence for "no effect" over the target
	first  [2]float64
	same   [2]bool // every sample of the arm so far is the first
	bad    string
}

// NewDecider starts a candidate. night is what earlier candidates taught; it is
// only read. The question must have passed Check.
func NewDecider(q Question, night *Noise) *Decider {
	d := &Decider{q: q, night: night, bar: LogBar(q.Candidates, q.Alpha), same: [2]bool{true, true}}
	d.theta, d.target = q.theta()
	d.base, d.based = night.Model()
	d.k = newWealth()
	return d
}

// Add appends one pair of samples, baseline a and candidate b. What cannot be
// a sample of a ratio metric ends the candidate: it is never promoted.
func (d *Decider) Add(a, b float64) {
	for _, x := range [2]float64{a, b} {
		if !(x > 0) || math.IsInf(x, 1) {
			d.Refuse(fmt.Sprintf("pair %d holds the sample %v: a ratio needs finite values over 0", d.pairs.Len(), x))
			return
		}
	}
	if d.Done() {
		return
	}
	for i, x := range [2]float64{a, b} {
		if d.pairs.Len() == 0 {
			d.first[i] = x
		}
		d.same[i] = d.same[i] && x == d.first[i]
	}
	diff := math.Log(b) - math.Log(a)
	if d.q.Higher {
		diff = -diff
	}
	m := d.model()
	d.models = append(d.models, m)
	d.pairs.Add(diff)
	d.k.bet(m, d.theta-diff, d.theta-d.target)
	d.lack += d.misfit(m, diff)
}

// model is the belief about the next pair: the night's shape, and a scale
// between the night's and the candidate's own.
func (d *Decider) model() Model {
	m := d.belief()
	if !(m.Scale >= scaleLeast) {
		m.Scale = 0
	}
	return m
}

func (d *Decider) belief() Model {
	n := float64(d.pairs.Len())
	own := 0.0
	if d.pairs.Len() >= ownFew {
		own = d.pairs.SD()
	}
	if !d.based {
		return Model{Nu: 3, Scale: own}
	}
	m := d.base
	if own > 0 {
		w := d.night.weight()
		// the sd by MAD of the fitted model's own scale, so that like is compared with like
		own /= madOf(m.Nu)
		m.Scale = math.Exp((float64(w*math.Log(m.Scale)) + float64(n*math.Log(own))) / (w + n))
	}
	return m
}

// information is the square root of the Fisher information of one pair about
// the centre.
func (m Model) information() float64 {
	if m.normal() {
		return 1 / m.Scale
	}
	return math.Sqrt((m.Nu+1)/(m.Nu+3)) / m.Scale
}

// madOf is 1.4826·MAD of the model with scale 1.
func madOf(nu float64) float64 {
	switch nu {
	case 1:
		return 1.4826 * 1
	case 3:
		return 1.4826 * .76489
	case 7:
		return 1.4826 * .71114
	}
	return 1
}

// misfit is what one pair says for "no effect" against the target.
func (d *Decider) misfit(m Model, diff float64) float64 {
	if m.Scale == 0 {
		return 0
	}
	return max(-futileStep, min(futileStep, m.logRatio(diff, d.target, d.theta)))
}

// Refuse ends the candidate for a reason outside its samples.
func (d *Decider) Refuse(why string) {
	if d.bad == "" {
		d.bad = why
	}
}

// cap is the most pairs that this candidate gets.
func (d *Decider) cap() int {
	if d.q.PairsMax > 0 {
		return d.q.PairsMax
	}
	n := float64(d.least())
	if m := d.model(); m.Scale > 0 {
		n = max(n, d.q.FixedPairs(m.Scale*madOf(m.Nu)))
	}
	return int(min(pairsMost, CapFactor*n))
}

// least is the fewest pairs that could ever cross.
func (d *Decider) least() int { return int(math.Ceil(d.bar/math.Log1p(stake))) + 1 }

// broken reports a measured arm whose samples do not vary.
func (d *Decider) broken() bool { return d.pairs.Len() >= brokenAfter && d.constant() }

func (d *Decider) constant() bool { return d.same[0] || d.same[1] }

// crossed reports that the claim is shown; a constant arm shows nothing.
func (d *Decider) crossed() bool { return !d.constant() && d.k.log() >= d.bar }

// Done reports that no further pair is wanted.
func (d *Decider) Done() bool {
	return d.bad != "" || d.broken() || d.crossed() || d.lack >= futile || (d.pairs.Len() > 0 && d.pairs.Len() >= d.cap())
}

// Next is how many pairs to measure before anything can be decided, so that
// asking for all of them at once costs nothing; 0 when done.
func (d *Decider) Next() int {
	if d.Done() {
		return 0
	}
	if d.model().Scale == 0 {
		return max(1, ownFew-d.pairs.Len())
	}
	up := (d.bar - d.k.log()) / math.Log1p(stake)
	down := (futile - d.lack) / d.mostMisfit()
	left := float64(max(1, d.cap()-d.pairs.Len()))
	return int(max(1, math.Ceil(min(up, down, left))))
}

// mostMisfit is the most that one pair can say for "no effect".
func (d *Decider) mostMisfit() float64 {
	m := d.model()
	if m.normal() {
		return futileStep
	}
	// the ratio of t densities is largest where its derivative is 0
	half := (d.theta - d.target) / 2
	x := half + math.Sqrt(float64(half*half)+float64(m.Nu*m.Scale*m.Scale))
	return min(futileStep, m.logRatio(d.target+x, d.target, d.theta)) + 1e-9
}

// Decision is the answer about one candidate.
type Decision struct {
	Promote bool
	// Estimate of the change as a ratio of the metric (−.031: 3.1 % lower).
	Estimate float64
	LogE     float64
	LogBar   float64
	Pairs    int
	Reason   string
}

// Decide says what the pairs so far allow.
func (d *Decider) Decide() Decision {
	out := Decision{LogE: d.k.log(), LogBar: d.bar, Pairs: d.pairs.Len(), Estimate: d.ratio(d.centre())}
	n := d.pairs.Len()
	switch {
	case d.bad != "":
		out.Reason = d.bad
	case d.broken():
		out.Reason = fmt.Sprintf("%d samples of one arm are all the same: the timer is broken", n)
	case d.crossed():
		out.Promote, out.Reason = true, "shown"
	case d.lack >= futile:
		out.Reason = "futile: no effect explains the pairs better than the smallest effect of interest"
	case n >= d.cap():
		out.Reason = fmt.Sprintf("not shown within %d pairs", n)
	default:
		out.Reason = "not decided yet"
	}
	return out
}

// ratio takes an oriented log ratio back to a change of the metric.
func (d *Decider) ratio(x float64) float64 {
	if d.q.Higher {
		x = -x
	}
	return math.Expm1(x)
}

// centre estimates the shift by maximum likelihood under the model. A crossing
// happens where the evidence is high, so the estimate overstates the effect
// there: for a random walk and a line to first order by Δ/ln(bar), whatever the
// truth (Siegmund, "Sequential Analysis", 1985, ch. 3; Whitehead, "On the bias
// of maximum likelihood estimation following a sequential test", 1986). With
// steps that are large against the line it overstates less; overstated is how
// much less, fitted to simulations (docs/statistics.md). That is taken back.
func (d *Decider) centre() float64 {
	if d.pairs.Len() == 0 {
		return 0
	}
	m := d.model()
	x := d.pairs.Median()
	if m.Scale > 0 {
		x = m.centre(d.pairs.d, x)
	}
	if d.crossed() && m.Scale > 0 {
		x += overstated(math.Abs(d.theta-x)*m.information()) * (d.theta - d.target) / d.bar
	}
	return x
}

// overstated is the overstatement at a crossing in units of Δ/ln(bar), by the
// effect in standard errors of one pair.
func overstated(steps float64) float64 { return 1.4 * math.Exp(-1.15*steps) }

// Differences are the oriented paired log ratios so far, for Noise.Add.
func (d *Decider) Differences() []float64 { return d.pairs.d }

// LogEAt is the log e-value against "δ ≥ theta" (Below) or "δ ≤ theta"
// (Above), δ the oriented log ratio, by the same bets.
func (d *Decider) LogEAt(side Side, theta float64) float64 {
	k := newWealth()
	sign := 1.0
	if side == Above {
		sign = -1
	}
	for i, x := range d.pairs.d {
		k.bet(d.models[i], sign*(theta-x), d.theta-d.target)
	}
	return k.log()
}

// Interval is the confidence sequence of the change as a ratio of the metric,
// at the stop: it covers at every n at once with probability 1−alpha.
func (d *Decider) Interval(alpha float64) (lower, upper float64) {
	if d.pairs.Len() == 0 {
		return -1, math.Inf(1)
	}
	bar := math.Log(2 / alpha)
	first, last := d.pairs.order[0], d.pairs.order[d.pairs.Len()-1]
	wide := last - first + d.theta - d.target
	for _, m := range d.models {
		wide = max(wide, 4*m.Scale)
	}
	mid := d.pairs.Median()
	hi := edge(func(t float64) bool { return d.LogEAt(Below, t) >= bar }, mid, last+16*wide)
	lo := -edge(func(t float64) bool { return d.LogEAt(Above, -t) >= bar }, -mid, -(first - 16*wide))
	if d.q.Higher {
		lo, hi = -hi, -lo
	}
	return math.Expm1(lo), math.Expm1(hi)
}

// wealth is the mixture of the components, each as mantissa and log.
type wealth struct {
	w    [len(components)]float64
	logs [len(components)]float64
}

func newWealth() wealth {
	var k wealth
	for j, c := range components {
		k.w[j] = c.weight
	}
	return k
}

// bet multiplies: x > 0 speaks for the claim, shift is what is looked for.
func (k *wealth) bet(m Model, x, shift float64) {
	for j, c := range components {
		g := .5 * sign(x)
		if m.Scale > 0 {
			own := Model{Nu: m.Nu, Scale: m.Scale * c.wide}
			if c.nu > 0 {
				own.Nu = c.nu
			}
			g = own.gain(x, float64(c.reach*shift))
		}
		w := k.w[j] * (1 + float64(stake*g))
		if w > 1e100 || w < 1e-100 {
			k.logs[j] += math.Log(w)
			w = 1
		}
		k.w[j] = w
	}
}

func (k *wealth) log() float64 {
	plain, sum := true, 0.0
	for j, w := range k.w {
		plain = plain && k.logs[j] == 0
		sum += w
	}
	if plain {
		return math.Log(sum)
	}
	var logs [len(components)]float64
	for j, w := range k.w {
		logs[j] = k.logs[j] + math.Log(w)
	}
	return logSumExp(logs[:])
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}
