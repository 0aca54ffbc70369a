package cache

// slowClimber is the climber written down again: queues that are searched from
// end to end, and every period's decision spelled out.
type slowClimber struct {
	c, w, protectedMax           int
	window, probation, protected keys
	freq                         sketch
	every, used, hits            int
	stepFirst, step, before      float64
	luck                         int
	draw                         uint64
}

func newSlowClimber(c int, parts climberParts) *slowClimber {
	w, protected, every, memory, step := parts.sizes(c)
	return &slowClimber{c: c, w: w, protectedMax: protected, every: every, freq: newSketchOf(c, memory),
		stepFirst: step, step: -step, luck: parts.luck, draw: sampleSeed}
}

func (p *slowClimber) use(k uint64, _ uint32) bool {
	p.freq.add(k)
	hit := true
	switch {
	case p.window.has(k):
		p.window.touch(k)
	case p.protected.has(k):
		p.protected.touch(k)
	case p.probation.has(k):
		p.probation.cut(k)
		p.protected.add(k)
		p.settle()
	default:
		hit = false
	}
	p.used++
	if hit {
		p.hits++
	}
	if p.used == p.every {
		p.climb(float64(p.hits) / float64(p.every))
	}
	if !hit {
		p.enter(k)
	}
	return hit
}

// settle puts every queue back within its size, oldest first.
func (p *slowClimber) settle() {
	for len(p.protected) > p.protectedMax {
		p.probation.add(p.protected.pop())
	}
	for len(p.window) > p.w {
		p.probation.add(p.window.pop())
	}
	for len(p.probation)+len(p.protected) > p.c-p.w {
		if len(p.probation) > 0 {
			p.window.add(p.probation.pop())
		} else {
			p.window.add(p.protected.pop())
		}
	}
}

func (p *slowClimber) climb(ratio float64) {
	better := ratio - p.before
	p.before, p.used, p.hits = ratio, 0, 0
	if better < 0 {
		p.step *= -1
	}
	by := int(p.step)
	if better >= .05 || better <= -.05 {
		if p.step < 0 {
			p.step = -p.stepFirst
		} else {
			p.step = p.stepFirst
		}
	} else {
		p.step *= .98
	}
	if by > p.protectedMax {
		by = p.protectedMax
	}
	if by < 1-p.w {
		by = 1 - p.w
	}
	p.w += by
	p.protectedMax -= by
	p.settle()
}

func (p *slowClimber) enter(k uint64) {
	p.window.add(k)
	if len(p.window) <= p.w {
		return
	}
	y := p.window.pop()
	main := &p.probation
	switch {
	case len(p.probation)+len(p.protected) < p.c-p.w:
		p.probation.add(y)
		return
	case len(p.probation)+len(p.protected) == 0:
		return // the window is everything
	case len(p.probation) == 0:
		main = &p.protected
	}
	wins := p.freq.count(y) > p.freq.count((*main)[0])
	if !wins && p.luck > 0 {
		p.draw += 0x9e3779b97f4a7c15
		wins = mix(p.draw) < 1<<(64-p.luck)
	}
	if wins {
		main.pop()
		p.probation.add(y)
	}
}
