// Package benchmarks says what can be measured: the contract between Arqon and
// a system that has knobs, contexts and measurable consequences.
//
// A [Domain] describes itself, builds a bundle from a point, and opens a
// bundle as an [Instance] that can be measured and checked. The same contract
// exists in process (this interface), as the process protocol arqon-domain/1
// and as a command template (both in benchmarks/external).
//
// The package measures; it never judges and never searches.
package benchmarks

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Domain is one thing that can be made better.
type Domain interface {
	// Describe returns the space, the metrics, the contexts and the baseline.
	Describe(ctx context.Context) (Description, error)
	// Build makes the artifacts of a point. It is pure: the same point and
	// seed give the same digest. A point that cannot work is an error
	// wrapping ErrBadCandidate.
	Build(ctx context.Context, p Point, seed uint64) (Bundle, error)
	// Open is the loader that the runtime host uses too.
	Open(ctx context.Context, b Bundle) (Instance, error)
}

// Instance is a bundle ready to run. It is used by one goroutine at a time.
type Instance interface {
	Measure(ctx context.Context, r Request) ([]Sample, error)
	// Check runs invariants and golden outputs.
	Check(ctx context.Context, seed uint64) ([]Check, error)
	Close() error
}

// What a domain may answer instead of a result. ErrBadCandidate is a normal
// outcome that a search learns from; ErrUnsupported makes the gate that needed
// the operation say so; ErrQuarantined means that asking again is pointless.
var (
	ErrBadCandidate = errors.New("bad candidate")
	ErrBuildFailed  = errors.New("build failed")
	ErrTimeout      = errors.New("timed out")
	ErrCrash        = errors.New("crashed")
	ErrUnsupported  = errors.New("unsupported")
	ErrQuarantined  = errors.New("quarantined after repeated crashes")
)

// Description is a domain's account of itself.
type Description struct {
	Name      string
	Version   string
	Space     Space
	Metrics   []Metric
	Scenarios []Scenario // the contexts, in a fixed order
	Baseline  Point      // what runs today
	// Starts are points that are worth a look before anything is drawn: what
	// others use, the known end of a family. A search asks for them right
	// after the baseline; they are judged like any other point. Optional, at
	// most 32.
	Starts []Point `json:",omitempty"`
}

// Direction says which way is better.
type Direction string

// The directions.
const (
	Lower  Direction = "lower"
	Higher Direction = "higher"
)

// MetricKind says whether the same point and seed always give the same value.
type MetricKind string

// The kinds of metric: only measured ones have noise and need pairs.
const (
	Deterministic MetricKind = "deterministic"
	Measured      MetricKind = "measured"
)

// Role says what a metric is for in a context.
type Role string

// The roles. Every context has exactly one success metric.
const (
	Success   Role = "success"
	GuardRole Role = "guardrail"
)

// Compare says how candidate and baseline are compared.
type Compare string

// Ratio compares B/A−1 and its tolerance is relative; Difference compares B−A
// and its tolerance is in the metric's unit (accuracy: .005 is half a point).
const (
	Ratio      Compare = "ratio"
	Difference Compare = "difference"
)

// Metric is one measurable consequence.
type Metric struct {
	Name      string
	Unit      string
	Direction Direction
	Kind      MetricKind
	Role      Role        // the default role; a scenario may name another success metric
	Compare   Compare     // "" means Ratio
	Tolerance float64     // ≥ 0: how much worse still counts as not worse
	Limit     *float64    // absolute limit on the bad side; nil: none
	Range     *[2]float64 // the values that one item can take; needed to bet on Sample.Items
}

// Worse returns how much worse b is than a on the metric's own scale (a ratio
// or a difference): positive is worse, whatever the direction.
func (m Metric) Worse(a, b float64) float64 {
	d := b - a
	if m.Compare != Difference {
		if a == 0 {
			if b == 0 {
				return 0
			}
			a = 1e-300 // anything against nothing: an enormous change, never NaN
		}
		d = b/a - 1
	}
	if m.Direction == Higher {
		return -d
	}
	return d
}

// Scenario is a named context with features. It may say which metric is the
// success metric there and replace tolerances and limits.
type Scenario struct {
	Name       string
	Short      string `json:",omitempty"` // what a study may call it too; "" = nothing else
	Features   map[string]float64
	Success    string             // "" = the metric whose Role is Success
	Tolerances map[string]float64 // by metric
	Limits     map[string]float64 // by metric
}

// In returns the metrics as they hold in the scenario: roles, tolerances and
// limits replaced, order kept.
func (d Description) In(s Scenario) []Metric {
	out := make([]Metric, len(d.Metrics))
	for i, m := range d.Metrics {
		if s.Success != "" {
			m.Role = GuardRole
			if m.Name == s.Success {
				m.Role = Success
			}
		}
		if t, ok := s.Tolerances[m.Name]; ok {
			m.Tolerance = t
		}
		if l, ok := s.Limits[m.Name]; ok {
			m.Limit = &l
		}
		if m.Compare == "" {
			m.Compare = Ratio
		}
		out[i] = m
	}
	return out
}

// Metric finds a metric by name.
func (d Description) Metric(name string) (Metric, bool) {
	for _, m := range d.Metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}

// Scenario finds a scenario by name.
func (d Description) Scenario(name string) (Scenario, bool) {
	for _, s := range d.Scenarios {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// Purpose keeps the search away from the data that the gates judge on.
type Purpose int

// ForSearch measures on validation data, ForGates on data the search has never
// seen.
const (
	ForSearch Purpose = iota
	ForGates
)

// Perturbation is a disturbance that a robustness gate asks for.
type Perturbation struct {
	Kind  string  `json:"kind"`  // "noise", "shift", …: the domain's words
	Level float64 `json:"level"` // 0 is none
}

// Request asks an instance for samples.
type Request struct {
	Scenario     string
	Seed         uint64
	Repeats      int     // ≥ 1
	Fidelity     float64 // (0, 1]: the share of the full input
	Purpose      Purpose
	Perturbation *Perturbation // nil: none
	// Deterministic asks for the deterministic metrics alone, Measured for
	// the measured ones alone; both false means all. A domain that cannot
	// separate them measures all.
	OnlyDeterministic bool
	OnlyMeasured      bool
}

// Check refuses a request that asks for nothing.
func (r Request) Check() error {
	if !(r.Fidelity > 0 && r.Fidelity <= 1) || r.Repeats < 1 {
		return fmt.Errorf("fidelity %v and %d repeats: want (0, 1] and at least 1", r.Fidelity, r.Repeats)
	}
	if r.OnlyDeterministic && r.OnlyMeasured {
		return errors.New("a request for deterministic metrics alone and measured ones alone asks for nothing")
	}
	return nil
}

// Sample is one repeat.
type Sample struct {
	Values map[string]float64 `json:"values"` // metric → value
	// Items holds, for metrics with a Range, one value an input item, in the
	// same order for every instance measured with the same request, so that
	// gates can pair candidate and baseline item by item. Optional.
	Items map[string][]float32 `json:"items,omitempty"`
}

// Check is one invariant or golden output.
type Check struct {
	Name   string `json:"name"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail,omitempty"`
}

// File is one artifact of a bundle.
type File struct {
	Name      string
	MediaType string
	Bytes     []byte
}

// Bundle is what Build made: everything that Open needs.
type Bundle struct {
	Point Point
	Seed  uint64
	Type  string // the variant type, in the domain's words: "early-exit", …
	Files []File
	Knobs []catalog.Knob // what may move online, and how far; the entry carries them
	Needs []string       // what a host must offer beside its system: the envelope's cpu_features
}

// Refs describes the files, in order.
func (b Bundle) Refs() []artifacts.Ref {
	out := make([]artifacts.Ref, len(b.Files))
	for i, f := range b.Files {
		out[i] = artifacts.RefOf(f.Name, f.MediaType, f.Bytes)
	}
	return out
}
