package cache

// remove forgets a resident node as if it had never come in: the owner deleted
// it. What a policy remembers of its key's past elsewhere (a sketch) stays.

func (p *lru) remove(x int32) {
	p.all.remove(p.links, x)
	p.drop(x)
}

func (p *lfu) remove(x int32) {
	p.by[p.nodes[x].count-1].remove(p.links, x)
	p.drop(x)
	p.n--
}

func (p *sieve) remove(x int32) {
	if p.hand == x {
		p.hand = p.links[x].prev
	}
	p.all.remove(p.links, x)
	p.drop(x)
}

func (p *s3fifo) remove(x int32) {
	from := &p.main
	if p.nodes[x].where == inSmall {
		from = &p.small
	}
	from.remove(p.links, x)
	p.drop(x)
}

func (p *tinyLFU) remove(x int32) {
	partOf(p.nodes[x].where, &p.window, &p.probation, &p.protected).remove(p.links, x)
	p.drop(x)
}

func (p *climber) remove(x int32) {
	partOf(p.nodes[x].where, &p.window, &p.probation, &p.protected).remove(p.links, x)
	p.drop(x)
}

func partOf(where uint8, window, probation, protected *list) *list {
	switch where {
	case inWindow:
		return window
	case inProbation:
		return probation
	}
	return protected
}

func (p *arc) remove(x int32) {
	from := &p.t2
	if p.nodes[x].where == inT1 {
		from = &p.t1
	}
	from.remove(p.links, x)
	p.drop(x)
}

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
	from := &p.frequent
	if p.nodes[x].where == inRecent {
		from = &p.recent
	}
	from.remove(p.links, x)
	p.drop(x)
}
