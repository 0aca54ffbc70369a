// Package proposer lets a program of somebody else's propose points: a script,
// a service, a language model. It is an engine whose thinking happens elsewhere.
//
// The program is not trusted. It has a deadline for every answer and for all of
// them, lines are bounded, every point is checked against the space, and a
// program that stays silent, dies, or talks nonsense three times in a row is
// asked no more: its part of the budget goes on without it. What it proposes
// is not a function of the seed, so the factory keeps the proposals in the
// journal and never asks again for those.
//
// # The protocol arqon-proposer/1
//
// UTF-8 JSON lines on stdin and stdout, at most 1 MiB each; stderr is the log.
// One request is in flight, and its id is echoed. The space is that of
// arqon-domain/1 (see benchmarks/external).
//
//	→ {"id":1,"op":"hello","protocol":"arqon-proposer/1","domain":"gzip","context":"small",
//	   "metric":{"name":"ns","unit":"ns","direction":"lower"},"space":{…},"baseline":{…},"budget":60}
//	← {"id":1,"ok":true,"name":"my-proposer","version":"1"}
//	→ {"id":2,"op":"tell","trials":[{"point":{…},"loss":-0.21,"values":{"ns":812},"own":true}],
//	   "refused":[{"point":{…},"reason":"level: 12 is outside 1 to 9"}]}
//	← {"id":2,"ok":true}
//	→ {"id":3,"op":"ask","n":8}
//	← {"id":3,"ok":true,"points":[{"point":{"level":3},"origin":"tried lower"}]}
//	→ {"id":4,"op":"bye"}
//
// Loss is what the search minimises: 0 is the baseline, below 0 is better, −1
// the most, above 1 breaks a limit or a tolerance, null failed (then "failed" says
// why). "own" marks points of this proposer; the others are of other engines.
// Fewer points than n are welcome, more are dropped, missing knobs take their
// defaults. "done":true in an answer ends the asking.
package proposer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/external"
	"github.com/arqon/arqon/factory/engine"
)

// Protocol is the only version that this package speaks.
const Protocol = "arqon-proposer/1"

// Limits, where Options do not say.
const (
	DefaultTimeout = 30 * time.Second // of one answer
	DefaultTime    = 10 * time.Minute // of all answers together
	troublesMax    = 3                // in a row
	tellBatch      = 64               // trials a line
	tellMax        = 512              // trials that a program that starts late is told: the best and the latest
	originBytesMax = 120
	reasonBytesMax = 300
	refusedMax     = 32 // points whose refusal is told
)

// Options say which program, and its limits.
type Options struct {
	Command []string
	Env     []string      // names of variables to pass on
	Timeout time.Duration // of one answer; 0: DefaultTimeout
	Time    time.Duration // of all answers; 0: DefaultTime
}

// Task is what the program is told it proposes for.
type Task struct {
	Domain   string
	Context  string
	Metric   benchmarks.Metric // the success metric
	Baseline benchmarks.Point
}

// Answer is what an Ask came to.
type Answer struct {
	Proposals []engine.Proposal
	Refused   []Refusal // points that the space or the memory refused
	Trouble   []string  // what went wrong on the way, one line each
	Ended     string    // not "": ask no more, and why
}

// Refusal is a point that was not taken.
type Refusal struct {
	Point  json.RawMessage `json:"point"`
	Reason string          `json:"reason"`
}

// told is a trial as the program hears of it.
type told struct {
	Point  json.RawMessage    `json:"point"`
	Loss   *float64           `json:"loss"`
	Values map[string]float64 `json:"values,omitempty"`
	Failed string             `json:"failed,omitempty"`
	Own    bool               `json:"own"`
}

// Proposer speaks to one program for one context. It is used by one goroutine.
type Proposer struct {
	options Options
	task    Task
	space   benchmarks.Space
	budget  int

	program *external.Conversation // nil: not started, or gone
	known   engine.Memory
	asked   map[string]bool
	history []told
	heard   int       // of the history, by the program that runs now
	refused []Refusal // to be told
	spent   time.Duration
	elapsed func() time.Duration
	ended   string
}

// New prepares a proposer; the program is started by the first Ask. elapsed is
// the clock by which Options.Time is kept, nil for no such limit: it decides
// nothing that a replay would see.
func New(o Options, task Task, cfg engine.Config, elapsed func() time.Duration) (*Proposer, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, errors.New("proposer: the command is empty")
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Time == 0 {
		o.Time = DefaultTime
	}
	if elapsed == nil {
		elapsed = func() time.Duration { return 0 }
	}
	return &Proposer{options: o, task: task, space: cfg.Space, budget: cfg.Budget, asked: map[string]bool{}, elapsed: elapsed}, nil
}

// Ask gets at most n new points of the space. It comes back with at least one,
// or Ended; only an interrupted ctx is an error.
func (p *Proposer) Ask(ctx context.Context, n int) (Answer, error) {
	a := Answer{Ended: p.ended}
	for try := 0; a.Ended == "" && len(a.Proposals) == 0; try++ {
		if ctx.Err() != nil {
			return Answer{}, ctx.Err()
		}
		if p.spent >= p.options.Time {
			a.Ended = fmt.Sprintf("its %v are used up", p.options.Time)
			break
		}
		if try == troublesMax {
			a.Ended = fmt.Sprintf("%d attempts in a row came to nothing, the last one so: %s", troublesMax, a.Trouble[len(a.Trouble)-1])
			break
		}
		begun := p.elapsed()
		done, err := p.attempt(ctx, n, &a)
		p.spent += p.elapsed() - begun
		switch {
		case ctx.Err() != nil:
			return Answer{}, ctx.Err()
		case err != nil:
			a.Trouble = append(a.Trouble, line(err.Error()))
		case done:
			a.Ended = "it has nothing more to propose"
		case len(a.Proposals) == 0:
			a.Trouble = append(a.Trouble, "no usable point")
		}
	}
	p.ended = a.Ended
	return a, nil
}

// attempt starts the program if need be, tells it what it has not heard, and
// asks once.
func (p *Proposer) attempt(ctx context.Context, n int, a *Answer) (done bool, err error) {
	if p.program == nil || !p.program.Alive() {
		if err := p.start(ctx); err != nil {
			return false, err
		}
	}
	if err := p.tell(ctx); err != nil {
		return false, err
	}
	var answer struct {
		Points []struct {
			Point  json.RawMessage `json:"point"`
			Origin string          `json:"origin"`
		} `json:"points"`
		Done bool `json:"done"`
	}
	if err := p.converse(ctx, "ask", map[string]any{"n": n}, &answer); err != nil {
		return false, err
	}
	for _, x := range answer.Points {
		if len(a.Proposals) == n {
			break
		}
		if err := p.accept(x.Point, x.Origin, a); err != nil {
			r := Refusal{Point: bounded(x.Point), Reason: line(err.Error())}
			if len(a.Refused) < refusedMax {
				a.Refused = append(a.Refused, r)
			}
			if len(p.refused) < refusedMax {
				p.refused = append(p.refused, r)
			}
		}
	}
	return answer.Done && len(a.Proposals) == 0, nil
}

// start begins the conversation; a program that starts again has heard
// nothing.
func (p *Proposer) start(ctx context.Context) (err error) {
	if err := p.Close(); err != nil {
		return err
	}
	space, err := external.EncodeSpace(p.space)
	if err != nil {
		return err
	}
	if p.program, err = external.Converse(p.options.Command, external.Options{Env: p.options.Env}); err != nil {
		return err
	}
	p.heard = 0
	var who struct {
		Name string `json:"name"`
	}
	return p.converse(ctx, "hello", map[string]any{
		"protocol": Protocol, "domain": p.task.Domain, "context": p.task.Context, "space": space,
		"metric":   map[string]any{"name": p.task.Metric.Name, "unit": p.task.Metric.Unit, "direction": p.task.Metric.Direction},
		"baseline": p.task.Baseline.Canonical(), "budget": p.budget,
	}, &who)
}

func (p *Proposer) converse(ctx context.Context, op string, request map[string]any, answer any) error {
	limit := min(p.options.Timeout, max(p.options.Time-p.spent, time.Second))
	return p.program.Ask(ctx, limit, op, request, answer)
}

// tell sends what the program has not heard. One that starts late, after a
// resume or a crash, hears the latest of a long history and the best before
// them.
func (p *Proposer) tell(ctx context.Context) error {
	news := p.history[p.heard:]
	if len(news) > tellMax {
		news = digest(news)
	}
	for len(news) > 0 || len(p.refused) > 0 {
		part := news[:min(len(news), tellBatch)]
		request := map[string]any{"trials": part}
		if len(p.refused) > 0 {
			request["refused"] = p.refused
		}
		if len(part) == 0 {
			request["trials"] = []told{}
		}
		if err := p.converse(ctx, "tell", request, new(struct{})); err != nil {
			return err
		}
		news, p.refused = news[len(part):], nil
	}
	p.heard = len(p.history)
	return nil
}

// digest keeps half of tellMax from the end and as many of the best before it,
// in order.
func digest(list []told) []told {
	cut := len(list) - tellMax/2
	early := list[:cut]
	losses := make([]float64, 0, len(early))
	for _, t := range early {
		if t.Loss != nil {
			losses = append(losses, *t.Loss)
		}
	}
	limit := nthLeast(losses, tellMax/2)
	var out []told
	for _, t := range early {
		if t.Loss != nil && *t.Loss <= limit && len(out) < tellMax/2 {
			out = append(out, t)
		}
	}
	return append(out, list[cut:]...)
}

// accept checks a point and adds it to the proposals.
func (p *Proposer) accept(raw json.RawMessage, origin string, a *Answer) error {
	point, err := benchmarks.DecodePoint(p.space, raw)
	if err != nil {
		return err
	}
	key := engine.Key(point)
	if _, known := p.known.Loss(key); known || p.asked[key] {
		return errors.New("the point is known: propose another")
	}
	p.asked[key] = true
	a.Proposals = append(a.Proposals, engine.Proposal{Point: point, Origin: "proposed " + clip(origin, originBytesMax)})
	return nil
}

// Tell takes the results of this proposer's points.
func (p *Proposer) Tell(trials []engine.Trial) { p.note(trials, true) }

// Hear takes what other engines were told in the same context.
func (p *Proposer) Hear(trials []engine.Trial) { p.note(trials, false) }

func (p *Proposer) note(trials []engine.Trial, own bool) {
	for _, t := range trials {
		x := told{Point: t.Point.Canonical(), Values: t.Values, Failed: clip(t.Failed, reasonBytesMax), Own: own}
		if l := engine.Worst(t.Loss); !math.IsInf(l, 0) {
			x.Loss = &l
		}
		p.known.Add(engine.Key(t.Point), t.Loss)
		p.history = append(p.history, x)
	}
}

// Ended says why it is asked no more, or "".
func (p *Proposer) Ended() string { return p.ended }

// Close ends the program. A later Ask starts it again.
func (p *Proposer) Close() error {
	if p.program == nil {
		return nil
	}
	err := p.program.Close("bye")
	p.program = nil
	return err
}

// line makes one bounded line of a message.
func line(s string) string { return clip(strings.Join(strings.Fields(s), " "), reasonBytesMax) }

func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// bounded keeps a refused point small; one that is not is not repeated.
func bounded(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || len(raw) > 4<<10 || !json.Valid(raw) {
		return json.RawMessage("null")
	}
	return raw
}

// nthLeast is the n-th least of x, or the greatest if there are fewer.
func nthLeast(x []float64, n int) float64 {
	if len(x) == 0 {
		return math.Inf(1)
	}
	slices.Sort(x)
	return x[min(n, len(x))-1]
}
