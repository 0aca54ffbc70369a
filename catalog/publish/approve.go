package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

const maxProposalBytes = 4 << 20

// Review is what an approver reads before signing: the release, what it
// changes, and that its evidence was checked again.
type Review struct {
	Prepared
	Difference catalog.Difference
	Evidence   int               // signed gate reports that were verified just now
	Reports    []trust.Statement // those of them that speak for entries which are new in the release
	Signed     []string          // ids of the keys that have signed already
	Threshold  int               // distinct keys that the role needs
}

// pending is a proposal read back from the store and checked.
type pending struct {
	proposal
	base    *base
	role    *metadata.Metadata[metadata.TargetsType] // with the signatures found so far
	release catalog.Release
	bytes   []byte // of the manifest
}

// Pending lists the proposals in the store, published and stale ones included,
// by digest.
func (r *Repository) Pending(ctx context.Context) ([]artifacts.Digest, error) {
	names, err := r.Store.List(ctx, "proposals/")
	if err != nil {
		return nil, err
	}
	var out []artifacts.Digest
	for _, n := range names {
		part, ok := strings.CutSuffix(strings.TrimPrefix(n, "proposals/"), "/proposal.json")
		d, err := artifacts.ParseDigest("sha256:" + part)
		if ok && err == nil {
			out = append(out, d)
		}
	}
	return out, nil
}

// Review re-checks a proposal, its artifacts and its evidence, and compares it
// with the newest release. ErrStale if that is not the one it was made upon.
func (r *Repository) Review(ctx context.Context, manifest artifacts.Digest) (*Review, error) {
	p, err := r.read(ctx, manifest)
	if err != nil {
		return nil, err
	}
	return r.review(ctx, p)
}

func (r *Repository) review(ctx context.Context, p *pending) (*Review, error) {
	if err := p.fresh(); err != nil {
		return nil, err
	}
	checked, fresh, err := r.evidence(ctx, p)
	if err != nil {
		return nil, err
	}
	d, _ := p.base.head.Delegation(p.Channel)
	role, err := unsigned(p.role)
	if err != nil {
		return nil, err
	}
	rv := &Review{
		Prepared:   Prepared{Manifest: p.Manifest.Digest, Release: p.release, Base: p.Base, Role: role, Created: p.Created},
		Difference: catalog.Diff(p.base.channels[p.Channel].release, p.release),
		Evidence:   checked, Reports: fresh, Threshold: d.Threshold,
	}
	for _, s := range p.role.Signatures {
		rv.Signed = append(rv.Signed, s.KeyID)
	}
	return rv, nil
}

func unsigned(m *metadata.Metadata[metadata.TargetsType]) ([]byte, error) {
	c := *m
	c.Signatures = []metadata.Signature{}
	return c.ToBytes(false)
}

// read loads a proposal and believes nothing in it: the manifest must have its
// digest and decode, the role must name exactly that manifest and the base.
func (r *Repository) read(ctx context.Context, manifest artifacts.Digest) (*pending, error) {
	return r.readAt(ctx, nil, manifest)
}

// readAt is read over a head that was just read; nil: it reads the newest.
func (r *Repository) readAt(ctx context.Context, h *trust.Head, manifest artifacts.Digest) (*pending, error) {
	if _, err := artifacts.ParseDigest(string(manifest)); err != nil {
		return nil, err
	}
	name := proposalName(manifest, "proposal.json")
	b, err := r.Store.Read(ctx, name, maxProposalBytes)
	if err != nil {
		return nil, err
	}
	p := &pending{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p.proposal); err != nil || p.Schema != proposalSchema || p.Manifest.Digest != manifest {
		return nil, fmt.Errorf("%s: not a proposal of this manifest: %w", name, ErrProposal)
	}
	if p.Manifest.Size < 0 || p.Manifest.Size > catalog.MaxManifestBytes {
		return nil, fmt.Errorf("%s: manifest of %d bytes: %w", name, p.Manifest.Size, ErrProposal)
	}
	name = proposalName(manifest, "catalog.json")
	if p.bytes, err = artifacts.GetNamed(ctx, r.Store, name, p.Manifest); err != nil {
		return nil, err
	}
	if p.release, err = catalog.ReadRelease(ctx, p.bytes, artifacts.Blobs{Store: r.Store}); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	name = proposalName(manifest, "role.json")
	if b, err = r.Store.Read(ctx, name, maxProposalBytes); err != nil {
		return nil, err
	}
	if p.role, err = metadata.Targets().FromBytes(b); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, err, ErrProposal)
	}
	if err := p.consistent(b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.base, err = r.loadAt(ctx, h); err != nil {
		return nil, err
	}
	return p, r.signatures(ctx, p)
}

// consistent checks that the role's metadata promises this manifest and
// nothing else, in its one form.
func (p *pending) consistent(b []byte) error {
	again, err := p.role.ToBytes(false)
	if err != nil {
		return err
	}
	target := p.role.Signed.Targets[trust.ManifestTarget(p.Channel)]
	ok := bytes.Equal(b, again) && len(p.role.Signatures) == 0 && p.role.Signed.Type == metadata.TARGETS &&
		p.role.Signed.Version == p.RoleVersion && p.role.Signed.Delegations == nil &&
		len(p.role.Signed.Targets) == 1 && target != nil && len(target.Hashes) == 1 &&
		target.Hashes["sha256"].String() == p.Manifest.Digest.Hex() && target.Length == p.Manifest.Size &&
		p.release.Channel == p.Channel && p.release.Previous == p.Base
	if !ok {
		return fmt.Errorf("does not promise exactly the manifest %s of channel %s: %w", p.Manifest.Digest.Short(), p.Channel, ErrProposal)
	}
	return nil
}

// fresh returns ErrStale unless the proposal continues what is published now:
// the same base, and ids that nobody else has been given meanwhile.
func (p *pending) fresh() error {
	was := p.base.channels[p.Channel]
	if p.Base != was.manifest.Digest || p.release.Sequence != was.release.Sequence+1 || p.RoleVersion <= p.base.roleVersion(p.Channel) {
		return fmt.Errorf("release %d of %s: %w", p.release.Sequence, p.Channel, ErrStale)
	}
	ids := catalog.Identities(p.release)
	known := map[catalog.VariantID]artifacts.Digest{}
	for identity, id := range p.base.identities {
		known[id] = identity
	}
	for id, identity := range ids {
		before, ok := known[id]
		if other, taken := p.base.identities[identity]; (ok && before != identity) || (taken && other != id) || (!ok && id < p.base.nextID) {
			return fmt.Errorf("release %d of %s: id %d was given away: %w", p.release.Sequence, p.Channel, id, ErrStale)
		}
	}
	if p.release.NextID < p.base.nextID {
		return fmt.Errorf("release %d of %s: next id: %w", p.release.Sequence, p.Channel, ErrStale)
	}
	return nil
}

// evidence reads every artifact and every file of evidence, verifies what is
// signed, and refuses an entry without a gate report unless it is for canary.
// It counts the reports, and returns those of entries that the channel has not
// had.
func (r *Repository) evidence(ctx context.Context, p *pending) (checked int, fresh []trust.Statement, err error) {
	keys, err := p.base.head.PublicKeys(p.base.head.Rules.EvidenceKeys)
	if err != nil {
		return 0, nil, err
	}
	last := p.base.channels[p.Channel].release
	for _, e := range p.release.Entries {
		reports, err := r.reports(ctx, e, keys)
		if err == nil {
			err = r.waivers(ctx, p, e)
		}
		if err == nil && len(reports) == 0 && e.Scope != catalog.ScopeCanary {
			err = fmt.Errorf("no signed gate report: %w", ErrProposal)
		}
		if err != nil {
			return 0, nil, fmt.Errorf("entry %s: %w", e.Variant.Name, err)
		}
		checked += len(reports)
		if _, had := last.Entry(e.ID); !had {
			fresh = append(fresh, reports...)
		}
	}
	return checked, fresh, nil
}

// reports are the signed gate reports of an entry, after all that it names was
// read and all that is signed was verified.
func (r *Repository) reports(ctx context.Context, e catalog.Entry, keys []*ecdsa.PublicKey) (out []trust.Statement, err error) {
	for _, a := range e.Variant.Artifacts {
		if _, err := artifacts.GetBlob(ctx, r.Store, a); err != nil {
			return nil, err
		}
	}
	for _, ev := range e.Evidence {
		name := trust.EvidenceName(ev.Ref)
		b, err := artifacts.GetNamed(ctx, r.Store, name, ev.Ref)
		if err != nil {
			return nil, err
		}
		if ev.Ref.MediaType != trust.BundleMediaType {
			continue
		}
		s, err := trust.VerifyStatement(b, keys...)
		report := false
		if err == nil {
			report, err = s.EvidenceFor(e.Variant.Identity)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if report {
			out = append(out, s)
		}
	}
	return out, nil
}

// waivers refuses a waiver that has expired, and one that is new in this
// release without an approver's signature over its very words. What an earlier
// release was approved with stays approved when an approver leaves.
func (r *Repository) waivers(ctx context.Context, p *pending, e catalog.Entry) error {
	if err := unexpired(e, whole(r.Now)); err != nil || len(e.Waivers) == 0 {
		return err
	}
	last := p.base.channels[p.Channel].release
	before, _ := last.Entry(e.ID)
	keys, err := p.base.head.Approvers(string(catalog.ScopeProd))
	if err != nil {
		return err
	}
	for _, w := range e.Waivers {
		if slices.ContainsFunc(before.Waivers, func(x catalog.Waived) bool { return x.File.Digest == w.File.Digest }) {
			continue
		}
		b, err := artifacts.GetNamed(ctx, r.Store, trust.EvidenceName(w.File), w.File)
		if err != nil {
			return err
		}
		if err := trust.VerifyWaiver(b, w.Waiver, keys...); err != nil {
			return fmt.Errorf("waiver of %s in %s: %w", w.Waiver.Metric, w.Waiver.Context, err)
		}
	}
	return nil
}

// signatures collects the signatures of distinct keys of the role that verify.
// Others are ignored here; what is published holds only good ones.
func (r *Repository) signatures(ctx context.Context, p *pending) error {
	d, ok := p.base.head.Delegation(p.Channel)
	if !ok {
		return fmt.Errorf("channel %.40q: this repository does not have it: %w", p.Channel, ErrProposal)
	}
	rules := p.base.head.Rules
	for _, id := range d.KeyIDs {
		if p.Channel == string(catalog.ScopeProd) && !rules.Solo && slices.Contains(rules.EvidenceKeys, id) {
			continue // whose evidence it is does not count, whoever put its signature there
		}
		b, err := r.Store.Read(ctx, proposalName(p.Manifest.Digest, "signatures/"+id+".json"), maxProposalBytes)
		if errors.Is(err, artifacts.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var s metadata.Signature
		if err := json.Unmarshal(b, &s); err != nil || s.KeyID != id || len(s.UnrecognizedFields) != 0 {
			continue
		}
		if p.verifies(d, s) {
			p.role.Signatures = append(p.role.Signatures, s)
		}
	}
	return nil
}

// verifies reports whether the one signature is good, by go-tuf's own count
// for a threshold of one.
func (p *pending) verifies(d metadata.DelegatedRole, s metadata.Signature) bool {
	d.Threshold, d.KeyIDs = 1, []string{s.KeyID}
	alone := metadata.Metadata[metadata.TargetsType]{Signed: p.base.head.Targets.Signed}
	alone.Signed.Delegations = &metadata.Delegations{Keys: p.base.head.Targets.Signed.Delegations.Keys, Roles: []metadata.DelegatedRole{d}}
	one := metadata.Metadata[metadata.TargetsType]{Signed: p.role.Signed, Signatures: []metadata.Signature{s}}
	return alone.VerifyDelegate(p.Channel, &one) == nil
}

// Sign adds the approval of the ring's first key that may approve and has not:
// its signature over the exact bytes of the role's metadata and an approval
// bundle for the readers. The proposal is reviewed again first.
//
// In a repository of several people, a key whose statements are the evidence
// cannot approve for prod: nobody approves what they proposed.
func (r *Repository) Sign(ctx context.Context, manifest artifacts.Digest) (*Review, error) {
	rv, err := r.sign(ctx, manifest)
	if err != nil {
		return nil, err
	}
	return rv, nil
}

// errSigned is the refusal to let one key count twice.
var errSigned = fmt.Errorf("the given keys have signed already: %w: one key counts once", ErrMayNot)

// sign is Sign; beside errSigned it returns the review.
func (r *Repository) sign(ctx context.Context, manifest artifacts.Digest) (*Review, error) {
	p, err := r.read(ctx, manifest)
	if err != nil {
		return nil, err
	}
	rv, err := r.review(ctx, p)
	if err != nil {
		return nil, err
	}
	d, _ := p.base.head.Delegation(p.Channel)
	open := slices.DeleteFunc(slices.Clone(d.KeyIDs), func(id string) bool { return slices.Contains(rv.Signed, id) })
	if len(r.Keys.holds(open)) == 0 && len(r.Keys.holds(rv.Signed)) > 0 {
		return rv, fmt.Errorf("role %s: %w", p.Channel, errSigned)
	}
	key, err := r.Keys.first(p.Channel, open)
	if err != nil {
		return nil, err
	}
	rules := p.base.head.Rules
	if p.Channel == string(catalog.ScopeProd) && !rules.Solo && slices.Contains(rules.EvidenceKeys, key.ID) {
		return nil, fmt.Errorf("key %.12s made the evidence: %w", key.ID, ErrMayNot)
	}
	if err := r.approve(ctx, p, key); err != nil {
		return nil, err
	}
	rv.Signed = append(rv.Signed, key.ID)
	return rv, nil
}

func (r *Repository) approve(ctx context.Context, p *pending, key *Key) error {
	role := metadata.Metadata[metadata.TargetsType]{Signed: p.role.Signed}
	sig, err := role.Sign(key.signer)
	if err != nil {
		return err
	}
	b, err := json.Marshal(sig)
	if err != nil {
		return err
	}
	// The bundle first: a signature that counts always has its bundle.
	if err := r.state(ctx, key, p.release, p.Manifest.Digest, p.RoleVersion); err != nil {
		return err
	}
	return r.replace(ctx, proposalName(p.Manifest.Digest, "signatures/"+key.ID+".json"), b)
}

// state writes the approval of one key as a bundle that anybody can read.
func (r *Repository) state(ctx context.Context, key *Key, rel catalog.Release, manifest artifacts.Digest, version int64) error {
	predicate, err := json.Marshal(trust.Approval{
		Channel: rel.Channel, Sequence: rel.Sequence, RoleVersion: version, Base: rel.Previous,
	})
	if err != nil {
		return err
	}
	subject := trust.Subject{Name: trust.ManifestTarget(rel.Channel), Digest: manifest}
	bundle, err := SignStatement(key, catalog.PredicateApproval, []trust.Subject{subject}, predicate)
	if err != nil {
		return err
	}
	return r.replace(ctx, trust.ApprovalName(manifest, key.ID), bundle)
}

// replace writes an object of a proposal, over a damaged or half-made one too.
func (r *Repository) replace(ctx context.Context, name string, b []byte) error {
	old, err := r.Store.Read(ctx, name, maxProposalBytes)
	if err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		return err
	}
	if err != nil {
		old = nil
	}
	return r.Store.Swap(ctx, name, old, b)
}
