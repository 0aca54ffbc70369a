package external

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
)

// Serve is the program's side of the protocol for a domain written in Go: it
// answers one request a line until shutdown, the end of the input, or ctx is
// done (between two requests). A main function that calls it with os.Stdin and
// os.Stdout is a complete program; nothing else may write to its output.
//
// What the protocol has no words for is lost: media types of the files when
// they are read back, and a request for some of the metrics alone. Items that
// make a line too long are left out. An error that wraps none of the
// contract's sentinels is build_failed of a build and crash of anything else.
func Serve(ctx context.Context, d benchmarks.Domain, in io.Reader, out io.Writer) error {
	s := &server{domain: d}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLineBytes+1)
	w := bufio.NewWriter(out)
	for ctx.Err() == nil && lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return errors.Join(fmt.Errorf("request %.120q: %w: %w", lines.Text(), err, ErrProtocol), s.close())
		}
		if q.Op == "shutdown" {
			break
		}
		line, err := s.line(ctx, q)
		if err == nil {
			_, err = w.Write(append(line, '\n'))
		}
		if err = errors.Join(err, w.Flush()); err != nil {
			return errors.Join(err, s.close())
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("a request of more than %d bytes: %w", maxLineBytes, ErrProtocol)
	}
	return errors.Join(err, s.close())
}

// server keeps the instance that was used last open: measurements of one
// bundle come in rows.
type server struct {
	domain benchmarks.Domain
	desc   *benchmarks.Description
	key    artifacts.Digest // of the point and the files that opened is of
	opened benchmarks.Instance
}

func (s *server) close() error {
	if s.opened == nil {
		return nil
	}
	in := s.opened
	s.opened = nil
	return in.Close()
}

// answer is a reply as it is written: fields that do not belong to an
// operation are left out.
type answer struct {
	ID        uint64                 `json:"id"`
	OK        bool                   `json:"ok"`
	Error     *wireError             `json:"error,omitempty"`
	Name      string                 `json:"name,omitempty"`
	Version   string                 `json:"version,omitempty"`
	Purpose   bool                   `json:"purpose,omitempty"`
	Space     *wireSpace             `json:"space,omitempty"`
	Metrics   []wireMetric           `json:"metrics,omitempty"`
	Scenarios []wireScenario         `json:"scenarios,omitempty"`
	Baseline  benchmarks.Point       `json:"baseline,omitempty"`
	Starts    []benchmarks.Point     `json:"starts,omitempty"`
	Type      string                 `json:"type,omitempty"`
	Files     []wireFile             `json:"files,omitempty"`
	Samples   []map[string]float64   `json:"samples,omitempty"`
	Items     []map[string][]float32 `json:"items,omitempty"`
	Checks    []benchmarks.Check     `json:"checks,omitempty"`
	Answers   []benchmarks.Golden    `json:"answers,omitempty"`
}

// line answers a request.
func (s *server) line(ctx context.Context, q request) ([]byte, error) {
	a, err := s.handle(ctx, q)
	if err != nil {
		a = answer{Error: &wireError{Code: codeOf(q.Op, err), Message: err.Error()}}
	}
	a.ID, a.OK = q.ID, err == nil
	b, err := json.Marshal(a)
	if err == nil && len(b) > maxLineBytes && a.Items != nil {
		a.Items = nil
		b, err = json.Marshal(a)
	}
	if err == nil && len(b) > maxLineBytes {
		err = fmt.Errorf("%s: an answer of %d bytes, a line holds %d", q.Op, len(b), maxLineBytes)
	}
	return b, err
}

// codeOf is the word for an error.
func codeOf(op string, err error) string {
	for _, c := range []string{"bad_candidate", "unsupported", "timeout", "build_failed", "crash"} {
		if errors.Is(err, codes[c]) {
			return c
		}
	}
	if op == "build" {
		return "build_failed"
	}
	return "crash"
}

func (s *server) handle(ctx context.Context, q request) (answer, error) {
	if s.desc == nil {
		d, err := s.domain.Describe(ctx)
		if err != nil {
			return answer{}, err
		}
		s.desc = &d
	}
	switch q.Op {
	case "hello":
		if q.Protocol != Protocol {
			return answer{}, fmt.Errorf("protocol %.40q, this program speaks %s: %w", q.Protocol, Protocol, benchmarks.ErrUnsupported)
		}
		return answer{Name: s.desc.Name, Version: s.desc.Version, Purpose: true}, nil
	case "describe":
		return described(*s.desc), nil
	case "build":
		return s.build(ctx, q)
	case "measure":
		return s.measure(ctx, q)
	case "check":
		in, err := s.open(ctx, q)
		if err != nil {
			return answer{}, err
		}
		checks, err := in.Check(ctx, seedOf(q))
		return answer{Checks: checks}, err
	case "answer":
		return s.answer(ctx, q)
	}
	return answer{}, fmt.Errorf("operation %.40q: %w", q.Op, benchmarks.ErrUnsupported)
}

func seedOf(q request) uint64 {
	if q.Seed == nil {
		return 0
	}
	return *q.Seed
}

func (s *server) build(ctx context.Context, q request) (answer, error) {
	p, err := benchmarks.DecodePoint(s.desc.Space, q.Point)
	if err != nil {
		return answer{}, err
	}
	b, err := s.domain.Build(ctx, p, seedOf(q))
	if err != nil {
		return answer{}, err
	}
	if q.Dir == "" {
		return answer{}, errors.New("dir: missing")
	}
	if err := writeOut(q.Dir, b.Files, bundleBytesMax); err != nil {
		return answer{}, err
	}
	a := answer{Type: b.Type}
	for _, f := range b.Files {
		a.Files = append(a.Files, wireFile{Path: f.Name, MediaType: f.MediaType})
	}
	return a, nil
}

func (s *server) answer(ctx context.Context, q request) (answer, error) {
	in, err := s.open(ctx, q)
	if err != nil {
		return answer{}, err
	}
	a, ok := in.(benchmarks.Answerer)
	if !ok {
		return answer{}, fmt.Errorf("%s has no golden questions: %w", s.desc.Name, benchmarks.ErrUnsupported)
	}
	answers, err := a.Answer(ctx, q.Questions...)
	return answer{Answers: answers}, err
}

func (s *server) measure(ctx context.Context, q request) (answer, error) {
	if _, ok := s.desc.Scenario(q.Scenario); !ok {
		return answer{}, fmt.Errorf("scenario %.80q: %w", q.Scenario, benchmarks.ErrUnsupported)
	}
	in, err := s.open(ctx, q)
	if err != nil {
		return answer{}, err
	}
	r := benchmarks.Request{Scenario: q.Scenario, Seed: seedOf(q), Repeats: max(q.Repeats, 1), Fidelity: q.Fidelity, Perturbation: q.Perturbation}
	switch q.Purpose {
	case "", purposeSearch:
	case purposeGates:
		r.Purpose = benchmarks.ForGates
	default:
		return answer{}, fmt.Errorf("purpose %.40q: %w", q.Purpose, benchmarks.ErrUnsupported)
	}
	if r.Fidelity == 0 {
		r.Fidelity = 1
	}
	samples, err := in.Measure(ctx, r)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, x := range samples {
		for _, m := range s.desc.Metrics {
			if v := x.Values[m.Name]; math.IsNaN(v) || math.IsInf(v, 0) {
				return answer{}, fmt.Errorf("metric %s is %v: %w", m.Name, v, errNotFinite)
			}
		}
		a.Samples = append(a.Samples, x.Values)
		if len(x.Items) > 0 {
			a.Items = append(a.Items, x.Items)
		}
	}
	if len(a.Items) != len(a.Samples) {
		a.Items = nil
	}
	return a, nil
}

// open reads the bundle in the request's directory, as a host would, unless it
// is the one that is open.
func (s *server) open(ctx context.Context, q request) (benchmarks.Instance, error) {
	p, err := benchmarks.DecodePoint(s.desc.Space, q.Point)
	if err != nil {
		return nil, err
	}
	if q.Dir == "" {
		return nil, errors.New("dir: missing")
	}
	names, err := regularFiles(q.Dir)
	if err != nil {
		return nil, err
	}
	b := benchmarks.Bundle{Point: p}
	if b.Files, err = readBack(q.Dir, names, bundleBytesMax); err != nil {
		return nil, err
	}
	id, err := json.Marshal([]any{p.Digest(), b.Refs()})
	if err != nil {
		return nil, err
	}
	key := artifacts.DigestOf(id)
	if s.opened != nil && key == s.key {
		return s.opened, nil
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	if s.opened, err = s.domain.Open(ctx, b); err != nil {
		s.opened = nil
		return nil, err
	}
	s.key = key
	return s.opened, nil
}

func regularFiles(dir string) ([]wireFile, error) {
	var out []wireFile
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if len(out) == maxFiles {
			return fmt.Errorf("%s: more than %d files", dir, maxFiles)
		}
		name, err := filepath.Rel(dir, path)
		out = append(out, wireFile{Path: filepath.ToSlash(name)})
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("dir: %w", err)
	}
	return out, err
}

// described is a description in the words of the wire.
func described(d benchmarks.Description) answer {
	a := answer{Space: &wireSpace{}, Baseline: d.Baseline, Starts: d.Starts}
	for _, p := range d.Space.Parameters {
		w := wireParameter{Name: p.Name, Kind: string(p.Kind), Min: p.Min, Max: p.Max, Choices: p.Choices, Default: p.Default, When: p.When}
		if p.Log {
			w.Scale = "log"
		}
		a.Space.Parameters = append(a.Space.Parameters, w)
	}
	for _, c := range d.Space.Constraints {
		a.Space.Constraints = append(a.Space.Constraints, wireConstraint(c))
	}
	for _, m := range d.Metrics {
		a.Metrics = append(a.Metrics, wireMetric{
			Name: m.Name, Unit: m.Unit, Direction: string(m.Direction), Kind: string(m.Kind), Role: string(m.Role),
			Compare: string(m.Compare), Tolerance: m.Tolerance, Limit: m.Limit, Range: m.Range,
		})
	}
	for _, s := range d.Scenarios {
		a.Scenarios = append(a.Scenarios, wireScenario{Name: s.Name, Features: s.Features, Success: s.Success, Tolerances: s.Tolerances, Limits: s.Limits})
	}
	return a
}
