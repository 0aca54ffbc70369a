package catalog

import (
	"errors"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/internal/seal"
)

// Verified is a release that catalog/trust has checked end to end: signatures,
// freshness, floors and the bytes of every artifact that it names. There is no
// other way to obtain one, and the runtime accepts nothing else.
type Verified struct {
	release  Release
	manifest artifacts.Digest
	blobs    artifacts.Getter
}

// NewVerified is for catalog/trust alone: nobody else can name a seal.Token.
// blobs returns the artifacts of the release, already checked.
func NewVerified(t seal.Token, r Release, manifest artifacts.Digest, blobs artifacts.Getter) (*Verified, error) {
	if !t.Valid() {
		return nil, errors.New("a verified release is made by catalog/trust only")
	}
	return &Verified{release: r, manifest: manifest, blobs: blobs}, nil
}

// IsZero reports whether v proves nothing.
func (v *Verified) IsZero() bool { return v == nil || v.manifest == "" }

// Release returns the verified manifest. The caller must not change what its
// slices and maps hold.
func (v *Verified) Release() *Release { return &v.release }

// Manifest returns the digest of the exact bytes that were signed.
func (v *Verified) Manifest() artifacts.Digest { return v.manifest }

// Blobs gives access to the verified artifacts.
func (v *Verified) Blobs() artifacts.Getter { return v.blobs }
