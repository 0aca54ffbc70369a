package publish

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func (f *forger) audit() error {
	f.t.Helper()
	c, err := trust.Open(trust.Config{Store: f.store, Root: f.made.Root, Now: func() time.Time { return night }})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = c.VerifyAll(f.t.Context(), "staging")
	return err
}

// Good evidence about one entry, listed for another.
func TestBorrowedEvidence(t *testing.T) {
	f := newForger(t)
	first := f.publish(1, 2).Release
	f.manifest(func(r *catalog.Release) {
		r.Entries[0].Evidence, r.Entries[1].Evidence = r.Entries[1].Evidence, r.Entries[0].Evidence
	})
	if err := f.audit(); trust.ReasonOf(err) != trust.BadEvidence {
		t.Errorf("audit: %v", err)
	}
	f = newForger(t)
	f.publish(1, 2)
	f.manifest(func(r *catalog.Release) { // evidence that is not signed by anybody
		b := []byte(`{"outcome":"PASS"}`)
		ref := artifacts.RefOf("report.json", "application/json", b)
		f.put(artifacts.BlobName(ref.Digest), b)
		r.Entries[0].Evidence = []catalog.Evidence{{Gate: "report", Ref: ref}}
	})
	if err := f.audit(); trust.ReasonOf(err) != trust.BadEvidence {
		t.Errorf("unsigned evidence: %v", err)
	}
	// An honest approver's tool does not sign it either.
	f = newForger(t)
	f.publish(1, 2)
	p := Proposal{Channel: "staging", Domain: "infer", Contexts: []string{"burst"}, Baseline: first.Entries[0].Variant.Identity}
	p.Entries = first.Entries // of another repository: its evidence is not here
	if _, err := f.repo().Propose(t.Context(), p); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("evidence that is nowhere was proposed: %v", err)
	}
	ref, _ := f.head().Manifest("staging")
	rel, _, err := f.repo().readManifest(t.Context(), trust.TargetName(trust.ManifestTarget("staging"), ref.Digest), ref)
	if err != nil {
		t.Fatal(err)
	}
	p.Entries = rel.Entries
	p.Entries[0].Evidence, p.Entries[1].Evidence = p.Entries[1].Evidence, p.Entries[0].Evidence
	prepared, err := f.repo().Propose(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.repo().Sign(t.Context(), prepared.Manifest); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("borrowed evidence was signed: %v", err)
	}
}

// A standard statement may stand beside a gate report and never instead of
// one; a statement of a kind that says nothing about an entry is refused.
func TestEvidenceOfOtherTypes(t *testing.T) {
	for _, c := range []struct {
		predicate string
		want      trust.Reason
	}{
		{catalog.PredicateTestResult, trust.BadEvidence}, // alone: no report
		{catalog.PredicateApproval, trust.BadEvidence},
		{"https://example.com/hearsay/v1", trust.BadEvidence},
	} {
		f := newForger(t)
		f.publish(1)
		f.manifest(func(r *catalog.Release) {
			e := &r.Entries[0]
			b, err := SignStatement(f.key(f.head().Rules.EvidenceKeys), c.predicate, []trust.Subject{{Name: "x", Digest: e.Variant.Identity}}, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			ref := artifacts.RefOf("other.sigstore.json", trust.BundleMediaType, b)
			f.put(trust.EvidenceName(ref), b)
			e.Evidence = []catalog.Evidence{{Gate: "report", Ref: ref}}
		})
		if err := f.audit(); trust.ReasonOf(err) != c.want {
			t.Errorf("%s: %v", c.predicate, err)
		}
	}
}

// Approvals that are missing, of another kind, about something else, or about
// another version.
func TestForgedApprovals(t *testing.T) {
	f := newForger(t)
	f.publish(1)
	var next catalog.Release
	f.manifest(func(r *catalog.Release) { r.Policy.WindowRequests = 7; next = *r })
	files, err := catalog.EncodeManifest(next)
	if err != nil {
		t.Fatal(err)
	}
	manifest := artifacts.DigestOf(files.Manifest)
	d, _ := f.head().Delegation("staging")
	key := f.key(d.KeyIDs)
	stranger := f.key(f.head().Root.Signed.Roles["snapshot"].KeyIDs)
	name := trust.ApprovalName(manifest, key.ID)
	if err := f.audit(); trust.ReasonOf(err) != trust.Missing {
		t.Errorf("no approval: %v", err)
	}
	good := trust.Approval{Channel: "staging", Sequence: 2, RoleVersion: 2, Base: next.Previous}
	older := good
	older.RoleVersion = 1
	for _, c := range []struct {
		what   string
		key    *Key
		kind   string
		about  artifacts.Digest
		says   trust.Approval
		reason trust.Reason
	}{
		{"another kind", key, catalog.PredicateReport, manifest, good, trust.BadEvidence},
		{"something else", key, catalog.PredicateApproval, next.Previous, good, trust.BadEvidence},
		{"another version", key, catalog.PredicateApproval, manifest, older, trust.BadEvidence},
		{"another key", stranger, catalog.PredicateApproval, manifest, good, trust.BadEvidence},
		{"the right one", key, catalog.PredicateApproval, manifest, good, ""},
	} {
		predicate, err := json.Marshal(c.says)
		if err != nil {
			t.Fatal(err)
		}
		b, err := SignStatement(c.key, c.kind, []trust.Subject{{Name: "m", Digest: c.about}}, predicate)
		if err != nil {
			t.Fatal(err)
		}
		f.put(name, b)
		err = f.audit()
		if trust.ReasonOf(err) != c.reason || (c.reason == "") != (err == nil) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
