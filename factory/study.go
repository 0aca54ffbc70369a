package factory

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/gates"
)

// Study says what a night shall do. It is what a person writes; see LoadStudy
// for its YAML form. The zero Study is refused by check.
type Study struct {
	Name     string    // [a-z0-9][a-z0-9-]*, at most 40
	Domain   string    // a built-in domain; exactly one of Domain, External, Command
	External *External // a program that speaks arqon-domain/1
	Command  []byte    // a command template as YAML, for benchmarks/external
	Seed     uint64
	Workers  int // measurements at once; changes nothing but the time
	Budget   Budget
	Contexts []ContextChoice           // empty: every context of the domain
	Metrics  map[string]MetricOverride // for every context
	Engines  []EngineShare
	// Descriptors are the axes of the archive of different good points, and of
	// engine qd; nil: the engine's own choice, and no archive is written.
	Descriptors []engine.Descriptor
	Proposers   []ProposerShare // outside programs beside the engines
	Policy      gates.Policy
	Repository  string // where the release goes; "": nowhere
	Channel     string // "": staging
	Candidates  int    // at most, a context
	Fidelity    float64
	// Native lets a domain build and run machine code outside of its sandbox.
	// False is the policy: such variants are then not in the space, and refused.
	Native bool
	// Law is what a domain of laws shall look at: a built-in law's name, or the
	// path of a file, which LawFile then holds. "": the domain's own.
	Law     string
	LawFile []byte // nil: Law is a name
	// Precompiled lets artifacts carry what a compiler of the host's makes of
	// them on machines like this one. False: hosts compile.
	Precompiled bool

	path         string
	source       []byte // the file as it was read
	policySource []byte // the policy file, if the study names one
	doc          *document
}

// External is a program that is a domain. Beside a command template it holds
// the timeout and the variables of its runs, and no command of its own.
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
	Name        string                    `yaml:"name"`
	Domain      string                    `yaml:"domain"`
	External    *External                 `yaml:"external"`
	Command     rawNode                   `yaml:"command"`
	Seed        uint64                    `yaml:"seed"`
	Workers     int                       `yaml:"workers"`
	Budget      Budget                    `yaml:"budget"`
	Contexts    []contextNode             `yaml:"contexts"`
	Metrics     map[string]MetricOverride `yaml:"metrics"`
	Engines     []EngineShare             `yaml:"engines"`
	Descriptors []engine.Descriptor       `yaml:"descriptors"`
	Proposers   []ProposerShare           `yaml:"proposers"`
	Policy      policyNode                `yaml:"policy"`
	Repository  string                    `yaml:"repository"`
	Channel     string                    `yaml:"channel"`
	Candidates  int                       `yaml:"candidates_per_context"`
	Fidelity    float64                   `yaml:"fidelity"`
	Native      bool                      `yaml:"native"`
	Law         string                    `yaml:"law"`
	Precompiled bool                      `yaml:"precompiled"`
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
	return parseStudy(path, b, func(_, p string) (string, []byte, error) {
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

// parseStudy is LoadStudy without the file system: beside fetches the file that
// a field names.
func parseStudy(file string, b []byte, beside func(field, path string) (string, []byte, error)) (Study, error) {
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
		Workers: raw.Workers, Budget: raw.Budget, Metrics: raw.Metrics, Engines: raw.Engines, Descriptors: raw.Descriptors, Proposers: raw.Proposers,
		Repository: raw.Repository, Channel: raw.Channel, Candidates: raw.Candidates, Fidelity: raw.Fidelity, Native: raw.Native, Precompiled: raw.Precompiled,
		Law: raw.Law, Policy: raw.Policy.policy, path: file, doc: doc, source: b,
	}
	for _, c := range raw.Contexts {
		s.Contexts = append(s.Contexts, ContextChoice(c))
	}
	if err := s.policyFrom(raw.Policy, beside); err != nil {
		return Study{}, err
	}
	if s.Law != "" && !nameForm.MatchString(s.Law) { // a name has neither dot nor slash
		if _, s.LawFile, err = beside(fieldLaw, s.Law); err != nil {
			return Study{}, s.Refuse(fieldLaw, fmt.Errorf("%w (a law's file is looked for beside the study)", err))
		}
	}
	return s, s.check()
}

// fieldLaw is the key of Study.Law.
const fieldLaw = "law"

// Refuse says where the study's file gives a field that only the caller can
// judge, and why it is refused. The error wraps ErrStudy.
func (s Study) Refuse(field string, why error) error { return s.doc.refuseField(field, "%v", why) }

func (s *Study) policyFrom(p policyNode, read func(field, path string) (string, []byte, error)) error {
	doc, prefix := s.doc, "policy"
	if p.path != "" {
		file, b, err := read("policy", p.path)
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
	law := s.Law
	if s.LawFile != nil {
		law = string(artifacts.DigestOf(s.LawFile))
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
		Descriptors         []engine.Descriptor `json:",omitempty"` // so that older runs keep their digests
		Proposers           []ProposerShare     `json:",omitempty"`
		Native              bool                `json:",omitempty"`
		Law                 string              `json:",omitempty"` // its name, or the digest of its file
		Precompiled         bool                `json:",omitempty"`
	}{
		s.Name, s.Domain, s.External, command, s.Seed, s.Budget, s.Contexts, s.Metrics, s.Engines,
		s.Policy.Digest(), s.Repository, s.Channel, s.Candidates, s.Fidelity, s.Descriptors, s.Proposers, s.Native, law, s.Precompiled,
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
