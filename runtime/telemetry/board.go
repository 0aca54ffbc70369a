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
	groups [][]Sketch // by (class, arm); in each, one a metric
	missed uint64
	next   *buffer // list of buffers that were handed over
}

func newBuffer(l *Layout) *buffer {
	b := &buffer{layout: l, groups: make([][]Sketch, len(l.arms))}
	for g := range b.groups {
		b.groups[g] = make([]Sketch, l.metrics)
	}
	return b
}

func (b *buffer) reset() {
	for _, g := range b.groups {
		reset(g)
	}
	b.missed, b.next = 0, nil
}

func reset(group []Sketch) {
	for i := range group {
		if s := &group[i]; s.count > 0 || s.invalid > 0 {
			s.Reset()
		}
	}
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
	if uint(g) >= uint(len(b.groups)) {
		b.missed++
		return
	}
	cells := b.groups[g]
	if uint(metric) >= uint(len(cells)) {
		b.missed++
		return
	}
	cells[metric].Add(x)
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
	if !s.dirty && spare.layout == s.active.layout { // nothing to hand over, and no other layout
		s.spare.CompareAndSwap(nil, spare)
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
	free    [][]Sketch // empty groups of former layouts, for the next ones
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

// buffer is newBuffer in memory that the board has left over, where it has: a
// group is 8 KB a metric, and pages that were never touched cost far more than
// what is written to them.
func (b *Board) buffer() *buffer {
	f := &buffer{layout: b.layout, groups: make([][]Sketch, len(b.layout.arms))}
	for g := range f.groups {
		f.groups[g] = b.group()
	}
	return f
}

// group is an empty one.
func (b *Board) group() []Sketch {
	n := len(b.free) - 1
	if n < 0 || len(b.free[n]) != b.layout.metrics {
		return make([]Sketch, b.layout.metrics)
	}
	g := b.free[n]
	b.free[n], b.free = nil, b.free[:n]
	return g
}

// recycle keeps a buffer's groups. As many are kept as a change of every arm
// needs: the pending ones, and two buffers a shard.
func (b *Board) recycle(f *buffer) {
	for _, g := range f.groups {
		if len(b.free) >= (1+2*len(b.shards))*len(b.layout.arms) {
			return
		}
		if g != nil {
			reset(g)
			b.free = append(b.free, g)
		}
	}
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
	if l.metrics != b.layout.metrics {
		b.free = nil
	}
	b.layout = l
	b.pending = &buffer{layout: l, groups: make([][]Sketch, len(l.arms))}
	for c := range l.Classes() {
		for g := l.first[c]; g < l.first[c+1]; g++ {
			if from := old.layout.group(l.arms[g], c); from >= 0 && old.layout.metrics == l.metrics {
				b.pending.groups[g], old.groups[from] = old.groups[from], nil
			}
		}
	}
	if old.layout.metrics == l.metrics {
		b.recycle(old)
	}
	for g := range b.pending.groups {
		if b.pending.groups[g] == nil {
			b.pending.groups[g] = b.group()
		}
	}
	for _, s := range b.shards {
		if f := s.spare.Swap(nil); f != nil && f.layout.metrics == l.metrics {
			b.recycle(f)
		}
		s.spare.Store(b.buffer())
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
			switch {
			case f.layout == b.layout && s.spare.Load() == nil:
				f.reset()
				s.spare.Store(f)
			case f.layout.metrics == b.layout.metrics:
				b.recycle(f)
			}
			f = next
		}
		if s.spare.Load() == nil {
			s.spare.Store(b.buffer())
		}
	}
	b.Flip()
}

// absorb merges a buffer into the pending cells; records of arms that the
// layout does not have any more are forgotten.
func (b *Board) absorb(f *buffer) {
	b.missed += f.missed
	if f.layout.metrics != b.layout.metrics {
		return
	}
	for c := range f.layout.Classes() {
		for g := f.layout.first[c]; g < f.layout.first[c+1]; g++ {
			to := b.layout.group(f.layout.arms[g], c)
			if to < 0 {
				continue
			}
			for m := range f.groups[g] {
				b.pending.groups[to][m].Merge(&f.groups[g][m])
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
			cells := b.pending.groups[g]
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
