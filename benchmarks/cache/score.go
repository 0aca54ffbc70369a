package cache

import (
	"cmp"
	"slices"
)

// scored gives up the entry that a program scores lowest among a sample of
// those that are resident. With admit, a newcomer that scores lower than the
// whole sample is not let in.
type scored struct {
	arena
	sketch
	capacity, sample int
	admit            bool
	program          program
	uses             []uses  // by node
	resident         []int32 // in no particular order
	at               []int32 // node → place in resident
	clock            uint32
	draw             uint64 // state of the sampling
	scale            float64
}

// uses is what a program can ask about a node.
type uses struct{ born, last, gap, size uint32 }

const usesBytes = 16

// sampleSeed starts the sampling: the same for every instance, so that a
// policy is one function of its trace.
const sampleSeed = 0x9e3779b97f4a7c15

func newScored(capacity, sample int, admit bool, p program) *scored {
	a := newArena(capacity + 1)
	return &scored{
		arena: a, sketch: newSketch(capacity), capacity: capacity, sample: sample, admit: admit, program: p,
		uses: make([]uses, len(a.nodes)), at: make([]int32, len(a.nodes)), resident: make([]int32, 0, capacity),
		draw: sampleSeed, scale: 1 / float64(capacity),
	}
}

func (p *scored) table() *arena { return &p.arena }

func (p *scored) bytes() int {
	return p.arena.bytes() + p.sketch.bytes() + len(p.uses)*(usesBytes+4) + 4*p.capacity
}

// order is by score, lowest first: what the program would give up if it saw
// everything.
func (p *scored) order(to []int32) []int32 {
	type ranked struct {
		x     int32
		score float64
	}
	all := make([]ranked, len(p.resident))
	for i, x := range p.resident {
		all[i] = ranked{x, p.score(x)}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
	for _, r := range all {
		to = append(to, r.x)
	}
	return to
}

func (p *scored) get(key uint64) int32 {
	p.clock++
	p.sketch.add(key)
	x := p.find(key)
	if x == none {
		return none
	}
	u := &p.uses[x]
	u.gap, u.last = p.clock-u.last, p.clock
	if n := &p.nodes[x]; n.count < 1<<16-1 {
		n.count++
	}
	return x
}

func (p *scored) put(key uint64, size uint32) int32 {
	x := p.arena.add(key)
	p.nodes[x].count = 1
	p.uses[x] = uses{born: p.clock, last: p.clock, size: size}
	if len(p.resident) < p.capacity {
		p.enter(x)
		return x
	}
	victim, low := none, 0.0
	for range p.sample {
		y := p.resident[p.random(len(p.resident))]
		if s := p.score(y); victim == none || s < low {
			victim, low = y, s
		}
	}
	if p.admit && p.score(x) < low {
		p.drop(x)
		return none
	}
	p.leave(victim)
	p.gone(victim)
	p.drop(victim)
	p.enter(x)
	return x
}

func (p *scored) enter(x int32) {
	p.at[x] = int32(len(p.resident))
	p.resident = append(p.resident, x)
}

func (p *scored) leave(x int32) {
	last := p.resident[len(p.resident)-1]
	p.resident[p.at[x]], p.at[last] = last, p.at[x]
	p.resident = p.resident[:len(p.resident)-1]
}

// random is splitmix64 cut down to n by multiplication (Lemire).
func (p *scored) random(n int) int {
	p.draw += 0x9e3779b97f4a7c15
	return int(mix(p.draw) >> 32 * uint64(n) >> 32)
}

func (p *scored) score(x int32) float64 {
	u, n := &p.uses[x], &p.nodes[x]
	var r [registers]float64
	r[ofRecency] = float64(p.clock-u.last) * p.scale
	r[ofAge] = float64(p.clock-u.born) * p.scale
	r[ofGap] = float64(u.gap) * p.scale
	if u.gap == 0 {
		r[ofGap] = r[ofAge]
	}
	r[ofCount] = float64(n.count)
	r[ofFreq] = float64(p.count(n.key))
	r[ofSize] = float64(u.size) * (1.0 / 1024)
	r[ofOne], r[ofSixteenth] = 1, 1.0/16
	return p.program.run(&r)
}
