package sim

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/arqon/arqon/gates/evalue"
)

// Drive plays the plan against a judge at the other end of a pipe that speaks
// gatesim/1: it is the foreign simulator. The judge's name is the rule of the
// result. Closing the judge's input is left to the caller.
func Drive(ctx context.Context, p Plan, from io.Reader, to io.Writer, step func(done int)) (Result, error) {
	if err := p.Check(); err != nil {
		return Result{}, err
	}
	f := &foreign{in: newLines(from), out: writer{bufio.NewWriter(to)}}
	if err := f.out.send(askHello{"hello", Protocol, uint64(p.Seed)}); err != nil {
		return Result{}, err
	}
	var hello said
	if err := f.in.read(&hello); err != nil {
		return Result{}, fmt.Errorf("the judge's hello: %w", err)
	}
	if hello.Type != "hello" {
		return Result{}, fmt.Errorf("the judge said %q instead of hello: %w", hello.Type, ErrProtocol)
	}
	return play(ctx, p, hello.Name, f, step)
}

type askHello struct {
	Type     string `json:"type"`
	Protocol string `json:"protocol"`
	Seed     uint64 `json:"seed"`
}

type askNight struct {
	Type       string  `json:"type"`
	Night      int     `json:"night"`
	Goal       string  `json:"goal"`
	Direction  string  `json:"direction"`
	Metric     string  `json:"metric"`
	Tolerance  float64 `json:"tolerance"`
	MDE        float64 `json:"mde"`
	Alpha      float64 `json:"alpha"`
	Candidates []int   `json:"candidates"`
}

type askSamples struct {
	Type   string    `json:"type"`
	ID     int       `json:"id"`
	Values []float64 `json:"values"`
}

// said is every line of a judge.
type said struct {
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	ID       int     `json:"id"`
	Arms     string  `json:"arms"`
	Promote  bool    `json:"promote"`
	Estimate float64 `json:"estimate"`
}

// foreign is a rule at the other end of a pipe.
type foreign struct {
	in  *lines
	out writer
}

func (f *foreign) night(n int, q evalue.Question, ids []int, measure Measure, say func(Outcome) error) error {
	ask := askNight{
		Type: "night", Night: n, Goal: "better", Direction: "lower", Metric: "latency_ns",
		Tolerance: q.Tolerance, MDE: q.MinEffect, Alpha: q.Alpha, Candidates: ids,
	}
	if q.Goal == evalue.NotWorse {
		ask.Goal = "noninferior"
	}
	if err := f.out.send(ask); err != nil {
		return err
	}
	spent := map[int]int{}
	last := map[int]said{} // the last decision about a candidate counts
	for {
		var m said
		if err := f.in.read(&m); err != nil {
			return err
		}
		known := slices.Contains(ids, m.ID)
		switch {
		case m.Type == "night_done":
			return f.count(ids, last, spent, say)
		case m.Type == "measure" && known:
			values, err := f.measure(m, measure)
			if err != nil {
				return err
			}
			spent[m.ID] += len(values)
			if err := f.out.send(askSamples{"samples", m.ID, values}); err != nil {
				return err
			}
		case m.Type == "decision" && known:
			last[m.ID] = m
		default:
			return fmt.Errorf("line %d: the judge said %q about candidate %d: %w", f.in.n, m.Type, m.ID, ErrProtocol)
		}
	}
}

func (f *foreign) measure(m said, measure Measure) ([]float64, error) {
	arms := make([]bool, len(m.Arms))
	for i, arm := range []byte(m.Arms) {
		if arm != 'A' && arm != 'B' {
			return nil, fmt.Errorf("line %d: arms %q: want A and B: %w", f.in.n, m.Arms, ErrProtocol)
		}
		arms[i] = arm == 'B'
	}
	return measure(m.ID, arms)
}

// count reports the decisions; a candidate without one was not promoted.
func (f *foreign) count(ids []int, last map[int]said, spent map[int]int, say func(Outcome) error) error {
	for _, id := range ids {
		o := Outcome{ID: id}
		o.Promote, o.Estimate, o.Pairs = last[id].Promote, last[id].Estimate, spent[id]/2
		o.samples = spent[id]
		if err := say(o); err != nil {
			return err
		}
	}
	return nil
}
