package adapt

import (
	"math"
	"slices"
)

// surface searches by a response surface (Box and Wilson 1951): a quadratic of
// the knobs whose coefficients a Kalman filter learns from every question, so
// that one loss says something of all knobs at once and nothing measured is
// thrown away, as a difference of two losses is in SPSA. It recommends the least
// point of the quadratic, no further from the last than it trusts it, and asks
// around that: each knob as far as is not known where its best is (Thompson
// 1933, with the diagonal of the covariance).
//
// Few knobs have the whole matrix of second derivatives, many have its
// diagonal. What the quadratic does not say is not noise: noise is measured by
// asking now and then the same point twice, and the rest says that the
// coefficients wander (a drift, a bend), so that they are learned faster. A loss
// beyond three standard deviations counts as one at three (Huber 1964); several
// in a row say that the landscape jumped: then the search is where it was best,
// keeps the curvature and learns the slope again. Where that happens again at
// once, it begins anew with what losses differ by now. How often it had to do
// so tells that a quadratic does not fit.
type surface struct {
	Seed  uint64    `json:"seed"`
	Step  []float64 `json:"step"` // the most that a knob may move at once
	Mean  []float64 `json:"mean"` // the recommended point
	Asked uint64    `json:"asked"`

	// before the quadratic: losses around one point, for their unit. The point
	// itself is no question: knobs that stay are no move for Tier 1
	Begun  bool        `json:"begun"` // false: these are being collected
	Wide   float64     `json:"wide"`  // the most that a question's knob is off, a standard deviation
	Points [][]float64 `json:"points"`
	Losses []float64   `json:"losses"`

	Zero   float64   `json:"zero"` // losses are counted from here
	Unit   float64   `json:"unit"` // in these
	Anchor []float64 `json:"anchor"`
	Theta  []float64 `json:"theta"` // slope at the anchor, second derivatives: diagonal, then below it by rows; the level last
	P      []float64 `json:"p"`     // their covariance, the lower triangle by rows
	Turn   int       `json:"turn"`  // the knob whose anchor is moved next

	LastAt   []float64 `json:"last_at"` // the question before; empty: there is none to repeat
	LastLoss float64   `json:"last_loss"`
	Repeats  int       `json:"repeats"`
	Noise    float64   `json:"noise"`  // variance of a loss, in Unit²
	Wander   float64   `json:"wander"` // how far an optimum may move a question, in surfaceUnit
	Trust    float64   `json:"trust"`  // share of the longest step

	Surprise float64   `json:"surprise"` // CUSUM of squared errors
	Opened   uint64    `json:"opened"`   // the question at which everything was learned again
	Smooth   float64   `json:"smooth"`   // moving average of losses
	Good     float64   `json:"good"`     // the least that it was since, and where
	GoodAt   []float64 `json:"good_at"`
	Off      float64   `json:"off"`   // mean standard deviation of the last question's knobs
	Unfit    float64   `json:"unfit"` // how often it began anew, forgotten over 1,000 questions

	phi, k, step, slope, hess []float64 // scratch
}

// Chosen on the tuning worlds of docs/runtime.md.
const (
	surfaceUnit   = .1  // of a knob's range; the quadratic's lengths are in it
	surfaceFirst  = 6   // losses before there is a quadratic
	surfaceWide   = .03 // standard deviation of first questions
	surfaceNarrow = .003
	surfaceLeast  = 2e-4 // of any question: a drift must be seen
	surfaceReach  = 2.   // how far an optimum may be, in surfaceUnit
	surfaceFull   = 12   // knobs that have a whole matrix
	surfaceCross  = .2   // second derivatives off the diagonal ÷ on it, at first
	surfaceFlat   = .02  // least curvature that is believed ÷ mean curvature
	surfaceLook   = .5   // variance of a question ÷ variance of the best value
	surfaceEvery  = 8    // questions, of which the last repeats the one before

	surfaceStride = .2 // the longest step of the recommended point, root mean square, in surfaceUnit
	surfaceShrink = .8 // of trust, for a loss two standard deviations above
	surfaceGrow   = 1.02
	surfaceDoubt  = .05 // least trust

	surfaceExact  = .01  // noise of a loss ÷ what is not known of it, at least
	surfaceWander = .001 // at first
	surfaceSteady = 1e-5 // least and most
	surfaceFast   = .3
	surfaceAdapt  = .15
	surfaceBend   = .1 // change of curvature, its share a surfaceUnit moved
	surfaceMemory = .3 // wander of curvature ÷ wander of slope
	surfaceKept   = .5 // share of a curvature that is open after a jump

	surfaceSlack  = 3.  // of a squared error; 9 is the most
	surfaceAlarm  = 18. // three surprises
	surfaceSmooth = .1
	surfaceUnfit  = 3. // beginnings after which the search is another's
	surfaceMost   = 1e80
)

func newSurface(seed uint64, start, step []float64) *surface {
	d := len(start)
	s := &surface{Seed: seed, Step: slices.Clone(step), Mean: slices.Clone(start), Anchor: slices.Clone(start), GoodAt: slices.Clone(start),
		Wide: surfaceWide, Trust: 1, LastAt: make([]float64, 0, d), Losses: make([]float64, 0, surfaceFirst)}
	p := s.size()
	s.Theta, s.P = make([]float64, p), make([]float64, p*(p+1)/2)
	s.scratch()
	return s
}

func (s *surface) full() bool { return len(s.Mean) <= surfaceFull }

// size is how many coefficients there are.
func (s *surface) size() int {
	d := len(s.Mean)
	if s.full() {
		return d + d*(d+1)/2 + 1
	}
	return 2*d + 1
}

func (s *surface) scratch() {
	d, p := len(s.Mean), s.size()
	s.phi, s.k, s.step, s.slope = make([]float64, p), make([]float64, p), make([]float64, d), make([]float64, d)
	if s.full() {
		s.hess = make([]float64, d*d)
	}
}

// variance is where that of a coefficient is.
func (s *surface) variance(i int) *float64 { return &s.P[i*(i+1)/2+i] }

// cross is the index of the second derivative by two different knobs.
func (s *surface) cross(i, j int) int {
	i, j = max(i, j), min(i, j)
	return 2*len(s.Mean) + i*(i-1)/2 + j
}

// curves are the mean curvature of all knobs and the least that is believed.
func (s *surface) curves() (mean, least float64) {
	d := len(s.Mean)
	for _, h := range s.Theta[d : 2*d] {
		mean += math.Abs(h)
	}
	mean /= float64(d)
	return mean, max(surfaceFlat*mean, 1e-150)
}

// again reports that the next question repeats the one before.
func (s *surface) again() bool {
	if !s.Begun {
		return len(s.Losses) == surfaceFirst-1 && len(s.LastAt) > 0
	}
	return s.Asked%surfaceEvery == surfaceEvery-1 && len(s.LastAt) > 0
}

func (s *surface) Ask(out []float64) {
	if s.again() {
		copy(out, s.LastAt)
		return
	}
	d := len(s.Mean)
	_, least := s.curves()
	s.Off = 0
	for i, m := range s.Mean {
		sd := s.Wide
		if s.Begun {
			sd = surfaceUnit * math.Sqrt(surfaceLook*max(*s.variance(i), 0)) / max(s.Theta[d+i], least)
			sd = min(max(sd, surfaceLeast), s.Wide*s.Trust)
		}
		s.Off += sd / float64(d)
		far := min(sd*math.Sqrt(12), s.Step[i]*2/3)
		out[i] = min(max(m+float64(far*(Uniform(s.Seed, s.Asked, uint64(i))-.5)), 0), 1)
	}
}

func (s *surface) Tell(at []float64, loss float64) {
	again := s.again() && slices.Equal(at, s.LastAt)
	s.Asked++
	s.Unfit *= 1 - 1./1000
	if !usable(loss) {
		s.shy(at)
		return
	}
	if !s.Begun {
		s.collect(at, loss, again)
		return
	}
	y := s.count(loss)
	if again {
		s.repeated(y - s.LastLoss)
	}
	s.LastAt, s.LastLoss = append(s.LastAt[:0], at...), y
	s.Smooth += surfaceSmooth * (y - s.Smooth)
	if !s.learn(at, y) || s.lost() {
		s.reopen(y)
		return
	}
	if s.Smooth < s.Good {
		s.Good, s.GoodAt = s.Smooth, append(s.GoodAt[:0], s.Mean...)
	}
	s.move()
}

// shy takes a loss that is no number for a bad one: what was asked must not be
// tried again. It goes half the way back to the last point that was measured.
func (s *surface) shy(at []float64) {
	if s.Begun && !s.learn(at, s.LastLoss+1) {
		s.Surprise = 0 // of a jump it says nothing
	}
	to := s.GoodAt
	if len(s.LastAt) > 0 {
		to = s.LastAt
	}
	for i := range s.Mean {
		s.Mean[i] = (s.Mean[i] + to[i]) / 2
	}
	s.Trust = max(s.Trust/2, surfaceDoubt)
}

// count is a loss in the surface's unit.
func (s *surface) count(loss float64) float64 {
	const most = 1e30 // no unit is good for more
	return min(max(loss/s.Unit-s.Zero/s.Unit, -most), most)
}

// repeated learns the noise from the difference of two losses of one point.
func (s *surface) repeated(d float64) {
	s.Repeats++
	s.Noise += max(.1, 1/float64(s.Repeats+1)) * (min(d*d/2, 9*s.Noise+.1) - s.Noise)
}

// lost reports that half of what was gained is lost again, by more than noise.
func (s *surface) lost() bool {
	return s.Good < 0 && s.Asked-s.Opened > uint64(len(s.Theta)) && s.Smooth > s.Good/2+2*math.Sqrt(s.Noise*surfaceSmooth)
}

// collect takes the first losses, around the point, the last
// of them twice. Where all are the same, it looks further.
func (s *surface) collect(at []float64, loss float64, again bool) {
	s.Points, s.Losses = push(s.Points, at), append(s.Losses, loss)
	s.LastAt = append(s.LastAt[:0], at...)
	const n = surfaceFirst
	if len(s.Losses) < n {
		return
	}
	unit := 0.0
	for _, l := range s.Losses {
		unit = math.Hypot(unit, l/2-s.Losses[0]/2)
	}
	unit *= 2 / math.Sqrt(n-1)
	if !(unit > 1e-100) || unit > lossMax {
		s.Points, s.Losses, s.LastAt, s.Wide = s.Points[:0], s.Losses[:0], s.LastAt[:0], min(2*s.Wide, .25)
		return
	}
	if s.Repeats == 0 {
		s.Noise = .01
	} else {
		s.Noise = min(s.Noise*(s.Unit/unit)*(s.Unit/unit), 1)
	}
	s.Zero, s.Unit, s.Begun = s.Losses[0], unit, true
	apart := .1
	if again {
		apart = s.count(s.Losses[n-1]) - s.count(s.Losses[n-2])
	}
	s.repeated(apart)
	s.begin()
}

// begin makes the quadratic of the first losses.
func (s *surface) begin() {
	d := len(s.Mean)
	slope := surfaceUnit / (math.Sqrt(float64(d)) * s.Wide)
	curve := slope / surfaceReach
	clear(s.Theta)
	clear(s.P)
	copy(s.Anchor, s.Mean)
	for i := range s.Theta {
		v := s.variance(i)
		switch {
		case i < d:
			*v = slope * slope
		case i < 2*d:
			*v, s.Theta[i] = curve*curve, curve
		case i < len(s.Theta)-1:
			*v = surfaceCross * surfaceCross * curve * curve
		default:
			*v = 1
		}
	}
	s.opened()
	s.Smooth, s.Good, s.GoodAt = 0, 0, append(s.GoodAt[:0], s.Mean...)
	for i, l := range s.Losses {
		s.learn(s.Points[i], s.count(l))
	}
	s.LastLoss = s.count(s.Losses[len(s.Losses)-1])
	s.Points, s.Losses = s.Points[:0], s.Losses[:0]
	s.move()
}

func (s *surface) opened() {
	s.Wander, s.Trust, s.Surprise, s.Opened = surfaceWander, 1, 0, s.Asked
}

// reopen goes back to the best place that is known and learns again; the second
// time within as many questions as there are coefficients, from nothing.
func (s *surface) reopen(e float64) {
	if s.Smooth > s.Good {
		copy(s.Mean, s.GoodAt)
	}
	s.Good, s.GoodAt = s.Smooth, append(s.GoodAt[:0], s.Mean...)
	if s.Asked-s.Opened < uint64(len(s.Theta)) {
		s.restart()
		return
	}
	for i := range s.Mean {
		s.reanchor(i)
	}
	d := len(s.Mean)
	_, least := s.curves()
	clear(s.P)
	for i := range d {
		h := max(s.Theta[d+i], least)
		*s.variance(i) = h * h * surfaceReach * surfaceReach
		*s.variance(d + i) = h * h * surfaceKept * surfaceKept
		for j := 0; s.full() && j < i; j++ {
			*s.variance(s.cross(i, j)) = h * max(s.Theta[d+j], least) * surfaceKept * surfaceKept
		}
	}
	*s.variance(len(s.Theta) - 1) = e * e
	s.opened()
}

func (s *surface) restart() {
	s.Unfit++
	s.Begun, s.LastAt, s.Points, s.Losses = false, s.LastAt[:0], s.Points[:0], s.Losses[:0]
	s.Wide = min(max(3*s.Off, surfaceNarrow), surfaceWide)
}

func (s *surface) Best(out []float64) { copy(out, s.Mean) }

// valid also makes the scratch space.
func (s *surface) valid(d int) bool {
	if !inCube(s.Mean, d) || !inCube(s.Anchor, d) || !inCube(s.GoodAt, d) || len(s.LastAt) > 0 && !inCube(s.LastAt, d) || len(s.Step) != d {
		return false
	}
	p := s.size()
	ok := len(s.Theta) == p && len(s.P) == p*(p+1)/2 && allUsable(s.Theta) && allUsable(s.P) && allUsable(s.Step) &&
		len(s.Points) == len(s.Losses) && len(s.Losses) < surfaceFirst && (!s.Begun || len(s.Losses) == 0 && s.Unit > 0) && allUsable(s.Losses) &&
		s.Wide > 0 && s.Wide <= .25 && s.Turn >= 0 && s.Turn < d && s.Unit >= 0 && s.Trust > 0 && s.Trust <= 1 && s.Wander >= 0 && s.Wander <= surfaceFast &&
		s.Noise >= 0 && s.Repeats >= 0 && s.Opened <= s.Asked && s.Unfit >= 0 &&
		allUsable([]float64{s.Zero, s.Unit, s.LastLoss, s.Noise, s.Surprise, s.Smooth, s.Good, s.Off, s.Unfit})
	for _, x := range s.Points {
		ok = ok && inCube(x, d)
	}
	for _, v := range s.Step {
		ok = ok && v >= 0
	}
	if ok {
		s.scratch()
	}
	return ok
}
