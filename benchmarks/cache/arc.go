package cache

// Where an ARC node is.
const (
	inT1 uint8 = iota + 1
	inT2
	inB1
	inB2
)

// arc balances recency (T1) against frequency (T2) by what its ghosts (B1, B2)
// say it should have kept (Megiddo & Modha, FAST 2003, figure 4).
type arc struct {
	arena
	c, p           int
	t1, t2, b1, b2 list
}

func newARC(capacity int) *arc {
	return &arc{
		arena: newArena(2*capacity + 1), c: capacity,
		t1: newList(), t2: newList(), b1: newList(), b2: newList(),
	}
}

func (p *arc) table() *arena { return &p.arena }
func (p *arc) bytes() int    { return p.arena.bytes() }

func (p *arc) order(to []int32) []int32 {
	return appendList(appendList(to, p.links, p.t1), p.links, p.t2)
}

func (p *arc) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

func (p *arc) get(key uint64) int32 {
	x := p.find(key)
	if x == none {
		return none
	}
	switch p.nodes[x].where { // case I
	case inT1:
		p.t1.remove(p.links, x)
		p.push(&p.t2, inT2, x)
	case inT2:
		p.t2.moveFront(p.links, x)
	default:
		return none
	}
	return x
}

func (p *arc) put(key uint64, _ uint32) int32 {
	x := p.find(key)
	if x != none { // cases II and III
		inSecond := p.nodes[x].where == inB2
		if inSecond {
			p.p = max(0, p.p-max(1, int(p.b1.n)/int(p.b2.n)))
			p.b2.remove(p.links, x)
		} else {
			p.p = min(p.c, p.p+max(1, int(p.b2.n)/int(p.b1.n)))
			p.b1.remove(p.links, x)
		}
		p.replace(inSecond)
		p.push(&p.t2, inT2, x)
		return x
	}
	switch total := int(p.t1.n + p.t2.n + p.b1.n + p.b2.n); { // case IV
	case int(p.t1.n+p.b1.n) == p.c && int(p.t1.n) < p.c:
		p.forget(&p.b1)
		p.replace(false)
	case int(p.t1.n+p.b1.n) == p.c:
		p.gone(p.t1.tail)
		p.forget(&p.t1)
	case total >= p.c:
		if total == 2*p.c {
			p.forget(&p.b2)
		}
		p.replace(false)
	}
	x = p.add(key)
	p.push(&p.t1, inT1, x)
	return x
}

func (p *arc) forget(l *list) {
	x := l.tail
	l.remove(p.links, x)
	p.drop(x)
}

// replace makes a resident a ghost, if the cache is full.
func (p *arc) replace(inSecond bool) {
	if int(p.t1.n+p.t2.n) < p.c {
		return
	}
	from, to, where := &p.t2, &p.b2, inB2
	if t1 := int(p.t1.n); p.t2.n == 0 || t1 >= 1 && (inSecond && t1 == p.p || t1 > p.p) {
		from, to, where = &p.t1, &p.b1, inB1
	}
	x := from.tail
	from.remove(p.links, x)
	p.gone(x)
	p.push(to, where, x)
}
