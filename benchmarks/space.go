package benchmarks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Kind is the kind of a parameter.
type Kind string

// The kinds.
const (
	Float       Kind = "float"
	Int         Kind = "int"
	Categorical Kind = "categorical"
	Ordinal     Kind = "ordinal"
	Bool        Kind = "bool"
	Permutation Kind = "permutation"
)

// Parameter is one knob of a space.
type Parameter struct {
	Name    string
	Kind    Kind
	Min     float64  // float, int
	Max     float64  // float, int; inclusive
	Log     bool     // float, int: searched on a logarithmic scale; Min > 0
	Choices []string // categorical, ordinal (in order), permutation (the items)
	// Default is a float64, int64, string, bool or []string; nil is the lower
	// end, the first choice, false or the items in order.
	Default any
	// When makes the parameter active only if every named parameter is active
	// and has one of the listed values.
	When map[string][]any
}

// Constraint is a predicate over points: an expression such as
// "level >= 3 || window < 65536" over the parameters' names.
type Constraint struct {
	Name string
	Expr string
}

// Space is the set of points that a search may propose.
type Space struct {
	Parameters  []Parameter
	Constraints []Constraint
}

// Point assigns a value to every active parameter: float64, int64, string
// (categorical, ordinal), bool or []string (permutation). Inactive parameters
// are absent.
type Point map[string]any

// The limits of a space. Whole numbers stop at 2⁴⁰ so that the unit cube of
// Encode can still tell neighbours apart, on a logarithmic scale too.
const (
	maxParameters  = 256
	maxChoices     = 256
	maxConstraints = 256
	maxWhole       = 1 << 40
	maxNameBytes   = 64
	maxChoiceBytes = 256
	maxStarts      = 32

	// sampleTriesMax bounds the rejection that constraints cause.
	sampleTriesMax = 10_000
)

// Parameter finds a parameter by name.
func (s Space) Parameter(name string) (Parameter, bool) {
	for _, p := range s.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// Typed returns the space with every Default and every value of a When in its
// canonical Go type, whatever JSON or YAML made of them. What does not fit is
// left for Check to refuse.
func (s Space) Typed() Space {
	out := Space{Parameters: slices.Clone(s.Parameters), Constraints: slices.Clone(s.Constraints)}
	for i, p := range out.Parameters {
		if p.Default != nil {
			out.Parameters[i].Default = p.typed(p.Default)
		}
		if p.When == nil {
			continue
		}
		when := make(map[string][]any, len(p.When))
		for name, values := range p.When {
			q, _ := s.Parameter(name)
			for _, v := range values {
				when[name] = append(when[name], q.typed(v))
			}
			if values != nil && when[name] == nil {
				when[name] = []any{}
			}
		}
		out.Parameters[i].When = when
	}
	return out
}

func (p Parameter) typed(v any) any {
	if c, err := p.value(v); err == nil {
		return c
	}
	return v
}

// Default returns the normalized point of all defaults. In a space that
// passes Check it satisfies every constraint.
func (s Space) Default() Point {
	all := make(Point, len(s.Parameters))
	for _, p := range s.Parameters {
		all[p.Name] = p.fallback()
	}
	return s.activeOnly(all)
}

// Active says for every parameter of the space whether it is active at p.
// Values that p lacks count as their defaults, as in Normalize.
func (s Space) Active(p Point) map[string]bool {
	values := make(Point, len(s.Parameters))
	for _, q := range s.Parameters {
		values[q.Name] = q.fallback()
		if v, ok := p[q.Name]; ok {
			if c, err := q.value(v); err == nil {
				values[q.Name] = c
			}
		}
	}
	return s.activity(values)
}

// activity evaluates When over a complete assignment. A cycle, which Check
// refuses, counts as inactive.
func (s Space) activity(values Point) map[string]bool {
	byName := make(map[string]Parameter, len(s.Parameters))
	for _, p := range s.Parameters {
		byName[p.Name] = p
	}
	out := make(map[string]bool, len(s.Parameters))
	var active func(name string) bool
	active = func(name string) bool {
		if a, seen := out[name]; seen {
			return a
		}
		p, known := byName[name]
		out[name] = false // while we look: a cycle finds this
		if !known {
			return false
		}
		for other, allowed := range p.When {
			q := byName[other]
			if !active(other) || !q.among(values[other], allowed) {
				return false
			}
		}
		out[name] = true
		return true
	}
	for _, p := range s.Parameters {
		active(p.Name)
	}
	return out
}

func (s Space) activeOnly(values Point) Point {
	active := s.activity(values)
	out := make(Point, len(values))
	for name, v := range values {
		if active[name] {
			out[name] = v
		}
	}
	return out
}

// among reports whether v is one of the values listed in a When.
func (p Parameter) among(v any, allowed []any) bool {
	for _, a := range allowed {
		if c, err := p.value(a); err == nil && sameValue(c, v) {
			return true
		}
	}
	return false
}

// Sample draws a feasible point: every parameter uniformly on its own scale,
// rejected and drawn again while a constraint is violated. It uses the same
// number of draws for every try, whatever is active. After 10,000 tries it
// returns Default, which Check guarantees to be feasible.
func (s Space) Sample(r *rand.Rand) Point {
	rules, err := s.compile()
	if err != nil {
		return s.Default()
	}
	for range sampleTriesMax {
		if p := s.draw(r); rules.violated(p) == nil {
			return p
		}
	}
	return s.Default()
}

// draw ignores the constraints.
func (s Space) draw(r *rand.Rand) Point {
	u := make([]float64, s.Dim())
	for i := range u {
		u[i] = r.Float64()
	}
	return s.fromCube(u)
}

// fallback is the value that the parameter takes when nothing is said.
func (p Parameter) fallback() any {
	if p.Default != nil {
		if v, err := p.value(p.Default); err == nil {
			return v
		}
	}
	switch p.Kind {
	case Float:
		return p.Min
	case Int:
		return int64(p.Min)
	case Categorical, Ordinal:
		if len(p.Choices) > 0 {
			return p.Choices[0]
		}
		return ""
	case Bool:
		return false
	case Permutation:
		return slices.Clone(p.Choices)
	}
	return nil
}

// value type- and range-checks v and returns it in its canonical Go type.
func (p Parameter) value(v any) (any, error) {
	switch p.Kind {
	case Float, Int:
		return p.number(v)
	case Categorical, Ordinal:
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s: %v is a %T, want one of %q", p.Name, v, v, p.Choices)
		}
		if !slices.Contains(p.Choices, s) {
			return nil, fmt.Errorf("%s: %.80q is not one of %q", p.Name, s, p.Choices)
		}
		return s, nil
	case Bool:
		b, ok := v.(bool)
		if !ok {
			return nil, fmt.Errorf("%s: %v is a %T, want true or false", p.Name, v, v)
		}
		return b, nil
	case Permutation:
		return p.order(v)
	}
	return nil, fmt.Errorf("%s: unknown kind %.40q", p.Name, p.Kind)
}

func (p Parameter) number(v any) (any, error) {
	f, ok := toFloat(v)
	if !ok {
		return nil, fmt.Errorf("%s: %v is a %T, want a number", p.Name, v, v)
	}
	if math.IsNaN(f) || f < p.Min || f > p.Max {
		return nil, fmt.Errorf("%s: %v is outside %v to %v", p.Name, f, p.Min, p.Max)
	}
	if p.Kind == Float {
		return f + 0, nil // −0 becomes 0
	}
	if f != math.Trunc(f) {
		return nil, fmt.Errorf("%s: %v is not a whole number", p.Name, f)
	}
	return int64(f), nil
}

func (p Parameter) order(v any) (any, error) {
	var items []string
	switch list := v.(type) {
	case []string:
		items = slices.Clone(list)
	case []any:
		for _, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("%s: item %v is a %T, want a string", p.Name, e, e)
			}
			items = append(items, s)
		}
	default:
		return nil, fmt.Errorf("%s: %v is a %T, want a list of %q", p.Name, v, v, p.Choices)
	}
	if len(items) != len(p.Choices) {
		return nil, fmt.Errorf("%s: %d items, want each of %q once", p.Name, len(items), p.Choices)
	}
	have, want := slices.Sorted(slices.Values(items)), slices.Sorted(slices.Values(p.Choices))
	if !slices.Equal(have, want) {
		return nil, fmt.Errorf("%s: %q does not hold each of %q once", p.Name, items, p.Choices)
	}
	return items, nil
}
