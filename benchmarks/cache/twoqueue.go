package cache

// Where a 2Q node is.
const (
	inRecent uint8 = iota + 1
	inFrequent
	inEvicted
)

// twoQueue keeps what was used once apart from what was used again, and
// remembers the keys of the former for a while (2Q: Johnson and Shasha, VLDB
// 1994; here, as in most caches that go by the name, a second use always moves
// a key over).
type twoQueue struct {
	arena
	capacity, recentMax, evictedMax int
	recent, frequent, evicted       list
}

func newTwoQueue(capacity, recentMille, evictedMille int) *twoQueue {
	ghosts := capacity * evictedMille / 1000
	return &twoQueue{
		arena: newArena(capacity + ghosts + 1), capacity: capacity, recentMax: capacity * recentMille / 1000, evictedMax: ghosts,
		recent: newList(), frequent: newList(), evicted: newList(),
	}
}

func (p *twoQueue) table() *arena { return &p.arena }
func (p *twoQueue) bytes() int    { return p.arena.bytes() }

func (p *twoQueue) order(to []int32) []int32 {
	return appendList(appendList(to, p.links, p.recent), p.links, p.frequent)
}

func (p *twoQueue) get(key uint64) int32 {
	x := p.find(key)
	if x == none {
		return none
	}
	switch p.nodes[x].where {
	case inRecent:
		p.recent.remove(p.links, x)
		p.push(&p.frequent, inFrequent, x)
	case inFrequent:
		p.frequent.moveFront(p.links, x)
	default:
		return none
	}
	return x
}

func (p *twoQueue) put(key uint64, _ uint32) int32 {
	remembered := p.find(key) != none
	if int(p.recent.n+p.frequent.n) == p.capacity {
		p.makeRoom(remembered)
	}
	x := p.find(key) // making room may have forgotten it
	if x != none {
		p.evicted.remove(p.links, x)
	} else {
		x = p.add(key)
	}
	if remembered {
		p.push(&p.frequent, inFrequent, x)
	} else {
		p.push(&p.recent, inRecent, x)
	}
	return x
}

func (p *twoQueue) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

// makeRoom takes from the recent while they have more than their share, or
// would have.
func (p *twoQueue) makeRoom(remembered bool) {
	n := int(p.recent.n)
	if n == 0 || n < p.recentMax || n == p.recentMax && remembered {
		x := p.frequent.tail
		p.evict(&p.frequent, x)
		return
	}
	x := p.recent.tail
	p.recent.remove(p.links, x)
	p.gone(x)
	p.push(&p.evicted, inEvicted, x)
	if int(p.evicted.n) > p.evictedMax {
		old := p.evicted.tail
		p.evicted.remove(p.links, old)
		p.drop(old)
	}
}
