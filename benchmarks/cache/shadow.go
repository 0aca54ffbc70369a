package cache

import "math"

// Shadows are miniature simulations of several strategies beside a live cache:
// a sixteenth of the keys in a sixteenth of the capacity has about the hit
// ratio of the whole (Waldspurger et al., "Cache modeling and optimization
// using miniature simulations", USENIX ATC 2017). The vector of their hit
// ratios also says what the traffic is like. Use it from one goroutine.
type Shadows struct {
	sims   []policy
	ratios []float64
	seen   int
	cold   int // uses that fill the simulations and are not counted
}

const (
	shadowOneIn  = 16
	shadowLeast  = 250 // sampled uses counted before the ratios say anything
	shadowMemory = 300 // sampled uses, after which an old one counts 1/e
)

// NewShadows starts one empty simulation a strategy, for a cache of the
// capacity.
func NewShadows(list []*Strategy, capacity int) *Shadows {
	small := max(1, capacity/shadowOneIn)
	s := &Shadows{ratios: make([]float64, len(list)), cold: 2 * small}
	for _, x := range list {
		s.sims = append(s.sims, x.start(small))
	}
	return s
}

// Warm says whether the simulations have seen enough to tell traffic by.
func (s *Shadows) Warm() bool { return s.seen >= s.cold+shadowLeast }

// Sampled says whether the shadows want to see a key: always the same ones.
func Sampled(key uint64) bool { return mix(key^0xbb67ae8584caa73b)%shadowOneIn == 0 }

// Use plays one use of a sampled key.
func (s *Shadows) Use(u Use) {
	s.seen++
	rate := 0.0
	if s.seen > s.cold {
		rate = 1 / float64(min(s.seen-s.cold, shadowMemory))
	}
	for i, p := range s.sims {
		hit := 0.0
		if p.get(u.Key) != none {
			hit = 1
		} else {
			p.put(u.Key, u.Size)
		}
		s.ratios[i] += float64(rate * (hit - s.ratios[i]))
	}
}

// Ratios are the recent hit ratios, in the order of the strategies. They are
// the shadows' own: read only.
func (s *Shadows) Ratios() []float64 { return s.ratios }

// Signature is what the shadows' hit ratios are on a whole trace, the warm-up
// left out.
func Signature(list []*Strategy, capacity int, t *Trace) []float64 {
	s := NewShadows(list, capacity)
	out := make([]float64, len(list))
	n := 0.0
	for i, u := range t.Uses {
		if !Sampled(u.Key) {
			continue
		}
		s.Use(u)
		if i < t.Warm {
			continue
		}
		n++
		for k, r := range s.ratios {
			out[k] += r
		}
	}
	for k := range out {
		out[k] /= max(1, n)
	}
	return out
}

// Distance is the root mean square difference of two signatures of one length.
func Distance(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		d := a[i] - b[i]
		sum += float64(d * d)
	}
	return math.Sqrt(sum / float64(max(1, len(a))))
}
