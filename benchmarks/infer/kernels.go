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

// The integer kernels work on unsigned weights u = q + offset packed so that
// one 64-bit multiplication serves several rows at once: each row has a lane
// of the product, and lanes never overflow into each other. On the machine of
// the first measurements int4 three rows at a time is twice as fast as scalar
// f32, and int8 two rows at a time is level with it; one row at a time both
// were slower than f32. Sums are exact, so their order does not matter.

// dotPairs returns Σ u[i]·x[i] of two rows, one in each half of the result.
// w holds a row in the low bytes and another in the high bytes. With x ≤ 255
// and at most 1024 elements a sum stays below 2²⁷.
func dotPairs(w []uint16, x []uint64) uint64 {
	x = x[:len(w)]
	var s0, s1 uint64
	for len(w) >= 4 && len(x) >= 4 {
		a, b, c, d := uint64(w[0]), uint64(w[1]), uint64(w[2]), uint64(w[3])
		s0 += (a | a<<24) & pairLanes * x[0]
		s1 += (b | b<<24) & pairLanes * x[1]
		s0 += (c | c<<24) & pairLanes * x[2]
		s1 += (d | d<<24) & pairLanes * x[3]
		w, x = w[4:], x[4:]
	}
	for i := range w {
		a := uint64(w[i])
		s0 += (a | a<<24) & pairLanes * x[i]
	}
	return s0 + s1
}

const (
	pairLanes = 0xff_0000_00ff // a byte at bit 0 and one at bit 32

	tripleLane = 21                // bits of a lane of dotTriples
	tripleMask = 1<<tripleLane - 1 //
	tripleSpan = 512               // elements: 512·15·255 < 2²¹
)

// tripleLanes spreads three nibbles over three lanes.
var tripleLanes = func() (t [1 << 12]uint64) {
	for i := range uint64(len(t)) {
		t[i] = i&15 | i>>4&15<<tripleLane | i>>8<<(2*tripleLane)
	}
	return t
}()

// dotTriples returns Σ u[i]·x[i] of three rows, one a lane, over at most
// tripleSpan elements. w holds one nibble a row.
func dotTriples(w []uint16, x []uint64) uint64 {
	x = x[:len(w)]
	var s0, s1 uint64
	for len(w) >= 4 && len(x) >= 4 {
		s0 += tripleLanes[w[0]%(1<<12)] * x[0]
		s1 += tripleLanes[w[1]%(1<<12)] * x[1]
		s0 += tripleLanes[w[2]%(1<<12)] * x[2]
		s1 += tripleLanes[w[3]%(1<<12)] * x[3]
		w, x = w[4:], x[4:]
	}
	for i := range w {
		s0 += tripleLanes[w[i]%(1<<12)] * x[i]
	}
	return s0 + s1
}

// dotSparseInt returns Σ v[i]·x[at[i]].
func dotSparseInt(v []int8, at []uint16, x *[maxCols]uint64) int32 {
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
