package publish

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/kms"
)

// kmsSuffix marks a file that holds the URI of a key in a key service, one
// line, beside the .pub file of that key.
const kmsSuffix = ".kms"

// OpenKMS opens a key in a key service by its sigstore URI, NAME://REFERENCE.
// No provider is compiled in: sigstore starts the program sigstore-kms-NAME
// from PATH, so that a provider's modules weigh on those alone who use it.
func OpenKMS(ctx context.Context, uri string) (*Key, error) {
	service, err := kms.Get(ctx, uri, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("key %.200q: %w: %w", uri, err, ErrKeyFile)
	}
	public, err := service.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("key %.200q: %w: %w", uri, err, ErrKeyFile)
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key %.200q: a %T, want ECDSA P-256: %w", uri, public, ErrKeyFile)
	}
	tuf, id, err := tufKey(ec)
	if err != nil {
		return nil, err
	}
	return &Key{ID: id, Public: ec, tuf: tuf, signer: service}, nil
}

// WriteKMS writes name.kms with the URI and name.pub into dir, so that the
// folder is a key folder like any other. It never replaces a file.
func (k *Key) WriteKMS(dir, name, uri string) (path string, err error) {
	public, err := cryptoutils.MarshalPublicKeyToPEM(k.Public)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(dir, name+kmsSuffix)
	if err := writeNew(path, []byte(uri+"\n"), 0o600); err != nil {
		return "", err
	}
	return path, writeNew(filepath.Join(dir, name+".pub"), public, 0o644)
}

// readKMS opens the key that a .kms file names.
func readKMS(path string, _ Passphrase) (*Key, error) {
	b, err := readCapped(path)
	if err != nil {
		return nil, err
	}
	uri, rest, _ := bytes.Cut(b, []byte("\n"))
	if len(bytes.TrimSpace(rest)) != 0 || !strings.Contains(string(uri), "://") {
		return nil, fmt.Errorf("%s: want one line NAME://REFERENCE: %w", path, ErrKeyFile)
	}
	k, err := OpenKMS(context.Background(), strings.TrimSpace(string(uri)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}
