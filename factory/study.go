package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
)

// Study says what a night shall do. It is what a person writes; see LoadStudy
// for its YAML form. The zero Study is refused by check.
type Study struct {
	Name       string    // [a-z0-9][a-z0-9-]*, at most 40
	Domain     string    // a built-in domain; exactly one of Domain, External, Command
	External   *External // a program that speaks arqon-domain/1
	Command    []byte    // a command template as YAML, for benchmarks/external
	Seed       uint64
	Workers    int // measurements at once; changes nothing but the time
	Budget     Budget
	Contexts   []ContextChoice           // empty: every context of the domain
	Metrics    map[string]MetricOverride // for every context
	Engines    []EngineShare
	Policy     gates.Policy
	Repository string // where the release goes; "": nowhere
	Channel    string // "": staging
	Candidates int    // at most, a context
	Fidelity   float64

	path         string
	source       []byte // the file as it was read
	policySource []byte // the policy file, if the study names one
	doc          *document
}

// External is a program that is a domain.
type External struct {
	Command []string      `yaml:"command" json:"command"`
	Timeout time.Duration `yaml:"timeout" json:"timeout_ns"` // of one operation; 0: the client's default
	Env     []string      `yaml:"env" json:"env,omitempty"`  // names of variables that the program may see
}

// Budget limits the search. Both limits hold.
type Budget struct {
	Evaluations int           `yaml:"evaluations" json:"evaluations"` // over all contexts and engines
	Time        time.Duration `yaml:"time" json:"time_ns"`            // 0: not limited
}

// ContextChoice is a context to search in, with what replaces the domain's own
// words about it.
type ContextChoice struct {
	Name       string             `yaml:"name" json:"name"`
	Success    string             `yaml:"success" json:"success,omitempty"`
	Tolerances map[string]float64 `yaml:"tolerances" json:"tolerances,omitempty"`
	Limits     map[string]float64 `yaml:"limits" json:"limits,omitempty"`
}

// MetricOverride replaces a metric's tolerance or limit in every context that
// does not have its own.
type MetricOverride struct {
	Tolerance *float64 `yaml:"tolerance" json:"tolerance,omitempty"`
	Limit     *float64 `yaml:"limit" json:"limit,omitempty"`
}

// EngineShare gives an engine a share of every context's evaluations. Shares
// are weights and need not add up to 1.
type EngineShare struct {
	Name  string  `yaml:"name" json:"name"`
	Share float64 `yaml:"share" json:"share"`
}

// What a study that does not say gets.
const (
	DefaultEvaluations = 600
	DefaultCandidates  = 3
	DefaultChannel     = "staging"
)

// DefaultEngines is the mix of a study that names none: a model-based search,
// a population for what does not fit a model, and a sweep so that no night
// depends on either.
func DefaultEngines() []EngineShare {
	return []EngineShare{{"cma", .5}, {"ga", .3}, {"sweep", .2}}
}

// Limits of a study.
const (
	workersMax    = 256
	candidatesMax = 64
	contextsMax   = 256
	enginesMax    = 16
	shareMax      = 1e6
)

// studyFile is the YAML form.
type studyFile struct {
	Name       string                    `yaml:"name"`
	Domain     string                    `yaml:"domain"`
	External   *External                 `yaml:"external"`
	Command    rawNode                   `yaml:"command"`
	Seed       uint64                    `yaml:"seed"`
	Workers    int                       `yaml:"workers"`
	Budget     Budget                    `yaml:"budget"`
	Contexts   []contextNode             `yaml:"contexts"`
	Metrics    map[string]MetricOverride `yaml:"metrics"`
	Engines    []EngineShare             `yaml:"engines"`
	Policy     policyNode                `yaml:"policy"`
	Repository string                    `yaml:"repository"`
	Channel    string                    `yaml:"channel"`
	Candidates int                       `yaml:"candidates_per_context"`
	Fidelity   float64                   `yaml:"fidelity"`
}

// rawNode keeps its source for somebody else to decode.
type rawNode []byte

func (r *rawNode) decodeYAML(d *document, n ast.Node, field string) error {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		*r = d.raw(n)
		return d.refuseAliases(n, field)
	}
	return d.refuse(start(n), field, "want a command template (keys and values), found %s; a program that speaks arqon-domain/1 goes under external.command", kindOf(n))
}

// contextNode is a plain name or a mapping.
type contextNode ContextChoice

func (c *contextNode) decodeYAML(d *document, n ast.Node, field string) error {
	if s, ok := text(n); ok {
		c.Name = s
		return nil
	}
	type plain ContextChoice
	var p plain
	if err := d.decodePlain(n, &p, field); err != nil {
		return err
	}
	*c = contextNode(p)
	return nil
}

// policyNode is a path or a mapping of the fields that differ from the
// built-in policy.
type policyNode struct {
	path   string
	given  bool
	policy gates.Policy
}

func (p *policyNode) decodeYAML(d *document, n ast.Node, field string) error {
	if s, ok := text(n); ok {
		p.path = s
		return nil
	}
	p.given = true
	p.policy = gates.DefaultPolicy()
	return d.decodePlain(n, &p.policy, field)
}

// LoadStudy reads and checks a study file. Every refusal wraps ErrStudy and
// names file, line, column and field. What only the domain knows (names of
// contexts and metrics) is checked by Apply.
func LoadStudy(path string) (Study, error) {
	b, err := readLimited(path, maxStudyBytes)
	if err != nil {
		return Study{}, err
	}
	return parseStudy(path, b, func(p string) (string, []byte, error) {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(path), p)
		}
		b, err := readLimited(p, maxStudyBytes)
		return p, b, err
	})
}

// readLimited reads a file of at most limit bytes; one more is an error.
func readLimited(path string, limit int64) (b []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, st.Size(), limit)
	}
	return os.ReadFile(path)
}

// parseStudy is LoadStudy without the file system: readPolicy fetches the file
// that a policy path names.
func parseStudy(file string, b []byte, readPolicy func(string) (string, []byte, error)) (Study, error) {
	raw := studyFile{
		Seed: 1, Workers: defaultWorkers(), Budget: Budget{Evaluations: DefaultEvaluations},
		Engines: DefaultEngines(), Channel: DefaultChannel, Candidates: DefaultCandidates, Fidelity: 1,
		Policy: policyNode{policy: gates.DefaultPolicy()},
	}
	doc, err := parseYAML(file, b, &raw)
	if err != nil {
		return Study{}, err
	}
	s := Study{
		Name: raw.Name, Domain: raw.Domain, External: raw.External, Command: raw.Command, Seed: raw.Seed,
		Workers: raw.Workers, Budget: raw.Budget, Metrics: raw.Metrics, Engines: raw.Engines,
		Repository: raw.Repository, Channel: raw.Channel, Candidates: raw.Candidates, Fidelity: raw.Fidelity,
		Policy: raw.Policy.policy, path: file, doc: doc, source: b,
	}
	for _, c := range raw.Contexts {
		s.Contexts = append(s.Contexts, ContextChoice(c))
	}
	if err := s.policyFrom(raw.Policy, readPolicy); err != nil {
		return Study{}, err
	}
	return s, s.check()
}

func (s *Study) policyFrom(p policyNode, read func(string) (string, []byte, error)) error {
	doc, prefix := s.doc, "policy"
	if p.path != "" {
		file, b, err := read(p.path)
		if err != nil {
			return s.doc.refuseField("policy", "%v", err)
		}
		s.Policy, s.policySource, prefix = gates.DefaultPolicy(), b, ""
		if doc, err = parseYAML(file, b, &s.Policy); err != nil {
			return err
		}
	}
	if err := s.Policy.Check(); err != nil {
		// Check's message begins with "policy: <field> …".
		rest := strings.TrimPrefix(err.Error(), "policy: ")
		name, message, _ := strings.Cut(rest, " ")
		name = strings.TrimSuffix(name, ":")
		if _, ok := doc.places[join(prefix, name)]; ok {
			return doc.refuseField(join(prefix, name), "%s", message)
		}
		return s.doc.refuseField("policy", "%s", rest)
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// check refuses what cannot be meant.
func (s Study) check() error {
	no := s.doc.refuseField
	switch {
	case s.Name == "":
		return no("name", "is missing: name the study, for example name: my-study")
	case !nameForm.MatchString(s.Name):
		return no("name", "%q: want lower-case letters, digits and dashes, at most 40", s.Name)
	case s.Workers < 1 || s.Workers > workersMax:
		return no("workers", "is %d: want 1 to %d", s.Workers, workersMax)
	case s.Budget.Evaluations < 1:
		return no("budget.evaluations", "is %d: want at least 1", s.Budget.Evaluations)
	case s.Budget.Evaluations > evaluationsMax:
		return no("budget.evaluations", "is %d: want at most %d", s.Budget.Evaluations, evaluationsMax)
	case s.Budget.Time < 0:
		return no("budget.time", "is %v: want a duration above 0, or leave it out for no limit", s.Budget.Time)
	case s.Candidates < 1 || s.Candidates > candidatesMax:
		return no("candidates_per_context", "is %d: want 1 to %d", s.Candidates, candidatesMax)
	case !(s.Fidelity > 0 && s.Fidelity <= 1):
		return no("fidelity", "is %v: want above 0 to 1", s.Fidelity)
	case s.Channel == "" || !nameForm.MatchString(s.Channel):
		return no("channel", "%q: want lower-case letters, digits and dashes, at most 40", s.Channel)
	}
	if err := s.checkSource(); err != nil {
		return err
	}
	if err := s.checkContexts(); err != nil {
		return err
	}
	return s.checkEngines()
}

func (s Study) checkSource() error {
	n := 0
	for _, given := range []bool{s.Domain != "", s.External != nil, len(s.Command) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n == 0:
		return s.doc.refuseField("domain", "is missing: name a built-in domain, or give external.command or command")
	case n > 1:
		field := "external"
		if s.External == nil || s.Domain == "" {
			field = "command"
		}
		return s.doc.refuseField(field, "only one of domain, external and command can be given")
	case s.External == nil:
		return nil
	case len(s.External.Command) == 0 || s.External.Command[0] == "":
		return s.doc.refuseField("external.command", "is empty: give the program and its arguments as a list")
	case s.External.Timeout < 0:
		return s.doc.refuseField("external.timeout", "is %v: want a duration above 0", s.External.Timeout)
	}
	return nil
}

func (s Study) checkContexts() error {
	if _, given := s.doc.place("contexts"); given && len(s.Contexts) == 0 {
		return s.doc.refuseField("contexts", "is empty: name contexts, or leave it out for all of them")
	}
	if len(s.Contexts) > contextsMax {
		return s.doc.refuseField("contexts", "%d contexts, at most %d", len(s.Contexts), contextsMax)
	}
	seen := map[string]bool{}
	for i, c := range s.Contexts {
		field := fmt.Sprintf("contexts[%d]", i)
		if c.Name == "" {
			return s.doc.refuseField(join(field, "name"), "is missing")
		}
		if seen[c.Name] {
			return s.doc.refuseField(field, "%q is listed twice", c.Name)
		}
		seen[c.Name] = true
		for _, m := range sortedKeys(c.Tolerances) {
			if c.Tolerances[m] < 0 {
				return s.doc.refuseField(join(field, "tolerances."+m), "is %v: a tolerance is 0 or more", c.Tolerances[m])
			}
		}
	}
	for _, m := range sortedKeys(s.Metrics) {
		if t := s.Metrics[m].Tolerance; t != nil && *t < 0 {
			return s.doc.refuseField("metrics."+m+".tolerance", "is %v: a tolerance is 0 or more", *t)
		}
	}
	return nil
}

func (s Study) checkEngines() error {
	if len(s.Engines) == 0 || len(s.Engines) > enginesMax {
		return s.doc.refuseField("engines", "%d engines: want 1 to %d, or leave it out for the default mix", len(s.Engines), enginesMax)
	}
	seen := map[string]bool{}
	for i, e := range s.Engines {
		field := fmt.Sprintf("engines[%d]", i)
		switch {
		case e.Name == "":
			return s.doc.refuseField(field+".name", "is missing")
		case seen[e.Name]:
			return s.doc.refuseField(field+".name", "%q is listed twice", e.Name)
		case !(e.Share > 0 && e.Share <= shareMax):
			return s.doc.refuseField(field+".share", "is %v: want above 0 to %g", e.Share, float64(shareMax))
		}
		seen[e.Name] = true
	}
	return nil
}

// CheckEngines refuses an engine that the caller does not have.
func (s Study) CheckEngines(known []string) error {
	for i, e := range s.Engines {
		ok := false
		for _, k := range known {
			ok = ok || k == e.Name
		}
		if !ok {
			return s.doc.refuseField(fmt.Sprintf("engines[%d].name", i), "unknown engine %q; known: %s", e.Name, strings.Join(known, ", "))
		}
	}
	return nil
}

// Apply returns the domain's description with the study's contexts, limits and
// tolerances in place, and refuses contexts and metrics that the domain does
// not have.
func (s Study) Apply(d benchmarks.Description) (benchmarks.Description, error) {
	if err := d.Check(); err != nil {
		return d, fmt.Errorf("%w: its description: %w", ErrDomain, err)
	}
	chosen := s.Contexts
	if len(chosen) == 0 {
		for _, sc := range d.Scenarios {
			chosen = append(chosen, ContextChoice{Name: sc.Name})
		}
	}
	for _, m := range sortedKeys(s.Metrics) {
		if err := s.knownMetric(d, m, "metrics."+m); err != nil {
			return d, err
		}
	}
	scenarios := make([]benchmarks.Scenario, 0, len(chosen))
	for i, c := range chosen {
		sc, err := s.applyContext(d, c, fmt.Sprintf("contexts[%d]", i))
		if err != nil {
			return d, err
		}
		scenarios = append(scenarios, sc)
	}
	d.Scenarios = scenarios
	if err := d.Check(); err != nil {
		return d, s.doc.refuseField("contexts", "%v", err)
	}
	return d, nil
}

func (s Study) applyContext(d benchmarks.Description, c ContextChoice, field string) (benchmarks.Scenario, error) {
	sc, ok := d.Scenario(c.Name)
	if !ok {
		names := make([]string, len(d.Scenarios))
		for i, x := range d.Scenarios {
			names[i] = x.Name
		}
		return sc, s.doc.refuseField(field, "unknown context %q; %s has: %s", c.Name, d.Name, strings.Join(names, ", "))
	}
	tolerances, limits := map[string]float64{}, map[string]float64{}
	for _, m := range sortedKeys(s.Metrics) {
		if t := s.Metrics[m].Tolerance; t != nil {
			tolerances[m] = *t
		}
		if l := s.Metrics[m].Limit; l != nil {
			limits[m] = *l
		}
	}
	for m, t := range sc.Tolerances {
		tolerances[m] = t
	}
	for m, l := range sc.Limits {
		limits[m] = l
	}
	for _, m := range sortedKeys(c.Tolerances) {
		if err := s.knownMetric(d, m, join(field, "tolerances."+m)); err != nil {
			return sc, err
		}
		tolerances[m] = c.Tolerances[m]
	}
	for _, m := range sortedKeys(c.Limits) {
		if err := s.knownMetric(d, m, join(field, "limits."+m)); err != nil {
			return sc, err
		}
		limits[m] = c.Limits[m]
	}
	if c.Success != "" {
		if err := s.knownMetric(d, c.Success, join(field, "success")); err != nil {
			return sc, err
		}
		sc.Success = c.Success
	}
	sc.Tolerances, sc.Limits = tolerances, limits
	return sc, nil
}

func (s Study) knownMetric(d benchmarks.Description, name, field string) error {
	if _, ok := d.Metric(name); ok {
		return nil
	}
	names := make([]string, len(d.Metrics))
	for i, m := range d.Metrics {
		names[i] = m.Name
	}
	return s.doc.refuseField(field, "unknown metric %q; %s has: %s", name, d.Name, strings.Join(names, ", "))
}

// Path returns the file that the study was read from, or "".
func (s Study) Path() string { return s.path }

// Digest names what the study asks for, however it is written down. The number
// of workers is left out: it changes nothing but the time.
func (s Study) Digest() (artifacts.Digest, error) {
	command := []byte("null")
	if len(s.Command) > 0 {
		var v any // not YAMLToJSON, which writes control characters that are no JSON
		err := yaml.Unmarshal(s.Command, &v)
		if err == nil {
			command, err = json.Marshal(v)
		}
		if err != nil {
			return "", s.doc.refuseField("command", "%v", err)
		}
	}
	b, err := json.Marshal(struct {
		Name, Domain        string
		External            *External
		Command             json.RawMessage
		Seed                uint64
		Budget              Budget
		Contexts            []ContextChoice
		Metrics             map[string]MetricOverride
		Engines             []EngineShare
		Policy              artifacts.Digest
		Repository, Channel string
		Candidates          int
		Fidelity            float64
	}{
		s.Name, s.Domain, s.External, command, s.Seed, s.Budget, s.Contexts, s.Metrics, s.Engines,
		s.Policy.Digest(), s.Repository, s.Channel, s.Candidates, s.Fidelity,
	})
	if err != nil {
		return "", fmt.Errorf("study %s: %w", s.Name, err)
	}
	return artifacts.DigestOf(b), nil
}

// shares splits total over weights: rounded down, the rest one by one to the
// largest remainders, earlier ones first.
func shares(total int, weights []float64) []int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	out := make([]int, len(weights))
	rest := make([]float64, len(weights))
	left := total
	for i, w := range weights {
		exact := float64(total) * w / sum
		out[i] = int(math.Floor(exact))
		rest[i] = exact - float64(out[i])
		left -= out[i]
	}
	for ; left > 0; left-- {
		best := 0
		for i := range rest {
			if rest[i] > rest[best] {
				best = i
			}
		}
		out[best]++
		rest[best] = -1
	}
	return out
}
