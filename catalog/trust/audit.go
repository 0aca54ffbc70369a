package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Report is what an audit read and found good.
type Report struct {
	Root     int64 // version of the newest root
	Solo     bool  // one person holds every key: every approval is theirs
	FirstUse bool  // no root was pinned: the repository vouches for itself
	Releases []ReleaseReport
	Yanked   []Yanked
	Files    []string // every file that was read, ascending
}

// ReleaseReport is the part of a Report about one channel.
type ReleaseReport struct {
	Release   catalog.Release
	Manifest  artifacts.Digest
	Approvers []string // ids of the distinct keys that signed
	Threshold int
	Evidence  int // files of evidence that were verified
	Here      int // entries that a host like Config.Host would be given, withdrawn ones aside
}

// Approval is the predicate of an approval: which bytes became which version
// of which role, on top of what.
type Approval struct {
	Channel     string           `json:"channel"`
	Sequence    uint64           `json:"sequence"`
	RoleVersion int64            `json:"role_version"`
	Base        artifacts.Digest `json:"base"` // manifest that it replaces; empty for the first
}

// VerifyAll audits the newest release of a channel, or of every channel for
// "": each root, each metadata file in its one form with every signature on
// it, each manifest, blob, evidence and approval. One changed byte in any file
// that it reads is a *Refusal naming that file, and so is a missing file.
//
// It adopts nothing and changes no state, but holds what it reads against the
// state that there is. What this host could run does not matter: it is counted in
// ReleaseReport.Here.
func (c *Client) VerifyAll(ctx context.Context, channel string) (Report, error) {
	if channel != "" && !isChannel(channel) {
		return Report{}, fmt.Errorf("channel %.80q: want one of %v", channel, catalog.Channels())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.clone()
	w, firstUse := c.walk(next)
	if channel != "" {
		w.only = []string{channel, RoleYank} // another channel's date says nothing about this one
	}
	rep, err := w.auditAll(ctx, next, channel)
	rep.FirstUse = firstUse
	for i := range rep.Releases {
		rep.Releases[i].Here = c.here(next, &rep.Releases[i].Release)
	}
	return rep, err
}

// here counts what a host like this one would be given of a release.
func (c *Client) here(s *state, r *catalog.Release) (n int) {
	if r.RuntimeMin > catalog.RuntimeABI {
		return 0
	}
	for i := range r.Entries {
		if _, yanked := s.Yanked[r.Entries[i].ID]; !yanked && fits(r.Entries[i].Envelope.Hardware, c.cfg.Host) {
			n++
		}
	}
	return n
}

// AuditClosure is VerifyAll for a publisher: everything that the head reaches,
// expiry aside, with nothing remembered. The timestamp is signed only after it.
func AuditClosure(ctx context.Context, store artifacts.Store, anchor []byte) (Report, error) {
	w := walk{store: store, anchor: anchor}
	return w.auditAll(ctx, newState(), "")
}

func (w *walk) auditAll(ctx context.Context, next *state, channel string) (Report, error) {
	w.audit = true
	h, err := w.head(ctx)
	if err != nil {
		return Report{}, err
	}
	rep := Report{Root: h.Root.Signed.Version, Solo: h.Rules.Solo}
	for _, d := range h.Targets.Signed.Delegations.Roles {
		if d.Name == RoleYank || (channel != "" && d.Name != channel) || (channel == "" && h.Roles[d.Name] == nil) {
			continue
		}
		rr, err := w.auditRelease(ctx, h, next, d)
		if err != nil {
			return Report{}, err
		}
		rep.Releases = append(rep.Releases, rr)
	}
	if channel != "" && len(rep.Releases) == 0 {
		return Report{}, refuse(NoRelease, MetadataName("targets", h.Targets.Signed.Version), "this repository has no channel %s", channel)
	}
	y, err := w.yank(ctx, h)
	if err != nil {
		return Report{}, err
	}
	if err := next.withdraw(YankTarget, y); err != nil {
		return Report{}, err
	}
	rep.Yanked = y.Yanked
	sort.Strings(w.read)
	rep.Files = slices.Compact(w.read)
	return rep, nil
}

func (w *walk) auditRelease(ctx context.Context, h *Head, next *state, d metadata.DelegatedRole) (ReleaseReport, error) {
	p, err := w.promised(ctx, h, d.Name)
	if err != nil {
		return ReleaseReport{}, err
	}
	name, r, ref := p.name, p.release, p.ref
	if err := next.adopt(name, &r, ref); err != nil {
		return ReleaseReport{}, err
	}
	rr := ReleaseReport{Release: r, Manifest: ref.Digest, Threshold: d.Threshold}
	a := auditor{walk: w, head: h, blobs: map[string]bool{}, done: map[string]Statement{}}
	for i := range r.Entries {
		if err := a.entry(ctx, name, &r.Entries[i]); err != nil {
			return ReleaseReport{}, err
		}
	}
	rr.Evidence = len(a.done)
	for _, s := range h.Roles[d.Name].Signatures {
		if err := w.approval(ctx, h, d.Name, s.KeyID, r, ref.Digest); err != nil {
			return ReleaseReport{}, err
		}
		rr.Approvers = append(rr.Approvers, s.KeyID)
	}
	return rr, nil
}

// auditor reads what a manifest lists; one file is read once.
type auditor struct {
	walk  *walk
	head  *Head
	blobs map[string]bool
	done  map[string]Statement
}

func (a *auditor) entry(ctx context.Context, manifest string, e *catalog.Entry) error {
	for _, ref := range e.Variant.Artifacts {
		name := artifacts.BlobName(ref.Digest)
		if a.blobs[name] {
			continue
		}
		if _, err := a.walk.fetchRef(ctx, name, ref); err != nil {
			return err
		}
		a.blobs[name] = true
	}
	reports := 0
	for _, ev := range e.Evidence {
		s, err := a.evidence(ctx, ev.Ref)
		if err != nil {
			return err
		}
		if ev.Ref.MediaType != BundleMediaType {
			continue
		}
		report, err := s.EvidenceFor(e.Variant.Identity)
		if err != nil {
			return refuse(BadEvidence, EvidenceName(ev.Ref), "entry %d (%s): %v", e.ID, e.Variant.Name, err)
		}
		if report {
			reports++
		}
	}
	for _, w := range e.Waivers { // who signed it was asked when the release was; see History for then
		if _, err := a.walk.fetchRef(ctx, EvidenceName(w.File), w.File); err != nil {
			return err
		}
	}
	if reports == 0 && e.Scope != catalog.ScopeCanary {
		return refuse(BadEvidence, manifest, "entry %d (%s) lists no signed gate report", e.ID, e.Variant.Name)
	}
	return nil
}

func (a *auditor) evidence(ctx context.Context, ref artifacts.Ref) (Statement, error) {
	name := EvidenceName(ref)
	if s, ok := a.done[name]; ok {
		return s, nil
	}
	b, err := a.walk.fetchRef(ctx, name, ref)
	if err != nil {
		return Statement{}, err
	}
	var s Statement
	if ref.MediaType == BundleMediaType {
		keys, err := a.head.PublicKeys(a.head.Rules.EvidenceKeys)
		if err != nil {
			return s, err
		}
		if s, err = VerifyStatement(b, keys...); err != nil {
			return s, refuse(BadEvidence, name, "%v", err)
		}
	}
	a.done[name] = s
	return s, nil
}

// approval reads the approval bundle of one key that signed the role and
// checks that it speaks about this very manifest.
func (w *walk) approval(ctx context.Context, h *Head, role, keyID string, r catalog.Release, manifest artifacts.Digest) error {
	name := ApprovalName(manifest, keyID)
	b, err := w.fetch(ctx, name, maxTimestampBytes)
	if err != nil {
		return err
	}
	keys, err := h.PublicKeys([]string{keyID})
	if err != nil {
		return err
	}
	s, err := VerifyStatement(b, keys...)
	if err != nil {
		return refuse(BadEvidence, name, "%v", err)
	}
	var a Approval
	if err := json.Unmarshal(s.Predicate, &a); err != nil {
		return refuse(BadEvidence, name, "predicate: %v", err)
	}
	// The same manifest may have been signed again since, under other keys: the
	// newer approval has taken the place of the one for this version.
	version := h.Roles[role].Signed.Version
	if a.RoleVersion > version {
		a.RoleVersion = version
	}
	want := Approval{Channel: role, Sequence: r.Sequence, RoleVersion: version, Base: r.Previous}
	if s.PredicateType != catalog.PredicateApproval || !s.About(manifest) || a != want {
		return refuse(BadEvidence, name, "not an approval of release %d of %s", r.Sequence, role)
	}
	return nil
}
