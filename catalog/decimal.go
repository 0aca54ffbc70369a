package catalog

import (
	"math"
	"math/bits"
)

// decimal is ±m/10^k, m below 10^17.
type decimal struct {
	m        uint64
	k        int
	negative bool
}

const maxScale = 18

// The powers of ten that a decimal is divided by, as both kinds of numbers.
var powers, tens = func() (p [maxScale + 1]uint64, f [maxScale + 1]float64) {
	p[0], f[0] = 1, 1
	for k := 1; k <= maxScale; k++ {
		p[k] = 10 * p[k-1]
		f[k] = float64(p[k]) // exact: 10^18 is 5^18·2^18, and 5^18 has 42 bits
	}
	return p, f
}()

// float returns the nearest float64, if the decimal is the shortest one that
// reads back as it, and of those the nearest. false: it is not, or that is not
// certain, or it would be written with an exponent.
//
// With at most 15 digits both are plain. m and 10^k are exact, so that one
// division rounds as it should (Clinger 1990, "How to read floating point
// numbers accurately"); and nothing shorter reads back as the same, since two
// decimals of at most 15 digits are never the same float64.
func (d decimal) float() (f float64, ok bool) {
	if d.m < 1e15 {
		f, ok = float64(d.m)/tens[d.k], true
	} else {
		f, ok = d.long()
	}
	if d.m != 0 && f < 1e-6 {
		return f, false
	}
	if d.negative {
		f = -f
	}
	return f, ok
}

// long is float for 16 or 17 digits, the last of which is not 0. It guesses
// f = mf·2^e and looks, in whole numbers, at how far the decimal is from it, in
// units of 2^(e−1)/10^k:
//
//	the decimal               m·u,  u = 2^(1−e)
//	f                         2·mf·p,  p = 10^k
//	halfway to f's neighbours ± p from there
//
// The decimal reads back as f if it is nearer than p. It is the shortest if the
// decimals of one digit less on both sides of it, at multiples of 10, are
// farther from f than p. It is the nearest of its length if it is nearer than
// half a step of its last digit, u/2. Whatever is exactly on a border is left
// to strconv, and so are powers of two, whose neighbours are not at the same
// distance.
func (d decimal) long() (float64, bool) {
	const hidden = 1 << 52
	guess := math.Float64bits(float64(d.m) / tens[d.k])
	mf, e := guess&(hidden-1)|hidden, int(guess>>52)-1075
	s := 1 - e
	if s < 1 || s > 63 {
		return 0, false
	}
	u, p := uint64(1)<<s, powers[d.k]
	hi, lo := bits.Mul64(d.m, u)
	fhi, flo := bits.Mul64(2*mf, p)
	lo, borrow := bits.Sub64(lo, flo, 0)
	hi, _ = bits.Sub64(hi, fhi, borrow)
	off := int64(lo)
	if hi != uint64(off>>63) {
		return 0, false // the guess is nowhere near
	}
	half := int64(p)
	if off > half { // the guess was one too low, or too high
		mf, off = mf+1, off-2*half
	} else if off < -half {
		mf, off = mf-1, off+2*half
	}
	if off >= half || off <= -half || mf <= hidden || mf >= 2*hidden {
		return 0, false
	}
	last := d.m % 10
	if !beyond(last, u, half+off) || !beyond(10-last, u, half-off) || uint64(2*max(off, -off)) >= u {
		return 0, false
	}
	return math.Float64frombits(guess&^(hidden-1) | mf&(hidden-1)), true
}

// beyond reports whether steps·u is more than distance, which is not negative.
func beyond(steps, u uint64, distance int64) bool {
	hi, lo := bits.Mul64(steps, u)
	return hi > 0 || lo > uint64(distance)
}
