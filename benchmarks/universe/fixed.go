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
//
// A channel that starts at 0 or above is positive: below 0 it saturates, as it
// does beyond the other end, so that means of it need no sign.
type fixedPoint struct {
	lowered
	law      lowered // what was lowered: the law, or its linear form
	channel  []int   // scale by channel
	positive []bool  // by channel
	slots    []slot  // still nodes of law as they are used
	span     []span  // by node
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
	calibratedSteps  = 16 // of the two ways to write a law, to compare them
	rangeMargin      = 1.25
)

// productScaleMin is the scale below which the parts of a product are raised
// first, as far as the values seen allow: a product has the sum of its parts'
// scales less 15, and what it loses stays lost.
const productScaleMin = 14

// fixing is a law on its way to fixed point.
type fixing struct {
	lowered // the law, or its linear form
	out     fixedPoint
	fit     []int        // by node of the law: the largest scale that holds it
	scale   []int        // by node of the law: what it was given
	at      []int        // by node of the law: its node in fixed point
	known   map[node]int // in fixed point
}

// linearNodesMax bounds the linear form: a law whose sums share much may have a
// large one.
const linearNodesMax = 4 * nodesMax

// worseMax is how many times the error of the law as written its linear form may
// have: where a constant is small, little is left of it at its channel's scale.
const worseMax = 2

// narrowDown finds how the law is computed in I16: as it is written, or in its
// linear form if that costs less and is not much less exact. Pure, of the law
// alone. The error is about a law that diverges; p.narrow says why there is no
// fixed point.
func (p *Program) narrowDown() error {
	positive := make([]bool, len(p.law.Channels))
	for c, channel := range p.law.Channels {
		positive[c] = channel.Min >= 0
	}
	ways := []lowered{p.lowered, p.linearize(positive)}
	if len(ways[1].nodes) > linearNodesMax {
		ways[1] = p.lowered
	}
	seen, err := p.calibrate(ways)
	if err != nil {
		return err
	}
	if p.fixed, p.narrow = p.fix(ways[0], seen.largest[0], positive); p.narrow != nil {
		p.fixed, p.narrow = p.fix(ways[1], seen.largest[1], positive)
		return nil
	}
	linear, err := p.fix(ways[1], seen.largest[1], positive)
	if err != nil || linear.cost() >= p.fixed.cost() {
		return nil //nolint:nilerr // the law as written is there
	}
	was, err := p.errorOf(p.fixed, seen)
	if err != nil {
		return err
	}
	is, err := p.errorOf(linear, seen)
	if err != nil {
		return err
	}
	if is <= worseMax*was {
		p.fixed = linear
	}
	return nil
}

// errorOf is the error of the pattern's statistics after calibratedSteps.
func (p *Program) errorOf(f fixedPoint, seen calibration) (float64, error) {
	got, err := interpret(context.Background(), newInterpreter(f.lowered, fixedRun{f, f.slotValues(p.law.Defaults())}, seen.start), 0, calibratedSteps)
	if err != nil {
		return 0, err
	}
	return statisticDifference(p.law, seen.result, got), nil
}

// cost is about how many vector instructions a vector takes.
func (f fixedPoint) cost() int {
	out := 0
	for i, n := range f.nodes {
		switch {
		case f.still[i]:
		case n.op == Mul, n.op == moveOp && n.index > 0:
			out += 3
		case n.op == moveOp:
			out -= n.index
		case n.op == Lap:
			out += 7
		case n.op == meanOp, n.op == Pick:
			out += 3
		case n.op == Ring:
			out += 15
		default:
			out++
		}
	}
	return out
}

// fix chooses the scales and writes the nodes: pure, of the law and the largest
// magnitude of each node alone.
func (p *Program) fix(law lowered, largest []float64, positive []bool) (fixedPoint, error) {
	x := &fixing{lowered: law, fit: make([]int, len(law.nodes)), scale: make([]int, len(law.nodes)), at: make([]int, len(law.nodes)), known: map[node]int{}}
	x.out.law, x.out.positive = law, positive
	for _, c := range p.law.Channels {
		// A value at the end of the range may lose its last bit to saturation.
		x.out.channel = append(x.out.channel, scaleFor(max(math.Abs(c.Min), math.Abs(c.Max)), 32768))
	}
	bounds := stillBounds(law, p.law.Knobs)
	for i := range law.nodes {
		if law.still[i] {
			x.fit[i] = scaleFor(max(math.Abs(bounds[i][0]), math.Abs(bounds[i][1])), 32768)
		} else {
			x.fit[i] = scaleFor(rangeMargin*largest[i], 32767)
		}
	}
	for c := range law.roots {
		x.lastSums(c, largest, max(math.Abs(p.law.Channels[c].Min), math.Abs(p.law.Channels[c].Max)))
	}
	for i, n := range law.nodes {
		if !law.still[i] {
			if err := x.node(i, n); err != nil {
				return fixedPoint{}, err
			}
		}
	}
	for c, root := range law.roots {
		x.out.roots = append(x.out.roots, x.as(root, x.out.channel[c]))
	}
	x.out.spans(bounds)
	for c, root := range x.out.roots {
		if positive[c] && x.out.span[root].lo < 0 {
			x.out.roots[c] = x.add(node{op: floorOp, a: root, b: -1, c: -1})
		}
	}
	x.out.spans(bounds)
	if len(x.out.slots) > slotsMax {
		return fixedPoint{}, fmt.Errorf("%d constants at their scales, at most %d", len(x.out.slots), slotsMax)
	}
	return x.out, nil
}

// rangeExcess is how far beyond its channel's range a sum may have been seen
// that is computed at the channel's scale all the same: it saturates where the
// channel would.
const rangeExcess = 1. / 256

// lastSums lets the sums that a channel's next value ends with have the
// channel's scale without a margin, where they stay in its range; the last one
// always, because what it becomes saturates there anyway.
func (x *fixing) lastSums(c int, largest []float64, limit float64) {
	i := x.roots[c]
	for n := x.nodes[i]; n.op == Min || n.op == Max; n = x.nodes[i] {
		switch {
		case x.still[n.a] && !x.still[n.b]:
			i = n.b
		case x.still[n.b] && !x.still[n.a]:
			i = n.a
		default:
			return
		}
	}
	for last := true; !x.still[i] && (x.nodes[i].op == Add || x.nodes[i].op == Sub); i = x.nodes[i].a {
		if last || largest[i] <= limit*(1+rangeExcess) {
			x.fit[i] = max(x.fit[i], x.out.channel[c])
		}
		last = false
	}
}

// node writes node i at a scale of its own.
func (x *fixing) node(i int, n node) error {
	at := n
	switch s := 0; n.op {
	case Draw:
		x.scale[i] = unity
	case Cell, Lap, Ring, meanOp:
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

// slotValues are the slots' integers for the knobs.
func (f *fixedPoint) slotValues(knobs []float64) []int16 {
	law := f.law
	values := make([]float64, len(law.nodes))
	for i, n := range law.nodes {
		switch {
		case !law.still[i]:
		case n.op == Const:
			values[i] = n.value
		case n.op == Knob:
			values[i] = knobs[n.index]
		case n.op == Pick:
			values[i] = values[n.c]
			if values[n.a] != 0 {
				values[i] = values[n.b]
			}
		case n.op == shareOp:
			values[i] = values[n.a]
		default:
			values[i] = stillValue(n.op, values[n.a], values[n.b])
		}
	}
	out := make([]int16, len(f.slots))
	for k, s := range f.slots {
		n := law.nodes[s.node]
		switch {
		case s.truth:
			out[k] = -int16(values[s.node])
		case n.op == shareOp:
			out[k] = narrowed(math.Round(math.Ldexp(values[n.b], s.scale)) - math.Round(math.Ldexp(values[n.c], s.scale)))
		default:
			out[k] = quantize(values[s.node], s.scale)
		}
	}
	return out
}

// calibration is what the oracle's run shows of several ways to write a law.
type calibration struct {
	largest       [][]float64 // by way and node: its largest magnitude
	start, result *Field      // at first, and after calibratedSteps
}

// calibrate runs the law in the oracle.
func (p *Program) calibrate(ways []lowered) (calibration, error) {
	out := calibration{largest: make([][]float64, len(ways))}
	for k, way := range ways {
		out.largest[k] = make([]float64, len(way.nodes))
	}
	f := p.law.NewStart(calibrationSide, calibrationSide, seed.Stream(seed.Root(1), "universe/calibration"))
	out.start = f
	knobs := p.law.Defaults()
	for steps := 0; steps < calibrationSteps; steps += calibrationEvery {
		if steps == calibratedSteps {
			out.result = f
		}
		for k, way := range ways {
			in := newInterpreter(way, float[float64]{knobs}, f)
			in.clock = uint32(steps)
			largestOf(in, out.largest[k])
		}
		var err error
		if f, err = p.interpretFrom(context.Background(), F64, f, knobs, uint32(steps), calibrationEvery); err != nil {
			return out, err
		}
		if err := f.finite(p.law); err != nil {
			return out, err
		}
	}
	return out, nil
}

// largestOf raises the largest magnitudes to those of one step.
func largestOf(in *interpreter[float64], largest []float64) {
	for y := range in.height {
		in.row(y)
		for i, row := range in.rows {
			for _, v := range row {
				largest[i] = max(largest[i], math.Abs(v))
			}
		}
	}
}
