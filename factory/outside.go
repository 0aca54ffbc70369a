package factory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/proposer"
)

// ProposerShare is an outside program that proposes points, with its share of
// every context's evaluations beside the engines'.
type ProposerShare struct {
	Name    string        `yaml:"name" json:"name"`
	Command []string      `yaml:"command" json:"command"`
	Env     []string      `yaml:"env" json:"env,omitempty"` // names of variables that the program may see
	Share   float64       `yaml:"share" json:"share"`
	Timeout time.Duration `yaml:"timeout" json:"timeout_ns,omitempty"` // of one answer; 0: 30 s
	Time    time.Duration `yaml:"time" json:"time_ns,omitempty"`       // of all answers in a context; 0: 10 min
	Points  int           `yaml:"points" json:"points,omitempty"`      // at most, a context; 0: its share
}

// proposersMax bounds the programs of a study.
const proposersMax = 8

func (s Study) checkProposers() error {
	if len(s.Proposers) > proposersMax {
		return s.doc.refuseField("proposers", "%d proposers, at most %d", len(s.Proposers), proposersMax)
	}
	seen := map[string]bool{}
	for _, e := range s.Engines {
		seen[e.Name] = true
	}
	for i, p := range s.Proposers {
		field := fmt.Sprintf("proposers[%d]", i)
		switch {
		case !nameForm.MatchString(p.Name):
			return s.doc.refuseField(field+".name", "%q: want lower-case letters, digits and dashes, at most 40", p.Name)
		case seen[p.Name]:
			return s.doc.refuseField(field+".name", "%q is an engine or a proposer already", p.Name)
		case len(p.Command) == 0 || p.Command[0] == "":
			return s.doc.refuseField(field+".command", "is empty: give the program and its arguments as a list")
		case !(p.Share > 0 && p.Share <= shareMax):
			return s.doc.refuseField(field+".share", "is %v: want above 0 to %g", p.Share, float64(shareMax))
		case p.Timeout < 0 || p.Time < 0:
			return s.doc.refuseField(field+".timeout", "%v and time %v: want durations above 0", p.Timeout, p.Time)
		case p.Points < 0:
			return s.doc.refuseField(field+".points", "is %d: want at least 1, or leave it out", p.Points)
		}
		seen[p.Name] = true
	}
	return nil
}

// mixed adds the proposers to a mix of engines.
func (s Study) mixed(engines []EngineShare) []EngineShare {
	out := append([]EngineShare(nil), engines...)
	for _, p := range s.Proposers {
		out = append(out, EngineShare{Name: p.Name, Share: p.Share})
	}
	return out
}

// proposedRecord is what one Ask of an outside proposer came to: a replay
// takes the points from here and asks nobody.
type proposedRecord struct {
	Context string             `json:"context"`
	Engine  string             `json:"engine"`
	Asked   int                `json:"asked"`
	Points  []pointRecord      `json:"points"`
	Refused []proposer.Refusal `json:"refused,omitempty"`
	Trouble []string           `json:"trouble,omitempty"`
	Ended   string             `json:"ended,omitempty"`
}

type pointRecord struct {
	Point  json.RawMessage `json:"point"`
	Origin string          `json:"origin"`
}

// outsiders are the proposers of a search.
type outsiders struct {
	ctx     context.Context // of the search that is on: an engine's Ask has none of its own
	journal func() *journal
	say     func(string)
	list    []*outsider
}

// outsider is an outside proposer as an engine whose answers are journaled.
type outsider struct {
	all     *outsiders
	program *proposer.Proposer
	space   benchmarks.Space
	context string
	name    string
	left    int // points that it may still propose
	ended   string
	err     error // the search cannot go on
}

// engine makes the engine of a lane: an outside proposer of the study, or one
// of the engines that are known.
func (o *outsiders) engine(cfg Discovery, sc benchmarks.Scenario, name string, c engine.Config) (engine.Engine, error) {
	for _, p := range cfg.Study.Proposers {
		if p.Name != name {
			continue
		}
		metrics, _ := needed(cfg.Description, sc)
		program, err := proposer.New(
			proposer.Options{Command: p.Command, Env: p.Env, Timeout: p.Timeout, Time: p.Time},
			proposer.Task{Domain: cfg.Description.Name, Context: sc.Name, Metric: successOf(metrics), Baseline: c.Start[0]}, c, cfg.Elapsed)
		if err != nil {
			return nil, err
		}
		left := p.Points
		if left == 0 {
			left = c.Budget
		}
		out := &outsider{all: o, program: program, space: c.Space, context: sc.Name, name: name, left: left}
		o.list = append(o.list, out)
		return out, nil
	}
	return cfg.Engines[name](c)
}

// failed is the first error of a proposer that ends the search: the journal's,
// or the interruption of the search. A proposer's own trouble never does.
func (o *outsiders) failed() error {
	for _, x := range o.list {
		if x.err != nil {
			return x.err
		}
	}
	return nil
}

// close ends the programs.
func (o *outsiders) close() error {
	var err error
	for _, x := range o.list {
		err = errors.Join(err, x.program.Close())
	}
	return err
}

// Ask replays what the journal holds, or asks the program and writes down what
// it said before anything is measured.
func (x *outsider) Ask(n int) []engine.Proposal {
	if x.err != nil || x.ended != "" {
		return nil
	}
	if n = min(n, x.left); n <= 0 {
		x.ended = "its points are used up"
		return nil
	}
	out, err := x.ask(n)
	if err != nil {
		x.err = fmt.Errorf("proposer %s: %w", x.name, err)
		return nil
	}
	x.left -= len(out)
	return out
}

func (x *outsider) ask(n int) ([]engine.Proposal, error) {
	j := x.all.journal()
	var r proposedRecord
	if j.replaying() {
		ok, err := j.peek(kindProposed, &r)
		if err != nil {
			return nil, err
		}
		if !ok || r.Context != x.context || r.Engine != x.name || r.Asked != n {
			return nil, fmt.Errorf("%s: the journal does not hold its answer for %s next: %w", j.path, x.context, ErrForeignJournal)
		}
	} else {
		a, err := x.program.Ask(x.all.ctx, n)
		if err != nil {
			return nil, err
		}
		r = proposedRecord{Context: x.context, Engine: x.name, Asked: n, Points: []pointRecord{}, Refused: a.Refused, Trouble: a.Trouble, Ended: a.Ended}
		for _, p := range a.Proposals {
			r.Points = append(r.Points, pointRecord{Point: p.Point.Canonical(), Origin: p.Origin})
		}
	}
	live := !j.replaying()
	if err := j.put(kindProposed, r); err != nil {
		return nil, err
	}
	if live && r.Ended != "" {
		x.all.say(fmt.Sprintf("proposer %s is asked no more in %s: %s", x.name, x.context, r.Ended))
	}
	x.ended = r.Ended
	var out []engine.Proposal
	for i, p := range r.Points {
		point, err := benchmarks.DecodePoint(x.space, p.Point)
		if err != nil {
			return nil, fmt.Errorf("%s: point %d: %w", j.path, i, err)
		}
		out = append(out, engine.Proposal{Point: point, Origin: p.Origin})
	}
	return out, j.flush()
}

// Tell and Hear keep what the program is told at its next Ask.
func (x *outsider) Tell(trials []engine.Trial) { x.program.Tell(trials) }

// Hear takes what the other engines of the context were told.
func (x *outsider) Hear(trials []engine.Trial) { x.program.Hear(trials) }

// Done says that the program is asked no more.
func (x *outsider) Done() (string, bool) { return x.ended, x.ended != "" }

// Snapshot is refused: the journal is what an outside proposer resumes from.
func (x *outsider) Snapshot() ([]byte, error) {
	return nil, fmt.Errorf("proposer %s: %w: its state is its own", x.name, errors.ErrUnsupported)
}

// Restore is refused likewise.
func (x *outsider) Restore([]byte) error {
	return fmt.Errorf("proposer %s: %w: its state is its own", x.name, errors.ErrUnsupported)
}
