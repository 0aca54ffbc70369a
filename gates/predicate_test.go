package gates

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

func TestPredicates(t *testing.T) {
	finding := func(gate string, o Outcome) Finding { return Finding{Gate: gate, Outcome: o} }
	good := CandidateReport{Name: "good", Context: "calm", Findings: []Finding{
		finding(GateCorrectness, Pass), finding(GateEnvelope, Pass), finding(GateRobustness, Pass),
		finding(GateRegression, Pass), finding(GateCanary, Pass), finding(GateApproval, Inconclusive),
	}}
	bad := CandidateReport{Name: "bad", Context: "calm", Findings: []Finding{finding(GateCorrectness, Pass), finding(GateEnvelope, Fail)}}
	n := Night{Outcome: Pass, Ended: "2026-01-02T03:04:05Z", PolicyDigest: artifacts.DigestOf([]byte("p"))}
	record := artifacts.DigestOf([]byte("night"))
	read := func(b []byte, err error) (v struct {
		Result, VerificationResult, TimeVerified              string
		PassedTests, WarnedTests, FailedTests, VerifiedLevels []string
		Policy                                                struct{ Digest map[string]string }
		InputAttestations, Configuration                      []struct{ Digest map[string]string }
	}) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := read(TestResult(n, []CandidateReport{good}, record, catalog.ScopeStaging))
	if v.Result != "PASSED" || len(v.PassedTests) != 5 || !slices.Equal(v.WarnedTests, []string{"calm/approval"}) || len(v.Configuration) != 3 {
		t.Errorf("good: %+v", v)
	}
	if v := read(TestResult(n, []CandidateReport{good}, record, catalog.ScopeProd)); v.Result != "FAILED" {
		t.Errorf("without approval: %+v", v)
	}
	if v := read(TestResult(n, []CandidateReport{bad}, record, catalog.ScopeCanary)); v.Result != "FAILED" || !slices.Equal(v.FailedTests, []string{"calm/envelope"}) {
		t.Errorf("bad: %+v", v)
	}
	v = read(Summary(n, []CandidateReport{good}, record, catalog.ScopeStaging, "file:///catalog"))
	if v.VerificationResult != "PASSED" || v.TimeVerified != n.Ended || !slices.Contains(v.VerifiedLevels, "ARQON_SCOPE_STAGING") ||
		v.Policy.Digest["sha256"] != n.PolicyDigest.Hex() || v.InputAttestations[0].Digest["sha256"] != record.Hex() {
		t.Errorf("summary: %+v", v)
	}
	if v := read(Summary(n, []CandidateReport{good, bad}, record, catalog.ScopeCanary, "file:///catalog")); v.VerificationResult != "FAILED" {
		t.Errorf("one context of two failed: %+v", v)
	}
	if _, err := TestResult(n, nil, record, catalog.ScopeCanary); err == nil {
		t.Error("a result about nothing was written")
	}
	n.Outcome = Invalid
	if v := read(Summary(n, []CandidateReport{good}, record, catalog.ScopeStaging, "file:///catalog")); v.VerificationResult != "FAILED" || len(v.VerifiedLevels) != 0 {
		t.Errorf("an INVALID night: %+v", v)
	}
	if _, err := Summary(n, []CandidateReport{good}, record, "moon", "file:///catalog"); err == nil {
		t.Error("a scope that is none was summarised")
	}
	if _, err := Summary(n, []CandidateReport{good}, record, catalog.ScopeProd, ""); err == nil {
		t.Error("a variant without an address was summarised")
	}
}
