package benchmarks

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strconv"
)

// Constraints are written in a small closed subset of Go's expressions:
// parameters' names, numbers, strings, true and false, + - * /, comparisons,
// && || ! and parentheses. They are type-checked against the space and
// compiled to closures.
//
// A comparison that mentions an inactive parameter is undecided, and so is an
// inactive bool on its own. Undecided behaves as in Kleene's three-valued
// logic (undecided && false is false, !undecided is undecided), and a
// constraint that stays undecided holds: a constraint says nothing about what
// is switched off. Arithmetic without a finite result (a division by zero)
// violates the constraint.
const (
	maxExprBytes = 1000
	maxExprDepth = 32
)

// errInactive travels from an inactive operand up to its comparison.
var errInactive = errors.New("inactive")

type exprType int

const (
	condType exprType = iota
	numType
	strType
)

func (t exprType) String() string { return [...]string{"condition", "number", "string"}[t] }

// truth is a value of Kleene's logic, ordered so that && is min, || is max and
// ! is yes−x.
type truth int

const (
	no truth = iota
	undecided
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// node is one compiled expression: the function of its type is set.
type node struct {
	typ  exprType
	cond func(Point) (truth, error)
	num  func(Point) (float64, error)
	str  func(Point) (string, error)
}

type rule struct {
	Constraint
	holds func(Point) (truth, error)
}

type rules []rule

// compile parses and type-checks all constraints.
func (s Space) compile() (rules, error) {
	out := make(rules, 0, len(s.Constraints))
	for _, c := range s.Constraints {
		holds, err := s.parse(c.Expr)
		if err != nil {
			return nil, fmt.Errorf("constraint %.80s: %w", c.Name, err)
		}
		out = append(out, rule{c, holds})
	}
	return out, nil
}

// violated returns an error naming the first violated constraint.
func (rs rules) violated(p Point) error {
	for _, r := range rs {
		v, err := r.holds(p)
		if err != nil {
			return fmt.Errorf("constraint %s: %w", r.Name, err)
		}
		if v == no {
			return fmt.Errorf("constraint %s: %s does not hold", r.Name, r.Expr)
		}
	}
	return nil
}

func (s Space) parse(expr string) (func(Point) (truth, error), error) {
	if len(expr) > maxExprBytes {
		return nil, fmt.Errorf("%d bytes: at most %d", len(expr), maxExprBytes)
	}
	root, err := parser.ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", expr, err)
	}
	n, err := s.node(root, maxExprDepth)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", expr, err)
	}
	if n.typ != condType {
		return nil, fmt.Errorf("%.80q is a %s, want a condition", expr, n.typ)
	}
	return n.cond, nil
}

// node refuses everything outside the subset.
func (s Space) node(e ast.Expr, depth int) (node, error) {
	if depth == 0 {
		return node{}, fmt.Errorf("nested deeper than %d", maxExprDepth)
	}
	switch x := e.(type) {
	case *ast.ParenExpr:
		return s.node(x.X, depth-1)
	case *ast.BasicLit:
		return literal(x)
	case *ast.Ident:
		return s.ident(x.Name)
	case *ast.UnaryExpr:
		n, err := s.node(x.X, depth-1)
		if err != nil {
			return node{}, err
		}
		return unary(x.Op, n)
	case *ast.BinaryExpr:
		a, err := s.node(x.X, depth-1)
		if err != nil {
			return node{}, err
		}
		b, err := s.node(x.Y, depth-1)
		if err != nil {
			return node{}, err
		}
		n, err := binary(x.Op, a, b)
		return n, errors.Join(err, s.knownChoice(x.X, x.Y), s.knownChoice(x.Y, x.X))
	}
	return node{}, errors.New("use names, numbers, strings, + - * /, comparisons, && || ! and parentheses")
}

// knownChoice refuses to compare a parameter with a string it never takes.
func (s Space) knownChoice(name, text ast.Expr) error {
	id, isName := name.(*ast.Ident)
	lit, isLiteral := text.(*ast.BasicLit)
	if !isName || !isLiteral || lit.Kind != token.STRING {
		return nil
	}
	v, err := strconv.Unquote(lit.Value)
	if err != nil {
		return err
	}
	if p, ok := s.Parameter(id.Name); ok && len(p.Choices) > 0 && !slices.Contains(p.Choices, v) {
		return fmt.Errorf("%s is never %.80q, only one of %q", p.Name, v, p.Choices)
	}
	return nil
}

func literal(x *ast.BasicLit) (node, error) {
	switch x.Kind {
	case token.INT, token.FLOAT:
		f, err := strconv.ParseFloat(x.Value, 64)
		if err != nil {
			return node{}, fmt.Errorf("number %.40q: %w", x.Value, err)
		}
		return node{typ: numType, num: func(Point) (float64, error) { return f, nil }}, nil
	case token.STRING:
		v, err := strconv.Unquote(x.Value)
		if err != nil {
			return node{}, fmt.Errorf("string %.40s: %w", x.Value, err)
		}
		return node{typ: strType, str: func(Point) (string, error) { return v, nil }}, nil
	default:
		return node{}, fmt.Errorf("literal %.40s is not understood", x.Value)
	}
}

func (s Space) ident(name string) (node, error) {
	if name == "true" || name == "false" {
		v := truthOf(name == "true")
		return node{cond: func(Point) (truth, error) { return v, nil }}, nil
	}
	p, ok := s.Parameter(name)
	if !ok {
		return node{}, fmt.Errorf("unknown parameter %.80q", name)
	}
	switch p.Kind {
	case Float, Int:
		return node{typ: numType, num: func(pt Point) (float64, error) {
			if v, active := toFloat(pt[name]); active {
				return v, nil
			}
			return 0, errInactive
		}}, nil
	case Categorical, Ordinal:
		return node{typ: strType, str: func(pt Point) (string, error) {
			if v, active := pt[name].(string); active {
				return v, nil
			}
			return "", errInactive
		}}, nil
	case Bool:
		return node{cond: func(pt Point) (truth, error) {
			if v, active := pt[name].(bool); active {
				return truthOf(v), nil
			}
			return undecided, nil
		}}, nil
	case Permutation:
	}
	return node{}, fmt.Errorf("%s: a %s cannot be used in a constraint", name, p.Kind)
}

func unary(op token.Token, n node) (node, error) {
	switch {
	case op == token.NOT && n.typ == condType:
		return node{cond: func(p Point) (truth, error) {
			v, err := n.cond(p)
			return yes - v, err
		}}, nil
	case op == token.SUB && n.typ == numType:
		return node{typ: numType, num: func(p Point) (float64, error) {
			v, err := n.num(p)
			return -v, err
		}}, nil
	}
	return node{}, fmt.Errorf("%s before a %s is not understood", op, n.typ)
}

func binary(op token.Token, a, b node) (node, error) {
	if a.typ != b.typ {
		return node{}, fmt.Errorf("a %s and a %s on the two sides of %s", a.typ, b.typ, op)
	}
	var out node
	switch a.typ {
	case condType:
		out.cond = logic(op, a.cond, b.cond)
	case numType:
		if f := arithmetic(op); f != nil {
			return node{typ: numType, num: func(p Point) (float64, error) {
				v, err := both(p, a.num, b.num, f)
				if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
					err = fmt.Errorf("%s has no finite result", op)
				}
				return v, err
			}}, nil
		}
		out.cond = comparison(ordered[float64](op), a.num, b.num)
	case strType:
		if op == token.EQL || op == token.NEQ {
			out.cond = comparison(ordered[string](op), a.str, b.str)
		}
	}
	if out.cond == nil {
		return node{}, fmt.Errorf("%s between two of type %s is not understood", op, a.typ)
	}
	return out, nil
}

func logic(op token.Token, a, b func(Point) (truth, error)) func(Point) (truth, error) {
	var f func(x, y truth) truth
	switch op {
	case token.LAND:
		f = func(x, y truth) truth { return min(x, y) }
	case token.LOR:
		f = func(x, y truth) truth { return max(x, y) }
	case token.EQL, token.NEQ:
		f = func(x, y truth) truth {
			if x == undecided || y == undecided {
				return undecided
			}
			return truthOf((x == y) == (op == token.EQL))
		}
	default:
		return nil
	}
	return func(p Point) (truth, error) { return both(p, a, b, f) }
}

func arithmetic(op token.Token) func(x, y float64) float64 {
	switch op {
	case token.ADD:
		return func(x, y float64) float64 { return x + y }
	case token.SUB:
		return func(x, y float64) float64 { return x - y }
	case token.MUL:
		return func(x, y float64) float64 { return x * y }
	case token.QUO:
		return func(x, y float64) float64 { return x / y }
	default:
		return nil
	}
}

func ordered[T float64 | string](op token.Token) func(x, y T) bool {
	switch op {
	case token.EQL:
		return func(x, y T) bool { return x == y }
	case token.NEQ:
		return func(x, y T) bool { return x != y }
	case token.LSS:
		return func(x, y T) bool { return x < y }
	case token.LEQ:
		return func(x, y T) bool { return x <= y }
	case token.GTR:
		return func(x, y T) bool { return x > y }
	case token.GEQ:
		return func(x, y T) bool { return x >= y }
	default:
		return nil
	}
}

func comparison[T float64 | string](f func(x, y T) bool, a, b func(Point) (T, error)) func(Point) (truth, error) {
	if f == nil {
		return nil
	}
	return func(p Point) (truth, error) {
		v, err := both(p, a, b, f)
		if errors.Is(err, errInactive) {
			return undecided, nil
		}
		return truthOf(v), err
	}
}

// both evaluates two operands and combines them.
func both[T, R any](p Point, a, b func(Point) (T, error), f func(x, y T) R) (R, error) {
	var zero R
	x, err := a(p)
	if err != nil {
		return zero, err
	}
	y, err := b(p)
	if err != nil {
		return zero, err
	}
	return f(x, y), nil
}
