// Package mirror makes copies of a repository: into another store, or into one
// file that crosses an air gap.
//
// A copy is complete or it is not made: everything that the original can prove
// (every root, release, approval and statement of evidence, and the artifacts
// of the newest releases) is verified in the original, copied, and verified
// again in the copy, before the copy's head moves to it. Nothing here signs,
// and nothing here is believed: a reader of the copy verifies it as always.
package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

// maxFileBytes bounds one file of a copy.
const maxFileBytes = 1 << 30

// ErrOlder: the copy is newer than what would be copied over it.
var ErrOlder = errors.New("the copy is newer than the original")

// Options say whom to believe. Both are mandatory.
type Options struct {
	Root []byte // the pinned root of the repository
	Now  func() time.Time
}

// Report says what a copy holds.
type Report struct {
	trust.Report
	Copied int // files that the destination did not have
	Bytes  int64
}

// Copy brings dst to the state of src. It stops at the first thing that does
// not verify; the head of dst then still names what it named before.
func Copy(ctx context.Context, src, dst artifacts.Store, o Options) (Report, error) {
	head, files, err := whole(ctx, src, o)
	if err != nil {
		return Report{}, err
	}
	old, err := older(ctx, src, dst, o, head)
	if err != nil {
		return Report{}, err
	}
	rep := Report{}
	for _, name := range ordered(files.Files) {
		copied, n, err := copyFile(ctx, src, dst, name)
		if err != nil {
			return rep, fmt.Errorf("copy: %w", err)
		}
		if copied {
			rep.Copied++
			rep.Bytes += n
		}
	}
	seen, err := verify(ctx, withHead{Store: dst, head: head}, o)
	if err != nil {
		return rep, fmt.Errorf("the copy: %w", err)
	}
	rep.Report = seen
	if bytes.Equal(old, head) {
		return rep, nil
	}
	return rep, dst.Swap(ctx, trust.TimestampName, old, head)
}

// whole verifies everything in src under one head and returns that head.
func whole(ctx context.Context, src artifacts.Store, o Options) ([]byte, trust.Report, error) {
	if len(o.Root) == 0 || o.Now == nil {
		return nil, trust.Report{}, errors.New("mirror: Options.Root and Options.Now are mandatory")
	}
	head, err := src.Read(ctx, trust.TimestampName, maxFileBytes)
	if err != nil {
		return nil, trust.Report{}, err
	}
	rep, err := verify(ctx, withHead{Store: src, head: head}, o)
	return head, rep, err
}

func verify(ctx context.Context, store artifacts.Store, o Options) (trust.Report, error) {
	client, err := trust.Open(trust.Config{Store: store, Root: o.Root, Now: o.Now})
	if err != nil {
		return trust.Report{}, err
	}
	rep, _, err := client.Everything(ctx)
	return rep, errors.Join(err, client.Close())
}

// older returns the head of dst, nil for none, unless it is newer than head.
// A destination that is another repository is refused.
func older(ctx context.Context, src, dst artifacts.Store, o Options, head []byte) ([]byte, error) {
	old, err := dst.Read(ctx, trust.TimestampName, maxFileBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil, nil // a new copy, or one that was interrupted
	}
	if err != nil {
		return nil, err
	}
	there, err := trust.ReadHead(ctx, dst, o.Root)
	if err != nil {
		return nil, fmt.Errorf("the destination: %w", err)
	}
	here, err := trust.ReadHead(ctx, withHead{Store: src, head: head}, o.Root)
	if err != nil {
		return nil, err
	}
	if was, is := there.Timestamp.Signed.Version, here.Timestamp.Signed.Version; was > is || there.Snapshot.Signed.Version > here.Snapshot.Signed.Version {
		return nil, fmt.Errorf("timestamp %d over %d: %w", is, was, ErrOlder)
	}
	return old, nil
}

// ordered puts what others refer to first: artifacts and evidence, manifests,
// metadata, and the roots last. The timestamp, which is the head, is left out.
func ordered(files []string) []string {
	rank := func(name string) int {
		switch {
		case strings.HasSuffix(name, ".root.json"):
			return 2
		case strings.HasPrefix(name, "metadata/"):
			return 1
		}
		return 0
	}
	out := slices.DeleteFunc(slices.Clone(files), func(n string) bool { return n == trust.TimestampName })
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

// copyFile copies one immutable file; another one under its name is ErrCorrupt.
func copyFile(ctx context.Context, src, dst artifacts.Store, name string) (copied bool, n int64, err error) {
	b, err := src.Read(ctx, name, maxFileBytes)
	if err != nil {
		return false, 0, err
	}
	have, err := dst.Read(ctx, name, int64(len(b)))
	switch {
	case err == nil && bytes.Equal(have, b):
		return false, 0, nil
	case err == nil || errors.Is(err, artifacts.ErrTooLarge):
		return false, 0, replaced(ctx, dst, name, have, b)
	case !errors.Is(err, artifacts.ErrNotFound):
		return false, 0, err
	}
	return true, int64(len(b)), artifacts.PutNamed(ctx, dst, name, b)
}

// replaced lets approvals alone change: the same key may have signed the same
// manifest again. Whatever it is, the copy is verified before its head moves.
func replaced(ctx context.Context, dst artifacts.Store, name string, have, b []byte) error {
	if !strings.HasPrefix(name, "approvals/") {
		return fmt.Errorf("%s: the destination has other bytes under this name: %w", name, artifacts.ErrCorrupt)
	}
	if have == nil {
		var err error
		if have, err = dst.Read(ctx, name, maxFileBytes); err != nil {
			return err
		}
	}
	return dst.Swap(ctx, name, have, b)
}

// withHead shows a store under a head that it does not have yet.
type withHead struct {
	artifacts.Store
	head []byte
}

func (w withHead) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name != trust.TimestampName {
		return w.Store.Read(ctx, name, limit)
	}
	if int64(len(w.head)) > limit {
		return nil, fmt.Errorf("%s: %w", name, artifacts.ErrTooLarge)
	}
	return w.head, nil
}
