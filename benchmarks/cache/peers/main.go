// Command peers plays the cache domain's contexts through well-known Go caches
// (otter v2, ristretto v2, golang-lru v2) and through the policies that a
// night found, at the same capacity on the same traces, beside Belady's bound.
//
// It is a module of its own so that nothing else links them. The traces are the
// gates' (Request.Purpose ForGates) under a seed that no night uses, so nothing
// here was searched on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
)

// peer is one cache: use reports a hit and stores the key after a miss.
type peer struct {
	name string
	make func(capacity int) (use func(key uint64) bool, stop func(), err error)
}

var peers = []peer{
	{"otter", newOtter}, {"ristretto", newRistretto},
	{"golang-lru", newLRU}, {"golang-2q", newTwoQueue},
}

// used is how every peer is used: get, and add after a miss.
func used(get func(key uint64) bool, add func(key uint64)) func(key uint64) bool {
	return func(key uint64) bool {
		hit := get(key)
		if !hit {
			add(key)
		}
		return hit
	}
}

// newOtter runs otter's maintenance in the caller, so that every use sees the
// ones before it; left alone it runs in the background and evicts later.
func newOtter(capacity int) (func(uint64) bool, func(), error) {
	c, err := otter.New(&otter.Options[uint64, uint64]{
		MaximumSize: capacity, InitialCapacity: capacity, Executor: func(f func()) { f() },
	})
	if err != nil {
		return nil, nil, err
	}
	use := used(func(key uint64) bool { _, ok := c.GetIfPresent(key); return ok }, func(key uint64) { c.Set(key, key) })
	return func(key uint64) bool {
		hit := use(key)
		c.CleanUp()
		return hit
	}, func() { c.InvalidateAll() }, nil
}

// newRistretto waits for the buffers after each store, for the same reason.
func newRistretto(capacity int) (func(uint64) bool, func(), error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, uint64]{
		NumCounters: int64(capacity) * 10, MaxCost: int64(capacity), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, nil, err
	}
	return used(func(key uint64) bool { _, ok := c.Get(key); return ok }, func(key uint64) {
		c.Set(key, key, 1)
		c.Wait()
	}), c.Close, nil
}

func newLRU(capacity int) (func(uint64) bool, func(), error) {
	c, err := lru.New[uint64, uint64](capacity)
	if err != nil {
		return nil, nil, err
	}
	return used(func(key uint64) bool { _, ok := c.Get(key); return ok }, func(key uint64) { c.Add(key, key) }), func() {}, nil
}

func newTwoQueue(capacity int) (func(uint64) bool, func(), error) {
	c, err := lru.New2Q[uint64, uint64](capacity)
	if err != nil {
		return nil, nil, err
	}
	return used(func(key uint64) bool { _, ok := c.Get(key); return ok }, func(key uint64) { c.Add(key, key) }), func() {}, nil
}

// chosen is what `arqon inspect --json` says about a release, as far as it is
// needed here.
type chosen struct {
	Variant struct {
		Name  string          `json:"name"`
		Point json.RawMessage `json:"point"`
	} `json:"variant"`
	Envelope struct {
		Contexts []string `json:"contexts"`
	} `json:"envelope"`
	Expectations []struct {
		Metric, Context string
		Value           float64
	} `json:"expectations"`
	Reference bool `json:"reference"`
	// Of a run's candidates.json instead: what the search would choose, before
	// any gate has seen it.
	Context string `json:"context"`
	Claim   struct {
		Loss float64 `json:"loss"`
	} `json:"claim"`
}

func main() {
	release := flag.String("release", "", "`FILE` that arqon inspect --json printed, or a run's candidates.json; \"\": the peers beside LRU")
	seed := flag.Uint64("seed", 20_270_101, "seed of the traces")
	flag.Parse()
	if err := run(context.Background(), *release, *seed, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	}
}

const releaseMaxBytes = 64 << 20

// entries finds the list of entries wherever it lies in the document.
func entries(path string) ([]chosen, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, releaseMaxBytes))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	raw, ok := find(doc, "entries")
	if !ok {
		raw, ok = find(doc, "candidates")
	}
	if !ok {
		return nil, fmt.Errorf("%s: neither entries nor candidates in it", path)
	}
	if b, err = json.Marshal(raw); err != nil {
		return nil, err
	}
	var out []chosen
	return out, json.Unmarshal(b, &out)
}

func find(v any, name string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if x, ok := v[name].([]any); ok {
			return x, true
		}
		for _, x := range v {
			if y, ok := find(x, name); ok {
				return y, true
			}
		}
	case []any:
		for _, x := range v {
			if y, ok := find(x, name); ok {
				return y, true
			}
		}
	}
	return nil, false
}

// choose is the entry that the runtime would install: the best expectation of
// those that are approved for the context, or the baseline.
func choose(list []chosen, context string) (name string, point json.RawMessage) {
	name, best := "baseline", -1.0
	for _, e := range list {
		if gain := -e.Claim.Loss; !e.Reference && e.Context == context && gain > best {
			name, point, best = e.Variant.Name, e.Variant.Point, gain
		}
		for _, x := range e.Expectations {
			if !e.Reference && x.Context == context && x.Metric == cache.MetricHitRatio && x.Value > best {
				name, point, best = e.Variant.Name, e.Variant.Point, x.Value
			}
		}
	}
	return name, point
}

func run(ctx context.Context, release string, seed uint64, out io.Writer) error {
	list, err := entries(release)
	if err != nil {
		return err
	}
	d, err := cache.New(cache.Options{})
	if err != nil {
		return err
	}
	desc, err := d.Describe(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "| context | bound | LRU |")
	for _, p := range peers {
		fmt.Fprintf(out, " %s |", p.name)
	}
	fmt.Fprintln(out, " chosen | policy |\n|---|"+strings.Repeat("--:|", 3+len(peers))+"---|")
	reached, cut := 0, 0
	for _, sc := range desc.Scenarios {
		t, err := d.Trace(benchmarks.Request{Scenario: sc.Name, Seed: seed, Fidelity: 1, Purpose: benchmarks.ForGates}, 0)
		if err != nil {
			return err
		}
		n, err := d.Capacity(sc.Name)
		if err != nil {
			return err
		}
		plain := cache.BuiltIn().Play(t, n, nil).Hit
		fmt.Fprintf(out, "| %s | %.4f | %.4f |", sc.Name, cache.Bound(t, n).Hit, plain)
		best := 0.0
		for _, p := range peers {
			hit, err := play(p, t, n)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			best = max(best, hit)
			fmt.Fprintf(out, " %.4f |", hit)
		}
		s, err := strategy(ctx, d, desc.Space, list, sc.Name)
		if err != nil {
			return err
		}
		got := s.Play(t, n, nil).Hit
		fmt.Fprintf(out, " %.4f | %s |\n", got, s)
		if got >= best {
			reached++
		}
		if 1-got < .95*(1-plain) {
			cut++
		}
	}
	_, err = fmt.Fprintf(out, "\nThe choice reaches the best peer in %d of %d contexts and cuts misses against LRU by more than 5 %% in %d.\n", reached, len(desc.Scenarios), cut)
	return err
}

func strategy(ctx context.Context, d *cache.Domain, space benchmarks.Space, list []chosen, context string) (*cache.Strategy, error) {
	_, raw := choose(list, context)
	if raw == nil {
		return cache.BuiltIn(), nil
	}
	p, err := benchmarks.DecodePoint(space, raw)
	if err != nil {
		return nil, err
	}
	b, err := d.Build(ctx, p, 0)
	if err != nil {
		return nil, err
	}
	return cache.Open(b.Files[0].Bytes)
}

func play(p peer, t *cache.Trace, capacity int) (float64, error) {
	use, stop, err := p.make(capacity)
	if err != nil {
		return 0, err
	}
	defer stop()
	hits := 0
	for i, u := range t.Uses {
		if use(u.Key) && i >= t.Warm {
			hits++
		}
	}
	return float64(hits) / float64(len(t.Uses)-t.Warm), nil
}
