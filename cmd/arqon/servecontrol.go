package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
)

// adopted is called by the watcher.
func (s *server) adopted(*catalog.Verified) {
	s.adoptions.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releases++
}

// control runs the decision cycles until ctx ends.
func (s *server) control(ctx context.Context) {
	ticker := time.NewTicker(s.flags.cycle)
	defer ticker.Stop()
	tick := runtime.Tick(1)
	s.told(ctx, nil, nil, s.rt.Install(tick))
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		tick++
		s.mu.Lock()
		releases := s.releases
		s.releases = 0
		s.mu.Unlock()
		if releases > 0 {
			s.records.Release(ctx)
			s.told(ctx, nil, nil, s.rt.Install(tick))
		}
		s.flush()
		s.toldOfShadow(ctx, tick)
		w := s.rt.Collect(tick)
		transitions, decisions := s.adapt.Cycle(w)
		s.told(ctx, w, transitions, decisions)
		s.recognise()
	}
}

// told passes on what a cycle did.
func (s *server) told(ctx context.Context, w *runtime.Window, ts []runtime.Transition, ds []runtime.Decision) {
	s.metrics.Cycle(w, ts, ds)
	s.records.Cycle(ctx, ts, ds)
}

// toldOfShadow ends what hangs in shadow, and says what failed there.
func (s *server) toldOfShadow(ctx context.Context, now runtime.Tick) {
	if ts := s.shadow.endHanging(s.rt, now); len(ts) > 0 {
		s.log.Warn("a copy of a request does not end in shadow", "limit", shadowHang)
		s.told(ctx, nil, ts, nil)
	}
	if c := s.shadow.take(); c.Failed > 0 {
		s.log.Warn("copies of requests failed in shadow", "failed", c.Failed, "tried", c.Tried, "error", c.Why)
	}
}

// flush hands over what idle workers have recorded; busy ones do it themselves.
func (s *server) flush() {
	for range cap(s.workers) {
		select {
		case w := <-s.workers:
			w.rec.Flush()
			s.workers <- w
		default:
			return
		}
	}
}

// recognise takes the traffic for what enough images look like.
func (s *server) recognise() {
	s.mu.Lock()
	seen, n := s.seen, s.looked
	if n < s.window || s.sense == nil {
		s.mu.Unlock()
		return
	}
	s.seen, s.looked = look{}, 0
	s.mu.Unlock()
	was := className(s.rt, runtime.Class(s.class.Load()))
	next := s.sense.recognise(seen.over(n), s.declared)
	if class, ok := s.rt.Class(next); ok && next != was {
		s.class.Store(uint32(class))
		s.log.Info("recognised", "context", next, "before", was, "images", n)
	}
}

// issuedMax is how many answers wait for feedback; older ones are forgotten.
const issuedMax = 1 << 14

// issued remembers the latest answers, so that labels that come later are
// counted for the variant that answered.
type issued struct {
	last  atomic.Uint64
	mu    sync.Mutex
	slots []answered
}

type answered struct {
	id      uint64 // 0: nothing
	variant catalog.VariantID
	class   runtime.Class
	got     int

	shadow    catalog.VariantID // BuiltIn: none tried a copy
	shadowGot int
}

func (i *issued) init() { i.slots = make([]answered, issuedMax) }

func (i *issued) next() uint64 { return i.last.Add(1) }

func (i *issued) remember(id uint64, a answered) {
	a.id = id
	i.mu.Lock()
	defer i.mu.Unlock()
	i.slots[id%issuedMax] = a
}

// beside adds what a variant in shadow made of a copy, if the answer still
// waits for its feedback.
func (i *issued) beside(id uint64, v catalog.VariantID, got int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if a := &i.slots[id%issuedMax]; a.id == id {
		a.shadow, a.shadowGot = v, got
	}
}

// take returns an answer once.
func (i *issued) take(id uint64) (answered, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.slots[id%issuedMax]
	if id == 0 || a.id != id {
		return answered{}, false
	}
	i.slots[id%issuedMax] = answered{}
	return a, true
}
