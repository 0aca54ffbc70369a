package factory

import (
	"fmt"
	"strings"

	"github.com/arqon/arqon/gates"
)

// LoadPolicy reads a policy file as a study would: the fields that differ from
// the built-in policy, as YAML. Every refusal wraps ErrStudy and names file,
// line, column and field.
func LoadPolicy(path string) (gates.Policy, error) {
	b, err := readLimited(path, maxStudyBytes)
	if err != nil {
		return gates.Policy{}, err
	}
	return parsePolicy(path, b)
}

func parsePolicy(path string, b []byte) (gates.Policy, error) {
	p := gates.DefaultPolicy()
	doc, err := parseYAML(path, b, &p)
	if err != nil {
		return gates.Policy{}, err
	}
	if err := p.Check(); err != nil {
		rest := strings.TrimPrefix(err.Error(), "policy: ")
		name, message, _ := strings.Cut(rest, " ")
		if name = strings.TrimSuffix(name, ":"); doc.places[name].line > 0 {
			return gates.Policy{}, doc.refuseField(name, "%s", message)
		}
		return gates.Policy{}, fmt.Errorf("%s: %s: %w", path, rest, ErrStudy)
	}
	return p, nil
}
