package telemetry

import "sync/atomic"

// Layout says which cells exist: for every class a short list of arms, and
// for every (class, arm) one sketch a metric. It is immutable once made.
type Layout struct {
	metrics int
	first   []int32  // arms of class c are arms[first[c]:first[c+1]]
	arms    []uint32 // the likeliest arm of a class first: lookups scan
}

// NewLayout makes a layout from the arms of each class, in class order.
// Duplicate arms of a class are kept once.
func NewLayout(armsByClass [][]uint32, metrics int) *Layout {
	l := &Layout{metrics: max(metrics, 0), first: make([]int32, 1, len(armsByClass)+1)}
	for _, arms := range armsByClass {
		start := len(l.arms)
		for _, a := range arms {
			if !contains(l.arms[start:], a) {
				l.arms = append(l.arms, a)
			}
		}
		l.first = append(l.first, int32(len(l.arms)))
	}
	return l
}

func contains(arms []uint32, a uint32) bool {
	for _, x := range arms {
		if x == a {
			return true
		}
	}
	return false
}

// Classes is the number of classes, Metrics the number of metrics a cell.
func (l *Layout) Classes() int { return len(l.first) - 1 }

// Metrics is the number of metrics of every (class, arm).
func (l *Layout) Metrics() int { return l.metrics }

// group returns the index of (class, arm), or −1.
func (l *Layout) group(arm uint32, class int) int {
	if uint(class) >= uint(len(l.first)-1) {
		return -1
	}
	for g := l.first[class]; g < l.first[class+1]; g++ {
		if l.arms[g] == arm {
			return int(g)
		}
	}
	return -1
}

// buffer is one set of cells. It has one owner at a time: the shard's
// goroutine while it is active, the board otherwise.
type buffer struct {
	layout *Layout
	cells  []Sketch // group·metrics + metric
	missed uint64
	next   *buffer // list of buffers that were handed over
}

func newBuffer(l *Layout) *buffer {
	return &buffer{layout: l, cells: make([]Sketch, len(l.arms)*l.metrics)}
}

func (b *buffer) reset() {
	for i := range b.cells {
		if s := &b.cells[i]; s.count > 0 || s.invalid > 0 {
			s.Reset()
		}
	}
	b.missed, b.next = 0, nil
}

// Shard is what one goroutine writes to. Its methods are for that goroutine
// alone; Record is wait-free and does not allocate.
type Shard struct {
	_      [cacheLine]byte
	active *buffer
	dirty  bool // active holds something
	_      [cacheLine]byte
	want   atomic.Bool // the board asks for what there is
	spare  atomic.Pointer[buffer]
	full   atomic.Pointer[buffer] // list of handed-over buffers, newest first
	handed atomic.Int32           // its length
	_      [cacheLine]byte
}

// Record adds x to the cell of (arm, class, metric). A cell that the layout
// does not have is counted as missed.
func (s *Shard) Record(arm uint32, class, metric int, x float64) {
	if s.want.Load() {
		s.hand()
	}
	b := s.active
	s.dirty = true
	g := b.layout.group(arm, class)
	if g < 0 || uint(metric) >= uint(b.layout.metrics) {
		b.missed++
		return
	}
	b.cells[g*b.layout.metrics+metric].Add(x)
}

// handedMax bounds the buffers that an owner may hand over before the board
// collects them.
const handedMax = 4

// Flush hands over what was recorded so far. An owner that goes idle, or that
// is about to collect itself, calls it; otherwise the next Record after a
// board's request does. It may allocate a buffer when the board has not yet
// returned one; with handedMax uncollected ones it keeps writing where it is.
func (s *Shard) Flush() {
	if s.spare.Load() == nil && s.dirty && s.handed.Load() < handedMax {
		s.spare.CompareAndSwap(nil, newBuffer(s.active.layout))
	}
	s.hand()
}

// hand swaps the active buffer for the spare one, if there is one. It does not
// allocate and does not wait.
func (s *Shard) hand() {
	s.want.Store(false) // before the spare is taken: a later request stands
	spare := s.spare.Swap(nil)
	if spare == nil {
		return
	}
	if !s.dirty { // nothing to hand over, but the layout may be a new one
		if spare.layout != s.active.layout {
			s.active = spare
		} else {
			s.spare.CompareAndSwap(nil, spare)
		}
		return
	}
	done := s.active
	s.active, s.dirty = spare, false
	s.handed.Add(1)
	for {
		done.next = s.full.Load()
		if s.full.CompareAndSwap(done.next, done) {
			return // at most two rounds: the only other writer takes the whole list
		}
	}
}

// Board is the engine's side of the shards: it asks for their buffers, merges
// them and keeps what is still too thin to judge. One goroutine at a time.
type Board struct {
	layout  *Layout
	shards  []*Shard
	pending *buffer
	missed  uint64
}

// NewBoard makes a board with the given number of shards, at least one.
func NewBoard(shards int, l *Layout) *Board {
	b := &Board{layout: l, pending: newBuffer(l)}
	for range max(shards, 1) {
		s := &Shard{active: newBuffer(l)}
		s.spare.Store(newBuffer(l))
		b.shards = append(b.shards, s)
	}
	return b
}

// Shard returns shard i, or nil.
func (b *Board) Shard(i int) *Shard {
	if uint(i) >= uint(len(b.shards)) {
		return nil
	}
	return b.shards[i]
}

// Flip asks every shard to hand over at its next Record.
func (b *Board) Flip() {
	for _, s := range b.shards {
		s.want.Store(true)
	}
}

// Relayout changes the cells. A goroutine that sees anything published after
// Relayout has returned records into the new cells. What is pending for arms
// that stay is kept, the rest forgotten.
func (b *Board) Relayout(l *Layout) {
	b.Collect()
	old := b.pending
	b.layout, b.pending = l, newBuffer(l)
	b.absorb(old)
	for _, s := range b.shards {
		s.spare.Store(newBuffer(l))
		s.want.Store(true)
	}
}

// Collect merges what the shards have handed over, gives them fresh buffers
// and asks for the next. It never waits for a shard: what an owner has not
// handed over arrives with a later call.
func (b *Board) Collect() {
	for _, s := range b.shards {
		for f := s.full.Swap(nil); f != nil; {
			next := f.next
			s.handed.Add(-1)
			b.absorb(f)
			if f.layout == b.layout && s.spare.Load() == nil {
				f.reset()
				s.spare.Store(f)
			}
			f = next
		}
		if s.spare.Load() == nil {
			s.spare.Store(newBuffer(b.layout))
		}
	}
	b.Flip()
}

// absorb merges a buffer into the pending cells; cells whose arm is not in
// the layout any more count as missed.
func (b *Board) absorb(f *buffer) {
	b.missed += f.missed
	for c := range f.layout.Classes() {
		for g := f.layout.first[c]; g < f.layout.first[c+1]; g++ {
			to := b.layout.group(f.layout.arms[g], c)
			if to < 0 || f.layout.metrics != b.layout.metrics {
				continue
			}
			for m := range f.layout.metrics {
				b.pending.cells[to*b.layout.metrics+m].Merge(&f.cells[int(g)*f.layout.metrics+m])
			}
		}
	}
}

// Take calls visit for every sketch of each (class, arm) of which some metric
// has at least countMin values, in (class, arm position, metric) order, and
// empties them. The sketch belongs to the board: visit must not keep it.
func (b *Board) Take(countMin uint64, visit func(arm uint32, class, metric int, s *Sketch)) {
	for c := range b.layout.Classes() {
		for g := b.layout.first[c]; g < b.layout.first[c+1]; g++ {
			cells := b.pending.cells[int(g)*b.layout.metrics : (int(g)+1)*b.layout.metrics]
			if !ripe(cells, countMin) {
				continue
			}
			for m := range cells {
				if cells[m].count > 0 || cells[m].invalid > 0 {
					visit(b.layout.arms[g], c, m, &cells[m])
					cells[m].Reset()
				}
			}
		}
	}
}

func ripe(cells []Sketch, countMin uint64) bool {
	for i := range cells {
		if cells[i].count+cells[i].invalid >= max(countMin, 1) {
			return true
		}
	}
	return false
}

// TakeMissed returns how many records found no cell since the last call.
func (b *Board) TakeMissed() uint64 {
	n := b.missed
	b.missed = 0
	return n
}
