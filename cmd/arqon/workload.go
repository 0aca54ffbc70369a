package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/telemetry"
)

// workload is what a domain brings to run: how its variants are staged, what
// the requests of a phase are, and how the host notices what they have become.
// The host does the rest. One goroutine calls it, but for serve.
type workload interface {
	// plan reads the release. It is called once, first.
	plan(ctx context.Context, rel *catalog.Release) (plan, error)
	// begin prepares the traffic of a phase of n requests.
	begin(ctx context.Context, context string, n int) error
	// serve serves this shard's requests of the window, from its goroutine, and
	// accounts for them.
	serve(w *window, s *shard) error
	// recognise returns the context that the traffic looks like after a
	// window, given the one that it was taken for.
	recognise(w *window, class string) string
	// end adds to a phase what only the domain knows of it.
	end(p *phaseResult)
	// facts are what the domain says of the whole run.
	facts() []fact
}

// workloads are the domains that run can host.
var workloads = map[string]func(*hostRun) workload{
	infer.Name:    func(h *hostRun) workload { return &inferLoad{host: h} },
	cache.Name:    func(h *hostRun) workload { return &cacheLoad{host: h} },
	universe.Name: func(h *hostRun) workload { return &universeLoad{host: h} },
}

// plan is how a domain's release is to be run.
type plan struct {
	config      runtime.Config // without Shards, Seed and Log, which are the host's
	contexts    []string       // the phases, in order
	requests    int            // a phase, unless --requests says otherwise
	requestsMax int
	window      int                    // requests between two looks at the traffic
	judged      int                    // windows that are judged together
	best        func(g span) []float64 // the best of each series that a group of the phase's windows allowed; nil: the domain does not know
	adapt       bool                   // Tier 2 proposes; otherwise only what has passed a canary is installed
	shadow      bool                   // serve gives hostRun.shadow copies of requests
	samples     int                    // kinds of values that a request gives
	series      []series               // what the tables and plots show of them; the first is what the domain is about
	legend      string                 // below the table
}

// series is one figure of the requests of a window or a phase.
type series struct {
	name   string // in JSON; a guardrail on a metric of this name is checked against it
	header string
	unit   unit
	sample int // which of plan.samples
	stat   runtime.Stat
	higher bool // is better
}

func (s series) of(samples []telemetry.Sketch) float64 {
	x := &samples[s.sample]
	switch s.stat {
	case runtime.P50:
		return x.Quantile(.5)
	case runtime.P99:
		return x.Quantile(.99)
	case runtime.Mean:
	}
	return x.Mean()
}

// window is what is served between two decisions.
type window struct {
	class    string // what the host takes the traffic for
	id       runtime.Class
	from, n  int // requests [from, from+n) of the phase
	requests int // of the phase
	shards   [shards]shard
	shadow   *shadowResult // nil: nothing was in shadow
}

// shard is one goroutine's part of a window: the requests from+index,
// from+index+shards and so on, and its account of them.
type shard struct {
	index   int
	rt      *runtime.Runtime
	rec     *runtime.Recorder
	served  map[catalog.VariantID]int
	dropped int
	torn    int
	samples []telemetry.Sketch
	err     error
}

var errWrongHandle = errors.New("the snapshot holds something that the host cannot serve with")

// drop accounts for a request whose variant is of the wrong kind. It ends the
// run: a host that cannot serve says so.
func (s *shard) drop(id catalog.VariantID) error {
	s.dropped++
	return fmt.Errorf("variant %d: %w", id, errWrongHandle)
}

// done accounts for a request that was served under a snapshot.
func (s *shard) done(snap *runtime.Snapshot, id catalog.VariantID) {
	s.served[id]++
	if !snap.Intact() {
		s.torn++
	}
}

// serve lets every shard serve its part at once.
func (w *window) serve(load workload, rt *runtime.Runtime, samples int) error {
	var group sync.WaitGroup
	for i := range w.shards {
		s := &w.shards[i]
		*s = shard{index: i, rt: rt, rec: rt.Recorder(i), served: map[catalog.VariantID]int{}, samples: make([]telemetry.Sketch, samples)}
		group.Go(func() {
			defer func() {
				if what := recover(); what != nil {
					s.err = fmt.Errorf("a request in %s panicked: %v", w.class, what)
				}
			}()
			s.err = load.serve(w, s)
			s.rec.Flush()
		})
	}
	group.Wait()
	var err error
	for i := range w.shards {
		err = errors.Join(err, w.shards[i].err)
	}
	return err
}

// oneArtifact is the bytes of an entry that has one file.
func oneArtifact(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) ([]byte, error) {
	if len(e.Variant.Artifacts) != 1 {
		return nil, fmt.Errorf("%d artifacts, want one", len(e.Variant.Artifacts))
	}
	return blobs.Get(ctx, e.Variant.Artifacts[0])
}
