package publish_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// copyOf copies a store, leaving out one name ("" for none).
func copyOf(t testing.TB, s artifacts.Store, without string) *artifacts.Mem {
	t.Helper()
	ctx := context.Background()
	names, err := s.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	out := artifacts.NewMem()
	for _, n := range names {
		if n == without {
			continue
		}
		b, err := s.Read(ctx, n, 1<<26)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Create(ctx, n, b); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// put writes an object over whatever is there.
func put(t testing.TB, s artifacts.Store, name string, b []byte) {
	t.Helper()
	ctx := context.Background()
	old, err := s.Read(ctx, name, 1<<26)
	if errors.Is(err, artifacts.ErrNotFound) {
		old, err = nil, nil
	}
	if err == nil {
		err = s.Swap(ctx, name, old, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) with(s artifacts.Store) *world {
	c := *w
	c.store = s
	return &c
}

// refused fails unless err is a refusal for one of the reasons that names file.
func refused(t *testing.T, err error, file string, reasons ...trust.Reason) {
	t.Helper()
	var r *trust.Refusal
	if !errors.As(err, &r) || !slices.Contains(reasons, r.Reason) || (file != "" && r.File != file) {
		t.Fatalf("got %v, want a refusal of %s for %v", err, file, reasons)
	}
}

// populated is a repository of several people, so that files carry spare
// signatures, with releases in two channels and a yank.
func populated(t *testing.T) *world {
	w := found(t, artifacts.NewMem(), publish.InitOptions{})
	w.release("staging", 1, 2, 3)
	w.release("staging", 1, 3, 4)
	w.release("prod", 3, 1)
	if err := w.repo().Yank(t.Context(), "leaks", 4); err != nil {
		t.Fatal(err)
	}
	return w
}

// Every file that an audit reads: any changed byte and a missing file are
// refused, and the refusal names that file. Each file is hit several times,
// at its ends and at random places, with a pinned root and without.
func TestEveryByteCounts(t *testing.T) {
	w := populated(t)
	rep, err := w.client("", night).VerifyAll(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, count := range map[string]int{
		"metadata/": 7, "targets/catalog/": 2, "targets/yank/": 1, "blobs/": 5, "evidence/": 5, "approvals/": 3, "log/": 2,
	} {
		n := 0
		for _, f := range rep.Files {
			if strings.HasPrefix(f, prefix) {
				n++
			}
		}
		if n != count {
			t.Errorf("%d files %s…, want %d: %v", n, prefix, count, rep.Files)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, pinned := range []bool{true, false} {
		audit := func(s artifacts.Store) error {
			c := w.with(s)
			if !pinned {
				c.made = &publish.Created{}
			}
			_, err := c.client("", night).VerifyAll(t.Context(), "")
			return err
		}
		for _, name := range rep.Files {
			refused(t, audit(copyOf(t, w.store, name)), name, trust.Missing)
			good, err := w.store.Read(t.Context(), name, 1<<26)
			if err != nil {
				t.Fatal(err)
			}
			places := []int{0, len(good) - 1}
			for range 5 {
				places = append(places, rng.IntN(len(good)))
			}
			for at := range good { // inside every signature, spare ones too
				if bytes.HasSuffix(good[:at], []byte(`"sig":"30`)) {
					places = append(places, at+20)
				}
			}
			s := copyOf(t, w.store, "")
			for _, at := range places {
				bad := bytes.Clone(good)
				bad[at] ^= byte(1 + rng.IntN(255))
				if bytes.HasSuffix(good[:at-min(at, 20)], []byte(`"sig":"30`)) {
					bad[at] = "01"[(good[at]-'0'+1)&1] // another digit: only the signature is wrong
				}
				put(t, s, name, bad)
				var r *trust.Refusal
				if err := audit(s); !errors.As(err, &r) || r.File != name {
					t.Fatalf("%s, byte %d %q → %q: %v", name, at, good[at], bad[at], err)
				}
			}
			for _, bad := range [][]byte{append(bytes.Clone(good), '\n'), good[:len(good)-1], {}, nil} {
				put(t, s, name, bad)
				var r *trust.Refusal
				if err := audit(s); !errors.As(err, &r) || r.File != name {
					t.Fatalf("%s, %d bytes instead of %d: %v", name, len(bad), len(good), err)
				}
			}
		}
	}
}

// An old copy of the repository, whole and correctly signed, is refused by a
// client that has seen the newer one, also after a restart; the last good
// release goes on being served.
func TestRollback(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1, 2)
	old := copyOf(t, w.store, "")
	second := w.release("staging", 1, 3)
	state := t.TempDir()
	if _, err := w.client(state, night).Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	restarted := w.with(old).client(state, night)
	_, err := restarted.Refresh(t.Context(), "staging")
	refused(t, err, trust.TimestampName, trust.Rollback)
	if v, err := restarted.Last(t.Context(), "staging"); err != nil || v.Manifest() != second.Manifest {
		t.Fatalf("last: %v", err)
	}
	// Without its state only the shipped floor protects.
	lost, err := trust.Open(trust.Config{Store: old, Root: w.made.Root, Now: func() time.Time { return night }, FloorSequence: 2})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lost.Refresh(t.Context(), "staging")
	refused(t, err, "", trust.Rollback)
}

// A repository that nobody renews is refused when its time is over, and a
// clock that is set back does not make it fresh again.
func TestFreeze(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	first := w.release("staging", 1)
	state := t.TempDir()
	if _, err := w.client(state, night).Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	for days, file := range map[int]string{
		4: trust.TimestampName, 15: trust.TimestampName, 400: trust.MetadataName("root", 1),
	} {
		_, err := w.client("", night.AddDate(0, 0, days)).Refresh(t.Context(), "staging")
		refused(t, err, file, trust.Expired)
	}
	late := *w.repo()
	late.Now = night.AddDate(0, 0, 3)
	if err := late.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := w.client(state, night.AddDate(0, 0, 5))
	if _, err := c.Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	_, err := w.client(state, night.AddDate(0, 0, 16)).Refresh(t.Context(), "staging")
	refused(t, err, "", trust.Expired)
	if v, err := c.Last(t.Context(), "staging"); err != nil || v.Manifest() != first.Manifest {
		t.Fatalf("last: %v", err)
	}
}

// A clock that is set back makes nothing fresh again: the staging role has
// expired on a day that this client has already seen.
func TestClockSetBack(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1)
	w.release("prod", 2)
	late := *w.repo()
	late.Now = night.AddDate(0, 0, 14)
	if err := late.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if _, err := w.client(state, night.AddDate(0, 0, 16)).Refresh(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	_, err := w.client(state, night.AddDate(0, 0, 1)).Refresh(t.Context(), "staging")
	refused(t, err, trust.MetadataName("staging", 1), trust.Expired)
	if _, err := w.client(t.TempDir(), night.AddDate(0, 0, 1)).Refresh(t.Context(), "staging"); err != nil {
		t.Fatalf("a client that has not seen that day: %v", err)
	}
}

// Somebody else's repository, perfectly signed.
func TestForeignRoot(t *testing.T) {
	w := populated(t)
	other := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	other.release("staging", 1)
	_, err := w.with(other.store).client("", night).Refresh(t.Context(), "staging")
	refused(t, err, trust.MetadataName("root", 1), trust.ForeignRoot)
	_, err = w.with(other.store).client("", night).VerifyAll(t.Context(), "")
	refused(t, err, trust.MetadataName("root", 1), trust.ForeignRoot)
	// Trust on first use believes it, says so, and then keeps to it.
	state := t.TempDir()
	c := (&world{t: t, store: w.store, made: &publish.Created{}}).client(state, night)
	if _, err := c.Refresh(t.Context(), "staging"); err != nil || !c.FirstUse() {
		t.Fatalf("first use: %v, %v", err, c.FirstUse())
	}
	_, err = (&world{t: t, store: other.store, made: &publish.Created{}}).client(state, night).Refresh(t.Context(), "staging")
	refused(t, err, trust.MetadataName("root", 1), trust.ForeignRoot)
	if _, err := publish.Init(t.Context(), w.store, publish.InitOptions{Solo: true, Now: night}); !errors.Is(err, publish.ErrRepositoryExists) {
		t.Fatalf("init over a repository: %v", err)
	}
	// A publisher's pinned root protects the publisher.
	stranger := publish.Repository{Store: other.store, Keys: w.made.Keys, Now: night}
	_, err = stranger.Release(t.Context(), w.proposal("staging", 1))
	refused(t, err, "", trust.ForeignRoot)
}

// A withdrawn id disappears at once, for good, and after a restart; an old
// repository that does not know of it is refused.
func TestYankIsSticky(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	w.release("staging", 1, 2, 3)
	state := t.TempDir()
	c := w.client(state, night)
	if _, err := c.Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	if err := w.repo().Yank(t.Context(), "leaks", 9); !errors.Is(err, artifacts.ErrNotFound) {
		t.Fatalf("yank of an unknown id: %v", err)
	}
	if err := w.repo().Yank(t.Context(), "leaks", 2, 1); err != nil {
		t.Fatal(err)
	}
	v, err := c.Refresh(t.Context(), "staging")
	if err != nil || fmt.Sprint(ids(v.Release())) != "[3]" || v.Release().Baseline != catalog.BuiltIn {
		t.Fatalf("after the yank: %v %v", ids(v.Release()), err)
	}
	v, err = w.with(artifacts.NewMem()).client(state, night).Last(t.Context(), "staging")
	if err != nil || fmt.Sprint(ids(v.Release())) != "[3]" {
		t.Fatalf("last after a restart: %v", err)
	}
	if _, err := w.repo().Release(t.Context(), w.proposal("staging", 3, 2)); !errors.Is(err, publish.ErrProposal) {
		t.Fatalf("a withdrawn variant was proposed: %v", err)
	}
	w.release("staging", 3, 4)
	if v, err = c.Refresh(t.Context(), "staging"); err != nil || fmt.Sprint(ids(v.Release())) != "[3 4]" {
		t.Fatalf("next release: %v", err)
	}
	// A yank that was seen while refreshing one channel counts in the other.
	w.release("prod", 3)
	if err := w.repo().Yank(t.Context(), "leaks", 4); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	if v, err = c.Last(t.Context(), "staging"); err != nil || fmt.Sprint(ids(v.Release())) != "[3]" {
		t.Fatalf("last of the other channel: %v %v", ids(v.Release()), err)
	}
}

// A release for other machines, or for a newer runtime.
func TestWrongHost(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	p := w.proposal("staging", 1, 2)
	p.Entries[0].Envelope.Hardware.Arch = "pdp11"
	p.Entries[1].Envelope.Hardware.CPUFeatures = []string{"teleport"}
	if _, err := w.repo().Release(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	_, err := w.client("", night).Refresh(t.Context(), "staging")
	refused(t, err, "", trust.Hardware)
	if _, err := w.client("", night).VerifyAll(t.Context(), "staging"); err != nil {
		t.Fatalf("an audit runs anywhere: %v", err)
	}
	p = w.proposal("staging", 1, 2)
	p.RuntimeMin = catalog.RuntimeABI + 1
	if _, err := w.repo().Release(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	_, err = w.client("", night).Refresh(t.Context(), "staging")
	refused(t, err, "", trust.ABI)
}

// More bytes than were signed for, in any file.
func TestEndlessData(t *testing.T) {
	w := populated(t)
	rep, err := w.client("", night).VerifyAll(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range rep.Files {
		s := copyOf(t, w.store, "")
		put(t, s, name, make([]byte, 8<<20))
		_, err := w.with(s).client("", night).VerifyAll(t.Context(), "staging")
		refused(t, err, name, trust.TooLarge, trust.BadDigest, trust.Malformed)
	}
}

// A state that was damaged is refused, not forgotten.
func TestDamagedState(t *testing.T) {
	w := populated(t)
	state := t.TempDir()
	if _, err := w.client(state, night).Refresh(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	dir, err := artifacts.OpenDir(state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	put(t, dir, "trust-state.json", []byte(`{"schema":"arqon-trust-state/1"}`))
	_, err = trust.Open(trust.Config{Store: w.store, StateDir: state, Now: time.Now})
	refused(t, err, "trust-state.json", trust.Unreadable)
	if !strings.Contains(err.Error(), state) {
		t.Errorf("the refusal does not say where: %v", err)
	}
}
