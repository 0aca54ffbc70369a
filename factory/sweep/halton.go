package sweep

import (
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

var nan = math.NaN()

// maxHaltonDim keeps the largest base, and so the tables, small.
const maxHaltonDim = 512

var _ engine.New = Engine

// Engine walks a randomized Halton sequence: point i is a function of the seed
// and i alone, any number of points fills the cube evenly, and every prefix of
// it does. The start points come first. An engine.New; the name in a study is
// "sweep".
func Engine(cfg engine.Config) (engine.Engine, error) {
	w, err := newWalker("sweep", cfg)
	if err != nil {
		return nil, err
	}
	n := cfg.Space.Dim()
	if n > maxHaltonDim {
		return nil, fmt.Errorf("%w: the space has %d coordinates, at most %d are walked", ErrSpace, n, maxHaltonDim)
	}
	w.path = &haltonPath{space: cfg.Space, h: newHalton(n, cfg.Seed)}
	return w, nil
}

type haltonPath struct {
	fixed
	space benchmarks.Space
	h     *halton
}

func (h *haltonPath) at(cursor int) (benchmarks.Point, bool) {
	p, err := h.space.Decode(h.h.at(uint64(cursor)))
	if err != nil {
		return nil, true // violates a constraint: passed over
	}
	return p, true
}

func (h *haltonPath) origin(cursor int) string { return fmt.Sprintf("sweep halton %d", cursor) }

// halton is the randomized Halton sequence of A. Owen, "A randomized Halton
// algorithm in R", arXiv:1706.02808: coordinate j reflects the digits of the
// index in the j-th prime base, every digit through a random permutation of
// its own, the zeros beyond the index's last digit too.
type halton struct {
	bases []uint64
	perm  [][][]uint16 // [coordinate][digit][value]
}

func newHalton(n int, root uint64) *halton {
	h := &halton{bases: primes(n)}
	for j, b := range h.bases {
		digits := int(math.Ceil(53 / math.Log2(float64(b))))
		table := make([][]uint16, digits)
		rng := seed.Stream(seed.Root(root), "sweep/halton", uint64(j))
		for k := range table {
			table[k] = make([]uint16, b)
			for i := range table[k] {
				table[k][i] = uint16(i)
			}
			t := table[k]
			rng.Shuffle(len(t), func(a, b int) { t[a], t[b] = t[b], t[a] })
		}
		h.perm = append(h.perm, table)
	}
	return h
}

// at returns point i of the sequence in [0, 1)^n.
func (h *halton) at(i uint64) []float64 {
	out := make([]float64, len(h.bases))
	for j, b := range h.bases {
		scale, rest := 1/float64(b), i
		var x float64
		for _, perm := range h.perm[j] {
			x += float64(float64(perm[rest%b]) * scale)
			rest /= b
			scale /= float64(b)
		}
		out[j] = math.Min(x, 1-0x1p-53)
	}
	return out
}

// primes returns the first n.
func primes(n int) []uint64 {
	var out []uint64
next:
	for c := uint64(2); len(out) < n; c++ {
		for _, p := range out {
			if p*p > c {
				break
			}
			if c%p == 0 {
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}
