package factory

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// lines collects what a Progress hears.
type lines struct{ said, steps []string }

func (l *lines) Say(s string) { l.said = append(l.said, s) }
func (l *lines) Step(name string, done, total int, note string) {
	l.steps = append(l.steps, name+" "+note)
}

// The real gates judge what the toy's search found: references pass, and what
// is better on fresh data is allowed into a canary.
func TestTheGatesJudgeANight(t *testing.T) {
	out := t.TempDir()
	run, err := NewRun(out, written(t, "domain: toy", "domain: toy\npolicy: {robustness: [], cvar_seeds: 0}"))
	if err != nil {
		t.Fatal(err)
	}
	heard := &lines{}
	n := Nightly{
		Domain: &toy{items: true}, Engines: toyEngines(), Progress: heard,
		Judge: byGates(gates.Judge{AlphaPath: filepath.Join(out, "alpha.ledger")}),
	}
	result, err := n.Do(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := result.Passed(catalog.ScopeCanary)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]int{}
	for _, e := range entries {
		for _, c := range e.Envelope.Contexts {
			if !e.Reference {
				served[c]++
			}
		}
	}
	for i, c := range result.Night.Candidates {
		t.Logf("%s %s: %s %s", c.Name, c.Context, c.Outcome, c.Why)
		if got := result.Verdicts[i].Reference; got != result.Candidates.List[i].Reference {
			t.Error("verdicts are not in the candidates' order")
		}
	}
	if len(served) != 4 || !entries[0].Reference || len(entries[0].Envelope.Contexts) != 3 {
		t.Errorf("served: %v, first entry %+v", served, entries[0].Envelope)
	}
	if len(heard.steps) == 0 || len(heard.said) == 0 {
		t.Error("nothing was told")
	}
	before := snapshot(t, run.Path)
	closed(t, run)
	if run, err = OpenRun(run.Path); err != nil {
		t.Fatal(err)
	}
	d := &toy{items: true}
	n.Domain = d
	if _, err := n.Do(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	closed(t, run)
	if after := snapshot(t, run.Path); after != before || d.measures.Load() != 0 {
		t.Errorf("a second look measured %d times or changed the run", d.measures.Load())
	}
}

// byGates is a Judge with the real gates: a copy of base, given the run's
// domain, description, baseline, policy, seed, ledger and names.
func byGates(base gates.Judge) func(context.Context, Case) (gates.Night, []gates.Verdict, error) {
	return func(ctx context.Context, c Case) (gates.Night, []gates.Verdict, error) {
		j := base
		j.Domain, j.Description, j.Baseline = c.Domain, c.Description, c.Candidates.Baseline
		j.Policy, j.Seed, j.LedgerPath = c.Run.Study.Policy, c.Run.NightSeed(), c.Ledger
		j.Run, j.Study = c.Run.Name, c.Run.Study.Name
		if j.Progress == nil {
			j.Progress = func(s gates.Step) { tell(heard(c.Progress), s) }
		}
		return j.Night(ctx, c.Candidates.List)
	}
}

// tell puts a step of the gates into a Progress.
func tell(p Progress, s gates.Step) {
	if s.Spoke && s.Outcome != gates.Pass && s.Candidate != "" {
		p.Say(fmt.Sprintf("%s: %s %s", s.Candidate, s.Gate, s.Outcome))
	}
	note := s.Gate
	if s.Candidate != "" {
		note = s.Candidate + " " + s.Gate
	}
	if s.Pairs > 0 {
		note += fmt.Sprintf(" %d/%d pairs", s.Pairs, s.PairsMax)
	}
	p.Step("gates", s.Done, s.Total, note)
}
