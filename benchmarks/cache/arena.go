package cache

// none is no node.
const none int32 = -1

// node is what is known of a key, resident or remembered (a ghost).
type node struct {
	key   uint64
	stamp uint32 // LFU: when it was last used
	count uint16
	where uint8 // the policy's word for where the node is
	flag  bool
}

const (
	nodeBytes = 16
	linkBytes = 8
	slotBytes = 4
)

// link is a node's place in a list.
type link struct{ prev, next int32 }

// list is intrusive: the links live beside the nodes. Front is the newest.
type list struct{ head, tail, n int32 }

func newList() list { return list{none, none, 0} }

func (l *list) pushFront(k []link, x int32) {
	k[x] = link{none, l.head}
	if l.head != none {
		k[l.head].prev = x
	} else {
		l.tail = x
	}
	l.head = x
	l.n++
}

func (l *list) remove(k []link, x int32) {
	a := k[x]
	if a.prev != none {
		k[a.prev].next = a.next
	} else {
		l.head = a.next
	}
	if a.next != none {
		k[a.next].prev = a.prev
	} else {
		l.tail = a.prev
	}
	l.n--
}

func (l *list) moveFront(k []link, x int32) {
	if l.head != x {
		l.remove(k, x)
		l.pushFront(k, x)
	}
}

// arena holds a bounded number of nodes and finds them by key: a table with
// linear probing and backward-shift deletion (Knuth 6.4, algorithm R).
type arena struct {
	nodes   []node
	links   []link
	slots   []int32 // node + 1; 0 is empty
	mask    uint64
	free    int32 // chain through links[].next
	evicted func(x int32)
}

func newArena(nodes int) arena {
	n := 8
	for n < nodes+nodes/2 {
		n *= 2
	}
	a := arena{nodes: make([]node, nodes), links: make([]link, nodes), slots: make([]int32, n), mask: uint64(n - 1), free: none}
	for i := nodes - 1; i >= 0; i-- {
		a.links[i].next = a.free
		a.free = int32(i)
	}
	return a
}

func (a *arena) bytes() int {
	return len(a.nodes)*(nodeBytes+linkBytes) + len(a.slots)*slotBytes
}

// mix spreads a key over 64 bits (splitmix64's finalizer).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func (a *arena) find(key uint64) int32 {
	for i := mix(key) & a.mask; ; i = (i + 1) & a.mask {
		x := a.slots[i] - 1
		if x < 0 || a.nodes[x].key == key {
			return x
		}
	}
}

// add takes a free node for a key that is not there. The policies keep within
// the nodes that they asked for.
func (a *arena) add(key uint64) int32 {
	x := a.free
	a.free = a.links[x].next
	a.nodes[x] = node{key: key}
	i := mix(key) & a.mask
	for a.slots[i] != 0 {
		i = (i + 1) & a.mask
	}
	a.slots[i] = x + 1
	return x
}

// drop forgets a node that is in no list.
func (a *arena) drop(x int32) {
	i := mix(a.nodes[x].key) & a.mask
	for a.slots[i] != x+1 {
		i = (i + 1) & a.mask
	}
	for j := i; ; {
		a.slots[i] = 0
		for {
			j = (j + 1) & a.mask
			if a.slots[j] == 0 {
				a.links[x].next = a.free
				a.free = x
				return
			}
			home := mix(a.nodes[a.slots[j]-1].key) & a.mask
			if (j-home)&a.mask >= (j-i)&a.mask {
				break // i lies between its home and j
			}
		}
		a.slots[i] = a.slots[j]
		i = j
	}
}

// gone tells the owner of the values that x is no longer resident.
func (a *arena) gone(x int32) {
	if a.evicted != nil {
		a.evicted(x)
	}
}

// policy decides. It is used by one goroutine at a time.
type policy interface {
	// get records a use and returns the node of a resident key, or none.
	get(key uint64) int32
	// put makes room for a key that get did not find; none if the policy
	// does not admit it.
	put(key uint64, size uint32) int32
	// remove forgets a resident node; nobody is told.
	remove(x int32)
	// order appends the resident nodes, first to go first as far as the
	// policy knows without being asked to choose.
	order(to []int32) []int32
	table() *arena
	bytes() int
}

func appendList(to []int32, k []link, l list) []int32 {
	for x := l.tail; x != none; x = k[x].prev {
		to = append(to, x)
	}
	return to
}

// sketch counts keys in four rows of four-bit counters, halved when it has
// seen ten times the capacity (TinyLFU: Einziger, Friedman, Manes 2017, §3).
type sketch struct {
	rows       [4][]uint8
	mask       uint64
	seen, most int
}

const sketchMax = 15

func newSketch(capacity int) sketch { return newSketchOf(capacity, 10*max(capacity, 1)) }

// newSketchOf is halved when it has seen the uses of memory.
func newSketchOf(capacity, memory int) sketch {
	n := 16
	for n < 4*capacity { // fewer collide with what is hot: it decides who is let in
		n *= 2
	}
	s := sketch{mask: uint64(n - 1), most: memory}
	for i := range s.rows {
		s.rows[i] = make([]uint8, n) // one byte a counter: twice the memory, half the work
	}
	return s
}

func (s *sketch) bytes() int { return 4 * len(s.rows[0]) }

func (s *sketch) add(key uint64) {
	h := mix(key)
	for i := range s.rows {
		c := &s.rows[i][(h+uint64(i)*(h>>32|1))&s.mask]
		if *c < sketchMax {
			*c++
		}
	}
	if s.seen++; s.seen >= s.most {
		s.seen /= 2
		for i := range s.rows {
			row := s.rows[i]
			for j := range row {
				row[j] >>= 1
			}
		}
	}
}

func (s *sketch) count(key uint64) uint8 {
	h := mix(key)
	low := uint8(sketchMax)
	for i := range s.rows {
		low = min(low, s.rows[i][(h+uint64(i)*(h>>32|1))&s.mask])
	}
	return low
}
