package cache

// Where an S3-FIFO node is.
const (
	inSmall uint8 = iota + 1
	inMain
	inGhost
)

// s3CountMax is what two bits count.
const s3CountMax = 3

// s3fifo is a small FIFO that most keys leave without being asked for again, a
// main FIFO with second chances, and a FIFO of ghosts (Yang et al., "FIFO
// queues are all you need for cache eviction", SOSP 2023, algorithm 1).
// Threshold is the uses that lead from the small queue to the main one.
type s3fifo struct {
	arena
	capacity, smallMax, ghostMax int
	threshold                    uint16
	small, main, ghost           list
}

func newS3FIFO(capacity, smallMille, ghostMille, threshold int) *s3fifo {
	ghosts := capacity * ghostMille / 1000
	return &s3fifo{
		arena: newArena(capacity + ghosts + 1), capacity: capacity,
		smallMax: max(1, capacity*smallMille/1000), ghostMax: ghosts, threshold: uint16(threshold),
		small: newList(), main: newList(), ghost: newList(),
	}
}

func (p *s3fifo) table() *arena { return &p.arena }
func (p *s3fifo) bytes() int    { return p.arena.bytes() }

func (p *s3fifo) order(to []int32) []int32 {
	return appendList(appendList(to, p.links, p.small), p.links, p.main)
}

func (p *s3fifo) get(key uint64) int32 {
	x := p.find(key)
	if x == none || p.nodes[x].where == inGhost {
		return none
	}
	p.nodes[x].count = min(p.nodes[x].count+1, s3CountMax)
	return x
}

func (p *s3fifo) put(key uint64, _ uint32) int32 {
	for int(p.small.n+p.main.n) >= p.capacity {
		if int(p.small.n) >= p.smallMax || p.main.n == 0 {
			p.evictSmall()
		} else {
			p.evictMain()
		}
	}
	// Looked up after making room, as in the paper: the eviction may have
	// pushed this very ghost out.
	x := p.find(key)
	if x != none {
		p.ghost.remove(p.links, x)
		p.nodes[x].count = 0
		p.push(&p.main, inMain, x)
		return x
	}
	x = p.add(key)
	p.push(&p.small, inSmall, x)
	return x
}

func (p *s3fifo) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

// evictSmall moves the oldest on to the main queue or makes it a ghost.
func (p *s3fifo) evictSmall() {
	x := p.small.tail
	p.small.remove(p.links, x)
	if p.nodes[x].count >= p.threshold {
		p.nodes[x].count = 0
		p.push(&p.main, inMain, x)
		return
	}
	p.gone(x)
	p.push(&p.ghost, inGhost, x)
	if int(p.ghost.n) > p.ghostMax {
		old := p.ghost.tail
		p.ghost.remove(p.links, old)
		p.drop(old)
	}
}

func (p *s3fifo) evictMain() {
	x := p.main.tail
	p.main.remove(p.links, x)
	if p.nodes[x].count > 0 {
		p.nodes[x].count--
		p.push(&p.main, inMain, x)
		return
	}
	p.gone(x)
	p.drop(x)
}
