package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
)

type runFlags struct {
	repository, keys, channel, root, out, log string
	html                                      string
	propose                                   map[string]int
	requests                                  int
	shadow                                    shadowFlags
	seed                                      uint64
	refresh                                   time.Duration
	json, quiet, requestsGiven, fixedKnobs    bool
	allowNative, allowPrecompiled             bool
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
goes over to that context's policy with everything it holds.

The table says how many requests each phase took to recover from the change at
its beginning. --html draws the run: figures by window with their signed limits,
the variant that served, guardrail trips, rollbacks and adopted releases; --json
has the same.`,
		Example: `  arqon run --repository out/catalog --channel staging
  arqon run --repository out/catalog --requests 20000 --json
  arqon run --repository out/catalog --log out/actuation.ledger
  arqon run --repository out/catalog --propose shifted=1 --html run.html`,
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
	c.Flags().StringVar(&f.html, "html", "", "write the run as one self-contained HTML `FILE` too (- for standard output, and nothing else)")
	c.Flags().StringToIntVar(&f.propose, "propose", nil, "a third into the phase of `CONTEXT=ID`, propose the variant by hand: in shadow, then as a canary")
	f.shadow.register(c)
	c.Flags().IntVar(&f.requests, "requests", 0, "requests a phase (unless given, the domain's own: 6000 images, 60000 uses of a cache)")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "seed of the traffic")
	c.Flags().BoolVar(&f.fixedKnobs, "fixed-knobs", false, "universe: leave the law's knobs at their defaults instead of letting Tier 2 turn them")
	c.Flags().BoolVar(&f.allowNative, "allow-native", false, "universe: run native kernels too, each in a process of its own but outside of WebAssembly's sandbox")
	c.Flags().BoolVar(&f.allowPrecompiled, "allow-precompiled", false, "universe: load the signed machine code that kernels carry for machines like this one, and refuse it for others; without it the host compiles")
	c.Flags().DurationVar(&f.refresh, "refresh", 500*time.Millisecond, "how often to look for a newer release")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no story on standard error")
	return c
}

func runHost(ctx context.Context, f runFlags, stdout, stderr io.Writer) (err error) {
	if f.requests < 1 && f.requestsGiven {
		return fmt.Errorf("--requests is %d: want 1 to what the domain allows", f.requests)
	}
	if err := f.shadow.check(); err != nil {
		return err
	}
	s := newStory(stderr, f.quiet)
	defer s.close()
	may, err := f.tiers()
	if err != nil {
		return err
	}
	in, err := openHosting(f.repository, f.keys, f.root, may, leftOut(s, may))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
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
		s.say("%s release %d (%d entries) was verified before", f.channel, rel.Release().Sequence, len(rel.Release().Entries))
	} else {
		s.say("verified %s release %d (%d entries) in %s", f.channel, rel.Release().Sequence, len(rel.Release().Entries), time.Since(start).Round(time.Millisecond))
	}
	h, err := newHost(ctx, f, rel, s)
	if err != nil {
		return err
	}
	w := watch(ctx, in.client, rel, f.refresh, h.rt, watchers{adopted: h.adopted, say: s.say})
	result, err := h.serve(ctx)
	w.stop()
	if err := errors.Join(err, h.close()); err != nil {
		return err
	}
	if f.html == "-" {
		s.close()
		return result.page(stdout)
	}
	if f.html != "" {
		if err := writePage(f.html, io.Discard, result.page); err != nil {
			return err
		}
		s.say("page: %s", f.html)
	}
	s.close()
	if f.json {
		return printJSON(stdout, result)
	}
	return result.print(stdout)
}

// leftOut tells once of each entry that this host does not serve.
func leftOut(s *story, may tiers) func(catalog.Entry, string) {
	var mu sync.Mutex
	told := map[catalog.VariantID]bool{}
	return func(e catalog.Entry, feature string) {
		mu.Lock()
		defer mu.Unlock()
		if told[e.ID] {
			return
		}
		told[e.ID] = true
		switch {
		case feature == "":
			s.say("variant %d (%s) is left out: it is made for other machines", e.ID, e.Variant.Name)
		case feature == universe.FeatureNative:
			s.say("variant %d (%s) is left out: it is a native kernel, outside of WebAssembly's sandbox; --allow-native runs it", e.ID, e.Variant.Name)
		case strings.HasPrefix(feature, universe.FeaturePrecompiled+"-") && may.precompiled != nil:
			s.say("variant %d (%s) is left out: its code was compiled for %s, and this host has %s; without --allow-precompiled it compiles the kernel itself", e.ID, e.Variant.Name, feature, may.precompiled)
		default:
			s.say("variant %d (%s) is left out: it needs %s, which this machine does not have", e.ID, e.Variant.Name, feature)
		}
	}
}

// proposed is the variant that is to be proposed in a phase.
func (f runFlags) proposed(context string) (catalog.VariantID, bool) {
	id, ok := f.propose[context]
	return catalog.VariantID(id), ok
}

func (f runFlags) checkProposals(pl plan) error {
	if len(f.propose) > 0 && !pl.adapt {
		return hinted{errors.New("--propose: this domain serves no canaries"), "only what has passed a canary is installed here"}
	}
	for context, id := range f.propose {
		if !slices.Contains(pl.contexts, context) || id < 1 || id > math.MaxUint32 {
			return hinted{fmt.Errorf("--propose %s=%d: want CONTEXT=ID", context, id), "the phases of this release: " + strings.Join(pl.contexts, ", ")}
		}
	}
	return nil
}
