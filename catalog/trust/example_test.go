package trust_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

var sunday = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// published leaves a repository with one release below dir, as a night does, and
// returns the root to pin. What reads it below has no key and no network.
func published(ctx context.Context, dir string) (root []byte, err error) {
	store, err := artifacts.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	weights := []byte("the bytes of a variant")
	if _, err := store.Put(ctx, weights); err != nil {
		return nil, err
	}
	v := catalog.Variant{
		Name: "burst-01", Domain: "infer", Type: "early-exit", Point: json.RawMessage(`{"exit":0.5}`),
		Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", weights)},
	}
	v.Identity = catalog.IdentityOf(v)
	made, err := publish.Init(ctx, store, publish.InitOptions{Solo: true, Now: sunday, Channels: []string{"canary"}})
	if err != nil {
		return nil, err
	}
	repo := publish.Repository{Store: store, Keys: made.Keys, Now: sunday}
	_, err = repo.Release(ctx, publish.Proposal{
		Channel: "canary", Domain: "infer", Contexts: []string{"burst"}, Blobs: store, Baseline: v.Identity,
		Entries: []catalog.Entry{{Variant: v, Scope: catalog.ScopeCanary, Envelope: catalog.Envelope{Contexts: []string{"burst"}}}},
	})
	return made.Root, err
}

// A host verifies a release from a directory: a copy on a disk that somebody
// carried here is as good as the original, and one changed byte is not.
func ExampleClient_Refresh() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "arqon-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	root, err := published(ctx, filepath.Join(dir, "copy"))
	if err != nil {
		fmt.Println(err)
		return
	}

	copied, err := artifacts.OpenExistingDir(filepath.Join(dir, "copy"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = copied.Close() }()
	client, err := trust.Open(trust.Config{
		Store: copied, Root: root, StateDir: filepath.Join(dir, "state"), // so that an older copy is refused tomorrow
		Now: func() time.Time { return sunday.Add(time.Hour) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	release, err := client.Refresh(ctx, "canary")
	if err != nil {
		fmt.Println(err)
		return
	}
	artifact := release.Release().Entries[0].Variant.Artifacts[0]
	b, err := release.Blobs().Get(ctx, artifact)
	fmt.Printf("release %d: %s, %v\n", release.Release().Sequence, b, err)

	name := artifacts.BlobName(artifact.Digest)
	if err := os.WriteFile(filepath.Join(dir, "copy", name), []byte("the bytes of a stranger"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.VerifyAll(ctx, "canary")
	fmt.Println("refused:", trust.ReasonOf(err))
	// Output:
	// release 1: the bytes of a variant, <nil>
	// refused: digest
}
