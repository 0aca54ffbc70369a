package catcma

import (
	"math"
	"math/rand/v2"
)

// categorical is the product of the categorical distributions of a mixed
// space, moved along the natural gradient with a step that adapts to the
// signal: ASNG, Akimoto et al., "Adaptive Stochastic Natural Gradient Method
// for One-Shot Neural Architecture Search", ICML 2019, as CatCMA uses it
// (Hamano et al., arXiv:2405.09962, section 3.2).
type categorical struct {
	Q     [][]float64 `json:"q"`     // probabilities, by variable and choice
	S     []float64   `json:"s"`     // accumulated gradient in the Fisher metric
	Gamma float64     `json:"gamma"` // what ‖S‖² would be without a signal
	Delta float64     `json:"delta"` // the trust region is 1/Delta
}

// alpha is the signal-to-noise threshold of ASNG.
const alpha = 1.5

func newCategorical(sizes []int) categorical {
	c := categorical{Delta: 1}
	free := 0
	for _, k := range sizes {
		q := make([]float64, k)
		for i := range q {
			q[i] = 1 / float64(k)
		}
		c.Q = append(c.Q, q)
		free += k - 1
	}
	c.S = make([]float64, free)
	return c
}

// reset forgets what was learned.
func (c *categorical) reset() {
	for _, q := range c.Q {
		for i := range q {
			q[i] = 1 / float64(len(q))
		}
	}
	clear(c.S)
	c.Gamma, c.Delta = 0, 1
}

// sample draws a choice for each variable.
func (c *categorical) sample(r *rand.Rand, to []int) {
	for v, q := range c.Q {
		u := r.Float64()
		to[v] = len(q) - 1
		for i, p := range q {
			if u -= p; u < 0 {
				to[v] = i
				break
			}
		}
	}
}

// update moves the distributions. picks holds the choices of the samples, best
// first, −1 where the variable was inactive: such a sample says nothing about
// it. w are the samples' weights.
func (c *categorical) update(picks [][]int, w []float64) {
	gradient := make([][]float64, len(c.Q))
	var fisher []float64
	for v, q := range c.Q {
		g := make([]float64, len(q))
		for i, wi := range w {
			chosen := picks[i][v]
			if chosen < 0 {
				continue
			}
			for k := range q {
				g[k] -= wi * q[k]
			}
			g[chosen] += wi
		}
		gradient[v] = g
		last := len(q) - 1
		rest := 0.
		for k := range last {
			rest += g[k]
		}
		for k := range last { // square root of the Fisher matrix times the gradient
			fisher = append(fisher, g[k]/math.Sqrt(q[k])+math.Sqrt(q[k])*rest/(q[last]+math.Sqrt(q[last])))
		}
	}
	norm := 0.
	for _, f := range fisher {
		norm += f * f
	}
	if norm = math.Sqrt(norm); norm == 0 {
		return
	}
	step := 1 / c.Delta
	for v, q := range c.Q {
		for k := range q {
			q[k] += step / norm * gradient[v][k]
		}
	}
	c.adapt(fisher, norm, step)
	c.margin()
}

// adapt widens the trust region while gradients agree.
func (c *categorical) adapt(fisher []float64, norm, step float64) {
	beta := math.Min(1, step/math.Sqrt(float64(len(c.S))))
	s2 := 0.
	for i, f := range fisher {
		c.S[i] = (1-beta)*c.S[i] + math.Sqrt(beta*(2-beta))*f/norm
		s2 += c.S[i] * c.S[i]
	}
	c.Gamma = (1-beta)*(1-beta)*c.Gamma + beta*(2-beta)
	c.Delta *= math.Exp(beta * (c.Gamma - s2/alpha))
	c.Delta = math.Min(math.Max(c.Delta, 1), 1e6)
}

// margin keeps every choice possible: in one sample, all variables together
// leave their favourite with probability .27 (arXiv:2405.09962, section 4.1).
func (c *categorical) margin() {
	for _, q := range c.Q {
		if len(q) < 2 {
			continue
		}
		least := (1 - math.Pow(.73, 1/float64(len(c.Q)))) / float64(len(q)-1)
		sum, over := 0., 0.
		for k := range q {
			q[k] = math.Max(q[k], least)
			sum += q[k]
			over += q[k] - least
		}
		for k := range q {
			if over > 0 {
				q[k] -= (sum - 1) * (q[k] - least) / over
			}
		}
	}
}
