package catalog

import "slices"

// Predicate types of the in-toto statements that are ever signed. They are
// names, not addresses, and never change their meaning. A report, a test
// result, a summary and a provenance speak about an entry; an approval about a release; a
// waiver and an adoption about what a night may judge under.
const (
	PredicateReport     = "https://github.com/arqon/arqon/gate-report/v1"
	PredicateApproval   = "https://github.com/arqon/arqon/approval/v1"
	PredicateTestResult = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateSummary    = "https://slsa.dev/verification_summary/v1"
	PredicateProvenance = "https://slsa.dev/provenance/v1"
	PredicateWaiver     = "https://github.com/arqon/arqon/waiver/v1"
	PredicatePolicy     = "https://github.com/arqon/arqon/policy-adoption/v1"
)

// IsEvidence reports whether an entry may list a statement with the predicate.
func IsEvidence(predicate string) bool {
	return slices.Contains([]string{PredicateReport, PredicateTestResult, PredicateSummary, PredicateProvenance}, predicate)
}
