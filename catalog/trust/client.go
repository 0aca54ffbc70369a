package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/internal/seal"
)

// Config says whom to believe. Store and Now are mandatory.
type Config struct {
	// Store holds the repository. It is not trusted with anything.
	Store artifacts.Store
	// StateDir is where the client remembers what it has seen and keeps the
	// last good release. "": nothing is kept, every refusal that needs a
	// memory is off; right for looking at a copy once, wrong for a host.
	StateDir string
	// Root is the root metadata that the host was shipped with. nil: the one
	// kept in StateDir, else the repository's own first root is believed on
	// first use, which Client.FirstUse reports.
	Root []byte
	// Now is the host's clock. It may not run back: the largest time ever
	// seen counts.
	Now func() time.Time
	// Host is what this machine is; entries made for others are left out of
	// a verified release. The zero Host is the machine that runs the program.
	// Of features that end in "*" it offers all, see catalog.Lacks.
	Host catalog.Hardware
	// LeftOut hears of each entry that is left out of a release because it is
	// made for other machines, and of the first feature that this one does not
	// offer ("" if it is another system). It may hear of one several times.
	// nil: nobody does.
	LeftOut func(e catalog.Entry, feature string)
	// Smoke opens one entry of a verified release and runs what the host knows
	// it must answer, before the release may be served. It sees every entry
	// that was not good already; an error or a panic refuses the release, and
	// the last good one goes on. nil: nothing is opened.
	Smoke func(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) error
	// FloorSequence refuses releases below it even without a state: ship it
	// with the host for a client that lost its state. 0 refuses none.
	FloorSequence uint64
}

// Client verifies one repository. It may be shared between goroutines. Close
// it when done.
type Client struct {
	cfg   Config
	mu    sync.Mutex
	dir   *artifacts.Dir // nil without StateDir
	state *state
	saved []byte // the bytes of state on disk; nil: none yet
	first bool
	good  map[string]*catalog.Verified
	same  map[int64]artifacts.Digest // see walk.same
}

// Open prepares a client and reads its state. Nothing is fetched yet.
func Open(cfg Config) (*Client, error) {
	if cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("trust: Config.Store and Config.Now are mandatory")
	}
	if cfg.Host.OS == "" {
		cfg.Host.OS, cfg.Host.Arch = goruntime.GOOS, goruntime.GOARCH
	}
	if cfg.Host.CoresMin == 0 {
		cfg.Host.CoresMin = goruntime.NumCPU()
	}
	c := &Client{cfg: cfg, state: newState(), good: map[string]*catalog.Verified{}, same: map[int64]artifacts.Digest{}}
	if cfg.StateDir == "" {
		return c, nil
	}
	dir, err := artifacts.OpenDir(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	c.dir = dir
	if c.state, c.saved, err = loadState(context.Background(), dir); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return c, nil
}

// Close releases the state directory.
func (c *Client) Close() error {
	if c.dir == nil {
		return nil
	}
	return c.dir.Close()
}

// FirstUse reports whether the root in use was believed because nothing was
// pinned: trust on first use, which protects from the second time on.
func (c *Client) FirstUse() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// Refresh verifies the newest release of the channel, from the roots down to
// the bytes of every artifact, remembers it durably, and only then returns it.
// Any doubt is a *Refusal; nothing has been adopted then, and Last still
// returns the release before.
func (c *Client) Refresh(ctx context.Context, channel string) (*catalog.Verified, error) {
	if !isChannel(channel) {
		return nil, fmt.Errorf("channel %.80q: want one of %v", channel, catalog.Channels())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.clone()
	w, first := c.walk(next)
	w.only = []string{channel, RoleYank}
	h, err := w.head(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.anchored(ctx, h); err != nil {
		return nil, err
	}
	if v, err := c.unchanged(ctx, &w, next, h, channel); v != nil || err != nil {
		return v, err
	}
	p, err := w.promised(ctx, h, channel)
	if err != nil {
		return nil, err
	}
	if err := c.check(ctx, &w, next, h, p); err != nil {
		return nil, err
	}
	next.raise(h, w.now)
	v, err := c.adopt(ctx, next, p)
	if err != nil {
		return nil, err
	}
	c.first = c.first || first
	return v, nil
}

// unchanged returns what is served already when the head, just verified,
// promises the very manifest that it was made from and withdraws nothing new;
// nil when the manifest must be read. Everything that was checked about the
// manifest then is as true now, but for its date.
func (c *Client) unchanged(ctx context.Context, w *walk, next *state, h *Head, channel string) (*catalog.Verified, error) {
	ref, ok := h.Manifest(channel)
	old := c.good[channel]
	was := c.state.Channels[channel].Manifest
	if !ok || old == nil || old.Manifest() != ref.Digest || was.Digest != ref.Digest || was.Size != ref.Size {
		return nil, nil
	}
	if w.now.After(old.Release().Expires) {
		return nil, nil // read it and say so
	}
	y, err := w.yank(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := next.withdraw(yankFile(h), y); err != nil {
		return nil, err
	}
	if len(next.Yanked) != len(c.state.Yanked) {
		return nil, nil
	}
	// A yank that another channel's refresh has seen counts here too.
	if old, err = c.stillServable(channel, old); err != nil {
		return nil, err
	}
	next.raise(h, w.now)
	return old, c.save(ctx, next)
}

// yankFile is the file that a refusal about the yank list names.
func yankFile(h *Head) string {
	if m := h.Roles[RoleYank]; m != nil {
		return MetadataName(RoleYank, m.Signed.Version)
	}
	return MetadataName("snapshot", h.Snapshot.Signed.Version)
}

// walk prepares a reading of the repository. The newest root that was ever
// verified comes first, the shipped one is only a beginning.
func (c *Client) walk(next *state) (w walk, firstUse bool) {
	now := c.cfg.Now()
	if seen := time.Unix(next.LargestTime, 0); now.Before(seen) {
		now = seen
	}
	anchor := next.Root
	if len(anchor) == 0 {
		anchor = c.cfg.Root
	}
	if len(anchor) == 0 {
		anchor = nil
	}
	return walk{store: c.cfg.Store, cache: c.dir, anchor: anchor, now: now.UTC(), floors: next.Versions, log: next.Log, same: c.same}, anchor == nil
}

// anchored checks that the shipped root is one of the repository's, also when
// a newer root was pinned.
func (c *Client) anchored(ctx context.Context, h *Head) error {
	if len(c.cfg.Root) == 0 || len(c.state.Root) == 0 {
		return nil // the walk began at it, or there is none
	}
	root, err := decodeRoot("the pinned root", c.cfg.Root)
	if err != nil {
		return err
	}
	if root.Signed.Version > h.Root.Signed.Version {
		return refuse(Rollback, MetadataName("root", root.Signed.Version), "the host was shipped with root %d", root.Signed.Version)
	}
	w := walk{store: c.cfg.Store, anchor: c.cfg.Root, same: c.same}
	return w.sameRoot(ctx, root.Signed.Version, c.cfg.Root)
}

// check holds a release against the memory and against this host.
func (c *Client) check(ctx context.Context, w *walk, next *state, h *Head, p promise) error {
	name, r := p.name, &p.release
	if r.RuntimeMin > catalog.RuntimeABI {
		return refuse(ABI, name, "needs runtime ABI %d, this host has %d", r.RuntimeMin, catalog.RuntimeABI)
	}
	if r.Sequence < c.cfg.FloorSequence {
		return refuse(Rollback, name, "release %d, and the host was shipped with floor %d", r.Sequence, c.cfg.FloorSequence)
	}
	if err := next.adopt(name, r, p.ref); err != nil {
		return err
	}
	y, err := w.yank(ctx, h)
	if err != nil {
		return err
	}
	return next.withdraw(yankFile(h), y)
}

// adopt makes the verified release: what may be served of it, every artifact
// read and checked, the state on disk.
func (c *Client) adopt(ctx context.Context, next *state, p promise) (*catalog.Verified, error) {
	channel := p.release.Channel
	served, err := c.servable(p.name, next, p.release)
	if err != nil {
		return nil, err
	}
	if old := c.good[channel]; old != nil && old.Manifest() == p.ref.Digest && sameEntries(old.Release(), &served) {
		return old, c.save(ctx, next)
	}
	get := newBlobs(c.cfg.Store, c.dir, served)
	for i := range served.Entries {
		for _, a := range served.Entries[i].Variant.Artifacts {
			if _, err := get.Get(ctx, a); err != nil {
				return nil, refusal(artifacts.BlobName(a.Digest), err)
			}
		}
	}
	if err := c.smoke(ctx, p.name, &served, get); err != nil {
		return nil, err
	}
	v, err := catalog.NewVerified(seal.New(), served, p.ref.Digest, get)
	if err != nil {
		return nil, err
	}
	if err := c.save(ctx, next); err != nil {
		return nil, err
	}
	c.good[channel] = v
	return v, nil
}

// smoke opens what the channel did not serve before.
func (c *Client) smoke(ctx context.Context, name string, r *catalog.Release, get artifacts.Getter) error {
	if c.cfg.Smoke == nil {
		return nil
	}
	served := map[catalog.VariantID]bool{}
	if old := c.good[r.Channel]; old != nil {
		for i := range old.Release().Entries {
			served[old.Release().Entries[i].ID] = true // an id never changes what it stands for
		}
	}
	for i := range r.Entries {
		e := &r.Entries[i]
		if served[e.ID] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := smokeOne(ctx, c.cfg.Smoke, *e, get); err != nil {
			return &Refusal{Reason: Smoke, File: name, Detail: fmt.Sprintf("entry %d (%s): %v", e.ID, e.Variant.Name, err), Err: err}
		}
	}
	return nil
}

// smokeOne makes a panic of the host's opener the entry's fault.
func smokeOne(ctx context.Context, smoke func(context.Context, catalog.Entry, artifacts.Getter) error, e catalog.Entry, get artifacts.Getter) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panicked: %v", p)
		}
	}()
	return smoke(ctx, e, get)
}

// servable leaves out of the release what was withdrawn and what this machine
// cannot run. A withdrawn baseline is replaced by the host's built-in; a
// release of which nothing fits this machine is refused.
func (c *Client) servable(name string, s *state, r catalog.Release) (catalog.Release, error) {
	if c.servesAll(s, &r) {
		return r, nil
	}
	out := r
	out.Entries = make([]catalog.Entry, 0, len(r.Entries))
	out.Tombstones = slices.Clone(r.Tombstones)
	kept := make(map[catalog.VariantID]bool, len(r.Entries)+1)
	kept[catalog.BuiltIn] = true
	foreign, missing := 0, ""
	for i := range r.Entries {
		e := &r.Entries[i]
		reason, yanked := s.Yanked[e.ID]
		switch {
		case yanked:
			out.Tombstones = append(out.Tombstones, catalog.Tombstone{ID: e.ID, Identity: e.Variant.Identity, Reason: "yanked: " + reason})
		case !fits(e.Envelope.Hardware, c.cfg.Host):
			foreign++
			missing = catalog.Lacks(e.Envelope.Hardware.CPUFeatures, c.cfg.Host.CPUFeatures)
			if c.cfg.LeftOut != nil {
				c.cfg.LeftOut(*e, missing)
			}
		default:
			kept[e.ID] = true
			out.Entries = append(out.Entries, *e)
		}
	}
	if foreign > 0 && len(out.Entries) == 0 {
		if missing != "" {
			missing = ": this host does not offer " + missing
		}
		return out, refuse(Hardware, name, "no entry is made for %s/%s%s", c.cfg.Host.OS, c.cfg.Host.Arch, missing)
	}
	if !kept[out.Baseline] {
		out.Baseline = catalog.BuiltIn
	}
	for i := range out.Entries {
		if !kept[out.Entries[i].Fallback] {
			out.Entries[i].Fallback = catalog.BuiltIn
		}
	}
	return out, nil
}

// servesAll reports whether nothing is left out, as nearly always: then the
// entries need no second list.
func (c *Client) servesAll(s *state, r *catalog.Release) bool {
	for i := range r.Entries {
		e := &r.Entries[i]
		if _, yanked := s.Yanked[e.ID]; yanked || !fits(e.Envelope.Hardware, c.cfg.Host) {
			return false
		}
	}
	return true
}

// fits reports whether the host offers what is needed.
func fits(need, host catalog.Hardware) bool {
	if (need.OS != "" && need.OS != host.OS) || (need.Arch != "" && need.Arch != host.Arch) || need.CoresMin > host.CoresMin {
		return false
	}
	return catalog.Lacks(need.CPUFeatures, host.CPUFeatures) == ""
}

func sameEntries(a, b *catalog.Release) bool {
	same := func(x, y catalog.Entry) bool { return x.ID == y.ID && x.Fallback == y.Fallback }
	return a.Baseline == b.Baseline && slices.EqualFunc(a.Entries, b.Entries, same)
}

// save makes next the client's memory, on disk before in mind.
func (c *Client) save(ctx context.Context, next *state) error {
	if c.dir != nil {
		if next.Identities != c.state.Identities || c.saved == nil {
			if _, err := c.dir.Put(ctx, next.identities.encode()); err != nil {
				return refuse(Unreadable, stateName, "the state could not be saved: %v", err)
			}
		}
		b, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := c.dir.Swap(ctx, stateName, c.saved, b); err != nil {
			return refuse(Unreadable, stateName, "the state could not be saved: %v", err)
		}
		c.saved = b
	}
	c.state = next
	return nil
}

// Last returns the release that the last good Refresh of the channel adopted,
// from memory or from the state directory, without asking the repository:
// what a host serves while refreshes are refused. A release past its date is
// still returned; a host that serves one reports itself unhealthy.
func (c *Client) Last(ctx context.Context, channel string) (*catalog.Verified, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.good[channel]; v != nil {
		return c.stillServable(channel, v)
	}
	was, ok := c.state.Channels[channel]
	if !ok || c.dir == nil {
		return nil, refuse(NoRelease, stateName, "no release of channel %.40q was verified before", channel)
	}
	name := artifacts.BlobName(was.Manifest.Digest)
	b, err := c.dir.Get(ctx, was.Manifest)
	if err != nil {
		return nil, refusal(name, err)
	}
	r, err := catalog.ReadRelease(ctx, b, c.dir)
	if err != nil {
		return nil, refusal(name, err)
	}
	served, err := c.servable(name, c.state, r)
	if err != nil {
		return nil, err
	}
	v, err := catalog.NewVerified(seal.New(), served, was.Manifest.Digest, newBlobs(c.dir, c.dir, served))
	if err != nil {
		return nil, err
	}
	c.good[channel] = v
	return v, nil
}

// stillServable returns v without what was withdrawn since it was made: a yank
// may have been seen while another channel was refreshed.
func (c *Client) stillServable(channel string, v *catalog.Verified) (*catalog.Verified, error) {
	withdrawn := func(e catalog.Entry) bool { _, ok := c.state.Yanked[e.ID]; return ok }
	if !slices.ContainsFunc(v.Release().Entries, withdrawn) {
		return v, nil
	}
	served, err := c.servable(stateName, c.state, *v.Release())
	if err != nil {
		return nil, err
	}
	if v, err = catalog.NewVerified(seal.New(), served, v.Manifest(), v.Blobs()); err != nil {
		return nil, err
	}
	c.good[channel] = v
	return v, nil
}

// blobs reads the artifacts of one release and of no other: from the cache if
// they are there and good, else from the repository, checked either way.
type blobs struct {
	store artifacts.Store
	cache *artifacts.Dir // may be nil
	known map[artifacts.Digest]int64
}

func newBlobs(store artifacts.Store, cache *artifacts.Dir, r catalog.Release) *blobs {
	b := &blobs{store: store, cache: cache, known: map[artifacts.Digest]int64{}}
	for i := range r.Entries {
		for _, a := range r.Entries[i].Variant.Artifacts {
			b.known[a.Digest] = a.Size
		}
	}
	return b
}

// Get implements artifacts.Getter.
func (b *blobs) Get(ctx context.Context, ref artifacts.Ref) ([]byte, error) {
	if size, ok := b.known[ref.Digest]; !ok || size != ref.Size {
		return nil, fmt.Errorf("blob %s is not in the verified release: %w", ref.Digest.Short(), artifacts.ErrNotFound)
	}
	if b.cache != nil {
		if data, err := b.cache.Get(ctx, ref); err == nil {
			return data, nil
		}
	}
	data, err := artifacts.GetBlob(ctx, b.store, ref)
	if err != nil || b.cache == nil {
		return data, err
	}
	if _, err := b.cache.Put(ctx, data); err != nil && !errors.Is(err, artifacts.ErrCorrupt) {
		return nil, err
	}
	return data, nil
}
