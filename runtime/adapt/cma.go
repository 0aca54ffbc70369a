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
// A watchful one does five things more, for landscapes that move and losses
// with noise: a response surface searches before it, for as long as a quadratic
// fits, and again after a jump; it learns from the worse half of a generation
// too (active CMA, eq. 47 with negative weights); a generation that is worse
// than the one before by more than both explain is such a jump; the best point
// of each generation is measured twice, and where the two differ as much as the
// generation does, generations grow; and the spread never falls so far that a
// drift could not be followed.
type cma struct {
	Seed     uint64 `json:"seed"`
	Watchful bool   `json:"watchful"`

	Step       []float64 `json:"step"` // the most that a knob may move at once
	Mean       []float64 `json:"mean"`
	PSigma     []float64 `json:"p_sigma"`
	PC         []float64 `json:"p_c"`
	Sigma      float64   `json:"sigma"`
	C          []float64 `json:"c"`     // d×d by rows, lower triangle
	A          []float64 `json:"a"`     // its factor
	Shape      []float64 `json:"shape"` // standard deviation of each knob ÷ Sigma where a search begins
	Lambda     int       `json:"lambda"`
	Generation uint64    `json:"generation"`
	Stale      int       `json:"stale"` // generations since C was factored

	Points  [][]float64 `json:"points"` // as tried, in order of asking
	Losses  []float64   `json:"losses"`
	Repeat  bool        `json:"repeat"` // the next question repeats the generation's best
	Again   int         `json:"again"`  // which it was
	Noise   float64     `json:"noise"`
	Spread  float64     `json:"spread"`
	Last    float64     `json:"last"` // median loss of the generation before
	LastSD  float64     `json:"last_sd"`
	Worse   int         `json:"worse"`   // generations in a row
	Restful int         `json:"restful"` // generations since the last restart
	Surface *surface    `json:"surface"` // what searches instead; nil: it did not fit

	weights []float64 // of λ, and what depends on them
	muEff, cSigma,
	dSigma, cc, c1,
	cMu, chi float64 // eq. 49, 53–58
	against []float64 // weights of the worse half, below 0; only a watchful one's

	z, white, step, sorted, reach, factors []float64 // scratch
	order                                  []int
	ys                                     [][]float64
}

const (
	cmaSigma      = .06 // at the start
	cmaHandOver   = .02 // after a response surface
	cmaSigmaMin   = 1e-9
	cmaSigmaTrack = 2e-4 // a watchful one's
)

func newCMA(seed uint64, start, step []float64, watchful bool) *cma {
	d := len(start)
	s := &cma{Seed: seed, Watchful: watchful, Step: slices.Clone(step), Mean: slices.Clone(start), Sigma: cmaSigma,
		PSigma: make([]float64, d), PC: make([]float64, d), C: make([]float64, d*d), A: make([]float64, d*d), Shape: make([]float64, d)}
	for i := range d {
		s.Shape[i] = min(1, step[i]/cmaSigma)
	}
	s.round()
	s.size(s.lambdaDefault())
	if watchful {
		s.Surface = newSurface(seed, start, step)
	}
	return s
}

// surfaced tells the response surface, where there is one, and takes over from
// one that does not fit. It reports whether the loss was the surface's.
func (s *cma) surfaced(at []float64, loss float64) bool {
	if s.Surface == nil {
		return false
	}
	s.Surface.Tell(at, loss)
	if s.Surface.Unfit > surfaceUnfit {
		s.Mean, s.Sigma, s.Surface = s.Surface.Mean, cmaHandOver, nil
	}
	return true
}

// round gives the search the shape that it begins with.
func (s *cma) round() {
	d := len(s.Mean)
	clear(s.C)
	clear(s.A)
	for i, v := range s.Shape {
		s.C[i*d+i], s.A[i*d+i] = v*v, v
	}
}

func (s *cma) lambdaDefault() int { return 4 + int(3*math.Log(float64(len(s.Mean)))) } // eq. 48

// size sets λ and what depends on it.
func (s *cma) size(lambda int) {
	n := float64(len(s.Mean))
	s.Lambda = lambda
	mu := lambda / 2
	s.weights = slices.Grow(s.weights[:0], s.lambdaDefault())[:mu]
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
	s.oppose(n)
	s.chi = math.Sqrt(n) * (1 - 1/(4*n) + 1/(21*n*n)) // E‖N(0, I)‖
}

// oppose sets the weights of the worse half of a generation (eq. 49–53): the
// search narrows where steps led to losses. They add up to no more than what
// keeps C positive definite (eq. 52).
func (s *cma) oppose(n float64) {
	s.against = s.against[:0]
	if !s.Watchful {
		return
	}
	s.against = slices.Grow(s.against, s.lambdaDefault()+1)
	sum, squares := 0.0, 0.0
	for i := len(s.weights); i < s.Lambda; i++ {
		w := math.Log(float64(s.Lambda+1)/2) - math.Log(float64(i+1))
		s.against = append(s.against, min(w, 0))
		sum += min(w, 0)
		squares += min(w, 0) * min(w, 0)
	}
	muEff := sum * sum / squares
	most := min(1+s.c1/s.cMu, 1+2*muEff/(s.muEff+2), (1-s.c1-s.cMu)/(n*s.cMu))
	for i := range s.against {
		s.against[i] *= most / -sum
	}
}

func (s *cma) Ask(out []float64) {
	if s.Surface != nil {
		s.Surface.Ask(out)
		return
	}
	if s.Repeat {
		copy(out, s.Points[s.Again])
		return
	}
	d, k := len(s.Mean), uint64(len(s.Points))
	s.z = s.z[:0]
	for i := range d {
		s.z = append(s.z, Normal(s.Seed, s.Generation, k, uint64(i)))
	}
	for i, m := range s.Mean {
		out[i] = min(max(m+s.Sigma*dot(s.A[i*d:i*d+i+1], s.z[:i+1]), 0), 1)
	}
}

func (s *cma) Tell(at []float64, loss float64) {
	if s.surfaced(at, loss) {
		return
	}
	if !usable(loss) {
		loss = lossMax
	}
	if s.Repeat {
		s.Repeat = false
		if slices.Equal(at, s.Points[s.Again]) {
			s.remeasured(loss)
		}
		s.update()
		return
	}
	s.Points = push(s.Points, at)
	s.Losses = append(s.Losses, loss)
	if len(s.Points) < s.Lambda {
		return
	}
	if s.Watchful && (s.Noise > cmaQuiet*s.Spread || s.Generation%4 == 0) {
		s.Again = 0
		for i, l := range s.Losses {
			if l < s.Losses[s.Again] {
				s.Again = i
			}
		}
		s.Repeat = true
		return
	}
	s.update()
}

// remeasured compares what the best point lost twice with what the generation
// differs by. The first of the two was chosen for being small, so that only a
// share of the difference is noise.
func (s *cma) remeasured(loss float64) {
	if loss >= lossMax || s.Losses[s.Again] >= lossMax {
		return
	}
	d := loss - s.Losses[s.Again]
	s.Losses[s.Again] = (loss + s.Losses[s.Again]) / 2
	_, sd := s.middle()
	s.Spread += .2 * (float64(sd*sd) - s.Spread)
	s.Noise += .2 * (min(float64(d*d)/4, 4*s.Spread) - s.Noise) // a jump between the two is no noise
	most := 2 * s.lambdaDefault()
	switch {
	case s.Noise > .3*s.Spread && s.Lambda < most:
		s.size(min(most, s.Lambda+max(1, s.Lambda/8)))
	case s.Noise < .1*s.Spread && s.Lambda > s.lambdaDefault():
		s.size(max(s.lambdaDefault(), s.Lambda-max(1, s.Lambda/8)))
	}
}

// middle is the median of a generation's losses and half the distance of the
// outer sixths: a standard deviation that outliers do not move.
func (s *cma) middle() (median, sd float64) {
	s.sorted = append(s.sorted[:0], s.Losses...)
	l := s.sorted
	slices.Sort(l)
	n := len(l)
	return l[n/2], (l[n-1-n/6] - l[n/6]) / 2
}

// update is one generation: eq. 38–47.
func (s *cma) update() {
	if s.Watchful && s.jumped() {
		s.reopen()
		s.next()
		return
	}
	s.order = s.order[:0]
	for i := range s.Points {
		s.order = append(s.order, i)
	}
	slices.SortStableFunc(s.order, func(a, b int) int { return compare(s.Losses[a], s.Losses[b]) })
	s.ys = s.ys[:0]
	s.reach = s.reach[:0]
	step := append(s.step[:0], s.Mean...) // ⟨y⟩_w
	s.step = step
	clear(step)
	for r, at := range s.order {
		s.ys = push(s.ys, s.Mean)
		y := s.ys[r]
		for i, x := range s.Points[at] {
			y[i] = (x - s.Mean[i]) / s.Sigma
		}
		if r < len(s.weights) {
			for i, v := range y {
				step[i] += float64(s.weights[r] * v)
			}
		} else if r-len(s.weights) < len(s.against) {
			white := s.solve(y)
			s.reach = append(s.reach, float64(len(y))/max(dot(white, white), 1e-300)) // eq. 46
		} else {
			break
		}
	}
	for i := range s.Mean {
		s.Mean[i] = min(max(s.Mean[i]+float64(s.Sigma*step[i]), 0), 1)
	}
	white := s.solve(step)
	norm := 0.0
	for i := range white {
		s.PSigma[i] = float64((1-s.cSigma)*s.PSigma[i]) + math.Sqrt(s.cSigma*(2-s.cSigma)*s.muEff)*white[i] // eq. 43
		norm += s.PSigma[i] * s.PSigma[i]
	}
	norm = math.Sqrt(norm)
	s.covariance(s.ys, step, norm)
	s.Sigma *= math.Exp(math.Min(1, s.cSigma/s.dSigma*(norm/s.chi-1))) // eq. 44
	s.next()
}

func (s *cma) covariance(ys [][]float64, step []float64, norm float64) {
	d := len(s.Mean)
	h := 0.0
	if norm/math.Sqrt(1-math.Pow(1-s.cSigma, 2*float64(s.Generation+1))) < (1.4+2/float64(d+1))*s.chi {
		h = 1
	}
	for i := range s.PC {
		s.PC[i] = float64((1-s.cc)*s.PC[i]) + h*math.Sqrt(s.cc*(2-s.cc)*s.muEff)*step[i] // eq. 45
	}
	keep := 1 - s.c1 - s.cMu + (1-h)*s.c1*s.cc*(2-s.cc)
	against := s.against[:len(s.reach)] // λ may have grown since these were asked for
	for _, w := range against {
		keep -= s.cMu * w
	}
	for i := range d { // by rows: the same sums in the same order as by elements, at a third of the time
		row, pc := s.C[i*d:i*d+i+1], s.c1*s.PC[i]
		for j := range row {
			row[j] = float64(keep*row[j]) + float64(pc*s.PC[j])
		}
		f := s.factors[:0] // eq. 47
		for r, w := range s.weights {
			f = append(f, s.cMu*w*ys[r][i])
		}
		for r, w := range against {
			f = append(f, s.cMu*w*s.reach[r]*ys[len(s.weights)+r][i])
		}
		s.factors = f
		addOuter(row, f, ys)
	}
	if s.Stale++; float64(s.Stale) > .1/(s.c1+s.cMu)/float64(d) {
		s.Stale = 0
		s.factor()
	}
}

// addOuter adds Σ f[r]·ys[r] to a row of a lower triangle. Four vectors go at
// once, which reads and writes the row a quarter as often; every element still
// gets its summands one after the other, so the bits are those of one at a time.
func addOuter(row, f []float64, ys [][]float64) {
	r, n := 0, len(row)
	for ; r+4 <= len(f); r += 4 {
		f0, f1, f2, f3 := f[r], f[r+1], f[r+2], f[r+3]
		y0, y1, y2, y3 := ys[r][:n], ys[r+1][:n], ys[r+2][:n], ys[r+3][:n]
		for j, v := range row {
			v += float64(f0 * y0[j])
			v += float64(f1 * y1[j])
			v += float64(f2 * y2[j])
			row[j] = v + float64(f3*y3[j])
		}
	}
	for ; r < len(f); r++ {
		y := ys[r][:n]
		for j := range row {
			row[j] += float64(f[r] * y[j])
		}
	}
}

// next begins a generation.
func (s *cma) next() {
	s.Points, s.Losses = s.Points[:0], s.Losses[:0]
	s.Generation++
	floor := cmaSigmaMin
	if s.Watchful {
		floor = cmaSigmaTrack
	}
	s.Sigma = min(max(s.Sigma, floor), .5)
}

// jumped reports that the landscape moved: two generations in a row, all of
// whose points are worse than the median of the last good one by more than
// spread and noise explain.
func (s *cma) jumped() bool {
	median, sd := s.middle()
	s.Restful++
	if s.Generation == 0 || s.Restful < 3 {
		s.Last, s.LastSD, s.Worse = median, sd, 0
		return false
	}
	if slices.Min(s.Losses)-s.Last > cmaJumpSpreads*(s.LastSD+math.Sqrt(s.Noise)) {
		if s.Worse++; s.Worse >= 2 {
			return true
		}
		return false
	}
	s.Worse = 0
	// a generation that a jump has cut in two must not pass for a good one
	s.Last += min(median-s.Last, .2*(s.LastSD+math.Sqrt(s.Noise)))
	if s.LastSD > 0 {
		sd = min(sd, 4*s.LastSD)
	}
	s.LastSD += .3 * (sd - s.LastSD)
	return false
}

const cmaJumpSpreads = 1

// cmaQuiet is the share of noise in what a generation differs by below which
// only every fourth generation is measured for it.
const cmaQuiet = .02

// reopen gives the search to a response surface again, where it was. The shape
// that was learned is dropped: after a jump it is that of a place far away.
func (s *cma) reopen() {
	s.Surface = newSurface(Draw(s.Seed, s.Generation), s.Mean, s.Step)
	s.round()
	clear(s.PSigma)
	clear(s.PC)
	s.Restful, s.Worse, s.Noise, s.Spread = 0, 0, 0, 0
	s.size(s.lambdaDefault())
}

// factor sets a to the Cholesky factor of c; a c that has none is mended by
// its diagonal.
func (s *cma) factor() {
	d := len(s.Mean)
	for j := range d { // by columns: their elements do not wait for each other
		row := s.A[j*d : j*d+j]
		v := s.C[j*d+j] - dot(row, row)
		if least := 1e-14 * (1 + math.Abs(s.C[j*d+j])); !(v > least) {
			v = least
		}
		s.A[j*d+j] = math.Sqrt(v)
		for i := j + 1; i < d; i++ {
			s.A[i*d+j] = (s.C[i*d+j] - dot(s.A[i*d:i*d+j], row)) / s.A[j*d+j]
		}
	}
}

// solve returns a⁻¹·y, in scratch.
func (s *cma) solve(y []float64) []float64 {
	d := len(s.Mean)
	out := append(s.white[:0], y...)
	s.white = out
	for i := range d {
		out[i] = (y[i] - dot(s.A[i*d:i*d+i], out[:i])) / s.A[i*d+i]
	}
	return out
}

func (s *cma) Best(out []float64) {
	if s.Surface != nil {
		s.Surface.Best(out)
		return
	}
	copy(out, s.Mean)
}

// valid also computes what is not part of the state.
func (s *cma) valid(d int) bool {
	ok := (s.Surface == nil || s.Surface.valid(d)) && inCube(s.Mean, d) && len(s.PSigma) == d && len(s.PC) == d && len(s.C) == d*d && len(s.A) == d*d && len(s.Shape) == d && len(s.Step) == d && allUsable(s.Step) &&
		allUsable(s.PSigma) && allUsable(s.PC) && allUsable(s.C) && allUsable(s.A) && allUsable(s.Shape) && s.Sigma > 0 && s.Sigma <= .5 &&
		s.Lambda >= 2 && s.Lambda <= 2*s.lambdaDefault() && len(s.Points) == len(s.Losses) && len(s.Losses) <= s.Lambda && allUsable(s.Losses) &&
		s.Again >= 0 && (!s.Repeat || s.Again < len(s.Points)) && s.Noise >= 0 && finite(s.Noise) && s.Spread >= 0 && finite(s.Spread) && usable(s.Last) && usable(s.LastSD)
	for _, p := range s.Points {
		ok = ok && inCube(p, d)
	}
	for i := range s.Shape {
		ok = ok && s.A[i*d+i] > 0
	}
	if ok {
		s.size(s.Lambda)
	}
	return ok
}
