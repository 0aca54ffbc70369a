package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// From an empty store to a release that a runtime may load.
func Example() {
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	store := artifacts.NewMem()
	weights := []byte("the bytes of a variant")
	if _, err := store.Put(ctx, weights); err != nil {
		panic(err)
	}
	v := catalog.Variant{
		Name: "burst-01", Domain: "infer", Type: "early-exit", Point: json.RawMessage(`{"exit":0.5}`),
		Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", weights)},
	}
	v.Identity = catalog.IdentityOf(v)

	created, err := publish.Init(ctx, store, publish.InitOptions{Solo: true, Now: now})
	if err != nil {
		panic(err)
	}
	repo := publish.Repository{Store: store, Keys: created.Keys, Now: now}
	_, err = repo.Release(ctx, publish.Proposal{
		Channel: "staging", Domain: "infer", Contexts: []string{"burst"}, Blobs: store, Baseline: v.Identity,
		Entries:  []catalog.Entry{{Variant: v, Scope: catalog.ScopeStaging, Envelope: catalog.Envelope{Contexts: []string{"burst"}}}},
		Evidence: []publish.Evidence{{Identity: v.Identity, Gate: "report", Predicate: json.RawMessage(`{"outcome":"PASS"}`)}},
	})
	if err != nil {
		panic(err)
	}

	client, err := trust.Open(trust.Config{Store: store, Root: created.Root, Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	verified, err := client.Refresh(ctx, "staging")
	if err != nil {
		panic(err)
	}
	for _, e := range verified.Release().Entries {
		b, err := verified.Blobs().Get(ctx, e.Variant.Artifacts[0])
		fmt.Println(e.ID, e.Variant.Name, string(b), err)
	}

	// A week without a publisher: the client adopts nothing and says why.
	now = now.AddDate(0, 0, 7)
	_, err = client.Refresh(ctx, "staging")
	fmt.Println(trust.ReasonOf(err))
	last, err := client.Last(ctx, "staging")
	fmt.Println(last.Release().Sequence, err)
	// Output:
	// 1 burst-01 the bytes of a variant <nil>
	// expired
	// 1 <nil>
}
