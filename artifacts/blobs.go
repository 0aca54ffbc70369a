package artifacts

import (
	"context"
	"errors"
	"fmt"
)

// BlobName is where the bytes of a digest live in a store:
//
//	blobs/sha256/<first two digits>/<64 digits>
//
// The digest must be canonical (ParseDigest).
func BlobName(d Digest) string {
	h := d.Hex()
	return "blobs/sha256/" + h[:min(2, len(h))] + "/" + h
}

// GetBlob reads the bytes that ref names from any store and checks them. The
// error names the object: ErrNotFound when it is missing, ErrCorrupt when its
// size or digest differs.
func GetBlob(ctx context.Context, s Store, ref Ref) ([]byte, error) {
	if _, err := ParseDigest(string(ref.Digest)); err != nil {
		return nil, err
	}
	return GetNamed(ctx, s, BlobName(ref.Digest), ref)
}

// GetNamed is GetBlob for bytes that are kept under another name than
// BlobName: what is read must be exactly what ref describes.
func GetNamed(ctx context.Context, s Store, name string, ref Ref) ([]byte, error) {
	if ref.Size < 0 {
		return nil, fmt.Errorf("%s: size %d is negative", name, ref.Size)
	}
	b, err := s.Read(ctx, name, ref.Size)
	if errors.Is(err, ErrTooLarge) {
		return nil, fmt.Errorf("%s: more than the %d bytes that it should have: %w", name, ref.Size, ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	if err := Check(ref, b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// Blobs is the Getter of any store's blobs.
type Blobs struct{ Store Store }

// Get implements Getter.
func (b Blobs) Get(ctx context.Context, ref Ref) ([]byte, error) { return GetBlob(ctx, b.Store, ref) }

// PutBlob stores b under its digest in any store. An object that is there
// already is read again: other bytes than b under b's name are ErrCorrupt.
func PutBlob(ctx context.Context, s Store, b []byte) (Digest, error) {
	d := DigestOf(b)
	return d, PutNamed(ctx, s, BlobName(d), b)
}

// PutNamed creates the object name with exactly the bytes b, or finds that it
// has them already. Anything else under that name is ErrCorrupt.
func PutNamed(ctx context.Context, s Store, name string, b []byte) error {
	err := s.Create(ctx, name, b)
	if !errors.Is(err, ErrExists) {
		return err
	}
	_, err = GetNamed(ctx, s, name, RefOf("", "", b))
	return err
}
