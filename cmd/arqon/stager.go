package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

// stager puts candidates into the real runtime for the canary gate: a release
// of scope canary in a scratch repository with its own keys, verified and
// staged like any other. The runtime has no back door for candidates.
type stager struct {
	domain      benchmarks.Domain
	description benchmarks.Description
	baseline    benchmarks.Bundle
	seed        seed.Root
}

// canary is one candidate beside the baseline in a runtime.
type canary struct {
	s         stager
	c         gates.Candidate
	rt        *runtime.Runtime
	class     runtime.Class
	base      catalog.VariantID
	candidate catalog.VariantID
	pairer    *benchmarks.Pairer
	opened    []benchmarks.Instance
	client    *trust.Client
	tick      runtime.Tick
	served    uint64 // requests so far: the key of the next one
}

// requestsAPair is how many requests are routed between two measured pairs.
const requestsAPair = 200

func (s stager) start(ctx context.Context, c gates.Candidate, v gates.Verdict) (gates.Canary, error) {
	rel, client, err := s.scratch(ctx, c, v)
	if err != nil {
		return nil, fmt.Errorf("scratch release: %w", err)
	}
	k := &canary{s: s, c: c, client: client, pairer: benchmarks.NewPairer(s.description)}
	k.rt, err = runtime.Open(ctx, runtime.Config{
		Stage: k.stage, BuiltIn: c.Context, Seed: s.seed, Host: runtime.Host{CPUFeatures: c.Envelope.Hardware.CPUFeatures},
	}, rel)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	class, ok := k.rt.Class(c.Context)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the release lost context %s", c.Context), k.Close())
	}
	k.class, k.base = class, k.rt.Baseline()
	for _, e := range rel.Release().Entries {
		if e.ID != k.base {
			k.candidate = e.ID
		}
	}
	if k.candidate == catalog.BuiltIn && c.Reference {
		k.candidate = k.base // the baseline is staged beside itself: only the way there and back is tried
	}
	return k, nil
}

// scratch publishes baseline and candidate with scope canary to a repository
// in memory and returns what a client verified of it.
func (s stager) scratch(ctx context.Context, c gates.Candidate, v gates.Verdict) (*catalog.Verified, *trust.Client, error) {
	store := artifacts.NewMem()
	created, err := publish.Init(ctx, store, publish.InitOptions{Solo: true, Now: now(), Channels: []string{string(catalog.ScopeCanary)}})
	if err != nil {
		return nil, nil, err
	}
	base := catalog.Entry{
		Variant:  catalog.Variant{Name: "baseline", Domain: c.Variant.Domain, Type: s.baseline.Type, Point: s.baseline.Point.Canonical(), Seed: s.baseline.Seed},
		Envelope: catalog.Envelope{Contexts: []string{c.Context}}, Scope: catalog.ScopeCanary,
	}
	entries := []catalog.Entry{}
	for _, b := range []benchmarks.Bundle{s.baseline, c.Bundle} {
		for _, f := range b.Files {
			if _, err := store.Put(ctx, f.Bytes); err != nil {
				return nil, nil, err
			}
		}
	}
	base.Variant.Artifacts = s.baseline.Refs()
	base.Variant.Identity = catalog.IdentityOf(base.Variant)
	entries = append(entries, base)
	if c.Variant.Identity != base.Variant.Identity {
		e, err := v.Entry(1, catalog.ScopeCanary)
		if err != nil {
			return nil, nil, err
		}
		e.Evidence, e.Waivers = nil, nil // reports are signed when the night is over; who waived is shown then
		entries = append(entries, e)
	}
	repo := publish.Repository{Store: store, Keys: created.Keys, Now: now()}
	if _, err := repo.Release(ctx, publish.Proposal{
		Channel: string(catalog.ScopeCanary), Domain: c.Variant.Domain, Contexts: []string{c.Context}, Entries: entries,
		Baseline: base.Variant.Identity, Blobs: store,
		Policy: catalog.Policy{Guardrails: []catalog.Guardrail{}, MaxExperiments: 1, WindowRequests: 1},
	}); err != nil {
		return nil, nil, err
	}
	client, err := trust.Open(trust.Config{
		Store: store, Root: created.Root, Now: now,
		Host: catalog.Hardware{CPUFeatures: c.Envelope.Hardware.CPUFeatures}, // that the study allows it is the domain's to say
	})
	if err != nil {
		return nil, nil, err
	}
	rel, err := client.Refresh(ctx, string(catalog.ScopeCanary))
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return rel, client, nil
}

// stage is the host's loader: the domain's own.
func (k *canary) stage(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	b, err := bundleOf(ctx, k.s.description.Space, e.Variant, blobs)
	if err != nil {
		return nil, err
	}
	in, err := k.s.domain.Open(ctx, b)
	if err == nil {
		k.opened = append(k.opened, in)
	}
	return in, err
}

// bundleOf is a variant as a domain opens it.
func bundleOf(ctx context.Context, space benchmarks.Space, v catalog.Variant, blobs artifacts.Getter) (benchmarks.Bundle, error) {
	point, err := benchmarks.DecodePoint(space, v.Point)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	files, err := filesFrom(ctx, v.Artifacts, blobs)
	return benchmarks.Bundle{Point: point, Seed: v.Seed, Type: v.Type, Files: files}, err
}

// filesFrom reads artifacts as a domain's loader takes them.
func filesFrom(ctx context.Context, refs []artifacts.Ref, blobs artifacts.Getter) ([]benchmarks.File, error) {
	var files []benchmarks.File
	for _, ref := range refs {
		raw, err := blobs.Get(ctx, ref)
		if err != nil {
			return nil, err
		}
		files = append(files, benchmarks.File{Name: ref.Name, MediaType: ref.MediaType, Bytes: raw})
	}
	return files, nil
}

// Rehearse serves everything from the candidate, takes it back, and looks.
func (k *canary) Rehearse(ctx context.Context) error {
	if err := k.Widen(ctx, 1); err != nil {
		return fmt.Errorf("rehearsal: %w", err)
	}
	if on := k.serve(requestsAPair); on != requestsAPair {
		return fmt.Errorf("rehearsal: the candidate served %d of %d requests", on, requestsAPair)
	}
	return k.Rollback(ctx, "rehearsal")
}

// Widen routes the share of requests to the candidate.
func (k *canary) Widen(_ context.Context, share float64) error {
	if k.candidate == k.base {
		return nil
	}
	x := k.rt.Executor()
	k.tick++
	if id, _ := k.rt.Load().Candidate(k.class); id != k.candidate {
		d := x.Propose(runtime.Proposal{
			Tick: k.tick, Base: k.rt.Load().Generation(), Class: k.class, Variant: k.candidate, Ramp: runtime.RampManual,
		})
		if d.Outcome == runtime.Refused {
			return fmt.Errorf("the runtime refused to stage the candidate: %v", d.Reason)
		}
		k.tick++
	}
	if d := x.Widen(k.class, share, k.tick); d.Outcome == runtime.Refused {
		return fmt.Errorf("the runtime refused a share of %v: %v", share, d.Reason)
	}
	return nil
}

// serve routes requests through the snapshot and counts those of the
// candidate.
func (k *canary) serve(requests int) (candidate int) {
	snap := k.rt.Load()
	for range requests {
		k.served++
		if snap.Route(k.class, k.served) == k.candidate {
			candidate++
		}
	}
	return candidate
}

// Observe routes requests at the present share and measures both arms through
// the handles of the snapshot that serves.
func (k *canary) Observe(ctx context.Context, index int) (benchmarks.Pair, error) {
	snap := k.rt.Load()
	k.serve(requestsAPair)
	a, okA := snap.Handle(k.base).(benchmarks.Instance)
	b, okB := snap.Handle(k.candidate).(benchmarks.Instance)
	if !okA || !okB {
		return benchmarks.Pair{}, fmt.Errorf("the runtime has no handle of variants %d and %d", k.base, k.candidate)
	}
	return k.pairer.MeasurePair(ctx, k.s.seed, "canary/"+k.c.Context+"/"+string(k.c.Variant.Identity), index, a, b, benchmarks.Request{
		Scenario: k.c.Context, Repeats: 1, Fidelity: 1, Purpose: benchmarks.ForGates, OnlyMeasured: true,
		Seed: seed.Derive(k.s.seed, "canary/requests"),
	})
}

// Rollback returns every request to the baseline and checks that it did.
func (k *canary) Rollback(_ context.Context, reason string) error {
	if k.candidate == k.base {
		return nil
	}
	k.tick++
	if _, ok := k.rt.Executor().Rollback(k.class, runtime.ReasonOperator, k.tick); !ok {
		return fmt.Errorf("roll back (%s): the runtime had nothing to roll back", reason)
	}
	if still := k.serve(requestsAPair); still != 0 {
		return fmt.Errorf("roll back (%s): the candidate still serves %d of %d requests", reason, still, requestsAPair)
	}
	return nil
}

// Close closes what was opened.
func (k *canary) Close() error {
	var err error
	for _, in := range k.opened {
		err = errors.Join(err, in.Close())
	}
	return errors.Join(err, k.client.Close())
}
