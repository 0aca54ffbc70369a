// Package runtimetest publishes small signed releases in memory, so that tests
// and benchmarks of what stands around the runtime start from verified bytes
// like a real host. It is for those only; nothing that serves imports it.
package runtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// TB is what a release needs of testing.TB; a program that is no test brings
// its own.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Night is when every release is published and verified.
var Night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// Variant is one entry of a release.
type Variant struct {
	Name     string
	Data     []byte // its one artifact
	Contexts []string
	Knobs    []catalog.Knob
	Expect   []catalog.Expectation
}

// Repository signs and publishes releases of the channel canary; the keys are
// one person's.
type Repository struct {
	tb     TB
	store  artifacts.Store
	blobs  *artifacts.Mem
	made   *publish.Created
	policy catalog.Policy
}

// New makes a repository whose releases carry the policy.
func New(tb TB, p catalog.Policy) *Repository {
	tb.Helper()
	store := artifacts.NewMem()
	made, err := publish.Init(context.Background(), store, publish.InitOptions{Solo: true, Now: Night, Channels: []string{"canary"}})
	if err != nil {
		tb.Fatal(err)
	}
	return &Repository{tb: tb, store: store, blobs: artifacts.NewMem(), made: made, policy: p}
}

// Release publishes the variants, the first as the baseline, and returns what
// a client verifies. Ids are given from 1 in order of first appearance.
func (r *Repository) Release(contexts []string, variants ...Variant) *catalog.Verified {
	r.tb.Helper()
	ctx := context.Background()
	p := publish.Proposal{Channel: "canary", Domain: "test", Contexts: contexts, Blobs: r.blobs, Policy: r.policy}
	for _, v := range variants {
		if _, err := r.blobs.Put(ctx, v.Data); err != nil {
			r.tb.Fatal(err)
		}
		x := catalog.Variant{
			Name: v.Name, Domain: "test", Type: "test", Point: json.RawMessage(fmt.Sprintf(`{"name":%q}`, v.Name)), Knobs: v.Knobs,
			Artifacts: []artifacts.Ref{artifacts.RefOf("data", "application/octet-stream", v.Data)},
		}
		x.Identity = catalog.IdentityOf(x)
		p.Entries = append(p.Entries, catalog.Entry{
			Variant: x, Scope: catalog.ScopeCanary, Envelope: catalog.Envelope{Contexts: v.Contexts}, Expectations: v.Expect,
		})
	}
	p.Baseline = p.Entries[0].Variant.Identity
	repo := &publish.Repository{Store: r.store, Keys: r.made.Keys, Now: Night}
	if _, err := repo.Release(ctx, p); err != nil {
		r.tb.Fatal(err)
	}
	return r.verified(ctx)
}

// Yank withdraws ids and returns what a client makes of the release then.
func (r *Repository) Yank(ids ...catalog.VariantID) *catalog.Verified {
	r.tb.Helper()
	ctx := context.Background()
	repo := &publish.Repository{Store: r.store, Keys: r.made.Keys, Now: Night}
	if err := repo.Yank(ctx, "for the test", ids...); err != nil {
		r.tb.Fatal(err)
	}
	return r.verified(ctx)
}

func (r *Repository) verified(ctx context.Context) *catalog.Verified {
	r.tb.Helper()
	c, err := trust.Open(trust.Config{Store: r.store, Root: r.made.Root, Now: func() time.Time { return Night }})
	if err != nil {
		r.tb.Fatal(err)
	}
	rel, err := c.Refresh(ctx, "canary")
	if err := errors.Join(err, c.Close()); err != nil {
		r.tb.Fatal(err)
	}
	return rel
}

// Stage is a StageFunc whose handles are the bytes of the artifact.
func Stage(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	return blobs.Get(ctx, e.Variant.Artifacts[0])
}
