package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/cache"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

type runFlags struct {
	repository, keys, channel, root, out, log string
	requests                                  int
	seed                                      uint64
	refresh                                   time.Duration
	json, quiet, requestsGiven                bool
}

func newRun() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --repository DIR",
		Short: "Serve a stream of requests from a verified release, swapping variants by id",
		Long: `Run is a host: it verifies the channel's release, stages its variants, and serves
six phases of requests, one a context, while the load, the memory cap and the
inputs change. It picks the approved variant of each context, goes back to the
baseline when a signed guardrail trips, and takes a newer release over while
requests flow.

Load and memory are what a host knows of itself. That the inputs have drifted it
has to notice: each window is compared with what the contexts look like.

A release of cache policies is served by one live cache: the workload changes,
miniature simulations beside it recognise what it has become, and the cache
goes over to that context's policy with everything it holds.`,
		Example: `  arqon run --repository out/catalog --channel staging
  arqon run --repository out/catalog --requests 20000 --json
  arqon run --repository out/catalog --log out/actuation.ledger`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.requestsGiven = c.Flags().Changed("requests")
			return runHost(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.channel, "channel", "staging", "the channel to serve")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.out, "out", "out", "where caches are kept")
	c.Flags().StringVar(&f.log, "log", "", "record every proposal, decision and window in this new `FILE`")
	c.Flags().IntVar(&f.requests, "requests", 6000, "requests a phase (a cache: 60000 unless given)")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the traffic")
	c.Flags().DurationVar(&f.refresh, "refresh", 500*time.Millisecond, "how often to look for a newer release")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no story on standard error")
	return c
}

const requestsMax = 10_000_000 // a phase

func runHost(ctx context.Context, f runFlags, stdout, stderr io.Writer) (err error) {
	if f.requests < 1 || f.requests > requestsMax {
		return fmt.Errorf("--requests is %d: want 1 to %d", f.requests, requestsMax)
	}
	in, err := openReading(f.repository, f.keys, f.root, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	s := newStory(stderr, f.quiet)
	defer s.close()
	start := time.Now()
	rel, err := in.client.Refresh(ctx, f.channel)
	if err != nil {
		last, lastErr := in.client.Last(ctx, f.channel)
		if lastErr != nil || last.IsZero() {
			return refused(err)
		}
		s.say("refused: %v", err)
		s.say("serving the last good release; nothing new is adopted")
		rel = last
	}
	s.say("verified %s release %d (%d entries) in %s", f.channel, rel.Release().Sequence, len(rel.Release().Entries), time.Since(start).Round(time.Millisecond))
	switch rel.Release().Domain {
	case infer.Name:
	case cache.Name:
		return serveCache(ctx, f, rel, in.client, s, stdout)
	default:
		return hinted{fmt.Errorf("the release is of domain %s", rel.Release().Domain), "arqon run hosts " + infer.Name + " and " + cache.Name + "; embed the runtime to host another domain"}
	}
	h, err := newHost(ctx, f, rel, s)
	if err != nil {
		return err
	}
	w := watch(ctx, in.client, f.channel, f.refresh, h)
	result, err := h.serve(ctx)
	w.stop()
	if err := errors.Join(err, h.close()); err != nil {
		return err
	}
	s.close()
	if f.json {
		return printJSON(stdout, result)
	}
	result.print(stdout)
	return nil
}

// newHost stages the release and prepares the traffic.
func newHost(ctx context.Context, f runFlags, rel *catalog.Verified, s *story) (*hostRun, error) {
	domain, err := inferDomain(f.out, f.seed, func(string) {})
	if err != nil {
		return nil, err
	}
	data, err := domain.Data()
	if err != nil {
		return nil, err
	}
	h := &hostRun{flags: f, data: data, story: s, channel: f.channel}
	cfg := runtime.Config{
		Stage: stageModel, BuiltIn: infer.BuiltIn(), Shards: shards, Seed: seed.Root(f.seed),
		Metrics: []runtime.Metric{
			accuracyID: {Name: infer.MetricAccuracy}, macsID: {Name: infer.MetricMACs}, cpuID: {Name: infer.MetricCPU},
			p99ID: {Name: infer.MetricP99, Stat: runtime.P99}, bytesID: {Name: infer.MetricBytes},
		},
		Success: map[string]string{},
	}
	d, err := domain.Describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, sc := range d.Scenarios {
		for _, m := range d.In(sc) {
			if m.Role == benchmarks.Success {
				cfg.Success[sc.Name] = m.Name
			}
		}
	}
	if f.log != "" {
		log, err := ledger.Create(f.log, ledger.Header{Purpose: runtime.LogPurpose, Seed: f.seed}, ledger.Options{})
		if errors.Is(err, ledger.ErrExists) {
			return nil, hinted{err, "an actuation log is never overwritten: name a new file"}
		}
		if err != nil {
			return nil, err
		}
		h.log = log
		cfg.Log = log
	}
	if h.rt, err = runtime.Open(ctx, cfg, rel); err != nil {
		return nil, errors.Join(err, h.close())
	}
	h.window = rel.Release().Policy.WindowRequests
	if h.sense, err = newSense(data, rel.Release().Contexts, h.window, f.seed); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if h.adapt, err = runtime.NewAdaptation(h.rt, runtime.AdaptConfig{}); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// What the host records of a request, by its place in Config.Metrics.
const (
	accuracyID runtime.MetricID = iota
	macsID
	cpuID
	p99ID
	bytesID
)

// stageModel is the host's loader: an entry's one artifact becomes a model.
func stageModel(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	if len(e.Variant.Artifacts) != 1 {
		return nil, fmt.Errorf("%d artifacts, want one model", len(e.Variant.Artifacts))
	}
	b, err := blobs.Get(ctx, e.Variant.Artifacts[0])
	if err != nil {
		return nil, err
	}
	return infer.OpenModel(b)
}
