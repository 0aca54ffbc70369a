package external

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
)

// Protocol is the only version that this package speaks.
const Protocol = "arqon-domain/1"

// maxLineBytes bounds a line in either direction, its newline not counted.
const maxLineBytes = 1 << 20

// ErrProtocol is wrapped when a program's answer cannot be understood. To a
// caller that only asks whether the program works, it is a crash.
var ErrProtocol = fmt.Errorf("it does not speak its protocol: %w", benchmarks.ErrCrash)

// request is one line to the program. Absent fields are not sent.
type request struct {
	ID           uint64                   `json:"id"`
	Op           string                   `json:"op"`
	Protocol     string                   `json:"protocol,omitempty"`
	Point        json.RawMessage          `json:"point,omitempty"`
	Dir          string                   `json:"dir,omitempty"`
	Scenario     string                   `json:"scenario,omitempty"`
	Seed         *uint64                  `json:"seed,omitempty"`
	Repeats      int                      `json:"repeats,omitempty"`
	Fidelity     float64                  `json:"fidelity,omitempty"`
	Perturbation *benchmarks.Perturbation `json:"perturbation,omitempty"`
	Questions    []string                 `json:"questions,omitempty"`
	Purpose      string                   `json:"purpose,omitempty"` // only to a program that said it knows the word
}

// The purposes on the wire.
const (
	purposeSearch = "search"
	purposeGates  = "gates"
)

// reply is one line from the program: the union of all answers. Unknown
// fields are ignored, so that a later program can still be used.
type reply struct {
	ID    *uint64    `json:"id"`
	OK    *bool      `json:"ok"`
	Error *wireError `json:"error"`

	Name    string `json:"name"`    // hello
	Version string `json:"version"` // hello
	Purpose bool   `json:"purpose"` // hello, optional: it tells the search's data from the gates'

	Space     *wireSpace                   `json:"space"`     // describe
	Metrics   []wireMetric                 `json:"metrics"`   // describe
	Scenarios []wireScenario               `json:"scenarios"` // describe
	Baseline  json.RawMessage              `json:"baseline"`  // describe
	Starts    []json.RawMessage            `json:"starts"`    // describe, optional
	Type      string                       `json:"type"`      // build, optional
	Files     []wireFile                   `json:"files"`     // build
	Samples   []map[string]json.RawMessage `json:"samples"`   // measure
	Items     []map[string][]float32       `json:"items"`     // measure, optional: one object a sample
	Checks    []benchmarks.Check           `json:"checks"`    // check
	Answers   []benchmarks.Golden          `json:"answers"`   // answer
}

type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type wireFile struct {
	Path      string `json:"path"`
	MediaType string `json:"media_type"`
}

// wireSpace and what it holds serve the protocol and the command template.
type wireSpace struct {
	Parameters  []wireParameter  `json:"parameters" yaml:"parameters"`
	Constraints []wireConstraint `json:"constraints" yaml:"constraints,omitempty"`
}

type wireParameter struct {
	Name    string           `json:"name" yaml:"name"`
	Kind    string           `json:"kind" yaml:"kind"`
	Min     float64          `json:"min" yaml:"min,omitempty"`
	Max     float64          `json:"max" yaml:"max,omitempty"`
	Scale   string           `json:"scale" yaml:"scale,omitempty"` // "", "linear" or "log"
	Log     bool             `json:"log" yaml:"log,omitempty"`     // the same as scale: log
	Choices []string         `json:"choices" yaml:"choices,omitempty"`
	Default any              `json:"default" yaml:"default,omitempty"`
	When    map[string][]any `json:"when" yaml:"when,omitempty"`
}

type wireConstraint struct {
	Name string `json:"name" yaml:"name"`
	Expr string `json:"expr" yaml:"expr"`
}

type wireMetric struct {
	Name      string      `json:"name" yaml:"name"`
	Unit      string      `json:"unit" yaml:"unit,omitempty"`
	Direction string      `json:"direction" yaml:"direction"`
	Kind      string      `json:"kind" yaml:"kind"`
	Role      string      `json:"role" yaml:"role"`
	Compare   string      `json:"compare" yaml:"compare,omitempty"`
	Tolerance float64     `json:"tolerance" yaml:"tolerance,omitempty"`
	Limit     *float64    `json:"limit" yaml:"limit,omitempty"`
	Range     *[2]float64 `json:"range" yaml:"range,omitempty"`
}

type wireScenario struct {
	Name       string             `json:"name" yaml:"name"`
	Features   map[string]float64 `json:"features" yaml:"features,omitempty"`
	Success    string             `json:"success" yaml:"success,omitempty"`
	Tolerances map[string]float64 `json:"tolerances" yaml:"tolerances,omitempty"`
	Limits     map[string]float64 `json:"limits" yaml:"limits,omitempty"`
}

func (s wireSpace) space() (benchmarks.Space, error) {
	var out benchmarks.Space
	for _, w := range s.Parameters {
		if w.Scale != "" && w.Scale != "linear" && w.Scale != "log" {
			return out, fmt.Errorf("parameter %.80s: scale: %.40q is not linear or log", w.Name, w.Scale)
		}
		if w.Scale == "linear" && w.Log {
			return out, fmt.Errorf("parameter %.80s: scale is linear and log is true: say one of them", w.Name)
		}
		out.Parameters = append(out.Parameters, benchmarks.Parameter{
			Name: w.Name, Kind: benchmarks.Kind(w.Kind), Min: w.Min, Max: w.Max, Log: w.Log || w.Scale == "log",
			Choices: w.Choices, Default: w.Default, When: w.When,
		})
	}
	for _, c := range s.Constraints {
		out.Constraints = append(out.Constraints, benchmarks.Constraint{Name: c.Name, Expr: c.Expr})
	}
	return out.Typed(), nil
}

func (m wireMetric) metric() benchmarks.Metric {
	return benchmarks.Metric{
		Name: m.Name, Unit: m.Unit, Direction: benchmarks.Direction(m.Direction), Kind: benchmarks.MetricKind(m.Kind),
		Role: benchmarks.Role(m.Role), Compare: benchmarks.Compare(m.Compare),
		Tolerance: m.Tolerance, Limit: m.Limit, Range: m.Range,
	}
}

func (s wireScenario) scenario() benchmarks.Scenario {
	return benchmarks.Scenario{Name: s.Name, Features: s.Features, Success: s.Success, Tolerances: s.Tolerances, Limits: s.Limits}
}

// description turns the answers to hello and describe into a checked
// description with a normalized baseline.
func description(hello, r reply) (benchmarks.Description, error) {
	d := benchmarks.Description{Name: hello.Name, Version: hello.Version}
	if r.Space == nil {
		return d, errors.New("space: missing")
	}
	var err error
	if d.Space, err = r.Space.space(); err != nil {
		return d, fmt.Errorf("space: %w", err)
	}
	for _, m := range r.Metrics {
		d.Metrics = append(d.Metrics, m.metric())
	}
	for _, s := range r.Scenarios {
		d.Scenarios = append(d.Scenarios, s.scenario())
	}
	if err := d.Space.Check(); err != nil {
		return d, fmt.Errorf("space: %w", err)
	}
	if len(r.Baseline) == 0 {
		return d, errors.New("baseline: missing")
	}
	if d.Baseline, err = benchmarks.DecodePoint(d.Space, r.Baseline); err != nil {
		return d, fmt.Errorf("baseline: %w", err)
	}
	for i, raw := range r.Starts {
		p, err := benchmarks.DecodePoint(d.Space, raw)
		if err != nil {
			return d, fmt.Errorf("starts[%d]: %w", i, err)
		}
		d.Starts = append(d.Starts, p)
	}
	return d, d.Check()
}

// bareNumber finds what Python and JavaScript print for a number that JSON
// cannot say, with the name before it.
var bareNumber = regexp.MustCompile(`"([^"\\]{1,64})"\s*:\s*(-?(?:NaN|nan|Infinity|inf)\b)`)

// decodeReply reads one line (without its newline) and checks that it answers
// the request id. A program's own refusal comes back as an error wrapping the
// sentinel of its code; everything else that is wrong wraps ErrProtocol.
func decodeReply(line []byte, id uint64) (reply, error) {
	var r reply
	if len(line) > maxLineBytes {
		return r, fmt.Errorf("a line of more than %d bytes: %w", maxLineBytes, ErrProtocol)
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		if m := bareNumber.FindSubmatch(line); m != nil {
			return r, fmt.Errorf("metric %s is %s: %w", m[1], m[2], errNotFinite)
		}
		return r, fmt.Errorf("line %.120q: %w: %w", line, err, ErrProtocol)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("line %.120q: data after the object: %w", line, ErrProtocol)
	}
	if r.ID == nil || *r.ID != id {
		return r, fmt.Errorf("line %.120q: want the id %d: %w", line, id, ErrProtocol)
	}
	if r.OK == nil {
		return r, fmt.Errorf("line %.120q: no \"ok\": %w", line, ErrProtocol)
	}
	if *r.OK {
		return r, nil
	}
	if r.Error == nil {
		return r, fmt.Errorf("line %.120q: not ok but no \"error\": %w", line, ErrProtocol)
	}
	sentinel, known := codes[r.Error.Code]
	if !known {
		return r, fmt.Errorf("unknown error code %.40q (%.400s): %w", r.Error.Code, r.Error.Message, ErrProtocol)
	}
	return r, &refusal{sentinel, r.Error.Message}
}

// errNotFinite is a well-framed answer without a number that somebody can use.
// The program may go on; the point is one that cannot be measured.
var errNotFinite = fmt.Errorf("every metric must be a finite number: %w", benchmarks.ErrBadCandidate)

var codes = map[string]error{
	"bad_candidate": benchmarks.ErrBadCandidate,
	"build_failed":  benchmarks.ErrBuildFailed,
	"timeout":       benchmarks.ErrTimeout,
	"crash":         benchmarks.ErrCrash,
	"unsupported":   benchmarks.ErrUnsupported,
}

// refusal is what the program itself answered: the process is fine.
type refusal struct {
	sentinel error
	message  string
}

func (r *refusal) Error() string { return fmt.Sprintf("%v: %.1000s", r.sentinel, r.message) }
func (r *refusal) Unwrap() error { return r.sentinel }

// sample reads the declared metrics of one repeat; others are ignored.
func sample(metrics []benchmarks.Metric, raw map[string]json.RawMessage) (benchmarks.Sample, error) {
	out := benchmarks.Sample{Values: make(map[string]float64, len(metrics))}
	for _, m := range metrics {
		b, ok := raw[m.Name]
		if !ok {
			return out, fmt.Errorf("metric %s is missing: %w", m.Name, errNotFinite)
		}
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return out, fmt.Errorf("metric %s is %.40s: %w", m.Name, b, errNotFinite)
		}
		out.Values[m.Name] = v
	}
	return out, nil
}
