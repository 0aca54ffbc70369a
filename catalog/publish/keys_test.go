package publish

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/arqon/arqon/artifacts"
)

func passphrase(s string) Passphrase { return func(string) ([]byte, error) { return []byte(s), nil } }

func TestKeyFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	path, err := k.WriteFiles(dir, "prod", passphrase("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
	// cosign's format: its PEM type, its box, PKCS#8 inside; a plain PEM beside.
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "ENCRYPTED SIGSTORE PRIVATE KEY" {
		t.Fatalf("not cosign's PEM: %.60s", b)
	}
	if der, err := encrypted.Decrypt(block.Bytes, []byte("open sesame")); err != nil || len(der) == 0 {
		t.Errorf("not cosign's box: %v", err)
	}
	public, err := os.ReadFile(strings.TrimSuffix(path, ".key") + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := cryptoutils.UnmarshalPEMToPublicKey(public); err != nil || !k.Public.Equal(p) {
		t.Errorf("public key: %v", err)
	}
	got, err := ReadKey(path, passphrase("open sesame"))
	if err != nil || got.ID != k.ID || !got.private.Equal(k.private) {
		t.Fatalf("read back: %v", err)
	}
	if _, err := ReadKey(path, passphrase("wrong")); !errors.Is(err, ErrPassphrase) || !strings.Contains(err.Error(), path) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := ReadKey(path, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	if _, err := k.WriteFiles(dir, "prod", passphrase("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key file was replaced: %v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path, passphrase("open sesame")); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestKeyFilesRefused(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "text": "hello", "plain": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		"large": strings.Repeat("x", maxKeyFileBytes+1),
	} {
		path := filepath.Join(dir, name+".key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path, passphrase("x")); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenKeys(dir, passphrase("x")); err == nil {
		t.Error("key files without their .pub files were accepted")
	}
	if _, err := OpenKeys(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// A ring decrypts a file once, when its key is first needed, and notices a
// private key that does not belong to the public one beside it.
func TestKeyringIsLazy(t *testing.T) {
	dir := t.TempDir()
	asked := 0
	pass := func(string) ([]byte, error) { asked++; return []byte("x"), nil }
	var ids []string
	for _, name := range []string{"a", "b"} {
		k, err := GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.WriteFiles(dir, name, pass); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, k.ID)
	}
	asked = 0
	ring, err := OpenKeys(dir, pass)
	if err != nil || asked != 0 || len(ring.holds(ids)) != 2 {
		t.Fatalf("open: %v, asked %d times", err, asked)
	}
	for range 3 {
		if k, err := ring.first("r", ids[1:]); err != nil || k.ID != ids[1] {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times for one key", asked)
	}
	if _, err := ring.first("r", []string{"other"}); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key that the ring does not have: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "a.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.key"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if ring, err = OpenKeys(dir, pass); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.first("r", ids[1:]); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a private key beside another public one: %v", err)
	}
}

// Init with a directory that has key files does nothing at all.
func TestInitKeepsKeys(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "timestamp.key"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := artifacts.NewMem()
	_, err := Init(t.Context(), store, InitOptions{Solo: true, KeysDir: dir, Passphrase: passphrase("x"), Now: night})
	if !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files appeared: %v", entries)
	}
	if names, err := store.List(t.Context(), ""); err != nil || len(names) != 0 {
		t.Errorf("objects appeared: %v", names)
	}
}
