package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

const (
	cacheRequests    = 60_000 // a phase, unless --requests says otherwise
	cacheRequestsMax = 1_000_000
	cacheWindow      = 1_000 // requests between two looks at the traffic
	cacheJudged      = 8     // windows that are judged together: a workload comes in runs
	cacheSettle      = 4     // times the capacity in requests until a changed cache is judged
	cacheNearer      = .01   // how much nearer another context must look
)

// cacheRun serves one live cache while the workload changes. The host is told
// nothing about the workload: it recognises it by its shadows.
type cacheRun struct {
	hostRun
	domain   *cache.Domain
	live     *cache.Live
	capacity int
	phases   []string // contexts of this capacity, in the release's order

	shadows    *cache.Shadows
	signatures map[string][]float64

	unsettled int // requests until the cache is judged again
	out       cacheResult
}

// serveCache is run for a release of domain cache.
func serveCache(ctx context.Context, f runFlags, rel *catalog.Verified, client *trust.Client, s *story, stdout io.Writer) error {
	if !f.requestsGiven {
		f.requests = cacheRequests
	}
	if f.requests > cacheRequestsMax {
		return fmt.Errorf("--requests is %d: want at most %d for a cache", f.requests, cacheRequestsMax)
	}
	h, err := newCacheRun(ctx, f, rel, s)
	if err != nil {
		return err
	}
	w := watch(ctx, client, f.channel, f.refresh, &h.hostRun)
	err = h.serveAll(ctx)
	w.stop()
	if err := errors.Join(err, h.close()); err != nil {
		return err
	}
	s.close()
	if f.json {
		return printJSON(stdout, h.out)
	}
	return h.out.print(stdout)
}

func newCacheRun(ctx context.Context, f runFlags, rel *catalog.Verified, s *story) (*cacheRun, error) {
	domain, err := cacheDomain()
	if err != nil {
		return nil, err
	}
	h := &cacheRun{hostRun: hostRun{flags: f, story: s, channel: f.channel}, domain: domain}
	if err := h.choosePhases(rel.Release().Contexts); err != nil {
		return nil, err
	}
	cfg := runtime.Config{
		Stage: stageStrategy, BuiltIn: cache.BuiltIn(), Shards: shards, Seed: seed.Root(f.seed),
		Metrics: []runtime.Metric{{Name: cache.MetricHitRatio}},
		Success: map[string]string{},
	}
	for _, c := range rel.Release().Contexts {
		cfg.Success[c] = cache.MetricHitRatio
	}
	if f.log != "" {
		log, err := ledger.Create(f.log, ledger.Header{Purpose: "arqon actuation log/1", Seed: f.seed}, ledger.Options{})
		if errors.Is(err, ledger.ErrExists) {
			return nil, hinted{err, "an actuation log is never overwritten: name a new file"}
		}
		if err != nil {
			return nil, err
		}
		h.log, cfg.Log = log, log
	}
	if h.rt, err = runtime.Open(ctx, cfg, rel); err != nil {
		return nil, errors.Join(err, h.close())
	}
	h.install()
	if h.live, err = cache.NewLive(cache.BuiltIn(), cache.LiveConfig{Entries: h.capacity, Shards: 4}); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if err := h.learn(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// stageStrategy is the host's loader: an entry's one artifact is a policy.
func stageStrategy(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	if len(e.Variant.Artifacts) != 1 {
		return nil, fmt.Errorf("%d artifacts, want one policy", len(e.Variant.Artifacts))
	}
	b, err := blobs.Get(ctx, e.Variant.Artifacts[0])
	if err != nil {
		return nil, err
	}
	return cache.Open(b)
}

// choosePhases serves the contexts of the capacity that most of them have: one
// cache has one size.
func (h *cacheRun) choosePhases(contexts []string) error {
	by := map[int][]string{}
	for _, c := range contexts {
		n, err := h.domain.Capacity(c)
		if err != nil {
			return hinted{err, "traces of the night must be named to run too: " + tracesVariable}
		}
		by[n] = append(by[n], c)
		if len(by[n]) > len(h.phases) {
			h.capacity, h.phases = n, by[n]
		}
	}
	return nil
}

// learn finds out what each context looks like to shadows of every family of
// policies, on traffic of its own.
func (h *cacheRun) learn() error {
	list := cache.Families()
	h.shadows = cache.NewShadows(list, h.capacity)
	h.signatures = map[string][]float64{}
	for _, context := range h.phases {
		t, err := h.traffic(context, benchmarks.ForSearch, 0)
		if err != nil {
			return err
		}
		h.signatures[context] = cache.Signature(list, h.capacity, t)
	}
	return nil
}

func (h *cacheRun) traffic(context string, p benchmarks.Purpose, part int) (*cache.Trace, error) {
	return h.domain.Trace(benchmarks.Request{
		Scenario: context, Seed: seed.Derive(seed.Root(h.flags.seed), "run/cache"), Fidelity: 1, Purpose: p,
	}, part)
}

// recognise is the context that the recent traffic looks like.
func (h *cacheRun) recognise(now string) string {
	nearest, least := now, cache.Distance(h.shadows.Ratios(), h.signatures[now])-cacheNearer
	for _, c := range h.phases {
		if d := cache.Distance(h.shadows.Ratios(), h.signatures[c]); d < least {
			nearest, least = c, d
		}
	}
	return nearest
}

// serveAll runs the phases.
func (h *cacheRun) serveAll(ctx context.Context) error {
	h.out = cacheResult{Channel: h.channel, Entries: h.capacity}
	class := h.phases[0]
	var all cache.Trace
	lru := cache.BuiltIn()
	for _, context := range h.phases {
		from := len(all.Uses)
		for part := 0; len(all.Uses)-from < h.flags.requests; part++ {
			t, err := h.traffic(context, benchmarks.ForGates, part)
			if err != nil {
				return err
			}
			all.Uses = append(all.Uses, t.Uses[:min(len(t.Uses), h.flags.requests-(len(all.Uses)-from))]...)
		}
		ph := &cachePhase{Context: context, served: map[catalog.VariantID]int{}, moved: h.live.Moved(), trips: h.result.Trips, rollbacks: h.result.Rollbacks}
		var err error
		if class, err = h.servePhase(ctx, ph, all.Uses[from:], class); err != nil {
			return err
		}
		// What LRU has and Belady allows, on everything so far, in the part
		// of the phase that the column "settled" is about.
		all.Warm = from + h.flags.requests/2
		ph.LRU, ph.Bound = lru.Play(&all, h.capacity, nil).Hit, cache.Bound(&all, h.capacity).Hit
		h.out.add(ph, h)
		h.story.say("%-16s %d requests, hit ratio %.3f, settled %.3f (LRU %.3f, bound %.3f)", context, ph.Requests, ph.HitRatio, ph.Settled, ph.LRU, ph.Bound)
	}
	h.out.finish(h)
	return nil
}

func (h *cacheRun) servePhase(ctx context.Context, ph *cachePhase, uses []cache.Use, class string) (string, error) {
	for at := 0; at < len(uses); at += cacheWindow {
		if err := ctx.Err(); err != nil {
			return class, err
		}
		c, ok := h.rt.Class(class)
		if !ok {
			return class, fmt.Errorf("the release does not know context %s", class)
		}
		window := uses[at:min(len(uses), at+cacheWindow)]
		before := h.live.Strategy()
		if err := h.serveCacheWindow(ph, c, window, at, len(uses)); err != nil {
			return class, err
		}
		if now := h.live.Strategy(); now != before {
			ph.Swaps++
			h.unsettled = cacheSettle * h.capacity
			h.note("switched", fmt.Sprintf("from %s to %s", before, now))
		}
		for _, u := range window {
			if cache.Sampled(u.Key) {
				h.shadows.Use(u)
			}
		}
		h.unsettled -= len(window)
		h.control()
		if next := h.recognise(class); next != class {
			h.note("recognised", fmt.Sprintf("the traffic looks like %s, not like %s", next, class))
			class, h.unsettled = next, cacheSettle*h.capacity
		}
	}
	return class, nil
}

// control is one cycle of the engine's side: collect, judge, install again
// what a cool-down has released.
func (h *cacheRun) control() {
	h.tick++
	h.mu.Lock()
	adopted := h.releases
	h.releases = nil
	h.mu.Unlock()
	for _, sequence := range adopted {
		h.result.Adopted++
		h.note("release", fmt.Sprintf("release %d was verified and adopted while serving", sequence))
	}
	if h.tick%cacheJudged != 0 {
		return
	}
	for _, t := range h.rt.Executor().Observe(h.rt.Collect(h.tick)) {
		h.moved(t)
	}
	h.install()
}

// install puts the approved variant of each class in force. Only what has
// passed a canary comes: in a cache, a share of the keys is not a share of the
// traffic's worth.
func (h *cacheRun) install() {
	for _, d := range h.rt.Install(h.tick) {
		h.decided(d)
	}
}

// cacheTally is what one shard did in a window.
type cacheTally struct {
	hits, late, early, dropped, wrong, torn int
	served                                  map[catalog.VariantID]int
}

func (h *cacheRun) serveCacheWindow(ph *cachePhase, c runtime.Class, window []cache.Use, at, whole int) error {
	var group sync.WaitGroup
	var tallies [shards]cacheTally
	for i := range shards {
		group.Go(func() { tallies[i] = h.serveCacheShard(c, i, window, at, whole) })
	}
	group.Wait()
	for _, t := range tallies {
		ph.hits, ph.late, ph.early = ph.hits+t.hits, ph.late+t.late, ph.early+t.early
		ph.Dropped, ph.Wrong, ph.Torn = ph.Dropped+t.dropped, ph.Wrong+t.wrong, ph.Torn+t.torn
		for id, n := range t.served {
			ph.served[id] += n
		}
	}
	ph.Requests += len(window)
	if ph.Dropped > 0 {
		return fmt.Errorf("%w: not a cache policy", errWrongHandle)
	}
	return nil
}

// serveCacheShard is the data plane: every shards-th request of the window,
// one snapshot a request. A miss stores what the key stands for: itself.
func (h *cacheRun) serveCacheShard(c runtime.Class, shard int, window []cache.Use, at, whole int) cacheTally {
	t := cacheTally{served: map[catalog.VariantID]int{}}
	rec := h.rt.Recorder(shard)
	var last *cache.Strategy
	for i := shard; i < len(window); i += shards {
		u := window[i]
		snap := h.rt.Load()
		id := snap.Select(c)
		s, ok := snap.Handle(id).(*cache.Strategy)
		if !ok {
			t.dropped++
			continue
		}
		if s != last {
			h.live.Switch(uint64(h.tick+1)<<32|snap.Generation()&(1<<32-1), s)
			last = s
		}
		v, hit := h.live.Get(u.Key)
		switch {
		case !hit:
			h.live.Put(u.Key, u.Key, u.Size)
		case v != u.Key:
			t.wrong++
		}
		if !snap.Intact() {
			t.torn++
		}
		x := 0.0
		if hit {
			x = 1
			t.hits++
			if at+i >= whole/2 {
				t.late++
			}
			if at+i < whole/10 {
				t.early++
			}
		}
		if h.unsettled <= 0 { // what was proved was proved of a warm cache
			rec.Record(id, c, 0, x)
		}
		t.served[id]++
	}
	rec.Flush()
	return t
}
