package artifacts_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/storetest"
)

func TestStoresConform(t *testing.T) {
	t.Run("dir", func(t *testing.T) {
		storetest.Conform(t, func(t *testing.T) artifacts.Store { return openDir(t, t.TempDir()) })
	})
	t.Run("mem", func(t *testing.T) {
		storetest.Conform(t, func(*testing.T) artifacts.Store { return artifacts.NewMem() })
	})
}

func openDir(t *testing.T, path string) *artifacts.Dir {
	t.Helper()
	d, err := artifacts.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestSymlinkCannotLeaveTheDirectory(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	inside := t.TempDir()
	for link, target := range map[string]string{"file": secret, "dir": outside} {
		if err := os.Symlink(target, filepath.Join(inside, link)); err != nil {
			t.Fatal(err)
		}
	}
	d := openDir(t, inside)
	for _, name := range []string{"file", "dir/secret"} {
		if b, err := d.Read(t.Context(), name, 100); err == nil {
			t.Errorf("%s: read %q from outside", name, b)
		}
	}
	if err := d.Create(t.Context(), "dir/new", []byte("x")); err == nil {
		t.Error("created a file outside")
	}
	if err := d.Swap(t.Context(), "file", []byte("key"), []byte("yours")); err == nil {
		t.Error("swapped a file outside")
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "key" {
		t.Errorf("outside file is now %q, %v", b, err)
	}
	names, err := d.List(t.Context(), "")
	if err != nil || len(names) != 0 {
		t.Errorf("links are listed: %v, %v", names, err)
	}
}

func TestMissingDirectoryIsNotCreatedForAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere")
	_, err := artifacts.OpenExistingDir(path)
	if !errors.Is(err, artifacts.ErrNotFound) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the reader created the directory")
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add("sha256:")
	f.Add(string(artifacts.DigestOf(nil)))
	f.Add("sha256:" + strings.Repeat("A", 64))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := artifacts.ParseDigest(s)
		if err != nil {
			return
		}
		if string(d) != s || artifacts.CheckName(artifacts.BlobName(d)) != nil {
			t.Fatalf("%q was accepted", s)
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "a//b", ".lock", "a\\b", "a/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if artifacts.CheckName(s) != nil {
			return
		}
		if !filepath.IsLocal(s) || filepath.Clean(s) != s || strings.Contains(s, "/.") {
			t.Fatalf("%q was accepted", s)
		}
	})
}
