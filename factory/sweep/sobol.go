package sweep

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/internal/seed"
)

const (
	maxSobolDim = 512
	sobolBits   = 48 // binary digits of a coordinate
)

var _ engine.New = Sobol

// Sobol walks a scrambled Sobol sequence: the first 2^k points put one in each
// of 2^k equal slices of every axis, and, for most pairs of axes, one in each
// of 2^k equal boxes. For integrals and for screening a few thousand points it
// is more even than the Halton walk; a walk of another length than a power of
// two loses some of that. The name in a study is "sobol".
func Sobol(cfg engine.Config) (engine.Engine, error) {
	w, err := newWalker("sobol", cfg)
	if err != nil {
		return nil, err
	}
	n := cfg.Space.Dim()
	if n > maxSobolDim {
		return nil, fmt.Errorf("%w: the space has %d coordinates, at most %d are walked: use sweep or one-factor", ErrSpace, n, maxSobolDim)
	}
	w.path = &sobolPath{space: cfg.Space, s: newSobol(n, cfg.Seed)}
	return w, nil
}

type sobolPath struct {
	fixed
	space benchmarks.Space
	s     *sobol
}

func (p *sobolPath) at(cursor int) (benchmarks.Point, bool) {
	q, err := p.space.Decode(p.s.at(uint64(cursor)))
	if err != nil {
		return nil, true // violates a constraint: passed over
	}
	return q, true
}

func (p *sobolPath) origin(cursor int) string { return fmt.Sprintf("sobol %d", cursor) }

// sobol is a sequence in n dimensions with the direction numbers of Joe & Kuo
// and a nested uniform scramble: A. Owen, "Randomly permuted (t,m,s)-nets and
// (t,s)-sequences", 1995. Point i is a function of the seed and i alone.
type sobol struct {
	v   [][sobolBits]uint64 // direction numbers, by coordinate; the first binary digit is bit sobolBits−1
	key []uint64            // of the scramble, by coordinate
}

func newSobol(n int, root uint64) *sobol {
	s := &sobol{v: directions()[:n], key: make([]uint64, n)}
	for j := range s.key {
		s.key[j] = seed.Derive(seed.Root(root), "sweep/sobol", uint64(j))
	}
	return s
}

// at returns point i of the sequence in [0, 1)^n.
func (s *sobol) at(i uint64) []float64 {
	out := make([]float64, len(s.v))
	for j := range s.v {
		out[j] = float64(scramble(s.digits(j, i), s.key[j])) / (1 << sobolBits)
	}
	return out
}

// digits is coordinate j of point i, not scrambled.
func (s *sobol) digits(j int, i uint64) uint64 {
	var x uint64
	for k := 0; i != 0 && k < sobolBits; k++ {
		if i&1 == 1 {
			x ^= s.v[j][k]
		}
		i >>= 1
	}
	return x
}

// scramble flips every digit by a coin that depends on the digits before it:
// each node of the binary tree of intervals has its own.
func scramble(x, key uint64) uint64 {
	var y uint64
	for k := sobolBits - 1; k >= 0; k-- {
		before := x >> (k + 1)
		coin := mix(key^mix(before<<6|uint64(k))) & 1
		y |= (x>>k&1 ^ coin) << k
	}
	return y
}

// mix is the finalizer of SplitMix64 (Steele et al., OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

//go:embed joe-kuo.txt
var joeKuo string

// directions are the direction numbers of all dimensions that the table has.
var directions = sync.OnceValue(func() [][sobolBits]uint64 {
	all := make([][sobolBits]uint64, 1, maxSobolDim)
	for k := range sobolBits { // the first dimension is van der Corput's
		all[0][k] = 1 << (sobolBits - 1 - k)
	}
	for line := range strings.Lines(joeKuo) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var d, s int
		var a uint64
		fields := strings.NewReader(line)
		if _, err := fmt.Fscan(fields, &d, &s, &a); err != nil || d != len(all)+1 {
			panic(fmt.Sprintf("joe-kuo.txt: line %q", line)) // embedded, and tested
		}
		var v [sobolBits]uint64
		for k := range sobolBits {
			if k < s {
				var m uint64
				if _, err := fmt.Fscan(fields, &m); err != nil {
					panic(fmt.Sprintf("joe-kuo.txt: line %q: %v", line, err))
				}
				v[k] = m << (sobolBits - 1 - k)
				continue
			}
			// Joe & Kuo, eq. 2, with the binary point moved.
			v[k] = v[k-s] ^ v[k-s]>>s
			for i := 1; i < s; i++ {
				v[k] ^= (a >> (s - 1 - i) & 1) * v[k-i]
			}
		}
		all = append(all, v)
	}
	return all
})
