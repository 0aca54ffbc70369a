package adapt

import (
	"math"
	"slices"
)

// cma is CMA-ES in the unit cube; names and equations are those of Hansen,
// "The CMA Evolution Strategy: A Tutorial" (2016), except that C is factored
// by Cholesky, so that C^(−½)·y becomes the drawn z (Krause, Arbonès, Igel
// 2016). A point outside the cube is clipped, and the clipped point is what is
// learned from.
//
// A watchful one does three things more, for landscapes that move and losses
// with noise: a generation that is worse than the one before by more than both
// explain opens the search again; the best point of each
// generation is measured twice, and where the two differ as much as the
// generation does, generations grow; and the spread never falls so far that a
// drift could not be followed.
type cma struct {
	seed     uint64
	watchful bool

	mean, pSigma, pC []float64
	sigma            float64
	c, a             []float64 // C and its factor, d×d by rows, lower triangle
	weights          []float64
	muEff, cSigma,
	dSigma, cc, c1,
	cMu, chi float64 // eq. 49, 53–58
	lambda     int
	generation uint64
	stale      int // generations since C was factored

	points  [][]float64 // clipped, in order of asking
	losses  []float64
	repeat  bool // the next question repeats the generation's best
	again   int  // which it was
	noise   float64
	spread  float64
	last    float64 // median loss of the generation before
	lastSD  float64
	worse   int // generations in a row
	restful int // generations since the last restart
}

const (
	cmaSigma      = .06 // at the start
	cmaReopen     = .06 // after a jump
	cmaSigmaMin   = 1e-9
	cmaSigmaTrack = 2e-4 // a watchful one's
)

func newCMA(seed uint64, start []float64, watchful bool) *cma {
	d := len(start)
	s := &cma{seed: seed, watchful: watchful, mean: slices.Clone(start), sigma: cmaSigma,
		pSigma: make([]float64, d), pC: make([]float64, d), c: make([]float64, d*d), a: make([]float64, d*d)}
	for i := range d {
		s.c[i*d+i], s.a[i*d+i] = 1, 1
	}
	s.size(s.lambdaDefault())
	return s
}

func (s *cma) lambdaDefault() int { return 4 + int(3*math.Log(float64(len(s.mean)))) } // eq. 48

// size sets λ and what depends on it.
func (s *cma) size(lambda int) {
	n := float64(len(s.mean))
	s.lambda = lambda
	mu := lambda / 2
	s.weights = make([]float64, mu)
	sum, squares := 0.0, 0.0
	for i := range s.weights {
		s.weights[i] = math.Log(float64(lambda+1)/2) - math.Log(float64(i+1)) // eq. 49
		sum += s.weights[i]
	}
	for i := range s.weights {
		s.weights[i] /= sum
		squares += s.weights[i] * s.weights[i]
	}
	s.muEff = 1 / squares
	s.cSigma = (s.muEff + 2) / (n + s.muEff + 5)                            // eq. 55
	s.dSigma = 1 + 2*math.Max(0, math.Sqrt((s.muEff-1)/(n+1))-1) + s.cSigma // eq. 55
	s.cc = (4 + s.muEff/n) / (n + 4 + 2*s.muEff/n)                          // eq. 56
	s.c1 = 2 / ((n+1.3)*(n+1.3) + s.muEff)                                  // eq. 57
	s.cMu = math.Min(1-s.c1, 2*(s.muEff-2+1/s.muEff)/((n+2)*(n+2)+s.muEff)) // eq. 58
	s.chi = math.Sqrt(n) * (1 - 1/(4*n) + 1/(21*n*n))                       // E‖N(0, I)‖
}

func (s *cma) Ask() []float64 {
	if s.repeat {
		return slices.Clone(s.points[s.again])
	}
	d, k := len(s.mean), uint64(len(s.points))
	z := make([]float64, d)
	for i := range z {
		z[i] = Normal(s.seed, s.generation, k, uint64(i))
	}
	x := slices.Clone(s.mean)
	for i := range x {
		x[i] = min(max(x[i]+s.sigma*dot(s.a[i*d:i*d+i+1], z[:i+1]), 0), 1)
	}
	return x
}

func (s *cma) Tell(loss float64) {
	if !usable(loss) {
		loss = lossMax
	}
	if s.repeat {
		s.repeat = false
		s.remeasured(loss)
		s.update()
		return
	}
	s.points = append(s.points, s.Ask())
	s.losses = append(s.losses, loss)
	if len(s.points) < s.lambda {
		return
	}
	if s.watchful && (s.noise > cmaQuiet*s.spread || s.generation%4 == 0) {
		s.again = 0
		for i, l := range s.losses {
			if l < s.losses[s.again] {
				s.again = i
			}
		}
		s.repeat = true
		return
	}
	s.update()
}

// remeasured compares what the best point lost twice with what the generation
// differs by. The first of the two was chosen for being small, so that only a
// share of the difference is noise.
func (s *cma) remeasured(loss float64) {
	if loss >= lossMax || s.losses[s.again] >= lossMax {
		return
	}
	d := loss - s.losses[s.again]
	s.losses[s.again] = (loss + s.losses[s.again]) / 2
	_, sd := middle(s.losses)
	s.spread += .2 * (float64(sd*sd) - s.spread)
	s.noise += .2 * (min(float64(d*d)/4, 4*s.spread) - s.noise) // a jump between the two is no noise
	most := 2 * s.lambdaDefault()
	switch {
	case s.noise > .3*s.spread && s.lambda < most:
		s.size(min(most, s.lambda+max(1, s.lambda/8)))
	case s.noise < .1*s.spread && s.lambda > s.lambdaDefault():
		s.size(max(s.lambdaDefault(), s.lambda-max(1, s.lambda/8)))
	}
}

// middle is the median and half the distance of the outer sixths: a standard
// deviation that outliers do not move.
func middle(losses []float64) (median, sd float64) {
	l := slices.Clone(losses)
	slices.Sort(l)
	n := len(l)
	return l[n/2], (l[n-1-n/6] - l[n/6]) / 2
}

// update is one generation: eq. 38–47.
func (s *cma) update() {
	if s.watchful && s.jumped() {
		s.reopen()
		s.next()
		return
	}
	d := len(s.mean)
	order := make([]int, len(s.points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(s.losses[a], s.losses[b]) })
	ys := make([][]float64, len(s.weights))
	step := make([]float64, d) // ⟨y⟩_w
	for r, w := range s.weights {
		ys[r] = make([]float64, d)
		for i, x := range s.points[order[r]] {
			ys[r][i] = (x - s.mean[i]) / s.sigma
			step[i] += float64(w * ys[r][i])
		}
	}
	for i := range s.mean {
		s.mean[i] = min(max(s.mean[i]+float64(s.sigma*step[i]), 0), 1)
	}
	white := s.solve(step)
	norm := 0.0
	for i := range white {
		s.pSigma[i] = float64((1-s.cSigma)*s.pSigma[i]) + math.Sqrt(s.cSigma*(2-s.cSigma)*s.muEff)*white[i] // eq. 43
		norm += s.pSigma[i] * s.pSigma[i]
	}
	norm = math.Sqrt(norm)
	s.covariance(ys, step, norm)
	s.sigma *= math.Exp(math.Min(1, s.cSigma/s.dSigma*(norm/s.chi-1))) // eq. 44
	s.next()
}

func (s *cma) covariance(ys [][]float64, step []float64, norm float64) {
	d := len(s.mean)
	h := 0.0
	if norm/math.Sqrt(1-math.Pow(1-s.cSigma, 2*float64(s.generation+1))) < (1.4+2/float64(d+1))*s.chi {
		h = 1
	}
	for i := range s.pC {
		s.pC[i] = float64((1-s.cc)*s.pC[i]) + h*math.Sqrt(s.cc*(2-s.cc)*s.muEff)*step[i] // eq. 45
	}
	keep := 1 - s.c1 - s.cMu + (1-h)*s.c1*s.cc*(2-s.cc)
	for i := range d {
		for j := range i + 1 {
			v := float64(keep*s.c[i*d+j]) + float64(s.c1*s.pC[i]*s.pC[j])
			for r, w := range s.weights {
				v += float64(s.cMu * w * ys[r][i] * ys[r][j]) // eq. 47
			}
			s.c[i*d+j] = v
		}
	}
	if s.stale++; float64(s.stale) > .1/(s.c1+s.cMu)/float64(d) {
		s.stale = 0
		s.factor()
	}
}

// next begins a generation.
func (s *cma) next() {
	s.points, s.losses = nil, nil
	s.generation++
	floor := cmaSigmaMin
	if s.watchful {
		floor = cmaSigmaTrack
	}
	s.sigma = min(max(s.sigma, floor), .5)
}

// jumped reports that the landscape moved: two generations in a row, all of
// whose points are worse than the median of the last good one by more than
// spread and noise explain.
func (s *cma) jumped() bool {
	median, sd := middle(s.losses)
	s.restful++
	if s.generation == 0 || s.restful < 3 {
		s.last, s.lastSD, s.worse = median, sd, 0
		return false
	}
	if slices.Min(s.losses)-s.last > cmaJumpSpreads*(s.lastSD+math.Sqrt(s.noise)) {
		if s.worse++; s.worse >= 2 {
			return true
		}
		return false
	}
	s.worse = 0
	// a generation that a jump has cut in two must not pass for a good one
	s.last += min(median-s.last, .2*(s.lastSD+math.Sqrt(s.noise)))
	if s.lastSD > 0 {
		sd = min(sd, 4*s.lastSD)
	}
	s.lastSD += .3 * (sd - s.lastSD)
	return false
}

const cmaJumpSpreads = 1

// cmaQuiet is the share of noise in what a generation differs by below which
// only every fourth generation is measured for it.
const cmaQuiet = .02

// reopen begins a wider search where the last one was. The shape that was
// learned is dropped: after a jump it is that of a place far away, and where a
// landscape is steep it would keep the search narrow.
func (s *cma) reopen() {
	d := len(s.mean)
	clear(s.c)
	clear(s.a)
	for i := range d {
		s.c[i*d+i], s.a[i*d+i] = 1, 1
		s.pSigma[i], s.pC[i] = 0, 0
	}
	s.sigma = max(s.sigma, cmaReopen)
	s.restful, s.worse, s.noise, s.spread = 0, 0, 0, 0
	s.size(s.lambdaDefault())
}

// factor sets a to the Cholesky factor of c; a c that has none is mended by
// its diagonal.
func (s *cma) factor() {
	d := len(s.mean)
	for i := range d {
		for j := range i + 1 {
			v := s.c[i*d+j] - dot(s.a[i*d:i*d+j], s.a[j*d:j*d+j])
			if i != j {
				s.a[i*d+j] = v / s.a[j*d+j]
				continue
			}
			if least := 1e-14 * (1 + math.Abs(s.c[i*d+i])); !(v > least) {
				v = least
			}
			s.a[i*d+i] = math.Sqrt(v)
		}
	}
}

// solve returns a⁻¹·y.
func (s *cma) solve(y []float64) []float64 {
	d := len(s.mean)
	out := make([]float64, d)
	for i := range d {
		out[i] = (y[i] - dot(s.a[i*d:i*d+i], out[:i])) / s.a[i*d+i]
	}
	return out
}

func (s *cma) Best() []float64 { return slices.Clone(s.mean) }
