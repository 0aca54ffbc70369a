package cma

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// run is one descent: from a mean and a step size until a stop criterion. All
// coordinates are in units of the region's width.
type run struct {
	s strategy

	m      []float64 // mean
	sigma  float64   // step size
	sigma0 float64
	ps     []float64 // evolution path of the step size (eq. 43)
	pc     []float64 // evolution path of C (eq. 45)
	c      []float64 // n×n covariance, upper triangle valid
	d      []float64 // square roots of C's eigenvalues
	bt     []float64 // n×n, row j is the eigenvector of d[j]
	bd     []float64 // n×n, row j is d[j]·bt[j]: a sample is Σ z[j]·bd[j]

	gen      int // generations told
	eigenGen int // generation of the last decomposition

	x     []float64 // λ×n points handed out, in units of the region
	y     []float64 // λ×n samples, (x−m)/σ, before reflection
	norm2 []float64 // λ values of ‖C^−½·y‖²
	loss  []float64 // λ told losses

	hist history

	// Scratch, no state.
	order    []int
	dy, t, z []float64
	wCol     []float64
	eigW     []float64
	eigen    eigen
}

// start prepares r for a new descent and re-uses its buffers.
func (r *run) start(n, lambda int, mean []float64, sigma float64) {
	if r.s.n != n || r.s.lambda != lambda {
		r.s = newStrategy(n, lambda)
	}
	r.grow()
	copy(r.m, mean)
	r.sigma, r.sigma0 = sigma, sigma
	clear(r.ps)
	clear(r.pc)
	clear(r.c)
	clear(r.bt)
	clear(r.bd)
	for i := range n {
		r.c[i*n+i], r.bt[i*n+i], r.bd[i*n+i], r.d[i] = 1, 1, 1, 1
	}
	r.gen, r.eigenGen = 0, 0
	r.hist.reset()
}

func (r *run) grow() {
	n, l := r.s.n, r.s.lambda
	for _, p := range []*[]float64{&r.m, &r.ps, &r.pc, &r.d, &r.dy, &r.t, &r.z, &r.eigW} {
		*p = resized(*p, n)
	}
	for _, p := range []*[]float64{&r.c, &r.bt, &r.bd} {
		*p = resized(*p, n*n)
	}
	r.x = resized(r.x, l*n)
	r.y = resized(r.y, l*n)
	r.norm2 = resized(r.norm2, l)
	r.loss = resized(r.loss, l)
	r.wCol = resized(r.wCol, l)
	r.order = slices.Grow(r.order[:0], l)[:l]
	r.eigen.resize(n)
}

func resized(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}

// sample draws y_k ~ N(0, C) (eqs. 38–39).
func (r *run) sample(k int, rng *rand.Rand) {
	n := r.s.n
	y := r.y[k*n : (k+1)*n]
	clear(y)
	var norm2 float64
	for j := range n {
		z := rng.NormFloat64()
		norm2 += float64(z * z)
		floats.AddScaled(y, z, r.bd[j*n:(j+1)*n])
	}
	r.norm2[k] = norm2
}

// inject makes y_k point at u instead of at what was drawn, shortened to a
// plausible length: N. Hansen, "Injecting External Solutions Into CMA-ES",
// arXiv:1110.4181.
func (r *run) inject(k int, u []float64) {
	n := r.s.n
	y := r.y[k*n : (k+1)*n]
	for i := range y {
		y[i] = (u[i] - r.m[i]) / r.sigma
	}
	norm2 := r.mahalanobis2(y)
	N := float64(n)
	if limit := math.Sqrt(N) + 2*N/(N+2); norm2 > limit*limit {
		floats.Scale(limit/math.Sqrt(norm2), y)
		norm2 = limit * limit
	}
	r.norm2[k] = norm2
}

// mahalanobis2 returns ‖C^−½·y‖².
func (r *run) mahalanobis2(y []float64) float64 {
	n := r.s.n
	var sum float64
	for j := range n {
		t := floats.Dot(r.bt[j*n:(j+1)*n], y) / r.d[j]
		sum += float64(t * t)
	}
	return sum
}

// update takes the told generation: selection, paths, covariance and step
// size (eqs. 41–47). A generation without one finite loss teaches nothing and
// leaves the distribution as it is.
func (r *run) update() {
	s := &r.s
	n := s.n
	r.rank()
	r.gen++
	if math.IsInf(r.loss[r.order[0]], 1) {
		r.hist.blind++
		return
	}
	r.hist.blind = 0
	r.hist.add(r.loss[r.order[0]], r.loss[r.order[s.lambda/2]])

	clear(r.dy) // ⟨y⟩w, eq. 41
	for i := range s.mu {
		k := r.order[i]
		floats.AddScaled(r.dy, s.w[i], r.y[k*n:(k+1)*n])
	}
	floats.AddScaled(r.m, r.sigma, r.dy) // eq. 42, cm = 1
	hSigma := r.paths()
	r.covariance(hSigma)
	step := s.cSigma / s.dSigma * (floats.Norm(r.ps, 2)/s.chiN - 1) // eq. 44
	r.sigma *= math.Exp(math.Min(1, step))
}

// rank sorts the generation; equal losses keep their ask order.
func (r *run) rank() {
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch {
		case r.loss[a] < r.loss[b]:
			return -1
		case r.loss[a] > r.loss[b]:
			return 1
		default:
			return 0
		}
	})
}

// paths moves ps (eq. 43) and pc (eq. 45) and returns hσ.
func (r *run) paths() float64 {
	s := &r.s
	n := s.n
	floats.Scale(1-s.cSigma, r.ps)
	k := math.Sqrt(s.cSigma * (2 - s.cSigma) * s.muEff)
	for j := range n { // C^−½·⟨y⟩w = B·D⁻¹·Bᵀ·⟨y⟩w
		b := r.bt[j*n : (j+1)*n]
		floats.AddScaled(r.ps, k*floats.Dot(b, r.dy)/r.d[j], b)
	}
	hSigma := 0.0
	norm := floats.Norm(r.ps, 2)
	if norm/math.Sqrt(1-math.Pow(1-s.cSigma, 2*float64(r.gen))) < (1.4+2/(float64(n)+1))*s.chiN {
		hSigma = 1
	}
	floats.Scale(1-s.cc, r.pc)
	floats.AddScaled(r.pc, hSigma*math.Sqrt(s.cc*(2-s.cc)*s.muEff), r.dy)
	return hSigma
}

// covariance is eq. 47 with the negative weights of eq. 46.
func (r *run) covariance(hSigma float64) {
	s := &r.s
	n := s.n
	deltaH := (1 - hSigma) * s.cc * (2 - s.cc)
	keep := 1 + float64(s.c1*deltaH) - s.c1 - float64(s.cmu*s.sumW)
	for i, k := range r.order {
		w := s.w[i]
		if w < 0 {
			w *= float64(n) / math.Max(r.norm2[k], 1e-12*float64(n)) // eq. 46
		}
		r.wCol[k] = s.cmu * w
	}
	for i := range n {
		row := r.c[i*n+i : (i+1)*n]
		floats.Scale(keep, row)
		floats.AddScaled(row, s.c1*r.pc[i], r.pc[i:])
		for k, w := range r.wCol {
			floats.AddScaled(row, w*r.y[k*n+i], r.y[k*n+i:(k+1)*n])
		}
	}
}

// widen raises the standard deviations that fell below their floor, keeping
// the correlations, so that a coordinate of cells cannot freeze inside one.
func (r *run) widen(floor []float64) {
	n := r.s.n
	for i, f := range floor {
		std := r.sigma * math.Sqrt(r.c[i*n+i])
		if f <= 0 || std >= f {
			continue
		}
		k := f / std
		for j := range n {
			lo, hi := min(i, j), max(i, j)
			r.c[lo*n+hi] *= k
		}
		r.c[i*n+i] *= k
		r.eigenGen = -r.s.eigenGap // decompose before the next sample
	}
}

// capSigma keeps the largest standard deviation at or below limit.
func (r *run) capSigma(limit float64) {
	n := r.s.n
	var most float64
	for i := range n {
		most = math.Max(most, r.c[i*n+i])
	}
	if std := r.sigma * math.Sqrt(most); std > limit {
		r.sigma *= limit / std
	}
}

// decompose renews B and D when C has changed enough (appendix B.2). It
// reports false when C is no longer a covariance matrix.
func (r *run) decompose() bool {
	if r.gen-r.eigenGen < r.s.eigenGap {
		return true
	}
	r.eigenGen = r.gen
	n := r.s.n
	for i := range n {
		for _, v := range r.c[i*n+i : (i+1)*n] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
	}
	if !r.eigen.decompose(r.c, r.bt, r.eigW) || !(r.eigW[0] > 0) {
		return false
	}
	for j := range n {
		r.d[j] = math.Sqrt(r.eigW[j])
		floats.ScaleTo(r.bd[j*n:(j+1)*n], r.d[j], r.bt[j*n:(j+1)*n])
	}
	return true
}
