package main

import (
	"context"
	goruntime "runtime"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

// inferLoad classifies images while the load, the memory cap and the inputs
// change. Load and memory are what a host knows of itself; that the inputs have
// drifted it notices by what they look like.
type inferLoad struct {
	host    *hostRun
	data    *infer.Data
	sense   *sense
	context string // of the phase
	streams [shards]*infer.Stream
	looks   [shards]look // of the window, summed

	shadowWork infer.Workspace // of copies of requests
}

const (
	inferRequests    = 6_000
	inferRequestsMax = 10_000_000
)

// What the host records of a request, by its place in Config.Metrics.
const (
	accuracyID = iota
	macsID
	cpuID
	p99ID
	bytesID
	inferMetrics // how many
)

// inferConfig is how a runtime stages and measures models; serve uses it too.
func inferConfig(ctx context.Context, domain benchmarks.Domain) (runtime.Config, error) {
	cfg := runtime.Config{
		Stage: stageModel, BuiltIn: infer.BuiltIn(),
		Metrics: []runtime.Metric{
			accuracyID: {Name: infer.MetricAccuracy}, macsID: {Name: infer.MetricMACs}, cpuID: {Name: infer.MetricCPU},
			p99ID: {Name: infer.MetricP99, Stat: runtime.P99}, bytesID: {Name: infer.MetricBytes},
		},
		Success: map[string]string{},
	}
	d, err := domain.Describe(ctx)
	if err != nil {
		return cfg, err
	}
	for _, sc := range d.Scenarios {
		for _, m := range d.In(sc) {
			if m.Role == benchmarks.Success {
				cfg.Success[sc.Name] = m.Name
			}
		}
	}
	return cfg, nil
}

// stageModel is the host's loader: an entry's one artifact becomes a model.
func stageModel(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	b, err := oneArtifact(ctx, e, blobs)
	if err != nil {
		return nil, err
	}
	return infer.OpenModel(b)
}

func (l *inferLoad) plan(ctx context.Context, rel *catalog.Release) (plan, error) {
	domain, err := inferDomain(l.host.flags.out, l.host.flags.seed, func(string) {})
	if err != nil {
		return plan{}, err
	}
	if l.data, err = domain.Data(); err != nil {
		return plan{}, err
	}
	cfg, err := inferConfig(ctx, domain)
	if err != nil {
		return plan{}, err
	}
	cfg.Limits.Ramp = []float64{.1, .25, .5, 1} // phases are short
	if l.sense, err = newSense(l.data, rel.Contexts, rel.Policy.WindowRequests, l.host.flags.seed); err != nil {
		return plan{}, err
	}
	return plan{
		config:   cfg,
		contexts: []string{infer.LowLoad, infer.Burst, infer.Memory300K, infer.Shifted, infer.Noisy, infer.Inverted},
		requests: inferRequests, requestsMax: inferRequestsMax, window: rel.Policy.WindowRequests, judged: 1, adapt: true, shadow: true, samples: 2,
		series: []series{
			{name: "accuracy", header: "accuracy", unit: unitShare, sample: 0, higher: true},
			{name: "p50_ns", header: "p50", unit: unitNS, sample: 1, stat: runtime.P50},
			{name: "p99_ns", header: "p99", unit: unitNS, sample: 1, stat: runtime.P99},
		},
	}, nil
}

func (l *inferLoad) begin(_ context.Context, context string, _ int) error {
	l.context = context
	for i := range l.streams {
		s, err := infer.NewStream(l.data, context, seed.Derive(seed.Root(l.host.flags.seed), "run/traffic", uint64(i)))
		if err != nil {
			return err
		}
		l.streams[i] = s
	}
	return nil
}

// declared is what the host knows of itself in a phase: the load and the
// memory cap. Of the inputs it knows nothing.
func declared(context string) string {
	switch context {
	case infer.Burst, infer.Memory300K:
		return context
	}
	return infer.LowLoad
}

// recognise lets the host's own signals take effect at once, before the first
// window; the inputs speak after each.
func (l *inferLoad) recognise(w *window, class string) string {
	own := declared(l.context)
	if w == nil {
		if own != infer.LowLoad || class == infer.Burst || class == infer.Memory300K {
			return own
		}
		return class
	}
	var sum look
	for i := range l.looks {
		for k := range sum {
			sum[k] += l.looks[i][k]
		}
		l.looks[i] = look{}
	}
	return l.sense.recognise(sum.over(w.n), own)
}

// serve is the data plane: one snapshot a request, no lock, no clock but the
// one that the table needs.
func (l *inferLoad) serve(w *window, s *shard) error {
	var work infer.Workspace
	var seen look
	goruntime.LockOSThread() // the processor time of a request is its thread's
	defer goruntime.UnlockOSThread()
	for i := w.from + s.index; i < w.from+w.n; i += shards {
		image, label := l.streams[s.index].Next()
		start := time.Now()
		snap := s.rt.Load()
		id := snap.Route(w.id, uint64(i))
		model, ok := snap.Handle(id).(*infer.Model)
		if !ok {
			return s.drop(id)
		}
		got := predict(model, image, &work, s.rec, id, w.id)
		ns := float64(time.Since(start))
		right := 0.0
		if got.Class == label {
			right = 1
		}
		s.rec.Record(id, w.id, accuracyID, right)
		s.rec.Record(id, w.id, p99ID, ns)
		s.samples[0].Add(right)
		s.samples[1].Add(ns)
		s.done(snap, id)
		seen.add(image)
		if other := l.host.shadow.wants(snap, w.id, uint64(i)); other != catalog.BuiltIn {
			l.host.shadow.offer(shadowJob{variant: other, class: w.id, try: l.copied(snap, other, w.id, *image, label)})
		}
	}
	l.looks[s.index] = seen
	return nil
}

// copied is a request as the shadow tries it.
func (l *inferLoad) copied(snap *runtime.Snapshot, id catalog.VariantID, c runtime.Class, image [side * side]byte, label int) func(*shadow) {
	model, ok := snap.Handle(id).(*infer.Model)
	return func(s *shadow) {
		if !ok {
			panic(errWrongHandle)
		}
		start := time.Now()
		got := predict(model, &image, &l.shadowWork, s.rec, id, c)
		ns, right := float64(time.Since(start)), 0.0
		if got.Class == label {
			right = 1
		}
		s.rec.Record(id, c, accuracyID, right)
		s.rec.Record(id, c, p99ID, ns)
		s.samples[0].Add(right)
		s.samples[1].Add(ns)
	}
}

// predict answers and records what it cost. The thread must be locked.
func predict(m *infer.Model, image *[side * side]byte, work *infer.Workspace, rec *runtime.Recorder, id catalog.VariantID, c runtime.Class) infer.Prediction {
	cpu, cpuErr := benchmarks.ThreadCPU()
	got := m.Predict(image, work)
	if cpuErr == nil { // read on Linux only; a window without it is judged on the rest
		if after, err := benchmarks.ThreadCPU(); err == nil {
			rec.Record(id, c, cpuID, float64(after-cpu))
		}
	}
	rec.Record(id, c, macsID, float64(got.MACs))
	rec.Record(id, c, bytesID, float64(m.Bytes()))
	return got
}

func (l *inferLoad) end(*phaseResult) {}

func (l *inferLoad) facts() []fact { return nil }
