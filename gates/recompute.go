package gates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// ErrDiffers: a night's numbers do not follow from its raw data.
var ErrDiffers = errors.New("the record does not follow from its raw data")

// Recompute derives every e-value, interval, sentence, finding and verdict of
// the night again from the raw data that it holds, with the code that judged
// it and without asking the world, and compares the whole record byte for
// byte. The error wraps ErrDiffers and names the first line that differs, or
// ErrNoRaw and names what is missing.
//
// It proves that the record is consistent, not who wrote it: that is what the
// signatures over its digest are for. Bits are the same on one architecture
// and toolchain.
func Recompute(n Night) error {
	b, err := EncodeNight(n)
	if err != nil {
		return err
	}
	if n, err = DecodeNight(b); err != nil {
		return err
	}
	_, _, err = derive(n, b)
	return err
}

// derive judges the night again and compares it with its bytes. The judge that
// it returns knows every raw answer by its key.
func derive(n Night, b []byte) (*Judge, []Candidate, error) {
	j, candidates, err := replayJudge(n)
	if err != nil {
		return nil, nil, err
	}
	if _, err := j.run(context.Background(), candidates); err != nil {
		return nil, nil, fmt.Errorf("night %s: %w", n.Run, err)
	}
	got := *j.night
	if err := got.digest(); err != nil {
		return nil, nil, err
	}
	got.Ended, got.Portfolio = n.Ended, n.Portfolio // said by others, carried along
	got.clock()
	again, err := EncodeNight(got)
	if err != nil {
		return nil, nil, err
	}
	return j, candidates, compare(b, again)
}

// compare names the first line that differs.
func compare(recorded, derived []byte) error {
	if bytes.Equal(recorded, derived) {
		return nil
	}
	a, b := strings.Split(string(recorded), "\n"), strings.Split(string(derived), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Errorf("line %d says %.200s, the raw data give %.200s: %w", i+1, strings.TrimSpace(a[i]), strings.TrimSpace(b[i]), ErrDiffers)
		}
	}
	return fmt.Errorf("%d lines, the raw data give %d: %w", len(a), len(b), ErrDiffers)
}

// replayJudge is a judge whose world is the record.
func replayJudge(n Night) (*Judge, []Candidate, error) {
	j := &Judge{
		Description: describeFrom(n), Policy: n.Policy, Seed: seed.Root(n.Seed), Run: n.Run, Study: n.Study, Host: n.Host,
		rec: &recorder{known: map[string]json.RawMessage{}, found: map[string]bool{}},
	}
	if err := n.Policy.Check(); err != nil {
		return nil, nil, err
	}
	if len(n.Candidates) > 0 {
		j.Command = n.Candidates[0].Command
	}
	j.begin()
	j.night.Wording = n.Wording
	j.Waivers = n.Waivers
	if err := j.waive(); err != nil {
		return nil, nil, fmt.Errorf("night %s: %w: %w", n.Run, err, ErrDiffers)
	}
	j.night.Started, j.night.Alpha, j.night.Anchor = n.Started, n.Alpha, n.Anchor
	a := &j.night.Alpha
	a.Year, a.Night, a.K = n.Policy.AlphaYear, n.Policy.Night(), len(n.Candidates)
	a.Bar, a.Test, a.LogBar = float64(a.K)/a.Night, a.Night/float64(a.K), evalue.LogBar(a.K, a.Night)
	if err := j.fill(n); err != nil {
		return nil, nil, fmt.Errorf("night %s: %w", n.Run, err)
	}
	var candidates []Candidate
	for _, c := range n.Candidates {
		if _, ok := j.order[c.Context]; !ok {
			return nil, nil, fmt.Errorf("candidate %s: context %q has no metrics in the record: %w", c.Name, c.Context, ErrBadNight)
		}
		candidates = append(candidates, Candidate{
			Variant: catalog.Variant{Name: c.Name, Domain: n.Domain, Type: c.Type, Point: c.Point, Identity: c.Identity},
			Context: c.Context, Claim: c.Claim, Lineage: c.Lineage, Reference: c.Reference,
		})
	}
	return j, candidates, nil
}

// describeFrom rebuilds the description as far as judging needs it.
func describeFrom(n Night) benchmarks.Description {
	d := benchmarks.Description{Name: n.Domain, Version: n.Version}
	for i, c := range n.Contexts {
		s := benchmarks.Scenario{Name: c.Name, Tolerances: map[string]float64{}, Limits: map[string]float64{}}
		for _, r := range c.Metrics {
			m := r.Metric()
			if d := r.Declared; d != nil { // the waivers widen it again
				m.Tolerance, m.Limit = d.Tolerance, d.Limit
			}
			if m.Role == benchmarks.Success {
				s.Success = m.Name
			}
			s.Tolerances[m.Name] = m.Tolerance
			if m.Limit != nil {
				s.Limits[m.Name] = *m.Limit
			}
			if i == 0 {
				m.Limit = nil
				d.Metrics = append(d.Metrics, m)
			}
		}
		d.Scenarios = append(d.Scenarios, s)
	}
	return d
}

// fill gives the replay every raw answer that the night holds.
func (j *Judge) fill(n Night) error {
	if n.Anchor != nil {
		if err := j.rec.put("anchor", n.Anchor); err != nil {
			return err
		}
	}
	maps.Copy(j.items, n.items)
	if n.NoiseHistory != nil {
		if err := j.rec.put("noise-history", n.NoiseHistory); err != nil {
			return err
		}
	}
	series := map[artifacts.Digest]Series{}
	for _, s := range n.Series {
		series[s.Digest] = s
	}
	for _, e := range n.Evals {
		disk := evalOnDisk{Values: e.Values, Items: map[string]Series{}, Failed: e.Failed, Unsupported: e.Unsupported}
		for m, d := range e.Items {
			disk.Items[m] = series[d]
		}
		if err := j.rec.put(e.Key, disk); err != nil {
			return err
		}
	}
	controlNames := map[string]string{
		controlSameCode: "control/aa", delayName("+", n.Policy): "control/delay+", delayName("-", n.Policy): "control/delay-",
	}
	for _, c := range n.Controls {
		if name, ok := controlNames[c.Name]; ok {
			if err := j.fillPairs("pair/"+name, c.Pairs, c.Failed); err != nil {
				return err
			}
		}
	}
	for _, p := range n.Probes {
		if err := j.fillPairs("pair/noise/"+p.Context, p.Pairs, p.Failed); err != nil {
			return err
		}
	}
	for _, c := range n.Candidates {
		if err := j.fillCandidate(c); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

func (j *Judge) fillPairs(name string, pairs []PairRecord, failed string) error {
	for i, p := range pairs {
		if p.Index != i {
			return fmt.Errorf("%s: pair %d is numbered %d: %w", name, i, p.Index, ErrBadNight)
		}
		if err := j.rec.put(fmt.Sprintf("%s/%d", name, i), pairOnDisk{Pair: p}); err != nil {
			return err
		}
	}
	if failed != "" {
		return j.rec.put(fmt.Sprintf("%s/%d", name, len(pairs)), pairOnDisk{Failed: failed})
	}
	return nil
}

func (j *Judge) fillCandidate(c CandidateReport) error {
	key := keyOf(Candidate{Context: c.Context, Variant: catalog.Variant{Identity: c.Identity}})
	if err := j.fillChecks(key, c.Checks); err != nil {
		return err
	}
	if c.Counterexample != nil {
		if err := j.rec.put("counterexample/"+key, c.Counterexample); err != nil {
			return err
		}
	}
	if err := j.fillPairs("pair/"+key, c.Pairs, c.PairFailed); err != nil {
		return err
	}
	if err := j.fillPairs("pair/"+key+anchorSuffix, c.AnchorPairs, c.AnchorFailed); err != nil {
		return err
	}
	if r := c.Canary; r != nil {
		rehearsal := pairOnDisk{}
		failed := r.Failed
		if !r.Rehearsed {
			rehearsal.Failed, failed = r.Failed, ""
		}
		if err := j.rec.put("canary/"+key+"/rehearsal", rehearsal); err != nil {
			return err
		}
		if err := j.fillPairs("canary/"+key, r.Pairs, failed); err != nil {
			return err
		}
	}
	for _, f := range c.Findings {
		if f.Gate == GateApproval {
			return j.rec.put("approval/"+key, f)
		}
	}
	return nil
}

// fillChecks groups the checks by seed again.
func (j *Judge) fillChecks(key string, checks []CheckRecord) error {
	bySeed := map[uint64]*checksOnDisk{}
	for i, c := range checks {
		if i == 0 {
			if c.Name != checkIdentity {
				return fmt.Errorf("the first check is %q: %w", c.Name, ErrBadNight)
			}
			if err := j.rec.put("check/"+key+"/identity", checksOnDisk{Checks: []benchmarks.Check{c.Check}}); err != nil {
				return err
			}
			continue
		}
		got := bySeed[c.Seed]
		if got == nil {
			got = &checksOnDisk{}
			bySeed[c.Seed] = got
		}
		switch c.Name {
		case checkNone:
		case checkRun:
			got.Failed, got.Unsupported = c.Detail, c.Unsupported
		default:
			got.Checks = append(got.Checks, c.Check)
		}
	}
	for i := range j.Policy.CheckSeeds {
		s := seed.Derive(j.Seed, "gates/check/"+key, uint64(i))
		if got := bySeed[s]; got != nil {
			if err := j.rec.put(fmt.Sprintf("check/%s/%d", key, i), *got); err != nil {
				return err
			}
		}
	}
	return nil
}
