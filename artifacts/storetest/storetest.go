// Package storetest holds what every artifacts.Store must do, as a suite of
// tests, and a store that fails on demand. It is for tests only.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// Conform runs the suite; open returns a new, empty store.
func Conform(t *testing.T, open func(t *testing.T) artifacts.Store) {
	t.Run("create and read", func(t *testing.T) { createAndRead(t, open(t)) })
	t.Run("swap", func(t *testing.T) { swap(t, open(t)) })
	t.Run("list", func(t *testing.T) { list(t, open(t)) })
	t.Run("names", func(t *testing.T) { names(t, open(t)) })
	t.Run("odd names and bytes", func(t *testing.T) { odd(t, open(t)) })
	t.Run("same bytes", func(t *testing.T) { sameBytes(t, open(t)) })
	t.Run("blobs", func(t *testing.T) { blobs(t, open(t)) })
	t.Run("one creator wins", func(t *testing.T) { oneCreator(t, open(t)) })
	t.Run("no lost swap", func(t *testing.T) { noLostSwap(t, open(t)) })
	t.Run("remove", func(t *testing.T) { remove(t, open(t)) })
	t.Run("cancelled", func(t *testing.T) { cancelled(t, open(t)) })
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want %v", err, target)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Fatalf("error has more than one line: %q", err)
	}
}

func createAndRead(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	_, err := s.Read(ctx, "a/b", 10)
	want(t, err, artifacts.ErrNotFound)
	want(t, s.Create(ctx, "a/b", []byte("hello")), nil)
	want(t, s.Create(ctx, "a/b", []byte("other")), artifacts.ErrExists)
	want(t, s.Create(ctx, "empty", nil), nil)
	b, err := s.Read(ctx, "a/b", 5)
	want(t, err, nil)
	if string(b) != "hello" {
		t.Fatalf("read %q", b)
	}
	_, err = s.Read(ctx, "a/b", 4)
	want(t, err, artifacts.ErrTooLarge)
	b, err = s.Read(ctx, "empty", 0)
	want(t, err, nil)
	if len(b) != 0 {
		t.Fatalf("empty object has %d bytes", len(b))
	}
	if _, err := s.Read(ctx, "a", 10); err == nil {
		t.Fatal("a prefix was read as an object")
	}
}

func swap(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	want(t, s.Swap(ctx, "head", []byte("x"), []byte("1")), artifacts.ErrConflict)
	want(t, s.Swap(ctx, "head", nil, []byte("1")), nil)
	want(t, s.Swap(ctx, "head", nil, []byte("2")), artifacts.ErrConflict)
	want(t, s.Swap(ctx, "head", []byte("0"), []byte("2")), artifacts.ErrConflict)
	want(t, s.Swap(ctx, "head", []byte{}, []byte("2")), artifacts.ErrConflict)
	want(t, s.Swap(ctx, "head", []byte("1"), []byte("two")), nil)
	want(t, s.Swap(ctx, "head", []byte("t"), []byte("3")), artifacts.ErrConflict)
	b, err := s.Read(ctx, "head", 10)
	want(t, err, nil)
	if string(b) != "two" {
		t.Fatalf("head is %q", b)
	}
}

func list(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	all := []string{"m/1.root.json", "m/10.root.json", "m/timestamp.json", "n/x/y", "n/z", "top"}
	for _, n := range all {
		want(t, s.Create(ctx, n, []byte(n)), nil)
	}
	for prefix, names := range map[string][]string{
		"": all, "m/": all[:3], "m/1": all[:2], "n": all[3:5], "n/x/": all[3:4], "none/": nil, "m/1.root.json": all[:1],
	} {
		got, err := s.List(ctx, prefix)
		want(t, err, nil)
		if !slices.Equal(got, names) {
			t.Errorf("list %q: %v, want %v", prefix, got, names)
		}
	}
	if _, err := s.List(ctx, "../"); err == nil {
		t.Error("list ../ was accepted")
	}
}

func names(t *testing.T, s artifacts.Store) {
	for _, n := range []string{
		"", ".", "..", "/abs", "a//b", "a/../b", "../out", "a/", "./a", ".hidden", "a/.tmp", `a\b`, "a\x00b", "a\nb", "c:x",
		strings.Repeat("x", 201), strings.Repeat("a/", 300) + "a",
	} {
		if err := s.Create(t.Context(), n, []byte("x")); err == nil {
			t.Errorf("create %.40q was accepted", n)
		}
		if _, err := s.Read(t.Context(), n, 10); err == nil {
			t.Errorf("read %.40q was accepted", n)
		}
		if err := s.Swap(t.Context(), n, nil, []byte("x")); err == nil {
			t.Errorf("swap %.40q was accepted", n)
		}
	}
}

// odd names are legal, and bytes are bytes.
func odd(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	every := make([]byte, 256<<10)
	for i := range every {
		every[i] = byte(i ^ i>>8)
	}
	var all []string
	for _, n := range []string{"a b/c+d", "a%2Fb", "e&f=g;h", "q?r#s", "ü/é.json", "~x!", "(1)'*,@$"} {
		want(t, s.Create(ctx, n, every), nil)
		b, err := s.Read(ctx, n, int64(len(every)))
		want(t, err, nil)
		if !bytes.Equal(b, every) {
			t.Fatalf("%q: other bytes came back", n)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	got, err := s.List(ctx, "")
	want(t, err, nil)
	if !slices.Equal(got, all) {
		t.Fatalf("listed %q, want %q", got, all)
	}
}

// sameBytes: an object that is swapped back to what it was is what it was, for
// a store that recognises objects by their digests too.
func sameBytes(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	want(t, s.Create(ctx, "head", []byte("a")), nil)
	want(t, s.Swap(ctx, "head", []byte("a"), []byte("a")), nil)
	want(t, s.Swap(ctx, "head", []byte("a"), []byte("b")), nil)
	want(t, s.Swap(ctx, "head", []byte("a"), []byte("c")), artifacts.ErrConflict)
	want(t, s.Swap(ctx, "head", []byte("b"), []byte("a")), nil)
	want(t, s.Swap(ctx, "head", []byte("a"), nil), nil)
	want(t, s.Swap(ctx, "head", []byte{}, []byte("d")), nil)
	want(t, s.Swap(ctx, "head", nil, []byte("e")), artifacts.ErrConflict)
	if got := string(readAll(t, s, "head")); got != "d" {
		t.Fatalf("head is %q", got)
	}
}

func blobs(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	b := []byte("weights")
	ref := artifacts.RefOf("w.bin", "application/octet-stream", b)
	_, err := artifacts.GetBlob(ctx, s, ref)
	want(t, err, artifacts.ErrNotFound)
	for range 2 {
		d, err := artifacts.PutBlob(ctx, s, b)
		want(t, err, nil)
		if d != ref.Digest {
			t.Fatalf("digest %s, want %s", d, ref.Digest)
		}
	}
	got, err := artifacts.GetBlob(ctx, s, ref)
	want(t, err, nil)
	if !bytes.Equal(got, b) {
		t.Fatalf("got %q", got)
	}
	name := artifacts.BlobName(ref.Digest)
	want(t, s.Swap(ctx, name, b, []byte("weighty")), nil)
	_, err = artifacts.GetBlob(ctx, s, ref)
	want(t, err, artifacts.ErrCorrupt)
	if !strings.Contains(err.Error(), ref.Digest.Hex()) {
		t.Errorf("error does not name the object: %v", err)
	}
	_, err = artifacts.PutBlob(ctx, s, b)
	want(t, err, artifacts.ErrCorrupt)
	for _, other := range []string{"weight", "weights and more"} {
		want(t, s.Swap(ctx, name, readAll(t, s, name), []byte(other)), nil)
		_, err = artifacts.GetBlob(ctx, s, ref)
		want(t, err, artifacts.ErrCorrupt)
	}
	_, err = artifacts.GetBlob(ctx, s, artifacts.Ref{Digest: "sha256:../../x", Size: 1})
	if err == nil {
		t.Error("a digest with slashes was accepted")
	}
}

func readAll(t *testing.T, s artifacts.Store, name string) []byte {
	t.Helper()
	b, err := s.Read(t.Context(), name, 1<<20)
	want(t, err, nil)
	return b
}

func oneCreator(t *testing.T, s artifacts.Store) {
	const n = 16
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = s.Create(t.Context(), "one", fmt.Appendf(nil, "writer %02d", i)) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil {
			if winner >= 0 {
				t.Fatalf("%d and %d both created it", winner, i)
			}
			winner = i
			continue
		}
		want(t, err, artifacts.ErrExists)
	}
	if got := string(readAll(t, s, "one")); got != fmt.Sprintf("writer %02d", winner) {
		t.Fatalf("winner is %d, object is %q", winner, got)
	}
}

func noLostSwap(t *testing.T, s artifacts.Store) {
	ctx := t.Context()
	want(t, s.Swap(ctx, "n", nil, []byte("0")), nil)
	const writers, each = 4, 8
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() { errs[w] = count(ctx, s, each) })
	}
	wg.Wait()
	for _, err := range errs {
		want(t, err, nil)
	}
	if got := string(readAll(t, s, "n")); got != fmt.Sprint(writers*each) {
		t.Fatalf("counted to %s, want %d", got, writers*each)
	}
}

// count adds one to the object "n" the given number of times.
func count(ctx context.Context, s artifacts.Store, times int) error {
	for done := 0; done < times; {
		old, err := s.Read(ctx, "n", 20)
		if err != nil {
			return err
		}
		var v int
		if _, err := fmt.Sscan(string(old), &v); err != nil {
			return err
		}
		err = s.Swap(ctx, "n", old, fmt.Append(nil, v+1))
		if errors.Is(err, artifacts.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		done++
	}
	return nil
}

// remove: what is gone is gone, for readers, lists and conditions alike, and
// may be made anew; the time of an object is that of its last write.
func remove(t *testing.T, store artifacts.Store) {
	ctx := t.Context()
	s, ok := store.(artifacts.Remover)
	if !ok {
		t.Fatal("not an artifacts.Remover")
	}
	_, err := s.Modified(ctx, "a/b")
	want(t, err, artifacts.ErrNotFound)
	want(t, s.Remove(ctx, "a/b"), nil)
	want(t, s.Create(ctx, "a/b", []byte("x")), nil)
	want(t, s.Create(ctx, "a/c", []byte("y")), nil)
	first, err := s.Modified(ctx, "a/b")
	want(t, err, nil)
	if age := time.Since(first); age < -time.Minute || age > time.Minute {
		t.Fatalf("written %v ago", age)
	}
	want(t, s.Swap(ctx, "a/b", []byte("x"), []byte("x")), nil)
	again, err := s.Modified(ctx, "a/b")
	want(t, err, nil)
	if again.Before(first) {
		t.Fatalf("written at %v, again at %v", first, again)
	}
	want(t, s.Remove(ctx, "a/b"), nil)
	_, err = s.Read(ctx, "a/b", 10)
	want(t, err, artifacts.ErrNotFound)
	want(t, s.Swap(ctx, "a/b", []byte("x"), []byte("z")), artifacts.ErrConflict)
	names, err := s.List(ctx, "a/")
	want(t, err, nil)
	if !slices.Equal(names, []string{"a/c"}) {
		t.Fatalf("left: %v", names)
	}
	want(t, s.Create(ctx, "a/b", []byte("new")), nil)
	if got := string(readAll(t, s, "a/b")); got != "new" {
		t.Fatalf("made anew as %q", got)
	}
	for _, n := range []string{"", ".", "../x", ".lock", "/etc/passwd"} {
		if err := s.Remove(ctx, n); err == nil {
			t.Errorf("remove %q was accepted", n)
		}
	}
}

func cancelled(t *testing.T, s artifacts.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, s.Create(ctx, "x", []byte("x")), context.Canceled)
	want(t, s.Swap(ctx, "x", nil, []byte("x")), context.Canceled)
	_, err := s.Read(ctx, "x", 1)
	want(t, err, context.Canceled)
}
