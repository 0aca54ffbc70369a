package adapt

import "math"

// linear is Bayesian linear regression by recursive least squares in units of
// the noise: θ ~ N(w, σ²P). P is symmetric, packed by rows of the lower
// triangle, so that an update and a width each cost d²/2 multiplications.
type linear struct {
	W []float64 `json:"w"` // weights, the intercept last
	P []float64 `json:"p"` // packed lower triangle
	N float64   `json:"n"` // observations since the last reset
}

func newLinear(d int, ridge float64) linear {
	l := linear{W: make([]float64, d), P: make([]float64, d*(d+1)/2)}
	l.reset(ridge)
	return l
}

// reset makes P the prior ridge·I and keeps the weights as the prior mean.
func (l *linear) reset(ridge float64) {
	clear(l.P)
	for i := range l.W {
		l.P[i*(i+3)/2] = ridge
	}
	l.N = 0
}

// doubt adds share·ridge to the variance of the intercept, up to the prior's:
// one observation then says whether the old belief still holds.
func (l *linear) doubt(share, ridge float64) {
	k := len(l.P) - 1
	l.P[k] = max(l.P[k], min(l.P[k]+share*ridge, ridge))
}

// mean is w·x.
func (l *linear) mean(x []float64) float64 { return dot(l.W, x) }

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

// width is xᵀPx of the x that squares was made of, never negative.
func (l *linear) width(squares []float64) float64 { return max(dot(l.P, squares), 0) }

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

// learn is the Kalman update with noise variance in units of σ² and a
// forgetting factor; g is scratch of the length of x. ridge bounds how far
// forgetting may inflate P.
func (l *linear) learn(x, g []float64, y, noise, forget, ridge float64) {
	k := 0
	clear(g)
	for i, xi := range x { // g = P x
		row := l.P[k : k+i+1]
		for j, p := range row[:i] {
			g[i] += float64(p * x[j])
			g[j] += float64(p * xi)
		}
		g[i] += float64(row[i] * xi)
		k += i + 1
	}
	s := noise
	for i, xi := range x {
		s += float64(xi * g[i])
	}
	if !(s > 0) || !finite(s) {
		l.reset(ridge)
		return
	}
	e := y - l.mean(x)
	k = 0
	for i := range x {
		l.W[i] += float64(g[i] / s * e)
		for j := range i + 1 {
			l.P[k] -= float64(g[i] / s * g[j])
			k++
		}
	}
	l.N++
	l.forget(forget, ridge)
}

// forget divides P by the factor unless that would pass the prior.
func (l *linear) forget(factor, ridge float64) {
	if factor >= 1 {
		return
	}
	top := 0.0
	for i := range l.W {
		d := l.P[i*(i+3)/2]
		if !(d >= 1e-12) { // rounding has eaten it
			l.P[i*(i+3)/2] = 1e-12
		}
		top = max(top, d)
	}
	if top/factor > ridge {
		return
	}
	for i := range l.P {
		l.P[i] /= factor
	}
}

func (l *linear) valid(d int) bool {
	if len(l.W) != d || len(l.P) != d*(d+1)/2 || !(l.N >= 0) {
		return false
	}
	for _, v := range l.W {
		if !usable(v) {
			return false
		}
	}
	for _, v := range l.P {
		if !usable(v) {
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
