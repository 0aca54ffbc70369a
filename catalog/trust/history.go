package trust

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Past is one release of a channel as it was committed, verified under the
// root and the delegations that were in force at that commit.
type Past struct {
	Release      catalog.Release
	Manifest     artifacts.Ref
	Snapshot     int64    // version of the snapshot that first committed it
	RoleVersion  int64    // version of the role's metadata that was signed last for it
	Threshold    int      // distinct keys that the role needed
	Approvers    []string // ids of the distinct keys whose signatures verify
	Evidence     []EntryEvidence
	EvidenceKeys []string // ids of the keys whose statements counted
}

// EntryEvidence is the signed gate reports about one entry.
type EntryEvidence struct {
	ID      catalog.VariantID
	Reports []Statement
}

// History reads every release that was ever committed to the channel, oldest
// first. Each snapshot says which targets, which role and which root belonged
// together; a file that is missing or does not verify is a *Refusal, and so is
// a break in the chain of previous manifests. With evidence, the approval
// bundle of every approver and every statement of every entry is verified too.
//
// Expiry is not looked at: history is in the past.
func (c *Client) History(ctx context.Context, channel string, evidence bool) ([]Past, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.tell(ctx, channel, evidence)
	if err != nil {
		return nil, err
	}
	return t.past, nil
}

func (c *Client) tell(ctx context.Context, channel string, evidence bool) (*tale, error) {
	w, _ := c.walk(c.state.clone())
	w.now, w.audit, w.floors = time.Time{}, true, nil
	h, err := w.head(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := h.Delegation(channel); !ok {
		return nil, refuse(NoRelease, MetadataName(metadata.TARGETS, h.Targets.Signed.Version), "this repository has no channel %.40s", channel)
	}
	t := &tale{walk: &w, head: h, channel: channel, evidence: evidence}
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	return t, t.chained()
}

// Everything is VerifyAll of every channel and the History of each with its
// evidence. Files of the report are then all that a copy needs in order to
// prove as much as the original; artifacts and raw records of past releases
// are not among them.
func (c *Client) Everything(ctx context.Context) (Report, map[string][]Past, error) {
	rep, err := c.VerifyAll(ctx, "")
	if err != nil {
		return rep, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	past := map[string][]Past{}
	for _, r := range rep.Releases {
		t, err := c.tell(ctx, r.Release.Channel, true)
		if err != nil {
			return Report{}, nil, err
		}
		past[r.Release.Channel] = t.past
		if last := t.past[len(t.past)-1]; last.Manifest.Digest != r.Manifest {
			return Report{}, nil, refuse(MixAndMatch, TimestampName, "the head moved while it was read: try again")
		}
		rep.Files = append(rep.Files, t.walk.read...)
	}
	slices.Sort(rep.Files)
	rep.Files = slices.Compact(rep.Files)
	return rep, past, nil
}

// tale is one reading of a channel's history.
type tale struct {
	walk     *walk
	head     *Head
	channel  string
	evidence bool

	past    []Past
	role    int64                                    // version of the role's metadata seen last
	targets *metadata.Metadata[metadata.TargetsType] // those seen last
}

// read goes through the snapshots in order, each as the log holds it.
func (t *tale) read(ctx context.Context) error {
	records, err := t.walk.records(ctx, t.head)
	if err != nil {
		return err
	}
	for n := int64(1); n <= t.head.Snapshot.Signed.Version; n++ {
		name := MetadataName(metadata.SNAPSHOT, n)
		if records[n-1] == tlog.RecordHash(LostRecord(n)) {
			continue // a number that nobody won
		}
		b, err := t.walk.fetch(ctx, name, maxRoleBytes)
		if err != nil {
			return err
		}
		if tlog.RecordHash(b) != records[n-1] {
			return refuse(NotLogged, name, "is not what the log holds as commit %d", n)
		}
		m, err := decodeExact(name, b, metadata.Snapshot())
		if err != nil {
			return err
		}
		root, err := t.rootOf(name, m)
		if err != nil {
			return err
		}
		if err := root.VerifyDelegate(metadata.SNAPSHOT, m); err != nil {
			return signed(name, err, m.Signatures, root.Signed.Roles[metadata.SNAPSHOT].Threshold)
		}
		if err := t.commit(ctx, n, root, m); err != nil {
			return err
		}
	}
	return nil
}

// rootOf finds the root under which a snapshot was made.
func (t *tale) rootOf(name string, m *metadata.Metadata[metadata.SnapshotType]) (*metadata.Metadata[metadata.RootType], error) {
	meta := m.Signed.Meta["root.json"]
	i := -1
	if meta != nil {
		i = slices.IndexFunc(t.walk.lineage, func(r *metadata.Metadata[metadata.RootType]) bool { return r.Signed.Version == meta.Version })
	}
	if i < 0 || m.Signed.Meta["targets.json"] == nil {
		return nil, refuse(MixAndMatch, name, "was not made under one of the repository's roots")
	}
	return t.walk.lineage[i], nil
}

// commit looks at what one snapshot committed for the channel.
func (t *tale) commit(ctx context.Context, n int64, root *metadata.Metadata[metadata.RootType], s *metadata.Metadata[metadata.SnapshotType]) error {
	meta := s.Signed.Meta[t.channel+".json"]
	if meta == nil {
		return nil
	}
	if meta.Version == t.role {
		return nil
	}
	if err := t.delegations(ctx, root, s.Signed.Meta["targets.json"]); err != nil {
		return err
	}
	name, _, m, err := promisedFile(ctx, t.walk.fetchRef, t.channel, meta, metadata.Targets())
	if err != nil {
		return err
	}
	if err := checkRoleTargets(name, t.channel, m); err != nil {
		return err
	}
	d := t.delegation()
	if err := t.targets.VerifyDelegate(t.channel, m); err != nil {
		return signed(name, err, m.Signatures, d.Threshold)
	}
	if err := verifySignatures(name, m.Signed, m.Signatures, t.targets.Signed.Delegations.Keys, d.KeyIDs); err != nil {
		return err
	}
	t.role = meta.Version
	return t.release(ctx, n, m, d)
}

// delegations loads the targets metadata of a snapshot unless it is loaded.
func (t *tale) delegations(ctx context.Context, root *metadata.Metadata[metadata.RootType], meta *metadata.MetaFiles) error {
	if t.targets != nil && t.targets.Signed.Version == meta.Version {
		return nil
	}
	name, _, m, err := promisedFile(ctx, t.walk.fetchRef, metadata.TARGETS, meta, metadata.Targets())
	if err != nil {
		return err
	}
	if err := checkDelegations(name, m); err != nil {
		return err
	}
	if err := root.VerifyDelegate(metadata.TARGETS, m); err != nil {
		return signed(name, err, m.Signatures, root.Signed.Roles[metadata.TARGETS].Threshold)
	}
	t.targets = m
	return nil
}

func (t *tale) delegation() metadata.DelegatedRole {
	h := Head{Targets: t.targets}
	d, _ := h.Delegation(t.channel)
	return d
}

// release notes the manifest that a role's metadata promised. The same
// manifest signed again, after a change of keys, replaces the signatures.
func (t *tale) release(ctx context.Context, n int64, m *metadata.Metadata[metadata.TargetsType], d metadata.DelegatedRole) error {
	rules, err := readRules(MetadataName(metadata.TARGETS, t.targets.Signed.Version), t.targets)
	if err != nil {
		return err
	}
	h := &Head{Targets: t.targets, Snapshot: t.head.Snapshot, Rules: rules, Roles: map[string]*metadata.Metadata[metadata.TargetsType]{t.channel: m}}
	if err := independent(MetadataName(t.channel, m.Signed.Version), h, d, m); err != nil {
		return err
	}
	pr, err := t.walk.promised(ctx, h, t.channel)
	if err != nil {
		return err
	}
	r, ref := pr.release, pr.ref
	p := Past{
		Release: r, Manifest: ref, Snapshot: n, RoleVersion: m.Signed.Version,
		Threshold: d.Threshold, EvidenceKeys: rules.EvidenceKeys,
	}
	for _, s := range m.Signatures {
		p.Approvers = append(p.Approvers, s.KeyID)
	}
	var before catalog.Release
	if len(t.past) > 0 {
		before = t.past[len(t.past)-1].Release
	}
	if len(t.past) > 0 && t.past[len(t.past)-1].Manifest.Digest == ref.Digest {
		p.Snapshot = t.past[len(t.past)-1].Snapshot
		t.past = t.past[:len(t.past)-1]
	}
	if t.evidence {
		if err := t.prove(ctx, h, &p, before); err != nil {
			return err
		}
	}
	t.past = append(t.past, p)
	return nil
}

// prove verifies what people signed for a release: each approver's bundle,
// each statement about each entry. before is the release before it, or itself
// when it was signed again.
func (t *tale) prove(ctx context.Context, h *Head, p *Past, before catalog.Release) error {
	for _, id := range p.Approvers {
		if err := t.walk.approval(ctx, h, t.channel, id, p.Release, p.Manifest.Digest); err != nil {
			return err
		}
	}
	a := auditor{walk: t.walk, head: h, blobs: map[string]bool{}, done: map[string]Statement{}}
	name := TargetName(ManifestTarget(t.channel), p.Manifest.Digest)
	for i := range p.Release.Entries {
		e := &p.Release.Entries[i]
		proof := EntryEvidence{ID: e.ID}
		for _, ev := range e.Evidence {
			if ev.Ref.MediaType != BundleMediaType {
				continue // raw records are blobs, which may have been collected
			}
			s, err := a.evidence(ctx, ev.Ref)
			if err != nil {
				return err
			}
			report, err := s.EvidenceFor(e.Variant.Identity)
			if err != nil {
				return refuse(BadEvidence, EvidenceName(ev.Ref), "entry %d (%s): %v", e.ID, e.Variant.Name, err)
			}
			if report {
				proof.Reports = append(proof.Reports, s)
			}
		}
		if len(proof.Reports) == 0 && e.Scope != catalog.ScopeCanary {
			return refuse(BadEvidence, name, "entry %d (%s) lists no signed gate report", e.ID, e.Variant.Name)
		}
		if err := t.waivers(ctx, h, e, before); err != nil {
			return err
		}
		p.Evidence = append(p.Evidence, proof)
	}
	return nil
}

// waivers verifies what an entry was newly judged under, with the approvers of
// that time.
func (t *tale) waivers(ctx context.Context, h *Head, e *catalog.Entry, release catalog.Release) error {
	if len(e.Waivers) == 0 {
		return nil
	}
	keys, err := h.Approvers(string(catalog.ScopeProd))
	if err != nil {
		return err
	}
	before, _ := release.Entry(e.ID)
	for _, w := range e.Waivers {
		if slices.ContainsFunc(before.Waivers, func(x catalog.Waived) bool { return x.File.Digest == w.File.Digest }) {
			continue
		}
		name := EvidenceName(w.File)
		b, err := t.walk.fetchRef(ctx, name, w.File)
		if err != nil {
			return err
		}
		if err := VerifyWaiver(b, w.Waiver, keys...); err != nil {
			return refuse(BadEvidence, name, "entry %d (%s): %v", e.ID, e.Variant.Name, err)
		}
	}
	return nil
}

// chained checks that the releases follow each other without a hole, that the
// last one is the head's, and that no id ever changed its meaning.
func (t *tale) chained() error {
	if len(t.past) == 0 {
		return refuse(NoRelease, MetadataName(metadata.SNAPSHOT, t.head.Snapshot.Signed.Version), "channel %s has no release yet", t.channel)
	}
	s := newState()
	var before artifacts.Digest
	for i, p := range t.past {
		name := TargetName(ManifestTarget(t.channel), p.Manifest.Digest)
		if p.Release.Sequence != uint64(i)+1 || p.Release.Previous != before {
			return refuse(MixAndMatch, name, "release %d does not continue release %d", p.Release.Sequence, i)
		}
		if err := s.adopt(name, &p.Release, p.Manifest); err != nil {
			return err
		}
		before = p.Manifest.Digest
	}
	if ref, ok := t.head.Manifest(t.channel); !ok || ref.Digest != before {
		return errors.New("trust: history does not end at the head")
	}
	return nil
}
