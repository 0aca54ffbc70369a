package publish

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

// A change of keys is made in steps of which each leaves a repository that
// verifies: the new key is granted, what the old one signed is signed again
// without it, the old one is revoked. A ceremony that dies in between is gone
// on with, not repaired. The ring must reach the thresholds by itself: people
// bring their folders together below one.

// Grant lets a key sign for a role; the role's other keys stay. threshold 0
// leaves the role's as it is. A role whose keys vouch for evidence lets the
// new key do so too.
func (r *Repository) Grant(ctx context.Context, role string, public *ecdsa.PublicKey, threshold int) error {
	key, id, err := tufKey(public)
	if err != nil {
		return err
	}
	add := func(ids []string, needed *int) ([]string, error) {
		if slices.Contains(ids, id) {
			return nil, fmt.Errorf("role %s: key %.12s has it already: %w", role, id, ErrProposal)
		}
		return append(slices.Clone(ids), id), setThreshold(role, needed, threshold, len(ids)+1)
	}
	if isTop(role) {
		return r.changeRoot(ctx, func(root *metadata.RootType) error {
			x := root.Roles[role]
			root.Keys[id] = key
			ids, err := add(x.KeyIDs, &x.Threshold)
			x.KeyIDs = ids
			return err
		})
	}
	return r.changeTargets(ctx, func(t *metadata.TargetsType) error {
		x, err := delegated(t, role)
		if err != nil {
			return err
		}
		rules := evidenceKeys(t)
		if slices.ContainsFunc(x.KeyIDs, func(id string) bool { return slices.Contains(rules, id) }) {
			setEvidenceKeys(t, append(rules, id))
		}
		t.Delegations.Keys[id] = key
		x.KeyIDs, err = add(x.KeyIDs, &x.Threshold)
		return err
	})
}

// Revoke takes a role from a key. What the key signed for the role and is in
// force is signed again without it first; a role with too few keys left is
// refused: grant another one before. With keepEvidence the statements that the
// key made go on counting: right for a key that retires, wrong for a stolen one.
// A key that kept them can be revoked once more, without, when no release
// rests on them any longer.
func (r *Repository) Revoke(ctx context.Context, role, id string, threshold int, keepEvidence bool) error {
	if retired, err := r.retired(ctx, role, id); retired && !keepEvidence || err != nil {
		if err != nil {
			return err
		}
		return r.changeTargets(ctx, func(t *metadata.TargetsType) error {
			setEvidenceKeys(t, slices.DeleteFunc(evidenceKeys(t), func(x string) bool { return x == id }))
			return nil
		})
	}
	if err := r.spare(ctx, role, id, threshold); err != nil {
		return err
	}
	rest := *r
	rest.Keys = r.Keys.without(id)
	if err := rest.signAgainWithout(ctx, role, id); err != nil {
		return err
	}
	drop := func(ids []string, needed *int) ([]string, error) {
		left := slices.DeleteFunc(slices.Clone(ids), func(x string) bool { return x == id })
		if len(left) == len(ids) {
			return nil, fmt.Errorf("role %s: key %.12s does not have it: %w", role, id, ErrProposal)
		}
		return left, setThreshold(role, needed, threshold, len(left))
	}
	if isTop(role) {
		return r.changeRoot(ctx, func(root *metadata.RootType) error {
			x := root.Roles[role]
			ids, err := drop(x.KeyIDs, &x.Threshold)
			x.KeyIDs = ids
			if !usedInRoot(root, id) {
				delete(root.Keys, id)
			}
			return err
		})
	}
	return rest.changeTargets(ctx, func(t *metadata.TargetsType) error {
		x, err := delegated(t, role)
		if err != nil {
			return err
		}
		if x.KeyIDs, err = drop(x.KeyIDs, &x.Threshold); err != nil {
			return err
		}
		if rules := evidenceKeys(t); slices.Contains(rules, id) && !keepEvidence {
			setEvidenceKeys(t, slices.DeleteFunc(rules, func(x string) bool { return x == id }))
		}
		return nil
	})
}

// retired reports whether the key has lost the delegated role and its
// statements still count.
func (r *Repository) retired(ctx context.Context, role, id string) (bool, error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return false, err
	}
	d, ok := h.Delegation(role)
	return ok && !slices.Contains(d.KeyIDs, id) && slices.Contains(h.Rules.EvidenceKeys, id), nil
}

// spare refuses the revocation of a key that the role cannot do without,
// before anything is signed again.
func (r *Repository) spare(ctx context.Context, role, id string, threshold int) error {
	roles, err := r.Roles(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(roles, func(x RoleStatus) bool { return x.Role == role })
	if i < 0 || !slices.Contains(roles[i].Keys, id) {
		return fmt.Errorf("role %.40q: key %.12s does not have it: %w", role, id, ErrProposal)
	}
	needed := roles[i].Threshold
	return setThreshold(role, &needed, threshold, len(roles[i].Keys)-1)
}

// Resign signs what a role has in force again, with fresh dates, by every key
// of the ring that has the role.
func (r *Repository) Resign(ctx context.Context, role string) error {
	switch {
	case role == metadata.ROOT:
		return r.changeRoot(ctx, func(*metadata.RootType) error { return nil })
	case role == metadata.TARGETS:
		return r.changeTargets(ctx, func(*metadata.TargetsType) error { return nil })
	case isTop(role):
		return r.Renew(ctx)
	}
	return r.retry(ctx, func() error { return r.resignDelegated(ctx, role) }, nil)
}

func isTop(role string) bool { return slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) }

func setThreshold(role string, needed *int, threshold, keys int) error {
	if threshold != 0 {
		*needed = threshold
	}
	if *needed < 1 || *needed > keys {
		return fmt.Errorf("role %s: threshold %d of %d keys: grant another key first: %w", role, *needed, keys, ErrProposal)
	}
	return nil
}

func delegated(t *metadata.TargetsType, role string) (*metadata.DelegatedRole, error) {
	for i := range t.Delegations.Roles {
		if t.Delegations.Roles[i].Name == role {
			return &t.Delegations.Roles[i], nil
		}
	}
	return nil, fmt.Errorf("role %.40q: this repository does not have it: %w", role, ErrProposal)
}

// usedInRoot reports whether a top role still lists the key.
func usedInRoot(root *metadata.RootType, id string) bool {
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if slices.Contains(root.Roles[role].KeyIDs, id) {
			return true
		}
	}
	return false
}

// evidenceKeys and setEvidenceKeys read and write the rules' list in the form
// that go-tuf keeps fields in that it does not know.
func evidenceKeys(t *metadata.TargetsType) []string {
	var ids []string
	rules, ok := t.UnrecognizedFields[trust.RulesField].(map[string]any)
	if !ok {
		return nil
	}
	list, ok := rules["evidence_keys"].([]any)
	if !ok {
		return nil
	}
	for _, id := range list {
		if s, ok := id.(string); ok {
			ids = append(ids, s)
		}
	}
	return ids
}

func setEvidenceKeys(t *metadata.TargetsType, ids []string) {
	rules, ok := t.UnrecognizedFields[trust.RulesField].(map[string]any)
	if !ok {
		return // refused when the closure is audited: no rules
	}
	list := []any{}
	for _, id := range ids {
		list = append(list, id)
	}
	rules = maps.Clone(rules)
	rules["evidence_keys"] = list
	t.UnrecognizedFields[trust.RulesField] = rules
}

// changeRoot publishes the next root, signed by every key of the ring that the
// old or the new root gives a say, and a snapshot made under it.
func (r *Repository) changeRoot(ctx context.Context, edit func(*metadata.RootType) error) error {
	err := r.retry(ctx, func() error {
		if err := r.Finish(ctx); err != nil {
			return err
		}
		h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
		if err != nil {
			return err
		}
		next, err := metadata.Root().FromBytes(h.RootBytes)
		if err != nil {
			return err
		}
		say := slices.Clone(next.Signed.Roles[metadata.ROOT].KeyIDs)
		if err := edit(&next.Signed); err != nil {
			return err
		}
		for _, id := range next.Signed.Roles[metadata.ROOT].KeyIDs {
			if !slices.Contains(say, id) {
				say = append(say, id)
			}
		}
		next.Signed.Version++
		next.Signed.Expires = whole(r.Now).Add(lifetimes[metadata.ROOT])
		next.Signatures = []metadata.Signature{}
		b, err := r.sealedBy(say, func(keys []*Key) ([]byte, error) { return sealed(next, keys...) })
		if err != nil {
			return err
		}
		name := trust.MetadataName(metadata.ROOT, next.Signed.Version)
		if err := r.audit(ctx, name, b); err != nil {
			return err
		}
		err = r.Store.Create(ctx, name, b)
		if errors.Is(err, artifacts.ErrExists) {
			return errRace
		}
		return err
	}, nil)
	if err != nil {
		return err
	}
	return r.Renew(ctx)
}

// changeTargets publishes the next version of the top role's metadata.
func (r *Repository) changeTargets(ctx context.Context, edit func(*metadata.TargetsType) error) error {
	return r.retry(ctx, func() error {
		if err := r.Finish(ctx); err != nil {
			return err
		}
		h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
		if err != nil {
			return err
		}
		b, err := h.Targets.ToBytes(false)
		if err != nil {
			return err
		}
		next, err := metadata.Targets().FromBytes(b) // a copy of our own
		if err != nil {
			return err
		}
		if err := edit(&next.Signed); err != nil {
			return err
		}
		version, err := r.freeVersion(ctx, metadata.TARGETS, h.Targets.Signed.Version)
		if err != nil {
			return err
		}
		next.Signed.Version = version
		next.Signed.Expires = whole(r.Now).Add(lifetimes[metadata.TARGETS])
		next.Signatures = []metadata.Signature{}
		say := h.Root.Signed.Roles[metadata.TARGETS]
		b, err = r.sealedBy(say.KeyIDs, func(keys []*Key) ([]byte, error) { return sealed(next, keys...) })
		if err != nil {
			return err
		}
		if len(next.Signatures) < say.Threshold {
			return fmt.Errorf("role %s: %d of %d needed keys are here: %w", metadata.TARGETS, len(next.Signatures), say.Threshold, ErrApprovals)
		}
		return r.place(ctx, h, metadata.TARGETS, version, b)
	}, nil)
}

// place creates a role's file and commits it.
func (r *Repository) place(ctx context.Context, h *trust.Head, role string, version int64, b []byte) error {
	err := r.Store.Create(ctx, trust.MetadataName(role, version), b)
	if errors.Is(err, artifacts.ErrExists) {
		return errRace
	}
	if err != nil {
		return err
	}
	return r.commit(ctx, h, role, version, b)
}

// sealedBy opens those of the ids that the ring holds.
func (r *Repository) sealedBy(ids []string, seal func([]*Key) ([]byte, error)) ([]byte, error) {
	var keys []*Key
	for _, id := range r.Keys.holds(ids) {
		k, err := r.Keys.open(id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return seal(keys)
}

// audit looks at the repository as it would be with one more file.
func (r *Repository) audit(ctx context.Context, name string, b []byte) error {
	_, err := trust.AuditClosure(ctx, overlay{Store: r.Store, files: map[string][]byte{name: b}}, r.Keys.Root)
	if reason := trust.ReasonOf(err); reason == trust.Threshold || reason == trust.BadSignature {
		return fmt.Errorf("%s: %w", err.Error(), ErrApprovals) // not a refusal of what is published
	}
	return err
}

// signAgainWithout renews what the key signed for the role, by the ring.
func (r *Repository) signAgainWithout(ctx context.Context, role, id string) error {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return err
	}
	var by []metadata.Signature
	switch role {
	case metadata.ROOT:
		return nil // the next root is signed in any case
	case metadata.TARGETS:
		by = h.Targets.Signatures
	case metadata.SNAPSHOT:
		by = h.Snapshot.Signatures
	case metadata.TIMESTAMP:
		by = h.Timestamp.Signatures
	default:
		if m := h.Roles[role]; m != nil {
			by = m.Signatures
		}
	}
	if !slices.ContainsFunc(by, func(s metadata.Signature) bool { return s.KeyID == id }) {
		return nil
	}
	return r.Resign(ctx, role)
}

// resignDelegated signs a channel's newest release, or the yank list, again.
func (r *Repository) resignDelegated(ctx context.Context, role string) error {
	if err := r.Finish(ctx); err != nil {
		return err
	}
	b, err := r.load(ctx)
	if err != nil {
		return err
	}
	d, ok := b.head.Delegation(role)
	if !ok {
		return fmt.Errorf("role %.40q: this repository does not have it: %w", role, ErrProposal)
	}
	was := b.head.Roles[role]
	if was == nil {
		return fmt.Errorf("role %s: has nothing in force: %w", role, ErrProposal)
	}
	version, err := r.freeVersion(ctx, role, was.Signed.Version)
	if err != nil {
		return err
	}
	next := metadata.Targets(whole(r.Now).Add(lifetimes[role]))
	next.Signed.Version, next.Signed.Targets = version, was.Signed.Targets
	file, err := r.sealedBy(d.KeyIDs, func(keys []*Key) ([]byte, error) {
		if len(keys) < d.Threshold {
			return nil, fmt.Errorf("role %s: %d of %d needed keys are here: %w", role, len(keys), d.Threshold, ErrApprovals)
		}
		if c, ok := b.channels[role]; ok {
			if err := r.stateAll(ctx, keys, c, version); err != nil {
				return nil, err
			}
		}
		return sealed(next, keys...)
	})
	if err != nil {
		return err
	}
	return r.place(ctx, b.head, role, version, file)
}

func (r *Repository) stateAll(ctx context.Context, keys []*Key, c current, version int64) error {
	for _, k := range keys {
		if err := r.state(ctx, k, c.release, c.manifest.Digest, version); err != nil {
			return err
		}
	}
	return nil
}

// RoleStatus is one role as an overview of keys and dates shows it.
type RoleStatus struct {
	Role      string   `json:"role"`
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"`
	Here      []string `json:"here"`    // those of Keys that the ring holds
	Version   int64    `json:"version"` // of the metadata in force; 0: none yet
	Expires   string   `json:"expires,omitempty"`
	DaysLeft  int      `json:"days_left,omitempty"`
}

// Roles describes every role: who may sign, how many must, until when what
// they signed is good.
func (r *Repository) Roles(ctx context.Context) ([]RoleStatus, error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return nil, err
	}
	var out []RoleStatus
	add := func(role string, ids []string, threshold int, version int64, expires string, days int) {
		here := r.Keys.holds(ids)
		if here == nil {
			here = []string{}
		}
		out = append(out, RoleStatus{Role: role, Threshold: threshold, Keys: ids, Here: here, Version: version, Expires: expires, DaysLeft: days})
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		x := h.Root.Signed.Roles[role]
		version, expires := h.Root.Signed.Version, h.Root.Signed.Expires
		switch role {
		case metadata.TARGETS:
			version, expires = h.Targets.Signed.Version, h.Targets.Signed.Expires
		case metadata.SNAPSHOT:
			version, expires = h.Snapshot.Signed.Version, h.Snapshot.Signed.Expires
		case metadata.TIMESTAMP:
			version, expires = h.Timestamp.Signed.Version, h.Timestamp.Signed.Expires
		}
		add(role, x.KeyIDs, x.Threshold, version, expires.Format("2006-01-02"), int(expires.Sub(r.Now)/dayHours))
	}
	for _, d := range h.Targets.Signed.Delegations.Roles {
		m := h.Roles[d.Name]
		if m == nil {
			add(d.Name, d.KeyIDs, d.Threshold, 0, "", 0)
			continue
		}
		e := m.Signed.Expires
		add(d.Name, d.KeyIDs, d.Threshold, m.Signed.Version, e.Format("2006-01-02"), int(e.Sub(r.Now)/dayHours))
	}
	return out, nil
}
