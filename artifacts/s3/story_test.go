package s3_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// The whole way on a real object store: the command founds the repository, a
// publisher publishes into it, a host's client adopts, the command verifies;
// one changed byte in the bucket, and both refuse.
func TestGatewayStory(t *testing.T) {
	url := gateway(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "arqon")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/arqon/arqon/cmd/arqon").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for k, v := range map[string]string{
		"ARQON_S3_ENDPOINT": url, "AWS_ACCESS_KEY_ID": gatewayUser, "AWS_SECRET_ACCESS_KEY": gatewaySecret,
		"ARQON_PASSPHRASE": "", "ARQON_STATE": filepath.Join(dir, "state"),
	} {
		t.Setenv(k, v)
	}
	place, keys := fresh(t), filepath.Join(dir, "keys")
	arqon := func(exit int, args ...string) string {
		t.Helper()
		c := exec.Command(program, append(args, "--repository", place, "--keys", keys)...)
		var said bytes.Buffer
		c.Stdout, c.Stderr, c.Dir = &said, &said, dir
		err := c.Run()
		var failed *exec.ExitError
		if code := c.ProcessState.ExitCode(); code != exit || err != nil && !errors.As(err, &failed) {
			t.Fatalf("arqon %v: exit %d, want %d: %v\n%s", args, code, exit, err, said.String())
		}
		return said.String()
	}
	arqon(0, "init", "--solo")
	if said := arqon(2, "init", "--solo"); !strings.Contains(said, "hint: ") {
		t.Errorf("founded twice: %s", said)
	}
	store, err := s3.OpenURL(place, s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	ring, err := publish.OpenKeys(keys, noPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	root, err := store.Read(t.Context(), trust.MetadataName("root", 1), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ring.Root = root
	p, err := proposal("staging", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	done, err := (&publish.Repository{Store: store, Keys: ring, Now: time.Now()}).Release(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	host, err := trust.Open(trust.Config{Store: store, StateDir: filepath.Join(dir, "host"), Root: root, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	}()
	adopted, err := host.Refresh(t.Context(), "staging")
	if err != nil || adopted.Manifest() != done.Manifest {
		t.Fatalf("refresh: %v", err)
	}
	if said := arqon(0, "verify"); !strings.Contains(said, "staging release 1: 2 entries") {
		t.Errorf("verify said %s", said)
	}
	if said := arqon(0, "doctor"); !strings.Contains(said, "keeps the conditions of writes") || !strings.Contains(said, "the store's clock") {
		t.Errorf("doctor said %s", said)
	}
	arqon(0, "inspect", "--channel", "staging")
	blob := p.Entries[1].Variant.Artifacts[0]
	if err := store.Swap(t.Context(), artifacts.BlobName(blob.Digest), []byte("weights 2"), []byte("Weights 2")); err != nil {
		t.Fatal(err)
	}
	if said := arqon(1, "verify"); !strings.Contains(said, blob.Digest.Hex()) {
		t.Errorf("verify said %s", said)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if said := arqon(1, "doctor"); !strings.Contains(said, "access denied") {
		t.Errorf("doctor said %s", said)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err != nil {
		t.Error(err)
	}
}
