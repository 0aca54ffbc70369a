package insight

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
)

// Winner is the point that the search recommends, with where it comes from.
type Winner struct {
	Name     string       `json:"name"` // of a candidate; "" of a search alone
	Engine   string       `json:"engine"`
	Origin   string       `json:"origin"`
	Change   float64      `json:"change"`   // by fresh samples
	Interval *[2]float64  `json:"interval"` // of a search alone, 95 %
	Seen     *float64     `json:"seen"`     // the change that the search saw first; nil: the search did not ask it
	At       int          `json:"at"`       // after how many points of the context, from 1; 0: not asked
	Differs  []KnobChange `json:"differs"`  // from the baseline
	// Lineage leads to the winner, oldest first: its ancestors where the engine
	// named parents, else the engine's own best points until then.
	Lineage   []Ancestor `json:"lineage"`
	Ancestors bool       `json:"ancestors"`
}

// Ancestor is one step of a lineage.
type Ancestor struct {
	Origin string       `json:"origin"`
	At     int          `json:"at"`
	Change *float64     `json:"change"` // nil: it failed
	Knobs  []KnobChange `json:"knobs"`  // against the step before, the first against the baseline
}

// KnobChange is one knob that differs between two points.
type KnobChange struct {
	Knob string `json:"knob"`
	From string `json:"from"` // "off" where it is inactive
	To   string `json:"to"`
}

// lineageMax bounds the steps that are kept: the latest.
const lineageMax = 12

func newWinner(a factory.Account, w factory.Winner) *Winner {
	out := &Winner{
		Name: w.Name, Engine: w.Engine, Origin: w.Origin, Change: w.Change, Interval: w.Interval,
		Differs: differences(a.Description.Space, a.Description.Baseline, w.Point), Lineage: []Ancestor{},
	}
	if w.Found < 0 {
		return out
	}
	at := map[int]int{} // by observation: number among the context's search points
	for i, o := range a.Observations {
		if o.Context == w.Context && o.Purpose == factory.ForSearch {
			at[i] = len(at) + 1
		}
	}
	found := a.Observations[w.Found]
	seen := found.Change[w.Metric]
	out.Seen, out.At = &seen, at[w.Found]
	chain, real := ancestors(a, w.Found)
	if !real {
		chain = records(a, w.Found)
	}
	out.Ancestors = real
	if len(chain) > lineageMax {
		chain = chain[len(chain)-lineageMax:]
	}
	before := a.Description.Baseline
	for _, i := range chain {
		o := a.Observations[i]
		step := Ancestor{Origin: o.Origin, At: at[i], Knobs: differences(a.Description.Space, before, o.Point)}
		if c, ok := o.Change[w.Metric]; ok && o.Failed == "" {
			step.Change = &c
		}
		out.Lineage = append(out.Lineage, step)
		before = o.Point
	}
	return out
}

// ancestors follows the better parent of each point to one that has none,
// oldest first; false if the point has none itself.
func ancestors(a factory.Account, found int) (chain []int, real bool) {
	byIndex := map[int]int{} // within the lane
	lane := a.Observations[found].Lane
	if lane < 0 {
		return nil, false
	}
	for i, o := range a.Observations {
		if o.Lane == lane {
			byIndex[o.Index] = i
		}
	}
	visited := map[int]bool{}
	for i := found; !visited[i]; {
		visited[i] = true
		chain = append(chain, i)
		next := -1
		for _, p := range a.Observations[i].Parents {
			if k, ok := byIndex[p]; ok && (next < 0 || a.Observations[k].Loss < a.Observations[next].Loss) {
				next = k
			}
		}
		if next < 0 {
			break
		}
		i = next
	}
	slices.Reverse(chain)
	return chain, len(chain) > 1
}

// records are the points with which the engine became better, until the point
// found.
func records(a factory.Account, found int) (chain []int) {
	x := a.Observations[found]
	best := 1.0 // feasible ones only
	for i := range found {
		o := a.Observations[i]
		if o.Context == x.Context && o.Purpose == factory.ForSearch && o.Engine == x.Engine && o.Loss < best {
			best = o.Loss
			chain = append(chain, i)
		}
	}
	return append(chain, found)
}

// differences lists the knobs in which two points differ, in the space's order.
func differences(space benchmarks.Space, from, to benchmarks.Point) []KnobChange {
	out := []KnobChange{}
	for _, p := range space.Parameters {
		a, b := from[p.Name], to[p.Name]
		if !reflect.DeepEqual(a, b) {
			out = append(out, KnobChange{Knob: p.Name, From: setting(a), To: setting(b)})
		}
	}
	return out
}

// setting is a knob's value in few characters.
func setting(v any) string {
	switch x := v.(type) {
	case nil:
		return "off"
	case float64:
		return strconv.FormatFloat(x, 'g', 4, 64)
	case []string:
		s := ""
		for i, item := range x {
			if i > 0 {
				s += " "
			}
			s += item
		}
		return s
	}
	return fmt.Sprint(v)
}
