package universe

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/internal/seed"
)

// fixedPoint is how a law is computed in I16: a value v of a node is the
// integer v·2^s, saturated to 16 bits, where s is the node's scale. Sums are
// computed at the lower scale of their parts, or lower if the sum was seen to
// need it; products round as WebAssembly's q15mulr_sat_s does. What is the
// same everywhere is computed in float64 and quantized at the scale that suits
// each of its uses: a factor below 1 at 2^15 leaves the scale as it is.
type fixedPoint struct {
	lowered
	channel []int  // scale by channel
	slots   []slot // still nodes as they are used
}

// slot is a still node of the law at a scale; a truth is 0 or −1.
type slot struct {
	node, scale int
	truth       bool
}

// The scales that int16 arithmetic is tried with. A law outside them is for
// floating point only.
const (
	scaleMin = -4
	scaleMax = 24
	unity    = 15 // of a factor that leaves the other's scale as it is
	slotsMax = knobBytes / 8
)

// How the ranges of the nodes are found: the oracle runs the law from its own
// start, and each node keeps a margin over the largest value seen. Where a
// knob leads beyond, sums saturate.
const (
	calibrationSide  = 32
	calibrationSteps = 96
	calibrationEvery = 8
	rangeMargin      = 1.25
)

// productScaleMin is the scale below which the parts of a product are raised
// first, as far as the values seen allow: a product has the sum of its parts'
// scales less 15, and what it loses stays lost.
const productScaleMin = 14

// fixing is a law on its way to fixed point.
type fixing struct {
	*Program
	out   fixedPoint
	fit   []int        // by node of the law: the largest scale that holds it
	scale []int        // by node of the law: what it was given
	at    []int        // by node of the law: its node in fixed point
	known map[node]int // in fixed point
}

// fix chooses the scales and writes the nodes: pure, of the law and the largest
// magnitude of each node alone.
func (p *Program) fix(largest []float64) (fixedPoint, error) {
	x := &fixing{Program: p, fit: make([]int, len(p.nodes)), scale: make([]int, len(p.nodes)), at: make([]int, len(p.nodes)), known: map[node]int{}}
	for _, c := range p.law.Channels {
		// A value at the end of the range may lose its last bit to saturation.
		x.out.channel = append(x.out.channel, scaleFor(max(math.Abs(c.Min), math.Abs(c.Max)), 32768))
	}
	bounds := p.stillBounds()
	for i, n := range p.nodes {
		x.fit[i] = scaleFor(rangeMargin*largest[i], 32767)
		if p.still[i] {
			x.fit[i] = scaleFor(max(math.Abs(bounds[i][0]), math.Abs(bounds[i][1])), 32768)
			continue
		}
		if err := x.node(i, n); err != nil {
			return fixedPoint{}, err
		}
	}
	for c, root := range p.roots {
		x.out.roots = append(x.out.roots, x.as(root, x.out.channel[c]))
	}
	if len(x.out.slots) > slotsMax {
		return fixedPoint{}, fmt.Errorf("%d constants at their scales, at most %d", len(x.out.slots), slotsMax)
	}
	return x.out, nil
}

// node writes node i at a scale of its own.
func (x *fixing) node(i int, n node) error {
	at := n
	switch s := 0; n.op {
	case Draw:
		x.scale[i] = unity
	case Cell, Lap, Ring:
		x.scale[i] = x.out.channel[n.index]
	case Mul:
		a, b := x.factor(n.a), x.factor(n.b)
		if a+b-15 < productScaleMin {
			a, b = x.raised(n.a, a), x.raised(n.b, b)
		}
		at.a, at.b, x.scale[i] = x.as(n.a, a), x.as(n.b, b), a+b-15
	case Pick:
		s = min(x.part(n.b), x.part(n.c))
		at.a, at.b, at.c, x.scale[i] = x.as(n.a, 0), x.as(n.b, s), x.as(n.c, s), s
	default:
		s = min(x.part(n.a), x.part(n.b))
		if n.op == Add || n.op == Sub {
			s = min(s, x.fit[i])
		}
		at.a, at.b, x.scale[i] = x.as(n.a, s), x.as(n.b, s), s
		if n.op == Less {
			x.scale[i] = 0
		}
	}
	if s := x.scale[i]; s < scaleMin || s > scaleMax {
		return fmt.Errorf("%v (node %d) needs the scale 2^%d, int16 kernels have 2^%d to 2^%d", n.op, i, s, scaleMin, scaleMax)
	}
	x.at[i] = x.add(at)
	return nil
}

// factor is the scale at which node i is multiplied.
func (x *fixing) factor(i int) int {
	if x.still[i] {
		return min(unity, x.fit[i])
	}
	return x.scale[i]
}

func (x *fixing) raised(i, scale int) int {
	if x.still[i] {
		return scale
	}
	return max(scale, x.fit[i])
}

// part is the highest scale at which node i may be part of a sum.
func (x *fixing) part(i int) int {
	if x.still[i] {
		return x.fit[i]
	}
	return x.scale[i]
}

// as is node i at a scale: moved there, or a slot of its own.
func (x *fixing) as(i, scale int) int {
	if x.still[i] {
		s := slot{i, scale, x.nodes[i].op == Less}
		for k, known := range x.out.slots {
			if known == s {
				return x.add(node{op: slotOp, a: -1, b: -1, c: -1, index: k})
			}
		}
		x.out.slots = append(x.out.slots, s)
		return x.add(node{op: slotOp, a: -1, b: -1, c: -1, index: len(x.out.slots) - 1})
	}
	if x.nodes[i].op == Less || scale == x.scale[i] {
		return x.at[i]
	}
	return x.add(node{op: moveOp, a: x.at[i], b: -1, c: -1, index: x.scale[i] - scale})
}

func (x *fixing) add(n node) int {
	if i, ok := x.known[n]; ok {
		return i
	}
	x.known[n] = len(x.out.nodes)
	x.out.nodes = append(x.out.nodes, n)
	x.out.still = append(x.out.still, n.op == slotOp)
	return x.known[n]
}

// scaleFor is the largest scale at which a magnitude stays within the limit.
func scaleFor(magnitude, limit float64) int {
	s := scaleMax
	for s > scaleMin && math.Ldexp(magnitude, s) > limit {
		s--
	}
	return s
}

// stillBounds are the least and the greatest value of the still nodes, by
// interval arithmetic over the knobs' bounds.
func (p *Program) stillBounds() [][2]float64 {
	out := make([][2]float64, len(p.nodes))
	for i, n := range p.nodes {
		if !p.still[i] {
			continue
		}
		var corners []float64
		switch n.op {
		case Const:
			corners = []float64{n.value}
		case Knob:
			corners = []float64{p.law.Knobs[n.index].Min, p.law.Knobs[n.index].Max}
		case Less:
			corners = []float64{0, 1}
		case Pick:
			corners = append(out[n.b][:], out[n.c][:]...)
		default:
			for _, a := range out[n.a] {
				for _, b := range out[n.b] {
					corners = append(corners, stillValue(n.op, a, b))
				}
			}
		}
		out[i] = [2]float64{corners[0], corners[0]}
		for _, v := range corners {
			out[i] = [2]float64{min(out[i][0], v), max(out[i][1], v)}
		}
	}
	return out
}

func stillValue(op Op, a, b float64) float64 {
	switch op {
	case Add:
		return a + b
	case Sub:
		return a - b
	case Mul:
		return a * b
	case Min:
		return min(a, b)
	case Max:
		return max(a, b)
	default: // Less
		if a < b {
			return 1
		}
		return 0
	}
}

// slotValues are the slots' integers for the knobs.
func (p *Program) slotValues(knobs []float64) []int16 {
	values := make([]float64, len(p.nodes))
	for i, n := range p.nodes {
		switch {
		case !p.still[i]:
		case n.op == Const:
			values[i] = n.value
		case n.op == Knob:
			values[i] = knobs[n.index]
		case n.op == Pick:
			values[i] = values[n.c]
			if values[n.a] != 0 {
				values[i] = values[n.b]
			}
		default:
			values[i] = stillValue(n.op, values[n.a], values[n.b])
		}
	}
	out := make([]int16, len(p.fixed.slots))
	for k, s := range p.fixed.slots {
		out[k] = quantize(values[s.node], s.scale)
		if s.truth {
			out[k] = -int16(values[s.node])
		}
	}
	return out
}

// ranges finds the largest magnitude that each node takes.
func (p *Program) ranges() ([]float64, error) {
	out := make([]float64, len(p.nodes))
	f := p.law.NewStart(calibrationSide, calibrationSide, seed.Stream(seed.Root(1), "universe/calibration"))
	knobs := p.law.Defaults()
	for turn := range calibrationSteps / calibrationEvery {
		in := newInterpreter(p.lowered, float[float64]{knobs}, f)
		in.clock = uint32(turn * calibrationEvery)
		for y := range f.Height {
			in.row(y)
			for i, row := range in.rows {
				for _, v := range row {
					out[i] = max(out[i], math.Abs(v))
				}
			}
		}
		var err error
		if f, err = p.interpretFrom(context.Background(), F64, f, knobs, in.clock, calibrationEvery); err != nil {
			return nil, err
		}
		if err := f.finite(p.law); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func saturate(v int32) int16 { return int16(min(32767, max(-32768, v))) }

// quantize rounds half away from zero.
func quantize(v float64, scale int) int16 {
	return int16(min(32767, max(-32768, math.Round(math.Ldexp(v, scale)))))
}

// product is (a·b + 2^14) >> 15, saturated: q15mulr_sat_s.
func product(a, b int16) int16 { return saturate((int32(a)*int32(b) + 1<<14) >> 15) }

// moved takes bits off a value by rounding, or adds some by doubling.
func moved(v int16, down int) int16 {
	if down > 15 {
		return 0
	}
	if down > 0 {
		return product(v, 1<<(15-down))
	}
	for range -down {
		v = saturate(2 * int32(v))
	}
	return v
}

// fixedRun is the arithmetic of I16 with the knobs somewhere.
type fixedRun struct {
	channel []int
	slots   []int16
}

func (fixedRun) noise(h int16) int16            { return h }
func (m fixedRun) leaf(n node) int16            { return m.slots[n.index] }
func (m fixedRun) load(c int, v float64) int16  { return quantize(v, m.channel[c]) }
func (m fixedRun) store(c int, v int16) float64 { return math.Ldexp(float64(v), -m.channel[c]) }

// lap adds differences, which are small where the sum of the neighbours is not.
func (fixedRun) lap(c, left, right, up, down int16) int16 {
	diff := func(a int16) int16 { return saturate(int32(a) - int32(c)) }
	sum := func(a, b int16) int16 { return saturate(int32(a) + int32(b)) }
	return sum(sum(diff(left), diff(right)), sum(diff(up), diff(down)))
}

// ring halves before each addition: nothing can overflow.
func (fixedRun) ring(around *[16]int16) int16 {
	v := *around
	for n := 8; n > 0; n /= 2 {
		for k := range n {
			v[k] = v[2*k]>>1 + v[2*k+1]>>1
		}
	}
	return v[0]
}

func (fixedRun) apply(n node, dst, a, b, c []int16) {
	for x := range dst {
		switch n.op {
		case Add:
			dst[x] = saturate(int32(a[x]) + int32(b[x]))
		case Sub:
			dst[x] = saturate(int32(a[x]) - int32(b[x]))
		case Mul:
			dst[x] = product(a[x], b[x])
		case Min:
			dst[x] = min(a[x], b[x])
		case Max:
			dst[x] = max(a[x], b[x])
		case Less:
			dst[x] = 0
			if a[x] < b[x] {
				dst[x] = -1
			}
		case Pick:
			dst[x] = c[x]
			if a[x] != 0 {
				dst[x] = b[x]
			}
		case moveOp:
			dst[x] = moved(a[x], n.index)
		default: // the others are the interpreter's own
		}
	}
}
