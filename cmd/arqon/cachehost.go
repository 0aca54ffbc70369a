package main

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

const (
	cacheRequests    = 60_000
	cacheRequestsMax = 1_000_000
	cacheWindow      = 1_000 // requests between two looks at the traffic
	cacheJudged      = 8     // windows that are judged together: a workload comes in runs
	cacheSettle      = 4     // times the capacity in requests until a changed cache is judged
	cacheNearer      = .03   // how much nearer another context must look
)

// cacheLoad serves one live cache while the workload changes. The host is told
// nothing about the workload: it recognises it by its shadows.
type cacheLoad struct {
	host     *hostRun
	domain   *cache.Domain
	live     *cache.Live
	capacity int
	phases   []string // contexts of this capacity, in the release's order

	shadows    *cache.Shadows
	signatures map[string][]float64

	all       cache.Trace // everything served so far, and the phase to come
	from      int         // where in it the phase begins
	strategy  *cache.Strategy
	unsettled int // requests until the cache is judged again
	moved     int // entries handed over before the phase
	tallies   [shards]cacheTally
	wrong     int
}

// cacheTally is what one shard saw in a phase.
type cacheTally struct {
	early, late, wrong int
}

// stageStrategy is the host's loader: an entry's one artifact is a policy.
func stageStrategy(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	b, err := oneArtifact(ctx, e, blobs)
	if err != nil {
		return nil, err
	}
	return cache.Open(b)
}

func (l *cacheLoad) plan(_ context.Context, rel *catalog.Release) (plan, error) {
	var err error
	if l.domain, err = cacheDomain(); err != nil {
		return plan{}, err
	}
	if err := l.choosePhases(rel.Contexts); err != nil {
		return plan{}, err
	}
	if l.live, err = cache.NewLive(cache.BuiltIn(), cache.LiveConfig{Entries: l.capacity, Shards: 4}); err != nil {
		return plan{}, err
	}
	l.strategy, l.unsettled = l.live.Strategy(), cacheSettle*l.capacity
	if err := l.learn(); err != nil {
		return plan{}, err
	}
	cfg := runtime.Config{
		Stage: stageStrategy, BuiltIn: cache.BuiltIn(),
		Metrics: []runtime.Metric{{Name: cache.MetricHitRatio}},
		Success: map[string]string{},
	}
	for _, c := range rel.Contexts {
		cfg.Success[c] = cache.MetricHitRatio
	}
	return plan{
		// Tier 2 does not propose: in a cache, a share of the keys is not a
		// share of the traffic's worth, so a canary shows nothing.
		config: cfg, contexts: l.phases, requests: cacheRequests, requestsMax: cacheRequestsMax,
		window: cacheWindow, judged: cacheJudged, samples: 1, best: l.best,
		series: []series{{name: cache.MetricHitRatio, header: "hit ratio", unit: unitShare, higher: true}},
		legend: "start: the first tenth of a phase; settled, LRU and bound (Belady's): its second half",
	}, nil
}

// choosePhases serves the contexts of the capacity that most of them have: one
// cache has one size.
func (l *cacheLoad) choosePhases(contexts []string) error {
	by := map[int][]string{}
	for _, c := range contexts {
		n, err := l.domain.Capacity(c)
		if err != nil {
			return hinted{err, "traces of the night must be named to run too: " + tracesVariable}
		}
		by[n] = append(by[n], c)
		if len(by[n]) > len(l.phases) {
			l.capacity, l.phases = n, by[n]
		}
	}
	return nil
}

// learn finds out what each context looks like to shadows of every family of
// policies, on traffic of its own.
func (l *cacheLoad) learn() error {
	list := cache.Families()
	l.shadows = cache.NewShadows(list, l.capacity)
	l.signatures = map[string][]float64{}
	for _, context := range l.phases {
		t, err := l.traffic(context, benchmarks.ForSearch, 0)
		if err != nil {
			return err
		}
		l.signatures[context] = cache.Signature(list, l.capacity, t)
	}
	return nil
}

func (l *cacheLoad) traffic(context string, p benchmarks.Purpose, part int) (*cache.Trace, error) {
	return l.domain.Trace(benchmarks.Request{
		Scenario: context, Seed: seed.Derive(seed.Root(l.host.flags.seed), "run/cache"), Fidelity: 1, Purpose: p,
	}, part)
}

func (l *cacheLoad) begin(_ context.Context, context string, n int) error {
	l.from, l.moved = len(l.all.Uses), l.live.Moved()
	l.tallies = [shards]cacheTally{}
	for part := 0; len(l.all.Uses)-l.from < n; part++ {
		t, err := l.traffic(context, benchmarks.ForGates, part)
		if err != nil {
			return err
		}
		l.all.Uses = append(l.all.Uses, t.Uses[:min(len(t.Uses), n-(len(l.all.Uses)-l.from))]...)
	}
	return nil
}

// serve is the data plane: one snapshot a request. A miss stores what the key
// stands for: itself.
func (l *cacheLoad) serve(w *window, s *shard) error {
	t := &l.tallies[s.index]
	var last *cache.Strategy
	for i := w.from + s.index; i < w.from+w.n; i += shards {
		u := l.all.Uses[l.from+i]
		snap := s.rt.Load()
		id := snap.Select(w.id)
		strategy, ok := snap.Handle(id).(*cache.Strategy)
		if !ok {
			return s.drop(id)
		}
		if strategy != last {
			l.live.Switch(uint64(l.host.tick+1)<<32|snap.Generation()&(1<<32-1), strategy)
			last = strategy
		}
		v, hit := l.live.Get(u.Key)
		x := 0.0
		switch {
		case !hit:
			l.live.Put(u.Key, u.Key, u.Size)
		case v != u.Key:
			t.wrong++
			fallthrough
		default:
			x = 1
			if i >= w.requests/2 {
				t.late++
			}
			if i < w.requests/10 {
				t.early++
			}
		}
		if l.unsettled <= 0 { // what was proved was proved of a warm cache
			s.rec.Record(id, w.id, 0, x)
		}
		s.samples[0].Add(x)
		s.done(snap, id)
	}
	return nil
}

// recognise returns the context that the recent traffic looks like.
func (l *cacheLoad) recognise(w *window, class string) string {
	if w == nil {
		return class
	}
	if now := l.live.Strategy(); now != l.strategy {
		l.host.note("switched", fmt.Sprintf("from %s to %s", l.strategy, now))
		l.strategy, l.unsettled = now, cacheSettle*l.capacity
	}
	for _, u := range l.all.Uses[l.from+w.from : l.from+w.from+w.n] {
		if cache.Sampled(u.Key) {
			l.shadows.Use(u)
		}
	}
	l.unsettled -= w.n
	if !l.shadows.Warm() {
		return class
	}
	nearest, least := class, cache.Distance(l.shadows.Ratios(), l.signatures[class])-cacheNearer
	for _, c := range l.phases {
		if d := cache.Distance(l.shadows.Ratios(), l.signatures[c]); d < least {
			nearest, least = c, d
		}
	}
	if nearest != class {
		l.unsettled = cacheSettle * l.capacity
	}
	return nearest
}

// best is Belady's bound on a group of the phase's windows, on everything so
// far: the windows of a scan may have nothing to hit.
func (l *cacheLoad) best(g span) []float64 {
	end := min(l.from+g.to*cacheWindow, len(l.all.Uses))
	t := cache.Trace{Uses: l.all.Uses[:end], Warm: l.from + g.from*cacheWindow}
	return []float64{cache.Bound(&t, l.capacity).Hit}
}

// end says what LRU has and Belady allows, on everything so far, in the part
// of the phase that the column "settled" is about.
func (l *cacheLoad) end(p *phaseResult) {
	var t cacheTally
	for _, x := range l.tallies {
		t.early, t.late, t.wrong = t.early+x.early, t.late+x.late, t.wrong+x.wrong
	}
	l.wrong += t.wrong
	l.all.Warm = l.from + p.Requests/2
	lru := cache.BuiltIn().Play(&l.all, l.capacity, nil).Hit
	bound := cache.Bound(&l.all, l.capacity).Hit
	p.Facts = append(p.Facts,
		fact{"hit_ratio_start", "start", unitShare, float64(t.early) / float64(max(1, p.Requests/10))},
		fact{"hit_ratio_settled", "settled", unitShare, float64(t.late) / float64(max(1, p.Requests-p.Requests/2))},
		fact{"lru_settled", "LRU", unitShare, lru},
		fact{"bound_settled", "bound", unitShare, bound},
		fact{"entries_handed_over", "handed over", unitCount, float64(l.live.Moved() - l.moved)},
		fact{"wrong_values", "wrong", unitCount, float64(t.wrong)})
}

func (l *cacheLoad) facts() []fact {
	return []fact{
		{"entries", "entries", unitCount, float64(l.capacity)},
		{"wrong_values", "wrong values", unitCount, float64(l.wrong)},
		{"entries_handed_over", "entries handed over by switches", unitCount, float64(l.live.Moved())},
	}
}
