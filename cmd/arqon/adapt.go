package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/runtime/adapt"
)

func newAdapt() *cobra.Command {
	c := &cobra.Command{
		Use:   "adapt",
		Short: "Let the online learners meet a foreign simulator",
		Example: `  arqon adapt agent < session.jsonl
  arqon adapt agent --help`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newAdaptAgent())
	return c
}

func newAdaptAgent() *cobra.Command {
	return &cobra.Command{
		Use:   "agent",
		Short: "Answer a simulator line by line, as JSON on standard input and output",
		Long: `Agent speaks JSON lines. The first message opens a suite, "bye" or the end of
the input ends the session.

  bandit: which of some arms should serve a request?
    > {"type":"hello","v":1,"suite":"bandit","arms":30,"dim":8,"slo_ms":100,"seed":1,"horizon":20000}
    > {"type":"obs","obs":{"t":0,"x":[8 numbers],"eligible":[30 bools],"pred_ms":[30 numbers]}}
    < {"arm":7,"ns":850}
    > {"type":"reward","t":0,"arm":7,"reward":0.61,"lat_ms":48.2}        no reply

  knob: which setting of some knobs should be measured next?
    > {"type":"hello","suite":"knob","dim":10,"lo":0,"hi":1,"baseline":0.5,"seed":1}
    > {"type":"ask","t":0}
    < {"x":[10 numbers],"best":[10 numbers],"ns":400}
    > {"type":"loss","loss":0.83}                                         no reply

More reward and less loss are better. An arm is -1 when none is eligible: keep
what served before and send no reward. "ns" is what the decision took. NaN,
Infinity and null stand for values that were not measured; x and pred_ms may be
left out, and fields that are not listed mean nothing. Rewards may be missing,
late or repeated. The choices are a function of the seed and the messages. A
hello opens a new session; a message that cannot be understood ends all of them
with exit code 2.`,
		Example: `  arqon adapt agent < session.jsonl`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return untilInterrupted(c.Context(), func() error { return serveAgent(c.InOrStdin(), c.OutOrStdout()) })
		},
	}
}

const agentLineBytesMax = 1 << 20

// agent is one session with a simulator.
type agent struct {
	bandit *adapt.Bandit
	dim    int // features of its requests
	tuner  *adapt.Tuner
	out    []byte

	eligible []bool
}

// agentMessage is any message of the protocol.
type agentMessage struct {
	Type     string   `json:"type"`
	Version  *whole   `json:"v"`
	Suite    string   `json:"suite"`
	Arms     whole    `json:"arms"`
	Dim      whole    `json:"dim"`
	LimitMS  measured `json:"slo_ms"`
	Seed     whole    `json:"seed"`
	Lo       measured `json:"lo"`
	Hi       measured `json:"hi"`
	Baseline measured `json:"baseline"`
	Obs      *struct {
		T           whole      `json:"t"`
		X           []measured `json:"x"`
		Eligible    []allowed  `json:"eligible"`
		PredictedMS []measured `json:"pred_ms"`
	} `json:"obs"`
	T      whole    `json:"t"`
	Arm    *whole   `json:"arm"`
	Reward measured `json:"reward"`
	LatMS  measured `json:"lat_ms"`
	Loss   measured `json:"loss"`
}

// measured is a number that may be absent: null, absent and what is no number
// are NaN.
type measured struct {
	value float64
	set   bool
	wrong string // what stood there instead of a number
}

// UnmarshalJSON takes a number, null, or the names that some writers give to
// what is no number, as strings. Anything else is kept for check, which knows
// the field's name.
func (m *measured) UnmarshalJSON(b []byte) error {
	m.set = string(b) != "null"
	switch string(b) {
	case "null", `"NaN"`, `"Infinity"`, `"-Infinity"`, `"nan"`, `"inf"`, `"-inf"`:
		m.value = math.NaN()
		return nil
	}
	if b[0] != '-' && (b[0] < '0' || b[0] > '9') {
		m.wrong = string(b[:min(len(b), 40)])
		return nil
	}
	if json.Unmarshal(b, &m.value) != nil {
		m.value = math.NaN() // 1e999
	}
	return nil
}

// check names the first field that holds something else than a number.
func (m *agentMessage) check() error {
	for _, f := range []struct {
		name string
		m    measured
	}{{"slo_ms", m.LimitMS}, {"lo", m.Lo}, {"hi", m.Hi}, {"baseline", m.Baseline}, {"reward", m.Reward}, {"lat_ms", m.LatMS}, {"loss", m.Loss}} {
		if f.m.wrong != "" {
			return fmt.Errorf("%s: %s is no number", f.name, f.m.wrong)
		}
	}
	if m.Obs == nil {
		return nil
	}
	if err := checkAll("obs.x", m.Obs.X); err != nil {
		return err
	}
	return checkAll("obs.pred_ms", m.Obs.PredictedMS)
}

func checkAll(name string, ms []measured) error {
	for i, m := range ms {
		if m.wrong != "" {
			return fmt.Errorf("%s[%d]: %s is no number", name, i, m.wrong)
		}
	}
	return nil
}

// lengths compares what an observation holds with what the hello promised: an
// arm too few would move all that follow. Features and predictions may be left
// out altogether; who is eligible may not, and an empty list is nobody.
func (a *agent) lengths(x, ms int, eligible []allowed) error {
	if eligible == nil {
		return fmt.Errorf("obs.eligible is missing: want %d times true or false, or [] for none", a.bandit.Arms())
	}
	for _, f := range []struct {
		name      string
		got, want int
	}{{"x", x, a.dim}, {"eligible", len(eligible), a.bandit.Arms()}, {"pred_ms", ms, a.bandit.Arms()}} {
		if f.got == f.want || f.got == 0 {
			continue
		}
		return fmt.Errorf("obs.%s: %d entries, the hello said %d", f.name, f.got, f.want)
	}
	return nil
}

func (m measured) or(x float64) float64 {
	if !m.set {
		return x
	}
	return m.value
}

func numbers(ms []measured) []float64 {
	if ms == nil {
		return nil
	}
	out := make([]float64, len(ms))
	for i, m := range ms {
		out[i] = m.or(math.NaN())
	}
	return out
}

func serveAgent(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), agentLineBytesMax)
	a := &agent{}
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var m agentMessage
		if err := json.Unmarshal(quoteNonNumbers(line), &m); err != nil {
			return fmt.Errorf("line %d: %w", n, named(err))
		}
		if err := m.check(); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if m.Type == "bye" {
			return nil
		}
		reply, err := a.answer(&m)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if len(reply) == 0 {
			continue
		}
		if _, err := out.Write(reply); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("a line of at most %d bytes: %w", agentLineBytesMax, err)
	}
	return nil
}

// named says which field of a message has the wrong type.
func named(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("%s: %s where %s is wanted", wrong.Field, wrong.Value, wanted(wrong.Type))
	}
	if errors.As(err, &wrong) {
		return fmt.Errorf("a message is an object, this is a JSON %s", wrong.Value)
	}
	return err
}

// quoteNonNumbers puts the NaN and Infinity that Python writes, which are not
// JSON, into quotes. Names inside strings are left alone.
func quoteNonNumbers(line []byte) []byte {
	if !bytes.Contains(line, []byte("NaN")) && !bytes.Contains(line, []byte("Infinity")) {
		return line
	}
	var out []byte
	inString := false
	for i := 0; i < len(line); i++ {
		if !inString {
			if name := nonNumber(line[i:]); name != "" {
				out = append(append(append(out, '"'), name...), '"')
				i += len(name) - 1
				continue
			}
		}
		switch {
		case line[i] == '"':
			inString = !inString
		case line[i] == '\\' && inString && i+1 < len(line):
			out = append(out, line[i])
			i++
		}
		out = append(out, line[i])
	}
	return out
}

func nonNumber(b []byte) string {
	for _, name := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(name)) {
			return name
		}
	}
	return ""
}

var errNoHello = errors.New(`no suite is open: the first message is {"type":"hello","suite":"bandit"…} or "knob"`)

// answer takes a message and returns the line to send, empty for none. What it
// returns is valid until the next call.
func (a *agent) answer(m *agentMessage) ([]byte, error) {
	switch m.Type {
	case "hello":
		return nil, a.hello(m)
	case "obs":
		if a.bandit == nil {
			return nil, errNoHello
		}
		if m.Obs == nil {
			return nil, errors.New(`obs: want {"type":"obs","obs":{…}}`)
		}
		if err := a.lengths(len(m.Obs.X), len(m.Obs.PredictedMS), m.Obs.Eligible); err != nil {
			return nil, err
		}
		x, ms, eligible := numbers(m.Obs.X), numbers(m.Obs.PredictedMS), a.allowed(m.Obs.Eligible)
		start := time.Now()
		p := a.bandit.Choose(uint64(m.Obs.T), x, eligible, ms)
		ns := time.Since(start).Nanoseconds()
		a.out = fmt.Appendf(a.out[:0], "{\"arm\":%d,\"ns\":%d}\n", p.Arm, ns)
		return a.out, nil
	case "reward":
		if a.bandit == nil {
			return nil, errNoHello
		}
		if m.Arm != nil { // without an arm it belongs to no choice
			a.bandit.Reward(uint64(m.T), int(*m.Arm), m.Reward.or(math.NaN()), m.LatMS.or(math.NaN()))
		}
		return nil, nil
	case "ask":
		if a.tuner == nil {
			return nil, errNoHello
		}
		start := time.Now()
		x := a.tuner.Ask()
		ns := time.Since(start).Nanoseconds()
		b, err := json.Marshal(struct {
			X    []float64 `json:"x"`
			Best []float64 `json:"best"`
			NS   int64     `json:"ns"`
		}{x, a.tuner.Best(), ns})
		return append(b, '\n'), err
	case "loss":
		if a.tuner == nil {
			return nil, errNoHello
		}
		a.tuner.Tell(m.Loss.or(math.NaN()))
		return nil, nil
	}
	return nil, fmt.Errorf("type %q: want hello, obs, reward, ask, loss or bye", m.Type)
}

func (a *agent) hello(m *agentMessage) (err error) {
	if m.Version != nil && *m.Version != 1 {
		return fmt.Errorf("hello: protocol version %d, this program speaks 1", *m.Version)
	}
	a.bandit, a.tuner, a.dim = nil, nil, int(m.Dim)
	switch m.Suite {
	case "bandit":
		a.bandit, err = adapt.NewBandit(adapt.BanditConfig{Arms: int(m.Arms), Dim: int(m.Dim), Seed: uint64(m.Seed), LimitMS: m.LimitMS.or(0)})
	case "knob":
		lo, hi := m.Lo.or(0), m.Hi.or(1)
		dim := int(m.Dim)
		if dim < 1 || dim > adapt.KnobsMax {
			return fmt.Errorf("hello: dim: %d knobs, want 1 to %d", dim, adapt.KnobsMax)
		}
		ranges := slices.Repeat([]adapt.Range{{Min: lo, Max: hi}}, dim)
		a.tuner, err = adapt.NewTuner(adapt.TunerConfig{Seed: uint64(m.Seed)}, ranges, slices.Repeat([]float64{m.Baseline.or((lo + hi) / 2)}, dim))
	default:
		err = fmt.Errorf("suite %q: want bandit or knob", m.Suite)
	}
	if err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	return nil
}
