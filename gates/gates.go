// Package gates turns a candidate into a verdict: six gates in order, cheap
// ones first, each failing closed, on measurements that the search never saw.
//
// Statistics live in gates/evalue (pure), the pages people read in
// gates/report. The package neither searches nor signs: the canary's runtime
// and the approval's keys are handed in by the caller through small interfaces.
package gates

import (
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
)

// Outcome is what a gate says. The zero Outcome is Invalid; only Pass promotes.
type Outcome int

// The outcomes.
const (
	Invalid Outcome = iota
	Inconclusive
	Fail
	Pass
)

var outcomeNames = [...]string{"INVALID", "INCONCLUSIVE", "FAIL", "PASS"}

func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeNames) {
		return "INVALID"
	}
	return outcomeNames[o]
}

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts exactly the four names.
func (o *Outcome) UnmarshalText(b []byte) error {
	for i, n := range outcomeNames {
		if n == string(b) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("outcome %.40q: want one of %v", b, outcomeNames)
}

// The gates, in order.
const (
	GateCorrectness = "correctness"
	GateEnvelope    = "envelope"
	GateRobustness  = "robustness"
	GateRegression  = "regression"
	GateCanary      = "canary"
	GateApproval    = "approval"
)

// Order lists the gates as a candidate meets them.
func Order() []string {
	return []string{GateCorrectness, GateEnvelope, GateRobustness, GateRegression, GateCanary, GateApproval}
}

// Claim is what the search believed. It is shown beside the fresh estimate and
// never enters one.
type Claim struct {
	Metric      string  `json:"metric"`
	Change      float64 `json:"change"` // on the metric's compare scale, < 0 or > 0 as measured
	Loss        float64 `json:"loss"`
	Evaluations int     `json:"evaluations"`
}

// Lineage says where a candidate came from.
type Lineage struct {
	Run     string `json:"run"`
	Engine  string `json:"engine"`
	Trial   int    `json:"trial"`
	Origin  string `json:"origin"`
	Context string `json:"context"`
}

// Candidate is a variant that wants to be approved for one context. Its
// variant has no id: only a publish allocates one.
type Candidate struct {
	Variant   catalog.Variant
	Envelope  catalog.Envelope
	Context   string
	Claim     Claim
	Lineage   Lineage
	Bundle    benchmarks.Bundle
	Reference bool // the baseline itself: must be not worse than itself, cannot be better
}

// Finding is one gate's answer. A refusal is data, not an error.
type Finding struct {
	Gate     string             `json:"gate"`
	Outcome  Outcome            `json:"outcome"`
	Reason   string             `json:"reason"` // one sentence with the numbers
	Evidence []catalog.Evidence `json:"evidence,omitempty"`
}

// Verdict is everything the gates found about one candidate.
type Verdict struct {
	Candidate    artifacts.Digest       `json:"candidate"` // the variant's identity
	Context      string                 `json:"context"`
	Reference    bool                   `json:"reference,omitempty"`
	Findings     []Finding              `json:"findings"`
	Curves       []catalog.LatencyCurve `json:"curves"`
	Expectations []catalog.Expectation  `json:"expectations"`
	Waivers      []Grant                `json:"waivers,omitempty"` // that it was judged under

	variant  catalog.Variant
	envelope catalog.Envelope
}

// ErrNotPassed is wrapped by Verdict.Entry when a needed gate has not passed.
var ErrNotPassed = errors.New("gate has not passed")

// Passed reports whether every gate up to and including last has passed.
func (v Verdict) Passed(last string) bool { return v.missing(last) == "" }

// missing names the first gate up to last without a PASS, or "".
func (v Verdict) missing(last string) string {
	for _, g := range Order() {
		passed := false
		for _, f := range v.Findings {
			if f.Gate == g {
				passed = f.Outcome == Pass
			}
		}
		if !passed {
			return g
		}
		if g == last {
			return ""
		}
	}
	return last
}

// lastGate is the last gate that a scope needs.
func lastGate(s catalog.Scope) string {
	switch s {
	case catalog.ScopeCanary:
		return GateRegression
	case catalog.ScopeStaging:
		return GateCanary
	case catalog.ScopeProd:
		return GateApproval
	}
	return ""
}

// Entry is the only way from a verdict into a catalog: an error wrapping
// ErrNotPassed unless every gate that the scope needs has passed.
func (v Verdict) Entry(id catalog.VariantID, s catalog.Scope) (catalog.Entry, error) {
	last := lastGate(s)
	if last == "" {
		return catalog.Entry{}, fmt.Errorf("scope %q: not one of canary, staging, prod", s)
	}
	if g := v.missing(last); g != "" {
		return catalog.Entry{}, fmt.Errorf("%s for scope %s: %s: %w", v.variant.Name, s, g, ErrNotPassed)
	}
	if id == catalog.BuiltIn {
		return catalog.Entry{}, errors.New("id 0 is the host's built-in fallback and cannot be an entry")
	}
	e := catalog.Entry{
		ID: id, Variant: v.variant, Envelope: v.envelope, Curves: v.Curves,
		Expectations: v.Expectations, Scope: s, Fallback: catalog.BuiltIn, Reference: v.Reference,
	}
	for _, g := range v.Waivers {
		e.Waivers = append(e.Waivers, catalog.Waived{Waiver: g.Waiver, File: g.File})
	}
	for _, f := range v.Findings {
		e.Evidence = append(e.Evidence, f.Evidence...)
	}
	return e, nil
}
