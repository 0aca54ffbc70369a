package gates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
)

// NightSchema is the only schema that this version reads and writes. Its number
// also names the statistics: what another number recorded does not follow from
// its samples by this code.
const NightSchema = "arqon-night/2"

// maxNightBytes is the largest night that is read.
const maxNightBytes = 256 << 20

// What DecodeNight refuses.
var (
	// ErrNewerNight: the record was written by a later version of Arqon.
	ErrNewerNight = errors.New("written by a newer arqon")
	// ErrOlderNight: the record was written by an earlier version of Arqon,
	// whose statistics were others.
	ErrOlderNight = errors.New("written by an older arqon, whose statistics were others")
	// ErrBadNight: the bytes are not a night record.
	ErrBadNight = errors.New("not a night record")
)

// Night is the whole record of one night of judging: what the reports render
// and what Recompute derives again from the raw data. It is closed: unknown
// fields are refused.
//
// Changes (Result.Change, Lower, Upper, Claim.Change) are signed as measured:
// candidate against baseline, B/A−1 for "ratio" and B−A for "difference".
// Whether negative is good depends on the metric's direction. All e-values are
// natural logarithms, because they overflow otherwise.
type Night struct {
	Schema       string            `json:"schema"`
	Run          string            `json:"run"`
	Study        string            `json:"study"`
	Domain       string            `json:"domain"`
	Version      string            `json:"domain_version,omitempty"`
	Wording      wording           `json:"wording,omitempty"` // of the sentences
	Seed         uint64            `json:"seed,string"`       // the night seed: coins, item orders and gate data derive from it
	Host         Host              `json:"host"`
	Started      string            `json:"started"` // RFC 3339, given by the caller
	Ended        string            `json:"ended"`
	Outcome      Outcome           `json:"outcome"` // INVALID: a control failed, nothing is promoted; PASS: the night counts
	Reason       string            `json:"reason"`
	Policy       Policy            `json:"policy"`
	PolicyDigest artifacts.Digest  `json:"policy_digest"`
	Alpha        Alpha             `json:"alpha"`
	Anchor       *AnchorRecord     `json:"anchor,omitempty"`        // nil: no epoch is pinned
	Waivers      []Grant           `json:"waivers,omitempty"`       // that widened tonight's metrics
	NoiseHistory *NoiseHistory     `json:"noise_history,omitempty"` // nil: none is kept
	Controls     []Control         `json:"controls"`
	Noise        []NoiseFloor      `json:"noise"`
	Candidates   []CandidateReport `json:"candidates"`
	Funnel       []GateCount       `json:"funnel"` // one a gate, in order
	Portfolio    *Portfolio        `json:"portfolio,omitempty"`
	Contexts     []ContextRecord   `json:"contexts"`         // the metrics as they hold in each context
	Evals        []EvalRecord      `json:"evals,omitempty"`  // raw deterministic measurements
	Probes       []Probe           `json:"probes,omitempty"` // identical builds measured for the noise alone
	Events       []Event           `json:"events,omitempty"` // what the machine did while measuring
	Series       []Series          `json:"series,omitempty"` // raw item values, named by digest
	RawDigest    artifacts.Digest  `json:"raw_digest"`       // of everything measured: see Night.Raw
	SamplesRoot  artifacts.Digest  `json:"samples_root"`     // Merkle root over the raw answers: see Night.Leaves
	Samples      int               `json:"samples"`          // how many leaves it has
	Seal         artifacts.Digest  `json:"seal"`             // last: digest of the record's bytes with an empty seal

	items map[artifacts.Digest][]float32 // of Series, as DecodeNight unpacked them
}

// Host is the machine that measured.
type Host struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPU   string `json:"cpu,omitempty"`
	Cores int    `json:"cores,omitempty"`
	Go    string `json:"go,omitempty"`
}

// Alpha is the error budget: what a year allows, what tonight takes of it and
// the bar that an e-value must cross.
type Alpha struct {
	Year   float64 `json:"year"`
	Night  float64 `json:"night"`
	Spent  float64 `json:"spent"`   // this year, tonight included
	Nights int     `json:"nights"`  // charged this year, tonight included
	K      int     `json:"k"`       // candidates registered before the first pair
	Bar    float64 `json:"bar"`     // K/Night
	LogBar float64 `json:"log_bar"` // ln(K/Night)
	Test   float64 `json:"test"`    // Night/K: the level of one candidate

	Sequence uint64 `json:"sequence"` // of the charge in the year's ledger
	Head     string `json:"head"`     // the ledger's chain after the charge: what this night remembers of it
}

// Control is one of the night's checks on itself.
type Control struct {
	Name    string       `json:"name"` // "a/a", "delay +3 %", "delay -3 %"
	Context string       `json:"context"`
	Metric  string       `json:"metric,omitempty"`
	Want    string       `json:"want"`
	Outcome Outcome      `json:"outcome"` // INCONCLUSIVE: not applicable, says why
	Reason  string       `json:"reason"`
	LogE    float64      `json:"log_e"`
	LogBar  float64      `json:"log_bar"`
	Change  float64      `json:"change"`
	Race    Race         `json:"race"`
	Pairs   []PairRecord `json:"pairs,omitempty"`
	Failed  string       `json:"failed,omitempty"` // why the next pair could not be measured
}

// Probe is identical builds measured in a context that has no reference.
type Probe struct {
	Context string       `json:"context"`
	Pairs   []PairRecord `json:"pairs"`
	Failed  string       `json:"failed,omitempty"`
}

// NoiseFloor is what identical code did tonight: no smaller change may be
// claimed on this host.
type NoiseFloor struct {
	Context string  `json:"context"`
	Metric  string  `json:"metric"`
	Pairs   int     `json:"pairs"`
	SD      float64 `json:"sd"`    // of one pair's log ratio, 1.4826·MAD
	Floor   float64 `json:"floor"` // of |change|: what identical builds showed and two standard errors
}

// CandidateReport is everything about one candidate in one context.
type CandidateReport struct {
	Name           string                 `json:"name"`
	Identity       artifacts.Digest       `json:"identity"`
	Context        string                 `json:"context"`
	Type           string                 `json:"type"`
	Point          json.RawMessage        `json:"point"`
	Reference      bool                   `json:"reference,omitempty"` // the baseline itself
	Lineage        Lineage                `json:"lineage"`
	Claim          Claim                  `json:"claim"`
	Waivers        []Grant                `json:"waivers,omitempty"` // that it was judged under
	Outcome        Outcome                `json:"outcome"`           // of the last gate that spoke before approval: a missing signature is no fault of a candidate
	Gate           string                 `json:"gate"`              // that gate
	Why            string                 `json:"why"`               // one sentence with the numbers
	Findings       []Finding              `json:"findings"`
	Results        []Result               `json:"results"`
	Checks         []CheckRecord          `json:"checks,omitempty"`
	Counterexample *Counterexample        `json:"counterexample,omitempty"` // of a failed correctness check
	Plan           Plan                   `json:"plan"`
	Pairs          []PairRecord           `json:"pairs,omitempty"` // in time order
	PairsDigest    artifacts.Digest       `json:"pairs_digest,omitempty"`
	PairFailed     string                 `json:"pair_failed,omitempty"`  // why the next pair could not be measured
	AnchorPairs    []PairRecord           `json:"anchor_pairs,omitempty"` // the epoch's anchor (a) and the candidate (b)
	AnchorFailed   string                 `json:"anchor_failed,omitempty"`
	Stop           string                 `json:"stop,omitempty"` // why measuring pairs ended
	Canary         *CanaryRecord          `json:"canary,omitempty"`
	WhatIf         []string               `json:"what_if,omitempty"` // what would change the verdict
	Command        string                 `json:"command"`           // re-derives this page
	Curves         []catalog.LatencyCurve `json:"curves,omitempty"`
	Expectations   []catalog.Expectation  `json:"expectations,omitempty"`
}

// ContextRecord is one context with its metrics: roles, tolerances and limits
// as they hold there.
type ContextRecord struct {
	Name    string         `json:"name"`
	Metrics []MetricRecord `json:"metrics"`
}

// MetricRecord is benchmarks.Metric on disk.
type MetricRecord struct {
	Name      string                `json:"name"`
	Unit      string                `json:"unit"`
	Direction benchmarks.Direction  `json:"direction"`
	Kind      benchmarks.MetricKind `json:"kind"`
	Role      benchmarks.Role       `json:"role"`
	Compare   benchmarks.Compare    `json:"compare"`
	Tolerance float64               `json:"tolerance"`
	Limit     *float64              `json:"limit,omitempty"`
	Range     *[2]float64           `json:"range,omitempty"`
	Declared  *Declared             `json:"declared,omitempty"` // what it would be held to without a waiver; nil: there is none
}

// EvalRecord is one arm's deterministic metrics on the gate data.
type EvalRecord struct {
	Key         string                      `json:"key"`
	Values      map[string]float64          `json:"values,omitempty"`
	Items       map[string]artifacts.Digest `json:"items,omitempty"`  // by metric, among Night.Series
	Failed      string                      `json:"failed,omitempty"` // why there are no values
	Unsupported bool                        `json:"unsupported,omitempty"`
}

// Result is how one metric was judged by one gate.
type Result struct {
	Gate         string                   `json:"gate"`
	Metric       string                   `json:"metric"`
	Unit         string                   `json:"unit"`
	Direction    benchmarks.Direction     `json:"direction"`
	Compare      benchmarks.Compare       `json:"compare"`
	Kind         benchmarks.MetricKind    `json:"kind"`
	Role         benchmarks.Role          `json:"role"`
	Test         string                   `json:"test"`                   // one of the Test… words
	Perturbation *benchmarks.Perturbation `json:"perturbation,omitempty"` // robustness only
	Tolerance    float64                  `json:"tolerance"`              // ≥ 0, on the compare scale
	Limit        *float64                 `json:"limit,omitempty"`        // absolute, in the metric's unit
	Baseline     float64                  `json:"baseline"`               // value of the baseline (median over pairs when measured)
	Candidate    float64                  `json:"candidate"`
	Change       float64                  `json:"change"`          // candidate against baseline on the compare scale
	Lower        *float64                 `json:"lower,omitempty"` // confidence sequence of Change at the stop; nil: unbounded or none
	Upper        *float64                 `json:"upper,omitempty"`
	Alpha        float64                  `json:"alpha,omitempty"` // the interval holds at 1−Alpha
	LogE         float64                  `json:"log_e"`           // of the decision's test, at the stop; 0 if exact
	LogBar       float64                  `json:"log_bar,omitempty"`
	Exact        bool                     `json:"exact,omitempty"` // deterministic: decided by comparison on the gate's items
	N            int                      `json:"n"`               // pairs or items used
	Range        *[2]float64              `json:"range,omitempty"` // of one item
	BaseItems    artifacts.Digest         `json:"baseline_items,omitempty"`
	CandItems    artifacts.Digest         `json:"candidate_items,omitempty"`
	Order        uint64                   `json:"order,string,omitempty"` // seed of the item order
	Drawn        *float64                 `json:"drawn,omitempty"`        // anchor: upper limit of worse, all promotions together, on the paired scale
	Values       []float64                `json:"values,omitempty"`       // CVaR: the losses, one a perturbation seed
	Race         Race                     `json:"race"`
	Decision     Outcome                  `json:"decision"`
	Reason       string                   `json:"reason"` // one sentence with the numbers
}

// What a Result tested.
const (
	TestBetter   = "better"    // the success metric must be better
	TestNotWorse = "not-worse" // a guardrail must not be worse than its tolerance
	TestLimit    = "limit"     // an absolute limit must hold
	TestAnchor   = "anchor"    // a guardrail must not be worse than its tolerance against the epoch's anchor
	TestSame     = "same"      // the reference: must not differ from itself
	TestCVaR     = "cvar"      // mean of the worst tenth over random perturbations
	TestNone     = "none"      // the domain does not know the perturbation: said, not counted
)

// Race is the log e-value after N[i] pairs or items, thinned for long series.
type Race struct {
	N    []int     `json:"n,omitempty"`
	LogE []float64 `json:"log_e,omitempty"`
}

// CheckRecord is one correctness check of one fresh seed.
type CheckRecord struct {
	Seed uint64 `json:"seed,string"`
	benchmarks.Check
	Unsupported bool `json:"unsupported,omitempty"`
}

// PairRecord is one raw measured pair: everything an e-value is computed from.
type PairRecord struct {
	Index    int                `json:"index"`
	BFirst   bool               `json:"b_first"` // the coin
	A        map[string]float64 `json:"a"`       // baseline, by metric
	B        map[string]float64 `json:"b"`       // candidate
	CanaryNS [3]int64           `json:"canary_ns"`
	Marked   bool               `json:"marked,omitempty"`
	Share    float64            `json:"share,omitempty"` // canary pairs: the stage's share of the traffic
}

// Plan is what could be known before the first pair: power and blind spot.
type Plan struct {
	Metric      string  `json:"metric,omitempty"` // the measured metric that drives the plan
	PairSD      float64 `json:"pair_sd"`          // noise of one pair (log ratio), from tonight's A/A
	MinEffect   float64 `json:"min_effect"`       // smallest effect of interest
	PairsNeeded int     `json:"pairs_needed"`     // for 80 % power at MinEffect
	PairsMax    int     `json:"pairs_max"`        // the policy's cap
	Power       float64 `json:"power"`            // at MinEffect within the cap
	BlindSpot   float64 `json:"blind_spot"`       // the largest effect that would more likely than not be missed tonight
	Underpower  bool    `json:"underpowered,omitempty"`
	Note        string  `json:"note"`
}

// CanaryRecord is the staged run in the real runtime.
type CanaryRecord struct {
	Rehearsed  bool          `json:"rehearsed"`
	Failed     string        `json:"failed,omitempty"` // why staging, rehearsing or the next pair failed
	Stages     []CanaryStage `json:"stages"`
	Pairs      []PairRecord  `json:"pairs,omitempty"`
	RolledBack string        `json:"rolled_back,omitempty"` // the reason
}

// CanaryStage is one share of the traffic.
type CanaryStage struct {
	Share   float64 `json:"share"`
	Pairs   int     `json:"pairs"`
	LogHarm float64 `json:"log_harm"` // the largest harm e-value at the end of the stage
	Metric  string  `json:"metric,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

// GateCount is one row of the funnel.
type GateCount struct {
	Gate         string `json:"gate"`
	Entered      int    `json:"entered"`
	Pass         int    `json:"pass"`
	Fail         int    `json:"fail"`
	Inconclusive int    `json:"inconclusive"`
	Invalid      int    `json:"invalid"`
}

// Portfolio is the factory's choice over contexts; gates only carry it.
type Portfolio struct {
	Contexts  []string        `json:"contexts"`
	Chosen    []PortfolioPick `json:"chosen"`
	GapClosed float64         `json:"gap_closed"` // share of single best → best per context
	Note      string          `json:"note,omitempty"`
}

// PortfolioPick is one variant of the portfolio with its loss in each context,
// in the order of Portfolio.Contexts; nil: not measured there.
type PortfolioPick struct {
	Name     string           `json:"name"`
	Identity artifacts.Digest `json:"identity"`
	Losses   []*float64       `json:"losses"`
}

// Event is something that the machine did while measuring.
type Event struct {
	Context   string `json:"context,omitempty"`
	Candidate string `json:"candidate,omitempty"`
	Pair      int    `json:"pair"`
	What      string `json:"what"`
}

// Raw is the digest of everything that was measured and checked, in the order
// of the record: values that no number of the record happens to depend on
// included.
func (n Night) Raw() (artifacts.Digest, error) {
	type raw struct {
		Pairs  []PairRecord
		Failed string
		Checks []CheckRecord
	}
	var all []raw
	for _, c := range n.Controls {
		all = append(all, raw{Pairs: c.Pairs, Failed: c.Failed})
	}
	for _, p := range n.Probes {
		all = append(all, raw{Pairs: p.Pairs, Failed: p.Failed})
	}
	for _, c := range n.Candidates {
		all = append(all, raw{Pairs: c.Pairs, Failed: c.PairFailed, Checks: c.Checks}, raw{Pairs: c.AnchorPairs, Failed: c.AnchorFailed})
		if c.Canary != nil {
			all = append(all, raw{Pairs: c.Canary.Pairs, Failed: c.Canary.Failed})
		}
	}
	b, err := json.Marshal(struct {
		Evals []EvalRecord
		All   []raw
	}{n.Evals, all})
	if err != nil {
		return "", fmt.Errorf("night %s: %w", n.Run, err)
	}
	return artifacts.DigestOf(b), nil
}

// noSeal is how a record ends before it is sealed.
const noSeal = "\"seal\": \"\"\n}\n"

// EncodeNight writes the record: indented JSON, the same bytes for the same
// night, sealed at its end.
func EncodeNight(n Night) ([]byte, error) {
	n.Seal = ""
	b, err := json.MarshalIndent(n, "", " ")
	if err != nil {
		return nil, fmt.Errorf("night %s: %w", n.Run, err)
	}
	return seal(append(b, '\n'))
}

// seal puts the digest of the whole record into its last field. It makes a
// flipped bit visible wherever it falls, also in what follows from nothing
// (names, times, claims); whoever rewrites the record can seal it again, which
// is what signatures are for.
func seal(b []byte) ([]byte, error) {
	body, ok := bytes.CutSuffix(b, []byte(noSeal))
	if !ok {
		return nil, fmt.Errorf("a record does not end with its seal: %w", ErrBadNight)
	}
	return fmt.Appendf(bytes.Clone(body), "\"seal\": \"%s\"\n}\n", artifacts.DigestOf(b)), nil
}

// checkSeal takes the seal off the bytes again. A record without one is read,
// because older ones have none; Verify insists.
func checkSeal(b []byte, want artifacts.Digest) error {
	if want == "" {
		return nil
	}
	body, ok := bytes.CutSuffix(b, fmt.Appendf(nil, "\"seal\": \"%s\"\n}\n", want))
	if !ok || artifacts.DigestOf(append(bytes.Clone(body), noSeal...)) != want {
		return fmt.Errorf("seal: its bytes are not the ones that were sealed: the record was changed after it was written")
	}
	return nil
}

// DecodeNight reads a record strictly: a newer schema is ErrNewerNight; an
// unknown field, trailing data or an impossible value is ErrBadNight.
func DecodeNight(b []byte) (Night, error) {
	if len(b) > maxNightBytes {
		return Night{}, fmt.Errorf("%d bytes, at most %d are read: %w", len(b), maxNightBytes, ErrBadNight)
	}
	var probe struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &probe); err != nil {
		return Night{}, fmt.Errorf("%w: %w", ErrBadNight, err)
	}
	if probe.Schema != NightSchema {
		if probe.Schema == "arqon-night/1" {
			return Night{}, fmt.Errorf("schema %.40q, this version reads %q: judge the candidates again, or read it with the version that wrote it: %w", probe.Schema, NightSchema, ErrOlderNight)
		}
		if strings.HasPrefix(probe.Schema, "arqon-night/") {
			return Night{}, fmt.Errorf("schema %.40q, this version reads %q: %w", probe.Schema, NightSchema, ErrNewerNight)
		}
		return Night{}, fmt.Errorf("schema %.40q, want %q: %w", probe.Schema, NightSchema, ErrBadNight)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var n Night
	if err := dec.Decode(&n); err != nil {
		return Night{}, fmt.Errorf("%w: %w", ErrBadNight, err)
	}
	switch {
	case n.Wording < 0:
		return Night{}, fmt.Errorf("wording is %d: %w", n.Wording, ErrBadNight)
	case n.Wording > wordingNow:
		return Night{}, fmt.Errorf("wording is %d, this version knows %d: %w", n.Wording, wordingNow, ErrNewerNight)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Night{}, fmt.Errorf("data after the record: %w", ErrBadNight)
	}
	if err := checkSeal(b, n.Seal); err != nil {
		return Night{}, fmt.Errorf("%w: %w", ErrBadNight, err)
	}
	if err := n.check(); err != nil {
		return Night{}, fmt.Errorf("%w: %w", ErrBadNight, err)
	}
	return n, nil
}

// check refuses what no night can hold, and unpacks the series; it does not
// recompute anything.
func (n *Night) check() error {
	known := map[string]bool{}
	for _, g := range Order() {
		known[g] = true
	}
	series := map[artifacts.Digest]bool{"": true}
	n.items = map[artifacts.Digest][]float32{}
	for i, s := range n.Series {
		values, err := s.Floats()
		if err != nil {
			return fmt.Errorf("series[%d]: %w", i, err)
		}
		series[s.Digest], n.items[s.Digest] = true, values
	}
	for i, e := range n.Evals {
		for m, d := range e.Items {
			if d == "" || !series[d] {
				return fmt.Errorf("evals[%d].items[%.40q]: not among the series", i, m)
			}
		}
	}
	for i, c := range n.Candidates {
		for j, f := range c.Findings {
			if !known[f.Gate] {
				return fmt.Errorf("candidates[%d].findings[%d].gate %.40q: not a gate", i, j, f.Gate)
			}
		}
		for j, r := range c.Results {
			if !known[r.Gate] {
				return fmt.Errorf("candidates[%d].results[%d].gate %.40q: not a gate", i, j, r.Gate)
			}
			if !series[r.BaseItems] || !series[r.CandItems] {
				return fmt.Errorf("candidates[%d].results[%d]: names items that are not among the series", i, j)
			}
			if len(r.Race.N) != len(r.Race.LogE) {
				return fmt.Errorf("candidates[%d].results[%d].race: %d places, %d values", i, j, len(r.Race.N), len(r.Race.LogE))
			}
		}
	}
	return nil
}
