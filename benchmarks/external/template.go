package external

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/arqon/arqon/benchmarks"
)

// Template describes a benchmark command that knows nothing of Arqon: how to
// call it and where its output holds the metrics.
//
// In an argument, {{NAME}} is replaced by the value of a parameter, and
// {{scenario}}, {{seed}}, {{fidelity}}, {{dir}} (an empty directory for this
// run) and {{feature.NAME}} (a feature of the scenario) by what they say. An
// argument that mentions an inactive parameter is left out. The command is
// executed directly: there is no shell unless the command names one.
type Template struct {
	Name    string   `yaml:"name"`
	Version string   `yaml:"version"`
	Command []string `yaml:"command"`
	// Check, optional, is a command that says whether the results are right:
	// exit 0 is yes, any other code no, and what it prints is the reason. Without
	// it nothing passes the correctness gate: a search works, a night promotes
	// nothing. It is run once, or once a scenario if it names {{scenario}} or a
	// feature.
	Check       []string         `yaml:"check,omitempty"`
	Parameters  []wireParameter  `yaml:"parameters"`
	Constraints []wireConstraint `yaml:"constraints,omitempty"`
	Metrics     []TemplateMetric `yaml:"metrics"`
	Scenarios   []wireScenario   `yaml:"scenarios"`
	Baseline    map[string]any   `yaml:"baseline"`
	// BadCandidateExits are exit codes that mean that the parameters cannot
	// work together; any other code but 0 is a crash.
	BadCandidateExits []int `yaml:"bad_candidate_exits,omitempty"`
}

// TemplateMetric is a metric and where to find it: exactly one of Regexp,
// JSON and Builtin.
type TemplateMetric struct {
	Name      string      `yaml:"name"`
	Unit      string      `yaml:"unit,omitempty"`
	Direction string      `yaml:"direction"`
	Kind      string      `yaml:"kind"`
	Role      string      `yaml:"role"`
	Compare   string      `yaml:"compare,omitempty"`
	Tolerance float64     `yaml:"tolerance,omitempty"`
	Limit     *float64    `yaml:"limit,omitempty"`
	Range     *[2]float64 `yaml:"range,omitempty"`

	Regexp  string `yaml:"regexp,omitempty"`  // its first group is the number, in the first match on stdout
	JSON    string `yaml:"json,omitempty"`    // a dotted path into stdout: results[0].mean
	Builtin string `yaml:"builtin,omitempty"` // wall_ns, cpu_ns or rss_bytes of the command itself

	Scale float64 `yaml:"scale,omitempty"` // the number is multiplied by it; 0 is 1
}

func (m TemplateMetric) metric() benchmarks.Metric {
	return wireMetric{m.Name, m.Unit, m.Direction, m.Kind, m.Role, m.Compare, m.Tolerance, m.Limit, m.Range}.metric()
}

// maxTemplateBytes bounds a template file.
const maxTemplateBytes = 1 << 20

// DecodeTemplate reads a template from YAML. Unknown and duplicate keys are
// refused with the line.
func DecodeTemplate(b []byte) (Template, error) {
	var t Template
	if len(b) > maxTemplateBytes {
		return t, fmt.Errorf("template: more than %d bytes", maxTemplateBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	if err := dec.Decode(&t); err != nil {
		return t, fmt.Errorf("template: %w", err)
	}
	var more any
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return t, errors.New("template: more than one document")
	}
	return t, nil
}

// description is what the template says about its domain, checked.
func (t Template) description() (benchmarks.Description, error) {
	d := benchmarks.Description{Name: t.Name, Version: t.Version}
	var err error
	if d.Space, err = (wireSpace{t.Parameters, t.Constraints}).space(); err != nil {
		return d, err
	}
	for _, m := range t.Metrics {
		d.Metrics = append(d.Metrics, m.metric())
	}
	for _, s := range t.Scenarios {
		d.Scenarios = append(d.Scenarios, s.scenario())
	}
	if err := d.Space.Check(); err != nil {
		return d, fmt.Errorf("space: %w", err)
	}
	if d.Baseline, err = d.Space.Normalize(t.Baseline); err != nil {
		return d, fmt.Errorf("baseline: %w", err)
	}
	return d, d.Check()
}

// placeholder matches {{NAME}}; what else looks like one is refused.
var placeholder = regexp.MustCompile(`\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}`)

const featurePrefix = "feature."

// checkCommands refuses an empty command, unknown placeholders, and a program
// that a point chooses.
func (t Template) checkCommands(d benchmarks.Description) error {
	if err := t.checkCommand(d, "command", t.Command); err != nil || t.Check == nil {
		return err
	}
	return t.checkCommand(d, "check", t.Check)
}

func (t Template) checkCommand(d benchmarks.Description, field string, argv []string) error {
	if len(argv) == 0 || argv[0] == "" {
		return errors.New(field + ": empty")
	}
	if strings.Contains(argv[0], "{{") {
		return fmt.Errorf("%s[0]: %.80q: the program itself cannot be a placeholder", field, argv[0])
	}
	for i, arg := range argv {
		if rest := placeholder.ReplaceAllString(arg, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
			return fmt.Errorf("%s[%d]: %.80q has something that is no {{name}}", field, i, arg)
		}
		for _, m := range placeholder.FindAllStringSubmatch(arg, -1) {
			if !t.knows(d, m[1]) {
				return fmt.Errorf("%s[%d]: %.80q: unknown placeholder %s", field, i, arg, m[0])
			}
		}
	}
	return nil
}

func (t Template) knows(d benchmarks.Description, name string) bool {
	if slices.Contains([]string{"scenario", "seed", "fidelity", "dir"}, name) {
		return true
	}
	if feature, ok := strings.CutPrefix(name, featurePrefix); ok {
		return !slices.ContainsFunc(d.Scenarios, func(s benchmarks.Scenario) bool {
			_, has := s.Features[feature]
			return !has
		})
	}
	_, ok := d.Space.Parameter(name)
	return ok
}

// argv fills in the placeholders of a command; values hold one string a name,
// and an argument with a name that they lack is left out.
func argv(command []string, values map[string]string) []string {
	var out []string
	for _, arg := range command {
		missing := false
		arg = placeholder.ReplaceAllStringFunc(arg, func(m string) string {
			v, ok := values[placeholder.FindStringSubmatch(m)[1]]
			missing = missing || !ok
			return v
		})
		if !missing {
			out = append(out, arg)
		}
	}
	return out
}
