package benchmarks

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
	Default any      // float64, int64, string, bool or []string
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
