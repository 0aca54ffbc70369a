package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// Protocol is the name of the line protocol: one JSON object a line, "type"
// first. The simulator (or a benchmark) is the asker's world, the judge
// decides:
//
//	▶ {"type":"hello","protocol":"gatesim/1","seed":1}
//	◀ {"type":"hello","name":"arqon"}
//	▶ {"type":"night","night":0,"goal":"better","direction":"lower","metric":"latency_ns",
//	   "tolerance":0.02,"mde":0.03,"alpha":0.01,"candidates":[0,1,2]}
//	◀ {"type":"measure","id":2,"arms":"ABBAAB"}        A baseline, B candidate, in this order
//	▶ {"type":"samples","id":2,"values":[…]}           in the same order
//	◀ {"type":"decision","id":2,"promote":true,"estimate":-0.031}
//	◀ {"type":"night_done"}
//
// Fields with a zero value may be absent. The end of the input is the end.
const Protocol = "gatesim/1"

// lineMost bounds one line, in bytes: a night of candidatesMost ids, or
// pairsAtOnce pairs, with room to spare.
const lineMost = 1 << 20

// ErrProtocol is wrapped by every refusal of what the other side said.
var ErrProtocol = errors.New("not " + Protocol)

// message is every line that the judge reads.
type message struct {
	Type       string    `json:"type"`
	Protocol   string    `json:"protocol"`
	Seed       uint64    `json:"seed"`
	Night      int       `json:"night"`
	Goal       string    `json:"goal"`
	Direction  string    `json:"direction"`
	Metric     string    `json:"metric"`
	Tolerance  float64   `json:"tolerance"`
	MDE        float64   `json:"mde"`
	Alpha      float64   `json:"alpha"`
	Candidates []int     `json:"candidates"`
	ID         int       `json:"id"`
	Values     []loosely `json:"values"`
}

// loosely is a sample that need not be a number: whatever is none becomes NaN,
// which costs its candidate the promotion and nobody else anything.
type loosely float64

// UnmarshalJSON never fails.
func (l *loosely) UnmarshalJSON(b []byte) error {
	var x float64
	if err := json.Unmarshal(b, &x); err != nil || bytes.Equal(b, []byte("null")) {
		x = math.NaN()
	}
	*l = loosely(x)
	return nil
}

func floats(ls []loosely) []float64 {
	out := make([]float64, len(ls))
	for i, l := range ls {
		out[i] = float64(l)
	}
	return out
}

// lines reads bounded lines and counts them.
type lines struct {
	r *bufio.Reader
	n int
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next is one line without its end; io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	l.n++
	var out []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if len(out)+len(part) > lineMost {
			return nil, fmt.Errorf("line %d is longer than %d bytes: %w", l.n, lineMost, ErrProtocol)
		}
		out = append(out, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if len(bytes.TrimSpace(out)) == 0 {
				return nil, io.EOF
			}
			return bytes.TrimSpace(out), nil
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		case len(bytes.TrimSpace(out)) == 0:
			l.n++
			out = out[:0]
		default:
			return bytes.TrimSpace(out), nil
		}
	}
}

// read decodes the next line. NaN and Infinity, which JSON does not have but
// many encoders write, are read as null.
func (l *lines) read(v any) error {
	line, err := l.next()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		if json.Unmarshal(withoutNaN(line), v) == nil {
			return nil
		}
		return fmt.Errorf("line %d: %w: %w", l.n, err, ErrProtocol)
	}
	return nil
}

// withoutNaN replaces the bare words NaN, Infinity and -Infinity by null.
func withoutNaN(line []byte) []byte {
	var out []byte
	quoted := false
	for i := 0; i < len(line); {
		rest := line[i:]
		switch {
		case quoted && rest[0] == '\\' && len(rest) > 1:
			out = append(out, rest[:2]...)
			i += 2
			continue
		case rest[0] == '"':
			quoted = !quoted
		case !quoted:
			if n := len(notANumber(rest)); n > 0 {
				out = append(out, "null"...)
				i += n
				continue
			}
		}
		out = append(out, rest[0])
		i++
	}
	return out
}

func notANumber(b []byte) []byte {
	for _, w := range []string{"NaN", "nan", "-NaN", "-nan", "Infinity", "-Infinity", "inf", "-inf", "Inf", "-Inf", "+Inf"} {
		if bytes.HasPrefix(b, []byte(w)) {
			return b[:len(w)]
		}
	}
	return nil
}

// writer sends one object a line and does not keep any back.
type writer struct{ w *bufio.Writer }

func (w writer) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := w.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return w.w.Flush()
}

type sayHello struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

type sayMeasure struct {
	Type string `json:"type"`
	ID   int    `json:"id"`
	Arms string `json:"arms"`
}

type sayDecision struct {
	Type     string  `json:"type"`
	ID       int     `json:"id"`
	Promote  bool    `json:"promote"`
	Estimate float64 `json:"estimate"`
}

type sayDone struct {
	Type string `json:"type"`
}

// Serve judges the nights of the other side until its input ends. tell, which
// may be nil, hears the reason of every decision.
func Serve(in io.Reader, out io.Writer, tell func(night int, o Outcome)) error {
	s := server{in: newLines(in), out: writer{bufio.NewWriter(out)}, tell: tell}
	err := s.serve()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type server struct {
	in    *lines
	out   writer
	tell  func(night int, o Outcome)
	judge Judge
}

func (s *server) serve() error {
	var hello message
	if err := s.in.read(&hello); err != nil {
		return err
	}
	if hello.Type != "hello" {
		return fmt.Errorf("line %d: type %q before hello: %w", s.in.n, hello.Type, ErrProtocol)
	}
	if hello.Protocol != Protocol {
		return fmt.Errorf("line %d: protocol %q: %w", s.in.n, hello.Protocol, ErrProtocol)
	}
	s.judge.Seed = seed.Root(hello.Seed)
	if err := s.out.send(sayHello{"hello", "arqon"}); err != nil {
		return err
	}
	for {
		var m message
		if err := s.in.read(&m); err != nil {
			return err
		}
		if m.Type != "night" {
			return fmt.Errorf("line %d: type %q where a night was expected: %w", s.in.n, m.Type, ErrProtocol)
		}
		if err := s.night(m); err != nil {
			return err
		}
	}
}

// question reads what a night asks.
func question(m message) (evalue.Question, error) {
	q := evalue.Question{Tolerance: m.Tolerance, MinEffect: m.MDE, Alpha: m.Alpha, Candidates: len(m.Candidates)}
	switch m.Goal {
	case "better":
		q.Goal = evalue.Better
	case "noninferior":
		q.Goal = evalue.NotWorse
	default:
		return q, fmt.Errorf("goal %q: want better or noninferior: %w", m.Goal, ErrProtocol)
	}
	switch m.Direction {
	case "lower":
	case "higher":
		q.Higher = true
	default:
		return q, fmt.Errorf("direction %q: want lower or higher: %w", m.Direction, ErrProtocol)
	}
	if len(m.Candidates) > candidatesMost {
		return q, fmt.Errorf("%d candidates: at most %d: %w", len(m.Candidates), candidatesMost, ErrProtocol)
	}
	seen := map[int]bool{}
	for _, id := range m.Candidates {
		if seen[id] {
			return q, fmt.Errorf("candidate %d twice: %w", id, ErrProtocol)
		}
		seen[id] = true
	}
	if len(m.Candidates) == 0 {
		return q, nil
	}
	return q, q.Check()
}

func (s *server) night(m message) error {
	q, err := question(m)
	if err != nil {
		return fmt.Errorf("line %d: night %d: %w", s.in.n, m.Night, err)
	}
	say := func(o Outcome) error {
		if s.tell != nil {
			s.tell(m.Night, o)
		}
		return s.out.send(sayDecision{"decision", o.ID, o.Promote, o.Estimate})
	}
	if len(m.Candidates) > 0 {
		if err := s.judge.Night(m.Night, q, m.Candidates, s.measure, say); err != nil {
			return err
		}
	}
	return s.out.send(sayDone{"night_done"})
}

// armNames spells arms as the protocol does.
func armNames(arms []bool) string {
	b := make([]byte, len(arms))
	for i, candidate := range arms {
		b[i] = 'A'
		if candidate {
			b[i] = 'B'
		}
	}
	return string(b)
}

func (s *server) measure(id int, arms []bool) ([]float64, error) {
	if err := s.out.send(sayMeasure{"measure", id, armNames(arms)}); err != nil {
		return nil, err
	}
	var m message
	if err := s.in.read(&m); err != nil {
		return nil, err
	}
	if m.Type != "samples" {
		return nil, fmt.Errorf("line %d: type %q where samples of candidate %d were expected: %w", s.in.n, m.Type, id, ErrProtocol)
	}
	if m.ID != id {
		return nil, fmt.Errorf("line %d: samples of candidate %d instead of %d: %w", s.in.n, m.ID, id, ErrProtocol)
	}
	return floats(m.Values), nil
}
