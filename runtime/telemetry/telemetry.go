// Package telemetry measures a serving process without slowing it down:
// log-linear sketches that are written in place, shards with one owner
// goroutine each whose buffers the engine takes over while they write, moving
// averages, and a ring for rare events that drops rather than blocks.
//
// Nothing here reads a clock, allocates on the write path, decides anything or
// knows what an arm or a metric means: they are small integers. Exporting to
// other systems is not done here either.
package telemetry

import "math"

// The sketch covers 64 octaves, 2⁻³⁰ to 2³⁴, with 32 linear buckets each, so
// that a quantile is off by at most 1/64 of its value inside that range.
// Values at or below 2⁻³⁰ (zero and negative ones too) share the first bucket
// and larger ones the last; count, mean, variance, min and max stay exact.
const (
	subBits     = 5
	octaves     = 64
	exponentMin = -30
	buckets     = octaves << subBits
	bucketShift = 52 - subBits
	bucketBase  = (1023 + exponentMin) << subBits
)

// RelativeErrorMax bounds |Quantile − exact| / exact for positive values
// between 2⁻³⁰ and 2³⁴.
const RelativeErrorMax = 1.0 / (1 << (subBits + 1))

// Sketch is a histogram with exact moments. The zero Sketch is empty. It is
// written by one goroutine at a time and holds at most 2³²−1 values a bucket.
type Sketch struct {
	count   uint64
	invalid uint64  // NaN and ±Inf, which enter nothing else
	shift   float64 // the first value: moments are taken around it
	sum     float64 // Σ (x − shift)
	sumSq   float64 // Σ (x − shift)²
	min     float64
	max     float64
	lo, hi  int32 // touched buckets, inclusive, when count > 0
	bucket  [buckets]uint32
}

// bucketOf maps a value to its bucket: the exponent and the top five bits of
// the mantissa are the index, so no logarithm is taken.
func bucketOf(x float64) int32 {
	if x <= 0 {
		return 0
	}
	i := int64(math.Float64bits(x)>>bucketShift) - bucketBase
	if i < 0 {
		return 0
	}
	if i >= buckets {
		return buckets - 1
	}
	return int32(i)
}

// midOf is the middle of bucket i.
func midOf(i int32) float64 {
	low := math.Float64frombits(uint64(int64(i)+bucketBase) << bucketShift)
	high := math.Float64frombits(uint64(int64(i)+1+bucketBase) << bucketShift)
	return low + (high-low)/2
}

// Add records x. NaN and infinities are counted as invalid and nowhere else.
func (s *Sketch) Add(x float64) {
	if x-x != 0 {
		s.invalid++
		return
	}
	i := bucketOf(x)
	s.bucket[i&(buckets-1)]++
	if s.count == 0 {
		s.count, s.shift, s.min, s.max, s.lo, s.hi = 1, x, x, x, i, i
		return
	}
	d := x - s.shift
	s.count++
	s.sum += d
	s.sumSq += float64(d * d)
	if x < s.min {
		s.min = x
	}
	if x > s.max {
		s.max = x
	}
	if i < s.lo {
		s.lo = i
	}
	if i > s.hi {
		s.hi = i
	}
}

// Merge adds what o has seen; o is not changed.
func (s *Sketch) Merge(o *Sketch) {
	s.invalid += o.invalid
	if o.count == 0 {
		return
	}
	for i := o.lo; i <= o.hi; i++ {
		s.bucket[i] = saturate(s.bucket[i], o.bucket[i])
	}
	if s.count == 0 {
		s.count, s.shift, s.sum, s.sumSq = o.count, o.shift, o.sum, o.sumSq
		s.min, s.max, s.lo, s.hi = o.min, o.max, o.lo, o.hi
		return
	}
	// Σ(x−s)² = Σ(x−o)² + 2(o−s)Σ(x−o) + n(o−s)²
	n, d := float64(o.count), o.shift-s.shift
	s.count += o.count
	s.sumSq += o.sumSq + float64(2*d*o.sum) + float64(n*d*d)
	s.sum += o.sum + float64(n*d)
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
	s.lo, s.hi = min(s.lo, o.lo), max(s.hi, o.hi)
}

func saturate(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

// Reset empties the sketch; it clears only what was touched.
func (s *Sketch) Reset() {
	if s.count > 0 {
		clear(s.bucket[s.lo : s.hi+1])
	}
	s.count, s.invalid, s.shift, s.sum, s.sumSq, s.min, s.max, s.lo, s.hi = 0, 0, 0, 0, 0, 0, 0, 0, 0
}

// Count is the number of finite values.
func (s *Sketch) Count() uint64 { return s.count }

// Invalid is the number of NaN and infinite values that were refused.
func (s *Sketch) Invalid() uint64 { return s.invalid }

// Mean is the arithmetic mean, 0 when empty.
func (s *Sketch) Mean() float64 {
	if s.count == 0 {
		return 0
	}
	return s.shift + s.sum/float64(s.count)
}

// Variance is the unbiased sample variance, 0 below two values.
func (s *Sketch) Variance() float64 {
	if s.count < 2 {
		return 0
	}
	n := float64(s.count)
	v := (s.sumSq - float64(s.sum*(s.sum/n))) / (n - 1)
	return max(v, 0)
}

// Min and Max are exact, 0 when empty.
func (s *Sketch) Min() float64 { return s.min }

// Max is the largest value.
func (s *Sketch) Max() float64 { return s.max }

// Quantile returns the value at rank ⌈q·n⌉, q in [0, 1], within
// RelativeErrorMax and within [Min, Max]; 0 when empty.
func (s *Sketch) Quantile(q float64) float64 {
	if s.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(s.count)))
	rank = min(max(rank, 1), s.count)
	var seen uint64
	for i := s.lo; i <= s.hi; i++ {
		seen += uint64(s.bucket[i])
		if seen < rank {
			continue
		}
		switch i {
		case 0:
			return s.min
		case buckets - 1:
			return s.max
		}
		return min(max(midOf(i), s.min), s.max)
	}
	return s.max
}

// AtMost is how many values lie in buckets that end at or below x: a cumulative
// count for fixed bounds, short by what shares a bucket with x and is not above
// it. It grows with x, and AtMost(+Inf) is Count.
func (s *Sketch) AtMost(x float64) uint64 {
	if s.count == 0 || x < s.min {
		return 0
	}
	if x >= s.max {
		return s.count
	}
	var n uint64
	for i, end := s.lo, bucketOf(math.Nextafter(x, math.Inf(1))); i < end; i++ {
		n += uint64(s.bucket[i])
	}
	return n
}

// Average is an exponential moving average whose first value is exact. The
// zero Average weighs every new observation fully; Alpha is in (0, 1].
type Average struct {
	Alpha float64 // weight of one new observation; 0 means 1
	value float64
	count uint64
}

// AddMean folds in n observations with the given mean as if they had come one
// by one with that value. A mean that is not finite is ignored.
func (a *Average) AddMean(mean float64, n uint64) {
	if n == 0 || mean-mean != 0 {
		return
	}
	if a.count == 0 {
		a.value, a.count = mean, n
		return
	}
	a.count += n
	alpha := a.Alpha
	if alpha <= 0 || alpha > 1 {
		alpha = 1
	}
	keep := math.Pow(1-alpha, float64(n))
	a.value = mean + float64(keep*(a.value-mean))
}

// Value is the average, 0 before the first observation.
func (a *Average) Value() float64 { return a.value }

// Count is how many observations entered.
func (a *Average) Count() uint64 { return a.count }
