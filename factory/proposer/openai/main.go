// Command openai is an outside proposer (arqon-proposer/1, see package proposer)
// that asks a language model: any service with OpenAI's chat completions over
// HTTP. It writes the space, the best and the latest points as text, and reads
// points out of whatever the model answers; the search checks every one of them.
//
// In a study:
//
//	proposers:
//	  - name: model
//	    command: ["go", "run", "./factory/proposer/openai"]
//	    env: [OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL]
//	    share: 0.2
//	    timeout: 60s
//
// OPENAI_BASE_URL ends before /chat/completions (default
// https://api.openai.com/v1), OPENAI_API_KEY may be empty for a service without
// keys, OPENAI_MODEL must be set. What the study searches leaves the machine:
// names of knobs and metrics, points, and their results.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	answerTime := flag.Duration("timeout", 50*time.Second, "of one question to the model, repeats included; keep it below the study's timeout")
	flag.Parse()
	m := model{
		base: os.Getenv("OPENAI_BASE_URL"), key: os.Getenv("OPENAI_API_KEY"), name: os.Getenv("OPENAI_MODEL"),
		timeout: *answerTime,
	}
	if m.base == "" {
		m.base = "https://api.openai.com/v1"
	}
	if m.name == "" {
		fmt.Fprintln(os.Stderr, "openai: OPENAI_MODEL is not set: name the model to ask")
		os.Exit(2)
	}
	if err := serve(os.Stdin, os.Stdout, m); err != nil {
		fmt.Fprintln(os.Stderr, "openai:", err)
		os.Exit(1)
	}
}

const maxLineBytes = 1 << 20

// request is the union of the protocol's requests.
type request struct {
	ID      uint64          `json:"id"`
	Op      string          `json:"op"`
	N       int             `json:"n"`
	Domain  string          `json:"domain"`
	Context string          `json:"context"`
	Metric  metric          `json:"metric"`
	Space   space           `json:"space"`
	Base    json.RawMessage `json:"baseline"`
	Trials  []trial         `json:"trials"`
	Refused []refusal       `json:"refused"`
}

type reply struct {
	ID     uint64     `json:"id"`
	OK     bool       `json:"ok"`
	Error  *failure   `json:"error,omitempty"`
	Name   string     `json:"name,omitempty"`
	Points []proposed `json:"points,omitempty"`
}

type failure struct {
	Message string `json:"message"`
}

// proposed is a point as the protocol has it.
type proposed struct {
	Point  json.RawMessage `json:"point"`
	Origin string          `json:"origin,omitempty"`
}

// serve answers until bye or the end of the input.
func serve(in io.Reader, out io.Writer, m model) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLineBytes)
	enc := json.NewEncoder(out)
	var task notebook
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		r := reply{ID: q.ID, OK: true}
		switch q.Op {
		case "hello":
			task = notebook{domain: q.Domain, context: q.Context, metric: q.Metric, space: q.Space, baseline: q.Base}
			r.Name = "openai " + m.name
		case "tell":
			task.note(q.Trials, q.Refused)
		case "ask":
			points, err := ask(m, &task, q.N)
			if err != nil {
				r.OK, r.Error = false, &failure{err.Error()}
			}
			r.Points = points
		case "bye":
			return nil
		default:
			r.OK, r.Error = false, &failure{"unknown op " + q.Op}
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return lines.Err()
}

// errNoPoint: the model said something, but no point.
var errNoPoint = errors.New("the answer holds no point")

// ask puts one question to the model.
func ask(m model, task *notebook, n int) ([]proposed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	defer cancel()
	text, err := m.complete(ctx, instructions, task.question(n))
	if err != nil {
		return nil, err
	}
	points := pointsIn(text, 4*n)
	if len(points) == 0 {
		return nil, fmt.Errorf("%w: %.200q", errNoPoint, text)
	}
	return points, nil
}
