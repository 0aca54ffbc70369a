package benchmarks

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	"github.com/arqon/arqon/internal/seed"
)

// parameterName is what a constraint can spell; otherName also serves file
// names, command lines and tables.
var (
	parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	otherName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

func checkName(what, name string, form *regexp.Regexp) error {
	switch {
	case name == "":
		return fmt.Errorf("%s: empty", what)
	case len(name) > maxNameBytes:
		return fmt.Errorf("%s %.80q: longer than %d bytes", what, name, maxNameBytes)
	case !form.MatchString(name) || name == "true" || name == "false":
		return fmt.Errorf("%s %q: want the form %s", what, name, form)
	}
	return nil
}

// Check refuses a space that cannot be searched and names the field.
func (s Space) Check() error {
	if len(s.Parameters) == 0 {
		return errors.New("parameters: none, so there is nothing to search")
	}
	if len(s.Parameters) > maxParameters {
		return fmt.Errorf("parameters: %d, at most %d", len(s.Parameters), maxParameters)
	}
	seen := map[string]bool{}
	for i, p := range s.Parameters {
		if err := checkName(fmt.Sprintf("parameters[%d].name", i), p.Name, parameterName); err != nil {
			return err
		}
		if seen[p.Name] {
			return fmt.Errorf("parameters[%d].name: %s is given twice", i, p.Name)
		}
		seen[p.Name] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	for _, p := range s.Parameters {
		if err := s.checkWhen(p); err != nil {
			return fmt.Errorf("parameter %s: when: %w", p.Name, err)
		}
	}
	return s.checkConstraints()
}

func (p Parameter) check() error {
	switch p.Kind {
	case Float, Int:
		if err := p.checkRange(); err != nil {
			return err
		}
	case Categorical, Ordinal, Permutation:
		if err := p.checkChoices(); err != nil {
			return err
		}
	case Bool:
	default:
		return fmt.Errorf("kind: %.40q is not one of float, int, categorical, ordinal, bool, permutation", p.Kind)
	}
	if p.Kind != Float && p.Kind != Int && (p.Min != 0 || p.Max != 0 || p.Log) {
		return fmt.Errorf("min, max, scale: a %s has none", p.Kind)
	}
	if p.Default != nil {
		if _, err := p.value(p.Default); err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	return nil
}

func (p Parameter) checkRange() error {
	if math.IsNaN(p.Min) || math.IsInf(p.Min, 0) {
		return fmt.Errorf("min: %v is not finite", p.Min)
	}
	if math.IsNaN(p.Max) || math.IsInf(p.Max, 0) || math.IsInf(p.Max-p.Min, 0) {
		return fmt.Errorf("max: %v (or max−min) is not finite", p.Max)
	}
	if p.Min >= p.Max {
		return fmt.Errorf("min: %v is not below max %v", p.Min, p.Max)
	}
	if p.Log && p.Min <= 0 {
		return fmt.Errorf("min: %v, but a log scale needs min > 0", p.Min)
	}
	if p.Kind == Int {
		if p.Min != math.Trunc(p.Min) || p.Max != math.Trunc(p.Max) {
			return fmt.Errorf("min, max: %v to %v are not whole numbers", p.Min, p.Max)
		}
		if math.Abs(p.Min) > maxWhole || math.Abs(p.Max) > maxWhole {
			return fmt.Errorf("min, max: %v to %v leave ±%d; use a float", p.Min, p.Max, maxWhole)
		}
	}
	if len(p.Choices) > 0 {
		return fmt.Errorf("choices: a %s has none", p.Kind)
	}
	return nil
}

func (p Parameter) checkChoices() error {
	if len(p.Choices) < 2 || len(p.Choices) > maxChoices {
		return fmt.Errorf("choices: %d, want 2 to %d", len(p.Choices), maxChoices)
	}
	for i, c := range p.Choices {
		if c == "" || len(c) > maxChoiceBytes {
			return fmt.Errorf("choices[%d]: empty or longer than %d bytes", i, maxChoiceBytes)
		}
		if slices.Contains(p.Choices[:i], c) {
			return fmt.Errorf("choices[%d]: %q is given twice", i, c)
		}
	}
	return nil
}

// checkWhen refuses unknown names and values, cycles, and a condition that no
// point satisfies: all conditions up the chain must agree on some value.
func (s Space) checkWhen(p Parameter) error {
	possible := map[string][]any{} // parameter → values that the chain allows
	done := map[string]bool{}
	var walk func(q Parameter, trail []string) error
	walk = func(q Parameter, trail []string) error {
		if slices.Contains(trail, q.Name) {
			return fmt.Errorf("%s depends on itself: %q", q.Name, append(trail, q.Name))
		}
		if done[q.Name] {
			return nil
		}
		for _, name := range slices.Sorted(maps.Keys(q.When)) {
			other, ok := s.Parameter(name)
			if !ok {
				return fmt.Errorf("unknown parameter %.80q", name)
			}
			allowed, err := other.listed(q.When[name])
			if err != nil {
				return err
			}
			if before, ok := possible[name]; ok {
				allowed = slices.DeleteFunc(allowed, func(v any) bool {
					return !slices.ContainsFunc(before, func(w any) bool { return sameValue(v, w) })
				})
			}
			if len(allowed) == 0 {
				return fmt.Errorf("can never hold: no value of %s satisfies all of it", name)
			}
			possible[name] = allowed
			if err := walk(other, append(slices.Clone(trail), q.Name)); err != nil {
				return err
			}
		}
		done[q.Name] = true
		return nil
	}
	return walk(p, nil)
}

// listed normalizes the values of a When.
func (p Parameter) listed(values []any) ([]any, error) {
	if len(values) > maxChoices {
		return nil, fmt.Errorf("%s: %d values, at most %d", p.Name, len(values), maxChoices)
	}
	out := make([]any, 0, len(values))
	for _, v := range values {
		c, err := p.value(v)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (s Space) checkConstraints() error {
	if len(s.Constraints) > maxConstraints {
		return fmt.Errorf("constraints: %d, at most %d", len(s.Constraints), maxConstraints)
	}
	seen := map[string]bool{}
	for i, c := range s.Constraints {
		if c.Name == "" || len(c.Name) > maxChoiceBytes {
			return fmt.Errorf("constraints[%d].name: empty or longer than %d bytes", i, maxChoiceBytes)
		}
		if seen[c.Name] {
			return fmt.Errorf("constraints[%d].name: %q is given twice", i, c.Name)
		}
		seen[c.Name] = true
	}
	rules, err := s.compile()
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return nil
	}
	r := seed.Stream(1, "benchmarks/feasible")
	for range sampleTriesMax {
		if rules.violated(s.draw(r)) == nil {
			if err := rules.violated(s.Default()); err != nil {
				return fmt.Errorf("the defaults: %w", err)
			}
			return nil
		}
	}
	return fmt.Errorf("constraints: none of %d random points satisfies all of them", sampleTriesMax)
}

// Check refuses a description that cannot be measured or judged and names the
// field.
func (d Description) Check() error {
	if err := checkName("name", d.Name, otherName); err != nil {
		return err
	}
	if d.Version == "" || len(d.Version) > maxNameBytes {
		return fmt.Errorf("version: empty or longer than %d bytes", maxNameBytes)
	}
	if err := d.Space.Check(); err != nil {
		return fmt.Errorf("space: %w", err)
	}
	if len(d.Metrics) == 0 || len(d.Metrics) > maxParameters {
		return fmt.Errorf("metrics: %d, want 1 to %d", len(d.Metrics), maxParameters)
	}
	seen := map[string]bool{}
	for i, m := range d.Metrics {
		if err := checkName(fmt.Sprintf("metrics[%d].name", i), m.Name, otherName); err != nil {
			return err
		}
		if seen[m.Name] {
			return fmt.Errorf("metrics[%d].name: %s is given twice", i, m.Name)
		}
		seen[m.Name] = true
		if err := m.check(); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	if len(d.Scenarios) == 0 || len(d.Scenarios) > maxParameters {
		return fmt.Errorf("scenarios: %d, want 1 to %d", len(d.Scenarios), maxParameters)
	}
	names := map[string]bool{}
	for i, s := range d.Scenarios {
		if err := checkName(fmt.Sprintf("scenarios[%d].name", i), s.Name, otherName); err != nil {
			return err
		}
		if names[s.Name] {
			return fmt.Errorf("scenarios[%d].name: %s is given twice", i, s.Name)
		}
		names[s.Name] = true
		if err := d.checkScenario(s); err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, err)
		}
	}
	if _, err := d.Space.Normalize(d.Baseline); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	if len(d.Starts) > maxStarts {
		return fmt.Errorf("starts: %d, at most %d", len(d.Starts), maxStarts)
	}
	for i, p := range d.Starts {
		if _, err := d.Space.Normalize(p); err != nil {
			return fmt.Errorf("starts[%d]: %w", i, err)
		}
	}
	return nil
}

func (m Metric) check() error {
	if m.Direction != Lower && m.Direction != Higher {
		return fmt.Errorf("direction: %.40q is not lower or higher", m.Direction)
	}
	if m.Kind != Deterministic && m.Kind != Measured {
		return fmt.Errorf("kind: %.40q is not deterministic or measured", m.Kind)
	}
	if m.Role != Success && m.Role != GuardRole {
		return fmt.Errorf("role: %.40q is not success or guardrail", m.Role)
	}
	if m.Compare != "" && m.Compare != Ratio && m.Compare != Difference {
		return fmt.Errorf("compare: %.40q is not ratio or difference", m.Compare)
	}
	if m.Range != nil && (!finite(m.Range[0]) || !finite(m.Range[1]) || m.Range[0] >= m.Range[1]) {
		return fmt.Errorf("range: %v to %v is not a finite interval", m.Range[0], m.Range[1])
	}
	if m.Limit != nil && !finite(*m.Limit) {
		return fmt.Errorf("limit: %v is not finite", *m.Limit)
	}
	return checkTolerance("tolerance", m.Tolerance)
}

func checkTolerance(field string, t float64) error {
	if !finite(t) || t < 0 {
		return fmt.Errorf("%s: %v is not a finite number ≥ 0", field, t)
	}
	return nil
}

func (d Description) checkScenario(s Scenario) error {
	if s.Success != "" {
		if _, ok := d.Metric(s.Success); !ok {
			return fmt.Errorf("success: unknown metric %.80q", s.Success)
		}
	}
	success := 0
	for _, m := range d.In(s) {
		if m.Role == Success {
			success++
		}
	}
	if success != 1 {
		return fmt.Errorf("success: %d metrics have the role success, want exactly one", success)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tolerances)) {
		if _, ok := d.Metric(name); !ok {
			return fmt.Errorf("tolerances: unknown metric %.80q", name)
		}
		if err := checkTolerance("tolerances."+name, s.Tolerances[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Limits)) {
		if _, ok := d.Metric(name); !ok {
			return fmt.Errorf("limits: unknown metric %.80q", name)
		}
		if !finite(s.Limits[name]) {
			return fmt.Errorf("limits.%s: %v is not finite", name, s.Limits[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Features)) {
		if name == "" || !finite(s.Features[name]) {
			return fmt.Errorf("features.%s: %v is not finite, or the name is empty", name, s.Features[name])
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
