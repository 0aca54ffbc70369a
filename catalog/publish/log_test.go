package publish

import (
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

// fork copies the repository as it is now.
func (f *forger) fork() *artifacts.Mem {
	f.t.Helper()
	out := artifacts.NewMem()
	names, err := f.store.List(f.t.Context(), "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, n := range names {
		b, err := f.store.Read(f.t.Context(), n, 1<<26)
		if err == nil {
			err = out.Create(f.t.Context(), n, b)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return out
}

// Somebody with every online key, and approvals for both, keeps two histories
// and shows a node the other one: all versions are higher, every signature is
// good, and the log gives it away.
func TestSplitView(t *testing.T) {
	f := newForger(t)
	f.publish(1, 2)
	other := f.fork()
	f.publish(1, 3)
	if err := f.refresh(); err != nil {
		t.Fatal(err)
	}
	seen := f.store
	f.store = other
	for n := range 20 { // far ahead, over several tiles
		f.publish(1, 4+n)
	}
	if err := f.audit(); err != nil {
		t.Fatalf("the other history is whole: %v", err)
	}
	if err := f.refresh(); trust.ReasonOf(err) != trust.SplitView {
		t.Errorf("the other history: %v", err)
	}
	f.store = seen
	for n := range 20 { // the first one goes on, over several tiles too
		f.publish(1, 40+n)
	}
	if err := f.refresh(); err != nil {
		t.Errorf("the first history: %v", err)
	}
}

// A head whose snapshot is not what the log holds, whose checkpoint is signed
// by others or of another size, whose tiles were changed.
func TestForgedLog(t *testing.T) {
	logKey := func(f *forger) trust.NoteKey {
		return f.key(f.head().Root.Signed.Roles[metadata.TIMESTAMP].KeyIDs).note()
	}
	forge := func(f *forger, n int64, record []byte, key trust.NoteKey) {
		h := f.head()
		files, err := trust.ExtendLog(t.Context(), f.store, h, n, record, key)
		if err != nil {
			t.Fatal(err)
		}
		f.snapshot(h, h.Snapshot.Signed.Version+1, func(map[string]*metadata.MetaFiles) {})
		for _, file := range files {
			f.put(file.Name, file.Bytes)
		}
	}
	for _, c := range []struct {
		what   string
		reason trust.Reason
		forge  func(f *forger)
	}{
		{"another record", trust.NotLogged, func(f *forger) { forge(f, 3, []byte("other"), logKey(f)) }},
		{"another key", trust.BadSignature, func(f *forger) {
			forge(f, 3, []byte("other"), f.key(f.head().Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs).note())
		}},
		{"another size", trust.Malformed, func(f *forger) {
			forge(f, 4, []byte("other"), logKey(f))
			b, err := f.store.Read(t.Context(), trust.CheckpointName(4), 1<<12)
			if err != nil {
				t.Fatal(err)
			}
			f.put(trust.CheckpointName(3), b)
		}},
		{"two signatures", trust.Malformed, func(f *forger) {
			f.publish(1, 3)
			b, err := f.store.Read(t.Context(), trust.CheckpointName(3), 1<<12)
			if err != nil {
				t.Fatal(err)
			}
			f.put(trust.CheckpointName(3), append(b, "— stranger AAAAAAAA\n"...))
		}},
		{"another tile", trust.BadDigest, func(f *forger) {
			f.publish(1, 3)
			b, err := f.store.Read(t.Context(), "log/tile/4/0/000.p/3", 1<<12)
			if err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1
			f.put("log/tile/4/0/000.p/3", b)
		}},
	} {
		f := newForger(t)
		f.publish(1, 2)
		if err := f.refresh(); err != nil {
			t.Fatal(err)
		}
		c.forge(f)
		if err := f.refresh(); trust.ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// History is what the log holds: an old commit that was signed again or that
// is gone is refused, and a number that a stranger took is no commit.
func TestHistoryIsLogged(t *testing.T) {
	history := func(f *forger) error {
		c, err := trust.Open(trust.Config{Store: f.store, Root: f.made.Root, Now: func() time.Time { return night }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.History(t.Context(), "staging", true)
		return err
	}
	f := newForger(t)
	f.publish(1)
	f.publish(1, 2)
	f.put(trust.MetadataName(metadata.SNAPSHOT, 4), []byte("a stranger was here"))
	f.publish(1, 3)
	if got := f.head().Snapshot.Signed.Version; got != 5 {
		t.Fatalf("the head is at %d", got)
	}
	if err := history(f); err != nil {
		t.Errorf("after a lost number: %v", err)
	}
	name := trust.MetadataName(metadata.SNAPSHOT, 2)
	b, err := f.store.Read(t.Context(), name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m, err := metadata.Snapshot().FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	m.Signatures = nil
	m.Signed.Expires = m.Signed.Expires.AddDate(0, 0, 1)
	again, err := sealed(m, f.key(f.head().Root.Signed.Roles[metadata.SNAPSHOT].KeyIDs))
	if err != nil {
		t.Fatal(err)
	}
	f.put(name, again)
	if err := history(f); trust.ReasonOf(err) != trust.NotLogged || !strings.Contains(err.Error(), name) {
		t.Errorf("a past that was signed again: %v", err)
	}
}
