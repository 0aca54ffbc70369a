package infer

import "math"

// The kernels below are plain Go. Each sums in one fixed order, written down
// here, and rounds every product before adding it, so that a compiler that
// could fuse the two (arm64, ppc64, s390x) must not.

// dot returns Σ a[i]·b[i] over len(a) ≤ len(b) elements. Order: eight partial
// sums over i mod 8, added as a tree, then the tail from left to right.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for len(a) >= 8 && len(b) >= 8 {
		s0 += float32(a[0] * b[0])
		s1 += float32(a[1] * b[1])
		s2 += float32(a[2] * b[2])
		s3 += float32(a[3] * b[3])
		s4 += float32(a[4] * b[4])
		s5 += float32(a[5] * b[5])
		s6 += float32(a[6] * b[6])
		s7 += float32(a[7] * b[7])
		a, b = a[8:], b[8:]
	}
	s := ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
	for i := range a {
		s += float32(a[i] * b[i])
	}
	return s
}

// dotSparse returns Σ v[i]·x[at[i]]: four partial sums over i mod 4, then the
// tail.
func dotSparse(v []float32, at []uint16, x *[maxCols]float32) float32 {
	at = at[:len(v)]
	var s0, s1, s2, s3 float32
	for len(v) >= 4 && len(at) >= 4 {
		s0 += float32(v[0] * x[at[0]%maxCols])
		s1 += float32(v[1] * x[at[1]%maxCols])
		s2 += float32(v[2] * x[at[2]%maxCols])
		s3 += float32(v[3] * x[at[3]%maxCols])
		v, at = v[4:], at[4:]
	}
	s := (s0 + s1) + (s2 + s3)
	for i := range v {
		s += float32(v[i] * x[at[i]%maxCols])
	}
	return s
}

// dotI8 returns Σ w[i]·x[i], exactly.
func dotI8(w []int8, x []byte) int32 {
	x = x[:len(w)]
	var s0, s1, s2, s3 int32
	for len(w) >= 4 && len(x) >= 4 {
		s0 += int32(w[0]) * int32(x[0])
		s1 += int32(w[1]) * int32(x[1])
		s2 += int32(w[2]) * int32(x[2])
		s3 += int32(w[3]) * int32(x[3])
		w, x = w[4:], x[4:]
	}
	for i := range w {
		s0 += int32(w[i]) * int32(x[i])
	}
	return s0 + s1 + s2 + s3
}

// dotI4 returns Σ u[i]·x[i] for the unsigned nibbles u of w, low nibble first,
// exactly.
func dotI4(w []byte, x []byte) int32 {
	x = x[:2*len(w)]
	var s0, s1, s2, s3 int32
	for len(w) >= 2 && len(x) >= 4 {
		s0 += int32(w[0]&15) * int32(x[0])
		s1 += int32(w[0]>>4) * int32(x[1])
		s2 += int32(w[1]&15) * int32(x[2])
		s3 += int32(w[1]>>4) * int32(x[3])
		w, x = w[2:], x[4:]
	}
	for i := range w {
		s0 += int32(w[i]&15)*int32(x[2*i]) + int32(w[i]>>4)*int32(x[2*i+1])
	}
	return s0 + s1 + s2 + s3
}

// dotSparseI8 returns Σ v[i]·x[at[i]], exactly.
func dotSparseI8(v []int8, at []uint16, x *[maxCols]byte) int32 {
	at = at[:len(v)]
	var s0, s1, s2, s3 int32
	for len(v) >= 4 && len(at) >= 4 {
		s0 += int32(v[0]) * int32(x[at[0]%maxCols])
		s1 += int32(v[1]) * int32(x[at[1]%maxCols])
		s2 += int32(v[2]) * int32(x[at[2]%maxCols])
		s3 += int32(v[3]) * int32(x[at[3]%maxCols])
		v, at = v[4:], at[4:]
	}
	for i := range v {
		s0 += int32(v[i]) * int32(x[at[i]%maxCols])
	}
	return s0 + s1 + s2 + s3
}

// axpy adds d·x to y, element by element.
func axpy(y []float32, d float32, x []float32) {
	x = x[:len(y)]
	for len(y) >= 4 && len(x) >= 4 {
		y[0] += float32(d * x[0])
		y[1] += float32(d * x[1])
		y[2] += float32(d * x[2])
		y[3] += float32(d * x[3])
		y, x = y[4:], x[4:]
	}
	for i := range y {
		y[i] += float32(d * x[i])
	}
}

// axpy2 adds d·x + e·z to y, element by element.
func axpy2(y []float32, d float32, x []float32, e float32, z []float32) {
	x, z = x[:len(y)], z[:len(y)]
	for len(y) >= 4 && len(x) >= 4 && len(z) >= 4 {
		y[0] += float32(d*x[0]) + float32(e*z[0])
		y[1] += float32(d*x[1]) + float32(e*z[1])
		y[2] += float32(d*x[2]) + float32(e*z[2])
		y[3] += float32(d*x[3]) + float32(e*z[3])
		y, x, z = y[4:], x[4:], z[4:]
	}
	for i := range y {
		y[i] += float32(d*x[i]) + float32(e*z[i])
	}
}

// exp32 returns eˣ for x ≤ 0, to about 1e-7 relative. math.Exp is not used:
// on amd64 its bits depend on whether the machine has FMA.
func exp32(x float32) float32 {
	if x < -80 {
		return 0
	}
	k := math.Floor(float64(float64(x)*math.Log2E) + 0.5)
	r := float64(x) - float64(k*math.Ln2) // |r| ≤ ln2/2
	p := 1.0 / 5040
	for _, c := range [...]float64{1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1} {
		p = float64(p*r) + c // Horner's rule for the Taylor polynomial
	}
	return float32(p * math.Float64frombits(uint64(1023+int64(k))<<52))
}

// softmax writes the probabilities of the logits z to p and returns the most
// probable class (the first of equals) and its probability.
func softmax(z, p *[classes]float32) (class int, confidence float32) {
	for i := 1; i < classes; i++ {
		if z[i] > z[class] {
			class = i
		}
	}
	top := z[class]
	var sum float32
	for i := range z {
		p[i] = exp32(z[i] - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return class, p[class]
}
