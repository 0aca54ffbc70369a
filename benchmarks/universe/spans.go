package universe

import "math"

// span is from the least to the greatest integer that a node of fixed point
// may be, whatever the field and wherever the knobs are in their bounds.
type span struct{ lo, hi int16 }

var (
	everything = span{math.MinInt16, math.MaxInt16}
	unsigned   = span{0, math.MaxInt16}
)

// hull is the least span around some numbers.
func hull(first int16, others ...int16) span {
	out := span{first, first}
	for _, v := range others {
		out = span{min(out.lo, v), max(out.hi, v)}
	}
	return out
}

// spans finds the span of every node, by interval arithmetic: operations and
// rounding are monotonic, so ends become ends.
func (f *fixedPoint) spans(still [][2]float64) {
	f.span = f.span[:0]
	for _, n := range f.nodes {
		out := everything
		var a, b span
		if ops[n.op].arity > 0 {
			a = f.span[n.a]
		}
		if ops[n.op].arity > 1 {
			b = f.span[n.b]
		}
		switch n.op {
		case Cell, Ring, meanOp:
			if f.positive[n.index] {
				out = unsigned
			}
		case Draw:
			out.lo = -math.MaxInt16 // odd
		case slotOp:
			out = f.slotSpan(f.slots[n.index], still)
		case Less:
			out = span{-1, 0}
		case Pick:
			out = hull(b.lo, b.hi, f.span[n.c].lo, f.span[n.c].hi)
		case moveOp:
			out = span{moved(a.lo, n.index), moved(a.hi, n.index)}
		case Add:
			out = span{saturate(int32(a.lo) + int32(b.lo)), saturate(int32(a.hi) + int32(b.hi))}
		case Sub:
			out = span{saturate(int32(a.lo) - int32(b.hi)), saturate(int32(a.hi) - int32(b.lo))}
		case Mul:
			out = hull(product(a.lo, b.lo), product(a.lo, b.hi), product(a.hi, b.lo), product(a.hi, b.hi))
		case floorOp:
			out = span{max(0, a.lo), max(0, a.hi)}
		case Min:
			out = span{min(a.lo, b.lo), min(a.hi, b.hi)}
		case Max:
			out = span{max(a.lo, b.lo), max(a.hi, b.hi)}
		default: // of a Laplacian nothing is known
		}
		f.span = append(f.span, out)
	}
}

// slotSpan is the span of a slot. What is rounded as a share may be one off.
func (f *fixedPoint) slotSpan(s slot, still [][2]float64) span {
	if s.truth {
		return span{-1, 0}
	}
	lo, hi := int32(quantize(still[s.node][0], s.scale)), int32(quantize(still[s.node][1], s.scale))
	if f.law.nodes[s.node].op == shareOp {
		lo, hi = lo-1, hi+1
	}
	return span{saturate(lo), saturate(hi)}
}

// tame reports whether a product of nodes a and b has nothing to saturate: only
// (−1)·(−1) has.
func (f *fixedPoint) tame(a, b int) bool {
	return f.span[a].lo > math.MinInt16 || f.span[b].lo > math.MinInt16
}

// stillBounds are the least and the greatest value of the still nodes, by
// interval arithmetic over the knobs' bounds.
func stillBounds(law lowered, knobs []LawKnob) [][2]float64 {
	out := make([][2]float64, len(law.nodes))
	for i, n := range law.nodes {
		if law.still[i] {
			out[i] = stillBound(n, out, knobs)
		}
	}
	return out
}

// stillBound is that of one node; before has those of its operands.
func stillBound(n node, before [][2]float64, knobs []LawKnob) [2]float64 {
	var corners []float64
	switch n.op {
	case Const:
		corners = []float64{n.value}
	case Knob:
		corners = []float64{knobs[n.index].Min, knobs[n.index].Max}
	case Less:
		corners = []float64{0, 1}
	case Pick:
		corners = append(corners, before[n.b][0], before[n.b][1], before[n.c][0], before[n.c][1])
	case shareOp:
		corners = before[n.a][:]
	default:
		for _, a := range before[n.a] {
			for _, b := range before[n.b] {
				corners = append(corners, stillValue(n.op, a, b))
			}
		}
	}
	out := [2]float64{corners[0], corners[0]}
	for _, v := range corners {
		out = [2]float64{min(out[0], v), max(out[1], v)}
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
