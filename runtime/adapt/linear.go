package adapt

import "math"

// linear is Bayesian linear regression of one arm's reward on the features of
// a request: θ ~ N(mean, diag(variance)) of the population, y ~ N(θ·x, noise).
// What was seen is kept apart from the prior, so that the prior may be learned
// while rewards come. Symmetric matrices are packed by rows of the lower
// triangle, so that a width costs d²/2 multiplications.
type linear struct {
	W []float64 `json:"w"` // posterior mean, the intercept last
	P []float64 `json:"p"` // posterior covariance
	sums
}

// sums are what is remembered of rewards.
type sums struct {
	A []float64 `json:"a"` // Σ weight x xᵀ
	B []float64 `json:"b"` // Σ weight x y
	N float64   `json:"n"` // how many that are
}

func newLinear(d int) linear {
	return linear{W: make([]float64, d), P: make([]float64, d*(d+1)/2), sums: newSums(d)}
}

func newSums(d int) sums {
	return sums{A: make([]float64, d*(d+1)/2), B: make([]float64, d)}
}

// keep scales what is remembered.
func (l *sums) keep(share float64) {
	l.N *= share
	for i := range l.A {
		l.A[i] *= share
	}
	for i := range l.B {
		l.B[i] *= share
	}
}

// mean is w·x.
func (l *linear) mean(x []float64) float64 { return dot(l.W, x) }

// width is xᵀPx of the x that squares was made of, never negative.
func (l *linear) width(squares []float64) float64 { return max(dot(l.P, squares), 0) }

// add remembers a reward that counts as weight of them; solve makes the
// posterior of it.
func (l *sums) add(x []float64, y, weight float64) {
	k := 0
	for i, xi := range x {
		v := xi * weight
		for j := range i + 1 {
			l.A[k] += float64(v * x[j])
			k++
		}
		l.B[i] += float64(v * y)
	}
	l.N++
}

// solve computes the posterior: P = (A÷noise + V⁻¹)⁻¹ and w = P·(B÷noise +
// V⁻¹m), by Cholesky. scratch has the length of P.
func (l *linear) solve(noise float64, prior *population, scratch []float64) {
	d := len(l.W)
	if l.N == 0 {
		clear(l.P)
		for i, v := range prior.Var {
			l.P[i*(i+3)/2] = v
		}
		copy(l.W, prior.Mean)
		return
	}
	f := scratch[:len(l.P)]
	for i := range d { // f = the factor of P⁻¹
		row := f[i*(i+1)/2:]
		for j := range i + 1 {
			v := l.A[i*(i+1)/2+j] / noise
			if i == j {
				v += 1 / prior.Var[i]
			}
			other := f[j*(j+1)/2:]
			for k := range j {
				v -= float64(row[k] * other[k])
			}
			if i == j {
				row[j] = math.Sqrt(max(v, 1e-12/prior.Var[i]))
			} else {
				row[j] = v / other[j]
			}
		}
	}
	for i := range d { // f = its inverse, row by row in place
		row := f[i*(i+1)/2:]
		pivot := 1 / row[i]
		for j := range i {
			v := 0.0
			for k := j; k < i; k++ {
				v += float64(row[k] * f[k*(k+1)/2+j])
			}
			row[j] = -v * pivot
		}
		row[i] = pivot
	}
	clear(l.P)
	for k := range d {
		row := f[k*(k+1)/2:]
		for i := range k + 1 {
			at := l.P[i*(i+1)/2:]
			for j := range i + 1 {
				at[j] += float64(row[i] * row[j])
			}
		}
	}
	clear(l.W)
	for i := range d {
		r := l.B[i]/noise + prior.Mean[i]/prior.Var[i]
		for j := range d {
			l.W[j] += float64(l.P[packed(i, j)] * r)
		}
	}
}

// packed is the place of (i, j) in a packed symmetric matrix.
func packed(i, j int) int {
	if i < j {
		i, j = j, i
	}
	return i*(i+1)/2 + j
}

// squares lays out the products of x so that xᵀPx is one dot product with the
// packed P; it is made once a request, for all arms.
func squares(x, out []float64) {
	k := 0
	for i, xi := range x {
		for j := range i {
			out[k+j] = 2 * xi * x[j]
		}
		out[k+i] = xi * xi
		k += i + 1
	}
}

// dot is Σ a b in four sums, so that additions need not wait for one another.
func dot(a, b []float64) float64 {
	a = a[:len(b)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(b); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += float64(x[0] * y[0])
		s1 += float64(x[1] * y[1])
		s2 += float64(x[2] * y[2])
		s3 += float64(x[3] * y[3])
	}
	for ; i < len(b); i++ {
		s0 += float64(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// dots is dot(a, b) and dot(c, d), of equal lengths, in half the time of two.
func dots(a, b, c, d []float64) (x, y float64) {
	a, c, d = a[:len(b)], c[:len(b)], d[:len(b)]
	var x0, x1, y0, y1 float64
	i := 0
	for ; i+2 <= len(b); i += 2 {
		a, b, c, d := a[i:i+2:i+2], b[i:i+2:i+2], c[i:i+2:i+2], d[i:i+2:i+2]
		x0 += float64(a[0] * b[0])
		y0 += float64(c[0] * d[0])
		x1 += float64(a[1] * b[1])
		y1 += float64(c[1] * d[1])
	}
	for ; i < len(b); i++ {
		x0 += float64(a[i] * b[i])
		y0 += float64(c[i] * d[i])
	}
	return x0 + x1, y0 + y1
}

func (l *linear) valid(d int) bool {
	return len(l.W) == d && len(l.P) == d*(d+1)/2 && allUsable(l.W) && allUsable(l.P) && l.sums.valid(d)
}

func (l *sums) valid(d int) bool {
	return len(l.A) == d*(d+1)/2 && len(l.B) == d && l.N >= 0 && usable(l.N) && allUsable(l.A) && allUsable(l.B)
}

// population is what arms have in common: the weights of an arm are drawn from
// N(Mean, diag(Var)). Both are learned from the arms seen so far by expectation
// maximisation (empirical Bayes: Dempster, Laird, Rubin 1977, §4.5), so that
// features which say nothing about rewards, or the same of all arms, stop
// costing exploration.
type population struct {
	Mean []float64 `json:"mean"`
	Var  []float64 `json:"var"`
}

func newPopulation(d int, variance float64) population {
	p := population{Mean: make([]float64, d), Var: make([]float64, d)}
	for i := range p.Var {
		p.Var[i] = variance
	}
	return p
}

// fit is one maximisation. variance is what a weight's variance is taken for
// before anything was seen, and counts as populationWeight arms.
func (p *population) fit(arms []arm, model int, variance float64) {
	for i := range p.Mean {
		n, sum := 0.0, 0.0
		for k := range arms {
			if l := &arms[k].Models[model]; l.N > 0 {
				sum += l.W[i]
				n++
			}
		}
		if n == 0 {
			return
		}
		mean, squares := sum/n, float64(populationWeight*variance)
		for k := range arms {
			if l := &arms[k].Models[model]; l.N > 0 {
				e := l.W[i] - mean
				squares += float64(e*e) + l.P[i*(i+3)/2]
			}
		}
		p.Mean[i], p.Var[i] = mean, max(squares/(populationWeight+n), 1e-6*variance)
	}
}

const populationWeight = 1

// variance is the prior variance of a reward, without noise, at x.
func (p *population) variance(x []float64) (v float64) {
	for i, xi := range x {
		v += float64(xi * xi * p.Var[i])
	}
	return v
}

func (p *population) valid(d int) bool {
	if len(p.Mean) != d || len(p.Var) != d || !allUsable(p.Mean) || !allUsable(p.Var) {
		return false
	}
	for _, v := range p.Var {
		if !(v > 0) {
			return false
		}
	}
	return true
}

// spread keeps the variance of a stream of residuals: a mean that turns into
// a moving average after memory values, with a prior of weight.
type spread struct {
	Sum float64 `json:"sum"`
	N   float64 `json:"n"`
}

func (s *spread) add(squared, memory float64) {
	if s.N >= memory {
		s.Sum -= s.Sum / s.N
		s.N--
	}
	s.Sum += squared
	s.N++
}

// against shrinks the variance towards prior, which counts as weight values.
func (s *spread) against(prior, weight float64) float64 {
	return (s.Sum + float64(prior*weight)) / (s.N + weight)
}

func (s *spread) valid() bool { return s.Sum >= 0 && s.N >= 0 && usable(s.Sum) && usable(s.N) }

// moments keeps the mean and the variance of a stream, and forgets like spread
// (Welford 1962).
type moments struct {
	Mean   float64 `json:"mean"`
	Spread spread  `json:"spread"`
}

func (m *moments) add(x float64) {
	n := m.Spread.N
	d := x - m.Mean
	m.Mean += d / (n + 1)
	m.Spread.add(float64(d*d*n/(n+1)), pooledMemory)
}

func (m *moments) variance() float64 { return m.Spread.Sum / max(m.Spread.N, 1) }

func (m *moments) valid() bool { return usable(m.Mean) && m.Spread.valid() }

// CUSUM watches a stream of standardised residuals for a shift of their mean
// in either direction (Page 1954). Threshold and slack are in standard
// deviations; a single value counts as at most four of them, so that one
// outlier is no alarm.
type CUSUM struct {
	Up   float64 `json:"up"`
	Down float64 `json:"down"`
}

// Add folds in a residual and reports an alarm: +1 the mean went up, −1 down,
// 0 none. The sums start again after an alarm.
func (c *CUSUM) Add(e, slack, threshold float64) int {
	if e != e {
		return 0
	}
	e = min(max(e, -4), 4)
	c.Up = math.Max(0, c.Up+e-slack)
	c.Down = math.Max(0, c.Down-e-slack)
	switch {
	case c.Up > threshold:
		*c = CUSUM{}
		return 1
	case c.Down > threshold:
		*c = CUSUM{}
		return -1
	}
	return 0
}
