package infer

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// Requests in one timed batch at full fidelity, and the least at any.
const (
	timedRequests    = 300
	timedRequestsMin = 60
)

// instance implements benchmarks.Instance.
type instance struct {
	domain *Domain
	model  *Model
	last   evaluation // of the latest request: gates ask for the same again
}

// Open implements benchmarks.Domain.
func (d *Domain) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	if len(b.Files) != 1 {
		return nil, fmt.Errorf("bundle of %d files instead of one %s: %w", len(b.Files), modelFileName, ErrBadModel)
	}
	m, err := OpenModel(b.Files[0].Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Files[0].Name, err)
	}
	return &instance{domain: d, model: m}, nil
}

// Close implements benchmarks.Instance.
func (in *instance) Close() error { return nil }

// evaluation is the outcome for some images, in order.
type evaluation struct {
	key     evaluationKey
	correct []float32 // 1 or 0
	macs    []float32
}

// evaluationKey is everything that an evaluation depends on.
type evaluationKey struct {
	purpose    benchmarks.Purpose
	images     int
	order      uint64 // seed of the selection; 0 when all images are taken
	disturb    uint64 // seed of the disturbances; 0 when there is none
	first, add disturbance
	done       bool
}

// Measure implements benchmarks.Instance. The deterministic metrics are spread
// over the cores; timed requests run one after the other on a locked thread.
func (in *instance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	own, err := contextDisturbance(r.Scenario)
	if err != nil {
		return nil, err
	}
	extra, err := asked(r.Perturbation)
	if err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	data, err := in.domain.Data()
	if err != nil {
		return nil, err
	}
	split := &data.Validation
	if r.Purpose == benchmarks.ForGates {
		split = &data.Test
	}
	var out []benchmarks.Sample
	for repeat := range r.Repeats {
		s := benchmarks.Sample{Values: map[string]float64{}}
		root := seed.Root(r.Seed)
		d := newDisturber(seed.Derive(root, "infer/repeat", uint64(repeat)), own, extra)
		if !r.OnlyMeasured {
			if err := in.evaluate(ctx, split, r, d, &s); err != nil {
				return nil, err
			}
		}
		if !r.OnlyDeterministic {
			if err := in.timed(ctx, split, r, repeat, d, &s); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// selection returns which images a request is about: all in order, or a share
// drawn from the request's seed, the same for every instance.
func selection(split *Split, r benchmarks.Request) []int {
	n := max(1, int(math.Ceil(r.Fidelity*float64(split.Len()))))
	if n < split.Len() {
		return seed.Stream(seed.Root(r.Seed), "infer/selection").Perm(split.Len())[:n]
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// evaluate fills the deterministic metrics.
func (in *instance) evaluate(ctx context.Context, split *Split, r benchmarks.Request, d *disturber, s *benchmarks.Sample) error {
	at := selection(split, r)
	key := evaluationKey{purpose: r.Purpose, images: len(at), done: true}
	if len(at) < split.Len() {
		key.order = r.Seed
	}
	if !d.idle() {
		key.first = d.steps[0]
		key.add = d.steps[len(d.steps)-1]
		key.disturb = d.root
	}
	if key != in.last.key {
		e := evaluation{key: key, correct: make([]float32, len(at)), macs: make([]float32, len(at))}
		err := inParallel(ctx, len(at), func(lo, hi int) error {
			var w Workspace
			var img [pixels]byte
			hands := newDisturber(d.root, d.steps...)
			for i := lo; i < hi; i++ {
				hands.apply(&split.Images[at[i]], at[i], &img)
				p := in.model.Predict(&img, &w)
				if p.Class == int(split.Labels[at[i]]) {
					e.correct[i] = 1
				}
				e.macs[i] = float32(p.MACs)
			}
			return nil
		})
		if err != nil {
			return err
		}
		in.last = e
	}
	s.Values[MetricAccuracy] = mean(in.last.correct)
	s.Values[MetricMACs] = mean(in.last.macs)
	s.Values[MetricBytes] = float64(in.model.Bytes())
	s.Items = map[string][]float32{
		MetricAccuracy: slices.Clone(in.last.correct),
		MetricMACs:     slices.Clone(in.last.macs),
	}
	return nil
}

// mean is exact: the values are whole numbers whose sum stays below 2⁵³.
func mean(xs []float32) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += float64(x)
	}
	return sum / float64(len(xs))
}

// timed fills the measured metrics from one batch of requests. The images are
// drawn from the seed and disturbed before the clock starts.
func (in *instance) timed(ctx context.Context, split *Split, r benchmarks.Request, repeat int, d *disturber, s *benchmarks.Sample) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := max(timedRequestsMin, int(math.Ceil(r.Fidelity*timedRequests)))
	rng := seed.Stream(seed.Root(r.Seed), "infer/timed", uint64(repeat))
	batch := make([][pixels]byte, n)
	for i := range batch {
		at := rng.IntN(split.Len())
		d.apply(&split.Images[at], at, &batch[i])
	}
	var w Workspace
	wallNS := make([]int64, n)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	for i := range min(n, 8) { // warm the caches, unseen
		in.model.Predict(&batch[i], &w)
	}
	cpu0, err := benchmarks.ThreadCPU()
	if err != nil {
		return err
	}
	for i := range batch {
		t0 := time.Now()
		in.model.Predict(&batch[i], &w)
		wallNS[i] = time.Since(t0).Nanoseconds()
	}
	cpu1, err := benchmarks.ThreadCPU()
	if err != nil {
		return err
	}
	slices.Sort(wallNS)
	s.Values[MetricCPU] = float64(cpu1-cpu0) / float64(n)
	s.Values[MetricP99] = float64(wallNS[(99*n+99)/100-1]) // the ⌈.99·n⌉-th
	return nil
}
