package publish_test

import (
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

// rotate grants a fresh key and revokes the role's first one.
func (w *world) rotate(role string, keepEvidence bool) (old string) {
	w.t.Helper()
	roles, err := w.repo().Roles(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(roles, func(r publish.RoleStatus) bool { return r.Role == role })
	old = roles[i].Keys[0]
	k, err := publish.GenerateKey()
	if err != nil {
		w.t.Fatal(err)
	}
	w.made.Keys.Add(k)
	if err := w.repo().Grant(w.t.Context(), role, k.Public, 0); err != nil {
		w.t.Fatalf("grant %s: %v", role, err)
	}
	w.audit()
	if err := w.repo().Revoke(w.t.Context(), role, old, 0, keepEvidence); err != nil {
		w.t.Fatalf("revoke %s: %v", role, err)
	}
	w.audit()
	return old
}

func (w *world) audit() {
	w.t.Helper()
	if _, err := w.client("", night).VerifyAll(w.t.Context(), ""); err != nil {
		w.t.Fatal(err)
	}
}

// Every role gets a new key while a host goes on refreshing, and afterwards
// the whole history still verifies under the keys of its time.
func TestRotateEveryRole(t *testing.T) {
	roles := map[bool][]string{
		true:  {"timestamp", "snapshot", "targets", "root", "prod", "staging", "yank"},
		false: {"root", "prod", "staging"},
	}
	for _, solo := range []bool{true, false} {
		w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: solo})
		w.release("staging", 1, 2)
		w.release("prod", 1, 2)
		if err := w.repo().Yank(t.Context(), "wrong", 2); err != nil {
			t.Fatal(err)
		}
		c := w.client(t.TempDir(), night)
		for _, role := range roles[solo] {
			w.rotate(role, true)
			if _, err := c.Refresh(t.Context(), "prod"); err != nil {
				t.Fatalf("solo %t: a host after the rotation of %s: %v", solo, role, err)
			}
		}
		w.release("staging", 1, 3)
		if v, err := c.Refresh(t.Context(), "staging"); err != nil || v.Release().Sequence != 2 {
			t.Fatalf("solo %t: %v", solo, err)
		}
		for _, channel := range []string{"staging", "prod"} {
			past, err := w.client("", night).History(t.Context(), channel, true)
			if err != nil || len(past) == 0 {
				t.Fatalf("solo %t: history of %s: %v", solo, channel, err)
			}
		}
	}
}

// A key that was revoked signs nothing any more; a stolen evidence key takes
// its statements along, so what rests on them must go first.
func TestRevoked(t *testing.T) {
	w := found(t, artifacts.NewMem(), publish.InitOptions{})
	ctx := t.Context()
	roles, err := w.repo().Roles(ctx)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for _, r := range roles {
		keys[r.Role] = r.Keys
	}
	if err := w.repo().Revoke(ctx, "timestamp", keys["timestamp"][0], 0, false); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("the last key of a role was revoked: %v", err)
	}
	if err := w.repo().Revoke(ctx, "prod", "nobody", 0, false); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("a stranger's key was revoked: %v", err)
	}
	// 2 of 3 becomes 2 of 2, and then there is nobody to spare.
	if err := w.repo().Revoke(ctx, "prod", keys["prod"][0], 0, false); err != nil {
		t.Fatal(err)
	}
	if err := w.repo().Revoke(ctx, "prod", keys["prod"][1], 0, false); !errors.Is(err, publish.ErrProposal) {
		t.Errorf("below the threshold: %v", err)
	}
	w.release("staging", 1)
	k, err := publish.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	w.made.Keys.Add(k)
	if err := w.repo().Grant(ctx, "staging", k.Public, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.repo().Revoke(ctx, "staging", keys["staging"][0], 0, false); err == nil {
		t.Error("an evidence key went while a release rests on its statements")
	}
	w.audit()
	if err := w.repo().Revoke(ctx, "staging", keys["staging"][0], 0, true); err != nil {
		t.Fatal(err)
	}
	w.audit()
	// Its statements go when a release with statements of the new key has come.
	if err := w.repo().Revoke(ctx, "staging", keys["staging"][0], 0, false); err == nil {
		t.Error("statements went while a release rests on them")
	}
	fresh := w.repo()
	fresh.Keys = publish.MemoryKeys(k)
	fresh.Keys.Root = w.made.Root
	p, err := fresh.Propose(ctx, w.proposal("staging", 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Sign(ctx, p.Manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo().Publish(ctx, p.Manifest); err != nil {
		t.Fatal(err)
	}
	if err := w.repo().Revoke(ctx, "staging", keys["staging"][0], 0, false); err != nil {
		t.Fatal(err)
	}
	w.audit()
	// One of three root keys cannot change the roots.
	lonely := *w.repo()
	one, err := publish.OpenKeys(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	one.Root = w.made.Root
	lonely.Keys = one
	if err := lonely.Resign(ctx, "root"); !errors.Is(err, publish.ErrApprovals) {
		t.Errorf("a root without signatures: %v", err)
	}
}

// service stands for a key service: a signer that never shows its key.
type service struct{ signature.SignerVerifier }

func (service) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.ErrUnsupported
}
func (service) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.ErrUnsupported
}
func (service) SupportedAlgorithms() []string { return nil }
func (service) DefaultAlgorithm() string      { return "" }

// A role moves into a key service; the folder then holds a URI and no secret.
func TestKeyService(t *testing.T) {
	sv, _, err := signature.NewDefaultECDSASignerVerifier()
	if err != nil {
		t.Fatal(err)
	}
	kms.AddProvider("toykms://", func(context.Context, string, crypto.Hash, ...signature.RPCOption) (kms.SignerVerifier, error) {
		return service{sv}, nil
	})
	w := found(t, artifacts.NewMem(), publish.InitOptions{Solo: true})
	k, err := publish.OpenKMS(t.Context(), "toykms://vault/staging")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := k.WriteFiles(dir, "staging", nil); !errors.Is(err, publish.ErrKeyFile) {
		t.Errorf("a key in a service was written: %v", err)
	}
	path, err := k.WriteKMS(dir, "staging", "toykms://vault/staging")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.repo().Grant(t.Context(), "staging", k.Public, 2); err != nil {
		t.Fatal(err)
	}
	ring, err := publish.OpenKeys(dir, nil)
	if err != nil || !ring.Holds(k.ID) || ring.Path(k.ID) != path {
		t.Fatalf("ring: %v", err)
	}
	ring.Root = w.made.Root
	p, err := w.repo().Propose(t.Context(), w.proposal("staging", 1))
	if err != nil {
		t.Fatal(err)
	}
	byService := publish.Repository{Store: w.store, Keys: ring, Now: night}
	if rv, err := byService.Sign(t.Context(), p.Manifest); err != nil || len(rv.Signed) != 1 {
		t.Fatalf("signed by the service: %v", err)
	}
	if _, err := w.repo().Sign(t.Context(), p.Manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo().Publish(t.Context(), p.Manifest); err != nil {
		t.Fatal(err)
	}
	w.audit()
	if _, err := publish.OpenKMS(t.Context(), "nobody://x"); !errors.Is(err, publish.ErrKeyFile) {
		t.Errorf("an unknown service: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "staging.kms"), []byte("two\nlines\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := publish.OpenKeys(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Root = w.made.Root
	byService.Keys = again
	if _, _, err := byService.Endorse(t.Context(), "staging", catalog.PredicateApproval, nil, nil); !errors.Is(err, publish.ErrKeyFile) {
		t.Errorf("a damaged .kms file: %v", err)
	}
}
