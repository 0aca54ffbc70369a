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
	asked            []uint8 // the features that it refers to
	uses             []uses  // by node
	resident         []int32 // in no particular order
	at               []int32 // node → place in resident
	clock            uint32
	draw             uint64 // state of the sampling
	scale            float64
	missing          float32 // share of misses among the latest uses
	history          history // empty unless the program asks for reuse
}

// uses is what a program can ask about a node.
type uses struct {
	born, last, gap, size uint32
	before                uint32  // from the use before it came in to then; 0: none is remembered
	missed                float32 // missing when it came in
	often                 float32 // what the history says at the last use
	decayed               float32 // at the last use
}

const (
	usesBytes    = 32
	missesMemory = 32  // uses, after which an old miss counts 1/e
	farReuse     = 8.0 // capacities: the reuse of a key that nothing is remembered of
)

// history remembers when and how often keys were used, whether they are held
// or not: four capacities of keys in sets of four places, where the one that
// was not used for longest makes room.
type history []seen

type seen struct {
	tag   uint32  // of the key
	last  uint32  // clock; 0: a free place
	often float32 // uses, an old one counting less
}

const (
	seenBytes   = 12
	seenWays    = 4
	oftenMemory = 16.0 // capacities of uses, after which a use counts half
)

func newHistory(capacity int) history {
	n := 4 * seenWays
	for n < 4*capacity {
		n *= 2
	}
	return make(history, n)
}

// use returns how long ago the key was used, 0 if that is not known, and how
// often by now, and remembers this use. now is above 0.
func (h history) use(key uint64, now uint32, scale float64) (ago uint32, often float32) {
	if len(h) == 0 {
		return 0, 0
	}
	at := mix(key ^ 0x3c6ef372fe94f82b)
	set := h[at%uint64(len(h)/seenWays)*seenWays:][:seenWays]
	tag, oldest := uint32(at>>32), 0
	for i := range set {
		if s := &set[i]; s.tag == tag && s.last > 0 {
			ago = now - s.last
			s.last, s.often = now, 1+faded(s.often, ago, scale/oftenMemory)
			return ago, s.often
		}
		if set[i].last < set[oldest].last {
			oldest = i
		}
	}
	set[oldest] = seen{tag, now, 1}
	return 0, 1
}

// faded is a count after some time, as many times smaller as one and the
// memories that have gone by: hyperbolic, so that no power is taken.
func faded(count float32, ago uint32, scale float64) float32 {
	return count / (1 + float32(float64(ago)*scale))
}

// sampleSeed starts the sampling: the same for every instance, so that a
// policy is one function of its trace.
const sampleSeed = 0x9e3779b97f4a7c15

func newScored(capacity, sample int, admit bool, p program) *scored {
	a := newArena(capacity + 1)
	var before history
	if p.uses(ofReuse) || p.uses(ofOften) {
		before = newHistory(capacity)
	}
	var asked []uint8
	for r := range uint8(registers) {
		if (r < featureCount || r >= ofReuse) && p.uses(r) {
			asked = append(asked, r)
		}
	}
	return &scored{
		asked: asked, history: before,
		arena: a, sketch: newSketch(capacity), capacity: capacity, sample: sample, admit: admit, program: p,
		uses: make([]uses, len(a.nodes)), at: make([]int32, len(a.nodes)), resident: make([]int32, 0, capacity),
		draw: sampleSeed, scale: 1 / float64(capacity),
	}
}

func (p *scored) table() *arena { return &p.arena }

func (p *scored) bytes() int {
	return p.arena.bytes() + p.sketch.bytes() + len(p.uses)*(usesBytes+4) + 4*p.capacity + seenBytes*len(p.history)
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
		p.missing += float32((1 - p.missing) * (1.0 / missesMemory))
		return none
	}
	p.missing -= float32(p.missing * (1.0 / missesMemory))
	u := &p.uses[x]
	_, u.often = p.history.use(key, p.clock, p.scale)
	u.decayed = 1 + p.decayed(u)
	u.gap, u.last = p.clock-u.last, p.clock
	if n := &p.nodes[x]; n.count < 1<<16-1 {
		n.count++
	}
	return x
}

func (p *scored) put(key uint64, size uint32) int32 {
	x := p.arena.add(key)
	p.nodes[x].count = 1
	before, often := p.history.use(key, p.clock, p.scale)
	p.uses[x] = uses{
		born: p.clock, last: p.clock, size: size, before: before, often: often, missed: p.missing, decayed: 1,
	}
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

// decayed is the count of uses since it came in, as of now.
func (p *scored) decayed(u *uses) float32 { return faded(u.decayed, p.clock-u.last, p.scale) }

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

// score computes just what the program asks for: it is most of the cost of an
// eviction.
func (p *scored) score(x int32) float64 {
	u, n := &p.uses[x], &p.nodes[x]
	var r [registers]float64
	for _, feature := range p.asked {
		v := 0.0
		switch feature {
		case ofRecency:
			v = float64(p.clock-u.last) * p.scale
		case ofAge:
			v = float64(p.clock-u.born) * p.scale
		case ofGap:
			if v = float64(u.gap) * p.scale; u.gap == 0 {
				v = float64(p.clock-u.born) * p.scale
			}
		case ofCount:
			v = float64(n.count)
		case ofFreq:
			v = float64(p.count(n.key))
		case ofSize:
			v = float64(u.size) * (1.0 / 1024)
		case ofOne:
			v = 1
		case ofSixteenth:
			v = 1.0 / 16
		case ofReuse:
			v = farReuse
			if ago := cmp.Or(u.gap, u.before); ago > 0 {
				v = float64(ago) * p.scale
			}
		case ofMissed:
			v = float64(u.missed)
		case ofDecayed:
			v = float64(p.decayed(u))
		case ofOften:
			v = float64(faded(u.often, p.clock-u.last, p.scale/oftenMemory))
		}
		r[feature] = v
	}
	return p.program.run(&r)
}
