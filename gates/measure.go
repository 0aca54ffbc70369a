package gates

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// gateSeed is the seed of the gate data of a context: fresh each night, the
// same for every candidate, so that the baseline is measured once.
func (j *Judge) gateSeed(context, use string) uint64 {
	return seed.Derive(j.Seed, "gates/data/"+context+"/"+use)
}

// evaluate measures the deterministic metrics of one arm on gate data. name is
// "baseline" or the candidate's key, use says what for; both make the key of
// the record. Failing is a value here: the gate that asked judges it.
func (j *Judge) evaluate(ctx context.Context, a *arm, name, use string, r benchmarks.Request) (evaluation, error) {
	key := "eval/" + name + "/" + use
	if e, ok := j.evals[key]; ok {
		return e, nil
	}
	disk, err := recall(j.rec, key, func() (evalOnDisk, error) {
		r.Repeats, r.Purpose, r.OnlyDeterministic = 1, benchmarks.ForGates, true
		return j.measureOnce(ctx, a, r)
	})
	if err != nil {
		return evaluation{}, err
	}
	e := evaluation{
		key: key, values: disk.Values, failed: disk.Failed, unsupported: disk.Unsupported,
		items: map[string]itemSeries{},
	}
	rec := EvalRecord{Key: key, Values: disk.Values, Failed: disk.Failed, Unsupported: disk.Unsupported}
	for _, m := range j.Description.Metrics {
		s, ok := disk.Items[m.Name]
		if !ok {
			continue
		}
		values, ok := j.items[s.Digest]
		if !ok {
			if values, err = s.Floats(); err != nil {
				return evaluation{}, fmt.Errorf("%s: %s: %w", key, m.Name, err)
			}
			j.items[s.Digest] = values
		}
		e.items[m.Name] = itemSeries{digest: s.Digest, values: values}
		if rec.Items == nil {
			rec.Items = map[string]artifacts.Digest{}
		}
		rec.Items[m.Name] = s.Digest
		if !j.packed[s.Digest] {
			j.packed[s.Digest] = true
			j.night.Series = append(j.night.Series, s)
		}
	}
	j.night.Evals = append(j.night.Evals, rec)
	j.evals[key] = e
	return e, nil
}

func (j *Judge) measureOnce(ctx context.Context, a *arm, r benchmarks.Request) (evalOnDisk, error) {
	in, err := a.open(ctx, j.Domain)
	if err != nil {
		return failedEval(ctx, err)
	}
	samples, err := in.Measure(ctx, r)
	if err == nil && len(samples) != 1 {
		err = fmt.Errorf("%d samples instead of 1", len(samples))
	}
	if err == nil {
		err = benchmarks.CheckSample(j.order[r.Scenario], r, samples[0])
	}
	if err != nil {
		return failedEval(ctx, err)
	}
	out := evalOnDisk{Values: map[string]float64{}, Items: map[string]Series{}}
	for _, m := range j.Description.Metrics {
		if m.Kind != benchmarks.Deterministic {
			continue
		}
		out.Values[m.Name] = samples[0].Values[m.Name]
		if items := samples[0].Items[m.Name]; len(items) > 0 && m.Range != nil {
			if out.Items[m.Name], err = NewSeries(items); err != nil {
				return evalOnDisk{}, err
			}
		}
	}
	return out, nil
}

// failedEval makes a failure a recorded value, unless the night itself ends.
func failedEval(ctx context.Context, err error) (evalOnDisk, error) {
	if ctx.Err() != nil {
		return evalOnDisk{}, ctx.Err()
	}
	return evalOnDisk{Failed: err.Error(), Unsupported: errors.Is(err, benchmarks.ErrUnsupported)}, nil
}

// pairSource measures pair after pair of one comparison.
type pairSource struct {
	j       *Judge
	name    string // of the coin stream and the record
	context string
	a, b    func(context.Context) (benchmarks.Instance, error)
	arms    []*arm // opened anew every reopenPairs
}

// reopenPairs is how long one instance is measured. Where its memory happens
// to lie makes an instance a few percent faster or slower for as long as it
// lives (Mytkowicz et al., "Producing wrong data without doing anything
// obviously wrong", 2009); opened again it is drawn again.
const reopenPairs = 8

// identicalPairs is how many pairs of identical builds are measured: at least
// the policy's, and enough that a difference could cross the bar. A control
// that could not fail would be none.
func (j *Judge) identicalPairs(logBar float64) int {
	return max(j.Policy.ReferencePairs, evalue.PairsToReach(logBar+math.Ln2)+reopenPairs)
}

// next returns pair i; failed says why it could not be measured.
func (s pairSource) next(ctx context.Context, i int) (p PairRecord, failed string, err error) {
	disk, err := recall(s.j.rec, fmt.Sprintf("pair/%s/%d", s.name, i), func() (pairOnDisk, error) {
		p, err := s.measure(ctx, i)
		if ctx.Err() != nil {
			return pairOnDisk{}, ctx.Err()
		}
		if err != nil {
			return pairOnDisk{Failed: err.Error()}, nil
		}
		return pairOnDisk{Pair: p}, nil
	})
	if err != nil {
		return PairRecord{}, "", err
	}
	if disk.Failed == "" && disk.Pair.BFirst != seed.Coin(s.j.Seed, "pair/order/"+s.name, uint64(i)) {
		disk.Failed = fmt.Sprintf("pair %d was not measured in the order of its coin", i)
	}
	return disk.Pair, disk.Failed, nil
}

func (s pairSource) measure(ctx context.Context, i int) (PairRecord, error) {
	if i%reopenPairs == 0 {
		for _, a := range s.arms {
			if err := a.close(); err != nil {
				return PairRecord{}, fmt.Errorf("close: %w", err)
			}
		}
	}
	a, err := s.a(ctx)
	if err != nil {
		return PairRecord{}, fmt.Errorf("baseline: %w", err)
	}
	b, err := s.b(ctx)
	if err != nil {
		return PairRecord{}, fmt.Errorf("candidate: %w", err)
	}
	p, err := s.j.pairer.MeasurePair(ctx, s.j.Seed, s.name, i, a, b, benchmarks.Request{
		Scenario: s.context, Seed: s.j.gateSeed(s.context, "pairs"), Fidelity: 1,
		Purpose: benchmarks.ForGates, OnlyMeasured: true,
	})
	if err != nil {
		return PairRecord{}, err
	}
	out := pairRecord(p)
	out.A, out.B = onlyMeasured(s.j.order[s.context], out.A), onlyMeasured(s.j.order[s.context], out.B)
	return out, nil
}

// onlyMeasured drops what a domain that cannot separate its metrics measured
// on the side: deterministic ones are judged on the full gate data.
func onlyMeasured(ms []benchmarks.Metric, v map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for _, m := range ms {
		if x, ok := v[m.Name]; ok && m.Kind == benchmarks.Measured {
			out[m.Name] = x
		}
	}
	return out
}

func (j *Judge) instance(a *arm) func(context.Context) (benchmarks.Instance, error) {
	return func(ctx context.Context) (benchmarks.Instance, error) { return a.open(ctx, j.Domain) }
}

// machineEvents lists the pairs that a canary marked.
func (j *Judge) machineEvents(context, candidate string, pairs []PairRecord) {
	for _, p := range pairs {
		if p.Marked {
			j.night.Events = append(j.night.Events, Event{
				Context: context, Candidate: candidate, Pair: p.Index,
				What: "the machine was disturbed: the fixed spin took over 1.25 times its minimum",
			})
		}
	}
}
