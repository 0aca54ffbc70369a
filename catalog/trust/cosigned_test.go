package trust_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func stated(t testing.TB, k *ecdsa.PrivateKey, predicate string) []byte {
	t.Helper()
	p := json.RawMessage(predicate)
	return bundle(t, k, trust.Statement{PredicateType: catalog.PredicateWaiver, Subjects: []trust.Subject{trust.CosignedSubject(p)}, Predicate: p})
}

// Two people sign the same words; strangers count for nothing, nobody counts
// twice, and no signature can be moved to other words.
func TestCosigned(t *testing.T) {
	ann, bob, eve := key(t), key(t), key(t)
	file, err := trust.Cosign(nil, stated(t, ann, `{"x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Cosign(file, stated(t, ann, `{"x":1}`)); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("one key signed twice: %v", err)
	}
	if _, err := trust.Cosign(file, stated(t, bob, `{"x":2}`)); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("other words were joined: %v", err)
	}
	for _, k := range []*ecdsa.PrivateKey{eve, bob} {
		if file, err = trust.Cosign(file, stated(t, k, `{"x":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	s, n, err := trust.VerifyCosigned(file, catalog.PredicateWaiver, &ann.PublicKey, &bob.PublicKey)
	if err != nil || n != 2 || string(s.Predicate) != `{"x":1}` {
		t.Errorf("two of three: %d, %s, %v", n, s.Predicate, err)
	}
	if _, _, err := trust.VerifyCosigned(file, catalog.PredicateWaiver, &key(t).PublicKey); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("nobody's signature was believed: %v", err)
	}
	if _, _, err := trust.VerifyCosigned(file, catalog.PredicatePolicy, &ann.PublicKey); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("a waiver passed for an adoption: %v", err)
	}
	for i := range file {
		bad := append([]byte(nil), file...)
		bad[i] ^= 1
		if s, n, err := trust.VerifyCosigned(bad, catalog.PredicateWaiver, &ann.PublicKey, &bob.PublicKey); err == nil && (n > 2 || string(s.Predicate) != `{"x":1}`) {
			t.Fatalf("bit 0 of byte %d changed what was signed: %d, %s", i, n, s.Predicate)
		}
	}
}

func FuzzCosigned(f *testing.F) {
	k := key(f)
	file, err := trust.Cosign(nil, stated(f, k, `{"x":1}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"mediaType":"application/vnd.arqon.cosigned.v1+json","bundles":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, n, err := trust.VerifyCosigned(b, catalog.PredicateWaiver, &k.PublicKey)
		if err != nil && !errors.Is(err, trust.ErrStatement) {
			t.Errorf("unexplained: %v", err)
		}
		if err == nil && (n != 1 || string(s.Predicate) != `{"x":1}`) {
			t.Errorf("%d signers of %s", n, s.Predicate)
		}
	})
}
