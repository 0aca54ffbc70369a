package artifacts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errCrash = errors.New("crash")

// A crash at any step of a write leaves the old object or the new one, whole,
// and the same write done again succeeds or finds its own bytes.
func TestCrashAtEveryStep(t *testing.T) {
	for _, op := range []string{"write", "place", "sync"} {
		t.Run(op, func(t *testing.T) {
			d, err := OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := d.Create(t.Context(), "head", []byte("old")); err != nil {
				t.Fatal(err)
			}
			d.hook = func(o, _ string) error {
				if o == op {
					return errCrash
				}
				return nil
			}
			if err := d.Swap(t.Context(), "head", []byte("old"), []byte("new")); !errors.Is(err, errCrash) {
				t.Fatalf("swap: %v", err)
			}
			if _, err := d.Put(t.Context(), []byte("blob")); !errors.Is(err, errCrash) {
				t.Fatalf("put: %v", err)
			}
			d.hook = nil
			b, err := d.Read(t.Context(), "head", 10)
			if err != nil || (string(b) != "old" && string(b) != "new") {
				t.Fatalf("head is %q, %v", b, err)
			}
			if _, err := d.Put(t.Context(), []byte("blob")); err != nil {
				t.Fatalf("put again: %v", err)
			}
			names, err := d.List(t.Context(), "")
			if err != nil || len(names) != 2 {
				t.Fatalf("objects %v, %v", names, err)
			}
		})
	}
}

func TestErrorsNameTheFileOnce(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err = d.Read(t.Context(), "m/x.json", 10)
	path := filepath.Join(dir, "m", "x.json")
	if !errors.Is(err, ErrNotFound) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("got %q", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), "m", 10); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("reading a directory: %v", err)
	}
}
