package main

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/telemetry"
)

// shadow tries copies of requests on a variant that no request is answered by
// yet, as Snapshot.Shadow asks for. A request that has been answered offers its
// copy and goes on: a queue that is full, a copy that panics and one that never
// ends cost the shadow evidence and the request nothing. One goroutine tries
// one copy at a time, with a shard of the runtime of its own. It is in the same
// process: what no program survives, such as memory that has run out, it does
// not survive either.
type shadow struct {
	share   float64
	hang    time.Duration
	metrics int // what a copy that failed leaves no number for
	jobs    chan shadowJob
	dropped atomic.Uint64
	start   time.Time
	since   atomic.Int64 // when the copy that is being tried began, ns since start; 0: none is

	// the goroutine's own
	rec     *runtime.Recorder
	samples []telemetry.Sketch // what the tables show of copies; to be read after settle

	mu    sync.Mutex
	count shadowCount // since take
}

// shadowJob is a copy of a request, or a wish to know that all before it have
// been tried.
type shadowJob struct {
	variant catalog.VariantID
	class   runtime.Class
	try     func(s *shadow) // answers, records and forgets
	settled chan struct{}
}

const (
	shadowQueue     = 256
	shadowHang      = 2 * time.Second        // a copy that takes longer does not end
	shadowSettle    = 500 * time.Millisecond // what a decision waits for copies; requests wait for none
	shadowShare     = .5
	shadowWindows   = 1
	shadowWindowMax = 1 << 10
)

// shadowFlags are those of run and serve.
type shadowFlags struct {
	windows int
	share   float64
}

func (f *shadowFlags) register(c *cobra.Command) {
	c.Flags().IntVar(&f.windows, "shadow", shadowWindows, "windows of evidence from copies of requests before a canary answers any (0: none)")
	c.Flags().Float64Var(&f.share, "shadow-share", shadowShare, "share of a class's requests that is copied meanwhile")
}

func (f shadowFlags) check() error {
	switch {
	case f.windows < 0 || f.windows > shadowWindowMax:
		return fmt.Errorf("--shadow is %d: want 0 (none) to %d windows", f.windows, shadowWindowMax)
	case !(f.share > 0 && f.share <= 1):
		return fmt.Errorf("--shadow-share is %v: want a share of requests above 0, at most 1", f.share)
	}
	return nil
}

func newShadow(f shadowFlags, rec *runtime.Recorder, metrics, samples int) *shadow {
	return &shadow{
		share: f.share, hang: shadowHang, metrics: metrics, jobs: make(chan shadowJob, shadowQueue), start: time.Now(),
		rec: rec, samples: make([]telemetry.Sketch, samples),
	}
}

// wants says whether request k is one of those that are copied for a class, and
// for which variant. It is BuiltIn where nothing is in shadow.
func (s *shadow) wants(snap *runtime.Snapshot, c runtime.Class, k uint64) catalog.VariantID {
	id := snap.Shadow(c)
	if id == catalog.BuiltIn || math.Floor(float64(k+1)*s.share) == math.Floor(float64(k)*s.share) {
		return catalog.BuiltIn
	}
	return id
}

// offer hands a copy over, or drops it.
func (s *shadow) offer(j shadowJob) {
	select {
	case s.jobs <- j:
	default:
		s.dropped.Add(1)
	}
}

// run tries copies until ctx ends.
func (s *shadow) run(ctx context.Context) {
	goruntime.LockOSThread() // the processor time of a copy is its thread's
	defer goruntime.UnlockOSThread()
	idle := time.NewTicker(shadowSettle)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			s.rec.Flush()
		case j := <-s.jobs:
			if j.settled != nil {
				s.rec.Flush()
				close(j.settled)
				continue
			}
			s.since.Store(max(1, int64(time.Since(s.start))))
			err := s.attempt(j)
			s.since.Store(0)
			s.mu.Lock()
			s.count.Tried++
			if err != nil {
				s.count.Failed++
				s.count.Why = err.Error()
			}
			s.mu.Unlock()
		}
	}
}

// attempt tries one copy. A panic is the variant's failure: every metric of the
// copy is no number, and a window of those takes the variant back.
func (s *shadow) attempt(j shadowJob) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("variant %d panicked: %v", j.variant, p)
			recordFailure(s.rec, j.variant, j.class, s.metrics)
		}
	}()
	j.try(s)
	return nil
}

// recordFailure records no number for every metric of a request.
func recordFailure(rec *runtime.Recorder, v catalog.VariantID, c runtime.Class, metrics int) {
	for m := range metrics {
		rec.Record(v, c, runtime.MetricID(m), math.NaN())
	}
}

// settle waits a little until every copy offered so far has been tried and is
// in the next window.
func (s *shadow) settle(limit time.Duration) bool {
	done, t := make(chan struct{}), time.NewTimer(limit)
	defer t.Stop()
	select {
	case s.jobs <- shadowJob{settled: done}:
	case <-t.C:
		return false
	}
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// hangs reports whether the copy that is being tried does not end.
func (s *shadow) hangs() bool {
	since := s.since.Load()
	return since != 0 && time.Since(s.start)-time.Duration(since) > s.hang
}

// shadowCount is what became of copies.
type shadowCount struct {
	Tried   uint64 `json:"tried"`
	Failed  uint64 `json:"failed"`        // panicked
	Dropped uint64 `json:"dropped"`       // found the queue full
	Why     string `json:"why,omitempty"` // the latest failed
}

// take returns the counts since the last call.
func (s *shadow) take() shadowCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Dropped = s.dropped.Swap(0)
	s.count = shadowCount{}
	return c
}

// endHanging takes back what is in shadow in any class and does not end.
func (s *shadow) endHanging(rt *runtime.Runtime, now runtime.Tick) (out []runtime.Transition) {
	if !s.hangs() {
		return nil
	}
	for c := range runtime.Class(rt.Load().Classes()) {
		if rt.Load().Shadow(c) == catalog.BuiltIn {
			continue
		}
		if t, ok := rt.Executor().Rollback(c, runtime.ReasonHarm, now); ok {
			out = append(out, t)
		}
	}
	return out
}

// stoppedInShadow reports whether a transition ends an experiment that no
// request has been answered by.
func stoppedInShadow(t runtime.Transition) bool {
	return t.From == runtime.StagedState && t.To == runtime.RolledBack && t.Reason != runtime.ReasonOperator
}
