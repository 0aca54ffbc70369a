package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/openfeature"
	"github.com/arqon/arqon/runtime/runtimetest"
)

// Results go here, so that no operation is optimised away.
var (
	sinkID     catalog.VariantID
	sinkString string
	sinkAny    any
	sinkU      uint64
)

// fatal is runtimetest's TB outside of a test.
type fatal struct{}

func (fatal) Helper()           {}
func (fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// open makes every system ready with the same decision: one flag of two
// variants, of which one serves.
func open() ([]*subject, error) {
	ours, err := arqon()
	if err != nil {
		return nil, err
	}
	theirs, err := launchDarkly()
	if err != nil {
		return nil, err
	}
	flags, err := openFeature()
	if err != nil {
		return nil, err
	}
	out := append(ours, theirs...)
	out = append(out, flags...)
	return append(out, recording()...), nil
}

var twoPages = []runtimetest.Variant{
	{Name: "old", Data: []byte(`"old"`), Contexts: []string{"page"}},
	{Name: "new", Data: []byte(`"new"`), Contexts: []string{"page"}},
}

func page() (*runtime.Runtime, error) {
	rel := runtimetest.New(fatal{}, catalog.Policy{MaxExperiments: 1}).Release([]string{"page"}, twoPages...)
	return runtime.Open(context.Background(), runtime.Config{
		Stage: openfeature.Stage, Metrics: []runtime.Metric{{Name: "latency_ns"}}, Events: 1024,
	}, rel)
}

type word struct{ x uint64 }

// arqon is the floor and our own operations.
func arqon() ([]*subject, error) {
	rt, err := page()
	if err != nil {
		return nil, err
	}
	canary, err := page()
	if err != nil {
		return nil, err
	}
	canary.Executor().Propose(runtime.Proposal{Tick: 1, Base: canary.Load().Generation(), Variant: 2, Ramp: runtime.RampManual})
	if d := canary.Executor().Widen(0, .5, 2); d.Outcome == runtime.Refused {
		return nil, fmt.Errorf("canary: %v", d.Reason)
	}
	var bare atomic.Pointer[word]
	bare.Store(&word{1})
	rec, event, events := rt.Recorder(0), runtime.Event{Kind: 1}, make([]runtime.Event, 64)
	const name = "Arqon"
	return []*subject{
		{key: "floor", does: "bare atomic load and a read", system: "sync/atomic", run: func(n int) {
			for range n {
				sinkU = bare.Load().x
			}
		}},
		{key: "select", does: "which variant: Load, Select", system: name, run: func(n int) {
			for range n {
				sinkID = rt.Load().Select(0)
			}
		}},
		{does: "which variant, by subject, in a canary: Load, Route", system: name, run: func(n int) {
			for i := range n {
				sinkID = canary.Load().Route(0, uint64(i))
			}
		}},
		{does: "which variant and its model: Load, Select, Handle", system: name, run: func(n int) {
			for range n {
				s := rt.Load()
				sinkAny = s.Handle(s.Select(0))
			}
		}},
		{does: "which variant, and record a latency", system: name, run: func(n int) {
			for i := range n {
				id := rt.Load().Select(0)
				rec.Record(id, 0, 0, float64(100+i&1023))
			}
		}},
		{does: "record a latency", system: name + ", telemetry", run: func(n int) {
			for i := range n {
				rec.Record(1, 0, 0, float64(100+i&1023))
			}
		}},
		{does: "pass a rare event, taken in batches of 64", system: name + ", ring", run: func(n int) {
			for i := range n {
				rec.Emit(&event)
				if i%64 == 63 {
					rt.Drain(events)
				}
			}
			rt.Drain(events)
		}},
	}, nil
}

func launchDarkly() ([]*subject, error) {
	td := ldtestdata.DataSource()
	td.Update(td.Flag("page").Variations(ldvalue.String("old"), ldvalue.String("new")).FallthroughVariationIndex(0))
	td.Update(td.Flag("page-rule").Variations(ldvalue.String("old"), ldvalue.String("new")).FallthroughVariationIndex(0).
		IfMatch("country", ldvalue.String("IS")).ThenReturnIndex(1))
	client, err := ld.MakeCustomClient("sdk-none", ld.Config{
		DataSource: td, Events: ldcomponents.NoEvents(), DiagnosticOptOut: true,
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, 5*time.Second)
	if err != nil {
		return nil, err
	}
	user := ldcontext.NewBuilder("subject").SetString("country", "IS").Build()
	ask := func(key, want string) (func(n int), error) {
		if got, err := client.StringVariation(key, user, "none"); err != nil || got != want {
			return nil, fmt.Errorf("LaunchDarkly: %s is %q, %v; want %q", key, got, err, want)
		}
		return func(n int) {
			for range n {
				sinkString, _ = client.StringVariation(key, user, "none") // asked for its time only
			}
		}, nil
	}
	plain, err := ask("page", "old")
	if err != nil {
		return nil, err
	}
	rule, err := ask("page-rule", "new")
	if err != nil {
		return nil, err
	}
	const name = "LaunchDarkly Go SDK 7.14, test data, no events"
	return []*subject{
		{key: "launchdarkly", does: "which variant", system: name, run: plain},
		{key: "launchdarkly rule", does: "which variant, one rule", system: name, run: rule},
	}, nil
}

func openFeature() ([]*subject, error) {
	rt, err := page()
	if err != nil {
		return nil, err
	}
	providers := []struct {
		name string
		p    of.FeatureProvider
	}{
		{"OpenFeature Go SDK 1.20, Arqon's provider", openfeature.New(rt, openfeature.Options{})},
		{"OpenFeature Go SDK 1.20, in-memory provider", memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
			"page": {Key: "page", State: memprovider.Enabled, DefaultVariant: "old", Variants: map[string]any{"old": "old", "new": "new"}},
		})},
	}
	var out []*subject
	for _, p := range providers {
		if err := of.SetNamedProviderAndWait(p.name, p.p); err != nil {
			return nil, err
		}
		client, ctx, user := of.NewClient(p.name), context.Background(), of.NewEvaluationContext("subject", nil)
		if got, err := client.StringValue(ctx, "page", "none", user); err != nil || got != "old" {
			return nil, fmt.Errorf("%s: %q, %w", p.name, got, err)
		}
		out = append(out, &subject{does: "which variant", system: p.name, run: func(n int) {
			for range n {
				sinkString, _ = client.StringValue(ctx, "page", "none", user) // asked for its time only
			}
		}})
	}
	return out, nil
}

// recording are the peers of Record and Emit.
func recording() []*subject {
	h := hdrhistogram.New(1, 1e9, 2)
	events := make(chan runtime.Event, 64)
	return []*subject{
		{does: "record a latency", system: "HdrHistogram 1.4, 2 digits", run: func(n int) {
			for i := range n {
				_ = h.RecordValue(int64(100 + i&1023)) // within its range
			}
		}},
		{does: "pass a rare event, taken in batches of 64", system: "buffered channel", run: func(n int) {
			for i := range n {
				events <- runtime.Event{Kind: uint32(i)}
				if len(events) == cap(events) {
					for range cap(events) {
						e := <-events
						sinkU = uint64(e.Kind)
					}
				}
			}
			for len(events) > 0 {
				e := <-events
				sinkU = uint64(e.Kind)
			}
		}},
	}
}
