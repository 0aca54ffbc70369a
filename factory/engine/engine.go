// Package engine holds the ask/tell words that every search engine and the
// factory share. An engine knows spaces and numbers; it knows nothing of
// domains, clocks, files or goroutines.
//
// Everything an engine does is a function of (space, seed, what it was told):
// told the same trials in the same order, it asks for the same points.
package engine

import (
	"errors"

	"github.com/arqon/arqon/benchmarks"
)

// ErrSpace is wrapped when an engine cannot search a space; the message says
// why.
var ErrSpace = errors.New("space")

// Proposal is one point that an engine wants measured.
type Proposal struct {
	Point  benchmarks.Point `json:"point"`
	Origin string           `json:"origin"` // how it came about, for lineage: "cma g12 i3", "crossover 4×9"
	// Parents are the trials of this engine that the point was made from, by
	// their Index; nil where the engine makes points otherwise.
	Parents []int `json:"parents,omitempty"`
}

// Trial is one measured proposal. Trials are told in the order in which their
// proposals were asked.
type Trial struct {
	Index  int              `json:"index"` // within the engine's lane, from 0
	Point  benchmarks.Point `json:"point"`
	Loss   float64          `json:"loss"` // lower is better; +Inf when Failed
	Failed string           `json:"failed,omitempty"`
	// Values holds what was measured, by metric, for engines that tell points
	// apart by more than their loss; nil where the caller does not say.
	Values map[string]float64 `json:"values,omitempty"`
}

// Engine is one way to search.
//
// Ask returns between 1 and n proposals, or none when the engine has nothing
// more to ask; all of them are told, in order, before the next Ask. NaN and
// failed trials arrive as +Inf and must not poison the state.
type Engine interface {
	Ask(n int) []Proposal
	Tell([]Trial)
	// Snapshot returns the whole state, random state included, and Restore
	// takes it back: the next Ask is the same.
	Snapshot() ([]byte, error)
	Restore([]byte) error
	// Done says that the engine has finished, and why.
	Done() (string, bool)
}

// Config is what every engine is made from.
type Config struct {
	Space    benchmarks.Space
	Seed     uint64
	Budget   int                // evaluations that this engine may expect; 0: unknown
	Start    []benchmarks.Point // warm start: the baseline first, then elites
	Parallel int                // how many points the caller likes to have at once; 0: 1
	// Descriptors are the axes on which solutions shall differ, for engines
	// that look for more than one; nil: the engine's own choice.
	Descriptors []Descriptor `json:",omitempty"`
}

// Descriptor is one axis of an archive of different good points: a knob of the
// space or a metric that is measured, cut into bins.
type Descriptor struct {
	Knob   string  `json:"knob,omitempty" yaml:"knob"`     // a parameter's name; exactly one of Knob and Metric
	Metric string  `json:"metric,omitempty" yaml:"metric"` // a metric's name
	Min    float64 `json:"min,omitempty" yaml:"min"`       // of a metric; what lies below falls into the first bin
	Max    float64 `json:"max,omitempty" yaml:"max"`       // of a metric; what lies above falls into the last bin
	Log    bool    `json:"log,omitempty" yaml:"log"`       // a metric's bins are equal on a logarithmic scale
	Bins   int     `json:"bins,omitempty" yaml:"bins"`     // 0: a knob's values, at most 10; 10 for a metric
}

// New makes an engine; an error names the field of the space it cannot handle.
type New func(Config) (Engine, error)
