package factory

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

const (
	trialTimeout     = 15 * time.Minute // one measurement, build included
	searchPairs      = 3                // pairs of a paired measurement at fidelity 1 in the search
	confirmPairs     = 9                // pairs of a finalist
	reasonBytesMax   = 300              // of a failure, in the journal
	bundleCacheBytes = 256 << 20
)

// job is one point to measure in one context.
type job struct {
	scenario benchmarks.Scenario
	metrics  []benchmarks.Metric
	paired   bool
	baseline map[string]float64 // deterministic values of the baseline; unused if paired
	point    benchmarks.Point
	phase    string // "search" or "confirm": different seeds, so that a finalist is measured afresh
	fidelity float64
	pairs    int
	kindest  bool   // a paired change is that of the pair that is least worse, not the median
	plain    bool   // one sample by itself, of every metric listed, with the seed below
	seed     uint64 // unused unless plain
}

// worker measures on one goroutine. It keeps the baseline open.
type worker struct {
	domain    benchmarks.Domain
	root      seed.Root
	baseline  benchmarks.Point
	builds    *buildCache
	pairer    *benchmarks.Pairer
	reference benchmarks.Instance // the baseline, once a pair has needed it
}

// measure returns a measurement, failed or not, and an error only if the
// night cannot go on.
func (w *worker) measure(ctx context.Context, j job) (x measurement, err error) {
	trial, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			x, err = measurement{Failed: reason("panic", fmt.Errorf("%v", p))}, nil
			w.dropReference()
		}
	}()
	x, err = w.attempt(trial, j)
	if err == nil {
		return x, nil
	}
	if ctx.Err() != nil {
		return measurement{}, ctx.Err()
	}
	if w.reference != nil && !errors.Is(err, benchmarks.ErrBadCandidate) {
		w.dropReference() // it may be the arm that died
	}
	failed, fatal := classify(err)
	if fatal {
		return measurement{}, err
	}
	return measurement{Type: x.Type, Failed: failed}, nil
}

// classify separates what a search learns from, from what ends a night.
func classify(err error) (failed string, fatal bool) {
	if errors.Is(err, benchmarks.ErrUnsupported) || errors.Is(err, benchmarks.ErrQuarantined) {
		return "", true // whatever else it is: nothing more will be answered
	}
	for _, known := range []error{benchmarks.ErrBadCandidate, benchmarks.ErrBuildFailed, benchmarks.ErrTimeout, benchmarks.ErrCrash} {
		if errors.Is(err, known) {
			return reason(known.Error(), err), false
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return reason(benchmarks.ErrTimeout.Error(), err), false
	}
	return reason("refused", err), false
}

// reason is one bounded line.
func reason(kind string, err error) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(kind+": "+err.Error(), "?")), " ")
	if len(s) > reasonBytesMax {
		s = strings.ToValidUTF8(s[:reasonBytesMax], "") + "…"
	}
	return s
}

func (w *worker) attempt(ctx context.Context, j job) (x measurement, err error) {
	bundle, err := w.builds.build(ctx, j.point)
	if err != nil {
		return x, err
	}
	x.Type = bundle.Type
	inst, err := w.domain.Open(ctx, bundle)
	if err != nil {
		return x, err
	}
	defer func() {
		if closeErr := inst.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("close: %w", closeErr)
		}
	}()
	r := benchmarks.Request{
		Scenario: j.scenario.Name, Repeats: 1, Fidelity: j.fidelity, Purpose: benchmarks.ForSearch,
		Seed: seed.Derive(w.root, "factory/measure/"+j.phase+"/"+j.scenario.Name),
	}
	if j.plain {
		r.Seed, r.OnlyDeterministic = j.seed, !j.paired
		return x, single(ctx, j, r, inst, &x)
	}
	if j.paired {
		return x, w.pairs(ctx, j, r, inst, &x)
	}
	r.OnlyDeterministic = true
	return x, single(ctx, j, r, inst, &x)
}

// single measures deterministic metrics once; the baseline's values are known.
func single(ctx context.Context, j job, r benchmarks.Request, inst benchmarks.Instance, x *measurement) error {
	samples, err := inst.Measure(ctx, r)
	if err != nil {
		return err
	}
	if len(samples) != 1 {
		return fmt.Errorf("%d samples instead of 1", len(samples))
	}
	if err := benchmarks.CheckSample(j.metrics, r, samples[0]); err != nil {
		return err
	}
	x.Values, x.Change = map[string]float64{}, map[string]float64{}
	for _, m := range j.metrics {
		v := samples[0].Values[m.Name]
		x.Values[m.Name] = v
		if a, ok := j.baseline[m.Name]; ok {
			x.Change[m.Name] = bounded(change(m, a, v))
		}
	}
	return nil
}

// pairs measures next to the baseline.
func (w *worker) pairs(ctx context.Context, j job, r benchmarks.Request, inst benchmarks.Instance, x *measurement) error {
	if w.reference == nil {
		bundle, err := w.builds.build(ctx, w.baseline)
		if err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
		if w.reference, err = w.domain.Open(ctx, bundle); err != nil {
			w.reference = nil
			return fmt.Errorf("baseline: %w", err)
		}
	}
	name := j.phase + "/" + j.point.Digest().Hex()
	a, b := map[string][]float64{}, map[string][]float64{}
	for i := range j.pairs {
		p, err := w.pairer.MeasurePair(ctx, w.root, name, i, w.reference, inst, r)
		if err != nil {
			return err
		}
		for _, m := range j.metrics {
			a[m.Name] = append(a[m.Name], p.A.Values[m.Name])
			b[m.Name] = append(b[m.Name], p.B.Values[m.Name])
		}
	}
	x.Values, x.Change = map[string]float64{}, map[string]float64{}
	for _, m := range j.metrics {
		x.Values[m.Name] = median(b[m.Name])
		x.Change[m.Name] = bounded(pairedChange(m, a[m.Name], b[m.Name]))
		if j.kindest {
			x.Values[m.Name], x.Change[m.Name] = kindest(m, a[m.Name], b[m.Name])
		}
	}
	return nil
}

// kindest is the candidate's value that is furthest inside a limit, and the
// change of the pair that is least worse.
func kindest(m benchmarks.Metric, a, b []float64) (value, least float64) {
	value, least = b[0], bounded(change(m, a[0], b[0]))
	for i := range b {
		if x := bounded(change(m, a[i], b[i])); oriented(m, x) < oriented(m, least) {
			least = x
		}
		if m.Direction == benchmarks.Higher {
			value = math.Max(value, b[i])
		} else {
			value = math.Min(value, b[i])
		}
	}
	return value, least
}

// bounded keeps a change representable in JSON.
func bounded(x float64) float64 {
	return math.Max(-math.MaxFloat64, math.Min(math.MaxFloat64, x))
}

func (w *worker) dropReference() {
	if w.reference != nil {
		_ = w.reference.Close() // it is suspect: whatever it says is of no interest
		w.reference = nil
	}
}

func (w *worker) close() { w.dropReference() }

// buildCache keeps recent bundles, because several contexts ask for the same
// points and a build may be a training. Each point is built once at a time.
type buildCache struct {
	domain benchmarks.Domain
	seed   uint64

	mu    sync.Mutex
	byKey map[artifacts.Digest]*list.Element
	order *list.List // front: most recently used
	bytes int64
}

type cachedBuild struct {
	key    artifacts.Digest
	ready  chan struct{}
	bundle benchmarks.Bundle
	err    error
	bytes  int64
}

func newBuildCache(d benchmarks.Domain, buildSeed uint64) *buildCache {
	return &buildCache{domain: d, seed: buildSeed, byKey: map[artifacts.Digest]*list.Element{}, order: list.New()}
}

// build returns the point's bundle; failures are not kept.
func (c *buildCache) build(ctx context.Context, p benchmarks.Point) (benchmarks.Bundle, error) {
	key := p.Digest()
	for {
		c.mu.Lock()
		e, ok := c.byKey[key]
		if !ok {
			b := &cachedBuild{key: key, ready: make(chan struct{})}
			e = c.order.PushFront(b)
			c.byKey[key] = e
			c.mu.Unlock()
			c.fill(ctx, e, b, p)
			return b.bundle, b.err
		}
		c.order.MoveToFront(e)
		c.mu.Unlock()
		b := e.Value.(*cachedBuild)
		select {
		case <-b.ready:
			if b.err == nil {
				return b.bundle, nil
			}
			// The one that built it failed, perhaps because it was called off.
		case <-ctx.Done():
			return benchmarks.Bundle{}, ctx.Err()
		}
		if errors.Is(b.err, benchmarks.ErrBadCandidate) || errors.Is(b.err, benchmarks.ErrBuildFailed) {
			return benchmarks.Bundle{}, b.err
		}
	}
}

func (c *buildCache) fill(ctx context.Context, e *list.Element, b *cachedBuild, p benchmarks.Point) {
	b.err = fmt.Errorf("build ended early: %w", benchmarks.ErrCrash) // stands if Build panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if b.err != nil {
			c.remove(e, b)
		} else {
			b.bytes = 1 << 10 // a bundle without files takes room too
			for _, f := range b.bundle.Files {
				b.bytes += int64(len(f.Bytes))
			}
			c.bytes += b.bytes
			c.shrink()
		}
		close(b.ready)
	}()
	b.bundle, b.err = c.domain.Build(ctx, p.Clone(), c.seed)
	if b.err == nil && b.bundle.Point == nil {
		b.bundle.Point, b.bundle.Seed = p.Clone(), c.seed
	}
}

func (c *buildCache) remove(e *list.Element, b *cachedBuild) {
	if c.byKey[b.key] == e {
		delete(c.byKey, b.key)
	}
	c.order.Remove(e)
	c.bytes -= b.bytes
}

func (c *buildCache) shrink() {
	for e := c.order.Back(); e != nil && c.bytes > bundleCacheBytes; {
		previous := e.Prev()
		if b := e.Value.(*cachedBuild); b.bytes > 0 && e != c.order.Front() {
			c.remove(e, b)
		}
		e = previous
	}
}
