package gates

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// The predicate types that other people's tools read, beside our own report.
// The encoders are pure; signing them is publish's.
const (
	PredicateTestResult = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateSummary    = "https://slsa.dev/verification_summary/v1"
)

// VerifierID names us in a verification summary.
const VerifierID = "https://github.com/arqon/arqon"

type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

func resourceOf(name string, d artifacts.Digest) resource {
	return resource{Name: name, Digest: map[string]string{"sha256": d.Hex()}}
}

// TestResult is the predicate of in-toto's test-result v0.1 about one candidate
// of a night whose encoded record has the digest: one test a gate. A gate that
// found nothing against the candidate but could not decide is warned about, and
// the result is PASSED only when the verdict carries the scope.
func TestResult(n Night, c CandidateReport, record artifacts.Digest, s catalog.Scope) ([]byte, error) {
	passed, err := carries(n, c, s)
	if err != nil {
		return nil, err
	}
	out := struct {
		Result        string     `json:"result"`
		Configuration []resource `json:"configuration"`
		Passed        []string   `json:"passedTests"`
		Warned        []string   `json:"warnedTests"`
		Failed        []string   `json:"failedTests"`
	}{
		Result: "FAILED", Passed: []string{}, Warned: []string{}, Failed: []string{},
		Configuration: []resource{resourceOf("policy", n.PolicyDigest), resourceOf("night.json", record), resourceOf("samples", n.SamplesRoot)},
	}
	if passed {
		out.Result = "PASSED"
	}
	for _, f := range c.Findings {
		switch f.Outcome {
		case Pass:
			out.Passed = append(out.Passed, f.Gate)
		case Inconclusive:
			out.Warned = append(out.Warned, f.Gate)
		case Fail, Invalid:
			out.Failed = append(out.Failed, f.Gate)
		}
	}
	return json.Marshal(out)
}

// Summary is the predicate of a SLSA verification summary v1: that we verified
// the candidate under the night's policy for a scope, from the night's record.
// We say nothing about how it was built, and so name no SLSA build level.
// resourceURI is where the variant is fetched from.
func Summary(n Night, c CandidateReport, record artifacts.Digest, s catalog.Scope, resourceURI string) ([]byte, error) {
	passed, err := carries(n, c, s)
	if err != nil {
		return nil, err
	}
	if resourceURI == "" || n.Ended == "" {
		return nil, fmt.Errorf("%s: a verification summary needs the variant's address and the time of the night", c.Name)
	}
	type verifier struct {
		ID string `json:"id"`
	}
	out := struct {
		Verifier    verifier   `json:"verifier"`
		Time        string     `json:"timeVerified"`
		ResourceURI string     `json:"resourceUri"`
		Policy      resource   `json:"policy"`
		Inputs      []resource `json:"inputAttestations"`
		Result      string     `json:"verificationResult"`
		Levels      []string   `json:"verifiedLevels"`
	}{
		Verifier: verifier{ID: VerifierID}, Time: n.Ended, ResourceURI: resourceURI, Result: "FAILED", Levels: []string{},
		Policy: resource{URI: "sha256:" + n.PolicyDigest.Hex(), Digest: map[string]string{"sha256": n.PolicyDigest.Hex()}},
		Inputs: []resource{{URI: "sha256:" + record.Hex(), Digest: map[string]string{"sha256": record.Hex()}}},
	}
	if passed {
		out.Result = "PASSED"
		out.Levels = append(out.Levels, "SLSA_BUILD_LEVEL_UNEVALUATED", "ARQON_SCOPE_"+strings.ToUpper(string(s)))
	}
	return json.Marshal(out)
}

// carries reports whether the candidate's findings reach the scope in a night
// that counts.
func carries(n Night, c CandidateReport, s catalog.Scope) (bool, error) {
	last := lastGate(s)
	if last == "" {
		return false, fmt.Errorf("scope %q: not one of canary, staging, prod", s)
	}
	return n.Outcome == Pass && Verdict{Findings: c.Findings}.Passed(last), nil
}
