package universe

import (
	"fmt"
	"strconv"
	"strings"
)

// C writes the kernel of the law by the plan for a width as C source, for the
// compilers that may stand in for Emit: the same passes, bands, steps and turns
// over the same memory, and every operation rounded where Emit's is. It needs
// clang's or gcc's vectors and nothing else: no header, no library. Pure.
func (p *Program) C(plan Plan, width int) (string, error) {
	return p.source(plan, width, wasmTarget)
}

// cTarget is a machine that C is written for.
type cTarget struct {
	base   int  // where the kernel's memory begins
	vector int  // bytes of its vectors
	x86    bool // instead of WebAssembly
}

var wasmTarget = cTarget{vector: 16}

func (p *Program) source(plan Plan, width int, to cTarget) (string, error) {
	e, err := p.emitter(plan, width)
	if err != nil {
		return "", err
	}
	c := &cWriter{emitter: e, to: to, parts: plan.Unroll}
	if plan.SIMD {
		c.to.vector = min(to.vector, e.at.turnBytes) // a turn is no longer for longer vectors
		c.parts = e.at.turnBytes / c.to.vector
	}
	if to.x86 && plan.Precision == I16 {
		c.fixed = &p.fixed
	}
	c.preamble()
	c.noisePreamble()
	c.kernel()
	return c.text.String(), nil
}

// cWriter writes what emitter knows as C.
type cWriter struct {
	*emitter
	to    cTarget
	parts int         // vectors (or cells) a turn
	fixed *fixedPoint // of x86 alone
	text  strings.Builder
	depth int
}

// partAt is how far from its beginning part u of the turn is.
func (c *cWriter) partAt(u int) int { return u * c.at.turnBytes / c.parts }

// line writes a line at the present depth.
func (c *cWriter) line(format string, args ...any) {
	c.text.WriteString(strings.Repeat("\t", c.depth))
	fmt.Fprintf(&c.text, format, args...)
	c.text.WriteByte('\n')
}

// block writes a head, what is inside, and the closing brace.
func (c *cWriter) block(inside func(), head string, args ...any) {
	c.line(head+" {", args...)
	c.depth++
	inside()
	c.depth--
	c.line("}")
}

// C's types of a cell in memory and of its truth as a vector.
var (
	cCell = [...]string{F64: "double", F32: "float", I16: "short"}
	cMask = [...]string{F64: "long long", F32: "int", I16: "short"}
)

// preamble defines the types V (a value), M (a truth) and the operations.
func (c *cWriter) preamble() {
	in := c.plan.Precision
	defer c.line("static inline V TWICE(V a) { return ADD(a, a); }")
	c.line("// %v, width %d: written by Arqon, to be compiled without any header.", c.plan, c.at.width)
	c.line("typedef unsigned u32;")
	c.line("typedef long long i64u __attribute__((aligned(1), may_alias));")
	c.line("typedef %s T __attribute__((may_alias));", cCell[in])
	if !c.plan.SIMD {
		c.scalars()
		return
	}
	c.line("typedef %s V __attribute__((vector_size(%d)));", cCell[in], c.to.vector)
	c.line("typedef %s M __attribute__((vector_size(%d)));", cMask[in], c.to.vector)
	c.line("typedef V U __attribute__((aligned(1), may_alias));")
	c.line("typedef long long E __attribute__((vector_size(%d), aligned(1), may_alias));", edgeBytes)
	c.line("#define LESS(a, b) ((M)((a) < (b)))")
	c.line("#define PICK(t, a, b) ((V)(((t) & (M)(a)) | (~(t) & (M)(b))))")
	if in != I16 {
		c.line("#define ADD(a, b) ((a) + (b))\n#define SUB(a, b) ((a) - (b))\n#define MUL(a, b) ((a) * (b))")
		c.line("static inline V MIN(V a, V b) { return PICK(LESS(b, a), b, a); }")
		c.line("static inline V MAX(V a, V b) { return PICK(LESS(a, b), b, a); }")
		return
	}
	product, sum, difference := "__builtin_wasm_q15mulr_sat_s_i16x8", "__builtin_wasm_add_sat_s_i16x8", "__builtin_wasm_sub_sat_s_i16x8"
	if c.to.x86 {
		bits := c.to.vector * 8
		product, sum, difference = fmt.Sprintf("__builtin_ia32_pmulhrsw%d", bits), fmt.Sprintf("__builtin_ia32_paddsw%d", bits), fmt.Sprintf("__builtin_ia32_psubsw%d", bits)
		c.line("#define RAW(a, b) %s(a, b)", product)
		// The one product that pmulhrsw does not saturate is (−1)·(−1).
		c.line("static inline V MUL(V a, V b) { V r = RAW(a, b); return r ^ (V)(r == (short)-32768); }")
	} else {
		c.line("#define MUL(a, b) %s(a, b)", product)
	}
	c.line("typedef unsigned short H __attribute__((vector_size(%d)));", c.to.vector)
	c.line("#define SUM(a, b) ((V)((H)(a) + (H)(b)))")
	if c.to.x86 {
		// Compilers know this as pavgw, unless they see what becomes of it.
		c.line("typedef unsigned W __attribute__((vector_size(%d)));", 2*c.to.vector)
		c.line("#define WIDE(a) __builtin_convertvector((H)(a), W)")
		c.line("static inline V HALFWAY(V a, V b) { V r = (V)__builtin_convertvector((WIDE(a) + WIDE(b) + 1) >> 1, H); __asm__(\"\" : \"+v\"(r)); return r; }")
		c.line("#define HALF(a) ((V)((H)(a) >> 1))")
	} else {
		c.line("#define HALFWAY(a, b) ((V)__builtin_wasm_avgr_u_i16x8((H)(a), (H)(b)))")
		c.line("#define HALF(a) HALFWAY((a) & (short)-2, (V){0})") // as in emitter.half
	}
	c.line("#if __has_builtin(__builtin_elementwise_add_sat)")
	c.line("#define ADD(a, b) __builtin_elementwise_add_sat(a, b)\n#define SUB(a, b) __builtin_elementwise_sub_sat(a, b)")
	c.line("#else")
	c.line("#define ADD(a, b) %s(a, b)\n#define SUB(a, b) %s(a, b)", sum, difference)
	c.line("#endif")
	c.line("static inline V MIN(V a, V b) { return PICK(LESS(b, a), b, a); }")
	c.line("static inline V MAX(V a, V b) { return PICK(LESS(a, b), b, a); }")
}

func (c *cWriter) scalars() {
	if c.plan.Precision == I16 {
		c.line("typedef int V;\ntypedef int M;\ntypedef T U;")
		c.line("static inline int SAT(int v) { return v > 32767 ? 32767 : v < -32768 ? -32768 : v; }")
		c.line("#define ADD(a, b) SAT((a) + (b))\n#define SUB(a, b) SAT((a) - (b))\n#define MUL(a, b) SAT(((a) * (b) + 16384) >> 15)")
		c.line("#define HALFWAY(a, b) (((a) + (b) + 1) >> 1)\n#define HALF(a) ((a) >> 1)\n#define SUM(a, b) ((a) + (b))")
	} else {
		c.line("typedef %s V;\ntypedef int M;\ntypedef T U;", cCell[c.plan.Precision])
		c.line("#define ADD(a, b) ((a) + (b))\n#define SUB(a, b) ((a) - (b))\n#define MUL(a, b) ((a) * (b))")
	}
	c.line("#define LESS(a, b) ((a) < (b))")
	c.line("#define PICK(t, a, b) ((t) ? (a) : (b))")
	c.line("static inline V MIN(V a, V b) { return b < a ? b : a; }")
	c.line("static inline V MAX(V a, V b) { return a < b ? b : a; }")
}

// kernel writes the function, see emitter.run.
func (c *cWriter) kernel() {
	reach, stride, rows := c.at.reach, c.at.stride, c.plan.Rows
	c.block(func() {
		for i, n := range c.nodes {
			if c.still[i] {
				c.line("const %s v%d = %s;", c.typeOf(n), i, c.node(n, 0))
			}
		}
		c.line("u32 up = 0;")
		if c.at.noises > 0 {
			c.line("u32 clock = *(const u32 *)%dL;", c.to.base+c.at.noiseAt)
		}
		c.block(func() {
			c.line("const u32 k = steps < %d ? steps : %d;", c.plan.Fuse, c.plan.Fuse)
			c.line("const u32 wrap = k * %d, whole = height * %d;", reach*stride, stride)
			for _, move := range [][2]string{{"cur - wrap", "cur + whole - wrap"}, {"cur + whole", "cur"}} {
				c.line("for (u32 i = 0; i < wrap; i += 8) *(i64u *)(%s + i) = *(const i64u *)(%s + i);", move[0], move[1])
			}
			c.line("const u32 bands = (height + %d) / %d;", rows-1, rows)
			c.block(func() {
				y0 := "band"
				if c.plan.Serpentine {
					y0 = "(up ? bands - 1 - band : band)"
				}
				c.line("const u32 y0 = %s * %d;", y0, rows)
				c.line("const u32 h = height - y0 < %d ? height - y0 : %d;", rows, rows)
				c.block(c.step, "for (u32 s = 0; s < k; s++)")
			}, "for (u32 band = 0; band < bands; band++)")
			c.line("T *const t = (T *)cur; cur = next; next = (char *)t;")
			c.line("up ^= %d;", map[bool]int{true: 1}[c.plan.Serpentine])
			c.line("steps -= k;")
			if c.at.noises > 0 {
				c.line("clock += k;")
			}
		}, "while (steps)")
		c.line("return cur;")
	}, "__attribute__((visibility(\"default\"))) char *run(char *cur, char *next, u32 height, u32 steps)")
}

// fullParts is how many vectors of a row are written out for x86, if it has no
// more: the loop costs a short row a tenth.
const fullParts = 4

// step takes a band one step further, row after row.
func (c *cWriter) step() {
	reach, stride := c.at.reach, c.at.stride
	c.line("const u32 extra = %d * (k - 1 - s);", reach)
	c.line("u32 rows = h + 2 * extra;")
	scratch := func(step string) string {
		return fmt.Sprintf("(char *)(unsigned long)(%d + (%s & 1) * %d + s * %d)", c.to.base+c.at.scratchAt, step, c.at.scratchBytes, reach*stride)
	}
	if c.plan.Fuse == 1 {
		c.line("const char *src = cur + y0 * %d;", stride)
		c.line("char *dst = next + y0 * %d;", stride)
	} else {
		c.line("const char *src = s ? %s : cur + (int)(y0 - extra) * %d;", scratch("(s - 1)"), stride)
		c.line("char *dst = extra ? %s : next + y0 * %d;", scratch("s"), stride)
	}
	c.line("int stride = %d;", stride)
	if c.plan.Serpentine {
		c.line("if (up) { src += (rows - 1) * %d; dst += (rows - 1) * %d; stride = -%d; }", stride, stride, stride)
	}
	moving := ""
	if c.at.noises > 0 {
		c.line("int line = (int)(y0 - extra) + (stride < 0 ? (int)rows - 1 : 0);")
		moving = fmt.Sprintf(", nz += %d", c.at.turnBytes)
	}
	c.block(func() {
		data := c.at.width * c.at.valueBytes
		c.noiseRow()
		if c.at.noises > 0 {
			c.line("const char *nz = (const char *)%dL;", c.to.base+c.at.noiseRowAt(0))
		}
		c.line("const char *restrict p = src - %d;", reach*stride)
		c.line("char *restrict q = dst;")
		if c.to.x86 && data/c.at.turnBytes*c.parts <= fullParts { // its flags unroll nothing else
			c.line("#pragma clang loop unroll(full)")
		}
		c.block(c.turn, "for (const char *const end = p + %d; p < end; p += %d, q += %d%s)", data, c.at.turnBytes, c.at.turnBytes, moving)
		for channel := c.channels - 1; channel >= 0; channel-- {
			base := channel * c.at.channelBytes
			for _, move := range [][2]int{{base + edgeBytes + data, base + edgeBytes}, {base, base + data}} {
				if c.plan.SIMD {
					c.line("*(E *)(dst + %d) = *(const E *)(dst + %d);", move[0], move[1])
					continue
				}
				for _, half := range []int{8, 0} {
					c.line("*(i64u *)(dst + %d) = *(const i64u *)(dst + %d);", move[0]+half, move[1]+half)
				}
			}
		}
		c.line("src += stride; dst += stride;")
	}, "for (; rows; rows--)")
}

// turn writes one turn of the inner loop.
func (c *cWriter) turn() {
	if !c.to.x86 { // the furthest cells first, as in emitter.turn
		c.line("(void)*(const volatile U *)(p + %d);", c.cellAt(c.channels-1, c.at.reach, c.at.reach, c.plan.Unroll-1))
		c.line("(void)*(const volatile U *)(q + %d);", (c.channels-1)*c.at.channelBytes+edgeBytes+c.partAt(c.parts-1))
	}
	for u := range c.parts {
		c.block(func() {
			for i, n := range c.nodes {
				if !c.still[i] {
					c.line("const %s v%d = %s;", c.typeOf(n), i, c.node(n, u))
				}
			}
			for channel, root := range c.roots {
				c.line("*(U *)(q + %d) = v%d;", channel*c.at.channelBytes+edgeBytes+c.partAt(u), root)
			}
		}, "")
	}
}

// typeOf is M for a truth.
func (c *cWriter) typeOf(n node) string {
	if n.op == Less {
		return "M"
	}
	return "V"
}

// cell reads the cells at (dx, dy) of part u of the turn.
func (c *cWriter) cell(channel, dx, dy, u int) string {
	return fmt.Sprintf("*(const U *)(p + %d)", c.cellAt(channel, dx, dy, 0)+c.partAt(u))
}

var cOp = map[Op]string{Add: "ADD", Sub: "SUB", Mul: "MUL", Min: "MIN", Max: "MAX", Less: "LESS"}

// call is an operation of the preamble.
func call(op Op, a, b string) string { return cOp[op] + "(" + a + ", " + b + ")" }

// node is the expression of a node.
func (c *cWriter) node(n node, u int) string {
	switch n.op {
	case Const:
		return c.splatted(c.literal(n.value))
	case Knob, slotOp:
		return c.splatted(fmt.Sprintf("*(const T *)%dL", c.to.base+n.index*8))
	case Draw:
		return fmt.Sprintf("*(const U *)(nz + %d)", c.at.noiseRowAt(n.index)-c.at.noiseRowAt(0)+c.partAt(u))
	case Cell:
		return c.cell(n.index, 0, 0, u)
	case Lap:
		return c.laplace(n.index, u)
	case Ring:
		sum := c.around(n.index, u, 0, 16)
		if c.plan.Precision == I16 && c.positive[n.index] {
			return "HALF(" + sum + ")"
		}
		if c.plan.Precision == I16 {
			return sum
		}
		return call(Mul, sum, c.literal(1./16))
	case meanOp:
		at := func(dx, dy int) string { return c.cell(n.index, dx, dy, u) }
		return "HALF(HALFWAY(SUM(" + at(-1, 0) + ", " + at(1, 0) + "), SUM(" + at(0, -1) + ", " + at(0, 1) + ")))"
	case moveOp:
		return c.moved(fmt.Sprintf("v%d", n.a), n.index)
	case floorOp:
		return fmt.Sprintf("MAX(v%d, %s)", n.a, c.splatted("0"))
	case Pick:
		return fmt.Sprintf("PICK(v%d, v%d, v%d)", n.a, n.b, n.c)
	case Mul:
		a, b := n.a, n.b
		if c.still[a] { // as in emitter.node
			a, b = b, a
		}
		return c.product(fmt.Sprintf("v%d", a), fmt.Sprintf("v%d", b), c.fixed != nil && c.fixed.tame(n.a, n.b))
	default:
		return call(n.op, fmt.Sprintf("v%d", n.a), fmt.Sprintf("v%d", n.b))
	}
}

// product multiplies. Where one factor is known to be no −32768, nothing is
// left to saturate, and x86 has one instruction for it.
func (c *cWriter) product(a, b string, tame bool) string {
	if tame && c.to.x86 && c.plan.SIMD && c.plan.Precision == I16 {
		return "RAW(" + a + ", " + b + ")"
	}
	return call(Mul, a, b)
}

// literal is a constant in floating point, exactly.
func (c *cWriter) literal(v float64) string {
	if c.plan.Precision == F32 {
		return strconv.FormatFloat(float64(float32(v)), 'x', -1, 64) + "f"
	}
	return strconv.FormatFloat(v, 'x', -1, 64)
}

// splatted is a number in every lane.
func (c *cWriter) splatted(x string) string {
	if !c.plan.SIMD {
		return x
	}
	return "((V){" + strings.TrimSuffix(strings.Repeat(x+", ", c.to.vector/c.at.valueBytes), ", ") + "})"
}

// laplace is what emitter.lap pushes.
func (c *cWriter) laplace(channel, u int) string {
	here := c.cell(channel, 0, 0, u)
	at := func(dx, dy int) string {
		if c.plan.Precision == I16 {
			return call(Sub, c.cell(channel, dx, dy, u), here)
		}
		return c.cell(channel, dx, dy, u)
	}
	sum := call(Add, call(Add, at(-1, 0), at(1, 0)), call(Add, at(0, -1), at(0, 1)))
	if c.plan.Precision == I16 {
		return sum
	}
	return call(Sub, sum, call(Mul, here, c.literal(4)))
}

// around is what emitter.ring pushes.
func (c *cWriter) around(channel, u, from, n int) string {
	if n == 1 {
		return c.cell(channel, ringAt[from][0], ringAt[from][1], u)
	}
	a, b := c.around(channel, u, from, n/2), c.around(channel, u, from+n/2, n/2)
	if c.plan.Precision == I16 && c.positive[channel] {
		if n == 2 {
			return "SUM(" + a + ", " + b + ")"
		}
		return "HALFWAY(" + a + ", " + b + ")"
	}
	if c.plan.Precision == I16 {
		return fmt.Sprintf("((%s >> 1) + (%s >> 1))", a, b)
	}
	return call(Add, a, b)
}

// moved is what emitter.move pushes.
func (c *cWriter) moved(v string, down int) string {
	switch {
	case down > 15:
		return c.splatted("0")
	case down > 0:
		return c.product(v, c.splatted(strconv.Itoa(1<<(15-down))), true)
	}
	return strings.Repeat("TWICE(", -down) + v + strings.Repeat(")", -down)
}
