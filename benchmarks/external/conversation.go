package external

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// Conversation is one program that is not a domain and is spoken to in the
// same way: a JSON line with an id and an op for a JSON line with the id and
// ok, deadlines, at most 1 MiB a line, a scrubbed environment, a process group
// that dies as a whole. It is used by one goroutine at a time.
type Conversation struct {
	process *process
	base    string
}

// Converse starts the program. Of the options Dir, TempDir and Env count.
func Converse(argv []string, o Options) (*Conversation, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("the command is empty")
	}
	base, err := os.MkdirTemp(o.TempDir, "arqon-program-")
	if err != nil {
		return nil, err
	}
	p, err := startProcess(argv, o, base)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(base))
	}
	return &Conversation{process: p, base: base}, nil
}

// Ask sends the request, a JSON object without an id, and decodes the answer
// into answer. The program's own refusal ({"ok":false,"error":{"message":…}})
// is an error wrapping ErrRefused, after which the conversation can go on. After
// any other error it is over; it wraps benchmarks.ErrTimeout or
// benchmarks.ErrCrash, or is that of ctx.
func (c *Conversation) Ask(ctx context.Context, deadline time.Duration, op string, request map[string]any, answer any) error {
	c.process.lastID++
	id := c.process.lastID
	line := map[string]any{"id": id, "op": op}
	for k, v := range request {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return c.process.talk(ctx, deadline, op, b, func(b []byte) error { return understand(b, id, answer) })
}

// ErrRefused: the program understood and said no.
var ErrRefused = errors.New("refused")

func understand(b []byte, id uint64, answer any) error {
	var head struct {
		ID    *uint64    `json:"id"`
		OK    *bool      `json:"ok"`
		Error *wireError `json:"error"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&head); err != nil {
		return fmt.Errorf("line %.120q: %w: %w", b, err, ErrProtocol)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %.120q: data after the object: %w", b, ErrProtocol)
	}
	switch {
	case head.ID == nil || *head.ID != id:
		return fmt.Errorf("line %.120q: want the id %d: %w", b, id, ErrProtocol)
	case head.OK == nil:
		return fmt.Errorf("line %.120q: no \"ok\": %w", b, ErrProtocol)
	case !*head.OK && head.Error == nil:
		return fmt.Errorf("line %.120q: not ok but no \"error\": %w", b, ErrProtocol)
	case !*head.OK:
		return &refusal{ErrRefused, head.Error.Message}
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("line %.120q: %w: %w", b, err, ErrProtocol)
	}
	return nil
}

// Alive reports whether the program can be asked.
func (c *Conversation) Alive() bool { return c.process.alive() }

// Close says bye, with the protocol's word for it, and ends the program.
func (c *Conversation) Close(bye string) error {
	return errors.Join(c.process.shutdown(bye), os.RemoveAll(c.base))
}

// EncodeSpace writes a space as the protocols have it.
func EncodeSpace(s benchmarks.Space) (json.RawMessage, error) {
	var w wireSpace
	for _, p := range s.Parameters {
		scale := ""
		if p.Log {
			scale = "log"
		}
		w.Parameters = append(w.Parameters, wireParameter{
			Name: p.Name, Kind: string(p.Kind), Min: p.Min, Max: p.Max, Scale: scale, Choices: p.Choices, Default: p.Default, When: p.When,
		})
	}
	for _, c := range s.Constraints {
		w.Constraints = append(w.Constraints, wireConstraint(c))
	}
	return json.Marshal(w)
}
