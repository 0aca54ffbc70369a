package gates

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
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

// TestResult is the catalog.PredicateTestResult about one variant in the
// contexts that it was judged for, in a night whose encoded record has the
// digest: one test a context and gate, named "context/gate". A gate that found
// nothing against the variant but could not decide is warned about, and the
// result is PASSED only when the verdict of every context carries the scope.
func TestResult(n Night, judged []CandidateReport, record artifacts.Digest, s catalog.Scope) ([]byte, error) {
	passed, err := carries(n, judged, s)
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
	for _, c := range judged {
		for _, f := range c.Findings {
			test := c.Context + "/" + f.Gate
			switch f.Outcome {
			case Pass:
				out.Passed = append(out.Passed, test)
			case Inconclusive:
				out.Warned = append(out.Warned, test)
			case Fail, Invalid:
				out.Failed = append(out.Failed, test)
			}
		}
	}
	return json.Marshal(out)
}

// Summary is the catalog.PredicateSummary: that we verified the variant under
// the night's policy for a scope in the contexts that it was judged for, from
// the night's record. We say nothing about how it was built, and so name no
// SLSA build level. resourceURI identifies the variant.
func Summary(n Night, judged []CandidateReport, record artifacts.Digest, s catalog.Scope, resourceURI string) ([]byte, error) {
	passed, err := carries(n, judged, s)
	if err != nil {
		return nil, err
	}
	if resourceURI == "" || n.Ended == "" {
		return nil, errors.New("a verification summary needs the variant's address and the time of the night")
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

// Origin says how a variant was made, beside what the night's record knows.
type Origin struct {
	Study   artifacts.Digest  // what was asked for
	Seed    uint64            // the study's root seed
	Tool    artifacts.Digest  // of the program that handed over; earlier sessions of the run may have been others
	Version string            // of that program
	Point   json.RawMessage   // of the variant
	Lineage map[string]string // engine, run, trial, as the variant's labels say
}

// Provenance is the catalog.PredicateProvenance (SLSA v1) of a variant and its
// artifacts. It names no build level: the program that built is the one that
// signs, on a machine that we say nothing about.
func Provenance(n Night, record artifacts.Digest, o Origin) ([]byte, error) {
	if n.Run == "" || n.Ended == "" || len(o.Point) == 0 {
		return nil, errors.New("a provenance needs the run, the variant's point and the time of the night")
	}
	type definition struct {
		BuildType    string         `json:"buildType"`
		External     map[string]any `json:"externalParameters"`
		Internal     map[string]any `json:"internalParameters"`
		Dependencies []resource     `json:"resolvedDependencies"`
	}
	type builder struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version"`
	}
	type metadata struct {
		Invocation string `json:"invocationId"`
		Started    string `json:"startedOn,omitempty"`
		Finished   string `json:"finishedOn"`
	}
	type details struct {
		Builder    builder    `json:"builder"`
		Metadata   metadata   `json:"metadata"`
		Byproducts []resource `json:"byproducts"`
	}
	return json.Marshal(struct {
		Definition definition `json:"buildDefinition"`
		Details    details    `json:"runDetails"`
	}{
		definition{
			BuildType: VerifierID + "/nightly/v1",
			External:  map[string]any{"study": n.Study, "domain": n.Domain, "seed": strconv.FormatUint(o.Seed, 10)},
			Internal:  map[string]any{"point": o.Point, "lineage": o.Lineage},
			Dependencies: []resource{
				resourceOf("study", o.Study), resourceOf("policy", n.PolicyDigest), resourceOf("arqon", o.Tool),
			},
		},
		details{
			Builder:    builder{ID: VerifierID + "/nightly", Version: map[string]string{"arqon": o.Version}},
			Metadata:   metadata{Invocation: n.Run, Started: n.Started, Finished: n.Ended},
			Byproducts: []resource{resourceOf("night.json", record)},
		},
	})
}

// carries reports whether the findings of every context reach the scope, in a
// night that counts.
func carries(n Night, judged []CandidateReport, s catalog.Scope) (bool, error) {
	if lastGate(s) == "" {
		return false, fmt.Errorf("scope %q: not one of canary, staging, prod", s)
	}
	if len(judged) == 0 {
		return false, errors.New("nothing was judged: a statement needs at least one context")
	}
	for _, c := range judged {
		if !Carries(c, s) {
			return false, nil
		}
	}
	return n.Outcome == Pass, nil
}

// Carries reports whether the candidate passed every gate that the scope needs.
func Carries(c CandidateReport, s catalog.Scope) bool {
	last := lastGate(s)
	return last != "" && Verdict{Findings: c.Findings}.Passed(last)
}
