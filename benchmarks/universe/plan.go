package universe

import (
	"fmt"
	"slices"
)

// Plan says how a kernel computes a law: what may differ between two kernels
// that compute the same steps.
type Plan struct {
	Precision  Precision
	SIMD       bool // 128-bit vectors
	Unroll     int  // vectors (or cells, without SIMD) a turn of the inner loop
	Fuse       int  // steps that a band of rows takes while it is in the cache
	Rows       int  // of a band
	Serpentine bool // every other pass goes upwards, through what is still in the cache
}

// Widths are the grids that kernels are made for; heights vary up to the
// width.
var Widths = []int{32, 256, 1024}

// What a plan may say.
var (
	unrolls = []int{1, 2, 4}
	fuses   = []int{1, 2, 4, 8}
	bands   = []int{8, 16, 32, 64}
)

// check refuses a plan that there is no kernel for.
func (p Plan) check() error {
	switch {
	case p.Precision >= precisionCount:
		return fmt.Errorf("%v is unknown", p.Precision)
	case !slices.Contains(unrolls, p.Unroll):
		return fmt.Errorf("unroll %d is not one of %v", p.Unroll, unrolls)
	case !slices.Contains(fuses, p.Fuse):
		return fmt.Errorf("fuse %d is not one of %v", p.Fuse, fuses)
	case !slices.Contains(bands, p.Rows):
		return fmt.Errorf("rows %d is not one of %v", p.Rows, bands)
	}
	return nil
}

// String is the plan in one word: "f32-simd-u2-k4-r16-s".
func (p Plan) String() string {
	kind, order := "scalar", "f"
	if p.SIMD {
		kind = "simd"
	}
	if p.Serpentine {
		order = "s"
	}
	return fmt.Sprintf("%v-%s-u%d-k%d-r%d-%s", p.Precision, kind, p.Unroll, p.Fuse, p.Rows, order)
}

// layout is where a kernel's memory holds what, in bytes. A row is all
// channels' rows one after another; each has a halo of 16 bytes on both sides
// that holds what is around the torus. A grid has halo rows above and below.
//
//	0            the knobs, 8 bytes apart
//	noiseAt      the next step's number and a row of each noise, if the law draws any
//	scratchAt    two bands for the steps in between
//	gridsAt      halo, grid, halo, halo, grid, halo
type layout struct {
	width, reach            int
	valueBytes, turnBytes   int // of a value; of a turn of the inner loop
	channelBytes, stride    int // of a channel's row, of a row
	scratchAt, scratchBytes int
	gridsAt, haloRows       int
	noiseAt, noises         int
}

const (
	edgeBytes = 16   // halo at either end of a row: reachMax values of eight bytes
	knobBytes = 1024 // knobsMax of 8, rounded up to a line that nothing shares
	pageBytes = 1 << 16
	pagesMax  = 1024 // 64 MiB
)

func layoutOf(law *Program, p Plan, width int) layout {
	v := precisions[p.Precision]
	out := layout{width: width, reach: law.reach, valueBytes: v.bytes, turnBytes: v.bytes * p.Unroll}
	if p.SIMD {
		out.turnBytes *= v.lanes
	}
	out.channelBytes = 2*edgeBytes + width*v.bytes
	out.stride = len(law.law.Channels) * out.channelBytes
	out.noiseAt, out.noises = knobBytes, law.noises
	out.scratchAt = knobBytes + out.noiseBytes()
	out.scratchBytes = (p.Rows + 2*out.reach*(p.Fuse-1)) * out.stride
	if p.Fuse == 1 {
		out.scratchBytes = 0
	}
	out.gridsAt = out.scratchAt + 2*out.scratchBytes
	out.haloRows = out.reach * p.Fuse
	return out
}

// grids returns where row 0 of the two grids is.
func (a layout) grids(height int) (cur, next int) {
	whole := (height + 2*a.haloRows) * a.stride
	return a.gridsAt + a.haloRows*a.stride, a.gridsAt + whole + a.haloRows*a.stride
}

// pages is the memory for a grid of the height.
func (a layout) pages(height int) int {
	_, next := a.grids(height)
	return (next + (height+a.haloRows)*a.stride + pageBytes - 1) / pageBytes
}
