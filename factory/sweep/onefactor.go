package sweep

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// maxRounds ends a one-factor walk: the step has been halved that often.
const maxRounds = 20

var _ engine.New = OneFactor

// OneFactor varies one parameter at a time around each start point (the
// space's default when there is none): every choice, and for numbers five
// levels of the range. It then moves to the best point told and goes round
// again, an eighth of the range up and down for numbers; when that finds
// nothing better it halves the step, until nothing new is left. The name in
// a study is "one-factor".
func OneFactor(cfg engine.Config) (engine.Engine, error) {
	w, err := newWalker("one-factor", cfg)
	if err != nil {
		return nil, err
	}
	if len(w.start) == 0 {
		p, err := cfg.Space.Normalize(cfg.Space.Default())
		if err != nil {
			return nil, fmt.Errorf("%w: the default point: %w", ErrSpace, err)
		}
		w.start = append(w.start, p)
	}
	f := &factorPath{space: cfg.Space}
	f.lay(w.start)
	w.path = f
	return w, nil
}

// factorPath is laid around centres.
type factorPath struct {
	space   benchmarks.Space
	centres []benchmarks.Point
	round   int
	steps   []step // derived from the two
}

// step replaces one parameter of a centre.
type step struct {
	centre int
	name   string
	value  any
}

func (f *factorPath) lay(centres []benchmarks.Point) {
	f.centres, f.steps = centres, nil
	for c, centre := range centres {
		for _, p := range f.space.Parameters {
			v, active := centre[p.Name]
			if !active {
				continue
			}
			for _, to := range f.levels(p, v) {
				f.steps = append(f.steps, step{centre: c, name: p.Name, value: to})
			}
		}
	}
}

// levels are the values that the parameter takes next to v. A change of a
// condition fills what becomes active with its defaults.
func (f *factorPath) levels(p benchmarks.Parameter, v any) []any {
	var out []any
	switch p.Kind {
	case benchmarks.Float, benchmarks.Int:
		if f.round == 0 {
			for i := range 5 {
				out = append(out, levelOf(p, i, float64(i)/4))
			}
			return out
		}
		if n, ok := v.(int64); ok { // a rounded step may be none: the neighbours too
			out = append(out, int64(math.Max(float64(n-1), p.Min)), int64(math.Min(float64(n+1), p.Max)))
		}
		width := math.Pow(2, -float64(f.round+2)) // 1/8 of the range, then 1/16, …
		at := shareOf(p, v)
		for _, s := range []float64{at - width, at + width} {
			if s >= 0 && s <= 1 {
				out = append(out, levelOf(p, 0, s))
			}
		}
		return out
	case benchmarks.Categorical, benchmarks.Ordinal, benchmarks.Bool:
		for i := range countLevels(p) {
			out = append(out, levelOf(p, i, 0))
		}
	case benchmarks.Permutation: // every swap of neighbours
		items, _ := v.([]string)
		for i := 0; i+1 < len(items); i++ {
			to := append([]string(nil), items...)
			to[i], to[i+1] = to[i+1], to[i]
			out = append(out, to)
		}
	}
	return out
}

// shareOf is the inverse of numberAt.
func shareOf(p benchmarks.Parameter, v any) float64 {
	var x float64
	switch n := v.(type) {
	case float64:
		x = n
	case int64:
		x = float64(n)
	}
	lo, hi := p.Min, p.Max
	if p.Log {
		x, lo, hi = math.Log(x), math.Log(lo), math.Log(hi)
	}
	if hi <= lo {
		return .5
	}
	return (x - lo) / (hi - lo)
}

func (f *factorPath) at(cursor int) (benchmarks.Point, bool) {
	if cursor >= len(f.steps) {
		return nil, false
	}
	s := f.steps[cursor]
	p := f.centres[s.centre].Clone()
	p[s.name] = s.value
	q, err := f.space.Normalize(p)
	if err != nil {
		return nil, true
	}
	return q, true
}

func (f *factorPath) origin(cursor int) string {
	s := f.steps[cursor]
	return fmt.Sprintf("one-factor r%d c%d %s", f.round, s.centre, s.name)
}

func (f *factorPath) turn(best benchmarks.Point) bool {
	if best == nil || f.round >= maxRounds {
		return false
	}
	if f.round == 0 || (len(f.centres) == 1 && best.Equal(f.centres[0])) {
		f.round++
	}
	f.lay([]benchmarks.Point{best})
	return true
}

type factorState struct {
	Round   int               `json:"round"`
	Centres []json.RawMessage `json:"centres"`
}

func (f *factorPath) state() json.RawMessage {
	s := factorState{Round: f.round}
	for _, c := range f.centres {
		s.Centres = append(s.Centres, c.Canonical())
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a normalized point always marshals
	}
	return b
}

func (f *factorPath) setState(b json.RawMessage) error {
	var s factorState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Round < 0 || s.Round > maxRounds {
		return fmt.Errorf("round: %d", s.Round)
	}
	var centres []benchmarks.Point
	for i, raw := range s.Centres {
		p, err := benchmarks.DecodePoint(f.space, raw)
		if err != nil {
			return fmt.Errorf("centres[%d]: %w", i, err)
		}
		centres = append(centres, p)
	}
	f.round = s.Round
	f.lay(centres)
	return nil
}
