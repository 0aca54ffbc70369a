package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// ErrGrace: a grace that is too short to protect what is being published.
var ErrGrace = errors.New("grace too short")

const (
	// freshFor is how old an object may be before a publisher that uses it
	// again writes it again. Collect's grace must be twice as long.
	freshFor = 24 * time.Hour
	// collectBatch objects are removed between two looks at the head.
	collectBatch    = 32
	maxCollectBytes = 1 << 30
)

// Collection says what a Collect may take.
type Collection struct {
	// Keep is of how many newest releases of each channel the artifacts and
	// raw records stay; at least 1. What proves the past (metadata, manifests,
	// signed reports, approvals, the log) stays for every release.
	Keep int
	// Grace is how long an object that nothing names stays after it was
	// written; at least twice as long as a publisher takes its own for fresh.
	Grace time.Duration
	// Remove takes what was found away; without it nothing is written.
	Remove bool
	// Clock is the time to which the store's times are compared.
	Clock func() time.Time
}

// Collected says what a Collect found.
type Collected struct {
	Objects int      `json:"objects"` // in the store, before
	Named   int      `json:"named"`   // that something names
	Young   int      `json:"young"`   // that nothing names, within the grace
	Garbage []string `json:"garbage"` // the rest, ascending
	Removed int      `json:"removed"` // of Garbage
}

// Collect finds the objects that no proof, no kept release and no pending
// proposal names, and removes them if it is asked to. It needs no key.
//
// It may run beside publishers, and be killed. Before it takes anything away
// the whole repository is verified. A publisher that uses an old object again
// writes it again first, which makes it young; the head is looked at again
// after every few removals, and when it has moved everything is found out anew
// and what a new head names of the last few is put back. Objects of other
// programs, roots and snapshots are never touched.
func (r *Repository) Collect(ctx context.Context, c Collection) (Collected, error) {
	store, ok := r.Store.(artifacts.Remover)
	if !ok || c.Keep < 1 || c.Clock == nil {
		return Collected{}, errors.New("collect: want a store that can remove, Keep of 1 or more, and a Clock")
	}
	if c.Grace < 2*r.freshFor() {
		return Collected{}, fmt.Errorf("collect: %v, want at least %v: %w", c.Grace, 2*r.freshFor(), ErrGrace)
	}
	removed := 0
	for range maxRaces {
		s, err := r.survey(ctx, store, c)
		if err != nil {
			return Collected{Removed: removed}, err
		}
		if !c.Remove {
			return s.Collected, nil
		}
		n, moved, err := r.sweep(ctx, store, c, s)
		if removed += n; err != nil || !moved {
			s.Removed = removed
			return s.Collected, err
		}
	}
	return Collected{Removed: removed}, fmt.Errorf("collect: the head moved %d times: %w", maxRaces, artifacts.ErrConflict)
}

func (r *Repository) freshFor() time.Duration {
	if r.fresh != 0 {
		return r.fresh
	}
	return freshFor
}

// survey is what is in the store under one head.
type survey struct {
	Collected
	head []byte
	live map[string]bool
}

func (r *Repository) survey(ctx context.Context, store artifacts.Remover, c Collection) (*survey, error) {
	s := &survey{Collected: Collected{Garbage: []string{}}, live: map[string]bool{}}
	var err error
	if s.head, err = store.Read(ctx, trust.TimestampName, maxProposalBytes); err != nil {
		return nil, err
	}
	// Before anything is read, so that what is written meanwhile is not seen.
	names, err := store.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := r.proven(ctx, c, s); err != nil {
		return nil, err
	}
	if err := r.awaiting(ctx, s); err != nil {
		return nil, err
	}
	s.Objects = len(names)
	for _, n := range names {
		switch {
		case s.live[n] || !collectable(n):
			s.Named++
		case young(ctx, store, n, c):
			s.Young++
		default:
			s.Garbage = append(s.Garbage, n)
		}
	}
	return s, nil
}

// proven marks what proves the past, and what the kept releases serve.
func (r *Repository) proven(ctx context.Context, c Collection, s *survey) error {
	// A publisher does not look at dates: what has expired can be renewed.
	client, err := trust.Open(trust.Config{Store: r.Store, Root: r.Keys.Root, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		return err
	}
	rep, past, err := client.Everything(ctx)
	if err = errors.Join(err, client.Close()); err != nil {
		return err
	}
	for _, n := range rep.Files {
		s.live[n] = true
	}
	for _, releases := range past {
		for _, p := range releases[max(0, len(releases)-c.Keep):] {
			for i := range p.Release.Entries {
				name(s.live, &p.Release.Entries[i])
			}
		}
	}
	return nil
}

// name marks what an entry names.
func name(live map[string]bool, e *catalog.Entry) {
	for _, a := range e.Variant.Artifacts {
		live[artifacts.BlobName(a.Digest)] = true
	}
	for _, ev := range e.Evidence {
		live[trust.EvidenceName(ev.Ref)] = true
	}
	for _, w := range e.Waivers {
		live[trust.EvidenceName(w.File)] = true
	}
}

// nameShards marks the shards of a manifest.
func nameShards(live map[string]bool, manifest []byte) error {
	m, err := catalog.DecodeManifest(manifest)
	if err != nil {
		return err
	}
	for _, shard := range m.Shards() {
		live[artifacts.BlobName(shard.Digest)] = true
	}
	return nil
}

// awaiting marks what a proposal that can still be published needs.
func (r *Repository) awaiting(ctx context.Context, s *survey) error {
	pending, err := r.Pending(ctx)
	if err != nil {
		return err
	}
	for _, d := range pending {
		p, err := r.read(ctx, d)
		if err != nil || p.fresh() != nil {
			continue // nobody can publish it any more
		}
		folder := strings.TrimSuffix(proposalName(d, ""), "/")
		names, err := r.Store.List(ctx, folder+"/")
		if err != nil {
			return err
		}
		for _, id := range p.base.head.Targets.Signed.Delegations.Roles {
			for _, key := range id.KeyIDs {
				names = append(names, trust.ApprovalName(d, key))
			}
		}
		for _, n := range names {
			s.live[n] = true
		}
		if err := nameShards(s.live, p.bytes); err != nil {
			return err
		}
		for i := range p.release.Entries {
			name(s.live, &p.release.Entries[i])
		}
	}
	return nil
}

// collectable names are those of a repository, but for the head and for what
// may be somebody's commit or root.
func collectable(name string) bool {
	if strings.HasPrefix(name, "metadata/") {
		return name != trust.TimestampName && !strings.HasSuffix(name, ".root.json") && !strings.HasSuffix(name, ".snapshot.json")
	}
	return slices.ContainsFunc([]string{"blobs/sha256/", "evidence/sha256/", "approvals/", "proposals/", "targets/", "log/"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// young reports whether the object is within the grace, or may be.
func young(ctx context.Context, store artifacts.Remover, name string, c Collection) bool {
	t, err := store.Modified(ctx, name)
	return err != nil || c.Clock().Sub(t) < c.Grace
}

// sweep removes garbage until all of it is gone or the head has moved.
func (r *Repository) sweep(ctx context.Context, store artifacts.Remover, c Collection, s *survey) (removed int, moved bool, err error) {
	for batch := range slices.Chunk(s.Garbage, collectBatch) {
		gone := map[string][]byte{}
		for _, n := range batch {
			if young(ctx, store, n, c) {
				continue // written again since
			}
			b, err := store.Read(ctx, n, maxCollectBytes)
			if err != nil {
				return removed, false, err
			}
			if err := store.Remove(ctx, n); err != nil {
				return removed, false, err
			}
			gone[n] = b
			removed++
		}
		head, err := store.Read(ctx, trust.TimestampName, maxProposalBytes)
		if err != nil {
			return removed, false, err
		}
		if string(head) != string(s.head) {
			back, err := r.putBack(ctx, c, gone)
			return removed - back, true, err
		}
	}
	return removed, false, nil
}

// putBack writes what was just removed and what the new head may name.
func (r *Repository) putBack(ctx context.Context, c Collection, gone map[string][]byte) (int, error) {
	s := &survey{live: map[string]bool{}}
	lost := errors.Join(r.proven(ctx, c, s), r.awaiting(ctx, s))
	back := 0
	for n, b := range gone {
		if lost == nil && !s.live[n] {
			continue
		}
		if err := artifacts.PutNamed(ctx, r.Store, n, b); err != nil {
			return back, err
		}
		back++
	}
	return back, nil
}

// renew makes an object young that is used again, unless the newest releases
// name it anyway: Collect takes what is old and unnamed.
func (r *Repository) renew(ctx context.Context, b *base, name string, data []byte) error {
	store, ok := r.Store.(artifacts.Remover)
	if !ok || b.live[name] {
		return nil
	}
	t, err := store.Modified(ctx, name)
	if err != nil {
		return err
	}
	if r.Now.Sub(t) < r.freshFor() {
		return nil
	}
	return store.Swap(ctx, name, data, data)
}

// put creates the object, or renews it if it is there.
func (r *Repository) put(ctx context.Context, b *base, name string, data []byte) error {
	if err := artifacts.PutNamed(ctx, r.Store, name, data); err != nil {
		return err
	}
	return r.renew(ctx, b, name, data)
}
