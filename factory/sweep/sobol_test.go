package sweep

import (
	"math"
	"math/bits"
	"testing"

	"github.com/arqon/arqon/internal/seed"
	"pgregory.net/rapid"
)

// The first points, not scrambled, as every implementation has them.
func TestSobolBegins(t *testing.T) {
	s := newSobol(3, 1)
	want := [][]float64{{0, 0, 0}, {.5, .5, .5}, {.25, .75, .75}, {.75, .25, .25}, {.125, .625, .375}, {.625, .125, .875}, {.375, .375, .625}, {.875, .875, .125}}
	for i, p := range want {
		for j, x := range p {
			if got := float64(s.digits(j, uint64(i))) / (1 << sobolBits); got != x {
				t.Errorf("point %d, coordinate %d: %v, want %v", i, j, got, x)
			}
		}
	}
}

// The table is whole: Sobol's property A, which Joe & Kuo's numbers have up to
// dimension 1,111. The first binary digits of the first n direction numbers
// are a regular matrix for every n.
func TestSobolHasPropertyA(t *testing.T) {
	all := directions()
	if len(all) != maxSobolDim {
		t.Fatalf("%d dimensions, want %d", len(all), maxSobolDim)
	}
	// sobolBits digits are kept, so that is how many dimensions can be tried
	// at once.
	for n := 1; n <= sobolBits; n++ {
		var rows []uint64
		for j := range n {
			var row uint64
			for k := range n {
				row |= (all[j][k] >> (sobolBits - 1) & 1) << k
			}
			rows = append(rows, row)
		}
		if r := rank(rows); r != n {
			t.Errorf("the first %d dimensions: rank %d", n, r)
		}
	}
}

func rank(rows []uint64) int {
	n := 0
	for i := range rows {
		if rows[i] == 0 {
			continue
		}
		n++
		top := 63 - bits.LeadingZeros64(rows[i])
		for k := i + 1; k < len(rows); k++ {
			if rows[k]>>top&1 == 1 {
				rows[k] ^= rows[i]
			}
		}
	}
	return n
}

// Of the first 2^k points, each of the 2^k slices of any axis holds one.
func TestSobolIsStratified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSobol(maxSobolDim, rapid.Uint64().Draw(t, "seed"))
		j := rapid.IntRange(0, maxSobolDim-1).Draw(t, "axis")
		k := rapid.IntRange(0, 9).Draw(t, "log2 of the points")
		seen := map[uint64]bool{}
		for i := range uint64(1) << k {
			seen[scramble(s.digits(j, i), s.key[j])>>(sobolBits-k)] = true
		}
		if len(seen) != 1<<k {
			t.Fatalf("%d of %d slices hold a point", len(seen), 1<<k)
		}
	})
}

// The first two axes are a (0, m, 2)-net: every box of area 2^−m, whatever its
// shape, holds one of the first 2^m points.
func TestSobolFillsBoxes(t *testing.T) {
	const m = 8
	s := newSobol(2, 5)
	for wide := range m + 1 {
		seen := map[[2]int]bool{}
		for i := range uint64(1 << m) {
			p := s.at(i)
			seen[[2]int{int(p[0] * float64(int(1)<<wide)), int(p[1] * float64(int(1)<<(m-wide)))}] = true
		}
		if len(seen) != 1<<m {
			t.Errorf("%d slices by %d: %d of %d boxes hold a point", 1<<wide, 1<<(m-wide), len(seen), 1<<m)
		}
	}
}

// The error of an integral in six dimensions, root mean square over 20
// scrambles of 1,024 points: .0004, Halton's .0017, of random points .016.
func TestSobolIntegrates(t *testing.T) {
	const n, scrambles = 1024, 20
	rms := map[string]float64{}
	for root := range uint64(scrambles) {
		rng := seed.Stream(seed.Root(root), "sobol test")
		for name, at := range map[string]func(uint64) []float64{
			"sobol":  newSobol(6, root).at,
			"halton": newHalton(6, root).at,
			"random": func(uint64) []float64 {
				x := make([]float64, 6)
				for j := range x {
					x[j] = rng.Float64()
				}
				return x
			},
		} {
			var sum float64
			for i := range uint64(n) {
				f := 1.
				for _, x := range at(i) {
					f *= 1 + (x-.5)*.8
				}
				sum += f
			}
			rms[name] += (sum/n - 1) * (sum/n - 1) / scrambles
		}
	}
	for name := range rms {
		rms[name] = math.Sqrt(rms[name])
	}
	t.Log(rms)
	if rms["sobol"]*2 > rms["halton"] || rms["sobol"]*25 > rms["random"] {
		t.Errorf("errors %v", rms)
	}
}
