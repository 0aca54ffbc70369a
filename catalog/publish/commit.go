package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

// errRace: another publisher committed first; the head now includes it.
var errRace = errors.New("another publisher was faster")

// overlay shows a store with files that are not written yet, so that what is
// about to be signed can be audited by the client's own code.
type overlay struct {
	artifacts.Store
	files map[string][]byte
}

func (o overlay) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, ok := o.files[name]
	if !ok {
		return o.Store.Read(ctx, name, limit)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %w", name, artifacts.ErrTooLarge)
	}
	return b, nil
}

// commit publishes one role's new metadata on top of h ("" for none: the
// snapshot is only renewed). The role's file and everything it names must be
// in the store.
//
// Order: the whole closure is audited in memory; N.snapshot.json is created,
// which is the commit; the log gets it as its record N−1; the timestamp is
// swapped, which moves the head.
// errRace means that somebody else committed and nothing of ours is visible.
func (r *Repository) commit(ctx context.Context, h *trust.Head, role string, version int64, file []byte) error {
	snapshot := metadata.Snapshot(whole(r.Now).Add(lifetimes[metadata.SNAPSHOT]))
	snapshot.Signed.Meta = maps.Clone(h.Snapshot.Signed.Meta)
	snapshot.Signed.Meta["root.json"] = metaFile(h.Root.Signed.Version, h.RootBytes)
	if role != "" {
		snapshot.Signed.Meta[role+".json"] = metaFile(version, file)
	}
	n, err := r.settle(ctx, h)
	if err != nil {
		return err
	}
	snapshot.Signed.Version = n
	key, err := r.Keys.first(metadata.SNAPSHOT, h.Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs)
	if err != nil {
		return err
	}
	b, err := sealed(snapshot, key)
	if err != nil {
		return err
	}
	next, err := r.next(ctx, h, n, b)
	if err != nil {
		return err
	}
	err = r.Store.Create(ctx, trust.MetadataName(metadata.SNAPSHOT, n), b)
	if errors.Is(err, artifacts.ErrExists) {
		if _, err := r.Repair(ctx); err != nil {
			return err
		}
		return errRace
	}
	if err != nil {
		return err
	}
	return r.move(ctx, h, n, b, next)
}

// settle returns the version for the next snapshot. If somebody's commit is
// waiting for its head, it is finished first, and that is an errRace.
func (r *Repository) settle(ctx context.Context, h *trust.Head) (int64, error) {
	for n := h.Snapshot.Signed.Version + 1; ; n++ {
		b, err := r.Store.Read(ctx, trust.MetadataName(metadata.SNAPSHOT, n), 4<<20)
		if errors.Is(err, artifacts.ErrNotFound) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if !signedSnapshot(h, n, b) {
			continue // nobody's commit: a number that is lost
		}
		if n > h.Snapshot.Signed.Version+maxGap {
			return 0, fmt.Errorf("%s: too far ahead of the head", trust.MetadataName(metadata.SNAPSHOT, n))
		}
		next, err := r.next(ctx, h, n, b)
		if err != nil {
			return 0, err
		}
		if err := r.move(ctx, h, n, b, next); err != nil {
			return 0, err
		}
		return 0, errRace
	}
}

// signedSnapshot reports whether b is a snapshot that the repository's own
// keys made for the number n. Anything else under that number, such as what a
// stranger with access to the store put there, is no commit.
func signedSnapshot(h *trust.Head, n int64, b []byte) bool {
	m, err := metadata.Snapshot().FromBytes(b)
	return err == nil && m.Signed.Type == metadata.SNAPSHOT && m.Signed.Version == n &&
		h.Root.VerifyDelegate(metadata.SNAPSHOT, m) == nil
}

// following is what moves the head to a snapshot: the log's new files, which
// come first, and the timestamp.
type following struct {
	log       []trust.File
	timestamp []byte
}

// next signs a new head for the snapshot n, and the log up to it, after
// auditing everything that the head would reach with the code that clients use.
func (r *Repository) next(ctx context.Context, h *trust.Head, n int64, snapshot []byte) (following, error) {
	key, err := r.Keys.first(metadata.TIMESTAMP, h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs)
	if err != nil {
		return following{}, err
	}
	t := metadata.Timestamp(whole(r.Now).Add(lifetimes[metadata.TIMESTAMP]))
	t.Signed.Version = h.Timestamp.Signed.Version + 1
	t.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": metaFile(n, snapshot)}
	var f following
	if f.timestamp, err = sealed(t, key); err != nil {
		return f, err
	}
	if f.log, err = trust.ExtendLog(ctx, r.Store, h, n, snapshot, key.note()); err != nil {
		return f, err
	}
	view := overlay{Store: r.Store, files: map[string][]byte{
		trust.MetadataName(metadata.SNAPSHOT, n): snapshot, trust.TimestampName: f.timestamp,
	}}
	for _, l := range f.log {
		view.files[l.Name] = l.Bytes
	}
	if _, err := trust.AuditClosure(ctx, view, r.Keys.Root); err != nil {
		return f, fmt.Errorf("snapshot %d is not signed: %w", n, err)
	}
	return f, nil
}

// move swaps the head to the snapshot n. A head that somebody moved there, or
// further, in the meantime is as good.
func (r *Repository) move(ctx context.Context, h *trust.Head, n int64, snapshot []byte, next following) error {
	for range maxRaces {
		if err := r.putLog(ctx, h, next.log); err != nil {
			return err
		}
		err := r.Store.Swap(ctx, trust.TimestampName, h.TimestampBytes, next.timestamp)
		if !errors.Is(err, artifacts.ErrConflict) {
			return err
		}
		if h, err = trust.ReadHead(ctx, r.Store, r.Keys.Root); err != nil {
			return err
		}
		if h.Snapshot.Signed.Version >= n {
			return nil
		}
		if next, err = r.next(ctx, h, n, snapshot); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: still moving after %d tries; run repair: %w", trust.TimestampName, maxRaces, artifacts.ErrConflict)
}

// putLog writes the log's new files. Publishers that finish the same commit
// write the same tiles, and checkpoints of the same tree, of which the first
// stays; anything else under these names is no log and is replaced.
func (r *Repository) putLog(ctx context.Context, h *trust.Head, files []trust.File) error {
	for _, f := range files {
		err := r.Store.Create(ctx, f.Name, f.Bytes)
		if errors.Is(err, artifacts.ErrExists) {
			err = r.relog(ctx, h, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Repository) relog(ctx context.Context, h *trust.Head, f trust.File) error {
	have, err := r.Store.Read(ctx, f.Name, maxProposalBytes)
	if err != nil {
		return err
	}
	if bytes.Equal(have, f.Bytes) {
		return nil
	}
	for _, id := range h.Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs {
		public, err := h.Root.Signed.Keys[id].ToPublicKey()
		if err != nil {
			return err
		}
		if ec, ok := public.(*ecdsa.PublicKey); ok && trust.SameCheckpoint(have, f.Bytes, trust.NoteKey{Public: ec}) {
			return nil
		}
	}
	return r.Store.Swap(ctx, f.Name, have, f.Bytes)
}

// Repair finishes a commit whose publisher died before it moved the head, and
// reports whether there was one. It needs the timestamp key only.
func (r *Repository) Repair(ctx context.Context) (bool, error) {
	h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
	if err != nil {
		return false, err
	}
	_, repaired, err := r.repaired(ctx, h)
	return repaired, err
}

// repaired finishes what waits behind the head h, and returns the newest head.
func (r *Repository) repaired(ctx context.Context, h *trust.Head) (*trust.Head, bool, error) {
	repaired := false
	for range maxRaces {
		_, err := r.settle(ctx, h)
		if !errors.Is(err, errRace) {
			return h, repaired, err
		}
		repaired = true
		if h, err = trust.ReadHead(ctx, r.Store, r.Keys.Root); err != nil {
			return nil, repaired, err
		}
	}
	return h, repaired, fmt.Errorf("still others committing after %d repairs: %w", maxRaces, artifacts.ErrConflict)
}

// Renew signs a new snapshot and timestamp over what is published already, so
// that clients do not see them expire.
func (r *Repository) Renew(ctx context.Context) error {
	return r.retry(ctx, func() error {
		h, err := trust.ReadHead(ctx, r.Store, r.Keys.Root)
		if err != nil {
			return err
		}
		return r.commit(ctx, h, "", 0, nil)
	}, nil)
}
