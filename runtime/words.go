package runtime

import (
	"fmt"

	"github.com/arqon/arqon/catalog"
)

// Tick counts decision cycles. Only the host knows how long one is.
type Tick uint64

// Class is the index of a context. It stays the same for the life of a
// Runtime, whatever releases come; resolve it once with Runtime.Class.
type Class uint16

// KnobID is the index of a (variant, knob) pair, stable for the life of a
// Runtime; resolve it once with Runtime.Knob.
type KnobID uint16

// MetricID is the index of a metric in Config.Metrics.
type MetricID uint16

// The limits on what a release and a host may ask for.
const (
	classesMax   = 1 << 6
	knobsMax     = 1 << 14
	metricsMax   = 1 << 8
	shardsMax    = 1 << 10
	variantIDMax = 1 << 20
)

// Outcome is what became of a proposal. The zero Outcome is Refused.
type Outcome uint8

// The outcomes.
const (
	Refused  Outcome = iota
	Staged           // approved and loaded beside the incumbent, at share 0
	InCanary         // serves the first share of its ramp
	Applied          // in force
)

var outcomeNames = [...]string{"refused", "staged", "canary", "applied"}

func (o Outcome) String() string { return nameOf(outcomeNames[:], int(o), "outcome") }

// Reason says why. The list is closed: a log can be read by a program.
type Reason uint8

// The reasons.
const (
	NoReason Reason = iota
	ReasonUnknownClass
	ReasonUnknownVariant
	ReasonStaleBase
	ReasonNotServed      // the envelope does not name the class
	ReasonScope          // the entry's scope is narrower than the channel
	ReasonHardware       // the envelope asks for more than this host has
	ReasonMemory         // the envelope needs more memory than this host gives
	ReasonSLO            // the signed expectation already breaks a guardrail
	ReasonNeedsRamp      // a canary-scope entry must go through the ramp
	ReasonUnknownKnob    // no such knob, or not one of the proposal's variant
	ReasonNotANumber     // NaN or infinite
	ReasonOutOfBounds    // nothing of the change is left after clipping
	ReasonRateLimited    // too soon after the last change of the class
	ReasonCoolingDown    // a rollback is too recent
	ReasonBusy           // another experiment is in flight in the class
	ReasonBudget         // the policy allows no experiment
	ReasonNoChange       // already so
	ReasonBadShare       // a share outside (0, 1] or not above the present one
	ReasonIllegal        // the state does not allow the event
	ReasonKilled         // the kill switch is on
	ReasonLogFailed      // the event log cannot be written
	ReasonSuperseded     // something safer happened between staging and applying
	ReasonGuardrail      // a window broke a signed limit
	ReasonInvalidMetric  // most values of a guardrail metric were no numbers
	ReasonHarm           // the canary is worse than the incumbent
	ReasonOperator       // a person said so
	ReasonEvidence       // a window supports the next step
	ReasonThinEvidence   // too few requests, or records were dropped
	ReasonBaselineBreach // the baseline itself breaks a limit: nowhere to go
	ReasonRelease        // a new release took over
	ReasonCooled         // the cool-down has passed
	reasonCount
)

var reasonNames = [...]string{
	"none", "unknown class", "unknown variant", "stale base", "class not served", "scope too narrow", "hardware", "memory",
	"slo", "needs a ramp", "unknown knob", "not a number", "out of bounds", "rate limited", "cooling down", "busy",
	"no experiment allowed", "no change", "bad share", "illegal in this state", "killed", "log failed", "superseded",
	"guardrail", "invalid metric", "harm", "operator", "evidence", "thin evidence", "baseline breach", "release", "cooled",
}

func (r Reason) String() string { return nameOf(reasonNames[:], int(r), "reason") }

func nameOf(names []string, i int, what string) string {
	if i >= len(names) {
		return fmt.Sprintf("%s %d", what, i)
	}
	return names[i]
}

// Ramp says how a new variant comes into force. The zero Ramp is the careful
// one.
type Ramp uint8

// The ramps.
const (
	RampAuto   Ramp = iota // canary shares in steps, each after a good window
	RampManual             // staged at share 0; only Widen moves it
	RampDirect             // at once: for entries that have passed a canary before
	rampCount
)

var rampNames = [...]string{"auto", "manual", "direct"}

func (r Ramp) String() string { return nameOf(rampNames[:], int(r), "ramp") }

// KnobDelta asks a knob to move by Delta, in the knob's unit.
type KnobDelta struct {
	Knob  KnobID
	Delta float64
}

// Proposal asks for one change in one class: another variant, knob moves of
// that variant, or both. Base is the generation it was computed on, which
// makes a stale one refusable.
type Proposal struct {
	Tick    Tick
	Base    uint64
	Class   Class
	Variant catalog.VariantID
	Ramp    Ramp
	Knobs   []KnobDelta
	Seed    uint64 // the draw that led to it; logged, never interpreted
}

// knobDeltasMax bounds the knobs of one proposal.
const knobDeltasMax = 1 << 10

// KnobValue is what a knob was really set to.
type KnobValue struct {
	Knob    KnobID
	Value   float64
	Clipped bool // bounds or the largest step cut the request
}

// Decision is the executor's answer to a proposal.
type Decision struct {
	Generation uint64 // of the snapshot that holds after the decision
	Class      Class
	Variant    catalog.VariantID
	Outcome    Outcome
	Reason     Reason
	Share      float64     // of the class's requests that the variant now serves
	Knobs      []KnobValue // as applied, after clipping
}

// Transition is one step of a class's rollout.
type Transition struct {
	Tick       Tick
	Generation uint64
	Class      Class
	From, To   State
	Reason     Reason
	Variant    catalog.VariantID // whom it is about
	Serves     catalog.VariantID // the incumbent afterwards
	Share      float64           // of the variant afterwards
}

// Stat is the statistic of a window that stands for a metric.
type Stat uint8

// The statistics.
const (
	Mean Stat = iota
	P50
	P99
	statCount
)

// Metric is something the host records online.
type Metric struct {
	Name string `json:"name"` // as in the release's policy and expectations
	Stat Stat   `json:"stat"` // what guardrails judge: mean (zero), p50 or p99
}

// Cell summarises one metric of one variant in one class over a window.
type Cell struct {
	Class   Class
	Metric  MetricID
	Variant catalog.VariantID
	Count   uint64 // finite values
	Invalid uint64 // NaN and infinite ones
	Mean    float64
	Var     float64
	Min     float64
	Max     float64
	P50     float64
	P99     float64
}

// Window is what the executor and the learners see of the requests: cells in
// (class, variant, metric) order. Only cells with enough requests are in it;
// thinner ones wait for a later window.
type Window struct {
	Tick    Tick
	Dropped uint64 // records and events that found no place
	Cells   []Cell
}

// cellsMax bounds the cells of one window.
const cellsMax = 1 << 16

// Cell finds a cell.
func (w *Window) Cell(c Class, v catalog.VariantID, m MetricID) (Cell, bool) {
	for i := range w.Cells {
		if x := &w.Cells[i]; x.Class == c && x.Variant == v && x.Metric == m {
			return *x, true
		}
	}
	return Cell{}, false
}

// value is the statistic that guardrails judge.
func (c Cell) value(s Stat) float64 {
	switch s {
	case P50:
		return c.P50
	case P99:
		return c.P99
	case Mean, statCount:
	}
	return c.Mean
}

// sane reports whether every statistic is a finite number.
func (c Cell) sane() bool {
	for _, x := range [...]float64{c.Mean, c.Var, c.Min, c.Max, c.P50, c.P99} {
		if x-x != 0 {
			return false
		}
	}
	return true
}
