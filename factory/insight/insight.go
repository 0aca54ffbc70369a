// Package insight shows what a search has done: how fast each engine came how
// far, which knobs the results depend on, where the good points lie, where the
// winner comes from and how loud the noise was. It reads the account of a run
// (a night's search or a search alone, also one that is still at it) and makes
// one [Overview], shown as terminal text, as one self-contained HTML page, or as
// JSON.
//
// It is for people who look. Nothing here decides anything, and no number here
// is a claim: gates judge on fresh data.
package insight

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/gates"
)

// Schema is the only schema that this version writes.
const Schema = "arqon-insight/1"

// Overview is everything that is shown of a run.
type Overview struct {
	Schema      string    `json:"schema"`
	Run         string    `json:"run"`
	Domain      string    `json:"domain"`
	Search      string    `json:"search"` // "night" or "alone"
	Ended       bool      `json:"ended"`
	Stop        string    `json:"stop"` // why it ended; "" while it has not
	JournalHead string    `json:"journal_head"`
	Asked       int       `json:"asked"` // points that engines asked for, repeats included
	Contexts    []Context `json:"contexts"`
	// Portfolio says which finalists together serve the contexts best; of a
	// night with several contexts.
	Portfolio *gates.Portfolio `json:"portfolio,omitempty"`

	space benchmarks.Space
	seen  map[string][]factory.Observation // by context: search observations
}

// Context is one context of the search.
type Context struct {
	Name      string           `json:"name"`
	Metric    string           `json:"metric"` // the success metric
	Unit      string           `json:"unit"`
	Direction string           `json:"direction"`
	Compare   string           `json:"compare"`  // changes are ratios or differences
	Baseline  *float64         `json:"baseline"` // the metric's value today, as the search began; nil: not measured yet
	Asked     int              `json:"asked"`
	Engines   []Engine         `json:"engines"`
	Winner    *Winner          `json:"winner"`          // nil: none yet, or none better than the baseline
	Others    int              `json:"others"`          // candidates beside the winner
	Notes     []factory.Note   `json:"notes,omitempty"` // what outside proposers had trouble with
	Noise     Noise            `json:"noise"`
	Knobs     *Importance      `json:"importance"` // nil: too few points, or all alike
	Archive   *factory.Archive `json:"archive"`    // nil: nothing feasible yet

	ended  bool
	Points []Listed `json:"points,omitempty"` // the best ones, if asked for: see List
}

// Engine is one engine's work in a context.
type Engine struct {
	Name       string   `json:"name"`
	Budget     int      `json:"budget"` // 0: shares one with the others
	Asked      int      `json:"asked"`
	Failed     int      `json:"failed"`
	Infeasible int      `json:"infeasible"` // measured, beyond a limit or a tolerance
	Repeated   int      `json:"repeated"`   // answered from memory
	Records    int      `json:"records"`    // how often it found the best of the context so far
	Best       *float64 `json:"best"`       // least feasible: the success metric's change, as the search saw it
	BestAt     int      `json:"best_at"`    // after how many points of the context, from 1
	Steps      []Step   `json:"steps"`      // its best so far, each time it became better
}

// Step is one improvement.
type Step struct {
	At     int     `json:"at"`     // points of the context so far, all engines, from 1
	Change float64 `json:"change"` // of the success metric, signed as measured
}

// New makes the overview of an account. descriptors say by which axes to map
// the good points; nil means those of the study, or, if it names none, the two
// most important knobs of each context. An error wraps qd.ErrDescriptor.
func New(a factory.Account, descriptors []engine.Descriptor) (Overview, error) {
	o := Overview{
		Schema: Schema, Run: a.Run, Domain: a.Description.Name, Search: "night", Ended: a.Ended, Stop: a.Stop,
		JournalHead: a.JournalHead, space: a.Description.Space, seen: map[string][]factory.Observation{},
	}
	if a.Alone {
		o.Search = "alone"
	}
	if p := a.Portfolio; p != nil && len(p.Contexts) > 1 && len(p.Chosen) > 0 {
		o.Portfolio = p
	}
	for _, x := range a.Observations {
		if x.Purpose == factory.ForSearch {
			o.seen[x.Context] = append(o.seen[x.Context], x)
			o.Asked++
		}
	}
	for _, sc := range a.Description.Scenarios {
		c, err := newContext(a, sc, o.seen[sc.Name], descriptors)
		if err != nil {
			return Overview{}, fmt.Errorf("context %s: %w", sc.Name, err)
		}
		o.Contexts = append(o.Contexts, c)
	}
	return o, nil
}

func newContext(a factory.Account, sc benchmarks.Scenario, seen []factory.Observation, descriptors []engine.Descriptor) (Context, error) {
	m := success(a.Description, sc)
	c := Context{
		Name: sc.Name, Metric: m.Name, Unit: m.Unit, Direction: string(m.Direction), Compare: string(m.Compare),
		ended: a.Ended, Asked: len(seen), Engines: enginesOf(a, sc.Name, seen, m.Name),
		Knobs: importanceOf(a.Description.Space, seen, a.Study.Seed, sc.Name),
	}
	for _, x := range a.Observations {
		if x.Context == sc.Name && x.Purpose == factory.ForBaseline && x.Failed == "" {
			if v, ok := x.Values[m.Name]; ok {
				c.Baseline = &v
				break
			}
		}
	}
	for _, n := range a.Notes {
		if n.Context == sc.Name {
			c.Notes = append(c.Notes, n)
		}
	}
	c.Noise = noiseOf(a, sc.Name, m)
	for _, w := range a.Winners {
		if w.Context != sc.Name {
			continue
		}
		if c.Winner != nil {
			c.Others++
			continue
		}
		c.Winner = newWinner(a, w)
	}
	if len(descriptors) == 0 {
		descriptors = a.Study.Descriptors
	}
	if len(descriptors) == 0 {
		descriptors = c.mainKnobs(a.Description.Space)
	}
	if len(descriptors) == 0 {
		return c, nil // nothing but permutations
	}
	maps, err := a.Archives(descriptors)
	if err != nil {
		return c, err
	}
	for i := range maps {
		if maps[i].Context == sc.Name && len(maps[i].Elites) > 0 {
			c.Archive = &maps[i]
		}
	}
	return c, nil
}

// mainKnobs are the two most important knobs that can be axes.
func (c Context) mainKnobs(space benchmarks.Space) (out []engine.Descriptor) {
	var names []string
	if c.Knobs != nil {
		for _, k := range c.Knobs.Knobs {
			names = append(names, k.Knob)
		}
	} else {
		for _, p := range space.Parameters {
			names = append(names, p.Name)
		}
	}
	for _, name := range names {
		if p, _ := space.Parameter(name); p.Kind != benchmarks.Permutation && len(out) < 2 {
			out = append(out, engine.Descriptor{Knob: name})
		}
	}
	return out
}

func success(d benchmarks.Description, sc benchmarks.Scenario) benchmarks.Metric {
	for _, m := range d.In(sc) {
		if m.Role == benchmarks.Success {
			return m
		}
	}
	return benchmarks.Metric{}
}

// enginesOf counts each engine's work, in the order of the lanes.
func enginesOf(a factory.Account, context string, seen []factory.Observation, metric string) []Engine {
	var out []Engine
	at := map[string]int{}
	engineAt := func(name string, budget int) int {
		i, known := at[name]
		if !known {
			i = len(out)
			at[name] = i
			out = append(out, Engine{Name: name, Budget: budget, Steps: []Step{}})
		}
		return i
	}
	for _, l := range a.Lanes {
		if l.Context == context {
			budget := l.Budget
			if a.Alone {
				budget = 0
			}
			engineAt(l.Engine, budget)
		}
	}
	best := math.Inf(1)
	least := map[string]float64{}
	for n, x := range seen {
		i := engineAt(x.Engine, 0)
		e := &out[i]
		e.Asked++
		switch {
		case x.Cached:
			e.Repeated++
			continue
		case x.Failed != "":
			e.Failed++
			continue
		case !x.Feasible():
			e.Infeasible++
			continue
		}
		own, had := least[x.Engine]
		if had && x.Loss >= own {
			continue
		}
		least[x.Engine] = x.Loss
		change := x.Change[metric]
		e.Best, e.BestAt = &change, n+1
		e.Steps = append(e.Steps, Step{At: n + 1, Change: change})
		if x.Loss < best {
			best = x.Loss
			e.Records++
		}
	}
	return out
}

// best is the path of the context's best so far over all engines.
func (c Context) best() []Step {
	var all []Step
	for _, e := range c.Engines {
		all = append(all, e.Steps...)
	}
	slices.SortStableFunc(all, func(a, b Step) int { return a.At - b.At })
	var out []Step
	for _, s := range all {
		if len(out) == 0 || c.better(s.Change, out[len(out)-1].Change) {
			out = append(out, s)
		}
	}
	return out
}

// better compares two changes of the success metric.
func (c Context) better(a, b float64) bool {
	if c.Direction == string(benchmarks.Higher) {
		return a > b
	}
	return a < b
}
