package cma

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// shape is the covariance matrix C of a run and what is derived from it: full,
// or its diagonal alone.
type shape interface {
	// reset makes it the identity in n dimensions.
	reset(n int)
	// color writes C^½·z into y.
	color(z, y []float64)
	// whiten adds k·C^−½·y to to. For the full matrix C is that of the last
	// decomposition.
	whiten(k float64, y, to []float64)
	variance(i int) float64
	// stretch multiplies coordinate i, the correlations stay.
	stretch(i int, factor float64)
	// update is eq. 47: keep·C + c1·pc·pcᵀ + Σ w[k]·y[k]·y[k]ᵀ, for the rows y
	// of n values.
	update(keep, c1 float64, pc, w, y []float64)
	// decompose renews what color and whiten use. It reports false when C is
	// no longer a covariance matrix.
	decompose() bool
	// axes returns the least and the largest standard deviation along the
	// principal axes.
	axes() (least, most float64)
	// axis writes axis j, as long as its standard deviation, into to.
	axis(j int, to []float64)
}

// full is a whole covariance matrix.
type full struct {
	n  int
	c  []float64 // n×n, upper triangle valid
	d  []float64 // square roots of C's eigenvalues
	bt []float64 // n×n, row j is the eigenvector of d[j]
	bd []float64 // n×n, row j is d[j]·bt[j]

	eigW  []float64
	eigen eigen
}

func (f *full) reset(n int) {
	f.n = n
	for _, p := range []*[]float64{&f.d, &f.eigW} {
		*p = resized(*p, n)
	}
	for _, p := range []*[]float64{&f.c, &f.bt, &f.bd} {
		*p = resized(*p, n*n)
		clear(*p)
	}
	f.eigen.resize(n)
	for i := range n {
		f.c[i*n+i], f.bt[i*n+i], f.bd[i*n+i], f.d[i] = 1, 1, 1, 1
	}
}

func (f *full) color(z, y []float64) { // eqs. 38–39
	clear(y)
	for j, v := range z {
		floats.AddScaled(y, v, f.bd[j*f.n:(j+1)*f.n])
	}
}

func (f *full) whiten(k float64, y, to []float64) { // B·D⁻¹·Bᵀ·y
	for j := range f.n {
		b := f.bt[j*f.n : (j+1)*f.n]
		floats.AddScaled(to, k*floats.Dot(b, y)/f.d[j], b)
	}
}

func (f *full) variance(i int) float64 { return f.c[i*f.n+i] }

func (f *full) stretch(i int, factor float64) {
	for j := range f.n {
		lo, hi := min(i, j), max(i, j)
		f.c[lo*f.n+hi] *= factor
	}
	f.c[i*f.n+i] *= factor
}

func (f *full) update(keep, c1 float64, pc, w, y []float64) {
	n := f.n
	for i := range n {
		row := f.c[i*n+i : (i+1)*n]
		floats.Scale(keep, row)
		floats.AddScaled(row, c1*pc[i], pc[i:])
		for k, wk := range w {
			floats.AddScaled(row, wk*y[k*n+i], y[k*n+i:(k+1)*n])
		}
	}
}

func (f *full) decompose() bool {
	n := f.n
	for i := range n {
		for _, v := range f.c[i*n+i : (i+1)*n] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
	}
	if !f.eigen.decompose(f.c, f.bt, f.eigW) || !(f.eigW[0] > 0) {
		return false
	}
	for j := range n {
		f.d[j] = math.Sqrt(f.eigW[j])
	}
	f.scaleAxes()
	return true
}

// scaleAxes derives bd.
func (f *full) scaleAxes() {
	for j, d := range f.d {
		floats.ScaleTo(f.bd[j*f.n:(j+1)*f.n], d, f.bt[j*f.n:(j+1)*f.n])
	}
}

func (f *full) axes() (least, most float64) { return f.d[0], f.d[f.n-1] }

func (f *full) axis(j int, to []float64) { copy(to, f.bd[j*f.n:(j+1)*f.n]) }

// diagonal is a covariance matrix without correlations: R. Ros & N. Hansen, "A
// Simple Modification in CMA-ES Achieving Linear Time and Space Complexity",
// PPSN 2008.
type diagonal struct {
	c []float64 // variances
	d []float64 // their square roots, at the last decompose
}

func (g *diagonal) reset(n int) {
	g.c, g.d = resized(g.c, n), resized(g.d, n)
	for i := range n {
		g.c[i], g.d[i] = 1, 1
	}
}

func (g *diagonal) color(z, y []float64) {
	for i, d := range g.d {
		y[i] = d * z[i]
	}
}

func (g *diagonal) whiten(k float64, y, to []float64) {
	for i, d := range g.d {
		to[i] += float64(k * y[i] / d)
	}
}

func (g *diagonal) variance(i int) float64 { return g.c[i] }

func (g *diagonal) stretch(i int, factor float64) { g.c[i] *= factor * factor }

func (g *diagonal) update(keep, c1 float64, pc, w, y []float64) {
	n := len(g.c)
	for i := range g.c {
		v := float64(keep*g.c[i]) + float64(c1*pc[i]*pc[i])
		for k, wk := range w {
			v += float64(wk * y[k*n+i] * y[k*n+i])
		}
		g.c[i] = v
	}
}

func (g *diagonal) decompose() bool {
	for i, v := range g.c {
		if !(v > 0) || math.IsInf(v, 1) {
			return false
		}
		g.d[i] = math.Sqrt(v)
	}
	return true
}

func (g *diagonal) axes() (least, most float64) { return floats.Min(g.d), floats.Max(g.d) }

func (g *diagonal) axis(j int, to []float64) {
	clear(to)
	to[j] = g.d[j]
}
