package external

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestTheNextTakesAwayWhatAKilledOwnerLeft(t *testing.T) {
	parent := t.TempDir()
	alive, err := newWorkDir(parent, "arqon-test-")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newWorkDir(parent, "arqon-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Unlock(); err != nil { // as the system does for whoever dies
		t.Fatal(err)
	}
	unlocked := filepath.Join(parent, "arqon-test-somebody-else")
	precious := filepath.Join(t.TempDir(), "precious")
	linked := filepath.Join(parent, "arqon-test-linked")
	for _, err := range []error{
		os.Mkdir(unlocked, 0o700), os.WriteFile(precious, []byte("text"), 0o600), os.Mkdir(linked, 0o700),
		os.Symlink(precious, filepath.Join(linked, lockName)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	next, err := newWorkDir(parent, "arqon-test-")
	if err != nil {
		t.Fatal(err)
	}
	for path, stays := range map[string]bool{alive.path: true, killed.path: false, unlocked: true, linked: true, next.path: true} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s: %v, stays: %v", filepath.Base(path), err, stays)
		}
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "text" {
		t.Errorf("the file that a link points to holds %q now (%v)", b, err)
	}
	for _, w := range []*workDir{alive, next} {
		if err := w.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(w.path); !os.IsNotExist(err) {
			t.Errorf("%s: %v, want %v", w.path, err, fs.ErrNotExist)
		}
	}
}
