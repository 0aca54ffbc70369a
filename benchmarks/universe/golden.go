package universe

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/internal/seed"
)

// The golden run: a low grid, and a number of steps that no fuse divides.
const (
	goldenHeight = 16
	goldenSteps  = 11
)

// golden compares the kernel with the interpreter of its precision, bit by
// bit, from a start that the seed decides. A difference wraps ErrBadKernel.
func (k *kernel) golden(ctx context.Context, from uint64) error {
	return k.goldenAt(ctx, from, k.program.law.Defaults())
}

// goldenAt does it with the knobs somewhere.
func (k *kernel) goldenAt(ctx context.Context, from uint64, knobs []float64) error {
	l := k.program.law
	start := l.NewStart(k.at.width, goldenHeight, seed.Stream(seed.Root(from), "universe/golden"))
	want, err := k.program.Interpret(ctx, k.plan.Precision, start, knobs, goldenSteps)
	if err != nil {
		return err
	}
	got, err := k.runFrom(ctx, start, knobs, goldenSteps)
	if err != nil {
		return err
	}
	if err := sameBits(want, got); err != nil {
		return fmt.Errorf("%w: after %d steps the interpreter and the kernel differ: %w", ErrBadKernel, goldenSteps, err)
	}
	return nil
}

// runFrom steps a field on a grid of its own.
func (k *kernel) runFrom(ctx context.Context, start *Field, knobs []float64, steps int) (*Field, error) {
	g, err := k.open(ctx, start.Height)
	if err != nil {
		return nil, err
	}
	g.setKnobs(knobs)
	g.write(start)
	out := NewField(len(start.Planes), start.Width, start.Height)
	if err = g.steps(ctx, steps); err == nil {
		g.read(out)
	}
	if closeErr := g.close(); err == nil {
		err = closeErr
	}
	return out, err
}

// sameBits says where two fields differ first; nil if nowhere. All NaN are
// the same.
func sameBits(a, b *Field) error {
	for c := range a.Planes {
		for i, v := range a.Planes[c] {
			if w := b.Planes[c][i]; math.Float64bits(v) != math.Float64bits(w) && !(math.IsNaN(v) && math.IsNaN(w)) {
				return fmt.Errorf("channel %d, column %d, row %d: %v and %v", c, i%a.Width, i/a.Width, v, w)
			}
		}
	}
	return nil
}
