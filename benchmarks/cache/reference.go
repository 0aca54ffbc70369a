package cache

import "slices"

// slow is a policy written as straightforwardly as possible: slices that are
// searched from end to end, no shared code but the sketch and a program's
// history. It is the oracle of
// Check, and far too slow for anything else.
type slow interface {
	use(key uint64, size uint32) (hit bool)
}

// keys is a queue, oldest first.
type keys []uint64

func (q keys) has(k uint64) bool { return slices.Contains(q, k) }
func (q *keys) add(k uint64)     { *q = append(*q, k) }
func (q *keys) cut(k uint64) {
	*q = slices.DeleteFunc(*q, func(x uint64) bool { return x == k })
}
func (q *keys) pop() uint64 {
	k := (*q)[0]
	*q = (*q)[1:]
	return k
}
func (q *keys) touch(k uint64) { q.cut(k); q.add(k) }

func (s *Strategy) reference(capacity int) slow {
	switch s.Kind() {
	case "lru":
		return &slowLRU{c: capacity}
	case "lfu":
		return &slowLFU{c: capacity, most: s.part(0), every: s.part(1) * capacity, is: map[uint64]*slowUse{}}
	case "sieve":
		return &slowSieve{c: capacity, most: 1, used: map[uint64]int{}, hand: -1}
	case "sievek":
		return &slowSieve{c: capacity, most: s.part(0), used: map[uint64]int{}, hand: -1}
	case "s3fifo":
		return &slowS3{c: capacity, smallMax: max(1, capacity*s.part(0)/1000), ghostMax: capacity * s.part(1) / 1000,
			threshold: s.part(2), count: map[uint64]int{}}
	case "wtinylfu":
		w := max(1, capacity*s.part(0)/1000)
		return &slowTiny{w: w, main: capacity - w, protectedMax: (capacity - w) * s.part(1) / 1000, freq: newSketch(capacity)}
	case "arc":
		return &slowARC{c: capacity}
	case "lirs":
		return &slowLIRS{c: capacity, lirMax: capacity - max(1, capacity*s.part(0)/1000), ghostMax: capacity * s.part(1) / 1000,
			lir: map[uint64]bool{}}
	case "twoqueue":
		return &slowTwo{c: capacity, recentMax: capacity * s.part(0) / 1000, ghostMax: capacity * s.part(1) / 1000}
	case "climber":
		return newSlowClimber(capacity, s.climberParts())
	case scoreName:
		return &slowScore{then: newHistory(capacity), c: capacity, s: s, freq: newSketch(capacity), is: map[uint64]*slowUse{}, draw: sampleSeed}
	}
	return nil
}

type slowLRU struct {
	c   int
	all keys
}

func (p *slowLRU) use(k uint64, _ uint32) bool {
	hit := p.all.has(k)
	p.all.touch(k)
	if len(p.all) > p.c {
		p.all.pop()
	}
	return hit
}

// slowUse is everything about a key.
type slowUse struct {
	count, last, gap, born, size int
	before                       int     // for programs
	missed, decayed, often       float32 // for programs
}

type slowLFU struct {
	c, most, every, used, clock int
	is                          map[uint64]*slowUse
}

func (p *slowLFU) use(k uint64, _ uint32) bool {
	p.clock++
	if p.used++; p.every > 0 && p.used >= p.every {
		p.used = 0
		for _, u := range p.is {
			u.count = max(1, u.count/2)
		}
	}
	if u := p.is[k]; u != nil {
		u.count, u.last = min(u.count+1, p.most), p.clock
		return true
	}
	if len(p.is) == p.c {
		var out uint64
		var low *slowUse
		for k, u := range p.is {
			if low == nil || u.count < low.count || u.count == low.count && u.last < low.last {
				out, low = k, u
			}
		}
		delete(p.is, out)
	}
	p.is[k] = &slowUse{count: 1, last: p.clock}
	return false
}

type slowSieve struct {
	c    int
	most int // uses that are counted
	all  keys
	used map[uint64]int
	hand int // index of the next to look at; −1: the oldest
}

func (p *slowSieve) use(k uint64, _ uint32) bool {
	if p.all.has(k) {
		p.used[k] = min(p.used[k]+1, p.most)
		return true
	}
	if len(p.all) == p.c {
		i := max(0, p.hand)
		for p.used[p.all[i]] > 0 {
			p.used[p.all[i]]--
			i = (i + 1) % len(p.all)
		}
		delete(p.used, p.all[i])
		if p.hand = i; i == len(p.all)-1 {
			p.hand = -1
		}
		p.all = slices.Delete(p.all, i, i+1)
	}
	p.all.add(k)
	return false
}

type slowS3 struct {
	c, smallMax, ghostMax, threshold int
	small, main, ghost               keys
	count                            map[uint64]int
}

func (p *slowS3) use(k uint64, _ uint32) bool {
	if p.small.has(k) || p.main.has(k) {
		p.count[k] = min(3, p.count[k]+1)
		return true
	}
	for len(p.small)+len(p.main) >= p.c {
		if len(p.small) >= p.smallMax || len(p.main) == 0 {
			out := p.small.pop()
			if p.count[out] >= p.threshold {
				p.main.add(out)
				p.count[out] = 0
				continue
			}
			p.ghost.add(out)
			if len(p.ghost) > p.ghostMax {
				p.ghost.pop()
			}
		} else {
			out := p.main.pop()
			if p.count[out] > 0 {
				p.count[out]--
				p.main.add(out)
			}
		}
	}
	p.count[k] = 0
	if p.ghost.has(k) {
		p.ghost.cut(k)
		p.main.add(k)
	} else {
		p.small.add(k)
	}
	return false
}

type slowTwo struct {
	c, recentMax, ghostMax  int
	recent, frequent, ghost keys // oldest first
}

func (p *slowTwo) use(k uint64, _ uint32) bool {
	switch {
	case p.frequent.has(k):
		p.frequent.touch(k)
		return true
	case p.recent.has(k):
		p.recent.cut(k)
		p.frequent.add(k)
		return true
	}
	again := p.ghost.has(k)
	if len(p.recent)+len(p.frequent) == p.c {
		allowed := p.recentMax
		if !again {
			allowed-- // one more is coming
		}
		if len(p.recent) > max(0, allowed) {
			p.ghost.add(p.recent.pop())
			if len(p.ghost) > p.ghostMax {
				p.ghost.pop()
			}
		} else {
			p.frequent.pop()
		}
	}
	if again {
		if p.ghost.has(k) {
			p.ghost.cut(k)
		}
		p.frequent.add(k)
	} else {
		p.recent.add(k)
	}
	return false
}

type slowTiny struct {
	w, main, protectedMax        int
	window, probation, protected keys
	freq                         sketch
}

func (p *slowTiny) use(k uint64, _ uint32) bool {
	p.freq.add(k)
	switch {
	case p.window.has(k):
		p.window.touch(k)
		return true
	case p.protected.has(k):
		p.protected.touch(k)
		return true
	case p.probation.has(k):
		p.probation.cut(k)
		p.protected.add(k)
		if len(p.protected) > p.protectedMax {
			p.probation.add(p.protected.pop())
		}
		return true
	}
	p.window.add(k)
	if len(p.window) <= p.w {
		return false
	}
	y := p.window.pop()
	switch {
	case len(p.probation)+len(p.protected) < p.main:
		p.probation.add(y)
	case len(p.probation) > 0 && p.freq.count(y) > p.freq.count(p.probation[0]):
		p.probation.pop()
		p.probation.add(y)
	case len(p.probation) == 0 && len(p.protected) > 0 && p.freq.count(y) > p.freq.count(p.protected[0]):
		p.protected.pop()
		p.probation.add(y)
	}
	return false
}

type slowARC struct {
	c, p           int
	t1, t2, b1, b2 keys
}

func (p *slowARC) use(k uint64, _ uint32) bool {
	if p.t1.has(k) || p.t2.has(k) {
		p.t1.cut(k)
		p.t2.touch(k)
		return true
	}
	switch {
	case p.b1.has(k):
		p.p = min(p.c, p.p+max(1, len(p.b2)/len(p.b1)))
		p.b1.cut(k)
		p.replace(false)
		p.t2.add(k)
		return false
	case p.b2.has(k):
		p.p = max(0, p.p-max(1, len(p.b1)/len(p.b2)))
		p.b2.cut(k)
		p.replace(true)
		p.t2.add(k)
		return false
	}
	if len(p.t1)+len(p.b1) == p.c {
		if len(p.t1) < p.c {
			p.b1.pop()
			p.replace(false)
		} else {
			p.t1.pop()
		}
	} else if all := len(p.t1) + len(p.t2) + len(p.b1) + len(p.b2); all >= p.c {
		if all == 2*p.c {
			p.b2.pop()
		}
		p.replace(false)
	}
	p.t1.add(k)
	return false
}

func (p *slowARC) replace(second bool) {
	if len(p.t1)+len(p.t2) < p.c {
		return
	}
	if len(p.t1) > 0 && (len(p.t1) > p.p || second && len(p.t1) == p.p) || len(p.t2) == 0 {
		p.b1.add(p.t1.pop())
	} else {
		p.b2.add(p.t2.pop())
	}
}

type slowLIRS struct {
	c, lirMax, ghostMax int
	stack, queue, ghost keys // the stack's top is last
	lir                 map[uint64]bool
}

func (p *slowLIRS) use(k uint64, _ uint32) bool {
	switch {
	case p.lir[k]:
		p.stack.touch(k)
		p.prune()
		return true
	case p.queue.has(k) && p.stack.has(k):
		p.queue.cut(k)
		p.rise(k)
		return true
	case p.queue.has(k):
		p.stack.add(k)
		p.queue.touch(k)
		return true
	}
	back := p.ghost.has(k)
	p.ghost.cut(k)
	if len(p.lir)+len(p.queue) == p.c {
		out := p.queue.pop()
		if p.stack.has(out) {
			p.ghost.add(out)
			if len(p.ghost) > p.ghostMax {
				p.stack.cut(p.ghost.pop())
			}
		}
	}
	if back || len(p.lir) < p.lirMax {
		p.rise(k)
		return false
	}
	p.stack.add(k)
	p.queue.add(k)
	return false
}

// rise makes k, moved to the top, a LIR; one too many becomes a HIR.
func (p *slowLIRS) rise(k uint64) {
	p.stack.touch(k)
	p.lir[k] = true
	if len(p.lir) > p.lirMax {
		p.prune()
		out := p.stack.pop()
		delete(p.lir, out)
		p.queue.add(out)
	}
	p.prune()
}

func (p *slowLIRS) prune() {
	for len(p.stack) > 0 && !p.lir[p.stack[0]] {
		p.ghost.cut(p.stack.pop())
	}
}
