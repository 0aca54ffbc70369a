package cma

import "math"

// strategy holds the constants of one run: a function of the dimension n and
// the population size λ alone. Names and equation numbers are those of
// N. Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772
// (table 1 and appendix A).
type strategy struct {
	n, lambda, mu int
	form          Form
	w             []float64 // λ weights, descending; the last are negative (eq. 53)
	muEff         float64   // eq. 8
	cSigma        float64   // eq. 55
	dSigma        float64   // eq. 55
	cc            float64   // eq. 56
	c1            float64   // eq. 57
	cmu           float64   // eq. 58
	sumW          float64   // Σ w over all λ, for the decay in eq. 47
	chiN          float64   // E‖N(0,I)‖
	eigenGap      int       // generations between eigendecompositions (appendix B.2)
}

// Form is what a run learns of the covariance.
type Form int

const (
	// AutoForm is Separable where the full matrix costs too much, or cannot be
	// learned with the budget: above 400 dimensions, and from 40 dimensions
	// when the budget is below Dim²; else Full.
	AutoForm  Form = iota
	Full           // all variances and correlations: n² numbers
	Separable      // variances alone: n numbers, linear time
)

// formFor resolves AutoForm. The budget may be 0: unlimited.
func formFor(form Form, n, budget int) Form {
	if form != AutoForm {
		return form
	}
	if n > 400 || (n >= 40 && budget > 0 && budget < n*n) {
		return Separable
	}
	return Full
}

// defaultLambda is the population size of table 1.
func defaultLambda(n int) int { return 4 + int(3*math.Log(float64(n))) }

func newStrategy(n, lambda int, form Form) strategy {
	s := strategy{n: n, lambda: lambda, mu: lambda / 2, form: form}
	N := float64(n)
	s.rawWeights()

	s.cSigma = (s.muEff + 2) / (N + s.muEff + 5)                                // eq. 55
	s.dSigma = 1 + 2*math.Max(0, math.Sqrt((s.muEff-1)/(N+1))-1) + s.cSigma     // eq. 55
	s.cc = (4 + s.muEff/N) / (N + 4 + 2*s.muEff/N)                              // eq. 56
	s.c1 = 2 / ((N+1.3)*(N+1.3) + s.muEff)                                      // eq. 57, αcov = 2
	s.cmu = math.Min(1-s.c1, 2*(.25+s.muEff+1/s.muEff-2)/((N+2)*(N+2)+s.muEff)) // eq. 58
	if form == Separable {                                                      // n variances are learned faster than n² covariances: Ros & Hansen 2008, eq. 6
		s.c1 = math.Min(.5, s.c1*(N+2)/3)
		s.cmu = math.Min(1-s.c1, s.cmu*(N+2)/3)
	}
	s.chiN = math.Sqrt(N) * (1 - 1/(4*N) + 1/(21*N*N)) // appendix A
	s.eigenGap = max(1, int(eigenDrift/(s.c1+s.cmu)))  // after appendix B.2
	if form == Separable {
		s.eigenGap = 1 // it costs n
	}
	s.scaleWeights()
	return s
}

// eigenDrift is the share of C that may be renewed between two
// decompositions. Appendix B.2 has 1/(10n), which at n = 100 decomposes every
// generation; 1/50 is the same below about 30 dimensions, where one generation
// renews more than that, and twelve generations at n = 100. There, 1/40 instead
// of 1/70 costs 1.5 % more evaluations on the ellipsoid.
const eigenDrift = 1. / 50

// rawWeights sets w' of eq. 49 and muEff of eq. 8.
func (s *strategy) rawWeights() {
	s.w = make([]float64, s.lambda)
	var sum, sum2 float64
	for i := range s.w {
		s.w[i] = math.Log((float64(s.lambda)+1)/2) - math.Log(float64(i)+1)
		if i < s.mu {
			sum += s.w[i]
			sum2 += s.w[i] * s.w[i]
		}
	}
	s.muEff = sum * sum / sum2
}

// scaleWeights turns w' into w: the positive ones sum to 1, the negative ones
// to −min(αµ⁻, αµeff⁻, αposdef⁻) (eqs. 50–53).
func (s *strategy) scaleWeights() {
	var pos, neg, neg2 float64
	for _, w := range s.w {
		if w >= 0 {
			pos += w
		} else {
			neg -= w
			neg2 += w * w
		}
	}
	var muEffNeg float64
	if neg2 > 0 {
		muEffNeg = neg * neg / neg2
	}
	alphaMu := 1 + s.c1/s.cmu                                     // eq. 50
	alphaMuEff := 1 + 2*muEffNeg/(s.muEff+2)                      // eq. 51
	alphaPosDef := (1 - s.c1 - s.cmu) / (float64(s.n) * s.cmu)    // eq. 52
	alpha := math.Min(alphaMu, math.Min(alphaMuEff, alphaPosDef)) // eq. 53
	s.sumW = 0
	for i, w := range s.w {
		if w >= 0 {
			s.w[i] = w / pos
		} else {
			s.w[i] = w * alpha / neg
		}
		s.sumW += s.w[i]
	}
}
