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
	Goal       Goal
	Higher     bool // larger values are better
	Difference bool // changes are differences in the metric's unit, not ratios
	Repeats    bool // equal samples are no fault: the metric is deterministic
	// Tolerance is how much worse a candidate may be (ratio: .02 = 2 %).
	Tolerance float64
	// MinEffect is the smallest effect of interest (ratio: .03 = 3 %).
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

// Worse is the paired difference, larger = worse, of a metric that is worse by
// the given change; a negative one is better.
func (q Question) Worse(by float64) float64 {
	const ratioLeast = 1e-9 // nothing falls by more than everything
	switch {
	case q.Difference:
		return by
	case q.Higher:
		return -math.Log1p(max(-by, ratioLeast-1))
	}
	return math.Log1p(max(by, ratioLeast-1))
}

// Change takes a paired difference back to a change as measured.
func (q Question) Change(worse float64) float64 {
	if q.Higher {
		worse = -worse
	}
	if q.Difference {
		return worse
	}
	return math.Expm1(worse)
}

// theta is the edge of the null and target the truth to be found, as paired
// differences.
func (q Question) theta() (theta, target float64) {
	if q.Goal == Better {
		return 0, q.Worse(-q.MinEffect)
	}
	return q.Worse(q.Tolerance), 0
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

// futile is ln of how much better the edge of the null must explain the pairs
// than the smallest effect of interest does for a candidate to be given up.
const futile = 3.3

// futileStep bounds what one pair says about that.
const futileStep = 3.0

// BrokenAfter is how many equal samples of one arm tell of a broken timer.
const BrokenAfter = 8

// Decider judges one candidate by pairs, as few as it can. Equal pairs give
// equal decisions.
type Decider struct {
	q             Question
	theta, target float64
	bar           float64

	pairs   *Pairs
	claim   *Process // that the goal is met
	against *Process // that it is not
	lack    float64  // evidence that more pairs are not worth it
	first   [2]float64
	same    [2]bool // every sample of the arm so far is the first
	bad     string
}

// NewDecider starts a candidate. night is what is known of the noise so far; it
// is only read. The question must have passed Check.
func NewDecider(q Question, night *Noise) *Decider {
	d := newDecider(q, NewPairs(night))
	d.same = [2]bool{!q.Repeats, !q.Repeats}
	return d
}

func newDecider(q Question, pairs *Pairs) *Decider {
	d := &Decider{q: q, pairs: pairs, bar: LogBar(q.Candidates, q.Alpha)}
	d.theta, d.target = q.theta()
	d.claim = pairs.Process(Below, d.theta, d.shift())
	d.against = pairs.Process(Above, d.theta, d.shift())
	return d
}

// shift is how far beyond the edge of the null the bets look.
func (d *Decider) shift() float64 { return d.theta - d.target }

// least is how far beyond the edge of the null the truth must lie to be worth
// more pairs. A wide tolerance has room for much that is worse than equal: a
// candidate is given up for being at the edge, not for being far from equal.
func (d *Decider) least() float64 {
	if d.q.MinEffect == 0 {
		return d.shift()
	}
	return min(d.shift(), d.q.Worse(d.q.MinEffect))
}

// Add appends one pair of samples, baseline a and candidate b. What cannot be
// a sample of the metric, or of any timer, ends the candidate: it is never
// promoted.
func (d *Decider) Add(a, b float64) {
	if d.bad != "" {
		return
	}
	n := d.pairs.Len()
	for i, x := range [2]float64{a, b} {
		if math.IsNaN(x) || math.IsInf(x, 0) || !d.q.Difference && x <= 0 {
			d.Refuse(fmt.Sprintf("pair %d holds the sample %v: %s", n, x, d.wants()))
			return
		}
		if n == 0 {
			d.first[i] = x
		}
		d.same[i] = d.same[i] && x == d.first[i]
	}
	diff := b - a
	if !d.q.Difference {
		diff = math.Log(b) - math.Log(a)
	}
	if d.q.Higher {
		diff = -diff
	}
	d.addWorse(diff)
	if n+1 == BrokenAfter && d.constant() {
		d.Refuse(fmt.Sprintf("%d samples of one arm are all the same: the timer is broken", n+1))
	}
}

// addWorse appends a difference, larger = worse.
func (d *Decider) addWorse(diff float64) {
	d.pairs.Add(diff)
	d.lack += d.misfit(d.pairs.models[d.pairs.Len()-1], diff)
}

func (d *Decider) wants() string {
	if d.q.Difference {
		return "a difference needs finite values"
	}
	return "a ratio needs finite values over 0"
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

// misfit is what one pair says for the edge of the null against the least that
// is worth more pairs.
func (d *Decider) misfit(m Model, diff float64) float64 {
	if m.Scale == 0 {
		return 0
	}
	return max(-futileStep, min(futileStep, m.logRatio(diff, d.theta-d.least(), d.theta)))
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
	n := float64(PairsToReach(d.bar))
	if m := d.pairs.belief(); m.Scale > 0 {
		n = max(n, d.q.FixedPairs(m.Scale*madOf(m.Nu)))
	}
	return int(min(pairsMost, CapFactor*n))
}

func (d *Decider) constant() bool { return d.same[0] || d.same[1] }

// Shown reports that the goal is met; a constant arm shows nothing.
func (d *Decider) Shown() bool { return !d.constant() && d.claim.LogE() >= d.bar }

// Futile reports that the edge of the null explains the pairs so much better
// than what is looked for that the candidate is given up. It is non-binding: giving up
// costs power, never validity. An arm that has not varied yet is measured on:
// its timer may be broken, and that is said instead.
func (d *Decider) Futile() bool { return d.lack >= futile && !d.constant() }

// Refuted reports that the opposite of the claim is shown, at the same bar.
func (d *Decider) Refuted() bool { return d.against.LogE() >= d.bar }

// Refused is why the samples cannot be judged, or "".
func (d *Decider) Refused() string { return d.bad }

// Pairs are the differences so far; they are only read.
func (d *Decider) Pairs() *Pairs { return d.pairs }

// Done reports that no further pair is wanted.
func (d *Decider) Done() bool {
	return d.bad != "" || d.Shown() || d.Futile() || (d.pairs.Len() > 0 && d.pairs.Len() >= d.cap())
}

// Next is how many pairs to measure before anything can be decided, so that
// asking for all of them at once costs nothing; 0 when done.
func (d *Decider) Next() int {
	if d.Done() {
		return 0
	}
	if d.pairs.belief().Scale == 0 {
		return max(1, ownFew-d.pairs.Len())
	}
	up := (d.bar - d.claim.LogE()) / math.Log1p(stake)
	down := (futile - d.lack) / d.mostMisfit()
	left := float64(max(1, d.cap()-d.pairs.Len()))
	return int(max(1, math.Ceil(min(up, down, left))))
}

// mostMisfit is the most that one pair can say for giving up.
func (d *Decider) mostMisfit() float64 {
	m := d.pairs.belief()
	if m.normal() {
		return futileStep
	}
	// the ratio of t densities is largest where its derivative is 0
	half := d.least() / 2
	x := half + math.Sqrt(float64(half*half)+float64(m.Nu*m.Scale*m.Scale))
	return min(futileStep, m.logRatio(d.theta-d.least()+x, d.theta-d.least(), d.theta)) + 1e-9
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
	out := Decision{LogE: d.claim.LogE(), LogBar: d.bar, Pairs: d.pairs.Len(), Estimate: d.Estimate()}
	n := d.pairs.Len()
	switch {
	case d.bad != "":
		out.Reason = d.bad
	case d.Shown():
		out.Promote, out.Reason = true, "shown"
	case d.Futile():
		out.Reason = "futile: no effect explains the pairs better than the smallest effect of interest"
	case n >= d.cap():
		out.Reason = fmt.Sprintf("not shown within %d pairs", n)
	default:
		out.Reason = "not decided yet"
	}
	return out
}

// Estimate of the change, as measured (ratio: −.031 is 3.1 % lower): maximum
// likelihood under the belief. A crossing happens where the evidence is high,
// so the estimate overstates the effect there: for a random walk and a line to
// first order by Δ/ln(bar), whatever the truth (Siegmund, "Sequential
// Analysis", 1985, ch. 3; Whitehead, "On the bias of maximum likelihood
// estimation following a sequential test", 1986). With steps that are large
// against the line it overstates less; overstated is how much less, fitted to
// simulations (docs/statistics.md). That is taken back.
func (d *Decider) Estimate() float64 {
	x := d.pairs.centre()
	if m := d.pairs.belief(); m.Scale > 0 && d.pairs.Len() > 0 && d.Shown() {
		x += overstated(math.Abs(d.theta-x)*m.information()) * d.shift() / d.bar
	}
	return d.q.Change(x)
}

// overstated is the overstatement at a crossing in units of Δ/ln(bar), by the
// effect in standard errors of one pair.
func overstated(steps float64) float64 { return 1.4 * math.Exp(-1.15*steps) }

// Claim is the log e-value for the goal.
func (d *Decider) Claim() float64 { return d.claim.LogE() }

// Process is the e-process on another edge, by the same bets on the same
// pairs.
func (d *Decider) Process(side Side, theta float64) *Process {
	return d.pairs.Process(side, theta, d.shift())
}

// Race is what Process said after 1..Len pairs.
func (d *Decider) Race(side Side, theta float64) []float64 {
	return d.pairs.Race(side, theta, d.shift())
}

// Edge is the paired difference at which the goal's null begins.
func (d *Decider) Edge() float64 { return d.theta }

// Interval is the confidence sequence of the change, as measured, at the stop:
// it covers at every n at once with probability 1−alpha. An end that cannot be
// told is infinite, and −1 for a ratio that may have fallen to nothing.
func (d *Decider) Interval(alpha float64) (lower, upper float64) {
	lo, hi := d.pairs.Interval(alpha, d.shift())
	if d.q.Higher {
		lo, hi = hi, lo
	}
	return d.q.Change(lo), d.q.Change(hi)
}

// WorseMost is the upper confidence limit, at 1−alpha at every n at once, of
// the paired difference; +Inf while it cannot be told.
func (d *Decider) WorseMost(alpha float64) float64 {
	return d.pairs.edge(Below, 2*alpha, d.shift())
}
