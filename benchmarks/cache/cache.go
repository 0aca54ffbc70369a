// Package cache is the domain of eviction policies: which entry a full cache
// gives up. It is exactly repeatable, needs no data, and swaps live state.
//
// A point names a policy (LRU, LFU, SIEVE, S3-FIFO, W-TinyLFU with a fixed or a
// moving window, ARC, LIRS, 2Q) and the sizes of its parts, or is a small scoring program of its own: a typed,
// loop-free sequence of at most six instructions over what is known of an
// entry; of a sample of entries the one with the lowest score goes. [Domain.Build]
// turns the point into a few bytes, [Open] turns the bytes into a [Strategy],
// and a [Live] cache serves under one and changes to another without losing
// what it holds.
//
// Capacity is counted in entries, so Belady's bound ([Bound]) is exact; sizes
// of entries weigh in byte_hit_ratio. Hit ratios are of a warm cache: the first
// quarter of a trace is not counted.
//
// The search sees workloads of other seeds (and of trace files the first half)
// than the gates do.
//
// It is not a client or a server of a cache, and knows no expiry.
package cache

import (
	"context"
	"fmt"
	"sync"

	"github.com/arqon/arqon/benchmarks"
)

// Options say what there is beside the built-in workloads. The zero Options
// add nothing.
type Options struct {
	// Traces are files that become contexts, one a size: trace-NAME-SIZE.
	Traces []TraceFile
}

// TraceFile is a recorded workload.
type TraceFile struct {
	Name    string // of the contexts: [a-z0-9-]
	Path    string
	Format  Format
	Entries []int // capacities; empty: the built-in three
}

// Domain implements benchmarks.Domain. It may be used by several goroutines.
type Domain struct {
	workloads []Workload // in the order of the scenarios

	mu     sync.Mutex
	traces map[traceKey]*Trace
	recent []traceKey // oldest first
	files  map[string]*Trace
}

var _ benchmarks.Domain = (*Domain)(nil)

// New makes the domain. Trace files are read when they are first measured.
func New(o Options) (*Domain, error) {
	d := &Domain{workloads: Workloads(), traces: map[traceKey]*Trace{}, files: map[string]*Trace{}}
	for _, f := range o.Traces {
		if _, ok := readers[f.Format]; !ok {
			return nil, fmt.Errorf("%s: format %q is not one of %v", f.Path, f.Format, Formats())
		}
		sizes := f.Entries
		if len(sizes) == 0 {
			sizes = capacities
		}
		for _, n := range sizes {
			if n < 1 || n > capacityMax {
				return nil, fmt.Errorf("%s: a cache of %d entries: want 1 to %d", f.Path, n, capacityMax)
			}
			d.workloads = append(d.workloads, Workload{
				Name: fmt.Sprintf("trace-%s-%s", f.Name, sizeName(n)), Capacity: n, file: &f,
			})
		}
	}
	return d, nil
}

// Build implements benchmarks.Domain: pure, and of the point alone.
func (d *Domain) Build(_ context.Context, p benchmarks.Point, buildSeed uint64) (benchmarks.Bundle, error) {
	p, err := space().Normalize(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	s, err := strategyOf(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	return benchmarks.Bundle{
		Point: p, Seed: buildSeed, Type: "eviction",
		Files: []benchmarks.File{{Name: fileName, MediaType: mediaType, Bytes: s.Encode()}},
	}, nil
}

// Open implements benchmarks.Domain.
func (d *Domain) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	if len(b.Files) != 1 {
		return nil, fmt.Errorf("bundle of %d files instead of one %s: %w", len(b.Files), fileName, ErrBadPolicy)
	}
	s, err := Open(b.Files[0].Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Files[0].Name, err)
	}
	return &instance{domain: d, strategy: s}, nil
}

// Capacity is the number of entries that a context is about.
func (d *Domain) Capacity(scenario string) (int, error) {
	w, err := d.workload(scenario)
	if err != nil {
		return 0, err
	}
	return w.Capacity, nil
}
