package cache

// climber is W-TinyLFU whose window moves while it serves: after every so many
// uses the boundary between window and protected goes on in the direction that
// raised the hit ratio, or turns back; its step decays while nothing happens
// and starts again when the hit ratio jumps (Einziger, Eytan, Friedman, Manes,
// "Adaptive Software Cache Management", Middleware 2018, §3, the hill climber;
// the constants of the restart and the decay are Caffeine's). The share of the
// probation stays.
//
// Two parts are not the paper's: how long the sketch remembers, and luck, which
// lets one in 2^luck newcomers win a contest that it would lose. Without it a
// full cache of warm keys never lets go of one whose time has passed; with it
// the set that a loop keeps renews itself.
type climber struct {
	arena
	sketch
	capacity                         int
	windowMax, mainMax, protectedMax int
	window, probation, protected     list

	every, used, hits int
	stepFirst, step   float64 // entries; negative: the window shrinks
	before            float64 // hit ratio of the last period
	luck              uint    // 0: none
	draw              uint64
}

const (
	climbRestart = .05 // of hit ratio: a change that starts the climb again
	climbDecay   = .98
)

// climberParts are the parts in the order of the file.
type climberParts struct {
	windowMille, protectedMille, stepMille int
	everyTenths, memoryTenths              int // of a capacity of uses
	luck                                   int
}

func (s *Strategy) climberParts() climberParts {
	return climberParts{s.part(0), s.part(1), s.part(2), s.part(3), s.part(4), s.part(5)}
}

// sizes are what both implementations start from.
func (c climberParts) sizes(capacity int) (window, protected, every, memory int, step float64) {
	window = max(1, capacity*c.windowMille/1000)
	protected = (capacity - window) * c.protectedMille / 1000
	return window, protected, max(1, capacity*c.everyTenths/10), max(1, capacity*c.memoryTenths/10),
		float64(capacity*c.stepMille) / 1000
}

func newClimber(capacity int, c climberParts) *climber {
	window, protected, every, memory, step := c.sizes(capacity)
	return &climber{
		arena: newArena(capacity + 1), sketch: newSketchOf(capacity, memory), capacity: capacity,
		windowMax: window, mainMax: capacity - window, protectedMax: protected,
		window: newList(), probation: newList(), protected: newList(),
		every: every, stepFirst: step, step: -step, luck: uint(c.luck), draw: sampleSeed,
	}
}

func (p *climber) table() *arena { return &p.arena }
func (p *climber) bytes() int    { return p.arena.bytes() + p.sketch.bytes() }

// order is W-TinyLFU's.
func (p *climber) order(to []int32) []int32 {
	to = appendList(to, p.links, p.probation)
	to = appendList(to, p.links, p.window)
	return appendList(to, p.links, p.protected)
}

func (p *climber) get(key uint64) int32 {
	p.sketch.add(key)
	x := p.find(key)
	if x != none {
		p.touch(x)
		p.hits++
	}
	if p.used++; p.used == p.every {
		p.climb()
	}
	return x
}

func (p *climber) touch(x int32) {
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

func (p *climber) push(l *list, where uint8, x int32) {
	p.nodes[x].where = where
	l.pushFront(p.links, x)
}

func (p *climber) move(from, to *list, where uint8, x int32) {
	from.remove(p.links, x)
	p.push(to, where, x)
}

func (p *climber) demote() {
	for int(p.protected.n) > p.protectedMax {
		p.move(&p.protected, &p.probation, inProbation, p.protected.tail)
	}
}

// climb ends a period.
func (p *climber) climb() {
	ratio := float64(p.hits) / float64(p.used)
	p.used, p.hits = 0, 0
	var by float64
	by, p.step = climbOn(p.step, p.stepFirst, ratio-p.before)
	p.before = ratio
	p.widen(int(by))
}

// climbOn is one decision: how far to go now, and the step of the next time.
func climbOn(step, first, change float64) (by, next float64) {
	if change < 0 {
		step = -step
	}
	switch {
	case change < climbRestart && change > -climbRestart:
		return step, step * climbDecay
	case step < 0:
		return step, -first
	}
	return step, first
}

// widen makes the window larger by n entries and the protected smaller, or for
// a negative n the other way round; no more than there is.
func (p *climber) widen(n int) {
	n = max(min(n, p.protectedMax), 1-p.windowMax)
	p.windowMax, p.mainMax, p.protectedMax = p.windowMax+n, p.mainMax-n, p.protectedMax-n
	p.demote()
	for int(p.window.n) > p.windowMax {
		p.move(&p.window, &p.probation, inProbation, p.window.tail)
	}
	for int(p.probation.n+p.protected.n) > p.mainMax {
		from := p.weakest()
		p.move(from, &p.window, inWindow, from.tail)
	}
}

// weakest is the part of the main space that gives up first.
func (p *climber) weakest() *list {
	if p.probation.n > 0 {
		return &p.probation
	}
	return &p.protected
}

func (p *climber) put(key uint64, _ uint32) int32 {
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
		p.window.remove(p.links, y)
		p.gone(y)
		p.drop(y)
		return x
	}
	from.remove(p.links, victim)
	p.gone(victim)
	p.drop(victim)
	p.move(&p.window, &p.probation, inProbation, y)
	return x
}

func (p *climber) admit(key, victim uint64) bool {
	if p.count(key) > p.count(victim) {
		return true
	}
	if p.luck == 0 {
		return false
	}
	p.draw += 0x9e3779b97f4a7c15
	return mix(p.draw)>>(64-p.luck) == 0
}
