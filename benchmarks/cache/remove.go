package cache

// remove forgets a resident node as if it had never come in: the owner deleted
// it. What a policy remembers of its key's past elsewhere (a sketch) stays.

// unlink takes a node off the list that it is in, and frees it.
func (a *arena) unlink(from *list, x int32) {
	from.remove(a.links, x)
	a.drop(x)
}

// evict is unlink for a node whose key gives way to another: whoever keeps its
// value is told.
func (a *arena) evict(from *list, x int32) {
	from.remove(a.links, x)
	a.gone(x)
	a.drop(x)
}

func either(first bool, a, b *list) *list {
	if first {
		return a
	}
	return b
}

func (p *lru) remove(x int32) { p.unlink(&p.all, x) }

func (p *lfu) remove(x int32) {
	p.unlink(&p.by[p.nodes[x].count-1], x)
	p.n--
}

func (p *sieve) remove(x int32) {
	if p.hand == x {
		p.hand = p.links[x].prev
	}
	p.unlink(&p.all, x)
}

func (p *s3fifo) remove(x int32) {
	p.unlink(either(p.nodes[x].where == inSmall, &p.small, &p.main), x)
}

// remove is the climber's too.
func (p *tinyLFU) remove(x int32) {
	from := &p.protected
	switch p.nodes[x].where {
	case inWindow:
		from = &p.window
	case inProbation:
		from = &p.probation
	}
	p.unlink(from, x)
}

func (p *arc) remove(x int32) { p.unlink(either(p.nodes[x].where == inT1, &p.t1, &p.t2), x) }

func (p *lirs) remove(x int32) {
	if p.nodes[x].where == isLIR {
		p.lirN--
	} else {
		p.queue.remove(p.side, x)
	}
	if p.nodes[x].flag {
		p.stack.remove(p.links, x)
	}
	p.drop(x)
	p.prune() // the stack may have lost its lowest LIR
}

func (p *scored) remove(x int32) {
	p.leave(x)
	p.drop(x)
}

func (p *twoQueue) remove(x int32) {
	p.unlink(either(p.nodes[x].where == inRecent, &p.recent, &p.frequent), x)
}
