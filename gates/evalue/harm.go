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
	night        *Noise
	horizon      int
	own          Decider // holds the pairs and believes in a model, nothing more
	r            wealth
	left         float64
}

// NewHarm looks for a shift of the log ratio beyond theta by shift > 0. night
// is what is known of the noise, the zero Noise if nothing; harm that begins
// after horizon pairs is still seen, by bets that are under way.
func NewHarm(theta, shift float64, night *Noise, horizon int) *Harm {
	h := &Harm{theta: theta, shift: shift, night: night, horizon: max(1, horizon), left: .5}
	h.own.night = night
	h.own.base, h.own.based = night.Model()
	h.r = newWealth()
	h.r.scale(.5)
	return h
}

// Add appends one difference, larger = worse. It must be finite.
func (h *Harm) Add(d float64) {
	if n := h.own.pairs.Len(); n > 0 && n < h.horizon {
		w := .5 / float64(h.horizon)
		h.r.enter(w)
		h.left -= w
	}
	m := h.own.model()
	h.own.pairs.Add(d)
	h.r.bet(m, d-h.theta, h.shift)
}

// Len is the number of pairs.
func (h *Harm) Len() int { return h.own.pairs.Len() }

// LogE is ln K now.
func (h *Harm) LogE() float64 {
	return logSumExp([]float64{h.r.log(), math.Log(max(h.left, 1e-300))})
}

// scale multiplies the wealth.
func (k *wealth) scale(by float64) {
	for j := range k.w {
		k.w[j] *= by
	}
}

// enter adds fresh wealth, spread over the components as at the start. What
// had been lost beyond the range of a float is lost.
func (k *wealth) enter(w float64) {
	for j, c := range components {
		if k.logs[j] < 0 {
			k.w[j] *= math.Exp(k.logs[j])
			k.logs[j] = 0
		}
		k.w[j] += float64(w*c.weight) * math.Exp(-k.logs[j])
	}
}
