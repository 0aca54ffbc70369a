package gp

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// axis is how one coordinate of a point counts in a distance.
type axis struct {
	category  bool // only equal or not
	divisible bool // a whole number's power of two: a guess that most spaces have no use for
}

// inactive marks a coordinate that a point does not have.
const inactive = -1

// The squared distance between having a coordinate and not having it.
const absence = .15

// model is a Gaussian process with a Matérn 5/2 kernel, a length scale for
// every axis, and noise (Rasmussen and Williams, "Gaussian Processes for
// Machine Learning", 2006, algorithm 2.1 and eq. 5.9).
type model struct {
	axes []axis
	// theta holds the logarithms of the length scales, then of the signal's
	// and of the noise's variance.
	theta []float64

	x     [][]float64
	alpha *mat.VecDense
	chol  mat.Cholesky
	lower mat.TriDense // of chol; made when it is first needed
	mean  float64

	scratch *scratch
}

// scratch is memory for the matrices of beliefs, used in turns: a belief holds
// until two others have been made.
type scratch struct {
	turn    int
	buffers [4][]float64
}

// dense is a matrix of rubbish.
func (s *scratch) dense(r, c int) *mat.Dense {
	s.turn = (s.turn + 1) % len(s.buffers)
	b := &s.buffers[s.turn]
	if cap(*b) < r*c {
		*b = make([]float64, r*c)
	}
	return mat.NewDense(r, c, (*b)[:r*c])
}

func newModel(axes []axis) *model {
	m := &model{axes: axes, theta: make([]float64, len(axes)+2), scratch: &scratch{}}
	copy(m.theta, m.prior())
	return m
}

// prior is the centre of the parameters' priors, for values of variance 1.
// Length scales grow with the root of the number of axes, so that distances in
// many dimensions do not make every point a stranger (Hvarfner et al.,
// arXiv:2402.02229).
func (m *model) prior() []float64 {
	out := make([]float64, len(m.axes)+2)
	wide := .5 * math.Log(float64(len(m.axes)))
	for i, a := range m.axes {
		out[i] = wide + math.Log(.45)
		switch {
		case a.category:
			out[i] = wide + math.Log(.7)
		case a.divisible:
			out[i] = wide + math.Log(1.5)
		}
	}
	out[len(m.axes)] = 0
	out[len(m.axes)+1] = math.Log(.03)
	return out
}

// Widths of the priors, in units of the logarithms.
const (
	widthScale  = .9
	widthSignal = .7
	widthNoise  = 1.2
)

func (m *model) width(i int) float64 {
	switch i - len(m.axes) {
	case 0:
		return widthSignal
	case 1:
		return widthNoise
	}
	return widthScale
}

// apart is the squared distance on one axis before scaling.
func apart(a axis, x, y float64) float64 {
	if x == y {
		return 0
	}
	if x == inactive || y == inactive {
		return absence
	}
	if a.category {
		return 1
	}
	return (x - y) * (x - y)
}

// kernel is the covariance of two points without noise.
func (m *model) kernel(inv []float64, signal float64, x, y []float64) float64 {
	r2 := 0.
	for i, a := range m.axes {
		r2 += inv[i] * apart(a, x[i], y[i])
	}
	return signal * matern(r2)
}

func matern(r2 float64) float64 {
	r := math.Sqrt(5 * r2)
	return (1 + r + r*r/3) * math.Exp(-r)
}

// scales returns 1/ℓ² by axis, the signal's and the noise's variance.
func (m *model) scales() (inv []float64, signal, noise float64) {
	d := len(m.axes)
	inv = make([]float64, d)
	for i := range inv {
		inv[i] = math.Exp(-2 * m.theta[i])
	}
	return inv, math.Exp(m.theta[d]), math.Exp(m.theta[d+1])
}

// condition makes the posterior of the points; false if they have none.
func (m *model) condition(x [][]float64, y []float64) bool {
	n := len(x)
	inv, signal, noise := m.scales()
	k := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			v := m.kernel(inv, signal, x[i], x[j])
			if i == j {
				v += noise + 1e-8
			}
			k.SetSym(i, j, v)
		}
	}
	if !m.chol.Factorize(k) {
		return false
	}
	m.lower = mat.TriDense{}
	m.x = x
	m.mean = 0
	for _, v := range y {
		m.mean += v / float64(n)
	}
	centred := mat.NewVecDense(n, nil)
	for i, v := range y {
		centred.SetVec(i, v-m.mean)
	}
	m.alpha = mat.NewVecDense(n, nil)
	return m.chol.SolveVecTo(m.alpha, centred) == nil
}

// belief is what the model thinks of a set of points.
type belief struct {
	mean, variance []float64
	v              *mat.Dense // L⁻¹ k(x, points)
	points         [][]float64
}

// means are the posterior means of points.
func (m *model) means(points [][]float64) []float64 {
	return m.meansOf(m.covariances(points))
}

// covariances of what is known, a row each, with the points.
func (m *model) covariances(points [][]float64) *mat.Dense {
	inv, signal, _ := m.scales()
	k := m.scratch.dense(len(m.x), len(points))
	for i, x := range m.x {
		row := k.RawRowView(i)
		for j := range points {
			row[j] = m.kernel(inv, signal, x, points[j])
		}
	}
	return k
}

func (m *model) meansOf(k *mat.Dense) []float64 {
	n, c := k.Dims()
	out := make([]float64, c)
	for j := range out {
		out[j] = m.mean
	}
	for i := range n {
		a := m.alpha.AtVec(i)
		for j, v := range k.RawRowView(i) {
			out[j] += a * v
		}
	}
	return out
}

// predict returns the posterior of the points, without noise.
func (m *model) predict(points [][]float64) belief {
	if len(points) == 0 {
		return belief{}
	}
	k := m.covariances(points)
	b := belief{mean: m.meansOf(k), variance: make([]float64, len(points)), points: points}
	_, signal, _ := m.scales()
	for j := range b.variance {
		b.variance[j] = signal
	}
	if m.lower.IsEmpty() {
		m.chol.LTo(&m.lower)
	}
	if err := k.Solve(&m.lower, k); err != nil {
		return b // ill-conditioned: the means stand, the variance is the prior's
	}
	n, _ := k.Dims()
	for i := range n {
		for j, v := range k.RawRowView(i) {
			b.variance[j] -= v * v
		}
	}
	for j := range b.variance {
		b.variance[j] = math.Max(b.variance[j], 1e-10)
	}
	b.v = k
	return b
}

// joined is what is believed of some points of b and of new ones.
func (m *model) joined(b belief, kept []int, points [][]float64) belief {
	more := m.predict(points)
	out := belief{}
	for _, j := range kept {
		out.mean, out.variance = append(out.mean, b.mean[j]), append(out.variance, b.variance[j])
		out.points = append(out.points, b.points[j])
	}
	out.mean, out.variance, out.points = append(out.mean, more.mean...), append(out.variance, more.variance...), append(out.points, more.points...)
	if b.v == nil || len(points) > 0 && more.v == nil || len(out.points) == 0 {
		return out
	}
	n, _ := b.v.Dims()
	out.v = m.scratch.dense(n, len(out.points))
	for i := range n {
		row, old := out.v.RawRowView(i), b.v.RawRowView(i)
		for k, j := range kept {
			row[k] = old[j]
		}
		if len(points) > 0 {
			copy(row[len(kept):], more.v.RawRowView(i))
		}
	}
	return out
}

// believe conditions the variances on point k having been measured, whatever
// comes out: the next pick of a batch looks elsewhere.
func (m *model) believe(b *belief, k int) {
	inv, signal, noise := m.scales()
	total := b.variance[k] + noise
	cov := make([]float64, len(b.points))
	for j := range cov {
		cov[j] = m.kernel(inv, signal, b.points[k], b.points[j])
	}
	if b.v != nil {
		n, _ := b.v.Dims()
		for i := range n {
			row := b.v.RawRowView(i)
			vk := row[k]
			for j, v := range row {
				cov[j] -= vk * v
			}
		}
	}
	for j := range cov {
		b.variance[j] = math.Max(b.variance[j]-cov[j]*cov[j]/total, 1e-10)
	}
}

// fit moves theta uphill on the posterior of the parameters by steps of Adam.
func (m *model) fit(x [][]float64, y []float64, steps int) {
	d := len(m.theta)
	first, second := make([]float64, d), make([]float64, d)
	prior := m.prior()
	const rate, b1, b2 = .12, .8, .95
	for s := 1; s <= steps; s++ {
		g, ok := m.gradient(x, y)
		if !ok {
			copy(m.theta, prior)
			return
		}
		for i := range g {
			w := m.width(i)
			g[i] -= (m.theta[i] - prior[i]) / (w * w)
			first[i] = b1*first[i] + (1-b1)*g[i]
			second[i] = b2*second[i] + (1-b2)*g[i]*g[i]
			up := first[i] / (1 - math.Pow(b1, float64(s)))
			size := math.Sqrt(second[i]/(1-math.Pow(b2, float64(s)))) + 1e-9
			m.theta[i] += rate * up / size
			m.theta[i] = math.Min(math.Max(m.theta[i], prior[i]-4), prior[i]+4)
		}
	}
}

// gradient is that of the log marginal likelihood (eq. 5.9).
func (m *model) gradient(x [][]float64, y []float64) ([]float64, bool) {
	if !m.condition(x, y) {
		return nil, false
	}
	n, d := len(x), len(m.axes)
	var inverse mat.SymDense
	if err := m.chol.InverseTo(&inverse); err != nil {
		return nil, false
	}
	inv, signal, noise := m.scales()
	g := make([]float64, d+2)
	parts := make([]float64, d)
	for i := range n {
		ai := m.alpha.AtVec(i)
		for j := i; j < n; j++ {
			w := ai*m.alpha.AtVec(j) - inverse.At(i, j)
			if i == j {
				g[d] += .5 * w * signal
				g[d+1] += .5 * w * noise
				continue
			}
			r2 := 0.
			for k, a := range m.axes {
				parts[k] = inv[k] * apart(a, x[i][k], x[j][k])
				r2 += parts[k]
			}
			r := math.Sqrt(5 * r2)
			e := math.Exp(-r)
			g[d] += w * signal * (1 + r + r*r/3) * e
			slope := w * signal * 5 / 3 * (1 + r) * e
			for k, p := range parts {
				g[k] += slope * p
			}
		}
	}
	return g, true
}
