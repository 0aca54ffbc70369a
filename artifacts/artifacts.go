// Package artifacts names bytes by their digest and keeps them in stores.
//
// A [Digest] says what the bytes are, a [Ref] says which bytes somebody wants,
// and a [Store] is a place that holds named objects: a local directory today
// ([Dir]), an S3-compatible bucket in its own room. Nothing here knows what
// the bytes mean; signatures and meaning belong to catalog/trust.
package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Digest names bytes: "sha256:" followed by 64 lower-case hexadecimal digits.
// The zero Digest names nothing.
type Digest string

const digestPrefix = "sha256:"

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	var d [len(digestPrefix) + 2*sha256.Size]byte
	hex.Encode(d[copy(d[:], digestPrefix):], sum[:])
	return Digest(d[:])
}

// ParseDigest accepts exactly the canonical form and refuses everything else,
// upper-case hexadecimal included: one set of bytes has one name.
func ParseDigest(s string) (Digest, error) {
	rest, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(rest) != 2*sha256.Size {
		return "", fmt.Errorf("digest %.80q: want %q and 64 hexadecimal digits", s, digestPrefix)
	}
	for i := range len(rest) {
		if c := rest[i]; c-'0' > 9 && c-'a' > 5 {
			return "", fmt.Errorf("digest %.80q: %q is not a lower-case hexadecimal digit", s, c)
		}
	}
	return Digest(s), nil
}

// Hex returns the 64 digits without the algorithm prefix.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short returns the first 12 digits, for people.
func (d Digest) Short() string {
	h := d.Hex()
	return h[:min(12, len(h))]
}

// Ref asks for bytes: which ones, how many at most, and what they are.
type Ref struct {
	Name      string `json:"name,omitempty"`       // a file name for people, never a path
	Digest    Digest `json:"digest"`               // sha256 of the bytes
	Size      int64  `json:"size"`                 // bytes, exactly
	MediaType string `json:"media_type,omitempty"` // RFC 6838
}

// RefOf describes b.
func RefOf(name, mediaType string, b []byte) Ref {
	return Ref{Name: name, Digest: DigestOf(b), Size: int64(len(b)), MediaType: mediaType}
}

// Getter reads bytes by reference. The bytes it returns have the size and the
// digest that the reference names; a Getter that cannot promise that returns
// an error wrapping [ErrNotFound] or [ErrCorrupt].
type Getter interface {
	Get(ctx context.Context, ref Ref) ([]byte, error)
}

// Putter stores bytes under their digest. Putting the same bytes twice is not
// an error.
type Putter interface {
	Put(ctx context.Context, b []byte) (Digest, error)
}

// The answers a caller of a store distinguishes.
var (
	ErrNotFound = errors.New("not found")
	ErrCorrupt  = errors.New("bytes differ from their digest")
	ErrExists   = errors.New("already exists")
	ErrConflict = errors.New("changed by somebody else")
	ErrTooLarge = errors.New("larger than allowed")
)

// Store holds named objects. Names are slash-separated, relative and clean;
// a name that could leave the store is refused.
//
// Create and Swap are the two conditional writes on which a publish commits:
// both are durable when they return nil, and nobody ever sees half an object.
type Store interface {
	// Read returns the object, or an error wrapping ErrNotFound or, past
	// limit bytes, ErrTooLarge.
	Read(ctx context.Context, name string, limit int64) ([]byte, error)
	// Create writes an object that must not exist (ErrExists).
	Create(ctx context.Context, name string, b []byte) error
	// Swap replaces old by b; ErrConflict if the object is not old (nil:
	// must not exist).
	Swap(ctx context.Context, name string, old, b []byte) error
	// List returns the names below prefix in ascending order.
	List(ctx context.Context, prefix string) ([]string, error)
}

// Remover is a Store from which objects can be taken away: for collecting what
// nothing names any more, and for nothing else.
type Remover interface {
	Store
	// Modified returns when the object was written last, by the store's
	// clock, or an error wrapping ErrNotFound.
	Modified(ctx context.Context, name string) (time.Time, error)
	// Remove takes the object away, durably. One that is not there is no
	// error: somebody else was faster.
	Remove(ctx context.Context, name string) error
}

// Check returns an error wrapping ErrCorrupt unless b is what ref names.
func Check(ref Ref, b []byte) error {
	if int64(len(b)) != ref.Size {
		return fmt.Errorf("%s: %d bytes instead of %d: %w", ref.label(), len(b), ref.Size, ErrCorrupt)
	}
	if got := DigestOf(b); got != ref.Digest {
		return fmt.Errorf("%s: digest is %s: %w", ref.label(), got.Short(), ErrCorrupt)
	}
	return nil
}

func (r Ref) label() string {
	if r.Name != "" {
		return r.Name + " " + r.Digest.Short()
	}
	return "blob " + r.Digest.Short()
}
