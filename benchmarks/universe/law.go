package universe

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/arqon/arqon/catalog"
)

// Op is what a node of an expression does.
type Op uint8

// The operations. Numbers are part of the file format: only ever add at the
// end. Less makes a truth, Pick takes one; everything else is about numbers.
const (
	Const Op = iota // Value
	Knob            // the law's knob number Index
	Cell            // channel Index here
	Lap             // channel Index: the four neighbours minus four times the cell
	Ring            // channel Index: the mean of the 16 cells two away (Chebyshev)
	Add             // A + B
	Sub             // A − B
	Mul             // A · B
	Min             // the lower of A and B; A if they do not compare
	Max             // the higher of A and B; A if they do not compare
	Less            // A < B
	Pick            // B if A is true, else C
	Draw            // noise number Index: in (−1, 1), another one in each cell and step
	opCount
	// In fixed point only:
	slotOp  // a still node at a scale
	moveOp  // A at another scale: Index bits less
	meanOp  // channel Index, which is positive: the mean of the four neighbours
	shareOp // A, still, which is B − C: rounded like the difference of B and C rounded
	floorOp // A, or 0 where it is negative
	opEnd
)

// ops says what each operation takes.
var ops = [opEnd]struct {
	name    string
	arity   int
	indexed bool // Index names a knob or a channel
}{
	Const: {"const", 0, false}, Knob: {"knob", 0, true}, Cell: {"cell", 0, true}, Lap: {"lap", 0, true}, Ring: {"ring", 0, true},
	Add: {"add", 2, false}, Sub: {"sub", 2, false}, Mul: {"mul", 2, false}, Min: {"min", 2, false}, Max: {"max", 2, false},
	Less: {"less", 2, false}, Pick: {"pick", 3, false}, Draw: {"noise", 0, true}, slotOp: {"slot", 0, true}, moveOp: {"move", 1, false},
	meanOp: {"mean", 0, true}, shareOp: {"share", 3, false}, floorOp: {"floor", 1, false},
}

func (o Op) String() string {
	if o < opEnd {
		return ops[o].name
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// reach is how many cells away an operation looks.
func (o Op) reach() int {
	switch o {
	case Lap:
		return 1
	case Ring:
		return 2
	default:
		return 0
	}
}

// Expr is a typed expression tree. A part may be used several times.
type Expr struct {
	Op      Op
	A, B, C *Expr
	Value   float64 // of Const
	Index   int     // of Knob, Cell, Lap, Ring, Draw
}

// Channel is one number of every cell. Values start within Min to Max; int16
// kernels choose their scale by it and saturate beyond.
type Channel struct {
	Name     string
	Min, Max float64
	Next     *Expr // its value one step later
}

// LawKnob is a number of the law that may move while it runs.
type LawKnob struct {
	Name              string
	Min, Max, Default float64
	Reach             float64 // share of the range, to either side of Default, that Tier 2 may use; 0: onlineShare
}

// onlineShare is how far a knob may move while a universe steps, unless it says
// otherwise: the share of its range, to either side of its default. It is small because patterns die
// where feed and kill are a little off, and nothing brings a dead one back.
// Error budgets are about all of it, see instance.compare; an update may take a
// tenth of the way.
const (
	onlineShare = .03
	onlineSteps = 10
)

// Online are the bounds that an entry of a kernel signs for the knob; a knob
// that cannot move has none.
func (k LawKnob) Online() (catalog.Knob, bool) {
	share := k.Reach
	if share == 0 {
		share = onlineShare
	}
	far := share * (k.Max - k.Min)
	b := catalog.Bounds{Min: max(k.Min, k.Default-far), Max: min(k.Max, k.Default+far)}
	b.MaxDelta = (b.Max - b.Min) / onlineSteps
	return catalog.Knob{Name: k.Name, Default: k.Default, Bounds: b}, b.MaxDelta > 0
}

// Online are the law's knobs as an entry signs them.
func (l Law) Online() []catalog.Knob {
	var out []catalog.Knob
	for _, k := range l.Knobs {
		if x, ok := k.Online(); ok {
			out = append(out, x)
		}
	}
	return out
}

// corner are the knobs at one corner of what may move online: bit i of which
// says whether knob i is at its upper bound.
func (l Law) corner(which uint64) []float64 {
	out := l.Defaults()
	for i, k := range l.Knobs {
		if x, ok := k.Online(); ok {
			out[i] = x.Bounds.Min
			if which>>i&1 == 1 {
				out[i] = x.Bounds.Max
			}
		}
	}
	return out
}

// Law is x_{t+1} = F_θ(x_t): θ are the knobs, F one expression a channel, x a
// field on a torus. It must pass Check before anything else is done with it.
type Law struct {
	Name     string
	Channels []Channel
	Knobs    []LawKnob
	Start    Start // how a field of this law begins
}

// The limits of a law.
const (
	channelsMax = 2
	knobsMax    = 16
	nodesMax    = 96 // of the whole law after sharing
	depthMax    = 32
	magnitude   = 1 << 10 // of constants, knobs and channels
	reachMax    = 2
)

// ErrBadLaw is wrapped by every refusal of a law.
var ErrBadLaw = errors.New("bad law")

// Check refuses what is not well typed, too large, or refers to what is not
// there.
func (l Law) Check() error {
	if err := l.check(); err != nil {
		return fmt.Errorf("%w %.40q: %w", ErrBadLaw, l.Name, err)
	}
	return nil
}

func (l Law) check() error {
	if !plainName(l.Name) {
		return fmt.Errorf("name: want 1 to %d lower-case letters, digits and dashes", lawNameMax)
	}
	if n := len(l.Channels); n < 1 || n > channelsMax {
		return fmt.Errorf("%d channels, want 1 to %d", n, channelsMax)
	}
	if len(l.Knobs) > knobsMax {
		return fmt.Errorf("%d knobs, at most %d", len(l.Knobs), knobsMax)
	}
	names := map[string]bool{}
	for i, k := range l.Knobs {
		if !plainName(strings.ReplaceAll(k.Name, "_", "-")) || names[k.Name] {
			return fmt.Errorf("knobs[%d].name %.40q: want 1 to %d lower-case letters, digits, dashes and underscores, no name twice", i, k.Name, lawNameMax)
		}
		names[k.Name] = true
		if !(k.Reach >= 0 && k.Reach <= 1) {
			return fmt.Errorf("knob %s: reach %v: want a share of its range, 0 to 1", k.Name, k.Reach)
		}
		if !(k.Min <= k.Default && k.Default <= k.Max) || !small(k.Min) || !small(k.Max) {
			return fmt.Errorf("knob %s: %v to %v, default %v: want finite bounds within ±%d around the default", k.Name, k.Min, k.Max, k.Default, magnitude)
		}
	}
	if _, known := starts[l.Start]; !known {
		return fmt.Errorf("start %.40q is unknown", l.Start)
	}
	budget := exprsMax
	for _, c := range l.Channels {
		if !(c.Min < c.Max) || !small(c.Min) || !small(c.Max) {
			return fmt.Errorf("channel %s: from %v to %v: want a range within ±%d", c.Name, c.Min, c.Max, magnitude)
		}
		truth, err := l.typeOf(c.Next, depthMax, &budget)
		if err != nil {
			return fmt.Errorf("channel %s: %w", c.Name, err)
		}
		if truth {
			return fmt.Errorf("channel %s becomes a truth, want a number", c.Name)
		}
	}
	if nodes, _ := l.flatten(); len(nodes) > nodesMax {
		return fmt.Errorf("%d nodes, at most %d", len(nodes), nodesMax)
	}
	return nil
}

// exprsMax bounds the tree as written, where a shared part counts each time.
const exprsMax = 4096

func small(x float64) bool { return math.Abs(x) <= magnitude } // false for NaN

// typeOf reports whether e is a truth.
func (l Law) typeOf(e *Expr, depth int, budget *int) (truth bool, err error) {
	*budget--
	switch {
	case e == nil:
		return false, errors.New("an operand is missing")
	case depth == 0 || *budget < 0:
		return false, fmt.Errorf("deeper than %d or more than %d nodes as written", depthMax, exprsMax)
	case e.Op >= opCount:
		return false, fmt.Errorf("%v is unknown", e.Op)
	case e.Op == Const && !small(e.Value):
		return false, fmt.Errorf("constant %v: want within ±%d", e.Value, magnitude)
	case e.Op == Knob && (e.Index < 0 || e.Index >= len(l.Knobs)):
		return false, fmt.Errorf("knob %d of %d", e.Index, len(l.Knobs))
	case e.Op == Draw && (e.Index < 0 || e.Index >= noisesMax):
		return false, fmt.Errorf("noise %d of %d", e.Index, noisesMax)
	case ops[e.Op].indexed && e.Op != Knob && e.Op != Draw && (e.Index < 0 || e.Index >= len(l.Channels)):
		return false, fmt.Errorf("%v of channel %d of %d", e.Op, e.Index, len(l.Channels))
	}
	for k, operand := range []*Expr{e.A, e.B, e.C} {
		if k >= ops[e.Op].arity {
			if operand != nil {
				return false, fmt.Errorf("%v has %d operands", e.Op, ops[e.Op].arity)
			}
			continue
		}
		t, err := l.typeOf(operand, depth-1, budget)
		if err != nil {
			return false, err
		}
		if want := e.Op == Pick && k == 0; t != want {
			return false, fmt.Errorf("operand %d of %v is a %s, want a %s", k+1, e.Op, typeName(t), typeName(want))
		}
	}
	return e.Op == Less, nil
}

func typeName(truth bool) string {
	if truth {
		return "truth"
	}
	return "number"
}

// node is an operation on earlier nodes: a law without its repetitions.
type node struct {
	op      Op
	a, b, c int // operands, −1 if there is none
	value   float64
	index   int
}

// operands are the nodes that n takes.
func (n node) operands() []int { return []int{n.a, n.b, n.c}[:ops[n.op].arity] }

// flatten numbers the law's expressions so that equal ones are computed once:
// operands come before what uses them; roots are the channels' next values.
func (l Law) flatten() (nodes []node, roots []int) {
	known := map[node]int{}
	seen := map[*Expr]int{}
	var number func(e *Expr) int
	number = func(e *Expr) int {
		if e == nil {
			return -1
		}
		if i, ok := seen[e]; ok {
			return i
		}
		n := node{op: e.Op, a: number(e.A), b: number(e.B), c: number(e.C)}
		if e.Op == Const {
			n.value = e.Value
		}
		if ops[e.Op].indexed {
			n.index = e.Index
		}
		i, ok := known[n]
		if !ok {
			i = len(nodes)
			nodes = append(nodes, n)
			known[n] = i
		}
		seen[e] = i
		return i
	}
	for _, c := range l.Channels {
		roots = append(roots, number(c.Next))
	}
	return nodes, roots
}

// lowered is a law as a list of nodes: operands come before what uses them.
type lowered struct {
	nodes []node
	roots []int  // by channel: its next value
	still []bool // by node: the same everywhere, as long as no knob moves
}

// Program is a law made ready for kernels: its expressions without their
// repetitions, and the scales of int16. It does not change and may be shared.
type Program struct {
	lowered
	law    Law
	reach  int
	noises int // how many the law draws
	fixed  fixedPoint
	narrow error // why there is no int16
}

// Prepare checks the law and runs it for a while in the oracle: pure, of the
// law alone. A law that diverges is refused; every refusal wraps ErrBadLaw.
func Prepare(l Law) (*Program, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	p := &Program{law: l, reach: 1}
	p.nodes, p.roots = l.flatten()
	for _, n := range p.nodes {
		p.reach = max(p.reach, n.op.reach())
		if n.op == Draw {
			p.noises = max(p.noises, n.index+1)
		}
		still := n.op == Const || n.op == Knob
		if ops[n.op].arity > 0 {
			still = true
			for _, operand := range n.operands() {
				still = still && p.still[operand]
			}
		}
		p.still = append(p.still, still)
	}
	if err := p.narrowDown(); err != nil {
		return nil, fmt.Errorf("%w %.40q: %w", ErrBadLaw, l.Name, err)
	}
	return p, nil
}

// Law is what was prepared.
func (p *Program) Law() Law { return p.law }

// has refuses a precision that the law does not have.
func (p *Program) has(in Precision) error {
	if in == I16 && p.narrow != nil {
		return fmt.Errorf("%w %.40q in %v: %w", ErrBadLaw, p.law.Name, in, p.narrow)
	}
	return nil
}

// Defaults are the knobs' defaults, in order.
func (l Law) Defaults() []float64 {
	out := make([]float64, len(l.Knobs))
	for i, k := range l.Knobs {
		out[i] = k.Default
	}
	return out
}

// Constructors, so that a law reads like its formula.
func constant(v float64) *Expr     { return &Expr{Op: Const, Value: v} }
func knob(i int) *Expr             { return &Expr{Op: Knob, Index: i} }
func cell(ch int) *Expr            { return &Expr{Op: Cell, Index: ch} }
func lap(ch int) *Expr             { return &Expr{Op: Lap, Index: ch} }
func ring(ch int) *Expr            { return &Expr{Op: Ring, Index: ch} }
func noise(i int) *Expr            { return &Expr{Op: Draw, Index: i} }
func both(op Op, a, b *Expr) *Expr { return &Expr{Op: op, A: a, B: b} }
func add(a, b *Expr) *Expr         { return both(Add, a, b) }
func sub(a, b *Expr) *Expr         { return both(Sub, a, b) }
func mul(a, b *Expr) *Expr         { return both(Mul, a, b) }
func clamp(e *Expr, lo, hi float64) *Expr {
	return both(Min, constant(hi), both(Max, constant(lo), e))
}
