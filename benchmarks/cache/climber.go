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
	tinyLFU
	every, used, hits int
	stepFirst, step   float64 // entries; negative: the window shrinks
	before            float64 // hit ratio of the last period
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
	t := tinyLFUOf(capacity, window, protected, newSketchOf(capacity, memory))
	t.luck = uint(c.luck)
	return &climber{tinyLFU: t, every: every, stepFirst: step, step: -step}
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
