package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// LiveConfig sizes a live cache. The zero LiveConfig holds 65,536 entries in
// 16 shards.
type LiveConfig struct {
	Entries int // 0: 65,536
	Shards  int // a power of two up to 256; 0: 16, or fewer for a small cache
}

const (
	entriesDefault  = 1 << 16
	shardsDefault   = 16
	shardsMax       = 256
	shardEntriesMin = 64 // below that a shard is not a cache any more
)

func (c LiveConfig) filled() (LiveConfig, error) {
	if c.Entries == 0 {
		c.Entries = entriesDefault
	}
	if c.Entries < 1 || c.Entries > capacityMax {
		return c, fmt.Errorf("a cache of %d entries: want 1 to %d", c.Entries, capacityMax)
	}
	if c.Shards == 0 {
		for c.Shards = shardsDefault; c.Shards > 1 && c.Entries/c.Shards < shardEntriesMin; {
			c.Shards /= 2
		}
	}
	if c.Shards < 1 || c.Shards > min(shardsMax, c.Entries) || c.Shards&(c.Shards-1) != 0 {
		return c, fmt.Errorf("%d shards: want a power of two up to %d, and an entry for each", c.Shards, shardsMax)
	}
	return c, nil
}

// Live is a concurrent cache under one strategy at a time. Keys are spread
// over shards, each with a lock, a policy and a share of the entries of its
// own; Len never exceeds the entries that it was given.
type Live struct {
	shards []shard
	mask   uint64
	config LiveConfig

	mu     sync.Mutex // one Switch at a time
	target atomic.Pointer[target]
	moved  atomic.Int64
}

// target is the strategy that shards move to when they are next used.
type target struct {
	order    uint64
	strategy *Strategy
}

// stored is what a resident node stands for.
type stored struct {
	value any
	size  uint32
	held  bool
}

type shard struct {
	mu       sync.Mutex
	under    *target
	policy   policy
	values   []stored // by node
	capacity int
	resident int
	_        [64]byte // shards are locked by different cores
}

// OpenCache opens a policy file as a live cache of the default size.
func OpenCache(b []byte) (*Live, error) {
	s, err := Open(b)
	if err != nil {
		return nil, err
	}
	return NewLive(s, LiveConfig{})
}

// NewLive makes an empty cache under the strategy.
func NewLive(s *Strategy, c LiveConfig) (*Live, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	l := &Live{shards: make([]shard, c.Shards), mask: uint64(c.Shards - 1), config: c}
	first := &target{strategy: s}
	l.target.Store(first)
	for i := range l.shards {
		h := &l.shards[i]
		h.capacity = c.Entries / c.Shards
		if i < c.Entries%c.Shards {
			h.capacity++
		}
		h.begin(first)
	}
	return l, nil
}

// Strategy is what the cache serves under, or is moving to.
func (l *Live) Strategy() *Strategy { return l.target.Load().strategy }

// Capacity in entries.
func (l *Live) Capacity() int { return l.config.Entries }

// Moved counts the entries that switches have handed over so far.
func (l *Live) Moved() int { return int(l.moved.Load()) }

// Switch changes the strategy: at once for the caller, shard by shard for the
// entries, each when it is next used or by Settle. A new policy is fed what
// the old one holds, first to go first, so it starts warm; nothing is lost but
// what it does not admit. order makes late news harmless: a Switch whose order
// is not above the last one's, or to the same strategy, changes nothing and
// returns false.
func (l *Live) Switch(order uint64, s *Strategy) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.target.Load()
	if order <= now.order || s == now.strategy {
		return false
	}
	l.target.Store(&target{order, s})
	return true
}

// Settle moves the shards that nobody has used since the last Switch.
func (l *Live) Settle() {
	for i := range l.shards {
		h := &l.shards[i]
		h.mu.Lock()
		h.follow(l)
		h.mu.Unlock()
	}
}

// Get returns what is stored under the key and counts the use.
func (l *Live) Get(key uint64) (any, bool) {
	h := l.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.follow(l)
	x := h.policy.get(key)
	if x == none {
		return nil, false
	}
	return h.values[x].value, true
}

// Put stores a value of the size in bytes, after a Get that did not find the
// key or to replace what it found. It reports whether the policy admitted it.
func (l *Live) Put(key uint64, value any, size uint32) bool {
	h := l.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.follow(l)
	return h.store(key, value, size)
}

// Delete forgets what is stored under the key, and reports whether something
// was. The key's place is free at once. What the policy knows of the key's past
// stays: asked for again, it comes in as one that was asked for before. Nothing
// expires by itself: a host that knows when an entry is stale deletes it.
func (l *Live) Delete(key uint64) bool {
	h := l.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.follow(l)
	x := h.policy.table().find(key)
	if x == none || !h.values[x].held {
		return false
	}
	h.values[x] = stored{}
	h.resident--
	h.policy.remove(x)
	return true
}

// Len is how many entries are held.
func (l *Live) Len() int {
	n := 0
	for i := range l.shards {
		h := &l.shards[i]
		h.mu.Lock()
		n += h.resident
		h.mu.Unlock()
	}
	return n
}

// shard takes bits that no policy's table looks at first.
func (l *Live) shard(key uint64) *shard { return &l.shards[mix(key^0x6a09e667f3bcc909)>>32&l.mask] }

func (h *shard) begin(t *target) {
	h.under, h.policy = t, t.strategy.start(h.capacity)
	a := h.policy.table()
	h.values, h.resident = make([]stored, len(a.nodes)), 0
	a.evicted = func(x int32) {
		h.values[x] = stored{}
		h.resident--
	}
}

// follow hands the entries over if the strategy has changed.
func (h *shard) follow(l *Live) {
	t := l.target.Load()
	if h.under == t {
		return
	}
	old, values := h.policy, h.values
	nodes := old.table().nodes
	h.begin(t)
	for _, x := range old.order(nil) {
		key := nodes[x].key
		h.policy.get(key) // a policy with a memory of its own should know that it was asked for
		h.store(key, values[x].value, values[x].size)
	}
	l.moved.Add(int64(h.resident))
}

func (h *shard) store(key uint64, value any, size uint32) bool {
	x := h.policy.table().find(key)
	if x == none || !h.values[x].held { // unknown, or a ghost
		if x = h.policy.put(key, size); x == none {
			return false
		}
		h.resident++
	}
	h.values[x] = stored{value, size, true}
	return true
}
