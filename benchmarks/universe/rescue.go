package universe

import (
	"context"
	"errors"
)

// A native kernel shares its field with its process: when that is lost in the
// middle of a step nobody knows what the field is. So a universe that has
// somebody to take over keeps a copy from time to time, and takes the steps
// since then once more.

// heldSteps is how many steps are taken between two copies, about: a copy costs
// as much as a step or two of a fast kernel.
const heldSteps = 64

// held is a field as it was some steps ago, with the knobs that it has had
// since.
type held struct {
	grid  *grid // a view of bytes; nil: nothing is kept
	bytes []byte
	steps int // taken since
}

// hold keeps the field before n steps are taken, if it is time to.
func (u *Universe) hold(n int) {
	h := &u.held
	if u.now.grid.process == nil || u.rescue == nil {
		h.grid = nil
		return
	}
	if h.grid != nil && h.steps+n <= heldSteps {
		h.steps += n
		return
	}
	from := u.now.grid
	h.bytes = append(h.bytes[:0], from.whole()...)
	h.grid, h.steps = &grid{kernel: from.kernel, memory: h.bytes, height: from.height, clock: from.clock}, n
}

// recover hands the field that was kept to the rescue, which takes the steps
// that were taken since then and those that failed. It returns err if there is
// nobody, or nothing is lost but the caller's patience.
func (u *Universe) recover(ctx context.Context, err error) error {
	h := u.held
	if !errors.Is(err, ErrKernelLost) || h.grid == nil || u.rescue == u.now || u.rescue.lost || ctx.Err() != nil {
		return err
	}
	u.lost = err
	u.now.lost = true
	to := u.rescue.grid
	u.carry(h.grid, to)
	knobs := u.knobs
	if knobs == nil {
		knobs = to.kernel.program.law.Defaults()
	}
	to.setKnobs(knobs)
	u.now, u.held.grid = u.rescue, nil
	u.moved++
	return to.steps(ctx, h.steps)
}
