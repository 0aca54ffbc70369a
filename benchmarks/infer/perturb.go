package infer

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// The contexts, in the order of the scenarios.
const (
	LowLoad    = "low-load"
	Burst      = "burst"
	Memory300K = "memory-300k"
	Shifted    = "shifted"
	Noisy      = "noisy"
	Inverted   = "inverted"
)

// What the drifted contexts do to an image.
const (
	shiftPx = 3    // whole pixels, in one of eight directions drawn an image
	noiseSD = 0.30 // of the full range, a pixel
)

// disturbance is one thing done to an image. The zero kind does nothing.
type disturbance struct {
	kind  string // "", "shift", "noise", "invert", "occlude"
	level float64
}

// contextDisturbance says what a context does to every image.
func contextDisturbance(context string) (disturbance, error) {
	switch context {
	case LowLoad, Burst, Memory300K:
		return disturbance{}, nil
	case Shifted:
		return disturbance{"shift", shiftPx}, nil
	case Noisy:
		return disturbance{"noise", noiseSD}, nil
	case Inverted:
		return disturbance{"invert", 1}, nil
	}
	return disturbance{}, fmt.Errorf("context %.40q: not one of low-load, burst, memory-300k, shifted, noisy, inverted", context)
}

// asked turns a gate's perturbation into a disturbance. A kind the domain does
// not know is ErrUnsupported.
func asked(p *benchmarks.Perturbation) (disturbance, error) {
	if p == nil {
		return disturbance{}, nil
	}
	top := 0.0
	switch p.Kind {
	case "noise", "occlude":
		top = 1
	case "shift":
		top = side / 2
	default:
		return disturbance{}, fmt.Errorf("perturbation %.40q: want noise, shift or occlude: %w", p.Kind, benchmarks.ErrUnsupported)
	}
	if !(p.Level >= 0 && p.Level <= top) {
		return disturbance{}, fmt.Errorf("perturbation %s: level %v is outside [0, %v]", p.Kind, p.Level, top)
	}
	if p.Level == 0 {
		return disturbance{}, nil
	}
	return disturbance{p.Kind, p.Level}, nil
}

// disturber applies disturbances. What happens to image i depends on the seed
// and on i alone, so every instance sees the same pixels in any order.
type disturber struct {
	steps     []disturbance
	root      uint64
	hi, lo    uint64
	source    rand.PCG
	rng       *rand.Rand
	untouched [pixels]byte
}

// newDisturber applies the steps in order; disturbances of no kind are left out.
func newDisturber(root uint64, steps ...disturbance) *disturber {
	d := &disturber{
		root: root,
		hi:   seed.Derive(seed.Root(root), "infer/disturb", 0),
		lo:   seed.Derive(seed.Root(root), "infer/disturb", 1),
	}
	for _, s := range steps {
		if s.kind != "" {
			d.steps = append(d.steps, s)
		}
	}
	d.rng = rand.New(&d.source)
	return d
}

// idle reports whether images come out as they went in.
func (d *disturber) idle() bool { return len(d.steps) == 0 }

// apply writes image number i, disturbed, to out.
func (d *disturber) apply(image *[pixels]byte, i int, out *[pixels]byte) {
	*out = *image
	d.source.Seed(d.hi, d.lo+uint64(i)*0x9e3779b97f4a7c15)
	for _, s := range d.steps {
		switch s.kind {
		case "shift":
			d.untouched = *out
			way := compass[d.rng.IntN(len(compass))]
			px := int(math.Round(s.level))
			shift(&d.untouched, way[0]*px, way[1]*px, out)
		case "noise":
			addNoise(out, s.level, d.rng)
		case "invert":
			for k, p := range out {
				out[k] = 255 - p
			}
		case "occlude":
			occlude(out, s.level, d.rng)
		}
	}
}

var compass = [8][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}}

// shift moves the picture by (dx, dy) pixels; black comes in from outside.
func shift(in *[pixels]byte, dx, dy int, out *[pixels]byte) {
	for y := range side {
		for x := range side {
			fx, fy := x-dx, y-dy
			if fx < 0 || fx >= side || fy < 0 || fy >= side {
				out[y*side+x] = 0
				continue
			}
			out[y*side+x] = in[fy*side+fx]
		}
	}
}

// addNoise adds Gaussian noise of standard deviation sd (of the full range)
// to every pixel and clips. The Gaussian is a sum of four uniforms (Irwin and
// Hall), exact to draw on every machine; its tails end at 3.5 sd.
func addNoise(p *[pixels]byte, sd float64, rng *rand.Rand) {
	const sdOfSum = 37837.2 // of four independent 16-bit uniforms: √(4·(2³²−1)/12)
	k := float32(sd * 255 / sdOfSum)
	for i, v := range p {
		u := rng.Uint64()
		sum := int32(u&0xffff) + int32(u>>16&0xffff) + int32(u>>32&0xffff) + int32(u>>48)
		x := float32(v) + float32(k*float32(sum-2*0xffff)) + 0.5
		p[i] = byte(min(255, max(0, x)))
	}
}

// occlude blacks out a square with the given share of the picture's area.
func occlude(p *[pixels]byte, share float64, rng *rand.Rand) {
	edge := int(math.Round(side * math.Sqrt(share)))
	if edge <= 0 {
		return
	}
	x0, y0 := rng.IntN(side-edge+1), rng.IntN(side-edge+1)
	for y := y0; y < y0+edge; y++ {
		clear(p[y*side+x0 : y*side+x0+edge])
	}
}
