package cache

// What a LIRS node is. node.flag says that it is on the stack.
const (
	isLIR   uint8 = iota + 1
	isHIR         // resident, in the queue
	isGhost       // on the stack and in the list of ghosts
)

// lirs keeps what comes back after few other keys, judged by its last two
// uses and not by the last one alone (Jiang & Zhang, SIGMETRICS 2002). The
// stack holds at most ghostMax keys that are no longer resident; the oldest of
// them go first.
type lirs struct {
	arena
	side                     []link // of the queue and of the ghosts
	capacity, lirMax, ghosts int
	lirN                     int
	stack, queue, ghost      list
}

func newLIRS(capacity, hirMille, ghostMille int) *lirs {
	ghosts := capacity * ghostMille / 1000
	a := newArena(capacity + ghosts + 1)
	return &lirs{
		arena: a, side: make([]link, len(a.nodes)), capacity: capacity,
		lirMax: capacity - max(1, capacity*hirMille/1000), ghosts: ghosts,
		stack: newList(), queue: newList(), ghost: newList(),
	}
}

func (p *lirs) table() *arena { return &p.arena }
func (p *lirs) bytes() int    { return p.arena.bytes() + len(p.side)*linkBytes }

func (p *lirs) order(to []int32) []int32 {
	to = appendList(to, p.side, p.queue)
	for x := p.stack.tail; x != none; x = p.links[x].prev {
		if p.nodes[x].where == isLIR {
			to = append(to, x)
		}
	}
	return to
}

func (p *lirs) get(key uint64) int32 {
	x := p.find(key)
	if x == none || p.nodes[x].where == isGhost {
		return none
	}
	if p.nodes[x].where == isLIR {
		p.stack.moveFront(p.links, x)
		p.prune()
		return x
	}
	if p.nodes[x].flag {
		p.queue.remove(p.side, x)
		p.stack.moveFront(p.links, x)
		p.promote(x)
		return x
	}
	p.toStack(x)
	p.queue.moveFront(p.side, x)
	return x
}

func (p *lirs) put(key uint64, _ uint32) int32 {
	x := p.find(key)
	if x != none { // a ghost comes back: take it out before room is made
		p.ghost.remove(p.side, x)
	}
	if p.lirN+int(p.queue.n) == p.capacity {
		p.evict()
	}
	switch {
	case x != none:
		p.stack.moveFront(p.links, x)
		p.promote(x)
	case p.lirN < p.lirMax:
		x = p.add(key)
		p.toStack(x)
		p.promote(x)
	default:
		x = p.add(key)
		p.nodes[x].where = isHIR
		p.toStack(x)
		p.queue.pushFront(p.side, x)
	}
	return x
}

func (p *lirs) toStack(x int32) {
	p.nodes[x].flag = true
	p.stack.pushFront(p.links, x)
}

// promote makes x, on top of the stack, a LIR; one too many goes to the queue.
func (p *lirs) promote(x int32) {
	p.nodes[x].where = isLIR
	p.lirN++
	if p.lirN > p.lirMax {
		p.prune()
		y := p.stack.tail // the bottom is a LIR
		p.stack.remove(p.links, y)
		p.nodes[y].flag, p.nodes[y].where = false, isHIR
		p.lirN--
		p.queue.pushFront(p.side, y)
	}
	p.prune()
}

// prune takes everything below the lowest LIR off the stack.
func (p *lirs) prune() {
	for x := p.stack.tail; x != none && p.nodes[x].where != isLIR; x = p.stack.tail {
		p.stack.remove(p.links, x)
		p.nodes[x].flag = false
		if p.nodes[x].where == isGhost {
			p.ghost.remove(p.side, x)
			p.drop(x)
		}
	}
}

// evict gives up the oldest of the queue, which is never empty when the cache
// is full; on the stack it stays as a ghost.
func (p *lirs) evict() {
	x := p.queue.tail
	p.queue.remove(p.side, x)
	p.gone(x)
	if !p.nodes[x].flag {
		p.drop(x)
		return
	}
	p.nodes[x].where = isGhost
	p.ghost.pushFront(p.side, x)
	if int(p.ghost.n) > p.ghosts {
		old := p.ghost.tail
		p.ghost.remove(p.side, old)
		p.stack.remove(p.links, old)
		p.drop(old)
	}
}
