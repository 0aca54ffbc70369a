package infer

import (
	"context"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// questionImages is answered by the thresholds, and then, for each of eight
// drawn images and each exit, by the expected class Σ c·p(c) that the exit
// sees.
const (
	questionImages = "infer-images-1"
	goldenImages   = 8
)

// goldenTolerance is relative to max(1, |expected class|). Sums differ between
// processors in the last bits (arm64 fuses multiplications and additions), and
// that may round one unit of a quantized stage to the next of its 255 steps.
// A model with other weights is off by tenths.
const goldenTolerance = .02

var _ benchmarks.Answerer = (*instance)(nil)

// Answer implements benchmarks.Answerer.
func (in *instance) Answer(ctx context.Context, questions ...string) ([]benchmarks.Golden, error) {
	return benchmarks.AnswerEach(ctx, []string{questionImages}, questions, func(string) benchmarks.Golden {
		return benchmarks.Golden{Values: in.model.expectedClasses(), Tolerance: goldenTolerance}
	})
}

func goldenStream() *rand.Rand { return seed.Stream(1, "infer/golden") }

func (m *Model) expectedClasses() []float64 {
	out := []float64{float64(m.thresholds[0]), float64(m.thresholds[1])}
	r := goldenStream()
	var w Workspace
	for range goldenImages {
		image := drawnImage(r)
		for exit := range m.stages {
			t := Thresholds{neverExit, neverExit}
			if exit < len(t) {
				t[exit] = 1e-9 // answers here, whatever the confidence
			}
			m.PredictAt(&image, &w, t)
			sum := 0.0
			for c, p := range w.p {
				sum += float64(float64(c) * float64(p))
			}
			out = append(out, sum)
		}
	}
	return out
}

// drawnImage is a few rectangles of even brightness: it looks like nothing
// that a model was trained on, and excites all of it.
func drawnImage(r *rand.Rand) (image [pixels]byte) {
	for range 3 {
		x, y, n := r.IntN(side), r.IntN(side), 4+r.IntN(side/2)
		light := byte(64 + r.IntN(192))
		for dy := range min(n, side-y) {
			for dx := range min(n, side-x) {
				image[(y+dy)*side+x+dx] = light
			}
		}
	}
	return image
}
