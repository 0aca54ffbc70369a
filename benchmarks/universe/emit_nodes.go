package universe

import "slices"

// valueType is the local that holds one turn's part of a node.
func (e *emitter) valueType() byte {
	if e.plan.SIMD {
		return typeV128
	}
	return [...]byte{F64: typeF64, F32: typeF32, I16: typeI32}[e.plan.Precision]
}

// Instructions by precision, of vectors and of single numbers.
var (
	vectorSplat = [...]int{F64: f64x2Splat, F32: f32x4Splat, I16: i16x8Splat}
	vectorKnob  = [...]int{F64: v128Load64Splat, F32: v128Load32Splat, I16: v128Load16Splat}
	vectorLess  = [...]int{F64: f64x2Lt, F32: f32x4Lt, I16: i16x8LtS}
	vectorOp    = map[Op][precisionCount]int{
		Add: {f64x2Add, f32x4Add, i16x8AddSatS}, Sub: {f64x2Sub, f32x4Sub, i16x8SubSatS}, Mul: {f64x2Mul, f32x4Mul, i16x8Q15MulrSatS},
		Min: {f64x2Pmin, f32x4Pmin, i16x8MinS}, Max: {f64x2Pmax, f32x4Pmax, i16x8MaxS},
	}
	scalarLoad  = [...]byte{F64: f64Load, F32: f32Load, I16: i32Load16S}
	scalarStore = [...]byte{F64: f64Store, F32: f32Store, I16: i32Store16}
	scalarLess  = [...]byte{F64: f64Lt, F32: f32Lt, I16: i32LtS}
	scalarOp    = map[Op][precisionCount]byte{
		Add: {f64Add, f32Add, i32Add}, Sub: {f64Sub, f32Sub, i32Sub}, Mul: {f64Mul, f32Mul, i32Mul},
	}
)

// prologue makes the locals of the nodes and computes those that are the same
// everywhere.
func (e *emitter) prologue() {
	t := e.valueType()
	e.wide = [2]int{e.local(t), e.local(t)}
	if e.plan.Precision != I16 {
		e.four, e.sixteenth = e.local(t), e.local(t)
		e.splat(4)
		e.set(e.four)
		e.splat(1. / 16)
		e.set(e.sixteenth)
	}
	for i, n := range e.nodes {
		typ := t
		if n.op == Less && !e.plan.SIMD {
			typ = typeI32
		}
		e.value = append(e.value, e.local(typ))
		if e.still[i] {
			e.node(n, 0)
			e.set(e.value[i])
		}
	}
	e.halves = map[int]int{}
	if e.plan.SIMD && e.plan.Precision == I16 && slices.ContainsFunc(e.nodes, e.unsigned) {
		for v, to := range []*int{&e.nought, &e.even} {
			*to = e.local(t)
			e.i32(-2 * v)
			e.vector(i16x8Splat)
			e.set(*to)
		}
	}
	for _, n := range e.nodes {
		if n.op == moveOp && n.index > 0 && n.index <= 15 && e.halves[n.index] == 0 {
			e.halves[n.index] = e.local(t)
			e.i32(1 << (15 - n.index))
			if e.plan.SIMD {
				e.vector(i16x8Splat)
			}
			e.set(e.halves[n.index])
		}
	}
}

// unsigned reports whether a node needs numbers without a sign, or the 0 that
// they begin with.
func (e *emitter) unsigned(n node) bool {
	return n.op == floorOp || n.op == meanOp || n.op == Ring && e.positive[n.index]
}

// splat pushes a constant of floating point.
func (e *emitter) splat(v float64) {
	if e.plan.Precision == F64 {
		e.f64(v)
	} else {
		e.f32(v)
	}
	if e.plan.SIMD {
		e.vector(vectorSplat[e.plan.Precision])
	}
}

// turn writes one turn of the inner loop.
func (e *emitter) turn() {
	// The furthest cells first: wazero then knows that the others are within
	// the memory, and keeps nothing of these loads but that check.
	e.load(e.channels-1, e.at.reach, e.at.reach, e.plan.Unroll-1)
	e.op(wasmDrop)
	last := (e.plan.Unroll - 1) * e.at.turnBytes / e.plan.Unroll
	if e.short() {
		last = e.at.turnBytes
	}
	e.get(e.q)
	e.loadAt((e.channels-1)*e.at.channelBytes + edgeBytes + last)
	e.op(wasmDrop)
	for u := range e.plan.Unroll {
		for i, n := range e.nodes {
			if !e.still[i] {
				e.node(n, u)
				e.set(e.value[i])
			}
		}
		for c, root := range e.roots {
			at := c*e.at.channelBytes + edgeBytes + u*e.at.turnBytes/e.plan.Unroll
			places := []int{at}
			if e.short() && u == 0 {
				places = append(places, at+e.at.turnBytes)
			}
			if e.short() && u == e.plan.Unroll-1 {
				places = append(places, at-e.at.turnBytes)
			}
			for _, at := range places {
				e.get(e.q, e.value[root])
				e.store(at)
			}
		}
	}
}

// cellAt is how far from p the cells at (dx, dy) of part u of the turn are.
func (e *emitter) cellAt(channel, dx, dy, u int) int {
	return (dy+e.at.reach)*e.at.stride + channel*e.at.channelBytes + edgeBytes + dx*e.at.valueBytes + u*e.at.turnBytes/e.plan.Unroll
}

// load pushes the cells at (dx, dy) of part u of the turn.
func (e *emitter) load(channel, dx, dy, u int) {
	e.get(e.p)
	e.loadAt(e.cellAt(channel, dx, dy, u))
}

func (e *emitter) loadAt(offset int) {
	if e.plan.SIMD {
		e.vectorMemory(v128Load, offset)
		return
	}
	e.memory(scalarLoad[e.plan.Precision], offset)
}

func (e *emitter) store(offset int) {
	if e.plan.SIMD {
		e.vectorMemory(v128Store, offset)
		return
	}
	e.memory(scalarStore[e.plan.Precision], offset)
}

// node pushes the value of a node.
func (e *emitter) node(n node, u int) {
	switch n.op {
	case Const:
		e.splat(n.value)
	case Knob, slotOp:
		e.slot(n.index)
	case Draw:
		e.drawn(n.index, u)
	case Cell:
		e.load(n.index, 0, 0, u)
	case Lap:
		e.lap(n.index, u)
	case meanOp:
		for k, d := range [4][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			e.load(n.index, d[0], d[1], u)
			if k%2 == 1 {
				e.sum()
			}
		}
		e.halfway()
		e.half()
	case Ring:
		e.ring(n.index, u, 0, 16)
		switch {
		case e.plan.Precision != I16:
			e.get(e.sixteenth)
			e.apply(Mul)
		case e.positive[n.index]:
			e.half()
		}
	case moveOp:
		e.get(e.value[n.a])
		e.move(n.index)
	case floorOp:
		e.floor(e.value[n.a])
	case Min, Max:
		e.extreme(n)
	case Less:
		e.get(e.value[n.a], e.value[n.b])
		e.less()
	case Pick:
		e.get(e.value[n.b], e.value[n.c], e.value[n.a])
		if e.plan.SIMD {
			e.vector(v128Bitselect)
		} else {
			e.op(wasmSelect)
		}
	case Mul:
		a, b := n.a, n.b
		if e.still[a] { // what is last used here first: wazero then copies nothing
			a, b = b, a
		}
		e.get(e.value[a], e.value[b])
		e.apply(n.op)
	default:
		e.get(e.value[n.a], e.value[n.b])
		e.apply(n.op)
	}
}

// slot pushes a knob, or what fixed point keeps in its place.
func (e *emitter) slot(i int) {
	e.i32(0)
	if e.plan.SIMD {
		e.vectorMemory(vectorKnob[e.plan.Precision], i*8)
	} else {
		e.memory(scalarLoad[e.plan.Precision], i*8)
	}
}

// apply pops two values and pushes one.
func (e *emitter) apply(op Op) {
	if e.plan.SIMD {
		e.vector(vectorOp[op][e.plan.Precision])
		return
	}
	e.op(scalarOp[op][e.plan.Precision])
	if e.plan.Precision != I16 {
		return
	}
	if op == Mul {
		e.i32(1 << 14)
		e.op(i32Add)
		e.i32(15)
		e.op(i32ShrS)
	}
	e.saturate()
}

func (e *emitter) less() {
	if e.plan.SIMD {
		e.vector(vectorLess[e.plan.Precision])
		return
	}
	e.op(scalarLess[e.plan.Precision])
}

// extreme pushes the lower (b < a ? b : a) or the higher (a < b ? b : a).
func (e *emitter) extreme(n node) {
	a, b := e.value[n.a], e.value[n.b]
	if e.plan.SIMD {
		e.get(a, b)
		e.vector(vectorOp[n.op][e.plan.Precision])
		return
	}
	e.get(b, a)
	if n.op == Min {
		e.get(b, a)
	} else {
		e.get(a, b)
	}
	e.op(scalarLess[e.plan.Precision], wasmSelect)
}

// floor pushes a value of fixed point, or 0 where it is negative.
func (e *emitter) floor(a int) {
	e.get(a)
	if e.plan.SIMD {
		e.get(e.nought)
		e.vector(i16x8MaxS)
		return
	}
	e.i32(0)
	e.get(a)
	e.i32(0)
	e.op(i32LtS)
	e.op(i32Eqz)
	e.op(wasmSelect)
}

// lap pushes (left+right) + (up+down) − 4·cell, in fixed point the sum of the
// four differences.
func (e *emitter) lap(channel, u int) {
	at := [4][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}}
	for k, d := range at {
		e.load(channel, d[0], d[1], u)
		if e.plan.Precision == I16 {
			e.load(channel, 0, 0, u)
			e.apply(Sub)
		}
		if k%2 == 1 {
			e.apply(Add)
		}
	}
	e.apply(Add)
	if e.plan.Precision != I16 {
		e.get(e.four)
		e.load(channel, 0, 0, u)
		e.apply(Mul)
		e.apply(Sub)
	}
}

// ring pushes the sum (in fixed point the mean) of n cells of the ring, as a
// tree.
func (e *emitter) ring(channel, u, from, n int) {
	if n == 1 {
		e.load(channel, ringAt[from][0], ringAt[from][1], u)
		return
	}
	positive := e.plan.Precision == I16 && e.positive[channel]
	for half := range 2 {
		e.ring(channel, u, from+half*n/2, n/2)
		if e.plan.Precision == I16 && !positive {
			e.i32(1)
			if e.plan.SIMD {
				e.vector(i16x8ShrS)
			} else {
				e.op(i32ShrS)
			}
		}
	}
	switch {
	case positive && n > 2:
		e.halfway()
	case e.plan.Precision != I16:
		e.apply(Add)
	default:
		e.sum()
	}
}

// sum pops two numbers of fixed point and pushes their sum, which 16 bits hold,
// with or without a sign.
func (e *emitter) sum() {
	if e.plan.SIMD {
		e.vector(i16x8Add)
		return
	}
	e.op(i32Add)
}

// halfway pops two numbers without a sign and pushes their mean, rounded up.
func (e *emitter) halfway() {
	if e.plan.SIMD {
		e.vector(i16x8AvgrU)
		return
	}
	e.op(i32Add)
	e.i32(1)
	e.op(i32Add)
	e.i32(1)
	e.op(i32ShrS)
}

// half pops a number without a sign and pushes half of it, rounded down: an even
// number is halfway between 0 and itself. wazero makes one instruction each of
// these and four of a shift.
func (e *emitter) half() {
	if e.plan.SIMD {
		e.get(e.even)
		e.vector(v128And)
		e.get(e.nought)
		e.vector(i16x8AvgrU)
		return
	}
	e.i32(1)
	e.op(i32ShrS)
}

// move takes bits off the fixed point value on the stack, or adds some.
func (e *emitter) move(down int) {
	switch {
	case down > 15:
		e.op(wasmDrop)
		e.i32(0)
		if e.plan.SIMD {
			e.vector(i16x8Splat)
		}
	case down > 0:
		e.get(e.halves[down])
		e.apply(Mul)
	default:
		for range -down {
			e.tee(e.wide[0])
			e.get(e.wide[0])
			e.apply(Add)
		}
	}
}

// saturate brings the i32 on the stack to 16 bits.
func (e *emitter) saturate() {
	t := e.number
	for _, limit := range []int{32767, -32768} {
		e.tee(t)
		e.i32(limit)
		e.get(t)
		e.i32(limit)
		if limit < 0 { // t unless t < limit
			e.op(i32LtS)
			e.op(i32Eqz)
		} else {
			e.op(i32LtS)
		}
		e.op(wasmSelect)
	}
}
