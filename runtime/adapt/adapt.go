// Package adapt holds the learners of Tier 2: a contextual bandit over arms,
// constraints first, with drift detection, and searches that move knobs.
//
// Everything here is a pure function of (state, seed, what it is told): no
// clock, no global randomness, no goroutines, and nothing of Arqon is
// imported, so that a learner cannot touch what serves. It proposes numbers;
// whether anything comes of them is decided elsewhere.
//
// Equal inputs give equal bits on one architecture and toolchain.
package adapt

import "math"

// Draw is a counter-based random word: it depends on the seed, the keys and
// nothing else, so a branch that is skipped shifts no later draw. Each key
// passes through the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func Draw(seed uint64, keys ...uint64) uint64 {
	h := mix(seed)
	for _, k := range keys {
		h = mix(h ^ mix(k))
	}
	return h
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Uniform is a draw in (0, 1).
func Uniform(seed uint64, keys ...uint64) float64 {
	return (float64(Draw(seed, keys...)>>12) + .5) / (1 << 52)
}

// Normal is a standard normal draw (Box and Muller 1958).
func Normal(seed uint64, keys ...uint64) float64 {
	u := Draw(seed, keys...)
	v := mix(u)
	a := (float64(u>>12) + .5) / (1 << 52)
	b := float64(v>>12) / (1 << 52)
	return math.Sqrt(-2*math.Log(a)) * math.Cos(2*math.Pi*b)
}

// Sign is ±1, each with probability one half.
func Sign(seed uint64, keys ...uint64) float64 {
	if Draw(seed, keys...)>>63 == 1 {
		return 1
	}
	return -1
}

func finite(x float64) bool { return x-x == 0 }

// lossMax is what a learner takes for a number: squares of larger losses
// would leave the range of float64 and poison the state.
const lossMax = 1e100

func usable(x float64) bool { return math.Abs(x) <= lossMax }
