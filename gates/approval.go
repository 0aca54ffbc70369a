package gates

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/arqon/arqon/artifacts"
)

// Approver collects signatures over a candidate's report. It answers PASS when
// the policy is satisfied, INCONCLUSIVE while signatures are missing, FAIL
// when somebody refused. An error means that it could not answer.
type Approver interface {
	Approve(ctx context.Context, subject artifacts.Digest, policy Policy) (Finding, error)
}

// approval is gate 6. Only an answer for good (PASS, FAIL) is recorded; a
// resumed night asks again while signatures are missing.
func (t *trial) approval(ctx context.Context) (Finding, error) {
	key := "approval/" + t.key
	waiting := Finding{Outcome: Inconclusive, Reason: fmt.Sprintf("awaits signatures: prod needs %d", t.j.Policy.Approvals)}
	if t.j.rec.knows(key) {
		return recall(t.j.rec, key, func() (Finding, error) { return waiting, nil })
	}
	if t.j.Approver == nil {
		return waiting, nil
	}
	subject, err := t.rep.Subject()
	if err != nil {
		return Finding{}, err
	}
	f, err := t.j.Approver.Approve(ctx, subject, t.j.Policy)
	if err != nil {
		return Finding{}, err
	}
	f.Gate = GateApproval
	if f.Outcome == Pass || f.Outcome == Fail {
		return recall(t.j.rec, key, func() (Finding, error) { return f, nil })
	}
	return f, nil
}

// Subject is what an approver signs: the digest of the report without the
// approval's own finding.
func (c CandidateReport) Subject() (artifacts.Digest, error) {
	var kept []Finding
	for _, f := range c.Findings {
		if f.Gate != GateApproval {
			kept = append(kept, f)
		}
	}
	c.Findings = kept
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	return artifacts.DigestOf(b), nil
}
