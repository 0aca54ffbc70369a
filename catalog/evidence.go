package catalog

import "slices"

// Predicate types of the in-toto statements in a repository. They are names,
// not addresses, and never change their meaning. The first two are ours; the
// others are read by other people's tools.
const (
	PredicateReport     = "https://github.com/arqon/arqon/gate-report/v1"
	PredicateApproval   = "https://github.com/arqon/arqon/approval/v1"
	PredicateTestResult = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateSummary    = "https://slsa.dev/verification_summary/v1"
)

// IsEvidence reports whether an entry may list a statement with the predicate.
// An approval is about a release and never about one entry.
func IsEvidence(predicate string) bool {
	return slices.Contains([]string{PredicateReport, PredicateTestResult, PredicateSummary}, predicate)
}
