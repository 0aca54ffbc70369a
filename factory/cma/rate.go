package cma

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// rate adapts the learning rates of the mean and of Σ = σ²·C to the signal in
// their updates, so that the steps shrink where losses are noisy or the
// landscape misleads, instead of the population growing: LRA-CMA-ES, M. Nomura,
// Y. Akimoto, I. Ono, "CMA-ES with Learning Rate Adaptation",
// arXiv:2401.15876, algorithm 1. Names are the paper's.
type rate struct {
	etaM, etaSigma float64
	eM, eSigma     []float64 // moving averages of the updates, in local coordinates
	vM, vSigma     float64   // and of their squared norms

	// Scratch: the state before the update, and n×n products.
	oldM, oldSigma []float64
	step           float64 // σ before the update
	root, t, u     []float64
	dm             []float64
}

// Table 1 of the paper.
const (
	snrAlpha  = 1.4
	betaM     = .1
	betaSigma = .03
	gammaRate = .1
)

func (a *rate) reset(n int) {
	a.etaM, a.etaSigma, a.vM, a.vSigma = 1, 1, 0, 0
	for _, p := range []*[]float64{&a.eM, &a.oldM, &a.dm} {
		*p = resized(*p, n)
	}
	for _, p := range []*[]float64{&a.eSigma, &a.oldSigma, &a.root, &a.t, &a.u} {
		*p = resized(*p, n*n)
	}
	clear(a.eM)
	clear(a.eSigma)
}

// before keeps the distribution that the generation was drawn from.
func (a *rate) before(r *run, f *full) {
	n := f.n
	copy(a.oldM, r.m)
	a.step = r.sigma
	clear(a.root) // √Σ⁻¹ = B·D⁻¹·Bᵀ/σ
	for i := range n {
		for j := i; j < n; j++ {
			c := r.sigma * r.sigma * f.c[i*n+j]
			a.oldSigma[i*n+j], a.oldSigma[j*n+i] = c, c
		}
		b := f.bt[i*n : (i+1)*n]
		for j, v := range b {
			floats.AddScaled(a.root[j*n:(j+1)*n], v/(f.d[i]*r.sigma), b)
		}
	}
}

// after shortens the update that was made, and renews the eigenvectors. It
// reports false when Σ is no longer a covariance matrix.
func (a *rate) after(r *run, f *full) bool {
	n := f.n
	floats.SubTo(a.dm, r.m, a.oldM)
	local := a.t[:n]
	square := func(v []float64) blas64.General { return blas64.General{Rows: n, Cols: n, Stride: n, Data: v} }
	blas64.Gemv(blas.NoTrans, 1, square(a.root), blas64.Vector{N: n, Data: a.dm, Inc: 1}, 0, blas64.Vector{N: n, Data: local, Inc: 1})
	etaM := a.etaM
	a.vM = moving(a.eM, local, a.vM, betaM)
	a.etaM = adapted(a.etaM, a.eM, a.vM, betaM)

	// ΔΣ into u and f.c, then √Σ⁻¹·ΔΣ·√Σ⁻¹/√2 into u.
	for i := range n {
		for j := i; j < n; j++ {
			d := r.sigma*r.sigma*f.c[i*n+j] - a.oldSigma[i*n+j]
			a.u[i*n+j], a.u[j*n+i] = d, d
		}
	}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, square(a.root), square(a.u), 0, square(a.t))
	copy(f.c, a.u)
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1/math.Sqrt2, square(a.t), square(a.root), 0, square(a.u))
	a.vSigma = moving(a.eSigma, a.u, a.vSigma, betaSigma)
	a.etaSigma = adapted(a.etaSigma, a.eSigma, a.vSigma, betaSigma)

	for i := range r.m {
		r.m[i] = a.oldM[i] + float64(a.etaM*a.dm[i])
	}
	for i := range f.c {
		f.c[i] = a.oldSigma[i] + float64(a.etaSigma*f.c[i])
	}
	if !f.decompose() {
		return false
	}
	r.eigenGen = r.gen
	var log float64
	for _, d := range f.d {
		log += math.Log(d) / float64(n)
	}
	r.sigma = math.Exp(log) // det C = 1
	floats.Scale(1/(r.sigma*r.sigma), f.c)
	floats.Scale(1/r.sigma, f.d)
	f.scaleAxes()
	r.sigma *= etaM / a.etaM // eq. 24: the step that is best for the new rate
	return true
}

// moving averages an update into e, and returns the average of its squared norm.
func moving(e, update []float64, v, beta float64) float64 {
	floats.Scale(1-beta, e)
	floats.AddScaled(e, beta, update)
	return (1-beta)*v + beta*floats.Dot(update, update)
}

// adapted is the learning rate after one more estimate of the signal-to-noise
// ratio (eqs. 19–22).
func adapted(eta float64, e []float64, v, beta float64) float64 {
	square := floats.Dot(e, e)
	snr := (square - beta/(2-beta)*v) / (v - square)
	relative := math.Min(1, math.Max(-1, snr/(snrAlpha*eta)-1))
	if math.IsNaN(relative) {
		return eta // no update yet
	}
	return math.Min(1, eta*math.Exp(math.Min(gammaRate*eta, beta)*relative))
}
