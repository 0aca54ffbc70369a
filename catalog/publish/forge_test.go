package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
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

// put writes an object over whatever is there.
func (f *forger) put(name string, b []byte) {
	f.t.Helper()
	if err := f.repo().replace(f.t.Context(), name, b); err != nil {
		f.t.Fatal(err)
	}
}

// role signs a role's metadata that points at the file for the target, and
// drives snapshot and timestamp to it, all with the real keys.
func (f *forger) role(role, target string, file []byte, version int64) {
	f.t.Helper()
	h := f.head()
	m := metadata.Targets(night.AddDate(0, 0, 10))
	m.Signed.Version = version
	m.Signed.Targets[target] = &metadata.TargetFiles{Length: int64(len(file)), Hashes: sha256Of(file)}
	d, _ := h.Delegation(role)
	b, err := sealed(m, f.key(d.KeyIDs))
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(trust.TargetName(target, artifacts.DigestOf(file)), file)
	f.put(trust.MetadataName(role, version), b)
	f.snapshot(h, h.Snapshot.Signed.Version+1, func(meta map[string]*metadata.MetaFiles) { meta[role+".json"] = metaFile(version, b) })
}

// snapshot signs a snapshot of the given version and the timestamp over it.
func (f *forger) snapshot(h *trust.Head, version int64, change func(map[string]*metadata.MetaFiles)) {
	f.t.Helper()
	s := metadata.Snapshot(night.AddDate(0, 0, 10))
	s.Signed.Version = version
	s.Signed.Meta = h.Snapshot.Signed.Meta
	change(s.Signed.Meta)
	b, err := sealed(s, f.key(h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs))
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(trust.MetadataName(metadata.SNAPSHOT, version), b)
	log, err := trust.ExtendLog(f.t.Context(), f.store, h, version, b, f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs).note())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range log {
		f.put(l.Name, l.Bytes)
	}
	f.timestamp(h, h.Timestamp.Signed.Version+1, metaFile(version, b), f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs))
}

// recheck signs the checkpoint of n commits with another key.
func (f *forger) recheck(n int64, key *Key) {
	f.t.Helper()
	b, err := f.store.Read(f.t.Context(), trust.CheckpointName(n), 1<<12)
	if err != nil {
		f.t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(b), "\n\n")
	if b, err = note.Sign(&note.Note{Text: text + "\n"}, key.note()); err != nil {
		f.t.Fatal(err)
	}
	f.put(trust.CheckpointName(n), b)
}

func (f *forger) timestamp(_ *trust.Head, version int64, snapshot *metadata.MetaFiles, key *Key) {
	f.t.Helper()
	ts := metadata.Timestamp(night.AddDate(0, 0, 2))
	ts.Signed.Version = version
	ts.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": snapshot}
	b, err := sealed(ts, key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(trust.TimestampName, b)
}

// release is role for the manifest of a channel, with its shards.
func (f *forger) release(role, channel string, files catalog.Files, version int64) {
	f.t.Helper()
	for _, b := range files.Shards {
		if _, err := artifacts.PutBlob(f.t.Context(), f.store, b); err != nil {
			f.t.Fatal(err)
		}
	}
	f.role(role, trust.ManifestTarget(channel), files.Manifest, version)
}

// manifest forges the next release from the newest one, signed by the
// channel's own key: what a stolen nightly key could do.
func (f *forger) manifest(change func(*catalog.Release)) {
	f.t.Helper()
	b, err := f.repo().load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	was := b.channels["staging"]
	r := was.release
	r.Sequence++
	r.Previous = was.manifest.Digest
	change(&r)
	files, err := catalog.EncodeManifest(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.release("staging", "staging", files, b.roleVersion("staging")+1)
}

func TestForgedManifests(t *testing.T) {
	for _, c := range []struct {
		reason trust.Reason
		change func(*catalog.Release)
	}{
		{trust.Repointed, func(r *catalog.Release) { // two entries trade ids
			r.Entries[0].Variant, r.Entries[1].Variant = r.Entries[1].Variant, r.Entries[0].Variant
		}},
		{trust.Repointed, func(r *catalog.Release) { // a tombstone's id for something else
			r.Tombstones[0].Identity = artifacts.DigestOf([]byte("other"))
		}},
		{trust.NextID, func(r *catalog.Release) { r.Entries, r.Baseline, r.NextID, r.Tombstones = nil, 0, 2, nil }},
		{trust.Rollback, func(r *catalog.Release) { r.Sequence, r.Previous = 1, "" }},
		{trust.Rollback, func(r *catalog.Release) { r.Sequence-- }}, // another release 2
		{trust.MixAndMatch, func(r *catalog.Release) { r.Previous = artifacts.DigestOf([]byte("other")) }},
		{trust.Expired, func(r *catalog.Release) {
			r.Created, r.Expires = night.AddDate(0, 0, -9), night.AddDate(0, 0, -1)
		}},
		{trust.Missing, func(r *catalog.Release) { // an artifact that nobody uploaded
			e := r.Entries[1]
			e.Variant.Artifacts = []artifacts.Ref{artifacts.RefOf("x", "", []byte("nowhere"))}
			e.Variant.Identity = catalog.IdentityOf(e.Variant)
			e.ID, r.NextID = r.NextID, r.NextID+1
			r.Entries = append(r.Entries, e)
		}},
	} {
		f := newForger(t)
		f.publish(1, 2, 3)
		good := f.publish(1, 3, 4)
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		f.manifest(c.change)
		err := f.refresh()
		if trust.ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v", c.reason, err)
		}
		// The honest publisher never gets that far, and the old release serves.
		if c.reason != trust.Rollback {
			client, err := trust.Open(trust.Config{Store: f.store, StateDir: f.state, Now: func() time.Time { return night }})
			if err != nil {
				t.Fatal(err)
			}
			v, err := client.Last(t.Context(), "staging")
			if err != nil || v.Manifest() != good.Manifest {
				t.Errorf("%s: last: %v", c.reason, err)
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A manifest of one channel, signed into another.
func TestForgedChannel(t *testing.T) {
	f := newForger(t)
	r := f.publish(1).Release
	r.Channel = "prod"
	r.Entries[0].Scope = "prod"
	files, err := catalog.EncodeManifest(r)
	if err != nil {
		t.Fatal(err)
	}
	f.release("staging", "staging", files, 9)
	if err := f.refresh(); trust.ReasonOf(err) != trust.WrongChannel {
		t.Errorf("a prod manifest in staging: %v", err)
	}
	f = newForger(t)
	f.publish(1)
	f.release("staging", "prod", files, 9)
	if err := f.refresh(); trust.ReasonOf(err) != trust.WrongChannel {
		t.Errorf("the staging key signs for prod: %v", err)
	}
}

// A stolen yank key cannot take a yank back, nor touch the built-in.
func TestForgedYank(t *testing.T) {
	for _, c := range []struct {
		reason trust.Reason
		file   string
	}{
		{trust.Unyanked, `{"schema":"arqon-yank/1","yanked":[]}`},
		{trust.Malformed, `{"schema":"arqon-yank/1","yanked":[{"id":0,"identity":"x","reason":"r"}]}`},
		{trust.Malformed, `{"schema":"arqon-yank/1", "yanked":[]}`},
		{trust.Malformed, `{"schema":"arqon-yank/2","yanked":[]}`},
		{trust.Repointed, `{"schema":"arqon-yank/1","yanked":[{"id":2,"identity":"sha256:x","reason":"r"}]}`},
	} {
		f := newForger(t)
		f.publish(1, 2)
		if err := f.repo().Yank(t.Context(), "leaks", 2); err != nil {
			t.Fatal(err)
		}
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		f.role(trust.RoleYank, trust.YankTarget, []byte(c.file), 2)
		if err := f.refresh(); trust.ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v", c.file, err)
		}
	}
}

// Versions that never belonged together, versions far ahead, roles that are
// gone: what stolen snapshot and timestamp keys can try.
func TestForgedSnapshots(t *testing.T) {
	for _, c := range []struct {
		what   string
		reason trust.Reason
		forge  func(f *forger, h *trust.Head)
	}{
		{"role gone", trust.Rollback, func(f *forger, h *trust.Head) {
			f.snapshot(h, 9, func(m map[string]*metadata.MetaFiles) { delete(m, "staging.json") })
		}},
		{"old role", trust.Rollback, func(f *forger, h *trust.Head) {
			b, err := f.store.Read(t.Context(), trust.MetadataName("staging", 1), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			f.snapshot(h, 9, func(m map[string]*metadata.MetaFiles) { m["staging.json"] = metaFile(1, b) })
		}},
		{"role under another version", trust.MixAndMatch, func(f *forger, h *trust.Head) {
			b, err := f.store.Read(t.Context(), trust.MetadataName("staging", 2), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			f.put(trust.MetadataName("staging", 7), b)
			f.snapshot(h, 9, func(m map[string]*metadata.MetaFiles) { m["staging.json"] = metaFile(7, b) })
		}},
		{"fast-forward", trust.FastForward, func(f *forger, h *trust.Head) {
			f.timestamp(h, 1<<40, h.Timestamp.Signed.Meta["snapshot.json"], f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs))
		}},
		{"older snapshot", trust.Rollback, func(f *forger, h *trust.Head) {
			b, err := f.store.Read(t.Context(), trust.MetadataName(metadata.SNAPSHOT, 2), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			f.timestamp(h, 9, metaFile(2, b), f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs))
		}},
		{"signed by another role", trust.BadSignature, func(f *forger, h *trust.Head) {
			f.timestamp(h, 9, h.Timestamp.Signed.Meta["snapshot.json"], f.key(h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs))
		}},
		{"no hash", trust.Malformed, func(f *forger, h *trust.Head) {
			m := *h.Timestamp.Signed.Meta["snapshot.json"]
			m.Hashes = nil
			f.timestamp(h, 9, &m, f.key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs))
		}},
		{"unknown file", trust.Malformed, func(f *forger, h *trust.Head) {
			f.snapshot(h, 9, func(m map[string]*metadata.MetaFiles) { m["../x.json"] = m["targets.json"] })
		}},
	} {
		f := newForger(t)
		f.publish(1, 2)
		f.publish(1, 3)
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		c.forge(f, f.head())
		if err := f.refresh(); trust.ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
}

// Delegations that fewer people could satisfy than they say.
func TestForgedDelegations(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(d *metadata.Delegations)
	}{
		{"threshold 0", func(d *metadata.Delegations) { d.Roles[0].Threshold = 0 }},
		{"threshold over keys", func(d *metadata.Delegations) { d.Roles[0].Threshold = 2 }},
		{"key twice", func(d *metadata.Delegations) {
			d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, d.Roles[0].KeyIDs[0])
			d.Roles[0].Threshold = 2
		}},
		{"relabelled key", func(d *metadata.Delegations) {
			d.Keys["feed"] = d.Keys[d.Roles[0].KeyIDs[0]]
			d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, "feed")
			d.Roles[0].Threshold = 2
		}},
		{"unknown key", func(d *metadata.Delegations) { d.Roles[0].KeyIDs = []string{"beef"} }},
		{"other path", func(d *metadata.Delegations) { d.Roles[1].Paths = []string{"catalog/prod/*"} }},
		{"not terminating", func(d *metadata.Delegations) { d.Roles[1].Terminating = false }},
		{"role twice", func(d *metadata.Delegations) { d.Roles = append(d.Roles, d.Roles[0]) }},
		{"strange role", func(d *metadata.Delegations) { d.Roles[0].Name = "../prod" }},
		{"none", func(d *metadata.Delegations) { d.Roles = []metadata.DelegatedRole{} }},
	} {
		f := newForger(t)
		f.publish(1)
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		h := f.head()
		m := *h.Targets
		m.Signed.Version++
		m.Signatures = []metadata.Signature{}
		c.change(m.Signed.Delegations)
		b, err := sealed(&m, f.key(h.Root.Signed.Roles[metadata.TARGETS].KeyIDs))
		if err != nil {
			t.Fatal(err)
		}
		f.put(trust.MetadataName(metadata.TARGETS, m.Signed.Version), b)
		f.snapshot(h, h.Snapshot.Signed.Version+1, func(meta map[string]*metadata.MetaFiles) {
			meta["targets.json"] = metaFile(m.Signed.Version, b)
		})
		err = f.refresh()
		if c.what == "none" {
			if trust.ReasonOf(err) != trust.NoRelease {
				t.Errorf("%s: got %v", c.what, err)
			}
			continue
		}
		if trust.ReasonOf(err) != trust.BadRole {
			t.Errorf("%s: got %v", c.what, err)
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
	f.timestamp(h, 5000, h.Timestamp.Signed.Meta["snapshot.json"], stolen)
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
	f.recheck(h.Snapshot.Signed.Version, fresh)
	f.timestamp(h, 4, h.Timestamp.Signed.Meta["snapshot.json"], fresh)
	if err := f.refresh(); err != nil {
		t.Fatalf("after the rotation: %v", err)
	}
	f.timestamp(h, 6000, h.Timestamp.Signed.Meta["snapshot.json"], stolen)
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
