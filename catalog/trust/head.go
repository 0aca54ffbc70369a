package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Head is the metadata of a repository at one moment, verified in TUF's order:
// root by root, timestamp, snapshot, targets, delegated roles.
type Head struct {
	Root           *metadata.Metadata[metadata.RootType]
	Timestamp      *metadata.Metadata[metadata.TimestampType]
	Snapshot       *metadata.Metadata[metadata.SnapshotType]
	Targets        *metadata.Metadata[metadata.TargetsType]
	Roles          map[string]*metadata.Metadata[metadata.TargetsType] // those that the snapshot names
	RootBytes      []byte                                              // the newest root
	TimestampBytes []byte                                              // what a publisher swaps against
	Log            Log                                                 // ends with the snapshot
	Rules          Rules

	snapshotBytes []byte
}

// Rules are the repository's own rules, signed inside the targets metadata.
type Rules struct {
	Schema       string   `json:"schema"`
	Solo         bool     `json:"solo"`          // one person holds every key: for trying out
	EvidenceKeys []string `json:"evidence_keys"` // ids of the keys whose statements count
}

// RulesField is the field of the targets metadata that holds the Rules.
const RulesField = "x-arqon"

// RulesSchema is the only schema of Rules that this version reads.
const RulesSchema = "arqon-rules/1"

// Delegation finds a delegated role.
func (h *Head) Delegation(role string) (metadata.DelegatedRole, bool) {
	for _, r := range h.Targets.Signed.Delegations.Roles {
		if r.Name == role {
			return r, true
		}
	}
	return metadata.DelegatedRole{}, false
}

// PublicKeys returns the delegated keys with the ids, in their order.
func (h *Head) PublicKeys(ids []string) ([]*ecdsa.PublicKey, error) {
	var keys []*ecdsa.PublicKey
	for _, id := range ids {
		k, err := checkKey("targets", id, h.Targets.Signed.Delegations.Keys[id])
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Approvers returns the keys that may approve for the channel.
func (h *Head) Approvers(channel string) ([]*ecdsa.PublicKey, error) {
	d, ok := h.Delegation(channel)
	if !ok {
		return nil, errors.New("channel " + channel + ": this repository does not have it")
	}
	return h.PublicKeys(d.KeyIDs)
}

// Manifest returns the reference of a channel's manifest; false before its
// first release.
func (h *Head) Manifest(channel string) (artifacts.Ref, bool) {
	role := h.Roles[channel]
	if role == nil {
		return artifacts.Ref{}, false
	}
	return targetRef(role.Signed.Targets[ManifestTarget(channel)])
}

func targetRef(f *metadata.TargetFiles) (artifacts.Ref, bool) {
	if f == nil {
		return artifacts.Ref{}, false
	}
	return artifacts.Ref{Digest: artifacts.Digest("sha256:" + f.Hashes["sha256"].String()), Size: f.Length}, true
}

func isChannel(name string) bool { return slices.Contains(catalog.Channels(), name) }

// walk reads a repository front to back. It keeps what it read, and refuses
// the first thing that is not as it must be.
type walk struct {
	store   artifacts.Store
	cache   *artifacts.Dir                          // what was read before, by digest; may be nil
	anchor  []byte                                  // a root to begin with; nil: the repository's own first one
	now     time.Time                               // for expiry; zero: expiry is not looked at
	floors  map[string]int64                        // role → version seen before; may be nil
	log     Log                                     // seen before; zero: none
	same    map[int64]artifacts.Digest              // the repository's own roots that were compared before; may be nil
	audit   bool                                    // read every root, check every signature of every file
	only    []string                                // delegated roles to load; nil: all
	read    []string                                // names read so far
	lineage []*metadata.Metadata[metadata.RootType] // the roots walked, ascending
}

// ReadHead verifies a repository's metadata without looking at expiry: for
// publishers, who are about to renew it. anchor is a root to begin with (nil:
// the repository's own first root).
func ReadHead(ctx context.Context, store artifacts.Store, anchor []byte) (*Head, error) {
	w := walk{store: store, anchor: anchor}
	return w.head(ctx)
}

func (w *walk) fetch(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := w.store.Read(ctx, name, limit)
	if err != nil {
		return nil, refusal(name, err)
	}
	w.read = append(w.read, name)
	return b, nil
}

func (w *walk) fetchRef(ctx context.Context, name string, ref artifacts.Ref) ([]byte, error) {
	b, err := artifacts.GetNamed(ctx, w.store, name, ref)
	if err != nil {
		return nil, refusal(name, err)
	}
	w.read = append(w.read, name)
	return b, nil
}

// known is fetchRef for what a client keeps: from the cache if it is there and
// good, else from the repository and then kept. An audit reads the repository.
func (w *walk) known(ctx context.Context, name string, ref artifacts.Ref) ([]byte, error) {
	if w.cache == nil || w.audit {
		return w.fetchRef(ctx, name, ref)
	}
	if b, err := w.cache.Get(ctx, ref); err == nil {
		return b, nil
	}
	b, err := w.fetchRef(ctx, name, ref)
	if err == nil {
		_, err = w.cache.Put(ctx, b)
	}
	return b, err
}

func (w *walk) head(ctx context.Context) (*Head, error) {
	tm, h, err := w.roots(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.timestamp(ctx, tm, h); err != nil {
		return nil, err
	}
	if err := w.snapshot(ctx, tm, h); err != nil {
		return nil, err
	}
	if err := w.logged(ctx, h); err != nil {
		return nil, err
	}
	if err := w.targets(ctx, tm, h); err != nil {
		return nil, err
	}
	for _, d := range h.Targets.Signed.Delegations.Roles {
		if w.only != nil && !slices.Contains(w.only, d.Name) {
			continue
		}
		if err := w.role(ctx, tm, h, d); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// roots loads the anchor and walks to the newest root.
func (w *walk) roots(ctx context.Context) (*trustedmetadata.TrustedMetadata, *Head, error) {
	h := &Head{RootBytes: w.anchor, Roles: map[string]*metadata.Metadata[metadata.TargetsType]{}}
	first := MetadataName(metadata.ROOT, 1)
	if w.anchor == nil || w.audit {
		b, err := w.fetch(ctx, first, maxRootBytes)
		if err != nil {
			return nil, nil, err
		}
		if w.anchor == nil || w.audit {
			h.RootBytes = b
		}
	}
	root, err := decodeRoot(first, h.RootBytes)
	if err != nil {
		return nil, nil, err
	}
	if err := w.sameRoot(ctx, root.Signed.Version, h.RootBytes); err != nil {
		return nil, nil, err
	}
	tm, err := trustedmetadata.New(h.RootBytes)
	if err != nil {
		return nil, nil, signed(first, err, root.Signatures, root.Signed.Roles[metadata.ROOT].Threshold)
	}
	tm.RefTime = w.now
	h.Root = tm.Root
	w.lineage = append(w.lineage, root)
	if err := w.auditRoot(first, root, nil); err != nil {
		return nil, nil, err
	}
	anchored := w.anchor == nil || bytes.Equal(h.RootBytes, w.anchor)
	for range maxRoots {
		name := MetadataName(metadata.ROOT, h.Root.Signed.Version+1)
		b, err := w.fetch(ctx, name, maxRootBytes)
		if ReasonOf(err) == Missing {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if err := w.nextRoot(tm, h, name, b); err != nil {
			return nil, nil, err
		}
		anchored = anchored || bytes.Equal(b, w.anchor)
	}
	last := MetadataName(metadata.ROOT, h.Root.Signed.Version)
	if !anchored {
		return nil, nil, refuse(ForeignRoot, last, "the pinned root is not one of this repository's roots")
	}
	if h.Root.Signed.IsExpired(w.now) {
		return nil, nil, refuse(Expired, last, "expired %s", day(h.Root.Signed.Expires))
	}
	return tm, h, w.floor(metadata.ROOT, last, h.Root.Signed.Version)
}

// sameRoot refuses a repository whose own copy of the root that we begin with
// is another one: it is somebody else's repository.
func (w *walk) sameRoot(ctx context.Context, version int64, root []byte) error {
	if w.audit || w.anchor == nil {
		return nil // the repository's own roots are walked
	}
	if w.same[version] == artifacts.DigestOf(root) {
		return nil // another repository put into its place has other signatures
	}
	name := MetadataName(metadata.ROOT, version)
	b, err := w.fetch(ctx, name, maxRootBytes)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, root) {
		return refuse(ForeignRoot, name, "differs from the pinned root")
	}
	if w.same != nil {
		w.same[version] = artifacts.DigestOf(root)
	}
	return nil
}

func decodeRoot(name string, b []byte) (*metadata.Metadata[metadata.RootType], error) {
	root, err := decodeExact(name, b, metadata.Root())
	if err != nil {
		return nil, err
	}
	if root.Signed.Type != metadata.ROOT {
		return nil, refuse(Malformed, name, "type %.40q instead of root", root.Signed.Type)
	}
	return root, checkRoot(name, root)
}

func (w *walk) nextRoot(tm *trustedmetadata.TrustedMetadata, h *Head, name string, b []byte) error {
	root, err := decodeRoot(name, b)
	if err != nil {
		return err
	}
	before := tm.Root
	if _, err := tm.UpdateRoot(b); err != nil {
		return signed(name, err, root.Signatures, before.Signed.Roles[metadata.ROOT].Threshold)
	}
	if err := w.auditRoot(name, root, before); err != nil {
		return err
	}
	for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT} {
		if !slices.Equal(before.Signed.Roles[role].KeyIDs, tm.Root.Signed.Roles[role].KeyIDs) {
			// TUF 5.3.11: after a rotation the old key's version numbers,
			// perhaps driven up by a thief, bind nobody.
			delete(w.floors, metadata.TIMESTAMP)
			delete(w.floors, metadata.SNAPSHOT)
			w.log = Log{} // nor does the log that the thief may have signed
		}
	}
	h.Root, h.RootBytes = tm.Root, b
	w.lineage = append(w.lineage, root)
	return nil
}

// auditRoot checks every signature of a root: they may come from its own root
// keys or from the root before it.
func (w *walk) auditRoot(name string, root, before *metadata.Metadata[metadata.RootType]) error {
	if !w.audit {
		return nil
	}
	allowed := slices.Clone(root.Signed.Roles[metadata.ROOT].KeyIDs)
	keys := map[string]*metadata.Key{}
	if before != nil {
		allowed = append(allowed, before.Signed.Roles[metadata.ROOT].KeyIDs...)
		for id, k := range before.Signed.Keys {
			keys[id] = k
		}
	}
	for id, k := range root.Signed.Keys {
		keys[id] = k
	}
	return verifySignatures(name, root.Signed, root.Signatures, keys, allowed)
}

func (w *walk) timestamp(ctx context.Context, tm *trustedmetadata.TrustedMetadata, h *Head) error {
	name := TimestampName
	b, err := w.fetch(ctx, name, maxTimestampBytes)
	if err != nil {
		return err
	}
	m, err := decodeExact(name, b, metadata.Timestamp())
	if err != nil {
		return err
	}
	if err := checkMeta(name, m.Signed.Meta, func(role string) bool { return role == metadata.SNAPSHOT }); err != nil {
		return err
	}
	if m.Signed.Meta["snapshot.json"] == nil {
		return refuse(Malformed, name, "names no snapshot")
	}
	if _, err := tm.UpdateTimestamp(b); err != nil {
		return signed(name, err, m.Signatures, h.Root.Signed.Roles[metadata.TIMESTAMP].Threshold)
	}
	if w.audit {
		if err := verifySignatures(name, m.Signed, m.Signatures, h.Root.Signed.Keys, h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs); err != nil {
			return err
		}
	}
	h.Timestamp, h.TimestampBytes = tm.Timestamp, b
	return w.floor(metadata.TIMESTAMP, name, tm.Timestamp.Signed.Version)
}

func (w *walk) snapshot(ctx context.Context, tm *trustedmetadata.TrustedMetadata, h *Head) error {
	meta := tm.Timestamp.Signed.Meta["snapshot.json"]
	name, b, m, err := promisedFile(ctx, w.fetchRef, metadata.SNAPSHOT, meta, metadata.Snapshot())
	if err != nil {
		return err
	}
	if err := checkMeta(name, m.Signed.Meta, func(role string) bool { return role != metadata.SNAPSHOT && role != metadata.TIMESTAMP }); err != nil {
		return err
	}
	if m.Signed.Meta["targets.json"] == nil || m.Signed.Meta["root.json"] == nil {
		return refuse(Malformed, name, "names no targets or no root")
	}
	if _, err := tm.UpdateSnapshot(b, false); err != nil {
		return signed(name, err, m.Signatures, h.Root.Signed.Roles[metadata.SNAPSHOT].Threshold)
	}
	if w.audit {
		if err := verifySignatures(name, m.Signed, m.Signatures, h.Root.Signed.Keys, h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs); err != nil {
			return err
		}
	}
	if want := m.Signed.Meta["root.json"].Version; h.Root.Signed.Version < want {
		return refuse(Missing, MetadataName(metadata.ROOT, h.Root.Signed.Version+1), "the snapshot was made under root %d", want)
	}
	h.Snapshot, h.snapshotBytes = tm.Snapshot, b
	if err := w.floor(metadata.SNAPSHOT, name, tm.Snapshot.Signed.Version); err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(w.floors)) {
		version := w.floors[role]
		if version > 0 && role != metadata.TIMESTAMP && role != metadata.SNAPSHOT && h.Snapshot.Signed.Meta[role+".json"] == nil {
			return refuse(Rollback, name, "role %s is gone; its version %d was seen before", role, version)
		}
	}
	return nil
}

func (w *walk) targets(ctx context.Context, tm *trustedmetadata.TrustedMetadata, h *Head) error {
	meta := h.Snapshot.Signed.Meta["targets.json"]
	name, b, m, err := promisedFile(ctx, w.known, metadata.TARGETS, meta, metadata.Targets())
	if err != nil {
		return err
	}
	if len(m.Signed.Targets) != 0 {
		return refuse(BadRole, name, "the top role only delegates")
	}
	if err := checkDelegations(name, m); err != nil {
		return err
	}
	if _, err := tm.UpdateTargets(b); err != nil {
		return signed(name, err, m.Signatures, h.Root.Signed.Roles[metadata.TARGETS].Threshold)
	}
	if w.audit {
		if err := verifySignatures(name, m.Signed, m.Signatures, h.Root.Signed.Keys, h.Root.Signed.Roles[metadata.TARGETS].KeyIDs); err != nil {
			return err
		}
	}
	h.Targets = tm.Targets[metadata.TARGETS]
	if h.Rules, err = readRules(name, m); err != nil {
		return err
	}
	return w.floor(metadata.TARGETS, name, m.Signed.Version)
}

func readRules(name string, m *metadata.Metadata[metadata.TargetsType]) (Rules, error) {
	b, err := json.Marshal(m.Signed.UnrecognizedFields[RulesField])
	if err != nil {
		return Rules{}, refuse(Malformed, name, "%s: %v", RulesField, err)
	}
	var r Rules
	if err := json.Unmarshal(b, &r); err != nil || r.Schema != RulesSchema {
		return Rules{}, refuse(Malformed, name, "%s: want schema %s", RulesField, RulesSchema)
	}
	return r, nil
}

// role loads one delegated role, if the snapshot names it.
func (w *walk) role(ctx context.Context, tm *trustedmetadata.TrustedMetadata, h *Head, d metadata.DelegatedRole) error {
	meta := h.Snapshot.Signed.Meta[d.Name+".json"]
	if meta == nil {
		return nil
	}
	name, b, m, err := promisedFile(ctx, w.known, d.Name, meta, metadata.Targets())
	if err != nil {
		return err
	}
	if err := checkRoleTargets(name, d.Name, m); err != nil {
		return err
	}
	if _, err := tm.UpdateDelegatedTargets(b, d.Name, metadata.TARGETS); err != nil {
		return signed(name, err, m.Signatures, d.Threshold)
	}
	if w.audit {
		if err := verifySignatures(name, m.Signed, m.Signatures, h.Targets.Signed.Delegations.Keys, d.KeyIDs); err != nil {
			return err
		}
	}
	if err := independent(name, h, d, m); err != nil {
		return err
	}
	h.Roles[d.Name] = m
	return w.floor(d.Name, name, m.Signed.Version)
}

// independent refuses a prod release for which too few people signed who have
// not made its evidence: a key that was given both roles counts for one of
// them. Where one person holds every key there is nobody else. Only signatures
// that verify count: a file may list names of who never signed it.
func independent(name string, h *Head, d metadata.DelegatedRole, m *metadata.Metadata[metadata.TargetsType]) error {
	if d.Name != string(catalog.ScopeProd) || h.Rules.Solo {
		return nil
	}
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		return refuse(Malformed, name, "%v", err)
	}
	var others []string
	for _, s := range m.Signatures {
		if slices.Contains(others, s.KeyID) || slices.Contains(h.Rules.EvidenceKeys, s.KeyID) || !slices.Contains(d.KeyIDs, s.KeyID) {
			continue
		}
		public, err := checkKey(name, s.KeyID, h.Targets.Signed.Delegations.Keys[s.KeyID])
		if err != nil {
			return err
		}
		if verify(public, payload, s.Signature) {
			others = append(others, s.KeyID)
		}
	}
	if len(others) < d.Threshold {
		return refuse(Threshold, name, "%d of %d needed keys that have not made the evidence", len(others), d.Threshold)
	}
	return nil
}

// floor refuses a version below the one seen before, and one so far above it
// that accepting it would lock out every honest publisher.
func (w *walk) floor(role, name string, version int64) error {
	floor := w.floors[role]
	if version < floor {
		return refuse(Rollback, name, "version %d, and %d was seen before", version, floor)
	}
	if floor > 0 && version-floor > maxVersionJump {
		return refuse(FastForward, name, "version %d, and %d was seen before", version, floor)
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }
