package gates

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
)

// checksOnDisk is one seed's answer.
type checksOnDisk struct {
	Checks      []benchmarks.Check `json:"checks"`
	Failed      string             `json:"failed,omitempty"`
	Unsupported bool               `json:"unsupported,omitempty"`
}

// Pseudo-checks carry what is not a domain's check.
const (
	checkRun      = "arqon: ran"
	checkIdentity = "arqon: identity"
	checkNone     = "arqon: none"
)

// correctness is gate 1: the bundle is the variant that it claims to be, and
// every invariant and golden output holds under several fresh seeds. Any
// counterexample fails; there are no statistics here. No answer is not a pass.
func (t *trial) correctness(ctx context.Context) (Finding, error) {
	id, err := recall(t.j.rec, "check/"+t.key+"/identity", func() (checksOnDisk, error) {
		return checksOnDisk{Checks: []benchmarks.Check{identityCheck(t.c)}}, nil
	})
	if err != nil {
		return Finding{}, err
	}
	t.keep(0, id)
	if !id.Checks[0].Pass {
		return Finding{Outcome: Invalid, Reason: id.Checks[0].Detail}, nil
	}
	checks := 0
	for i := range t.j.Policy.CheckSeeds {
		s := seed.Derive(t.j.Seed, "gates/check/"+t.key, uint64(i))
		got, err := recall(t.j.rec, fmt.Sprintf("check/%s/%d", t.key, i), func() (checksOnDisk, error) {
			return t.check(ctx, s)
		})
		if err != nil {
			return Finding{}, err
		}
		t.keep(s, got)
		if f, stop := judgeChecks(s, got); stop {
			if i := slices.IndexFunc(got.Checks, func(c benchmarks.Check) bool { return !c.Pass }); i >= 0 && got.Failed == "" {
				if err := t.shrink(ctx, got.Checks[i], s); err != nil {
					return Finding{}, err
				}
				f.Reason += t.rep.Counterexample.words()
			}
			return f, nil
		}
		checks += len(got.Checks)
	}
	return Finding{Outcome: Pass, Reason: fmt.Sprintf("%d checks held under %d fresh seeds", checks, t.j.Policy.CheckSeeds)}, nil
}

// judgeChecks says whether one seed's answer ends the gate.
func judgeChecks(s uint64, got checksOnDisk) (Finding, bool) {
	switch {
	case got.Unsupported:
		return Finding{Outcome: Inconclusive, Reason: "the domain offers no correctness checks: " + got.Failed}, true
	case got.Failed != "":
		return Finding{Outcome: Fail, Reason: "the checks could not run: " + got.Failed}, true
	case len(got.Checks) == 0:
		return Finding{Outcome: Inconclusive, Reason: "the domain ran no correctness check"}, true
	}
	for _, c := range got.Checks {
		if !c.Pass {
			return Finding{Outcome: Fail, Reason: fmt.Sprintf("check %q does not hold with seed %d: %s", c.Name, s, c.Detail)}, true
		}
	}
	return Finding{}, false
}

func (t *trial) check(ctx context.Context, s uint64) (checksOnDisk, error) {
	in, err := t.arm.open(ctx, t.j.Domain)
	var checks []benchmarks.Check
	if err == nil {
		checks, err = in.Check(ctx, s)
	}
	if ctx.Err() != nil {
		return checksOnDisk{}, ctx.Err()
	}
	if err != nil {
		return checksOnDisk{Failed: err.Error(), Unsupported: errors.Is(err, benchmarks.ErrUnsupported)}, nil
	}
	if len(checks) == 0 {
		checks = nil // one form on disk
	}
	return checksOnDisk{Checks: checks}, nil
}

// keep puts an answer into the report; a failure becomes a check of its own.
func (t *trial) keep(s uint64, got checksOnDisk) {
	for _, c := range got.Checks {
		t.rep.Checks = append(t.rep.Checks, CheckRecord{Seed: s, Check: c})
	}
	if len(got.Checks) == 0 && got.Failed == "" {
		t.rep.Checks = append(t.rep.Checks, CheckRecord{Seed: s, Check: benchmarks.Check{Name: checkNone}})
	}
	if got.Failed != "" {
		t.rep.Checks = append(t.rep.Checks, CheckRecord{Seed: s, Check: benchmarks.Check{Name: checkRun, Detail: got.Failed}, Unsupported: got.Unsupported})
	}
}

// identityCheck: evidence about other bytes is no evidence.
func identityCheck(c Candidate) benchmarks.Check {
	out := benchmarks.Check{Name: checkIdentity}
	if want := catalog.IdentityOf(c.Variant); c.Variant.Identity == "" || c.Variant.Identity != want {
		out.Detail = fmt.Sprintf("the variant's identity is %s, its point and artifacts give %s", c.Variant.Identity.Short(), want.Short())
		return out
	}
	refs := c.Bundle.Refs()
	if len(refs) != len(c.Variant.Artifacts) {
		out.Detail = fmt.Sprintf("the bundle has %d files, the variant names %d artifacts", len(refs), len(c.Variant.Artifacts))
		return out
	}
	for i, r := range refs {
		if r.Digest != c.Variant.Artifacts[i].Digest {
			out.Detail = fmt.Sprintf("file %s is %s, the variant names %s: %v", r.Name, r.Digest.Short(), c.Variant.Artifacts[i].Digest.Short(), artifacts.ErrCorrupt)
			return out
		}
	}
	out.Pass = true
	return out
}
