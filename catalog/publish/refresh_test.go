package publish_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// counting counts what a client reads.
type counting struct {
	artifacts.Store
	names []string
	bytes int
}

func (c *counting) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	c.names = append(c.names, name)
	b, err := c.Store.Read(ctx, name, limit)
	c.bytes += len(b)
	return b, err
}

// A refresh that finds nothing new reads no manifest and no artifact, and
// still sees a yank and an expiry at once.
func TestRefreshWithoutChange(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1, 2)
	store := &counting{Store: w.store}
	clock := night
	c, err := trust.Open(trust.Config{Store: store, Root: w.made.Root, StateDir: t.TempDir(), Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	first, err := c.Refresh(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	store.names = nil
	second, err := c.Refresh(t.Context(), "staging")
	if err != nil || second != first {
		t.Fatalf("another release: %v", err)
	}
	for _, n := range store.names {
		if !strings.HasPrefix(n, "metadata/") && n != trust.CheckpointName(2) {
			t.Errorf("read %s", n)
		}
	}
	if err := w.repo().Yank(t.Context(), "wrong", 2); err != nil {
		t.Fatal(err)
	}
	store.names, store.bytes = nil, 0
	third, err := c.Refresh(t.Context(), "staging")
	if err != nil || fmt.Sprint(ids(third.Release())) != "[1]" {
		t.Fatalf("after the yank: %v", err)
	}
	if store.bytes > 4<<10 {
		t.Errorf("the yank took %d bytes: %q", store.bytes, store.names)
	}
	t.Logf("the yank took %d bytes: %q", store.bytes, store.names)
	clock = night.AddDate(0, 0, 30)
	if _, err := c.Refresh(t.Context(), "staging"); trust.ReasonOf(err) != trust.Expired {
		t.Errorf("a month later: %v", err)
	}
}

// One variant of many changes: a client that has the release before fetches
// the metadata, the manifest and the one shard.
func TestOneChangeFetchesOneShard(t *testing.T) {
	w := large(t, 320, true)
	store := &counting{Store: w.store}
	c, err := trust.Open(trust.Config{Store: store, Root: w.made.Root, StateDir: t.TempDir(), Now: func() time.Time { return night }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Refresh(t.Context(), "canary"); err != nil {
		t.Fatal(err)
	}
	p := many(w, 320, true)
	p.Entries[123].Envelope.MemoryBytesMax = 1 << 20
	if _, err := w.repo().Release(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	store.names, store.bytes = nil, 0
	v, err := c.Refresh(t.Context(), "canary")
	if err != nil || v.Release().Sequence != 2 {
		t.Fatal(err)
	}
	blobs := slices.DeleteFunc(slices.Clone(store.names), func(n string) bool { return !strings.HasPrefix(n, "blobs/") })
	if len(blobs) != 1 || store.bytes > 96<<10 {
		t.Errorf("%d blobs, %d bytes: %q", len(blobs), store.bytes, store.names)
	}
}
