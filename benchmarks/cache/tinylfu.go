package cache

// Where a W-TinyLFU node is.
const (
	inWindow uint8 = iota + 1
	inProbation
	inProtected
)

// tinyLFU is an LRU window in front of a segmented LRU, with a frequency
// sketch that lets in only what is asked for more often than what would go
// (Einziger, Friedman, Manes, "TinyLFU", ACM ToS 2017, §4). Luck, which is not
// the paper's, is the climber's.
type tinyLFU struct {
	arena
	sketch
	windowMax, mainMax, protectedMax int
	window, probation, protected     list

	luck uint // one in 2^luck newcomers wins a contest that it would lose; 0: none
	draw uint64
}

func newTinyLFU(capacity, windowMille, protectedMille int) *tinyLFU {
	w := max(1, capacity*windowMille/1000)
	p := tinyLFUOf(capacity, w, (capacity-w)*protectedMille/1000, newSketch(capacity))
	return &p
}

// tinyLFUOf is one with parts of the given sizes in entries, without luck.
func tinyLFUOf(capacity, window, protected int, frequency sketch) tinyLFU {
	return tinyLFU{
		arena: newArena(capacity + 1), sketch: frequency,
		windowMax: window, mainMax: capacity - window, protectedMax: protected,
		window: newList(), probation: newList(), protected: newList(), draw: sampleSeed,
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
	p.touch(x)
	return x
}

func (p *tinyLFU) touch(x int32) {
	switch p.nodes[x].where {
	case inWindow:
		p.window.moveFront(p.links, x)
	case inProtected:
		p.protected.moveFront(p.links, x)
	case inProbation:
		p.move(&p.probation, &p.protected, inProtected, x)
		p.demote()
	}
}

func (p *tinyLFU) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

func (p *tinyLFU) move(from, to *list, where uint8, x int32) {
	from.remove(p.links, x)
	p.push(to, where, x)
}

func (p *tinyLFU) demote() {
	for int(p.protected.n) > p.protectedMax {
		p.move(&p.protected, &p.probation, inProbation, p.protected.tail)
	}
}

// weakest is the part of the main space that gives up first.
func (p *tinyLFU) weakest() *list {
	if p.probation.n > 0 {
		return &p.probation
	}
	return &p.protected
}

func (p *tinyLFU) put(key uint64, _ uint32) int32 {
	x := p.arena.add(key)
	p.push(&p.window, inWindow, x)
	if int(p.window.n) <= p.windowMax {
		return x
	}
	y := p.window.tail // windowMax ≥ 1, so this is not x
	if int(p.probation.n+p.protected.n) < p.mainMax {
		p.move(&p.window, &p.probation, inProbation, y)
		return x
	}
	from := p.weakest()
	victim := from.tail
	if victim == none || !p.admit(p.nodes[y].key, p.nodes[victim].key) {
		p.evict(&p.window, y)
		return x
	}
	p.evict(from, victim)
	p.move(&p.window, &p.probation, inProbation, y)
	return x
}

func (p *tinyLFU) admit(key, victim uint64) bool {
	if p.count(key) > p.count(victim) {
		return true
	}
	if p.luck == 0 {
		return false
	}
	p.draw += 0x9e3779b97f4a7c15
	return mix(p.draw)>>(64-p.luck) == 0
}
