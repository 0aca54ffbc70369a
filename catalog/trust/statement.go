package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// BundleMediaType is the media type of a Sigstore bundle v0.3 in JSON.
const BundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

const (
	payloadType     = "application/vnd.in-toto+json"
	statementType   = "https://in-toto.io/Statement/v1"
	statementTypeV0 = "https://in-toto.io/Statement/v0.1"
)

// ErrStatement is wrapped by every refusal of a bundle.
var ErrStatement = errors.New("statement refused")

// Subject is what a statement is about: a name for people and a digest.
type Subject struct {
	Name   string
	Digest artifacts.Digest
}

// Statement is an in-toto Statement with its subjects' sha256 digests.
type Statement struct {
	PredicateType string
	Subjects      []Subject
	Predicate     json.RawMessage
}

// About reports whether d is one of the subjects.
func (s Statement) About(d artifacts.Digest) bool {
	for _, sub := range s.Subjects {
		if sub.Digest == d {
			return true
		}
	}
	return false
}

// EvidenceFor reports whether the statement is the gate report of the variant
// with the identity. One that an entry of that variant may not list at all
// wraps ErrStatement.
func (s Statement) EvidenceFor(identity artifacts.Digest) (report bool, err error) {
	if !catalog.IsEvidence(s.PredicateType) {
		return false, fmt.Errorf("a statement of type %.80q is no evidence about an entry: %w", s.PredicateType, ErrStatement)
	}
	if !s.About(identity) {
		return false, fmt.Errorf("the statement is not about %s: %w", identity.Short(), ErrStatement)
	}
	return s.PredicateType == catalog.PredicateReport, nil
}

type wireSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type wireStatement struct {
	Type          string          `json:"_type"`
	Subject       []wireSubject   `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type wireSignature struct {
	Sig []byte `json:"sig"`
}

type wireEnvelope struct {
	Payload     []byte          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []wireSignature `json:"signatures"`
}

type wireKey struct {
	Hint string `json:"hint"`
}

type wireMaterial struct {
	PublicKey wireKey `json:"publicKey"`
}

// wireBundle is the part of a Sigstore bundle that a key-signed statement
// needs. It is written in this order and read in no other:
//
//	{"mediaType":…,"verificationMaterial":{"publicKey":{"hint":…}},
//	 "dsseEnvelope":{"payload":…,"payloadType":…,"signatures":[{"sig":…}]}}
type wireBundle struct {
	MediaType string       `json:"mediaType"`
	Material  wireMaterial `json:"verificationMaterial"`
	Envelope  wireEnvelope `json:"dsseEnvelope"`
}

// EncodeStatement returns the bytes that go into the envelope.
func EncodeStatement(s Statement) ([]byte, error) {
	if s.PredicateType == "" || len(s.Subjects) == 0 || !json.Valid(s.Predicate) {
		return nil, fmt.Errorf("want a predicate type, subjects and a JSON predicate: %w", ErrStatement)
	}
	w := wireStatement{Type: statementType, PredicateType: s.PredicateType, Predicate: s.Predicate}
	for _, sub := range s.Subjects {
		if _, err := artifacts.ParseDigest(string(sub.Digest)); err != nil {
			return nil, fmt.Errorf("subject %.80q: %w: %w", sub.Name, err, ErrStatement)
		}
		w.Subject = append(w.Subject, wireSubject{Name: sub.Name, Digest: map[string]string{"sha256": sub.Digest.Hex()}})
	}
	return json.Marshal(w)
}

// PreAuth is the byte string that is signed for a statement (DSSE v1, PAE):
// "DSSEv1 <len type> <type> <len payload> <payload>".
func PreAuth(statement []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement)
}

// Bundle wraps a statement and its signature (ASN.1 ECDSA over PreAuth).
func Bundle(statement, sig []byte, public *ecdsa.PublicKey) ([]byte, error) {
	hint, err := keyHint(public)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wireBundle{
		MediaType: BundleMediaType,
		Material:  wireMaterial{PublicKey: wireKey{Hint: hint}},
		Envelope:  wireEnvelope{Payload: statement, PayloadType: payloadType, Signatures: []wireSignature{{Sig: sig}}},
	})
}

// keyHint is cosign's: base64 of SHA-256 of the key in PKIX form.
func keyHint(public *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// VerifyStatement returns the statement of a bundle that one of the keys has
// signed. The bundle must be in the form that Bundle writes; its hint is not
// signed and is used for nothing but to be equal to the key that verified.
// The error wraps ErrStatement.
func VerifyStatement(bundle []byte, keys ...*ecdsa.PublicKey) (Statement, error) {
	if len(bundle) > maxBundleBytes {
		return Statement{}, fmt.Errorf("bundle has %d bytes, at most %d: %w", len(bundle), maxBundleBytes, ErrStatement)
	}
	var w wireBundle
	if err := decodeStrict(bundle, &w); err != nil {
		return Statement{}, fmt.Errorf("bundle: %w: %w", err, ErrStatement)
	}
	if w.MediaType != BundleMediaType || w.Envelope.PayloadType != payloadType || len(w.Envelope.Signatures) != 1 {
		return Statement{}, fmt.Errorf("bundle: want %s with one signature over %s: %w", BundleMediaType, payloadType, ErrStatement)
	}
	for _, public := range keys {
		hint, err := keyHint(public)
		if err != nil || hint != w.Material.PublicKey.Hint {
			continue
		}
		if !verify(public, PreAuth(w.Envelope.Payload), w.Envelope.Signatures[0].Sig) {
			return Statement{}, fmt.Errorf("bundle: the signature does not verify: %w", ErrStatement)
		}
		return decodeStatement(w.Envelope.Payload)
	}
	return Statement{}, fmt.Errorf("bundle: signed by a key that may not: %w", ErrStatement)
}

// decodeStatement reads a signed statement: v1, or v0.1 from older tools.
func decodeStatement(b []byte) (Statement, error) {
	var w wireStatement
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Statement{}, fmt.Errorf("statement: %w: %w", err, ErrStatement)
	}
	if w.Type != statementType && w.Type != statementTypeV0 {
		return Statement{}, fmt.Errorf("statement type %.80q: want %s: %w", w.Type, statementType, ErrStatement)
	}
	s := Statement{PredicateType: w.PredicateType, Predicate: w.Predicate}
	for _, sub := range w.Subject {
		d, err := artifacts.ParseDigest("sha256:" + sub.Digest["sha256"])
		if err != nil {
			return Statement{}, fmt.Errorf("subject %.80q: %w: %w", sub.Name, err, ErrStatement)
		}
		s.Subjects = append(s.Subjects, Subject{Name: sub.Name, Digest: d})
	}
	return s, nil
}

// decodeStrict decodes JSON that must be exactly what encoding v again gives.
func decodeStrict[T any](b []byte, v *T) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, again) {
		return fmt.Errorf("not in canonical form from byte %d on", firstDifference(b, again))
	}
	return nil
}
