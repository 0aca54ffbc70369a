package forge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"maps"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// Attack is one thing that somebody with certain keys and the store can try,
// and the reason for which clients refuse it. Every attack is made upon a solo
// repository whose staging has had two releases of two entries or more, the
// second of which dropped one of the first, and whose yank list is not empty.
type Attack struct {
	Name   string
	Holds  []string // roles whose keys the attacker has; none: only the store
	Reason trust.Reason
	Do     func(context.Context, *Forger) error
	// Unseen: a host that has the release already does not read what was
	// changed, and goes on in good health; whoever reads it refuses it.
	Unseen bool
	// HostOnly: the release is as good as any other, and not for this host. An
	// audit, which may run anywhere, finds nothing.
	HostOnly bool
}

// Attacks lists the attacks: on files, heads, snapshots, roles, manifests, the
// yank list and dates.
func Attacks() []Attack {
	var all []Attack
	for _, some := range [][]Attack{Files(), Snapshots(), Delegations(), Manifests(), Channels(), Yanks(), Dates()} {
		all = append(all, some...)
	}
	return all
}

var (
	head      = []string{metadata.SNAPSHOT, metadata.TIMESTAMP}
	nightly   = append([]string{staging}, head...)
	responder = append([]string{trust.RoleYank}, head...)
	publisher = append([]string{metadata.TARGETS}, head...)
)

// Files are what needs no key at all.
func Files() []Attack {
	over := func(name func(context.Context, *Forger) (string, error), change func([]byte) []byte) func(context.Context, *Forger) error {
		return func(ctx context.Context, f *Forger) error {
			n, err := name(ctx, f)
			if err != nil {
				return err
			}
			b, err := f.Store.Read(ctx, n, 1<<26)
			if err != nil {
				return err
			}
			return f.Put(ctx, n, change(bytes.Clone(b)))
		}
	}
	named := func(name string) func(context.Context, *Forger) (string, error) {
		return func(context.Context, *Forger) (string, error) { return name, nil }
	}
	artifact := func(ctx context.Context, f *Forger) (string, error) {
		r, _, _, err := f.Newest(ctx, staging)
		if err != nil {
			return "", err
		}
		return artifacts.BlobName(r.Entries[0].Variant.Artifacts[0].Digest), nil
	}
	manifest := func(ctx context.Context, f *Forger) (string, error) {
		_, m, _, err := f.Newest(ctx, staging)
		return trust.TargetName(trust.ManifestTarget(staging), m), err
	}
	endless := func([]byte) []byte { return make([]byte, 16<<20) }
	return []Attack{
		{Name: "arbitrary software", Unseen: true, Reason: trust.BadDigest, Do: over(artifact, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
		{Name: "head signed by a stranger", Reason: trust.BadSignature, Do: strangersHead},
		{Name: "endless head", Reason: trust.TooLarge, Do: over(named(trust.TimestampName), endless)},
		{Name: "endless manifest", Unseen: true, Reason: trust.BadDigest, Do: over(manifest, endless)},
		{Name: "duplicate keys in the head", Reason: trust.Malformed, Do: over(named(trust.TimestampName), func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"_type":`), []byte(`{"_type":"root","_type":`), 1)
		})},
		{Name: "files of two moments", Reason: trust.BadDigest, Do: func(ctx context.Context, f *Forger) error {
			h, err := f.Head(ctx)
			if err != nil {
				return err
			}
			n := h.Snapshot.Signed.Version
			old, err := f.Store.Read(ctx, trust.MetadataName(metadata.SNAPSHOT, n-1), 1<<20)
			if err != nil {
				return err
			}
			return f.Put(ctx, trust.MetadataName(metadata.SNAPSHOT, n), old)
		}},
		{Name: "root signed by itself alone", Reason: trust.BadSignature, Do: ownRoot},
	}
}

func stranger() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return NewKey(private)
}

// stranger gives a key that nobody trusts to an attack on the newest head.
func (f *Forger) stranger(ctx context.Context) (*trust.Head, Key, error) {
	h, err := f.Head(ctx)
	if err != nil {
		return nil, Key{}, err
	}
	k, err := stranger()
	return h, k, err
}

// strangersHead is a newer head, well-formed, signed by a key of the attacker's own.
func strangersHead(ctx context.Context, f *Forger) error {
	h, k, err := f.stranger(ctx)
	if err != nil {
		return err
	}
	return f.Timestamp(ctx, h.Timestamp.Signed.Version+1, h.Timestamp.Signed.Meta["snapshot.json"], k)
}

// ownRoot is a next root that makes the attacker's key the root's.
func ownRoot(ctx context.Context, f *Forger) error {
	h, k, err := f.stranger(ctx)
	if err != nil {
		return err
	}
	public, err := metadata.KeyFromPublicKey(&k.Private.PublicKey)
	if err != nil {
		return err
	}
	root := *h.Root
	root.Signatures = []metadata.Signature{}
	root.Signed.Version++
	root.Signed.Keys = maps.Clone(root.Signed.Keys)
	root.Signed.Keys[k.ID] = public
	root.Signed.Roles = maps.Clone(root.Signed.Roles)
	root.Signed.Roles[metadata.ROOT] = &metadata.Role{KeyIDs: []string{k.ID}, Threshold: 1}
	b, err := Sealed(&root, k)
	if err != nil {
		return err
	}
	return f.Put(ctx, trust.MetadataName(metadata.ROOT, root.Signed.Version), b)
}

// withHead does the work with the head and the newest staging metadata but one.
func withHead(do func(ctx context.Context, f *Forger, h *trust.Head, version int64, old []byte) error) func(context.Context, *Forger) error {
	return func(ctx context.Context, f *Forger) error {
		h, err := f.Head(ctx)
		if err != nil {
			return err
		}
		version := h.Roles[staging].Signed.Version
		old, err := f.Store.Read(ctx, trust.MetadataName(staging, version-1), 1<<20)
		if err != nil {
			return err
		}
		return do(ctx, f, h, version, old)
	}
}

// aSnapshot signs one whose roles were changed.
func aSnapshot(change func(m map[string]*metadata.MetaFiles, version int64, old []byte)) func(context.Context, *Forger) error {
	return withHead(func(ctx context.Context, f *Forger, h *trust.Head, version int64, old []byte) error {
		return f.Snapshot(ctx, h, h.Snapshot.Signed.Version+5, func(m map[string]*metadata.MetaFiles) { change(m, version, old) })
	})
}

// aTimestamp signs one that promises something, with the key of a role.
func aTimestamp(role string, change func(h *trust.Head) (int64, *metadata.MetaFiles)) func(context.Context, *Forger) error {
	return withHead(func(ctx context.Context, f *Forger, h *trust.Head, _ int64, _ []byte) error {
		key, err := f.Key(h.Root.Signed.Roles[role].KeyIDs)
		if err != nil {
			return err
		}
		version, promise := change(h)
		return f.Timestamp(ctx, version, promise, key)
	})
}

// Snapshots are versions that never belonged together, versions far ahead,
// roles that are gone: what stolen snapshot and timestamp keys can try.
func Snapshots() []Attack {
	const clock = metadata.TIMESTAMP
	next := func(h *trust.Head) int64 { return h.Timestamp.Signed.Version + 5 }
	promise := func(h *trust.Head) metadata.MetaFiles { return *h.Timestamp.Signed.Meta["snapshot.json"] }
	return []Attack{
		{Name: "role gone", Holds: head, Reason: trust.Rollback, Do: aSnapshot(func(m map[string]*metadata.MetaFiles, _ int64, _ []byte) { delete(m, staging+".json") })},
		{Name: "old role", Holds: head, Reason: trust.Rollback, Do: aSnapshot(func(m map[string]*metadata.MetaFiles, version int64, old []byte) {
			m[staging+".json"] = MetaFile(version-1, old)
		})},
		{Name: "role under another version", Holds: head, Reason: trust.MixAndMatch, Do: withHead(func(ctx context.Context, f *Forger, h *trust.Head, version int64, _ []byte) error {
			b, err := f.Store.Read(ctx, trust.MetadataName(staging, version), 1<<20)
			if err != nil {
				return err
			}
			if err := f.Put(ctx, trust.MetadataName(staging, version+5), b); err != nil {
				return err
			}
			return f.Snapshot(ctx, h, h.Snapshot.Signed.Version+5, func(m map[string]*metadata.MetaFiles) { m[staging+".json"] = MetaFile(version+5, b) })
		})},
		{Name: "fast-forward", Holds: []string{clock}, Reason: trust.FastForward, Do: aTimestamp(clock, func(h *trust.Head) (int64, *metadata.MetaFiles) {
			p := promise(h)
			return 1 << 40, &p
		})},
		{Name: "older snapshot", Holds: []string{clock}, Reason: trust.Rollback, Do: withHead(func(ctx context.Context, f *Forger, h *trust.Head, _ int64, _ []byte) error {
			n := h.Snapshot.Signed.Version - 1
			b, err := f.Store.Read(ctx, trust.MetadataName(metadata.SNAPSHOT, n), 1<<20)
			if err != nil {
				return err
			}
			key, err := f.Key(h.Root.Signed.Roles[clock].KeyIDs)
			if err != nil {
				return err
			}
			return f.Timestamp(ctx, next(h), MetaFile(n, b), key)
		})},
		{Name: "signed by another role", Holds: []string{metadata.SNAPSHOT}, Reason: trust.BadSignature, Do: aTimestamp(metadata.SNAPSHOT, func(h *trust.Head) (int64, *metadata.MetaFiles) {
			p := promise(h)
			return next(h), &p
		})},
		{Name: "no hash", Holds: []string{clock}, Reason: trust.Malformed, Do: aTimestamp(clock, func(h *trust.Head) (int64, *metadata.MetaFiles) {
			p := promise(h)
			p.Hashes = nil
			return next(h), &p
		})},
		{Name: "path traversal in the snapshot", Holds: head, Reason: trust.Malformed, Do: aSnapshot(func(m map[string]*metadata.MetaFiles, _ int64, _ []byte) { m["../x.json"] = m["targets.json"] })},
	}
}

// Delegations are what fewer people could satisfy than they say.
func Delegations() []Attack {
	targets := func(change func(d *metadata.Delegations)) func(context.Context, *Forger) error {
		return func(ctx context.Context, f *Forger) error {
			h, err := f.Head(ctx)
			if err != nil {
				return err
			}
			m := *h.Targets
			m.Signed.Version++
			m.Signatures = []metadata.Signature{}
			change(m.Signed.Delegations)
			key, err := f.Key(h.Root.Signed.Roles[metadata.TARGETS].KeyIDs)
			if err != nil {
				return err
			}
			b, err := Sealed(&m, key)
			if err != nil {
				return err
			}
			return f.promise(ctx, h, metadata.TARGETS, m.Signed.Version, b)
		}
	}
	var all []Attack
	for _, c := range []struct {
		name   string
		change func(d *metadata.Delegations)
	}{
		{"threshold 0", func(d *metadata.Delegations) { d.Roles[0].Threshold = 0 }},
		{"threshold over keys", func(d *metadata.Delegations) { d.Roles[0].Threshold = 2 }},
		{"one key listed twice", func(d *metadata.Delegations) {
			d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, d.Roles[0].KeyIDs[0])
			d.Roles[0].Threshold = 2
		}},
		{"relabelled key", func(d *metadata.Delegations) {
			d.Keys["feed"] = d.Keys[d.Roles[0].KeyIDs[0]]
			d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, "feed")
			d.Roles[0].Threshold = 2
		}},
		{"unknown key", func(d *metadata.Delegations) { d.Roles[0].KeyIDs = []string{"beef"} }},
		{"delegation of another path", func(d *metadata.Delegations) { d.Roles[1].Paths = []string{"catalog/prod/*"} }},
		{"delegation not terminating", func(d *metadata.Delegations) { d.Roles[1].Terminating = false }},
		{"role twice", func(d *metadata.Delegations) { d.Roles = append(d.Roles, d.Roles[0]) }},
		{"path traversal in a role", func(d *metadata.Delegations) { d.Roles[0].Name = "../prod" }},
	} {
		all = append(all, Attack{Name: c.name, Holds: publisher, Reason: trust.BadRole, Do: targets(c.change)})
	}
	return append(all, Attack{Name: "no delegations", Holds: publisher, Reason: trust.NoRelease, Do: targets(func(d *metadata.Delegations) { d.Roles = []metadata.DelegatedRole{} })})
}

func (f *Forger) promise(ctx context.Context, h *trust.Head, role string, version int64, b []byte) error {
	if err := f.Put(ctx, trust.MetadataName(role, version), b); err != nil {
		return err
	}
	return f.Snapshot(ctx, h, h.Snapshot.Signed.Version+1, func(meta map[string]*metadata.MetaFiles) { meta[role+".json"] = MetaFile(version, b) })
}

// Manifests are what a stolen nightly key and the publisher's can try.
func Manifests() []Attack {
	release := func(change func(*catalog.Release)) func(context.Context, *Forger) error {
		return func(ctx context.Context, f *Forger) error { return f.Manifest(ctx, change) }
	}
	same := func(*catalog.Release) {}
	other := artifacts.DigestOf([]byte("other"))
	return []Attack{
		{Name: "id re-pointed", Holds: nightly, Reason: trust.Repointed, Do: release(func(r *catalog.Release) { // two entries trade ids
			r.Entries[0].Variant, r.Entries[1].Variant = r.Entries[1].Variant, r.Entries[0].Variant
		})},
		{Name: "tombstone re-pointed", Holds: nightly, Reason: trust.Repointed, Do: release(func(r *catalog.Release) { r.Tombstones[0].Identity = other })},
		{Name: "next_id lowered", Holds: nightly, Reason: trust.NextID, Do: release(func(r *catalog.Release) { r.Entries, r.Baseline, r.NextID, r.Tombstones = nil, 0, 2, nil })},
		{Name: "release 1 again", Holds: nightly, Reason: trust.Rollback, Do: release(func(r *catalog.Release) { r.Sequence, r.Previous = 1, "" })},
		{Name: "another release of the same number", Holds: nightly, Reason: trust.Rollback, Do: release(func(r *catalog.Release) { r.Sequence-- })},
		{Name: "release upon another base", Holds: nightly, Reason: trust.MixAndMatch, Do: release(func(r *catalog.Release) { r.Previous = other })},
		{Name: "release past its date", Holds: nightly, Reason: trust.Expired, Do: func(ctx context.Context, f *Forger) error {
			return f.Manifest(ctx, func(r *catalog.Release) { r.Created, r.Expires = f.days(-9), f.days(-1) })
		}},
		{Name: "artifact that is nowhere", Holds: nightly, Reason: trust.Missing, Do: release(func(r *catalog.Release) {
			e := r.Entries[1]
			e.Variant.Artifacts = []artifacts.Ref{artifacts.RefOf("x", "", []byte("nowhere"))}
			e.Variant.Identity = catalog.IdentityOf(e.Variant)
			e.ID, r.NextID = r.NextID, r.NextID+1
			r.Entries = append(r.Entries, e)
		})},
		{Name: "duplicate keys in the manifest", Holds: nightly, Reason: trust.Malformed, Do: func(ctx context.Context, f *Forger) error {
			return f.spelled(ctx, same, func(files catalog.Files) catalog.Files {
				files.Manifest = bytes.Replace(files.Manifest, []byte(`{"schema":`), []byte(`{"schema":"arqon-catalog/1","schema":`), 1)
				return files
			})
		}},
		{Name: "path traversal in a name", Holds: nightly, Reason: trust.Malformed, Do: func(ctx context.Context, f *Forger) error {
			return f.spelled(ctx, same, climbing)
		}},
	}
}

// climbing spells the first artifact's name as a way out of the directory.
func climbing(files catalog.Files) catalog.Files {
	const list, name = `"artifacts":[{"name":"`, `../../`
	old := files.Shards[0]
	files.Shards[0] = bytes.Replace(old, []byte(list), []byte(list+name), 1)
	was := fmt.Appendf(nil, `"digest":"%s","size":%d`, artifacts.DigestOf(old), len(old))
	now := fmt.Appendf(nil, `"digest":"%s","size":%d`, artifacts.DigestOf(files.Shards[0]), len(files.Shards[0]))
	files.Manifest = bytes.Replace(files.Manifest, was, now, 1)
	return files
}

// Channels are manifests where they do not belong.
func Channels() []Attack {
	return []Attack{
		{Name: "prod manifest in staging", Holds: nightly, Reason: trust.WrongChannel, Do: func(ctx context.Context, f *Forger) error {
			return f.Manifest(ctx, func(r *catalog.Release) {
				r.Channel = string(catalog.ScopeProd)
				for i := range r.Entries {
					r.Entries[i].Scope = catalog.ScopeProd
				}
			})
		}},
		{Name: "staging key signs for prod", Holds: nightly, Reason: trust.WrongChannel, Do: func(ctx context.Context, f *Forger) error {
			r, _, version, err := f.Newest(ctx, staging)
			if err != nil {
				return err
			}
			files, err := catalog.EncodeManifest(r)
			if err != nil {
				return err
			}
			return f.Release(ctx, staging, string(catalog.ScopeProd), files, version+1)
		}},
		{Name: "made for other machines", HostOnly: true, Holds: nightly, Reason: trust.Hardware, Do: func(ctx context.Context, f *Forger) error {
			return f.approved(ctx, func(r *catalog.Release) {
				for i := range r.Entries {
					r.Entries[i].Envelope.Hardware.Arch = "pdp11"
				}
			})
		}},
		{Name: "made for a newer runtime", HostOnly: true, Holds: nightly, Reason: trust.ABI, Do: func(ctx context.Context, f *Forger) error {
			return f.approved(ctx, func(r *catalog.Release) { r.RuntimeMin = catalog.RuntimeABI + 1 })
		}},
	}
}

// Yanks are what a stolen yank key can try: it cannot take a yank back, nor
// touch the built-in.
func Yanks() []Attack {
	list := func(file string) func(context.Context, *Forger) error {
		return func(ctx context.Context, f *Forger) error {
			h, err := f.Head(ctx)
			if err != nil {
				return err
			}
			return f.Role(ctx, trust.RoleYank, trust.YankTarget, []byte(file), h.Roles[trust.RoleYank].Signed.Version+1)
		}
	}
	return []Attack{
		{Name: "yank removed", Holds: responder, Reason: trust.Unyanked, Do: list(`{"schema":"arqon-yank/1","yanked":[]}`)},
		{Name: "yank of the built-in", Holds: responder, Reason: trust.Malformed, Do: list(`{"schema":"arqon-yank/1","yanked":[{"id":0,"identity":"x","reason":"r"}]}`)},
		{Name: "yank list with a space", Holds: responder, Reason: trust.Malformed, Do: list(`{"schema":"arqon-yank/1", "yanked":[]}`)},
		{Name: "yank list of another schema", Holds: responder, Reason: trust.Malformed, Do: list(`{"schema":"arqon-yank/2","yanked":[]}`)},
		{Name: "yank of another identity", Holds: responder, Reason: trust.Repointed, Do: func(ctx context.Context, f *Forger) error {
			h, err := f.Head(ctx)
			if err != nil {
				return err
			}
			y, err := trust.ReadYank(ctx, f.Store, h)
			if err != nil {
				return err
			}
			return list(fmt.Sprintf(`{"schema":"arqon-yank/1","yanked":[{"id":%d,"identity":"sha256:x","reason":"r"}]}`, y.Yanked[0].ID))(ctx, f)
		}},
	}
}

// Dates are metadata that its own people let expire, or that a thief freezes.
func Dates() []Attack {
	again := func(do func(ctx context.Context, f *Forger, h *trust.Head) error) func(context.Context, *Forger) error {
		return func(ctx context.Context, f *Forger) error {
			h, err := f.Head(ctx)
			if err != nil {
				return err
			}
			return do(ctx, f, h)
		}
	}
	return []Attack{
		{Name: "expired timestamp", Holds: head, Reason: trust.Expired, Do: again(func(ctx context.Context, f *Forger, h *trust.Head) error {
			key, err := f.Key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)
			if err != nil {
				return err
			}
			return f.timestamp(ctx, h.Timestamp.Signed.Version+1, f.days(-1), h.Timestamp.Signed.Meta["snapshot.json"], key)
		})},
		{Name: "expired snapshot", Holds: head, Reason: trust.Expired, Do: again(func(ctx context.Context, f *Forger, h *trust.Head) error {
			return f.snapshot(ctx, h, h.Snapshot.Signed.Version+1, f.days(-1), func(map[string]*metadata.MetaFiles) {})
		})},
		{Name: "expired staging", Holds: nightly, Reason: trust.Expired, Do: func(ctx context.Context, f *Forger) error { return f.Expire(ctx, staging) }},
		{Name: "expired targets", Holds: publisher, Reason: trust.Expired, Do: again(func(ctx context.Context, f *Forger, h *trust.Head) error {
			m := *h.Targets
			m.Signed.Version++
			m.Signed.Expires = f.days(-1)
			return f.resign(ctx, h, metadata.TARGETS, &m)
		})},
		{Name: "expired root", Holds: []string{metadata.ROOT}, Reason: trust.Expired, Do: again(func(ctx context.Context, f *Forger, h *trust.Head) error {
			root := *h.Root
			root.Signatures = []metadata.Signature{}
			root.Signed.Version++
			root.Signed.Expires = f.days(-1)
			key, err := f.Key(root.Signed.Roles[metadata.ROOT].KeyIDs)
			if err != nil {
				return err
			}
			b, err := Sealed(&root, key)
			if err != nil {
				return err
			}
			return f.Put(ctx, trust.MetadataName(metadata.ROOT, root.Signed.Version), b)
		})},
	}
}

// resign signs targets metadata with its role's own key and promises it.
func (f *Forger) resign(ctx context.Context, h *trust.Head, role string, m *metadata.Metadata[metadata.TargetsType]) error {
	ids := h.Root.Signed.Roles[metadata.TARGETS].KeyIDs
	if d, ok := h.Delegation(role); ok {
		ids = d.KeyIDs
	}
	key, err := f.Key(ids)
	if err != nil {
		return err
	}
	m.Signatures = []metadata.Signature{}
	b, err := Sealed(m, key)
	if err != nil {
		return err
	}
	return f.promise(ctx, h, role, m.Signed.Version, b)
}
