package universe

import (
	"math"
	"slices"
)

// linearize writes a law as fixed point likes it: what a channel becomes is a
// sum of coefficients times terms, where all that is still has gone into the
// coefficients, which are computed in float64. A Laplacian becomes four times
// the mean of the neighbours less the cell, where the channel is positive: for
// Gray-Scott
//
//	u' = (1 − dt F − 4 dt Du)·u + 4 dt Du·mean(u) − dt·uvv + dt F
//	v' = (1 − dt (F+k) − 4 dt Dv)·v + 4 dt Dv·mean(v) + dt·uvv
//
// with seven products in place of ten. Terms are cells, means, rings, and
// whatever is not linear: what goes into them is left as the law has it. Pure;
// in real numbers the result is the law.
func (p *Program) linearize(positive []bool) lowered {
	r := &rewriting{from: p, positive: positive, known: map[node]int{}, sums: map[int]sumOf{}, copied: map[int]int{}}
	var roots []int
	for c, root := range p.roots {
		r.channel = c
		roots = append(roots, r.value(root))
	}
	r.out.roots = roots
	return r.out
}

// rewriting is a law on its way to its linear form.
type rewriting struct {
	from     *Program
	positive []bool // by channel
	channel  int    // whose next value is written
	out      lowered
	known    map[node]int
	bounds   [][2]float64  // by still node of the new law
	sums     map[int]sumOf // by node of from
	copied   map[int]int   // by node of from
}

// signed is a still node of the new law, or what takes it away.
type signed struct {
	minus bool
	node  int
}

// sumOf is Σ factor·term + rest, in the order in which terms came; rest.node
// is −1 if there is none.
type sumOf struct {
	terms   []int // moving nodes of the new law
	factors []signed
	rest    signed
}

// node adds a node, or finds it.
func (r *rewriting) node(n node) int {
	if i, ok := r.known[n]; ok {
		return i
	}
	still := n.op == Const || n.op == Knob
	if ops[n.op].arity > 0 {
		still = true
		for _, operand := range n.operands() {
			still = still && r.out.still[operand]
		}
	}
	r.known[n] = len(r.out.nodes)
	r.out.nodes = append(r.out.nodes, n)
	r.out.still = append(r.out.still, still)
	r.bounds = append(r.bounds, [2]float64{})
	if still {
		r.bounds[len(r.bounds)-1] = stillBound(n, r.bounds, r.from.law.Knobs)
	}
	return r.known[n]
}

func (r *rewriting) constant(v float64) int {
	return r.node(node{op: Const, a: -1, b: -1, c: -1, value: v})
}

func (r *rewriting) both(op Op, a, b int) int { return r.node(node{op: op, a: a, b: b, c: -1}) }

func (r *rewriting) leaf(op Op, channel int) int {
	return r.node(node{op: op, a: -1, b: -1, c: -1, index: channel})
}

// isConst reports whether a node of the new law is that constant.
func (r *rewriting) isConst(i int, v float64) bool {
	return r.out.nodes[i].op == Const && r.out.nodes[i].value == v
}

// plus and times are sums and products of what is still.
func (r *rewriting) plus(a, b signed) signed {
	switch {
	case a.node < 0:
		return b
	case b.node < 0:
		return a
	case r.out.nodes[a.node].op == Const && r.out.nodes[b.node].op == Const:
		return signed{node: r.constant(r.valueOf(a) + r.valueOf(b))}
	case a.minus == b.minus:
		return signed{a.minus, r.both(Add, a.node, b.node)}
	case a.minus:
		a, b = b, a
	}
	return signed{false, r.both(Sub, a.node, b.node)}
}

func (r *rewriting) times(a, b signed) signed {
	minus := a.minus != b.minus
	switch {
	case a.node < 0 || b.node < 0:
		return signed{node: -1}
	case r.isConst(a.node, 1):
		return signed{minus, b.node}
	case r.isConst(b.node, 1):
		return signed{minus, a.node}
	case r.out.nodes[a.node].op == Const && r.out.nodes[b.node].op == Const:
		return signed{minus, r.constant(r.out.nodes[a.node].value * r.out.nodes[b.node].value)}
	}
	return signed{minus, r.both(Mul, a.node, b.node)}
}

// valueOf is a constant with its sign.
func (r *rewriting) valueOf(s signed) float64 {
	if s.minus {
		return -r.out.nodes[s.node].value
	}
	return r.out.nodes[s.node].value
}

// combine is a + b, or a − b.
func (r *rewriting) combine(a, b sumOf, minus bool) sumOf {
	out := sumOf{slices.Clone(a.terms), slices.Clone(a.factors), a.rest}
	turned := func(s signed) signed { return signed{s.minus != minus, s.node} }
	for k, term := range b.terms {
		if at := slices.Index(out.terms, term); at >= 0 {
			out.factors[at] = r.plus(out.factors[at], turned(b.factors[k]))
			continue
		}
		out.terms, out.factors = append(out.terms, term), append(out.factors, turned(b.factors[k]))
	}
	out.rest = r.plus(a.rest, turned(b.rest))
	return out
}

// scaled is a sum times something still.
func (r *rewriting) scaled(a sumOf, by signed) sumOf {
	out := sumOf{terms: a.terms, rest: r.times(a.rest, by)}
	for _, f := range a.factors {
		out.factors = append(out.factors, r.times(f, by))
	}
	return out
}

// sum is node i of the law as a sum.
func (r *rewriting) sum(i int) sumOf {
	if s, ok := r.sums[i]; ok {
		return s
	}
	n := r.from.nodes[i]
	out := sumOf{rest: signed{node: -1}}
	one := func() signed { return signed{node: r.constant(1)} }
	switch {
	case r.from.still[i]:
		out.rest.node = r.plain(i)
	case n.op == Lap && r.positive[n.index]:
		four := r.constant(4)
		out.terms = []int{r.leaf(Cell, n.index), r.leaf(meanOp, n.index)}
		out.factors = []signed{{true, four}, {false, four}}
	case n.op == Add || n.op == Sub:
		out = r.combine(r.sum(n.a), r.sum(n.b), n.op == Sub)
	case n.op == Mul && r.from.still[n.a]:
		out = r.scaled(r.sum(n.b), signed{node: r.plain(n.a)})
	case n.op == Mul && r.from.still[n.b]:
		out = r.scaled(r.sum(n.a), signed{node: r.plain(n.b)})
	case n.op == Min || n.op == Max:
		out.terms, out.factors = []int{r.both(n.op, r.value(n.a), r.value(n.b))}, []signed{one()}
	default:
		out.terms, out.factors = []int{r.plain(i)}, []signed{one()}
	}
	r.sums[i] = out
	return out
}

// plain is node i as the law has it.
func (r *rewriting) plain(i int) int {
	if at, ok := r.copied[i]; ok {
		return at
	}
	n := r.from.nodes[i]
	for _, operand := range []*int{&n.a, &n.b, &n.c} {
		if *operand >= 0 {
			*operand = r.plain(*operand)
		}
	}
	r.copied[i] = r.node(n)
	return r.copied[i]
}

// value writes the sum that node i is: cell and mean first, then what is still,
// then the other terms as they came, so that what comes between is no larger
// than what comes out.
func (r *rewriting) value(i int) int {
	if r.from.still[i] {
		return r.plain(i)
	}
	s := r.sum(i)
	order := make([]int, 0, len(s.terms))
	for _, first := range []bool{true, false} {
		for k, term := range s.terms {
			if (r.out.nodes[term].op == Cell || r.out.nodes[term].op == meanOp) == first {
				order = append(order, k)
			}
		}
	}
	total, until := -1, signed{node: -1} // until: the factors of cell and mean together
	write := func(minus bool, term int) {
		switch {
		case total < 0 && minus:
			total = r.both(Sub, r.constant(0), term)
		case total < 0:
			total = term
		case minus:
			total = r.both(Sub, total, term)
		default:
			total = r.both(Add, total, term)
		}
	}
	rest := func() {
		if s.rest.node < 0 {
			return
		}
		last := s.rest
		if until.node >= 0 && r.from.law.Channels[r.channel].Max == 1 {
			last = r.share(last, r.plus(until, last), until)
		}
		write(last.minus, last.node)
		s.rest.node = -1
	}
	for _, k := range order {
		f, term := s.factors[k], s.terms[k]
		if op := r.out.nodes[term].op; total >= 0 && op != Cell && op != meanOp {
			rest()
		}
		if op := r.out.nodes[term].op; (op == Cell || op == meanOp) && r.out.nodes[term].index == r.channel && r.positive[r.channel] {
			before := until
			until = r.plus(until, f)
			f = r.share(f, until, before)
		}
		r.product(f, term, write)
	}
	rest()
	if total < 0 { // everything was taken away
		total = r.constant(0)
	}
	return total
}

// share is the part f of a sum that was `before` and is `until`: rounded so
// that the rounded parts add up to the rounded sum. Then a uniform field
// becomes what it should, and no drift builds up.
func (r *rewriting) share(f, until, before signed) signed {
	if before.node < 0 || r.isConst(f.node, 1) {
		return f
	}
	if f.minus {
		f = signed{node: r.both(Sub, r.constant(0), f.node)}
	}
	return signed{node: r.node(node{op: shareOp, a: f.node, b: r.upright(until), c: r.upright(before)})}
}

// upright is a still node without its sign.
func (r *rewriting) upright(s signed) int {
	if s.minus {
		return r.both(Sub, r.constant(0), s.node)
	}
	return s.node
}

// product writes a factor times a term as a part of the sum. What lies beyond
// 1 is the term itself and the rest of the factor; a factor that may be 1, and
// no −1, is negative, because −1 is a number of 16 bits and 1 is none.
func (r *rewriting) product(f signed, term int, write func(minus bool, term int)) {
	switch {
	case r.isConst(f.node, 0):
		return
	case r.isConst(f.node, 1):
		write(f.minus, term)
		return
	}
	lo, hi := r.bounds[f.node][0], r.bounds[f.node][1]
	if most := max(math.Abs(lo), math.Abs(hi)); most > 1 {
		for _, whole := range []float64{1, -1} {
			if math.Abs(lo-whole) <= 1 && math.Abs(hi-whole) <= 1 {
				write(f.minus != (whole < 0), term)
				f.node = r.both(Sub, f.node, r.constant(whole))
				lo, hi = lo-whole, hi-whole
				break
			}
		}
	}
	if hi == 1 && lo > -1 {
		f = signed{!f.minus, r.both(Sub, r.constant(0), f.node)}
	}
	write(f.minus, r.both(Mul, f.node, term))
}
