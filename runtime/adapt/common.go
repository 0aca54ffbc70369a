package adapt

import "math"

// A hypothesis is what may be believed of rewards: whether features move every
// arm in its own way or all arms alike (which they also do where they say
// nothing), and how fast what was seen is forgotten. The one that made late
// rewards the likelier is believed, so that a world where a request does not
// matter for the choice costs no exploration of features.
type hypothesis int

// The kinds of weights.
const (
	ownWeights  = iota // every arm has its own
	oneWeight          // all arms have the same, and levels of their own
	wideWeights        // every arm has its own, of products of features too; nothing is forgotten but at an alarm
	kinds
)

const hypotheses = kinds*models - 1

func hypothesisOf(kind, memory int) hypothesis { return hypothesis(kind*models + memory) }

func (h hypothesis) kind() int   { return int(h) / models }
func (h hypothesis) memory() int { return int(h) % models }

// level is what an arm earns apart from the weights of all: N(Mean, Var).
type level struct {
	Mean float64 `json:"mean"`
	Var  float64 `json:"var"`
}

func (l level) valid() bool { return usable(l.Mean) && l.Var >= 0 && usable(l.Var) }

// common is a regression of rewards on features with weights that all arms
// share and a level of each arm, drawn from N(Mean, Var): the mixed model of
// Laird and Ware 1982.
type common struct {
	Weights linear  `json:"weights"`
	Mean    float64 `json:"mean"` // of levels
	Var     float64 `json:"var"`
}

func (c *common) valid(d int) bool {
	return c.Weights.valid(d) && usable(c.Mean) && c.Var > 0 && usable(c.Var)
}

// saying is what a hypothesis said of a reward before it came.
type saying struct {
	mean, width, noise float64
	eta, etaWidth      float64 // before the link, where an arm has weights of its own
	slope              float64 // of the link
}

func (b *Bandit) predict(a *arm, h hypothesis, x []float64) saying {
	m, kind := h.memory(), h.kind()
	if kind != oneWeight {
		p := saying{noise: b.noiseOf(a, kind)}
		if kind == ownWeights {
			p.eta, p.etaWidth = a.Models[m].mean(x), a.Models[m].width(b.xx)
		} else {
			p.eta, p.etaWidth = dot(a.Wide.W, b.q), a.Wide.times(b.q, b.px)
		}
		p.mean, p.slope = b.s.Link.at(p.eta, p.etaWidth)
		p.width = p.etaWidth * p.slope * p.slope
		return p
	}
	c, d := &b.s.Commons[m], b.s.Config.Dim
	n := d * (d + 1) / 2
	return saying{mean: dot(c.Weights.W, x[:d]) + a.Levels[m].Mean, width: max(dot(c.Weights.P, b.xx[:n]), 0) + a.Levels[m].Var, noise: b.noiseOf(a, kind)}
}

// stranger is what an arm of which nothing is known would earn, and the
// variance of that without noise.
func (b *Bandit) stranger(x []float64) (mean, variance float64) {
	m := b.s.Believed.memory()
	if kind := b.s.Believed.kind(); kind != oneWeight {
		p := &b.s.Populations[m]
		if kind == wideWeights {
			p, x = &b.s.Wide, b.q
		}
		v := p.variance(x)
		mean, slope := b.s.Link.at(dot(p.Mean, x), v)
		return mean, v * slope * slope
	}
	c := &b.s.Commons[m]
	return dot(c.Weights.W, x[:b.s.Config.Dim]) + c.Mean, c.Var
}

// open reports whether a hypothesis is asked at all.
func (b *Bandit) open(h hypothesis) bool {
	switch h.kind() {
	case oneWeight:
		return b.s.Config.Dim > 0
	case wideWeights:
		return len(b.q) > 0
	}
	return true
}

// score is how likely late rewards were. Weights of products must make up for
// what it costs to try their arms out.
func (b *Bandit) score(h hypothesis) float64 {
	if h.kind() == wideWeights {
		return b.s.Likely[h] - wideBurden
	}
	return b.s.Likely[h]
}

const wideBurden = 8. // nats

// compare scores the hypotheses by how likely the reward was.
func (b *Bandit) compare(y float64) {
	best := b.s.Believed
	for h := range hypothesis(hypotheses) {
		if !b.open(h) {
			continue
		}
		p := &b.said[h]
		s, e := p.noise+p.width, y-p.mean
		b.s.Likely[h] = float64(likelyMemory*b.s.Likely[h]) - (math.Log(s)+min(e*e/s, 16))/2
		if b.score(h) > b.score(best)+likelyMargin {
			best = h
		}
	}
	if best.kind() != b.s.Believed.kind() { // errors around another prediction are another stream
		for i := range b.s.Arms {
			b.s.Arms[i].Watch = CUSUM{}
		}
	}
	b.s.Believed = best
}

// agree learns the weights that all arms share and the level of each, one step
// of expectation maximisation. The weights are those of generalised least
// squares, in which an arm whose level is not known well counts less.
func (b *Bandit) agree() {
	d := b.s.Config.Dim
	if d == 0 {
		return
	}
	variance := b.plain(oneWeight)
	for i := range b.prior.Var {
		b.prior.Var[i] = variance
	}
	every := 1 + uint64(len(b.s.Arms)*d*d/agreeWork)
	if b.s.Believed.kind() != oneWeight {
		every *= 4 // only to be compared
	}
	for m := range b.s.Commons {
		c := &b.s.Commons[m]
		if b.s.Step%every == 0 {
			b.weigh(c, m)
			c.Weights.solve(1, &b.prior, b.work)
		}
		b.levels(c, m, variance)
	}
}

const agreeWork = 1 << 15 // multiplications over all arms that a reward may cost

func (b *Bandit) weigh(c *common, m int) {
	d := b.s.Config.Dim
	w := &c.Weights
	clear(w.A)
	clear(w.B)
	w.N = 0
	for i := range b.s.Arms {
		a := &b.s.Arms[i]
		l := &a.Seen[m]
		if l.N == 0 {
			continue
		}
		noise := b.noiseOf(a, oneWeight)
		sums := l.A[d*(d+1)/2:] // Σ x, and Σ 1 last
		n, y := sums[d], l.B[d]
		share := 1 / (n + noise/c.Var)
		k := 0
		for i := range d {
			for j := range i + 1 {
				w.A[k] += (l.A[k] - float64(share*sums[i]*sums[j])) / noise
				k++
			}
			w.B[i] += (l.B[i] - float64(c.Mean*sums[i]) - float64(share*sums[i]*(y-float64(c.Mean*n)))) / noise
		}
		w.N += n
	}
}

func (b *Bandit) levels(c *common, m int, variance float64) {
	d := b.s.Config.Dim
	n, sum := 0.0, 0.0
	for i := range b.s.Arms {
		a := &b.s.Arms[i]
		l := &a.Seen[m]
		noise := b.noiseOf(a, oneWeight)
		sums := l.A[d*(d+1)/2:]
		v := 1 / (sums[d]/noise + 1/c.Var)
		a.Levels[m] = level{v * ((l.B[d]-dot(c.Weights.W, sums[:d]))/noise + c.Mean/c.Var), v}
		if l.N > 0 {
			n++
			sum += a.Levels[m].Mean
		}
	}
	if n == 0 {
		return
	}
	mean, squares := sum/n, float64(populationWeight*variance)
	for i := range b.s.Arms {
		if a := &b.s.Arms[i]; a.Models[m].N > 0 {
			e := a.Levels[m].Mean - mean
			squares += float64(e*e) + a.Levels[m].Var
		}
	}
	c.Mean, c.Var = mean, max(squares/(populationWeight+n), 1e-6*variance)
}
