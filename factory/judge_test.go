package factory

import (
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
		Judge: ByGates(gates.Judge{AlphaPath: filepath.Join(out, "alpha.ledger")}),
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
