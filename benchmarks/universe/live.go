package universe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Universe is a field that steps under one variant and goes over to another
// between two steps. One goroutine steps; any other may switch.
type Universe struct {
	target atomic.Pointer[Staged]

	mu     sync.Mutex // of everything below, and of the grids
	now    *Staged    // nil before the first
	field  *Field     // what the universe began with; then the way between two precisions
	knobs  []float64
	clock  uint32 // number of the first step
	steps  uint64
	moved  uint64 // hand-overs
	broken error

	rescue *Staged // what takes over from a native kernel whose process is lost; nil: nothing
	held   held
	lost   error // why it had to, the last time
}

// Staged is a variant with a grid of the universe's size: all that a switch
// needs is there already.
type Staged struct {
	kernels *Kernels
	grid    *grid
	lost    bool // its process is gone; guarded by the universe's mu
	taken   time.Duration
}

// NewUniverse begins a universe with a field, which it keeps.
func NewUniverse(start *Field) *Universe { return &Universe{field: start} }

// SetClock says which number the universe's first step has; 0 unless it is
// called, before any step. Noise of a law depends on it: fields that begin with
// other numbers draw other noise, and one that shall do again what another did
// from its step n on begins with n.
func (u *Universe) SetClock(first uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clock = first
}

// Stage makes a grid for the variant. It is closed by who staged it, after the
// universe has gone over to another.
func (u *Universe) Stage(ctx context.Context, k *Kernels) (*Staged, error) {
	one, ok := k.by[u.field.Width]
	if !ok {
		return nil, fmt.Errorf("width %d is not one of %v", u.field.Width, Widths)
	}
	if len(u.field.Planes) != len(k.program.law.Channels) {
		return nil, fmt.Errorf("law %s has %d channels, the field %d", k.program.law.Name, len(k.program.law.Channels), len(u.field.Planes))
	}
	g, err := one.open(ctx, u.field.Height)
	if err != nil {
		return nil, err
	}
	s := &Staged{kernels: k, grid: g}
	_ = s.TakeCPU() // its start is nobody's step
	return s, nil
}

// Close frees the grid.
func (s *Staged) Close() error { return s.grid.close() }

// TakeCPU is the processor time that the grid's own process has taken since the
// last call, which no clock of this program's shows: 0 if it has none, or has
// lost it. Of the newest step a part may come with the next call. Who steps
// calls it.
func (s *Staged) TakeCPU() time.Duration {
	if s.grid.process == nil {
		return 0
	}
	now, err := s.grid.process.cpu()
	if err != nil {
		return 0
	}
	d := now - s.taken
	s.taken = now
	return d
}

// Kernels is what was staged.
func (s *Staged) Kernels() *Kernels { return s.kernels }

// Switch makes the next step the variant's. It stores a pointer: the field is
// handed over by who steps, before its next step.
func (u *Universe) Switch(s *Staged) { u.target.Store(s) }

// SetKnobs gives the law's knobs their values from the next step on: one a
// knob, each within its bounds.
func (u *Universe) SetKnobs(l Law, values []float64) error {
	if len(values) != len(l.Knobs) {
		return fmt.Errorf("%d values for %d knobs", len(values), len(l.Knobs))
	}
	for i, k := range l.Knobs {
		if !(values[i] >= k.Min && values[i] <= k.Max) {
			return fmt.Errorf("knob %s is %v: want %v to %v", k.Name, values[i], k.Min, k.Max)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.knobs = append([]float64(nil), values...)
	if u.now != nil {
		u.now.grid.setKnobs(u.knobs)
	}
	u.held.grid = nil // what is kept was for other knobs
	return nil
}

// ErrNothingStaged is returned by a step before the first Switch.
var ErrNothingStaged = errors.New("no kernel has been switched to")

// SetRescue names what takes over where the process of a native kernel is lost:
// kernels in WebAssembly, staged here. The field goes on from the last whole
// one that was kept, and no step is missing. nil: such a loss is an error.
func (u *Universe) SetRescue(s *Staged) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rescue = s
}

// Lost says why a rescue took over the last time, wrapping ErrKernelLost; nil if
// it never had to.
func (u *Universe) Lost() error { u.mu.Lock(); defer u.mu.Unlock(); return u.lost }

// Step takes n steps under the variant that was switched to last, and returns
// the one that took them: another if that one's process is lost. After an error
// the field is of no use.
func (u *Universe) Step(ctx context.Context, n int) (*Staged, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.broken != nil {
		return nil, u.broken
	}
	t := u.target.Load()
	if t == nil {
		return nil, ErrNothingStaged
	}
	if t.lost && u.rescue != nil {
		t = u.rescue
	}
	if t != u.now {
		u.handOver(t)
	}
	u.hold(n)
	if err := u.now.grid.steps(ctx, n); err != nil {
		if err = u.recover(ctx, err); err != nil {
			u.broken = err
			return nil, err
		}
	}
	u.steps += uint64(n)
	return u.now, nil
}

// carry copies the field: bytes between kernels of one precision and law,
// through numbers otherwise.
func (u *Universe) carry(from, to *grid) {
	to.clock = from.clock
	if from.kernel.plan.Precision == to.kernel.plan.Precision && from.kernel.at.stride == to.kernel.at.stride {
		copy(to.whole(), from.whole())
		return
	}
	from.read(u.field)
	to.write(u.field)
}

// handOver makes a variant the one that steps.
func (u *Universe) handOver(t *Staged) {
	if u.now == nil {
		t.grid.write(u.field)
		t.grid.clock = u.clock
	} else {
		u.carry(u.now.grid, t.grid)
	}
	if u.knobs != nil {
		t.grid.setKnobs(u.knobs)
	}
	if u.now != nil {
		u.moved++
	}
	u.now, u.held.grid = t, nil
}

// Field copies the field out.
func (u *Universe) Field() *Field {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.field.Clone()
	if u.now != nil {
		u.now.grid.read(out)
	}
	return out
}

// Steps is how many steps the field has taken, HandOvers how often it went
// over to another variant.
func (u *Universe) Steps() uint64     { u.mu.Lock(); defer u.mu.Unlock(); return u.steps }
func (u *Universe) HandOvers() uint64 { u.mu.Lock(); defer u.mu.Unlock(); return u.moved }
