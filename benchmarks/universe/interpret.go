package universe

import (
	"context"
	"fmt"
)

// Precision is what a kernel computes in.
type Precision uint8

// The precisions.
const (
	F64 Precision = iota
	F32
	I16 // fixed point, a scale for each node of the law
	precisionCount
)

var precisions = [precisionCount]struct {
	name  string
	bytes int // a value
	lanes int // of a 128-bit vector
}{F64: {"f64", 8, 2}, F32: {"f32", 4, 4}, I16: {"i16", 2, 8}}

func (p Precision) String() string {
	if p < precisionCount {
		return precisions[p].name
	}
	return fmt.Sprintf("precision %d", uint8(p))
}

// Interpret runs the law for a number of steps on a copy of f: the oracle. It
// walks the law's nodes row by row, and rounds after every operation as the
// precision does, so that an exact kernel agrees bit by bit. F64 is the truth
// that the other precisions are compared with.
func (p *Program) Interpret(ctx context.Context, in Precision, f *Field, knobs []float64, steps int) (*Field, error) {
	if len(knobs) != len(p.law.Knobs) || len(f.Planes) != len(p.law.Channels) {
		return nil, fmt.Errorf("law %s with %d knobs and %d channels: got %d and %d", p.law.Name, len(p.law.Knobs), len(p.law.Channels), len(knobs), len(f.Planes))
	}
	return p.interpretFrom(ctx, in, f, knobs, 0, steps)
}

// interpretFrom begins with the step of a number: noise depends on it.
func (p *Program) interpretFrom(ctx context.Context, in Precision, f *Field, knobs []float64, clock uint32, steps int) (*Field, error) {
	switch in {
	case F64:
		return interpret(ctx, newInterpreter(p.lowered, float[float64]{knobs}, f), clock, steps)
	case F32:
		return interpret(ctx, newInterpreter(p.lowered, float[float32]{knobs}, f), clock, steps)
	case I16:
		if err := p.has(I16); err != nil {
			return nil, err
		}
		return interpret(ctx, newInterpreter(p.fixed.lowered, fixedRun{p.fixed, p.fixed.slotValues(knobs)}, f), clock, steps)
	default:
		return nil, fmt.Errorf("%v is unknown", in)
	}
}

// arithmetic is how values of one precision are computed.
type arithmetic[T any] interface {
	noise(h int16) T
	leaf(n node) T // of what is the same everywhere and depends on no node
	load(channel int, v float64) T
	store(channel int, v T) float64
	lap(c, left, right, up, down T) T
	mean(left, right, up, down T) T
	ring(channel int, around *[16]T) T
	apply(n node, dst, a, b, c []T) // of whole rows; an operand that n does not have is nil
}

// ringAt are the 16 cells two away, in the order in which they are added: as a
// tree, first with second, third with fourth, and so on.
var ringAt = [16][2]int{
	{-2, -2}, {-1, -2}, {0, -2}, {1, -2}, {2, -2},
	{-2, -1}, {2, -1}, {-2, 0}, {2, 0}, {-2, 1}, {2, 1},
	{-2, 2}, {-1, 2}, {0, 2}, {1, 2}, {2, 2},
}

// interpreter is a field while it is interpreted.
type interpreter[T any] struct {
	arithmetic[T]
	lowered
	rows          [][]T // of each node, in the present row
	now, next     [][]T // by channel
	width, height int
	clock         uint32  // number of the present step
	drawn         []int16 // a row of noise
}

func newInterpreter[T any](law lowered, m arithmetic[T], f *Field) *interpreter[T] {
	in := &interpreter[T]{arithmetic: m, lowered: law, width: f.Width, height: f.Height}
	for _, n := range law.nodes {
		row := make([]T, f.Width)
		if n.leaf() {
			for x := range row {
				row[x] = m.leaf(n)
			}
		}
		in.rows = append(in.rows, row)
	}
	for c, p := range f.Planes {
		now := make([]T, len(p))
		for i, v := range p {
			now[i] = m.load(c, v)
		}
		in.now, in.next = append(in.now, now), append(in.next, make([]T, len(p)))
	}
	return in
}

// leaf reports whether a node is the same everywhere and depends on no other.
func (n node) leaf() bool { return n.op == Const || n.op == Knob || n.op == slotOp }

func interpret[T any](ctx context.Context, in *interpreter[T], clock uint32, steps int) (*Field, error) {
	in.clock = clock
	for range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for y := range in.height {
			in.row(y)
			for c, root := range in.roots {
				copy(in.next[c][y*in.width:], in.rows[root])
			}
		}
		in.now, in.next = in.next, in.now
		in.clock++
	}
	out := NewField(len(in.now), in.width, in.height)
	for c, p := range in.now {
		for i, v := range p {
			out.Planes[c][i] = in.store(c, v)
		}
	}
	return out, nil
}

func (in *interpreter[T]) at(c, x, y int) T {
	return in.now[c][wrapped(y, in.height)*in.width+wrapped(x, in.width)]
}

// wrapped is a place on a circle of n that is at most n beyond its ends.
func wrapped(x, n int) int {
	switch {
	case x < 0:
		return x + n
	case x >= n:
		return x - n
	default:
		return x
	}
}

// row computes every node in row y.
func (in *interpreter[T]) row(y int) {
	operand := func(i int) []T {
		if i < 0 {
			return nil
		}
		return in.rows[i]
	}
	for i, n := range in.nodes {
		dst := in.rows[i]
		switch {
		case n.leaf():
		case n.op == Draw:
			in.draw(dst, n.index, y)
		case n.op == Cell:
			copy(dst, in.now[n.index][y*in.width:])
		case n.op == Lap:
			for x := range dst {
				dst[x] = in.lap(in.at(n.index, x, y), in.at(n.index, x-1, y), in.at(n.index, x+1, y), in.at(n.index, x, y-1), in.at(n.index, x, y+1))
			}
		case n.op == meanOp:
			for x := range dst {
				dst[x] = in.mean(in.at(n.index, x-1, y), in.at(n.index, x+1, y), in.at(n.index, x, y-1), in.at(n.index, x, y+1))
			}
		case n.op == Ring:
			var around [16]T
			for x := range dst {
				for k, d := range ringAt {
					around[k] = in.at(n.index, x+d[0], y+d[1])
				}
				dst[x] = in.ring(n.index, &around)
			}
		default:
			in.apply(n, dst, operand(n.a), operand(n.b), operand(n.c))
		}
	}
}

// float is the arithmetic of F64 and F32 with the knobs somewhere. Every
// product is rounded before it is added.
type float[T float32 | float64] struct{ knobs []float64 }

func (m float[T]) leaf(n node) T {
	if n.op == Knob {
		return T(m.knobs[n.index])
	}
	return T(n.value)
}
func (float[T]) noise(h int16) T          { return T(h) * noiseScale }
func (float[T]) load(_ int, v float64) T  { return T(v) }
func (float[T]) store(_ int, v T) float64 { return float64(v) }

func (float[T]) lap(c, left, right, up, down T) T {
	around := left + right + (up + down)
	return around - T(4*c) //nolint:unconvert // the conversion keeps the product from being fused into the difference
}

// mean is for the ranges of fixed point alone.
func (float[T]) mean(left, right, up, down T) T { return (left + right + (up + down)) / 4 }

func (float[T]) ring(_ int, around *[16]T) T {
	v := *around
	for n := 8; n > 0; n /= 2 {
		for k := range n {
			v[k] = v[2*k] + v[2*k+1]
		}
	}
	return v[0] * (1. / 16)
}

func (float[T]) apply(n node, dst, a, b, c []T) {
	switch n.op {
	case Add:
		for x := range dst {
			dst[x] = a[x] + b[x]
		}
	case Sub:
		for x := range dst {
			dst[x] = a[x] - b[x]
		}
	case Mul:
		for x := range dst {
			dst[x] = a[x] * b[x] // stored, hence rounded
		}
	case Min:
		for x := range dst {
			dst[x] = a[x]
			if b[x] < a[x] {
				dst[x] = b[x]
			}
		}
	case Max:
		for x := range dst {
			dst[x] = a[x]
			if a[x] < b[x] {
				dst[x] = b[x]
			}
		}
	case Less:
		for x := range dst {
			dst[x] = 0
			if a[x] < b[x] {
				dst[x] = 1
			}
		}
	case Pick:
		for x := range dst {
			dst[x] = c[x]
			if a[x] != 0 {
				dst[x] = b[x]
			}
		}
	case shareOp:
		copy(dst, a)
	default: // the others are the interpreter's own
	}
}
