package cache

import "slices"

// lru gives up what was used longest ago.
type lru struct {
	arena
	capacity int
	all      list
}

func newLRU(capacity int) *lru {
	return &lru{arena: newArena(capacity), capacity: capacity, all: newList()}
}

func (p *lru) table() *arena            { return &p.arena }
func (p *lru) order(to []int32) []int32 { return appendList(to, p.links, p.all) }
func (p *lru) bytes() int               { return p.arena.bytes() }

func (p *lru) get(key uint64) int32 {
	x := p.find(key)
	if x != none {
		p.all.moveFront(p.links, x)
	}
	return x
}

func (p *lru) put(key uint64, _ uint32) int32 {
	if int(p.all.n) == p.capacity {
		x := p.all.tail
		p.evict(&p.all, x)
	}
	x := p.add(key)
	p.all.pushFront(p.links, x)
	return x
}

// lfu gives up what was used least often, of equals what was used longest ago.
// Counts stop at most; every age·capacity uses (0: never) all are halved.
type lfu struct {
	arena
	capacity, most, age int
	used                int // since the last halving
	clock               uint32
	by                  []list // by count−1, newest first
	n                   int
}

func newLFU(capacity, most, age int) *lfu {
	p := &lfu{arena: newArena(capacity), capacity: capacity, most: most, age: age, by: make([]list, most)}
	for i := range p.by {
		p.by[i] = newList()
	}
	return p
}

func (p *lfu) table() *arena { return &p.arena }
func (p *lfu) bytes() int    { return p.arena.bytes() + 12*len(p.by) }

func (p *lfu) order(to []int32) []int32 {
	for _, l := range p.by {
		to = appendList(to, p.links, l)
	}
	return to
}

func (p *lfu) get(key uint64) int32 {
	p.tick()
	x := p.find(key)
	if x == none {
		return none
	}
	n := &p.nodes[x]
	p.by[n.count-1].remove(p.links, x)
	n.count = uint16(min(int(n.count)+1, p.most))
	p.use(x)
	return x
}

func (p *lfu) use(x int32) {
	p.clock++
	p.nodes[x].stamp = p.clock
	p.by[p.nodes[x].count-1].pushFront(p.links, x)
}

func (p *lfu) tick() {
	p.used++
	if p.age == 0 || p.used < p.age*p.capacity {
		return
	}
	p.used, p.clock = 0, 0
	all := p.order(nil)
	slices.SortFunc(all, func(a, b int32) int { return int(p.nodes[a].stamp) - int(p.nodes[b].stamp) })
	for i := range p.by {
		p.by[i] = newList()
	}
	for _, x := range all { // oldest first, so that stamps start again in order
		p.nodes[x].count = max(1, p.nodes[x].count/2)
		p.use(x)
	}
}

func (p *lfu) put(key uint64, _ uint32) int32 {
	if p.n == p.capacity {
		i := 0
		for p.by[i].n == 0 {
			i++
		}
		x := p.by[i].tail
		p.by[i].remove(p.links, x)
		p.gone(x)
		p.drop(x)
		p.n--
	}
	x := p.add(key)
	p.n++
	p.nodes[x].count = 1
	p.use(x)
	return x
}

// sieve keeps arrival order and a hand that spares what was used since it last
// came by (Zhang et al., NSDI 2024, algorithm 1). With most above 1 it counts
// uses up to that and takes one off at every visit (the paper's SIEVE-k).
type sieve struct {
	arena
	capacity int
	most     uint16
	all      list
	hand     int32
}

func newSieve(capacity, most int) *sieve {
	return &sieve{arena: newArena(capacity), capacity: capacity, most: uint16(most), all: newList(), hand: none}
}

func (p *sieve) table() *arena { return &p.arena }
func (p *sieve) bytes() int    { return p.arena.bytes() }

func (p *sieve) order(to []int32) []int32 {
	for spared := uint16(0); spared <= p.most; spared++ {
		for x := p.all.tail; x != none; x = p.links[x].prev {
			if p.nodes[x].count == spared {
				to = append(to, x)
			}
		}
	}
	return to
}

func (p *sieve) get(key uint64) int32 {
	x := p.find(key)
	if x != none && p.nodes[x].count < p.most {
		p.nodes[x].count++
	}
	return x
}

func (p *sieve) put(key uint64, _ uint32) int32 {
	if int(p.all.n) == p.capacity {
		x := p.hand
		if x == none {
			x = p.all.tail
		}
		for p.nodes[x].count > 0 {
			p.nodes[x].count--
			if x = p.links[x].prev; x == none {
				x = p.all.tail
			}
		}
		p.hand = p.links[x].prev
		p.evict(&p.all, x)
	}
	x := p.add(key)
	p.all.pushFront(p.links, x)
	return x
}
