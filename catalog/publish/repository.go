package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// The questions that a caller asks about a publish.
var (
	// ErrStale: the release that a proposal was made against is not the
	// newest any more. Propose again; nobody's signature can be kept.
	ErrStale = errors.New("another release was published since: propose again")
	// ErrApprovals: fewer distinct approvers have signed than the role needs.
	ErrApprovals = errors.New("not enough approvals")
	// ErrMayNot: a key of the role that cannot approve this: it has already,
	// or its own statements are the evidence.
	ErrMayNot = errors.New("this key may not approve it")
	// ErrProposal: a proposal that cannot become a release.
	ErrProposal = errors.New("proposal refused")
)

const (
	maxRaces = 64 // commits by others that one call survives
	maxGap   = 1000
)

// Repository is a repository that somebody with keys works on. Every field is
// mandatory.
type Repository struct {
	Store artifacts.Store
	Keys  *Keyring
	Now   time.Time // dates what is signed

	fresh time.Duration // tests: instead of freshFor
}

// Status is what a publisher asks before working.
type Status struct {
	Solo     bool                       // one person holds every key
	Channels []string                   // delegated channels
	Releases map[string]catalog.Release // channel → newest release; absent before the first
	Expires  time.Time                  // when the first of the online metadata expires
}

// Status verifies the repository's metadata, expiry aside, and describes it.
func (r *Repository) Status(ctx context.Context) (Status, error) {
	b, err := r.load(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{Solo: b.head.Rules.Solo, Releases: map[string]catalog.Release{}, Expires: b.head.Timestamp.Signed.Expires}
	if e := b.head.Snapshot.Signed.Expires; e.Before(s.Expires) {
		s.Expires = e
	}
	for _, d := range b.head.Targets.Signed.Delegations.Roles {
		if d.Name == trust.RoleYank {
			continue
		}
		s.Channels = append(s.Channels, d.Name)
		if c, ok := b.channels[d.Name]; ok {
			s.Releases[d.Name] = c.release
		}
	}
	return s, nil
}

// base is the state of a repository that something new is built upon.
type base struct {
	head       *trust.Head
	channels   map[string]current
	yank       trust.Yank
	nextID     catalog.VariantID // of the whole repository: one id space
	identities map[artifacts.Digest]catalog.VariantID
	live       map[string]bool // artifacts, evidence and shards of the newest releases
}

// current is the newest release of a channel.
type current struct {
	release  catalog.Release
	manifest artifacts.Ref
}

// load reads the head, every channel's manifest and the yank list.
func (r *Repository) load(ctx context.Context) (*base, error) { return r.loadAt(ctx, nil) }

// loadAt is load over a head that was just read; nil: it reads the newest.
func (r *Repository) loadAt(ctx context.Context, h *trust.Head) (*base, error) {
	var err error
	if h == nil {
		var anchor []byte
		if r.Keys != nil {
			anchor = r.Keys.Root
		}
		if h, err = trust.ReadHead(ctx, r.Store, anchor); err != nil {
			return nil, err
		}
	}
	b := &base{head: h, channels: map[string]current{}, nextID: 1, identities: map[artifacts.Digest]catalog.VariantID{}, live: map[string]bool{}}
	for _, c := range catalog.Channels() {
		ref, ok := h.Manifest(c)
		if !ok {
			continue
		}
		rel, manifest, err := r.readManifest(ctx, trust.TargetName(trust.ManifestTarget(c), ref.Digest), ref)
		if err != nil {
			return nil, err
		}
		if err := nameShards(b.live, manifest); err != nil {
			return nil, err
		}
		for i := range rel.Entries {
			name(b.live, &rel.Entries[i])
		}
		b.channels[c] = current{release: rel, manifest: ref}
		b.nextID = max(b.nextID, rel.NextID)
		for id, identity := range catalog.Identities(rel) {
			b.identities[identity] = id
		}
	}
	if b.yank, err = trust.ReadYank(ctx, r.Store, h); err != nil {
		return nil, err
	}
	return b, nil
}

func (r *Repository) readManifest(ctx context.Context, name string, ref artifacts.Ref) (catalog.Release, []byte, error) {
	m, err := artifacts.GetNamed(ctx, r.Store, name, ref)
	if err != nil {
		return catalog.Release{}, nil, err
	}
	rel, err := catalog.ReadRelease(ctx, m, artifacts.Blobs{Store: r.Store})
	if err != nil {
		return rel, nil, fmt.Errorf("%s: %w", name, err)
	}
	return rel, m, nil
}

// freeVersion returns the version for the next metadata of a role: above the
// one in use, and above files that a crashed publisher left behind.
func (r *Repository) freeVersion(ctx context.Context, role string, used int64) (int64, error) {
	for v := used + 1; v <= used+maxGap; v++ {
		name := trust.MetadataName(role, v)
		// Not by listing: that costs more with every release of the past.
		_, err := r.Store.Read(ctx, name, 1)
		if errors.Is(err, artifacts.ErrNotFound) {
			return v, nil
		}
		if err != nil && !errors.Is(err, artifacts.ErrTooLarge) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s: %d unused versions follow version %d; clean up the repository", role, maxGap, used)
}

func (b *base) roleVersion(role string) int64 {
	if m := b.head.Roles[role]; m != nil {
		return m.Signed.Version
	}
	return 0
}

func sha256Of(b []byte) metadata.Hashes {
	sum := sha256.Sum256(b)
	return metadata.Hashes{"sha256": sum[:]}
}
