package cma

import (
	"math"

	"gonum.org/v1/gonum/blas"
	lapack "gonum.org/v1/gonum/lapack/gonum"
)

// eigen decomposes symmetric matrices of one size without allocating.
//
// Householder's reduction to a tridiagonal matrix is LAPACK's, from gonum; the
// iteration on it is the implicit QL algorithm (Bowdler, Martin, Reinsch,
// Wilkinson, Numer. Math. 11, 1968; the tql2 of EISPACK). What lost:
// lapack64.Syev, which gonum's mat.EigenSym calls. It keeps eigenvectors in
// columns, so that each of its rotations strides through the whole matrix;
// here they are rows, and that takes a third off an evaluation of the search.
type eigen struct {
	n    int
	a    []float64 // n×n, the matrix; becomes Q of the reduction
	d, e []float64 // diagonal and the one beside it
	tau  []float64
	work []float64
}

// maxSweeps bounds the QL iterations for one eigenvalue; two are usual.
const maxSweeps = 60

// nothing is negligible beside a largest element of ½ or more, whatever stands
// next to it; its square can still be told from 0.
const nothing = 1e-150

func (g *eigen) resize(n int) {
	if g.n == n {
		return
	}
	*g = eigen{
		n: n, a: make([]float64, n*n), d: make([]float64, n), e: make([]float64, n),
		tau: make([]float64, n), work: make([]float64, 34*n), // 34: LAPACK's block of 32 columns, and two
	}
}

// decompose writes the eigenvectors of the symmetric matrix c, of which the
// upper triangle is read, into the rows of v, and their eigenvalues into w, in
// ascending order. It reports false when that does not converge.
func (g *eigen) decompose(c, v, w []float64) bool {
	n := g.n
	if n == 1 {
		v[0], w[0] = 1, c[0]
		return true
	}
	exponent := g.load(c)
	var l lapack.Implementation
	l.Dsytrd(blas.Upper, n, g.a, n, g.d, g.e[:n-1], g.tau[:n-1], g.work, len(g.work))
	l.Dorgtr(blas.Upper, n, g.a, n, g.tau[:n-1], g.work, len(g.work))
	for i := range n {
		for j := range n {
			v[j*n+i] = g.a[i*n+j]
		}
	}
	g.e[n-1] = 0
	for i := range n {
		if !g.iterate(i, v) {
			return false
		}
	}
	g.sort(v, w)
	for i := range w {
		w[i] = math.Ldexp(w[i], exponent)
	}
	return true
}

// load copies the matrix, scaled by a power of two so that its largest element
// is between ½ and 1: squares neither overflow nor vanish.
func (g *eigen) load(c []float64) (exponent int) {
	var most float64
	for i := range g.n {
		for _, v := range c[i*g.n+i : (i+1)*g.n] {
			most = math.Max(most, math.Abs(v))
		}
	}
	_, exponent = math.Frexp(most)
	scale := math.Ldexp(1, -exponent)
	for i, v := range c {
		g.a[i] = v * scale
	}
	return exponent
}

// iterate isolates eigenvalue l of the tridiagonal matrix.
func (g *eigen) iterate(l int, v []float64) bool {
	n, d, e := g.n, g.d, g.e
	for range maxSweeps {
		m := l // the first element beside the diagonal that is negligible
		for m < n-1 {
			scale := math.Abs(d[m]) + math.Abs(d[m+1])
			if math.Abs(e[m])+scale == scale || math.Abs(e[m]) < nothing {
				break
			}
			m++
		}
		if m == l {
			return true
		}
		// Wilkinson's shift: the eigenvalue of the leading 2×2 block nearest
		// to d[l].
		p := (d[l+1] - d[l]) / (2 * e[l])
		r := math.Sqrt(float64(p*p) + 1)
		shifted := d[m] - d[l] + e[l]/(p+math.Copysign(r, p))
		s, c, p := 1., 1., 0.
		i := m - 1
		for ; i >= l; i-- {
			f, b := s*e[i], c*e[i]
			r = math.Sqrt(float64(f*f) + float64(shifted*shifted))
			e[i+1] = r
			if r == 0 { // the matrix falls into two
				d[i+1] -= p
				e[m] = 0
				break
			}
			s, c = f/r, shifted/r
			shifted = d[i+1] - p
			r = float64((d[i]-shifted)*s) + float64(2*c*b)
			p = s * r
			d[i+1] = shifted + p
			shifted = float64(c*r) - b
			rotate(v[i*n:(i+1)*n], v[(i+1)*n:(i+2)*n], c, s)
		}
		if i >= l {
			continue
		}
		d[l] -= p
		e[l], e[m] = shifted, 0
	}
	return false
}

// rotate turns two eigenvectors in their plane.
func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for k, a := range x {
		b := y[k]
		y[k] = float64(s*a) + float64(c*b)
		x[k] = float64(c*a) - float64(s*b)
	}
}

// sort puts the eigenvalues into ascending order, and the rows with them.
func (g *eigen) sort(v, w []float64) {
	n := g.n
	copy(w, g.d)
	for i := range n - 1 {
		least := i
		for j := i + 1; j < n; j++ {
			if w[j] < w[least] {
				least = j
			}
		}
		if least == i {
			continue
		}
		w[i], w[least] = w[least], w[i]
		a, b := v[i*n:(i+1)*n], v[least*n:(least+1)*n]
		for k := range a {
			a[k], b[k] = b[k], a[k]
		}
	}
}
