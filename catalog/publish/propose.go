package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// Proposal is the next release of a channel as somebody wishes it: all of its
// entries, not a change to the last ones.
type Proposal struct {
	Channel    string
	Domain     string
	Contexts   []string         // in the order of the class index
	RuntimeMin int              // 0: 1
	Entries    []catalog.Entry  // their ids are ignored and allocated; Fallback must be 0
	Baseline   artifacts.Digest // identity of the entry that is the baseline
	Policy     catalog.Policy
	Evidence   []Evidence       // statements to sign and list
	Blobs      artifacts.Getter // the artifacts of the entries, and evidence that entries already list
	Lifetime   time.Duration    // of the release; 0: the channel's
}

// Evidence is what a gate found about one entry, to be signed with the key
// whose statements count.
type Evidence struct {
	Identity  artifacts.Digest // which entry
	Gate      string           // a gate's name, or what kind of statement it is: "report"
	Type      string           // of the predicate; "" = catalog.PredicateReport
	Predicate json.RawMessage
}

// Prepared is a proposal in the store, ready to be signed.
type Prepared struct {
	Manifest artifacts.Digest // names the proposal
	Release  catalog.Release
	Base     artifacts.Digest // manifest that it replaces; empty for the first
	Role     []byte           // the exact bytes that approvers sign, without signatures
	Created  time.Time
}

// proposal is the file proposals/<manifest>/proposal.json.
type proposal struct {
	Schema      string           `json:"schema"`
	Channel     string           `json:"channel"`
	Manifest    artifacts.Ref    `json:"manifest"`
	Base        artifacts.Digest `json:"base"`
	RoleVersion int64            `json:"role_version"`
	Created     time.Time        `json:"created"`
}

const proposalSchema = "arqon-proposal/1"

func proposalName(manifest artifacts.Digest, file string) string {
	return "proposals/" + manifest.Hex() + "/" + file
}

// Propose allocates ids, uploads artifacts and signed evidence, and leaves the
// manifest and the role's metadata to be signed below proposals/. Nothing of
// it is trusted by anybody yet.
func (r *Repository) Propose(ctx context.Context, p Proposal) (*Prepared, error) {
	h, err := r.finish(ctx)
	if err != nil {
		return nil, err
	}
	b, err := r.loadAt(ctx, h)
	if err != nil {
		return nil, err
	}
	if _, ok := b.head.Delegation(p.Channel); !ok {
		return nil, fmt.Errorf("channel %.40q: this repository does not have it: %w", p.Channel, ErrProposal)
	}
	rel, err := r.release(b, p)
	if err != nil {
		return nil, err
	}
	if err := r.uploadEvidence(ctx, b, p, &rel); err != nil {
		return nil, err
	}
	files, err := catalog.EncodeManifest(rel)
	if err != nil {
		return nil, err
	}
	if err := r.uploadArtifacts(ctx, b, p, rel); err != nil {
		return nil, err
	}
	return r.prepare(ctx, b, rel, files)
}

// Finish completes a commit that a dead publisher left, if this ring can.
func (r *Repository) Finish(ctx context.Context) error {
	_, err := r.finish(ctx)
	return err
}

// finish is Finish that returns the newest head.
func (r *Repository) finish(ctx context.Context) (*trust.Head, error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return nil, err
	}
	if len(r.Keys.holds(h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)) == 0 {
		return h, nil
	}
	h, _, err = r.repaired(ctx, h)
	return h, err
}

// release turns the wish into the next release on top of b.
func (r *Repository) release(b *base, p Proposal) (catalog.Release, error) {
	now := whole(r.Now)
	life := p.Lifetime
	if life == 0 {
		life = lifetimes[p.Channel]
	}
	was := b.channels[p.Channel]
	rel := catalog.Release{
		Schema: catalog.ManifestSchema, Channel: p.Channel, Domain: p.Domain,
		Sequence: was.release.Sequence + 1, Previous: was.manifest.Digest,
		Created: now, Expires: now.Add(life).Truncate(time.Second), NextID: b.nextID,
		RuntimeMin: max(1, p.RuntimeMin), Contexts: p.Contexts, Policy: p.Policy,
	}
	if was.release.Sequence > 0 && was.release.Domain != p.Domain {
		return rel, fmt.Errorf("domain %q: channel %s is of domain %q: %w", p.Domain, p.Channel, was.release.Domain, ErrProposal)
	}
	ids, err := b.allocate(p.Entries, &rel.NextID)
	if err != nil {
		return rel, err
	}
	for i, e := range p.Entries {
		if e.Fallback != catalog.BuiltIn {
			return rel, fmt.Errorf("entry %s: fallback %d: ids are not allocated yet, want 0: %w", e.Variant.Name, e.Fallback, ErrProposal)
		}
		if err := unexpired(e, now); err != nil {
			return rel, err
		}
		e.ID = ids[i]
		e.Evidence = slices.Clone(e.Evidence)
		rel.Entries = append(rel.Entries, e)
		if e.Variant.Identity == p.Baseline {
			rel.Baseline = e.ID
		}
	}
	if rel.Baseline == catalog.BuiltIn && len(rel.Entries) > 0 {
		return rel, fmt.Errorf("baseline %q: not the identity of an entry: %w", p.Baseline.Short(), ErrProposal)
	}
	sort.Slice(rel.Entries, func(i, j int) bool { return rel.Entries[i].ID < rel.Entries[j].ID })
	rel.Tombstones = tombstones(was.release, rel)
	return rel, nil
}

// allocate gives every entry its id: the one that its identity ever had, or
// the next free one. A withdrawn variant does not come back under its id.
func (b *base) allocate(entries []catalog.Entry, next *catalog.VariantID) ([]catalog.VariantID, error) {
	ids := make([]catalog.VariantID, len(entries))
	given := map[catalog.VariantID]bool{}
	for i, e := range entries {
		identity := e.Variant.Identity
		if b.isYanked(identity) {
			return nil, fmt.Errorf("entry %s: this variant was withdrawn: %w", e.Variant.Name, ErrProposal)
		}
		id, ok := b.identities[identity]
		if !ok {
			id = *next
			if id+1 == 0 {
				return nil, fmt.Errorf("entry %s: no ids left: %w", e.Variant.Name, ErrProposal)
			}
			*next++
		}
		if given[id] {
			return nil, fmt.Errorf("entry %s: the same variant is proposed twice: %w", e.Variant.Name, ErrProposal)
		}
		ids[i], given[id] = id, true
		if !ok {
			b.identities[identity] = id
		}
	}
	return ids, nil
}

// tombstones are the old ones and the entries that left, except what came back.
func tombstones(old, now catalog.Release) []catalog.Tombstone {
	var out []catalog.Tombstone
	entries := map[catalog.VariantID]bool{}
	for i := range now.Entries {
		entries[now.Entries[i].ID] = true
	}
	add := func(t catalog.Tombstone) {
		if !entries[t.ID] {
			out = append(out, t)
		}
	}
	for _, t := range old.Tombstones {
		add(t)
	}
	for _, e := range old.Entries {
		add(catalog.Tombstone{ID: e.ID, Identity: e.Variant.Identity, Reason: fmt.Sprintf("left with release %d", now.Sequence)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// unexpired refuses an entry that was judged under a waiver which holds no
// longer.
func unexpired(e catalog.Entry, now time.Time) error {
	for _, w := range e.Waivers {
		if !now.Before(w.Waiver.Expires) {
			return fmt.Errorf("entry %s: its waiver of %s in %s expired at %s: %w",
				e.Variant.Name, w.Waiver.Metric, w.Waiver.Context, w.Waiver.Expires.Format(time.RFC3339), ErrProposal)
		}
	}
	return nil
}

// uploadEvidence signs the statements, checks the evidence that entries list
// already, and puts all of it into the store.
func (r *Repository) uploadEvidence(ctx context.Context, b *base, p Proposal, rel *catalog.Release) error {
	var key *Key
	for i := range rel.Entries {
		e := &rel.Entries[i]
		for _, ev := range e.Evidence {
			if err := r.upload(ctx, b, p.Blobs, trust.EvidenceName(ev.Ref), ev.Ref); err != nil {
				return fmt.Errorf("evidence of %s: %w", e.Variant.Name, err)
			}
		}
		for _, w := range e.Waivers {
			if err := r.upload(ctx, b, p.Blobs, trust.EvidenceName(w.File), w.File); err != nil {
				return fmt.Errorf("waiver of %s: %w", e.Variant.Name, err)
			}
		}
	}
	for _, ev := range p.Evidence {
		i := slices.IndexFunc(rel.Entries, func(e catalog.Entry) bool { return e.Variant.Identity == ev.Identity })
		if i < 0 {
			return fmt.Errorf("evidence %s of %s: no such entry: %w", ev.Gate, ev.Identity.Short(), ErrProposal)
		}
		if key == nil {
			var err error
			if key, err = r.Keys.first("evidence", b.head.Rules.EvidenceKeys); err != nil {
				return err
			}
		}
		if err := r.signEvidence(ctx, key, &rel.Entries[i], ev); err != nil {
			return fmt.Errorf("evidence %s of %s: %w", ev.Gate, rel.Entries[i].Variant.Name, err)
		}
	}
	return nil
}

func (r *Repository) signEvidence(ctx context.Context, key *Key, e *catalog.Entry, ev Evidence) error {
	subjects := []trust.Subject{{Name: e.Variant.Name, Digest: e.Variant.Identity}}
	for _, a := range e.Variant.Artifacts {
		subjects = append(subjects, trust.Subject{Name: a.Name, Digest: a.Digest})
	}
	if ev.Type == "" {
		ev.Type = catalog.PredicateReport
	}
	bundle, err := SignStatement(key, ev.Type, subjects, ev.Predicate)
	if err != nil {
		return err
	}
	ref := artifacts.RefOf(ev.Gate+".sigstore.json", trust.BundleMediaType, bundle)
	e.Evidence = append(e.Evidence, catalog.Evidence{Gate: ev.Gate, Ref: ref})
	return artifacts.PutNamed(ctx, r.Store, trust.EvidenceName(ref), bundle)
}

func (r *Repository) uploadArtifacts(ctx context.Context, b *base, p Proposal, rel catalog.Release) error {
	done := map[artifacts.Digest]bool{}
	for _, e := range rel.Entries {
		for _, ref := range e.Variant.Artifacts {
			if done[ref.Digest] {
				continue
			}
			if err := r.upload(ctx, b, p.Blobs, artifacts.BlobName(ref.Digest), ref); err != nil {
				return fmt.Errorf("artifact of %s: %w", e.Variant.Name, err)
			}
			done[ref.Digest] = true
		}
	}
	return nil
}

// upload puts what ref names into the store, from blobs unless the store has
// it, and reads it again: what is not there whole is not proposed.
func (r *Repository) upload(ctx context.Context, base *base, blobs artifacts.Getter, name string, ref artifacts.Ref) error {
	if b, err := artifacts.GetNamed(ctx, r.Store, name, ref); err == nil {
		return r.renew(ctx, base, name, b)
	}
	if blobs == nil {
		return fmt.Errorf("%s: %w", name, artifacts.ErrNotFound)
	}
	b, err := blobs.Get(ctx, ref)
	if err != nil {
		return err
	}
	if err := artifacts.Check(ref, b); err != nil {
		return err
	}
	if err := artifacts.PutNamed(ctx, r.Store, name, b); err != nil {
		return err
	}
	_, err = artifacts.GetNamed(ctx, r.Store, name, ref)
	return err
}

// prepare writes the shards, the manifest, the role's metadata and the proposal.
func (r *Repository) prepare(ctx context.Context, b *base, rel catalog.Release, files catalog.Files) (*Prepared, error) {
	version, err := r.freeVersion(ctx, rel.Channel, b.roleVersion(rel.Channel))
	if err != nil {
		return nil, err
	}
	ref := artifacts.RefOf("", "", files.Manifest)
	role := metadata.Targets(whole(r.Now).Add(lifetimes[rel.Channel]))
	role.Signed.Version = version
	target := trust.ManifestTarget(rel.Channel)
	role.Signed.Targets[target] = &metadata.TargetFiles{Length: ref.Size, Hashes: sha256Of(files.Manifest), Path: target}
	roleBytes, err := sealed(role)
	if err != nil {
		return nil, err
	}
	for _, shard := range files.Shards {
		if err := r.put(ctx, b, artifacts.BlobName(artifacts.DigestOf(shard)), shard); err != nil {
			return nil, err
		}
	}
	if err := artifacts.PutNamed(ctx, r.Store, proposalName(ref.Digest, "catalog.json"), files.Manifest); err != nil {
		return nil, err
	}
	p := proposal{
		Schema: proposalSchema, Channel: rel.Channel, Manifest: ref, Base: rel.Previous,
		RoleVersion: version, Created: rel.Created,
	}
	head, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	// The role's version may differ from that of an earlier try with the same
	// manifest; signatures made for the other version do not verify any more.
	for _, f := range []struct {
		name  string
		bytes []byte
	}{{"role.json", roleBytes}, {"proposal.json", head}} {
		if err := r.replace(ctx, proposalName(ref.Digest, f.name), f.bytes); err != nil {
			return nil, err
		}
	}
	return &Prepared{Manifest: ref.Digest, Release: rel, Base: rel.Previous, Role: roleBytes, Created: rel.Created}, nil
}
