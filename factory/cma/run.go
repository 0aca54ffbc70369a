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
	ps     []float64    // evolution path of the step size (eq. 43)
	pc     []float64    // evolution path of C (eq. 45)
	shape  shape        // C
	rate   *rate        // nil: the learning rates are fixed
	again  *uncertainty // nil: points are evaluated once

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
}

// start prepares r for a new descent and re-uses its buffers.
func (r *run) start(n, lambda int, form Form, mean []float64, sigma float64) {
	if r.s.n != n || r.s.lambda != lambda || r.s.form != form {
		r.s = newStrategy(n, lambda, form)
	}
	r.grow()
	copy(r.m, mean)
	r.sigma, r.sigma0 = sigma, sigma
	clear(r.ps)
	clear(r.pc)
	r.shape.reset(n)
	if r.rate != nil {
		r.rate.reset(n)
	}
	if r.again != nil {
		r.again.reset(lambda)
	}
	r.gen, r.eigenGen = 0, 0
	r.hist.reset()
}

// noisy: losses are expected to be, and a lucky one means nothing.
func (r *run) noisy() bool { return r.rate != nil || r.again != nil }

func (r *run) grow() {
	n, l := r.s.n, r.s.lambda
	for _, p := range []*[]float64{&r.m, &r.ps, &r.pc, &r.dy, &r.t, &r.z} {
		*p = resized(*p, n)
	}
	r.x = resized(r.x, l*n)
	r.y = resized(r.y, l*n)
	r.norm2 = resized(r.norm2, l)
	r.loss = resized(r.loss, l)
	r.wCol = resized(r.wCol, l)
	r.order = slices.Grow(r.order[:0], l)[:l]
	if r.shape == nil {
		if r.shape = new(full); r.s.form == Separable {
			r.shape = new(diagonal)
		}
	}
}

func resized(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}

// sample draws y_k ~ N(0, C).
func (r *run) sample(k int, rng *rand.Rand) {
	n := r.s.n
	var norm2 float64
	for j := range r.z {
		z := rng.NormFloat64()
		r.z[j] = z
		norm2 += float64(z * z)
	}
	r.shape.color(r.z, r.y[k*n:(k+1)*n])
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
	clear(r.t)
	r.shape.whiten(1, y, r.t)
	return floats.Dot(r.t, r.t)
}

// update takes the told generation: selection, paths, covariance and step
// size (eqs. 41–47). A generation without one finite loss teaches nothing and
// leaves the distribution as it is. It reports false when C is no longer a
// covariance matrix.
func (r *run) update() bool {
	s := &r.s
	n := s.n
	r.rank()
	r.gen++
	if math.IsInf(r.loss[r.order[0]], 1) {
		r.hist.blind++
		return true
	}
	r.hist.blind = 0
	r.hist.add(r.loss[r.order[0]], r.loss[r.order[s.lambda/2]])

	whole, _ := r.shape.(*full)
	if r.rate != nil {
		r.rate.before(r, whole)
	}
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
	if r.rate != nil {
		return r.rate.after(r, whole)
	}
	return true
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
	r.shape.whiten(k, r.dy, r.ps)
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
	r.shape.update(keep, s.c1, r.pc, r.wCol, r.y)
}

// widen raises the standard deviations that fell below their floor, keeping
// the correlations, so that a coordinate of cells cannot freeze inside one.
func (r *run) widen(floor []float64) {
	for i, f := range floor {
		std := r.sigma * math.Sqrt(r.shape.variance(i))
		if f <= 0 || std >= f {
			continue
		}
		r.shape.stretch(i, f/std)
		r.eigenGen = -r.s.eigenGap // decompose before the next sample
	}
}

// capSigma keeps the largest standard deviation at or below limit.
func (r *run) capSigma(limit float64) {
	var most float64
	for i := range r.s.n {
		most = math.Max(most, r.shape.variance(i))
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
	return r.shape.decompose()
}
