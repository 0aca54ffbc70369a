package gates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
)

// shrinkBuildsMax bounds what minimising one counterexample may build.
const shrinkBuildsMax = 48

// Counterexample is a failed correctness check with as little of the candidate
// as still fails it.
type Counterexample struct {
	Check   string          `json:"check"`
	Seed    uint64          `json:"seed,string"`
	Detail  string          `json:"detail"`  // of the smallest point
	Point   json.RawMessage `json:"point"`   // the smallest point that fails
	Differs []string        `json:"differs"` // its parameters that are not the baseline's
	Reset   []string        `json:"reset"`   // the candidate's parameters that do not matter
	Builds  int             `json:"builds"`
	Note    string          `json:"note,omitempty"` // why it is not minimal
}

// shrink minimises the counterexample over the point: parameter by parameter
// is set back to the baseline's value for as long as the same check fails under
// the same seed, until none can be. A point that cannot be built is no
// counterexample. It only explains: the gate has failed already.
func (t *trial) shrink(ctx context.Context, failed benchmarks.Check, s uint64) error {
	key := "counterexample/" + t.key
	if t.j.rec.log == nil && !t.j.rec.knows(key) {
		return nil // recorded before counterexamples were
	}
	ce, err := recall(t.j.rec, key, func() (Counterexample, error) { return t.shrinkPoint(ctx, failed, s) })
	if err != nil {
		return err
	}
	t.rep.Counterexample = &ce
	return nil
}

func (t *trial) shrinkPoint(ctx context.Context, failed benchmarks.Check, s uint64) (Counterexample, error) {
	out := Counterexample{Check: failed.Name, Seed: s, Detail: failed.Detail, Differs: []string{}, Reset: []string{}}
	point, base := maps.Clone(t.c.Bundle.Point), t.j.Baseline.Point
	for again := true; again; {
		again = false
		for _, name := range differing(point, base) {
			if out.Builds == shrinkBuildsMax {
				out.Note = fmt.Sprintf("not minimal: stopped after %d builds", out.Builds)
				break
			}
			try := maps.Clone(point)
			if v, ok := base[name]; ok {
				try[name] = v
			} else {
				delete(try, name)
			}
			out.Builds++
			detail, fails, err := t.stillFails(ctx, try, failed.Name, s)
			if err != nil {
				return out, err
			}
			if fails {
				point, again = try, true
				out.Detail, out.Reset = detail, append(out.Reset, name)
			}
		}
		again = again && out.Note == "" // a reset may free others
	}
	if out.Differs = differing(point, base); out.Differs == nil {
		out.Differs = []string{}
	}
	slices.Sort(out.Reset)
	var err error
	out.Point, err = json.Marshal(point)
	return out, err
}

// stillFails builds the point and runs its checks.
func (t *trial) stillFails(ctx context.Context, p benchmarks.Point, check string, s uint64) (detail string, fails bool, err error) {
	if err := ctx.Err(); err != nil {
		return "", false, err
	}
	b, err := t.j.Domain.Build(ctx, p, t.c.Bundle.Seed)
	if err != nil {
		return "", false, ctx.Err()
	}
	in, err := t.j.Domain.Open(ctx, b)
	if err != nil {
		return "", false, ctx.Err()
	}
	checks, err := in.Check(ctx, s)
	if err := errors.Join(ctx.Err(), in.Close()); err != nil {
		return "", false, err
	}
	if err != nil {
		return "", false, nil
	}
	for _, c := range checks {
		if c.Name == check && !c.Pass {
			return c.Detail, true, nil
		}
	}
	return "", false, nil
}

// differing lists the parameters in which p is not base, sorted.
func differing(p, base benchmarks.Point) []string {
	var out []string
	for name, v := range p {
		a, errA := json.Marshal(v)
		b, errB := json.Marshal(base[name])
		if _, ok := base[name]; !ok || errA != nil || errB != nil || !bytes.Equal(a, b) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// words says what the counterexample needs.
func (c *Counterexample) words() string {
	switch {
	case c == nil:
		return ""
	case len(c.Differs) == 0:
		return " (it fails at the baseline's own parameters too)"
	case len(c.Reset) == 0:
		return ""
	}
	return fmt.Sprintf(" (it takes only %s off the baseline; %d other parameters do not matter)", strings.Join(c.Differs, ", "), len(c.Reset))
}
