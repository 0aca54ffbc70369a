package trust

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// CosignedMediaType is the media type of a cosigned statement.
const CosignedMediaType = "application/vnd.arqon.cosigned.v1+json"

// Bounds of one cosigned statement.
const (
	maxCosigners     = 100 // bundles
	maxCosignedBytes = 1 << 20
)

// cosigned is one statement under several people's signatures: a Sigstore
// bundle each, so that every one of them can be checked by other tools too.
type cosigned struct {
	MediaType string            `json:"mediaType"`
	Bundles   []json.RawMessage `json:"bundles"`
}

// CosignedSubject is the subject of a cosigned statement: its own predicate.
func CosignedSubject(predicate []byte) Subject {
	return Subject{Name: "predicate", Digest: artifacts.DigestOf(predicate)}
}

// Cosign returns the file with one more bundle; an empty file begins one. The
// bundle must state exactly what the others do and be by another key. The
// error wraps ErrStatement.
func Cosign(file, bundle []byte) ([]byte, error) {
	c := cosigned{MediaType: CosignedMediaType}
	if len(file) > 0 {
		var err error
		if c, err = readCosigned(file); err != nil {
			return nil, err
		}
	}
	var now wireBundle
	if err := decodeStrict(bundle, &now); err != nil {
		return nil, fmt.Errorf("bundle: %w: %w", err, ErrStatement)
	}
	for _, raw := range c.Bundles {
		var b wireBundle
		if err := decodeStrict(raw, &b); err != nil {
			return nil, fmt.Errorf("bundle: %w: %w", err, ErrStatement)
		}
		if !bytes.Equal(b.Envelope.Payload, now.Envelope.Payload) {
			return nil, fmt.Errorf("the new signature is over something else: %w", ErrStatement)
		}
		if b.Material == now.Material {
			return nil, fmt.Errorf("the key has signed already: %w", ErrStatement)
		}
	}
	c.Bundles = append(slices.Clone(c.Bundles), bundle)
	return json.Marshal(c)
}

// VerifyCosigned returns what a cosigned statement states and how many of the
// keys have signed it. Signatures by other keys count for nothing. The error
// wraps ErrStatement when nobody's does, when the predicate is of another type
// or when two signers state different things.
func VerifyCosigned(file []byte, predicateType string, keys ...*ecdsa.PublicKey) (Statement, int, error) {
	c, err := readCosigned(file)
	if err != nil {
		return Statement{}, 0, err
	}
	var out Statement
	signers := 0
	for _, public := range keys {
		for _, raw := range c.Bundles {
			s, err := VerifyStatement(raw, public)
			if err != nil {
				continue // by somebody else
			}
			if s.PredicateType != predicateType || !s.About(CosignedSubject(s.Predicate).Digest) {
				return Statement{}, 0, fmt.Errorf("a %.80q, want a %s about itself: %w", s.PredicateType, predicateType, ErrStatement)
			}
			if signers > 0 && !bytes.Equal(s.Predicate, out.Predicate) {
				return Statement{}, 0, fmt.Errorf("its signers state different things: %w", ErrStatement)
			}
			out = s
			signers++
			break // one key counts once
		}
	}
	if signers == 0 {
		return Statement{}, 0, fmt.Errorf("none of its %d signatures is by a key that may: %w", len(c.Bundles), ErrStatement)
	}
	return out, signers, nil
}

// CosignedPredicate returns what a cosigned statement says without believing
// anybody: for showing it to who is about to sign.
func CosignedPredicate(file []byte, predicateType string) (json.RawMessage, error) {
	c, err := readCosigned(file)
	if err != nil {
		return nil, err
	}
	var w wireBundle
	if err := decodeStrict(c.Bundles[0], &w); err != nil {
		return nil, fmt.Errorf("bundle: %w: %w", err, ErrStatement)
	}
	s, err := decodeStatement(w.Envelope.Payload)
	if err != nil {
		return nil, err
	}
	if s.PredicateType != predicateType {
		return nil, fmt.Errorf("a %.80q, want a %s: %w", s.PredicateType, predicateType, ErrStatement)
	}
	return s.Predicate, nil
}

// VerifyWaiver refuses a cosigned file that is not the waiver, word for word,
// under the signature of at least one of the keys. How many are needed is the
// policy's, which the gates ask for.
func VerifyWaiver(file []byte, want catalog.Waiver, keys ...*ecdsa.PublicKey) error {
	s, _, err := VerifyCosigned(file, catalog.PredicateWaiver, keys...)
	if err != nil {
		return err
	}
	words, err := catalog.EncodeWaiver(want)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrStatement)
	}
	if !bytes.Equal(s.Predicate, words) {
		return fmt.Errorf("what was signed is another waiver: %w", ErrStatement)
	}
	return nil
}

func readCosigned(file []byte) (cosigned, error) {
	var c cosigned
	if len(file) > maxCosignedBytes {
		return c, fmt.Errorf("%d bytes, at most %d: %w", len(file), maxCosignedBytes, ErrStatement)
	}
	if err := decodeStrict(file, &c); err != nil {
		return c, fmt.Errorf("cosigned statement: %w: %w", err, ErrStatement)
	}
	if c.MediaType != CosignedMediaType || len(c.Bundles) == 0 || len(c.Bundles) > maxCosigners {
		return c, fmt.Errorf("cosigned statement: want %s with 1 to %d bundles: %w", CosignedMediaType, maxCosigners, ErrStatement)
	}
	return c, nil
}
