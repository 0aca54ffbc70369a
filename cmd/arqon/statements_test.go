package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// The report tells of every context, also of those that refused the variant;
// the standard statements speak for those in which it may serve.
func TestStatements(t *testing.T) {
	v := catalog.Variant{Name: "burst-1", Domain: "toy", Point: json.RawMessage(`{"x":1}`), Identity: artifacts.DigestOf([]byte("v"))}
	findings := func(last gates.Outcome) (all []gates.Finding) {
		for _, g := range gates.Order()[:5] {
			all = append(all, gates.Finding{Gate: g, Outcome: gates.Pass})
		}
		all[4].Outcome = last
		return all
	}
	night := gates.Night{Run: "r-1", Outcome: gates.Pass, Ended: "2026-01-02T03:04:05Z", Candidates: []gates.CandidateReport{
		{Name: v.Name, Identity: v.Identity, Context: "calm", Findings: findings(gates.Pass)},
		{Name: v.Name, Identity: v.Identity, Context: "rough", Findings: findings(gates.Fail)},
		{Name: "other", Identity: artifacts.DigestOf([]byte("w")), Context: "calm", Findings: findings(gates.Pass)},
	}}
	record := artifacts.DigestOf([]byte("night"))
	got, err := statements(night, []catalog.Entry{{Variant: v}}, record, catalog.ScopeStaging, gates.Origin{Study: record, Seed: 7, Tool: record, Version: "1"})
	if err != nil || len(got) != 4 {
		t.Fatalf("%d statements, %v", len(got), err)
	}
	for _, ev := range got {
		if ev.Identity != v.Identity {
			t.Errorf("%s is about %s", ev.Gate, ev.Identity)
		}
	}
	var report statement
	if err := json.Unmarshal(got[0].Predicate, &report); err != nil || len(report.Candidates) != 2 || report.Night != record {
		t.Errorf("report: %s, %v", got[0].Predicate, err)
	}
	if s := string(got[1].Predicate); got[1].Type != catalog.PredicateTestResult || !strings.Contains(s, `"result":"PASSED"`) ||
		!strings.Contains(s, `"calm/canary"`) || strings.Contains(s, "rough") {
		t.Errorf("test result: %s", s)
	}
	if s := string(got[2].Predicate); got[2].Type != catalog.PredicateSummary || !strings.Contains(s, `"verificationResult":"PASSED"`) ||
		!strings.Contains(s, `"pkg:generic/arqon/toy/burst-1?checksum=`+string(v.Identity)) {
		t.Errorf("summary: %s", s)
	}
	if s := string(got[3].Predicate); got[3].Type != catalog.PredicateProvenance || !strings.Contains(s, `"seed":"7"`) || !strings.Contains(s, `"point":{"x":1}`) {
		t.Errorf("provenance: %s", s)
	}
}
