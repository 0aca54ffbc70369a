package cache

// Where a W-TinyLFU node is.
const (
	inWindow uint8 = iota + 1
	inProbation
	inProtected
)

// tinyLFU is an LRU window in front of a segmented LRU, with a frequency
// sketch that lets in only what is asked for more often than what would go
// (Einziger, Friedman, Manes, "TinyLFU", ACM ToS 2017, §4).
type tinyLFU struct {
	arena
	sketch
	windowMax, mainMax, protectedMax int
	window, probation, protected     list
}

func newTinyLFU(capacity, windowMille, protectedMille int) *tinyLFU {
	w := max(1, capacity*windowMille/1000)
	return &tinyLFU{
		arena: newArena(capacity + 1), sketch: newSketch(capacity),
		windowMax: w, mainMax: capacity - w, protectedMax: (capacity - w) * protectedMille / 1000,
		window: newList(), probation: newList(), protected: newList(),
	}
}

func (p *tinyLFU) table() *arena { return &p.arena }
func (p *tinyLFU) bytes() int    { return p.arena.bytes() + p.sketch.bytes() }

// order puts the window between: a successor should see what has proved
// itself last.
func (p *tinyLFU) order(to []int32) []int32 {
	to = appendList(to, p.links, p.probation)
	to = appendList(to, p.links, p.window)
	return appendList(to, p.links, p.protected)
}

func (p *tinyLFU) get(key uint64) int32 {
	p.sketch.add(key)
	x := p.find(key)
	if x == none {
		return none
	}
	switch p.nodes[x].where {
	case inWindow:
		p.window.moveFront(p.links, x)
	case inProtected:
		p.protected.moveFront(p.links, x)
	case inProbation:
		p.probation.remove(p.links, x)
		p.push(&p.protected, inProtected, x)
		if int(p.protected.n) > p.protectedMax {
			y := p.protected.tail
			p.protected.remove(p.links, y)
			p.push(&p.probation, inProbation, y)
		}
	}
	return x
}

func (p *tinyLFU) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

func (p *tinyLFU) put(key uint64, _ uint32) int32 {
	x := p.arena.add(key)
	p.push(&p.window, inWindow, x)
	if int(p.window.n) <= p.windowMax {
		return x
	}
	y := p.window.tail // windowMax ≥ 1, so this is not x
	p.window.remove(p.links, y)
	if int(p.probation.n+p.protected.n) < p.mainMax {
		p.push(&p.probation, inProbation, y)
		return x
	}
	from := &p.probation
	if from.n == 0 {
		from = &p.protected
	}
	victim := from.tail
	if victim == none || p.count(p.nodes[y].key) <= p.count(p.nodes[victim].key) {
		p.gone(y)
		p.drop(y)
		return x
	}
	from.remove(p.links, victim)
	p.gone(victim)
	p.drop(victim)
	p.push(&p.probation, inProbation, y)
	return x
}
