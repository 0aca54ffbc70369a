package publish_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// counting counts what a client reads.
type counting struct {
	artifacts.Store
	names []string
}

func (c *counting) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	c.names = append(c.names, name)
	return c.Store.Read(ctx, name, limit)
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
		if !strings.HasPrefix(n, "metadata/") {
			t.Errorf("read %s", n)
		}
	}
	if err := w.repo().Yank(t.Context(), "wrong", 2); err != nil {
		t.Fatal(err)
	}
	third, err := c.Refresh(t.Context(), "staging")
	if err != nil || fmt.Sprint(ids(third.Release())) != "[1]" {
		t.Fatalf("after the yank: %v", err)
	}
	clock = night.AddDate(0, 0, 30)
	if _, err := c.Refresh(t.Context(), "staging"); trust.ReasonOf(err) != trust.Expired {
		t.Errorf("a month later: %v", err)
	}
}

// go test ./catalog/publish -run '^$' -bench Refresh -benchmem
func BenchmarkRefreshWithoutChange(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := &world{t: new(testing.T), blobs: artifacts.NewMem(), store: artifacts.NewMem()}
			made, err := publish.Init(b.Context(), w.store, publish.InitOptions{Solo: true, Now: night, Channels: []string{"canary"}})
			if err != nil {
				b.Fatal(err)
			}
			w.made = made
			p := publish.Proposal{Channel: "canary", Domain: "infer", Contexts: []string{"burst"}, Blobs: w.blobs}
			for i := range n {
				e := w.variant(i, catalog.ScopeCanary)
				p.Entries = append(p.Entries, e)
			}
			p.Baseline = p.Entries[0].Variant.Identity
			if _, err := w.repo().Release(b.Context(), p); err != nil {
				b.Fatal(err)
			}
			c, err := trust.Open(trust.Config{Store: w.store, Root: made.Root, Now: func() time.Time { return night }})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Refresh(b.Context(), "canary"); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Refresh(b.Context(), "canary"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
