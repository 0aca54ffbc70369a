package factory

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/gates"
)

// ByGates is the Judge of a real night: a copy of base, given the run's domain,
// description, baseline, policy, seed, ledger and names. base brings what the
// run does not know: the host, the year's alpha ledger, the canary, the
// approver, the clock. Without a Progress of its own it tells the night's.
func ByGates(base gates.Judge) func(context.Context, Case) (gates.Night, []gates.Verdict, error) {
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
