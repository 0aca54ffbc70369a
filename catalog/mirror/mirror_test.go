package mirror_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/mirror"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

var night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// world is a repository with two releases of staging and one of prod.
func world(t testing.TB) (*artifacts.Mem, *publish.Repository, mirror.Options) {
	t.Helper()
	store := artifacts.NewMem()
	made, err := publish.Init(context.Background(), store, publish.InitOptions{Solo: true, Now: night})
	if err != nil {
		t.Fatal(err)
	}
	repo := &publish.Repository{Store: store, Keys: made.Keys, Now: night}
	release(t, repo, "staging", 1, 2)
	release(t, repo, "staging", 1, 3)
	release(t, repo, "prod", 1)
	return store, repo, mirror.Options{Root: made.Root, Now: func() time.Time { return night }}
}

func release(t testing.TB, repo *publish.Repository, channel string, numbers ...int) {
	t.Helper()
	p := publish.Proposal{Channel: channel, Domain: "infer", Contexts: []string{"burst"}, Blobs: artifacts.NewMem()}
	blobs := artifacts.NewMem()
	for _, n := range numbers {
		data := fmt.Appendf(nil, "weights %d", n)
		if _, err := blobs.Put(context.Background(), data); err != nil {
			t.Fatal(err)
		}
		v := catalog.Variant{
			Name: fmt.Sprintf("burst-%02d", n), Domain: "infer", Type: "early-exit",
			Point:     json.RawMessage(fmt.Sprintf(`{"exit":%d}`, n)),
			Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", data)},
		}
		v.Identity = catalog.IdentityOf(v)
		p.Entries = append(p.Entries, catalog.Entry{Variant: v, Scope: catalog.Scope(channel), Envelope: catalog.Envelope{Contexts: []string{"burst"}}})
		p.Evidence = append(p.Evidence, publish.Evidence{Identity: v.Identity, Gate: "report", Predicate: json.RawMessage(`{"ok":true}`)})
	}
	p.Blobs, p.Baseline = blobs, p.Entries[0].Variant.Identity
	if _, err := repo.Release(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

// damaged shows a store without one file, or with one byte of it changed.
type damaged struct {
	artifacts.Store
	name string
	gone bool
}

func (d damaged) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := d.Store.Read(ctx, name, limit)
	if err != nil || name != d.name {
		return b, err
	}
	if d.gone {
		return nil, fmt.Errorf("%s: %w", name, artifacts.ErrNotFound)
	}
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b, nil
}

func TestCopyFollowsItsOriginal(t *testing.T) {
	src, repo, o := world(t)
	dst, ctx := artifacts.NewMem(), t.Context()
	rep, err := mirror.Copy(ctx, src, dst, o)
	if err != nil || rep.Copied != len(rep.Files)-1 || len(rep.Releases) != 2 {
		t.Fatalf("copied %d of %d, %v", rep.Copied, len(rep.Files), err)
	}
	if rep, err = mirror.Copy(ctx, src, dst, o); err != nil || rep.Copied != 0 {
		t.Fatalf("again: copied %d, %v", rep.Copied, err)
	}
	before := artifacts.NewMem()
	if _, err := mirror.Copy(ctx, src, before, o); err != nil {
		t.Fatal(err)
	}
	release(t, repo, "staging", 1, 4)
	if err := repo.Resign(ctx, "staging"); err != nil { // the approvals are replaced
		t.Fatal(err)
	}
	if _, err := mirror.Copy(ctx, src, dst, o); err != nil {
		t.Fatal(err)
	}
	// An older copy does not overwrite a newer one, nor another repository one.
	if _, err := mirror.Copy(ctx, before, dst, o); !errors.Is(err, mirror.ErrOlder) {
		t.Errorf("older over newer: %v", err)
	}
	other, _, oo := world(t)
	if _, err := mirror.Copy(ctx, other, dst, oo); trust.ReasonOf(err) != trust.ForeignRoot {
		t.Errorf("over another repository: %v", err)
	}
	if _, err := mirror.Copy(ctx, src, dst, o); err != nil {
		t.Fatal(err)
	}
}

// A missing or changed file of any kind stops the copy, and the head of the
// destination still names what it named before.
func TestCopyFailsClosed(t *testing.T) {
	src, repo, o := world(t)
	dst, ctx := artifacts.NewMem(), t.Context()
	if _, err := mirror.Copy(ctx, src, dst, o); err != nil {
		t.Fatal(err)
	}
	release(t, repo, "staging", 1, 5)
	head, err := dst.Read(ctx, trust.TimestampName, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := mirror.Copy(ctx, src, artifacts.NewMem(), o)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, name := range rep.Files {
		kinds[strings.SplitN(name, "/", 2)[0]] = true
		for _, gone := range []bool{true, false} {
			if _, err := mirror.Copy(ctx, damaged{src, name, gone}, dst, o); err == nil {
				t.Errorf("%s (gone %t): copied", name, gone)
			}
		}
	}
	if len(kinds) != 6 {
		t.Errorf("kinds of files: %v", kinds)
	}
	if now, err := dst.Read(ctx, trust.TimestampName, 1<<20); err != nil || !bytes.Equal(now, head) {
		t.Errorf("the head moved: %v", err)
	}
}

func TestBundle(t *testing.T) {
	src, _, o := world(t)
	ctx := t.Context()
	var one, two bytes.Buffer
	if _, err := mirror.Export(ctx, src, o, &one); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Export(ctx, src, o, &two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatalf("not the same bytes: %v", err)
	}
	dst := artifacts.NewMem()
	rep, err := mirror.Import(ctx, bytes.NewReader(one.Bytes()), artifacts.NewMem(), dst, o)
	if err != nil || len(rep.Releases) != 2 {
		t.Fatal(err)
	}
	two.Reset()
	if _, err := mirror.Export(ctx, dst, o, &two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Fatalf("the copy exports other bytes: %v", err)
	}
	// Every flipped byte is refused and nothing is adopted.
	for i := 0; i < one.Len(); i += 977 {
		b := bytes.Clone(one.Bytes())
		b[i] ^= 4
		dst := artifacts.NewMem()
		if _, err := mirror.Import(ctx, bytes.NewReader(b), artifacts.NewMem(), dst, o); err == nil {
			t.Fatalf("byte %d changed: imported", i)
		}
		if names, err := dst.List(ctx, ""); err != nil || len(names) != 0 {
			t.Fatalf("byte %d changed: adopted %v, %v", i, names, err)
		}
	}
	for _, n := range []int{0, 100, one.Len() / 2, one.Len() - 1} {
		if _, err := mirror.Import(ctx, bytes.NewReader(one.Bytes()[:n]), artifacts.NewMem(), artifacts.NewMem(), o); err == nil {
			t.Errorf("cut at %d: imported", n)
		}
	}
	if _, err := mirror.Import(ctx, bytes.NewReader(append(one.Bytes(), 0)), artifacts.NewMem(), artifacts.NewMem(), o); !errors.Is(err, mirror.ErrBundle) {
		t.Errorf("a byte more: %v", err)
	}
	foreign := o
	_, _, foreign2 := world(t)
	foreign.Root = foreign2.Root
	if _, err := mirror.Import(ctx, bytes.NewReader(one.Bytes()), artifacts.NewMem(), artifacts.NewMem(), foreign); trust.ReasonOf(err) != trust.ForeignRoot {
		t.Errorf("another root: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	src, _, o := world(f)
	var b bytes.Buffer
	if _, err := mirror.Export(context.Background(), src, o, &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:1536])
	f.Add(make([]byte, 1024))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		store := artifacts.NewMem()
		names, err := mirror.Unpack(t.Context(), bytes.NewReader(b), store)
		if err != nil {
			return
		}
		if got, err := store.List(t.Context(), ""); err != nil || fmt.Sprint(got) != fmt.Sprint(names) {
			t.Fatalf("unpacked %v, said %v, %v", got, names, err)
		}
	})
}
