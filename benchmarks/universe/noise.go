package universe

import "encoding/binary"

// Noise of a law is a number in (−1, 1) for each cell and step: a hash of
// column, row and step, which nobody keeps a state for. So a row that two bands
// compute draws the same twice, and so does a field that was handed over, or
// goes on from an older copy; what counts is the number of the step, see
// Universe.SetClock. It has 16 bits of which the lowest is set, hence the mean 0
// and the same value in every precision, to the last bit: h·2^−15.
//
// It is not for cryptography, and 32,768 different values are no continuum.

// noisesMax is how many noises a law may draw that know nothing of each other.
const noisesMax = 4

// Factors of the hash (lowbias32: C. Wellons, "Prospecting for Hash Functions",
// 2018), and what keeps its rounds apart, the golden ratio.
const (
	mixFirst, mixSecond uint32 = 0x7feb352d, 0x846ca68b
	mixApart            uint32 = 0x9e3779b9
)

// mix32 is a permutation of 32 bits.
func mix32(x uint32) uint32 {
	x ^= x >> 16
	x *= mixFirst
	x ^= x >> 15
	x *= mixSecond
	return x ^ x>>16
}

// noiseKeys are the two words that a row of one noise hashes its columns with.
// With one word alone rows whose words are near each other would be copies that
// are only shifted.
func noiseKeys(stream int, clock uint32, row int) (a, b uint32) {
	a = mix32(mix32(clock+uint32(stream)*mixApart) + uint32(row))
	return a, mix32(a + mixApart)
}

// noisePair is the hash of columns 2i (its lower half) and 2i+1.
func noisePair(a, b uint32, i int) uint32 {
	x := a + uint32(i)
	x ^= x >> 16
	x *= mixFirst
	x ^= x >> 15
	x ^= b
	x *= mixSecond
	return x ^ x>>16
}

// noiseRow draws a whole row; its length is even.
func noiseRow(dst []int16, stream int, clock uint32, row int) {
	a, b := noiseKeys(stream, clock, row)
	for i := range len(dst) / 2 {
		h := noisePair(a, b, i)
		dst[2*i], dst[2*i+1] = int16(h|1), int16(h>>16|1)
	}
}

// draw puts a row of noise into a node.
func (in *interpreter[T]) draw(dst []T, stream, y int) {
	if in.drawn == nil {
		in.drawn = make([]int16, in.width)
	}
	noiseRow(in.drawn, stream, in.clock, y)
	for x, v := range in.drawn {
		dst[x] = in.noise(v)
	}
}

// The memory that noise has: the number of the step that comes next, then a row
// of each noise.
const (
	noiseHeader = 64
	noiseScale  = 1. / (1 << 15)
)

// noiseBytes is the size of it, 0 without noise.
func (a layout) noiseBytes() int {
	if a.noises == 0 {
		return 0
	}
	return noiseHeader + a.noises*a.width*a.valueBytes
}

// noiseRowAt is where the row of a noise is.
func (a layout) noiseRowAt(stream int) int {
	return a.noiseAt + noiseHeader + stream*a.width*a.valueBytes
}

// setClock tells the kernel which step comes next.
func (g *grid) setClock() {
	if at := &g.kernel.at; at.noises > 0 {
		binary.LittleEndian.PutUint32(g.memory[at.noiseAt:], g.clock)
	}
}

// noiseLocals are the locals of an emitter that draws noise.
type noiseLocals struct {
	clock, line, next  int // of the pass; row, on the torus or a little beside; to the next row
	at, end, number    int // in the row of noise; where it ends; scratch
	a, b               int // keys
	count, key, h, ext int // vectors
	first, second      int // constants, as vectors
	four, one, scale   int
}

// noisePrologue makes the locals; a law without noise has none.
func (e *emitter) noisePrologue() {
	if e.at.noises == 0 {
		return
	}
	z := &e.noise
	for _, l := range []*int{&z.clock, &z.line, &z.next, &z.at, &z.end, &z.number, &z.a, &z.b} {
		*l = e.local(typeI32)
	}
	for _, l := range []*int{&z.count, &z.key, &z.h, &z.ext, &z.first, &z.second, &z.four, &z.one, &z.scale} {
		*l = e.local(typeV128)
	}
	e.i32(0)
	e.memory(i32Load, e.at.noiseAt)
	e.set(z.clock)
	for _, c := range []struct {
		to, splat int
		value     uint32
	}{{z.first, i32x4Splat, mixFirst}, {z.second, i32x4Splat, mixSecond}, {z.four, i32x4Splat, 4}, {z.one, i16x8Splat, 1}} {
		e.word(c.value)
		e.vector(c.splat)
		e.set(c.to)
	}
	switch e.plan.Precision {
	case F32:
		e.f32(noiseScale)
		e.vector(f32x4Splat)
		e.set(z.scale)
	case F64:
		e.f64(noiseScale)
		e.vector(f64x2Splat)
		e.set(z.scale)
	default: // as it is
	}
}

// noiseStep begins a step of a band: with which row, and which comes next.
func (e *emitter) noiseStep(s stepLocals, y0, extra, up int) {
	if e.at.noises == 0 {
		return
	}
	z := &e.noise
	e.get(y0, extra)
	e.op(i32Sub)
	e.set(z.line)
	e.i32(1)
	e.set(z.next)
	if !e.plan.Serpentine {
		return
	}
	e.get(z.line, s.rows)
	e.i32(1)
	e.op(i32Sub)
	e.get(up)
	e.op(i32Mul, i32Add)
	e.set(z.line)
	e.i32(-1)
	e.i32(1)
	e.get(up)
	e.op(wasmSelect)
	e.set(z.next)
}

// noisePass counts the k steps of a pass.
func (e *emitter) noisePass(k int) {
	if e.at.noises == 0 {
		return
	}
	e.get(e.noise.clock, k)
	e.op(i32Add)
	e.set(e.noise.clock)
}

// noiseRow fills the rows of noise for the row that comes, and goes on to the
// next.
func (e *emitter) noiseRow(s stepLocals) {
	if e.at.noises == 0 {
		return
	}
	z := &e.noise
	for stream := range e.at.noises {
		e.get(z.clock, s.step)
		e.op(i32Add)
		if stream > 0 {
			e.word(uint32(stream) * mixApart)
			e.op(i32Add)
		}
		e.mix()
		e.get(z.line) // around the torus: + height if below 0, − height if not below it
		e.get(paramHeight)
		e.i32(0)
		e.get(z.line)
		e.i32(0)
		e.op(i32LtS, wasmSelect, i32Add)
		e.i32(0)
		e.get(paramHeight)
		e.get(z.line, paramHeight)
		e.op(i32LtS, wasmSelect, i32Sub)
		e.op(i32Add)
		e.mix()
		e.tee(z.a)
		e.vector(i32x4Splat)
		e.vector(v128Const)
		for lane := range byte(4) {
			e.op(lane, 0, 0, 0)
		}
		e.vector(i32x4Add)
		e.set(z.count)
		e.get(z.a)
		e.word(mixApart)
		e.op(i32Add)
		e.mix()
		e.vector(i32x4Splat)
		e.set(z.key)
		e.noiseFill(stream)
	}
	e.get(z.line, z.next)
	e.op(i32Add)
	e.set(z.line)
	e.i32(e.at.noiseRowAt(0))
	e.set(z.at)
}

// mix replaces the i32 on the stack, see mix32.
func (e *emitter) mix() {
	fold := func(by int) {
		e.tee(e.noise.number)
		e.get(e.noise.number)
		e.i32(by)
		e.op(i32ShrU, i32Xor)
	}
	fold(16)
	e.word(mixFirst)
	e.op(i32Mul)
	fold(15)
	e.word(mixSecond)
	e.op(i32Mul)
	fold(16)
}

// word pushes an i32 that has no sign.
func (e *emitter) word(v uint32) { e.i32(int(int32(v))) }

// noiseFill writes one row, eight cells a turn.
func (e *emitter) noiseFill(stream int) {
	z := &e.noise
	from := e.at.noiseRowAt(stream)
	e.i32(from)
	e.set(z.at)
	e.i32(from + e.at.width*e.at.valueBytes)
	e.set(z.end)
	fold := func(by int) {
		e.tee(z.h)
		e.get(z.h)
		e.i32(by)
		e.vector(i32x4ShrU)
		e.vector(v128Xor)
	}
	e.loop()
	e.get(z.count)
	fold(16)
	e.get(z.first)
	e.vector(i32x4Mul)
	fold(15)
	e.get(z.key)
	e.vector(v128Xor)
	e.get(z.second)
	e.vector(i32x4Mul)
	fold(16)
	e.get(z.one)
	e.vector(v128Or)
	e.set(z.h)
	e.noiseStore()
	e.get(z.count, z.four)
	e.vector(i32x4Add)
	e.set(z.count)
	e.get(z.at)
	e.i32(8 * e.at.valueBytes)
	e.op(i32Add)
	e.tee(z.at)
	e.get(z.end)
	e.op(i32LtU)
	e.brIf(0)
	e.end()
}

// noiseStore writes eight numbers of 16 bits as the precision has them.
func (e *emitter) noiseStore() {
	z := &e.noise
	if e.plan.Precision == I16 {
		e.get(z.at, z.h)
		e.vectorMemory(v128Store, 0)
		return
	}
	for half, extend := range []int{i32x4ExtendLowS, i32x4ExtendHighS} {
		e.get(z.h)
		e.vector(extend)
		e.set(z.ext)
		if e.plan.Precision == F32 {
			e.get(z.at, z.ext)
			e.vector(f32x4Convert)
			e.get(z.scale)
			e.vector(f32x4Mul)
			e.vectorMemory(v128Store, half*16)
			continue
		}
		for part := range 2 {
			e.get(z.at, z.ext)
			if part == 1 { // the upper two lanes
				e.get(z.ext)
				e.vector(i8x16Shuffle)
				e.op(8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)
			}
			e.vector(f64x2ConvertLow)
			e.get(z.scale)
			e.vector(f64x2Mul)
			e.vectorMemory(v128Store, half*32+part*16)
		}
	}
}

// drawn pushes the noise of part u of the turn.
func (e *emitter) drawn(stream, u int) {
	offset := e.at.noiseRowAt(stream) - e.at.noiseRowAt(0) + u*e.at.turnBytes/e.plan.Unroll
	e.get(e.noise.at)
	if e.plan.SIMD {
		e.vectorMemory(v128Load, offset)
		return
	}
	e.memory(scalarLoad[e.plan.Precision], offset)
}

// noisePreamble defines the hash in C.
func (c *cWriter) noisePreamble() {
	if c.at.noises == 0 {
		return
	}
	c.line("static inline u32 MIX(u32 x) { x ^= x >> 16; x *= %du; x ^= x >> 15; x *= %du; return x ^ x >> 16; }", mixFirst, mixSecond)
	as := "(T)(short)((h) | 1)"
	if c.plan.Precision != I16 {
		as = "((T)(short)((h) | 1) * " + c.literal(noiseScale) + ")"
	}
	c.line("#define NOISE(h) %s", as)
}

// noiseRow fills the rows of noise for the row that comes, in C.
func (c *cWriter) noiseRow() {
	if c.at.noises == 0 {
		return
	}
	c.block(func() {
		c.line("const u32 y = line < 0 ? line + height : line < (int)height ? line : line - height;")
		for stream := range c.at.noises {
			c.block(func() {
				c.line("const u32 a = MIX(MIX(clock + s + %du) + y), b = MIX(a + %du);", uint32(stream)*mixApart, mixApart)
				c.line("T *const z = (T *)%dL;", c.to.base+c.at.noiseRowAt(stream))
				c.block(func() {
					c.line("u32 x = a + i;")
					c.line("x ^= x >> 16; x *= %du; x ^= x >> 15; x ^= b; x *= %du; x ^= x >> 16;", mixFirst, mixSecond)
					c.line("z[2 * i] = NOISE(x); z[2 * i + 1] = NOISE(x >> 16);")
				}, "for (u32 i = 0; i < %d; i++)", c.at.width/2)
			}, "")
		}
		c.line("line += stride < 0 ? -1 : 1;")
	}, "")
}
