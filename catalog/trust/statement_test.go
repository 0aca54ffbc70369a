package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bundle(t testing.TB, k *ecdsa.PrivateKey, s trust.Statement) []byte {
	t.Helper()
	b, err := trust.EncodeStatement(s)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, k, b)
}

func wrap(t testing.TB, k *ecdsa.PrivateKey, statement []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(trust.PreAuth(statement))
	sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	out, err := trust.Bundle(statement, sig, &k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func statement() trust.Statement {
	return trust.Statement{
		PredicateType: catalog.PredicateReport,
		Subjects:      []trust.Subject{{Name: "burst-01", Digest: artifacts.DigestOf([]byte("v"))}},
		Predicate:     json.RawMessage(`{"outcome":"PASS"}`),
	}
}

func TestStatement(t *testing.T) {
	k, other := key(t), key(t)
	b := bundle(t, k, statement())
	got, err := trust.VerifyStatement(b, &other.PublicKey, &k.PublicKey)
	if err != nil || !got.About(artifacts.DigestOf([]byte("v"))) || got.About(artifacts.DigestOf(nil)) ||
		got.PredicateType != catalog.PredicateReport || string(got.Predicate) != `{"outcome":"PASS"}` {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := trust.VerifyStatement(b, &other.PublicKey); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("another key: %v", err)
	}
	if _, err := trust.VerifyStatement(b); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("no key: %v", err)
	}
	// The form that cosign and @sigstore/verify read.
	for _, want := range []string{
		`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"`,
		`"dsseEnvelope":{"payload":"`, `"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"`,
	} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the bundle has no %s:\n%s", want, b)
		}
	}
	// The hint of one key over the signature of another.
	mixed := bytes.Replace(bundle(t, other, statement()), hint(t, other), hint(t, k), 1)
	if _, err := trust.VerifyStatement(mixed, &k.PublicKey, &other.PublicKey); !errors.Is(err, trust.ErrStatement) {
		t.Errorf("a relabelled hint: %v", err)
	}
}

// hint cuts the key hint out of a bundle made by k.
func hint(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	_, rest, _ := bytes.Cut(bundle(t, k, statement()), []byte(`"hint":`))
	h, _, _ := bytes.Cut(rest, []byte("}"))
	return h
}

func TestStatementVersions(t *testing.T) {
	k := key(t)
	text, err := trust.EncodeStatement(statement())
	if err != nil {
		t.Fatal(err)
	}
	for old, accepted := range map[string]bool{"Statement/v1": true, "Statement/v0.1": true, "Statement/v2": false} {
		b := bytes.Replace(text, []byte("Statement/v1"), []byte(old), 1)
		if _, err := trust.VerifyStatement(wrap(t, k, b), &k.PublicKey); (err == nil) != accepted {
			t.Errorf("%s: %v", old, err)
		}
	}
	for _, bad := range []trust.Statement{
		{}, {PredicateType: "x", Predicate: json.RawMessage("{}")},
		{PredicateType: "x", Predicate: json.RawMessage("{"), Subjects: statement().Subjects},
		{PredicateType: "x", Predicate: json.RawMessage("{}"), Subjects: []trust.Subject{{Name: "x", Digest: "sha256:00"}}},
	} {
		if _, err := trust.EncodeStatement(bad); !errors.Is(err, trust.ErrStatement) {
			t.Errorf("%+v was encoded: %v", bad, err)
		}
	}
}

// No single changed, added or removed byte of a bundle verifies.
func TestStatementBytes(t *testing.T) {
	k := key(t)
	good := bundle(t, k, statement())
	rapid.Check(t, func(t *rapid.T) {
		bad := bytes.Clone(good)
		at := rapid.IntRange(0, len(good)-1).Draw(t, "at")
		switch rapid.SampledFrom([]string{"flip", "insert", "delete"}).Draw(t, "how") {
		case "flip":
			bad[at] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		case "insert":
			bad = append(bad[:at], append([]byte{rapid.Byte().Draw(t, "byte")}, good[at:]...)...)
		default:
			bad = append(bad[:at], good[at+1:]...)
		}
		if bytes.Equal(bad, good) {
			return
		}
		if _, err := trust.VerifyStatement(bad, &k.PublicKey); !errors.Is(err, trust.ErrStatement) {
			t.Fatalf("verified (%v):\n%s", err, bad)
		}
	})
}

func FuzzVerifyStatement(f *testing.F) {
	k := key(f)
	f.Add(bundle(f, k, statement()))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := trust.VerifyStatement(b, &k.PublicKey)
		if err == nil && len(s.Subjects) == 0 {
			t.Fatal("verified a statement about nothing")
		}
		if err != nil && !errors.Is(err, trust.ErrStatement) {
			t.Fatalf("error without its sentinel: %v", err)
		}
	})
}

func FuzzDecodeYank(f *testing.F) {
	f.Add([]byte(`{"schema":"arqon-yank/1","yanked":[{"id":2,"identity":"sha256:x","reason":"r"}]}`))
	f.Add([]byte(`{"schema":"arqon-yank/1","yanked":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		y, err := trust.DecodeYank(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(y)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("a second spelling: %s", b)
		}
	})
}
