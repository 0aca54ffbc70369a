package universe

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// The questions: a field of the golden run's size and steps, from one start.
// They are answered by the digest of its numbers: WebAssembly says what every
// operation gives, to the last bit, so there is nothing to tolerate.
const (
	questionField = "universe-field-1" // at each width
	questionLaw   = "universe-law-field-1"
)

var (
	_ benchmarks.Answerer = (*instance)(nil)
	_ benchmarks.Answerer = (*lawInstance)(nil)
)

// Answer implements benchmarks.Answerer.
func (in *instance) Answer(ctx context.Context, questions ...string) ([]benchmarks.Golden, error) {
	var kernels []*kernel
	for _, w := range Widths {
		kernels = append(kernels, in.kernels.by[w])
	}
	return answer(ctx, questionField, questions, kernels...)
}

// Answer implements benchmarks.Answerer.
func (in *lawInstance) Answer(ctx context.Context, questions ...string) ([]benchmarks.Golden, error) {
	return answer(ctx, questionLaw, questions, in.kernel)
}

// answer appends the numbers of each kernel's field to one text and names it
// by its digest.
func answer(ctx context.Context, only string, questions []string, kernels ...*kernel) ([]benchmarks.Golden, error) {
	asked, err := benchmarks.AskedOf([]string{only}, questions)
	if err != nil {
		return nil, err
	}
	var numbers []byte
	for _, k := range kernels {
		l := k.program.law
		got, err := k.runFrom(ctx, l.answerStart(k.at.width), l.Defaults(), goldenSteps)
		if err != nil {
			return nil, fmt.Errorf("width %d: %w", k.at.width, err)
		}
		for _, plane := range got.Planes {
			for _, v := range plane {
				if math.IsNaN(v) {
					v = math.NaN() // which NaN it is, is not said
				}
				numbers = binary.LittleEndian.AppendUint64(numbers, math.Float64bits(v))
			}
		}
	}
	var out []benchmarks.Golden
	for _, q := range asked {
		out = append(out, benchmarks.GoldenBytes(q, numbers))
	}
	return out, nil
}

// answerStart draws every cell from 256 even steps of its channel's range. It
// does not begin as the law does: there, a processor may fuse a multiplication
// and an addition, and this field must be the same on all of them.
func (l Law) answerStart(width int) *Field {
	r := seed.Stream(1, "universe/answer")
	f := NewField(len(l.Channels), width, goldenHeight)
	for c, p := range f.Planes {
		span := l.Channels[c].Max - l.Channels[c].Min
		for i := range p {
			p[i] = l.Channels[c].Min + float64(span*(float64(r.IntN(256))/256))
		}
	}
	return f
}
