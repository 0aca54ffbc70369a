package publish_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// interopVariable names the folder of the other readers, as make interop
// installs them.
const interopVariable = "ARQON_INTEROP"

// A repository is read by programs that others wrote and that know nothing of
// us, tuf-js and @sigstore/verify; what they are to refuse is tried as well.
func TestOtherReaders(t *testing.T) {
	readers := os.Getenv(interopVariable)
	if readers == "" {
		t.Skip("make interop runs this: it needs Node and its packages")
	}
	dir := filepath.Join(t.TempDir(), "repository")
	store, err := artifacts.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	today := time.Now() // tuf-js asks the machine's clock
	made, err := publish.Init(t.Context(), store, publish.InitOptions{Solo: true, Now: today})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: store, blobs: artifacts.NewMem(), made: made}
	release := func(channel string) *publish.Published {
		repo := publish.Repository{Store: store, Keys: made.Keys, Now: today}
		out, err := repo.Release(t.Context(), w.proposal(channel, 1, 2))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	staging, prod := release("staging"), release("prod")
	keys := publicKeys(t, w)
	root := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(root, w.made.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(repository string) (string, error) {
		c := exec.Command("node", filepath.Join(readers, "read.mjs"), repository, root, keys,
			trust.ManifestTarget("staging"), trust.ManifestTarget("prod"))
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stderr.String())
		}
		return string(out), err
	}
	out, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out)
	for _, want := range []string{
		"tuf " + trust.ManifestTarget("staging") + " " + staging.Manifest.Hex(),
		"tuf " + trust.ManifestTarget("prod") + " " + prod.Manifest.Hex(),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not read: %s", want)
		}
	}
	names, err := store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	bundles := 0
	for _, n := range names {
		if strings.HasSuffix(n, ".sigstore.json") {
			bundles++
		}
	}
	if got := strings.Count(out, "bundle "); got != bundles || got < 6 {
		t.Errorf("%d of %d bundles were verified", got, bundles)
	}
	for _, n := range names { // they are no rubber stamps either
		if !strings.HasSuffix(n, ".sigstore.json") && !strings.HasSuffix(n, ".prod.json") {
			continue
		}
		b, err := store.Read(t.Context(), n, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Replace(b, []byte(`"payload":"ey`), []byte(`"payload":"ez`), 1)
		bad = bytes.Replace(bad, []byte(`"length":`), []byte(`"length":1`), 1)
		put(t, store, n, bad)
		if _, err := read(dir); err == nil {
			t.Errorf("%s was changed and accepted", n)
		}
		put(t, store, n, b)
	}
}

// publicKeys writes every key of the ring as PEM.
func publicKeys(t *testing.T, w *world) string {
	t.Helper()
	dir := t.TempDir()
	h, err := trust.ReadHead(t.Context(), w.store, w.made.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range h.Targets.Signed.Delegations.Roles {
		public, err := h.PublicKeys(d.KeyIDs)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range public {
			der, err := x509.MarshalPKIXPublicKey(k)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, fmt.Sprintf("%s-%d.pub", d.Name, i))
			if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
