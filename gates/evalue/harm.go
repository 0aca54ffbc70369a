package evalue

import "math"

// Harm is an e-process for "δ has risen above theta", whenever that began: a
// canary's alarm. Half of the first wealth bets from the first pair on, the
// other half enters in equal parts at each of the first horizon pairs:
//
//	R_n = (R_{n−1} + w_n)·L_n,   K_n = R_n + (1 − Σ_{i≤n} w_i)
//
// Like the Shiryaev–Roberts detector it notices harm that begins late; unlike
// it (whose guarantee is a mean run length) P(∃n: K_n ≥ 1/α) ≤ α, since K is a
// mixture of e-processes over when to begin to bet (Shin, Ramdas, Rinaldo,
// "E-detectors", 2023, with a proper prior on the change).
//
// Assumption: given the past, a difference is symmetric about δ.
type Harm struct {
	theta, shift float64
	horizon      int
	pairs        *Pairs
	r            wealth
	left         float64
}

// Line is how much worse, as a change, is harm to a canary: the tolerance less
// half of it, at most half of the smallest effect of interest. A candidate that
// is staged has been shown to be inside the whole of its tolerance, so what
// serves people and is seen to be close to using it up is not waited for; a wide
// tolerance keeps nearly all of its width.
func (q Question) Line() float64 { return q.Tolerance - min(q.Tolerance, q.MinEffect)/2 }

// harm is the line as a paired difference, and how far above it one looks: for
// worse than the tolerance by the smallest effect of interest.
func (q Question) harm() (theta, shift float64) {
	theta = q.Worse(q.Line())
	return theta, q.Worse(q.Tolerance+q.MinEffect) - theta
}

// NewHarm looks for a metric that is worse than the question's line. night is what is known of the noise, the zero Noise if nothing;
// harm that begins after horizon pairs is still seen, by bets under way.
func NewHarm(q Question, night *Noise, horizon int) *Harm {
	h := &Harm{horizon: max(1, horizon), pairs: NewPairs(night), r: newWealth(), left: .5}
	h.theta, h.shift = q.harm()
	h.r.scale(.5)
	return h
}

// Add appends one difference, larger = worse. It must be finite.
func (h *Harm) Add(d float64) {
	n := h.pairs.Len()
	if n > 0 && n < h.horizon {
		w := .5 / float64(h.horizon)
		h.r.enter(w)
		h.left -= w
	}
	h.pairs.Add(d)
	h.r.bet(h.pairs.models[n], d-h.theta, h.shift)
}

// Len is the number of pairs.
func (h *Harm) Len() int { return h.pairs.Len() }

// LogE is ln K now.
func (h *Harm) LogE() float64 {
	return logSumExp([]float64{h.r.log(), math.Log(max(h.left, 1e-300))})
}

// Detector is the Shiryaev–Roberts e-detector M_t = (M_{t−1}+1)·L_t on the
// one-step e-values of the bets, with alarm at M ≥ 1/alpha: the mean run length
// to a false alarm is at least 1/alpha (Shin, Ramdas, Rinaldo, "E-detectors",
// 2023). Unlike an e-process it never loses what it needs to notice a change
// that begins late; its guarantee is a run length, not a probability.
type Detector struct {
	theta, shift float64
	pairs        *Pairs
	sr, cusum    wealth
}

// NewDetector looks for what NewHarm looks for.
func NewDetector(q Question, night *Noise) *Detector {
	s := &Detector{pairs: NewPairs(night), sr: newWealth(), cusum: newWealth()}
	s.theta, s.shift = q.harm()
	s.sr.scale(0)
	return s
}

// Step adds one difference and returns the logarithms of the detector and of
// its CUSUM form max(M_{t−1}, 1)·L_t.
func (s *Detector) Step(d float64) (logSR, logCUSUM float64) {
	n := s.pairs.Len()
	s.pairs.Add(d)
	m := s.pairs.models[n]
	s.sr.enter(1)
	s.cusum.restart()
	s.sr.bet(m, d-s.theta, s.shift)
	s.cusum.bet(m, d-s.theta, s.shift)
	return s.sr.log(), s.cusum.log()
}
