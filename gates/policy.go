package gates

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Policy is what a night's judgement follows. Its digest is in every report.
// The statistics themselves are a closed list and not configurable.
//
// A zero field is not a default: start from DefaultPolicy and change fields.
type Policy struct {
	AlphaYear        float64       `json:"alpha_year" yaml:"alpha_year"`               // probability of any false promotion in a year, (0, .2]
	AlphaNight       float64       `json:"alpha_night" yaml:"alpha_night"`             // 0: AlphaYear/365
	MinEffect        float64       `json:"min_effect" yaml:"min_effect"`               // smallest effect of interest on measured success metrics, as a ratio
	PairsMax         int           `json:"pairs_max" yaml:"pairs_max"`                 // cap a candidate
	ReferencePairs   int           `json:"reference_pairs" yaml:"reference_pairs"`     // A/A pairs of a reference and of the noise probe
	CheckSeeds       int           `json:"check_seeds" yaml:"check_seeds"`             // fresh seeds of the correctness gate
	Robustness       []Disturbance `json:"robustness" yaml:"robustness"`               // nil: the usual ones, as far as the domain knows them; empty: the gate is waived, and says so
	RobustFidelity   float64       `json:"robust_fidelity" yaml:"robust_fidelity"`     // share of the gate data a disturbance is measured on
	CVaRSeeds        int           `json:"cvar_seeds" yaml:"cvar_seeds"`               // random perturbations; 0: no CVaR limit
	CVaRLimit        float64       `json:"cvar_limit" yaml:"cvar_limit"`               // how much worse the mean of the worst tenth may be
	CVaRAlpha        float64       `json:"cvar_alpha,omitempty" yaml:"cvar_alpha"`     // > 0: its upper confidence limit at 1−this must stay inside; 0: the estimate
	CanaryStages     []float64     `json:"canary_stages" yaml:"canary_stages"`         // shares of the traffic, rising to 1
	CanaryPairs      int           `json:"canary_pairs" yaml:"canary_pairs"`           // pairs a stage
	CanaryHarmAlpha  float64       `json:"canary_harm_alpha" yaml:"canary_harm_alpha"` // harm e-process rolls back at 1/this
	CanaryAlpha      float64       `json:"canary_alpha" yaml:"canary_alpha"`           // level of the canary's non-inferiority
	CanaryMargin     float64       `json:"canary_margin" yaml:"canary_margin"`         // added to the tolerance for non-inferiority under live traffic
	CanaryPairsMax   int           `json:"canary_pairs_max" yaml:"canary_pairs_max"`   // the timeout: not shown to be harmless by then = roll back
	ControlPairsMax  int           `json:"control_pairs_max" yaml:"control_pairs_max"` // cap of one control
	ControlDelay     float64       `json:"control_delay" yaml:"control_delay"`         // the synthetic delay, e.g. .03
	Approvals        int           `json:"approvals" yaml:"approvals"`                 // distinct signatures that prod needs
	ReportExpiryDays int           `json:"report_expiry_days" yaml:"report_expiry_days"`
	WaiversYear      int           `json:"waivers_year" yaml:"waivers_year"`           // distinct waivers that a year's nights may use
	WaiverDays       int           `json:"waiver_days" yaml:"waiver_days"`             // the longest that one may hold
	WaiverSignatures int           `json:"waiver_signatures" yaml:"waiver_signatures"` // approvers that it needs; fewer only where there are fewer
}

// Disturbance is one perturbation that a candidate must stand as well as the
// baseline does.
type Disturbance struct {
	Kind      string  `json:"kind" yaml:"kind"`
	Level     float64 `json:"level" yaml:"level"`
	Tolerance float64 `json:"tolerance" yaml:"tolerance"` // how much worse than the undisturbed tolerance allows, added to it
}

// DefaultPolicy is built in.
func DefaultPolicy() Policy {
	return Policy{
		AlphaYear: .01, MinEffect: .03, PairsMax: 240, ReferencePairs: 20, CheckSeeds: 3,
		RobustFidelity: .2, CVaRSeeds: 10, CVaRLimit: .1,
		CanaryStages: []float64{.01, .05, .25, .5, 1}, CanaryPairs: 8, CanaryHarmAlpha: .001,
		CanaryAlpha: .01, CanaryMargin: .05, CanaryPairsMax: 120,
		ControlPairsMax: 120, ControlDelay: .03, Approvals: 2, ReportExpiryDays: 90,
		WaiversYear: 4, WaiverDays: 30, WaiverSignatures: 2,
	}
}

// Night returns the level of one night.
func (p Policy) Night() float64 {
	if p.AlphaNight > 0 {
		return p.AlphaNight
	}
	return p.AlphaYear / 365
}

// Budget is what the policy gives the nights of one year together.
func (p Policy) Budget() Budget { return Budget{Alpha: p.AlphaYear, Waivers: p.WaiversYear} }

// usual disturbances are asked for where a policy names none.
var usual = []Disturbance{
	{Kind: "noise", Level: .1, Tolerance: .03},
	{Kind: "shift", Level: 1, Tolerance: .03},
	{Kind: "occlude", Level: .1, Tolerance: .03},
}

// disturbances are those that the robustness gate asks for. named: the policy
// itself says so, and a domain that does not know one leaves the gate open.
func (p Policy) disturbances() (_ []Disturbance, named bool) {
	if p.Robustness == nil {
		return usual, false
	}
	return p.Robustness, true
}

// Digest names the policy.
func (p Policy) Digest() artifacts.Digest {
	b, err := json.Marshal(p)
	if err != nil {
		return "" // not finite: Check refuses it
	}
	return artifacts.DigestOf(b)
}

// span is one number of a policy: what it may be and what it means. looser
// says which way gives up protection: +1 more, −1 less, 0 neither for certain.
type span struct {
	name     string
	v        float64
	min, max float64
	whole    bool
	looser   int
	about    string
}

// spans is the closed list of the policy's numbers. Check, the JSON schema and
// Looser read it.
func (p Policy) spans() []span {
	stages := float64(p.CanaryPairs * max(1, len(p.CanaryStages)))
	return []span{
		{"alpha_year", p.AlphaYear, 1e-9, .2, false, 1, "probability of any false promotion in a year"},
		{"alpha_night", p.AlphaNight, 0, p.AlphaYear, false, 1, "share of alpha_year that one night takes; 0: a 365th"},
		{"min_effect", p.MinEffect, 1e-4, 1, false, 0, "smallest effect of interest on measured success metrics, as a ratio"},
		{"pairs_max", float64(p.PairsMax), 10, 10000, true, 0, "cap of pairs a candidate"},
		{"reference_pairs", float64(p.ReferencePairs), 8, 10000, true, -1, "pairs of identical builds"},
		{"canary_margin", p.CanaryMargin, 0, 10, false, 1, "added to the tolerance for non-inferiority under live traffic"},
		{"check_seeds", float64(p.CheckSeeds), 1, 1000, true, -1, "fresh seeds of the correctness gate"},
		{"robust_fidelity", p.RobustFidelity, 1e-3, 1, false, -1, "share of the gate data that a disturbance is measured on"},
		{"cvar_seeds", float64(p.CVaRSeeds), 0, 1000, true, -1, "random disturbances; 0: no limit on the worst tenth"},
		{"cvar_limit", p.CVaRLimit, 0, 10, false, 1, "how much worse the mean of the worst tenth may be"},
		{"cvar_alpha", p.CVaRAlpha, 0, .2, false, 0, "above 0: the upper confidence limit of the worst tenth at one minus this must stay inside cvar_limit; 0: the estimate must"},
		{"canary_pairs", float64(p.CanaryPairs), 1, 1000, true, -1, "pairs a stage of the canary at least"},
		{"canary_harm_alpha", p.CanaryHarmAlpha, 1e-9, .2, false, -1, "harm rolls back at one over this"},
		{"canary_alpha", p.CanaryAlpha, 1e-9, .2, false, 1, "level of the canary's non-inferiority"},
		{"canary_pairs_max", float64(p.CanaryPairsMax), stages, 100000, true, 0, "the canary's timeout in pairs"},
		{"control_pairs_max", float64(p.ControlPairsMax), 10, 10000, true, 0, "cap of one control"},
		{"control_delay", p.ControlDelay, .005, 1, false, 1, "the synthetic delay that the controls must find"},
		{"approvals", float64(p.Approvals), 1, 100, true, -1, "distinct signatures that prod needs"},
		{"report_expiry_days", float64(p.ReportExpiryDays), 1, 3650, true, 1, "how long a report may approve"},
		{"waivers_year", float64(p.WaiversYear), 0, 1000, true, 1, "distinct waivers that the nights of a year may use"},
		{"waiver_days", float64(p.WaiverDays), 1, catalog.MaxWaiverDays, true, 1, "the longest that a waiver may hold"},
		{"waiver_signatures", float64(p.WaiverSignatures), 1, 100, true, -1, "approvers that a waiver needs; fewer only where there are fewer"},
	}
}

// Check names the first field that is impossible.
func (p Policy) Check() error {
	for _, s := range p.spans() {
		if math.IsNaN(s.v) || s.v < s.min || s.v > s.max {
			return fmt.Errorf("policy: %s is %v: want %v to %v", s.name, s.v, s.min, s.max)
		}
	}
	if need := cvarSeedsLeast(p.CVaRAlpha); p.CVaRSeeds < need {
		return fmt.Errorf("policy: cvar_seeds is %d: an upper limit at cvar_alpha %v needs at least %d, or it could never pass", p.CVaRSeeds, p.CVaRAlpha, need)
	}
	for i, d := range p.Robustness {
		if d.Kind == "" || math.IsNaN(d.Level) || math.IsInf(d.Level, 0) || !(d.Tolerance >= 0 && d.Tolerance <= 10) {
			return fmt.Errorf("policy: robustness[%d]: want a kind, a finite level and a tolerance from 0 to 10", i)
		}
	}
	if len(p.CanaryStages) == 0 || p.CanaryStages[len(p.CanaryStages)-1] != 1 {
		return fmt.Errorf("policy: canary_stages: the last stage must be 1")
	}
	last := 0.0
	for i, s := range p.CanaryStages {
		if !(s > last && s <= 1) {
			return fmt.Errorf("policy: canary_stages[%d] is %v: shares must rise from above 0 to 1", i, s)
		}
		last = s
	}
	return nil
}
