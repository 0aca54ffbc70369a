package telemetry

import "sync/atomic"

// RingSizeMax bounds the number of events a ring may hold.
const RingSizeMax = 1 << 20

// cacheLine keeps what two goroutines write apart; 128 covers the adjacent
// line that some processors fetch along.
const cacheLine = 128

// Ring passes rare events from one producer to one consumer. It never blocks:
// a full ring drops the new event and counts it.
type Ring[T any] struct {
	slots []T
	mask  uint64
	_     [cacheLine]byte
	head  atomic.Uint64 // next slot to read; written by the consumer
	_     [cacheLine]byte
	tail  atomic.Uint64 // next slot to write; written by the producer
	drops atomic.Uint64
}

// NewRing makes a ring of at least size slots, rounded up to a power of two
// between 1 and RingSizeMax.
func NewRing[T any](size int) *Ring[T] {
	n := 1
	for n < size && n < RingSizeMax {
		n <<= 1
	}
	return &Ring[T]{slots: make([]T, n), mask: uint64(n - 1)}
}

// Push copies the event into the ring, or returns false and counts a drop.
// Producer only.
func (r *Ring[T]) Push(event *T) bool {
	tail := r.tail.Load()
	if tail-r.head.Load() > r.mask {
		r.drops.Add(1)
		return false
	}
	r.slots[tail&r.mask] = *event
	r.tail.Store(tail + 1)
	return true
}

// Drain moves up to len(dst) events into dst, oldest first, and returns how
// many. Consumer only.
func (r *Ring[T]) Drain(dst []T) int {
	head, tail := r.head.Load(), r.tail.Load()
	n := 0
	for ; n < len(dst) && head != tail; n++ {
		dst[n] = r.slots[head&r.mask]
		head++
	}
	r.head.Store(head)
	return n
}

// Drops is how many events found the ring full.
func (r *Ring[T]) Drops() uint64 { return r.drops.Load() }

// Cap is the number of slots.
func (r *Ring[T]) Cap() int { return len(r.slots) }
