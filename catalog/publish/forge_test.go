package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/forge"
	"github.com/arqon/arqon/catalog/trust"
)

// The forger holds keys and signs what an honest publisher never would. Each
// test gives it just the keys that the attack is about.

var night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

type forger struct {
	t     *testing.T
	store artifacts.Store
	made  *Created
	state string
}

func newForger(t *testing.T) *forger {
	t.Helper()
	f := &forger{t: t, store: artifacts.NewMem(), state: t.TempDir()}
	made, err := Init(t.Context(), f.store, InitOptions{Solo: true, Now: night})
	if err != nil {
		t.Fatal(err)
	}
	f.made = made
	return f
}

func (f *forger) repo() *Repository {
	return &Repository{Store: f.store, Keys: f.made.Keys, Now: night}
}

func (f *forger) publish(numbers ...int) *Published {
	f.t.Helper()
	out, err := f.repo().Release(f.t.Context(), f.wish(numbers...))
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// wish is a proposal of the numbered variants.
func (f *forger) wish(numbers ...int) Proposal {
	f.t.Helper()
	mem := artifacts.NewMem()
	p := Proposal{Channel: "staging", Domain: "infer", Contexts: []string{"burst"}, Blobs: mem}
	for _, n := range numbers {
		data := fmt.Appendf(nil, "weights %d", n)
		if _, err := mem.Put(context.Background(), data); err != nil {
			f.t.Fatal(err)
		}
		v := catalog.Variant{
			Name: fmt.Sprintf("v%d", n), Domain: "infer", Type: "t", Point: json.RawMessage(fmt.Sprint(n)),
			Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "", data)},
		}
		v.Identity = catalog.IdentityOf(v)
		p.Entries = append(p.Entries, catalog.Entry{Variant: v, Scope: "staging"})
		p.Evidence = append(p.Evidence, Evidence{Identity: v.Identity, Gate: "report", Predicate: json.RawMessage(`{}`)})
	}
	p.Baseline = p.Entries[0].Variant.Identity
	return p
}

func (f *forger) refresh() error {
	f.t.Helper()
	c, err := trust.Open(trust.Config{Store: f.store, StateDir: f.state, Root: f.made.Root, Now: func() time.Time { return night }})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = c.Refresh(f.t.Context(), "staging")
	if err := c.Close(); err != nil {
		f.t.Fatal(err)
	}
	return err
}

func (f *forger) head() *trust.Head {
	f.t.Helper()
	h, err := trust.ReadHead(f.t.Context(), f.store, f.made.Root)
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *forger) key(ids []string) *Key {
	f.t.Helper()
	k, err := f.made.Keys.first("forged", ids)
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// forge is a forger with the keys of the roles; without any, with every key.
func (f *forger) forge(roles ...string) *forge.Forger {
	f.t.Helper()
	out := &forge.Forger{Store: f.store, Root: f.made.Root, Now: night}
	var h *trust.Head
	if len(roles) > 0 {
		h = f.head()
	}
	for _, e := range f.made.Keys.entries {
		holds := len(roles) == 0
		for _, role := range roles {
			ids := []string{}
			if r := h.Root.Signed.Roles[role]; r != nil {
				ids = r.KeyIDs
			} else if d, ok := h.Delegation(role); ok {
				ids = d.KeyIDs
			}
			holds = holds || slices.Contains(ids, e.id)
		}
		if holds {
			out.Keys = append(out.Keys, forge.Key{ID: e.id, Private: e.key.private})
		}
	}
	return out
}

func (f *forger) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// put writes an object over whatever is there.
func (f *forger) put(name string, b []byte) {
	f.t.Helper()
	f.must(f.forge().Put(f.t.Context(), name, b))
}

// snapshot signs a snapshot of the given version and the timestamp over it.
func (f *forger) snapshot(h *trust.Head, version int64, change func(map[string]*metadata.MetaFiles)) {
	f.t.Helper()
	f.must(f.forge().Snapshot(f.t.Context(), h, version, change))
}

func (f *forger) timestamp(version int64, snapshot *metadata.MetaFiles, key *Key) {
	f.t.Helper()
	f.must(f.forge().Timestamp(f.t.Context(), version, snapshot, forge.Key{ID: key.ID, Private: key.private}))
}

// manifest forges the next release from the newest one, signed by the
// channel's own key: what a stolen nightly key could do.
func (f *forger) manifest(change func(*catalog.Release)) {
	f.t.Helper()
	f.must(f.forge().Manifest(f.t.Context(), change))
}

// Every attack, made with exactly the keys that it says it has, is refused for
// its reason; the release before goes on, also for a client that restarts.
func TestAttacks(t *testing.T) {
	for _, a := range forge.Attacks() {
		f := newForger(t)
		f.publish(1, 2, 3)
		good := f.publish(1, 3, 4)
		if err := f.repo().Yank(t.Context(), "leaks", 4); err != nil {
			t.Fatal(err)
		}
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		hands := &forge.Forger{Store: f.store, Root: f.made.Root, Now: night}
		if len(a.Holds) > 0 {
			hands = f.forge(a.Holds...)
		}
		if len(hands.Keys) != len(a.Holds) {
			t.Fatalf("%s: %d keys in hand, want %d", a.Name, len(hands.Keys), len(a.Holds))
		}
		if err := a.Do(t.Context(), hands); err != nil {
			t.Errorf("%s: not carried out: %v", a.Name, err)
			continue
		}
		// A host that has everything already need not look at a changed
		// artifact or manifest; whoever reads them refuses them.
		err := f.refresh()
		if err == nil && a.Unseen {
			err = f.audit()
		}
		if trust.ReasonOf(err) != a.Reason {
			t.Errorf("%s: got %v, want %s", a.Name, err, a.Reason)
		}
		client, err := trust.Open(trust.Config{Store: f.store, StateDir: f.state, Now: func() time.Time { return night }})
		if err != nil {
			t.Fatal(err)
		}
		v, err := client.Last(t.Context(), "staging")
		if err != nil || v.Manifest() != good.Manifest || len(v.Release().Entries) != 2 {
			t.Errorf("%s: last: %v", a.Name, err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A new root, signed by the old one, replaces the timestamp key; versions that
// a thief had driven up bind nobody afterwards. A new root that only itself
// has signed is refused.
func TestRootRotation(t *testing.T) {
	f := newForger(t)
	f.publish(1)
	if err := f.refresh(); err != nil {
		t.Fatal(err)
	}
	h := f.head()
	stolen := f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)
	f.timestamp(5000, h.Timestamp.Signed.Meta["snapshot.json"], stolen)
	if err := f.refresh(); err != nil {
		t.Fatal(err)
	}
	fresh, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	root := *h.Root
	root.Signatures = []metadata.Signature{}
	root.Signed.Version = 2
	root.Signed.Keys[fresh.ID] = fresh.tuf
	rootKey := f.key(root.Signed.Roles[metadata.ROOT].KeyIDs)
	root.Signed.Roles[metadata.TIMESTAMP] = &metadata.Role{KeyIDs: []string{fresh.ID}, Threshold: 1}
	b, err := sealed(&root, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	f.put(trust.MetadataName(metadata.ROOT, 2), b)
	f.must(f.forge().Recheck(t.Context(), h.Snapshot.Signed.Version, forge.Key{ID: fresh.ID, Private: fresh.private}))
	f.timestamp(4, h.Timestamp.Signed.Meta["snapshot.json"], fresh)
	if err := f.refresh(); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	f.timestamp(6000, h.Timestamp.Signed.Meta["snapshot.json"], stolen)
	if err := f.refresh(); trust.ReasonOf(err) != trust.BadSignature {
		t.Fatalf("the stolen key after the rotation: %v", err)
	}
	root.Signed.Version = 3
	root.Signatures = []metadata.Signature{}
	root.Signed.Roles[metadata.ROOT] = &metadata.Role{KeyIDs: []string{fresh.ID}, Threshold: 1}
	if b, err = sealed(&root, fresh); err != nil {
		t.Fatal(err)
	}
	f.put(trust.MetadataName(metadata.ROOT, 3), b)
	if err := f.refresh(); trust.ReasonOf(err) != trust.BadSignature {
		t.Fatalf("a root signed only by itself: %v", err)
	}
}

// A publisher never signs a head over something that clients would refuse.
func TestPublisherAuditsFirst(t *testing.T) {
	f := newForger(t)
	out := f.publish(1, 2)
	name := artifacts.BlobName(out.Release.Entries[0].Variant.Artifacts[0].Digest)
	f.put(name, []byte("weights X"))
	before := f.head().Timestamp.Signed.Version
	if err := f.repo().Renew(t.Context()); trust.ReasonOf(err) != trust.BadDigest {
		t.Fatalf("renewed over a damaged artifact: %v", err)
	}
	if after := f.head().Timestamp.Signed.Version; after != before {
		t.Fatal("the head moved")
	}
	names, err := f.store.List(t.Context(), "metadata/3.snapshot")
	if err != nil || len(names) != 0 {
		t.Fatalf("a commit was left: %v, %v", names, err)
	}
	if !errors.Is(f.repo().Renew(t.Context()), artifacts.ErrCorrupt) {
		t.Error("the refusal hides its cause")
	}
}
