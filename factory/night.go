package factory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/gates"
)

// Nightly is what a night needs besides its run.
type Nightly struct {
	Domain   benchmarks.Domain
	Engines  map[string]engine.New // by the names that studies use
	Progress Progress              // nil: nobody listens
	Now      func() time.Time      // nil: budget.time does not hold

	// Judge runs the candidates through the gates; it must go on from the
	// ledger at Case.Ledger if there is one, without measuring or deciding
	// anything twice.
	Judge func(context.Context, Case) (gates.Night, []gates.Verdict, error)
	// HTML draws the night; nil: no report.html.
	HTML func(io.Writer, gates.Night) error
	// Publisher takes the verdicts; nil: they stay in the run.
	Publisher Publisher
}

// Case is what the judge is given.
type Case struct {
	Run         *Run
	Domain      benchmarks.Domain
	Description benchmarks.Description // with the study's contexts and limits
	Candidates  Candidates
	Ledger      string   // path of the run's gates ledger
	Progress    Progress // never nil
}

// Publisher takes a judged night over: it signs and publishes, or leaves a
// proposal to sign. What it returns is one line for people. It may be called
// again for a night that it has taken already, if the process died before the
// run could note it, and must then do nothing twice.
type Publisher interface {
	HandOver(ctx context.Context, run *Run, night gates.Night, verdicts []gates.Verdict, c Candidates) (string, error)
}

// Result is a finished night.
type Result struct {
	Description benchmarks.Description
	Candidates  Candidates
	Night       gates.Night
	Verdicts    []gates.Verdict
	Handover    string // the publisher's line; "" without a publisher
}

// handoverFile is handover.json.
type handoverFile struct {
	Schema string `json:"schema"`
	Line   string `json:"line"`
}

const handoverSchema = "arqon-handover/1"

// Do goes through the night in order: discover, build candidates, judge,
// report, hand over. Each step that an earlier session finished is read from
// the run instead, so that calling Do again after any interruption goes on at
// the right arrow and ends in the same result.
func (n Nightly) Do(ctx context.Context, run *Run) (Result, error) {
	p := heard(n.Progress)
	found, err := n.Domain.Describe(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("%w: describe: %w", ErrDomain, err)
	}
	d, err := run.Study.Apply(found)
	if err != nil {
		return Result{}, err
	}
	out := Result{Description: d}
	if out.Candidates, err = n.candidates(ctx, run, d, p); err != nil {
		return out, err
	}
	if len(out.Candidates.List) == 0 {
		return out, fmt.Errorf("%w: nothing better than the baseline was found, and the baseline keeps the limits of no context", ErrNothing)
	}
	p.Say(describeCandidates(out.Candidates))
	out.Night, out.Verdicts, err = n.Judge(ctx, Case{
		Run: run, Domain: n.Domain, Description: d, Candidates: out.Candidates, Ledger: run.file(fileGates), Progress: p,
	})
	if err != nil {
		return out, fmt.Errorf("judge: %w", err)
	}
	out.Night.Portfolio = &out.Candidates.Portfolio
	if err := n.report(run, out.Night); err != nil {
		return out, err
	}
	out.Handover, err = n.handOver(ctx, run, out, p)
	return out, err
}

// ErrNothing: the search found nothing to judge.
var ErrNothing = errors.New("nothing to judge")

func describeCandidates(c Candidates) string {
	references := 0
	for _, x := range c.List {
		if x.Reference {
			references++
		}
	}
	return fmt.Sprintf("search ended (%s) after %d evaluations: %d candidates and %d references go to the gates",
		c.Stop, c.Evaluations, len(c.List)-references, references)
}

// candidates searches, or reads what the search of an earlier session left.
func (n Nightly) candidates(ctx context.Context, run *Run, d benchmarks.Description, p Progress) (Candidates, error) {
	done, err := run.exists(fileCandidates)
	if err != nil {
		return Candidates{}, err
	}
	if done {
		b, err := readLimited(run.file(fileCandidates), maxCandidatesBytes)
		if err != nil {
			return Candidates{}, err
		}
		c, err := DecodeCandidates(ctx, b, d.Space, run.Blobs())
		if err != nil {
			return c, fmt.Errorf("%s: %w", run.file(fileCandidates), err)
		}
		return c, nil
	}
	if err := run.keepDescription(d); err != nil {
		return Candidates{}, err
	}
	cfg := Discovery{
		Study: run.Study, Domain: n.Domain, Description: d, Engines: n.Engines,
		Journal: run.file(fileJournal), Progress: p,
	}
	if cfg.Elites, err = run.elites(d); err != nil {
		return Candidates{}, err
	}
	if n.Now != nil {
		w := newStopwatch(run.file(fileClock), n.Now)
		cfg.Elapsed = w.elapsed
		defer func() { w.save(w.elapsed()) }()
	}
	found, err := Discover(ctx, cfg)
	if err != nil {
		return Candidates{}, err
	}
	c, err := MakeCandidates(ctx, run.Name, run.Study, n.Domain, found)
	if err != nil {
		return c, err
	}
	b, err := c.Encode(ctx, run.Blobs())
	if err != nil {
		return c, fmt.Errorf("%s: %w", run.file(fileCandidates), err)
	}
	if err := run.keepArchive(); err != nil {
		return c, err
	}
	return c, run.write(fileCandidates, b)
}

// report writes report.json and report.html.
func (n Nightly) report(run *Run, night gates.Night) error {
	b, err := gates.EncodeNight(night)
	if err != nil {
		return err
	}
	if n.HTML != nil {
		var page bytes.Buffer
		if err := n.HTML(&page, night); err != nil {
			return fmt.Errorf("%s: %w", run.file(fileHTML), err)
		}
		if err := run.write(fileHTML, page.Bytes()); err != nil {
			return err
		}
	}
	return run.write(fileReport, b)
}

// handOver gives the night to the publisher, once.
func (n Nightly) handOver(ctx context.Context, run *Run, out Result, p Progress) (string, error) {
	if n.Publisher == nil {
		return "", nil
	}
	if raw, err := readLimited(run.file(fileHandover), maxRunBytes); err == nil {
		var f handoverFile
		if err := json.Unmarshal(raw, &f); err != nil || f.Schema != handoverSchema {
			return "", fmt.Errorf("%s: schema %.40q, want %q", run.file(fileHandover), f.Schema, handoverSchema)
		}
		return f.Line, nil
	} else if ignoreMissing(err) != nil {
		return "", err
	}
	line, err := n.Publisher.HandOver(ctx, run, out.Night, out.Verdicts, out.Candidates)
	if err != nil {
		return "", fmt.Errorf("hand over: %w", err)
	}
	p.Say(line)
	b, err := json.Marshal(handoverFile{Schema: handoverSchema, Line: line})
	if err != nil {
		return "", err
	}
	return line, run.write(fileHandover, append(b, '\n'))
}

// Passed lists the verdicts that a scope accepts.
func (r Result) Passed(scope catalog.Scope) ([]catalog.Entry, error) {
	return Entries(r.Verdicts, scope)
}
