package universe

import "fmt"

// Emit writes the WebAssembly module that runs the law by the plan on grids of
// the width: pure, no compiler needed. The module is at most moduleBytesMax.
func (p *Program) Emit(plan Plan, width int) ([]byte, error) {
	e, err := p.emitter(plan, width)
	if err != nil {
		return nil, err
	}
	e.run()
	out := e.module(e.at.pages(width))
	if len(out) > moduleBytesMax {
		return nil, fmt.Errorf("module of %d bytes, at most %d: unroll less", len(out), moduleBytesMax)
	}
	return out, nil
}

// emitter refuses a plan or a width that there is no kernel for.
func (p *Program) emitter(plan Plan, width int) (*emitter, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	if err := p.has(plan.Precision); err != nil {
		return nil, err
	}
	e := &emitter{lowered: p.lowered, channels: len(p.law.Channels), plan: plan, at: layoutOf(p, plan, width)}
	if width <= 0 || width*e.at.valueBytes%e.at.turnBytes != 0 || width*e.at.valueBytes%edgeBytes != 0 {
		return nil, fmt.Errorf("width %d: want a multiple of what a turn of the inner loop takes (%d bytes of %v)", width, e.at.turnBytes, plan.Precision)
	}
	if plan.Precision == I16 {
		e.lowered, e.positive = p.fixed.lowered, p.fixed.positive
	}
	if pages := e.at.pages(width); pages > pagesMax {
		return nil, fmt.Errorf("width %d: %d pages of memory, at most %d", width, pages, pagesMax)
	}
	return e, nil
}

// moduleBytesMax bounds what is emitted and what is loaded.
const moduleBytesMax = 16 << 10

// emitter holds the locals of the function.
type emitter struct {
	code
	lowered
	channels int
	positive []bool // by channel, in fixed point
	plan     Plan
	at       layout

	value     []int       // local of each node
	halves    map[int]int // local that takes bits off a value, by how many
	wide      [2]int      // scratch of the value's type
	four      int         // 4, in floating point
	sixteenth int         // 1/16, in floating point
	nought    int         // 0, in fixed point
	even      int         // −2, in fixed point: all bits but the lowest
	number    int         // scratch i32
	noise     noiseLocals
	p, q      int // cell that is read, reach rows above it; cell that is written
}

// Parameters of run, and what a pass is about.
const (
	paramCur = iota
	paramNext
	paramHeight
	paramSteps
	paramCount
)

// run writes the function. Passes take up to Fuse steps; a pass goes through
// bands of rows; a band takes its steps one after another in the scratch,
// starting with as many extra rows above and below as the steps that follow
// will need; a step goes through rows, a row through turns.
//
//	while steps > 0:
//	  k = min(steps, Fuse); copy reach·k rows around the torus
//	  for each band [y0, y0+h):
//	    for s in 0 … k−1:
//	      rows [y0−e, y0+h+e) with e = reach·(k−1−s)
//	        from cur (s = 0) or the scratch, to next (s = k−1) or the scratch
//	  swap cur, next
func (e *emitter) run() {
	e.params = paramCount
	k, band, bandCount := e.local(typeI32), e.local(typeI32), e.local(typeI32)
	y0, h, up := e.local(typeI32), e.local(typeI32), e.local(typeI32)
	e.number, e.p, e.q = e.local(typeI32), e.local(typeI32), e.local(typeI32)
	s := stepLocals{e.local(typeI32), e.local(typeI32), e.local(typeI32), e.local(typeI32), e.local(typeI32), e.local(typeI32)}
	e.prologue()
	e.noisePrologue()

	e.op(wasmBlock, blockEmpty)
	e.loop()
	e.get(paramSteps)
	e.op(i32Eqz)
	e.brIf(1)
	e.minimum(k, func() { e.get(paramSteps) }, e.plan.Fuse)
	e.wrapRows(k)

	e.get(paramHeight)
	e.i32(e.plan.Rows - 1)
	e.op(i32Add)
	e.i32(e.plan.Rows)
	e.op(i32DivU)
	e.set(bandCount)
	e.i32(0)
	e.set(band)
	e.loop()
	e.bandStart(band, bandCount, y0, h, up)
	e.steps(s, k, y0, h, up)
	e.get(band)
	e.i32(1)
	e.op(i32Add)
	e.tee(band)
	e.get(bandCount)
	e.op(i32LtU)
	e.brIf(0)
	e.end()

	e.get(paramCur, paramNext)
	e.set(paramCur)
	e.set(paramNext)
	if e.plan.Serpentine {
		e.get(up)
		e.i32(1)
		e.op(i32Xor)
		e.set(up)
	}
	e.noisePass(k)
	e.get(paramSteps, k)
	e.op(i32Sub)
	e.set(paramSteps)
	e.op(wasmBr, 0)
	e.end()
	e.end()
	e.get(paramCur)
}

// minimum sets to = min(value, limit).
func (e *emitter) minimum(to int, value func(), limit int) {
	value()
	e.tee(to)
	e.i32(limit)
	e.get(to)
	e.i32(limit)
	e.op(i32LtU, wasmSelect)
	e.set(to)
}

// wrapRows copies the last reach·k rows above the first and the first below
// the last.
func (e *emitter) wrapRows(k int) {
	bytes := e.number
	e.get(k)
	e.i32(e.at.reach * e.at.stride)
	e.op(i32Mul)
	e.set(bytes)
	endOf := func() {
		e.get(paramCur, paramHeight)
		e.i32(e.at.stride)
		e.op(i32Mul, i32Add)
	}
	e.get(paramCur, bytes)
	e.op(i32Sub)
	endOf()
	e.get(bytes)
	e.op(i32Sub)
	e.get(bytes)
	e.op(prefixBulk, 10, 0, 0)
	endOf()
	e.get(paramCur, bytes)
	e.op(prefixBulk, 10, 0, 0)
}

// bandStart sets y0 and h.
func (e *emitter) bandStart(band, bandCount, y0, h, up int) {
	if e.plan.Serpentine { // up ? bandCount−1−band : band
		e.get(bandCount)
		e.i32(1)
		e.op(i32Sub)
		e.get(band)
		e.op(i32Sub)
		e.get(band, up)
		e.op(wasmSelect)
	} else {
		e.get(band)
	}
	e.i32(e.plan.Rows)
	e.op(i32Mul)
	e.set(y0)
	e.minimum(h, func() {
		e.get(paramHeight, y0)
		e.op(i32Sub)
	}, e.plan.Rows)
}

// stepLocals are what a step is about: its number, its rows still to come,
// where it reads and writes, how far the next row is, and the row's end.
type stepLocals struct{ step, rows, src, dst, stride, end int }

func (e *emitter) steps(s stepLocals, k, y0, h, up int) {
	reach, extra := e.at.reach, e.number
	e.i32(0)
	e.set(s.step)
	e.loop()
	e.get(k)
	e.i32(1)
	e.op(i32Sub)
	e.get(s.step)
	e.op(i32Sub)
	e.i32(reach)
	e.op(i32Mul)
	e.set(extra)
	e.get(h, extra, extra)
	e.op(i32Add, i32Add)
	e.set(s.rows)

	// src: cur + (y0−extra)·stride at first, else what the step before wrote.
	e.scratch(s.step, 1)
	e.get(paramCur, y0, extra)
	e.op(i32Sub)
	e.i32(e.at.stride)
	e.op(i32Mul, i32Add)
	e.get(s.step)
	e.op(wasmSelect)
	e.set(s.src)
	// dst: next + y0·stride at last, which is where extra is 0.
	e.scratch(s.step, 0)
	e.get(paramNext, y0)
	e.i32(e.at.stride)
	e.op(i32Mul, i32Add)
	e.get(extra)
	e.op(wasmSelect)
	e.set(s.dst)

	e.i32(e.at.stride)
	e.set(s.stride)
	e.noiseStep(s, y0, extra, up)
	if e.plan.Serpentine {
		e.fromTheEnd(s, up)
	}
	e.rows(s)
	e.get(s.step)
	e.i32(1)
	e.op(i32Add)
	e.tee(s.step)
	e.get(k)
	e.op(i32LtU)
	e.brIf(0)
	e.end()
}

// scratch pushes where row y0−extra is in the scratch that step − before
// writes: both scratches begin with row y0 − reach·(k−1), so it is row
// reach·step.
func (e *emitter) scratch(step, before int) {
	e.get(step)
	if before > 0 {
		e.i32(before)
		e.op(i32Sub)
	}
	e.i32(1)
	e.op(i32And)
	e.i32(e.at.scratchBytes)
	e.op(i32Mul)
	e.get(step)
	e.i32(e.at.reach * e.at.stride)
	e.op(i32Mul, i32Add)
	e.i32(e.at.scratchAt)
	e.op(i32Add)
}

// fromTheEnd begins with the last row if up.
func (e *emitter) fromTheEnd(s stepLocals, up int) {
	for _, l := range []int{s.src, s.dst} {
		e.get(l, s.rows)
		e.i32(1)
		e.op(i32Sub)
		e.get(up)
		e.op(i32Mul)
		e.i32(e.at.stride)
		e.op(i32Mul, i32Add)
		e.set(l)
	}
	e.i32(-e.at.stride)
	e.i32(e.at.stride)
	e.get(up)
	e.op(wasmSelect)
	e.set(s.stride)
}

func (e *emitter) rows(s stepLocals) {
	e.loop()
	e.noiseRow(s)
	e.get(s.src)
	e.i32(e.at.reach * e.at.stride)
	e.op(i32Sub)
	e.tee(e.p)
	e.i32(e.at.width * e.at.valueBytes)
	e.op(i32Add)
	e.set(s.end)
	e.get(s.dst)
	e.set(e.q)

	if e.short() {
		e.turn()
	} else {
		e.turns(s.end)
		e.wrapColumns(s.dst)
	}
	for _, l := range []int{s.src, s.dst} {
		e.get(l, s.stride)
		e.op(i32Add)
		e.set(l)
	}
	e.get(s.rows)
	e.i32(1)
	e.op(i32Sub)
	e.tee(s.rows)
	e.brIf(0)
	e.end()
}

// short reports whether a row is a single turn of vectors, which then writes
// the row's halo too.
func (e *emitter) short() bool {
	return e.plan.SIMD && e.at.width*e.at.valueBytes == e.at.turnBytes
}

// turns is the inner loop.
func (e *emitter) turns(end int) {
	moving := []int{e.q, e.p}
	if e.at.noises > 0 {
		moving = []int{e.noise.at, e.q, e.p}
	}
	e.loop()
	e.turn()
	for _, l := range moving {
		e.get(l)
		e.i32(e.at.turnBytes)
		e.op(i32Add)
		e.tee(l)
		if l != e.p {
			e.op(wasmDrop)
		}
	}
	e.get(end)
	e.op(i32LtU)
	e.brIf(0)
	e.end()
}

// wrapColumns copies the ends of the row that was just written to the halo at
// its other ends.
func (e *emitter) wrapColumns(row int) {
	data := e.at.width * e.at.valueBytes
	for c := e.channels - 1; c >= 0; c-- { // the furthest first, as in turn
		base := c * e.at.channelBytes
		for _, move := range [][2]int{{base + edgeBytes + data, base + edgeBytes}, {base, base + data}} {
			if e.plan.SIMD {
				e.get(row, row)
				e.vectorMemory(v128Load, move[1])
				e.vectorMemory(v128Store, move[0])
				continue
			}
			for _, half := range []int{8, 0} {
				e.get(row, row)
				e.memory(i64Load, move[1]+half)
				e.memory(i64Store, move[0]+half)
			}
		}
	}
}
