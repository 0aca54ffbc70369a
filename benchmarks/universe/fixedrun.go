package universe

import "math"

func saturate(v int32) int16 { return int16(min(32767, max(-32768, v))) }

// quantize rounds half away from zero.
func quantize(v float64, scale int) int16 { return narrowed(math.Round(math.Ldexp(v, scale))) }

func narrowed(v float64) int16 { return int16(min(32767, max(-32768, v))) }

// load is a value of a channel as a kernel's memory has it.
func (f fixedPoint) load(c int, v float64) int16 {
	out := quantize(v, f.channel[c])
	if f.positive[c] {
		out = max(0, out)
	}
	return out
}

// product is (a·b + 2^14) >> 15, saturated: q15mulr_sat_s.
func product(a, b int16) int16 { return saturate((int32(a)*int32(b) + 1<<14) >> 15) }

// moved takes bits off a value by rounding, or adds some by doubling.
func moved(v int16, down int) int16 {
	if down > 15 {
		return 0
	}
	if down > 0 {
		return product(v, 1<<(15-down))
	}
	for range -down {
		v = saturate(2 * int32(v))
	}
	return v
}

// fixedRun is the arithmetic of I16 with the knobs somewhere.
type fixedRun struct {
	fixedPoint
	slots []int16
}

func (fixedRun) noise(h int16) int16            { return h }
func (m fixedRun) leaf(n node) int16            { return m.slots[n.index] }
func (m fixedRun) store(c int, v int16) float64 { return math.Ldexp(float64(v), -m.channel[c]) }

// lap adds differences, which are small where the sum of the neighbours is not.
func (fixedRun) lap(c, left, right, up, down int16) int16 {
	diff := func(a int16) int16 { return saturate(int32(a) - int32(c)) }
	sum := func(a, b int16) int16 { return saturate(int32(a) + int32(b)) }
	return sum(sum(diff(left), diff(right)), sum(diff(up), diff(down)))
}

// mean rounds (S+1)/4 down, where S is the sum: an eighth of a bit too low on
// average, and exact where all four are the same. Numbers are not negative:
// without a sign the sum of two needs 16 bits, avgr_u is halfway between two
// sums, rounded up, and half of that is a mean of four.
func (fixedRun) mean(left, right, up, down int16) int16 {
	return int16(halfway(int32(left)+int32(right), int32(up)+int32(down)) >> 1)
}

// halfway is avgr_u.
func halfway(a, b int32) int32 { return (a + b + 1) >> 1 }

// ring halves before each addition: nothing can overflow. Of a positive channel
// it is what mean is, an eighth of a bit too high on average.
func (m fixedRun) ring(c int, around *[16]int16) int16 {
	if m.positive[c] {
		var sums [8]int32
		for k := range sums {
			sums[k] = int32(around[2*k]) + int32(around[2*k+1])
		}
		for n := 4; n > 0; n /= 2 {
			for k := range n {
				sums[k] = halfway(sums[2*k], sums[2*k+1])
			}
		}
		return int16(sums[0] >> 1)
	}
	v := *around
	for n := 8; n > 0; n /= 2 {
		for k := range n {
			v[k] = v[2*k]>>1 + v[2*k+1]>>1
		}
	}
	return v[0]
}

func (fixedRun) apply(n node, dst, a, b, c []int16) {
	switch n.op {
	case Add:
		for x := range dst {
			dst[x] = saturate(int32(a[x]) + int32(b[x]))
		}
	case Sub:
		for x := range dst {
			dst[x] = saturate(int32(a[x]) - int32(b[x]))
		}
	case Mul:
		for x := range dst {
			dst[x] = product(a[x], b[x])
		}
	case Min:
		for x := range dst {
			dst[x] = min(a[x], b[x])
		}
	case Max:
		for x := range dst {
			dst[x] = max(a[x], b[x])
		}
	case Less:
		for x := range dst {
			dst[x] = 0
			if a[x] < b[x] {
				dst[x] = -1
			}
		}
	case Pick:
		for x := range dst {
			dst[x] = c[x]
			if a[x] != 0 {
				dst[x] = b[x]
			}
		}
	case moveOp:
		for x := range dst {
			dst[x] = moved(a[x], n.index)
		}
	case floorOp:
		for x := range dst {
			dst[x] = max(0, a[x])
		}
	default: // the others are the interpreter's own
	}
}
