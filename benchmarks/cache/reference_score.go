package cache

import (
	"cmp"
	"slices"
)

// slowScore evaluates the program by recursion and by name.
type slowScore struct {
	c, clock int
	s        *Strategy
	freq     sketch
	then     history
	is       map[uint64]*slowUse
	resident keys
	draw     uint64
	missing  float32
}

func (p *slowScore) use(k uint64, size uint32) bool {
	p.clock++
	p.freq.add(k)
	before, often := p.then.use(k, uint32(p.clock), 1/float64(p.c))
	missed := float32(1)
	if p.is[k] != nil {
		missed = 0
	}
	p.missing += (missed - p.missing) / missesMemory
	if u := p.is[k]; u != nil {
		u.often = often
		u.decayed = 1 + u.decayed/(1+float32(float64(p.clock-u.last)*(1/float64(p.c))))
		u.gap, u.last, u.count = p.clock-u.last, p.clock, u.count+1
		return true
	}
	p.is[k] = &slowUse{count: 1, last: p.clock, born: p.clock, size: int(size), before: int(before), often: often, missed: p.missing, decayed: 1}
	if len(p.resident) < p.c {
		p.resident.add(k)
		return false
	}
	sample := make([]int, p.s.part(0))
	for i := range sample {
		p.draw += 0x9e3779b97f4a7c15
		sample[i] = int(mix(p.draw) >> 32 * uint64(len(p.resident)) >> 32)
	}
	score := func(k uint64) float64 { return p.value(k, len(p.s.program)-1) }
	out := slices.MinFunc(sample, func(a, b int) int { return cmp.Compare(score(p.resident[a]), score(p.resident[b])) })
	if p.s.part(1) == 1 && score(k) < score(p.resident[out]) {
		delete(p.is, k)
		return false
	}
	delete(p.is, p.resident[out])
	p.resident[out] = p.resident[len(p.resident)-1]
	p.resident[len(p.resident)-1] = k
	return false
}

// value is the result of instruction i for key k.
func (p *slowScore) value(k uint64, i int) float64 {
	in := p.s.program[i]
	of := func(r uint8) float64 {
		if r >= ofReuse {
			return p.feature(k, moreFeatures[r-ofReuse])
		}
		if int(r) >= featureCount {
			return p.value(k, int(r)-featureCount)
		}
		return p.feature(k, features[r])
	}
	v := 0.0
	switch operations[in.op].name {
	case "add":
		v = of(in.a) + of(in.b)
	case "sub":
		v = of(in.a) - of(in.b)
	case "mul":
		v = of(in.a) * of(in.b)
	case "div":
		d := of(in.b)
		if d > -divisorMin && d < divisorMin {
			d = divisorMin
		}
		v = of(in.a) / d
	case "min":
		v = min(of(in.a), of(in.b))
	case "max":
		v = max(of(in.a), of(in.b))
	case "log":
		v = log2(1 + max(of(in.a), -of(in.a)))
	case "neg":
		v = -of(in.a)
	case "less":
		if of(in.a) < of(in.b) {
			v = 1
		}
	case "pick":
		if v = of(in.c); of(in.a) == 1 {
			v = of(in.b)
		}
	}
	return max(-valueMax, min(v, valueMax))
}

func (p *slowScore) feature(k uint64, name string) float64 {
	u, scale := p.is[k], 1/float64(p.c)
	switch name {
	case "recency":
		return float64(p.clock-u.last) * scale
	case "age":
		return float64(p.clock-u.born) * scale
	case "gap":
		if u.gap == 0 {
			return float64(p.clock-u.born) * scale
		}
		return float64(u.gap) * scale
	case "count":
		return float64(min(u.count, 1<<16-1))
	case "freq":
		return float64(p.freq.count(k))
	case "size":
		return float64(u.size) / 1024
	case "reuse":
		if u.gap > 0 {
			return float64(u.gap) * scale
		}
		if u.before > 0 {
			return float64(u.before) * scale
		}
		return farReuse
	case "missed":
		return float64(u.missed)
	case "decayed":
		return float64(u.decayed / (1 + float32(float64(p.clock-u.last)*scale)))
	case "often":
		return float64(u.often / (1 + float32(float64(p.clock-u.last)*(scale/16))))
	case "one":
		return 1
	case "sixteenth":
		return 1.0 / 16
	}
	return 0
}
