// Package forge signs what no honest publisher would: tests hold it against the
// catalog. It has its own signing code, so that it can make what
// catalog/publish refuses to make, and it holds exactly the keys that it was
// given: an attack that gets through says what those keys are worth.
//
// It is not for publishing, and no program links it.
package forge

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/note"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// ErrNoKey: the attack needs a key that the forger does not hold.
var ErrNoKey = errors.New("the forger does not hold that key")

// Key is one ECDSA P-256 key in the forger's hands.
type Key struct {
	ID      string // TUF's
	Private *ecdsa.PrivateKey
}

// NewKey gives a private key its id.
func NewKey(private *ecdsa.PrivateKey) (Key, error) {
	k, err := metadata.KeyFromPublicKey(&private.PublicKey)
	if err != nil {
		return Key{}, err
	}
	id, err := k.ID()
	return Key{ID: id, Private: private}, err
}

func (k Key) sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, k.Private, sum[:])
}

// Note is the key as a signer of the log's checkpoints.
func (k Key) Note() trust.NoteKey {
	return trust.NoteKey{Public: &k.Private.PublicKey, Key: k.sign}
}

// Forger can write to the store and holds some keys. Store and Now are mandatory.
type Forger struct {
	Store artifacts.Store
	Root  []byte    // the root to begin with; nil: the repository's own first one
	Now   time.Time // dates what is signed
	Keys  []Key
}

// Head is what clients see now.
func (f *Forger) Head(ctx context.Context) (*trust.Head, error) {
	return trust.ReadHead(ctx, f.Store, f.Root)
}

// Key returns the first of the keys with the ids that the forger holds.
func (f *Forger) Key(ids []string) (Key, error) {
	for _, id := range ids {
		for _, k := range f.Keys {
			if k.ID == id {
				return k, nil
			}
		}
	}
	return Key{}, fmt.Errorf("%.80q: %w", ids, ErrNoKey)
}

// Put writes an object over whatever is there.
func (f *Forger) Put(ctx context.Context, name string, b []byte) error {
	old, err := f.Store.Read(ctx, name, 1<<26)
	if err != nil {
		if !errors.Is(err, artifacts.ErrNotFound) {
			return err
		}
		old = nil
	}
	return f.Store.Swap(ctx, name, old, b)
}

// Sealed signs metadata with the keys and returns the file.
func Sealed[T metadata.Roles](m *metadata.Metadata[T], keys ...Key) ([]byte, error) {
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		sig, err := k.sign(payload)
		if err != nil {
			return nil, err
		}
		m.Signatures = append(m.Signatures, metadata.Signature{KeyID: k.ID, Signature: sig})
	}
	return m.ToBytes(false)
}

// MetaFile promises a metadata file.
func MetaFile(version int64, b []byte) *metadata.MetaFiles {
	return &metadata.MetaFiles{Version: version, Length: int64(len(b)), Hashes: hashes(b)}
}

func hashes(b []byte) metadata.Hashes {
	sum := sha256.Sum256(b)
	return metadata.Hashes{"sha256": sum[:]}
}

func (f *Forger) days(n int) time.Time { return f.Now.UTC().Truncate(time.Second).AddDate(0, 0, n) }

// Role signs a role's metadata that points at the file for the target, and
// drives snapshot and timestamp to it.
func (f *Forger) Role(ctx context.Context, role, target string, file []byte, version int64) error {
	h, err := f.Head(ctx)
	if err != nil {
		return err
	}
	d, _ := h.Delegation(role)
	key, err := f.Key(d.KeyIDs)
	if err != nil {
		return err
	}
	return f.RoleSignedBy(ctx, role, target, file, version, f.days(10), key)
}

// RoleSignedBy is Role with given keys and date.
func (f *Forger) RoleSignedBy(ctx context.Context, role, target string, file []byte, version int64, expires time.Time, keys ...Key) error {
	m := metadata.Targets(expires)
	m.Signed.Version = version
	m.Signed.Targets[target] = &metadata.TargetFiles{Length: int64(len(file)), Hashes: hashes(file)}
	b, err := Sealed(m, keys...)
	if err != nil {
		return err
	}
	if err := f.Put(ctx, trust.TargetName(target, artifacts.DigestOf(file)), file); err != nil {
		return err
	}
	return f.Promise(ctx, role, version, b)
}

// Promise writes a role's metadata and drives snapshot and timestamp to it.
func (f *Forger) Promise(ctx context.Context, role string, version int64, b []byte) error {
	h, err := f.Head(ctx)
	if err != nil {
		return err
	}
	if err := f.Put(ctx, trust.MetadataName(role, version), b); err != nil {
		return err
	}
	return f.Snapshot(ctx, h, h.Snapshot.Signed.Version+1, func(meta map[string]*metadata.MetaFiles) { meta[role+".json"] = MetaFile(version, b) })
}

// Snapshot signs a snapshot of the version, the log and the timestamp over it.
func (f *Forger) Snapshot(ctx context.Context, h *trust.Head, version int64, change func(map[string]*metadata.MetaFiles)) error {
	return f.snapshot(ctx, h, version, f.days(10), change)
}

func (f *Forger) snapshot(ctx context.Context, h *trust.Head, version int64, expires time.Time, change func(map[string]*metadata.MetaFiles)) error {
	s := metadata.Snapshot(expires)
	s.Signed.Version = version
	s.Signed.Meta = h.Snapshot.Signed.Meta
	change(s.Signed.Meta)
	key, err := f.Key(h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs)
	if err != nil {
		return err
	}
	b, err := Sealed(s, key)
	if err != nil {
		return err
	}
	if err := f.Put(ctx, trust.MetadataName(metadata.SNAPSHOT, version), b); err != nil {
		return err
	}
	clock, err := f.Key(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)
	if err != nil {
		return err
	}
	log, err := trust.ExtendLog(ctx, f.Store, h, version, b, clock.Note())
	if err != nil {
		return err
	}
	for _, l := range log {
		if err := f.Put(ctx, l.Name, l.Bytes); err != nil {
			return err
		}
	}
	return f.Timestamp(ctx, h.Timestamp.Signed.Version+1, MetaFile(version, b), clock)
}

// Recheck signs the checkpoint of n commits with another key.
func (f *Forger) Recheck(ctx context.Context, n int64, key Key) error {
	b, err := f.Store.Read(ctx, trust.CheckpointName(n), 1<<12)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(b), "\n\n")
	if b, err = note.Sign(&note.Note{Text: text + "\n"}, key.Note()); err != nil {
		return err
	}
	return f.Put(ctx, trust.CheckpointName(n), b)
}

// Timestamp signs the head over a snapshot.
func (f *Forger) Timestamp(ctx context.Context, version int64, snapshot *metadata.MetaFiles, key Key) error {
	return f.timestamp(ctx, version, f.days(2), snapshot, key)
}

func (f *Forger) timestamp(ctx context.Context, version int64, expires time.Time, snapshot *metadata.MetaFiles, key Key) error {
	ts := metadata.Timestamp(expires)
	ts.Signed.Version = version
	ts.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": snapshot}
	b, err := Sealed(ts, key)
	if err != nil {
		return err
	}
	return f.Put(ctx, trust.TimestampName, b)
}

// Release is Role for the manifest of a channel, with its shards.
func (f *Forger) Release(ctx context.Context, role, channel string, files catalog.Files, version int64) error {
	for _, b := range files.Shards {
		if _, err := artifacts.PutBlob(ctx, f.Store, b); err != nil {
			return err
		}
	}
	return f.Role(ctx, role, trust.ManifestTarget(channel), files.Manifest, version)
}

// Newest reads the newest release of a channel and the version of its role.
func (f *Forger) Newest(ctx context.Context, channel string) (r catalog.Release, manifest artifacts.Digest, version int64, err error) {
	h, err := f.Head(ctx)
	if err != nil {
		return r, "", 0, err
	}
	ref, ok := h.Manifest(channel)
	if !ok {
		return r, "", 0, fmt.Errorf("channel %s has no release", channel)
	}
	b, err := artifacts.GetNamed(ctx, f.Store, trust.TargetName(trust.ManifestTarget(channel), ref.Digest), ref)
	if err != nil {
		return r, "", 0, err
	}
	r, err = catalog.ReadRelease(ctx, b, artifacts.Blobs{Store: f.Store})
	return r, ref.Digest, h.Roles[channel].Signed.Version, err
}

// Manifest forges the next release of staging from the newest one, signed by
// the channel's own key: what a stolen nightly key could do.
func (f *Forger) Manifest(ctx context.Context, change func(*catalog.Release)) error {
	return f.spelled(ctx, change, func(files catalog.Files) catalog.Files { return files })
}

// approved is Manifest with the approval that belongs to it.
func (f *Forger) approved(ctx context.Context, change func(*catalog.Release)) error {
	if err := f.Manifest(ctx, change); err != nil {
		return err
	}
	h, err := f.Head(ctx)
	if err != nil {
		return err
	}
	d, _ := h.Delegation(staging)
	key, err := f.Key(d.KeyIDs)
	if err != nil {
		return err
	}
	r, manifest, version, err := f.Newest(ctx, staging)
	if err != nil {
		return err
	}
	return f.Approve(ctx, key, r, manifest, version)
}

// Approve writes the approval bundle of one key for a release.
func (f *Forger) Approve(ctx context.Context, key Key, r catalog.Release, manifest artifacts.Digest, version int64) error {
	predicate, err := json.Marshal(trust.Approval{Channel: r.Channel, Sequence: r.Sequence, RoleVersion: version, Base: r.Previous})
	if err != nil {
		return err
	}
	subject := trust.Subject{Name: trust.ManifestTarget(r.Channel), Digest: manifest}
	b, err := key.statement(catalog.PredicateApproval, subject, predicate)
	if err != nil {
		return err
	}
	return f.Put(ctx, trust.ApprovalName(manifest, key.ID), b)
}

// statement is a bundle that the key has signed.
func (k Key) statement(kind string, about trust.Subject, predicate []byte) ([]byte, error) {
	s, err := trust.EncodeStatement(trust.Statement{PredicateType: kind, Subjects: []trust.Subject{about}, Predicate: predicate})
	if err != nil {
		return nil, err
	}
	sig, err := k.sign(trust.PreAuth(s))
	if err != nil {
		return nil, err
	}
	return trust.Bundle(s, sig, &k.Private.PublicKey)
}

// spelled is Manifest that may spell the files otherwise.
func (f *Forger) spelled(ctx context.Context, change func(*catalog.Release), spell func(catalog.Files) catalog.Files) error {
	r, manifest, version, err := f.Newest(ctx, staging)
	if err != nil {
		return err
	}
	r.Sequence++
	r.Previous = manifest
	change(&r)
	files, err := catalog.EncodeManifest(r)
	if err != nil {
		return err
	}
	return f.Release(ctx, staging, staging, spell(files), version+1)
}

// Words puts an approval of prod's newest release where the key with the id
// would have it; another key has signed it.
func (f *Forger) Words(ctx context.Context, id string, key Key) error {
	r, manifest, version, err := f.Newest(ctx, string(catalog.ScopeProd))
	if err != nil {
		return err
	}
	key.ID = id
	return f.Approve(ctx, key, r, manifest, version)
}

// Prod signs the next prod release, with the newest one's content, by the
// given approvers only, and publishes it.
func (f *Forger) Prod(ctx context.Context, approvers ...Key) error {
	prod := string(catalog.ScopeProd)
	r, manifest, version, err := f.Newest(ctx, prod)
	if err != nil {
		return err
	}
	r.Sequence++
	r.Previous = manifest
	files, err := catalog.EncodeManifest(r)
	if err != nil {
		return err
	}
	return f.RoleSignedBy(ctx, prod, trust.ManifestTarget(prod), files.Manifest, version+1, f.days(10), approvers...)
}

// Expire signs the newest metadata of a channel again, past its date.
func (f *Forger) Expire(ctx context.Context, channel string) error {
	h, err := f.Head(ctx)
	if err != nil {
		return err
	}
	if h.Roles[channel] == nil {
		return fmt.Errorf("channel %s has no release", channel)
	}
	m := *h.Roles[channel]
	m.Signed.Version++
	m.Signed.Expires = f.days(-1)
	return f.resign(ctx, h, channel, &m)
}

// Report forges the next release of staging: the evidence of its first entry
// is a report that the given key has signed.
func (f *Forger) Report(ctx context.Context, key Key) error {
	r, _, _, err := f.Newest(ctx, staging)
	if err != nil {
		return err
	}
	v := r.Entries[0].Variant
	b, err := key.statement(catalog.PredicateReport, trust.Subject{Name: v.Name, Digest: v.Identity}, []byte("{}"))
	if err != nil {
		return err
	}
	ref := artifacts.RefOf("report.sigstore.json", trust.BundleMediaType, b)
	if err := f.Put(ctx, trust.EvidenceName(ref), b); err != nil {
		return err
	}
	return f.approved(ctx, func(r *catalog.Release) {
		r.Entries[0].Evidence = []catalog.Evidence{{Gate: "report", Ref: ref}}
	})
}

// SignProposal puts a key's signature and the words of its approval beside a
// proposal, as arqon sign does and without asking whether the key may.
func (f *Forger) SignProposal(ctx context.Context, manifest artifacts.Digest, key Key) error {
	at := func(name string) string { return "proposals/" + manifest.Hex() + "/" + name }
	b, err := f.Store.Read(ctx, at("role.json"), 1<<20)
	if err != nil {
		return err
	}
	role, err := metadata.Targets().FromBytes(b)
	if err != nil {
		return err
	}
	if _, err := Sealed(role, key); err != nil {
		return err
	}
	if b, err = json.Marshal(role.Signatures[0]); err != nil {
		return err
	}
	if err := f.Put(ctx, at("signatures/"+key.ID+".json"), b); err != nil {
		return err
	}
	if b, err = f.Store.Read(ctx, at("catalog.json"), 1<<26); err != nil {
		return err
	}
	r, err := catalog.ReadRelease(ctx, b, artifacts.Blobs{Store: f.Store})
	if err != nil {
		return err
	}
	return f.Approve(ctx, key, r, manifest, role.Signed.Version)
}

const staging = string(catalog.ScopeStaging)
