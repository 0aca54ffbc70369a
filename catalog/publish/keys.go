package publish

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/catalog/trust"
)

// The key files' PEM types: cosign's, so that cosign reads them.
const (
	pemPrivate = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"

	maxKeyFileBytes = 64 << 10
)

// The questions that a caller asks about keys.
var (
	ErrNoKey      = errors.New("no key of this role among the given keys")
	ErrPassphrase = errors.New("wrong passphrase")
	ErrKeyFile    = errors.New("key file refused")
)

// strength of the scrypt parameters of new key files; cosign's default.
var strength = encrypted.Standard

// Passphrase returns the passphrase of the private key file at path: from a
// prompt or the environment, which is the caller's business.
type Passphrase func(path string) ([]byte, error)

// Key is one ECDSA P-256 key that can sign. Its id is TUF's.
type Key struct {
	ID     string
	Public *ecdsa.PublicKey

	private *ecdsa.PrivateKey // nil: it lives in a key service
	tuf     *metadata.Key
	signer  signature.Signer
}

// GenerateKey makes a new key from the system's randomness.
func GenerateKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newKey(private)
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	if private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key is not on curve P-256: %w", ErrKeyFile)
	}
	signer, err := signature.LoadECDSASigner(private, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	tuf, id, err := tufKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Key{ID: id, Public: &private.PublicKey, private: private, tuf: tuf, signer: signer}, nil
}

func tufKey(public *ecdsa.PublicKey) (*metadata.Key, string, error) {
	k, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return nil, "", err
	}
	id, err := k.ID()
	return k, id, err
}

// SignStatement returns a Sigstore bundle with an in-toto statement about the
// subjects, signed by the key. The predicate is JSON.
func SignStatement(k *Key, predicateType string, subjects []trust.Subject, predicate []byte) ([]byte, error) {
	s, err := trust.EncodeStatement(trust.Statement{PredicateType: predicateType, Subjects: subjects, Predicate: predicate})
	if err != nil {
		return nil, err
	}
	sig, err := k.signer.SignMessage(bytes.NewReader(trust.PreAuth(s)))
	if err != nil {
		return nil, err
	}
	return trust.Bundle(s, sig, k.Public)
}

// note is the key as a signer of the log's checkpoints.
func (k *Key) note() trust.NoteKey {
	return trust.NoteKey{Public: k.Public, Key: func(message []byte) ([]byte, error) {
		return k.signer.SignMessage(bytes.NewReader(message))
	}}
}

// WriteFiles writes name.key (0600, encrypted) and name.pub into dir (0700,
// created if missing). It never replaces a file.
func (k *Key) WriteFiles(dir, name string, pass Passphrase) (path string, err error) {
	path = filepath.Join(dir, name+".key")
	if k.private == nil {
		return "", fmt.Errorf("%s: the private key is in a key service: %w", path, ErrKeyFile)
	}
	if pass == nil {
		return "", fmt.Errorf("%s: a passphrase is needed to write a private key: %w", path, ErrKeyFile)
	}
	secret, err := pass(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return "", err
	}
	box, err := encrypted.EncryptWithCustomKDFParameters(private, secret, strength)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(k.Public)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := writeNew(path, pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: box}), 0o600); err != nil {
		return "", err
	}
	return path, writeNew(filepath.Join(dir, name+".pub"), public, 0o644)
}

// ReadKey decrypts one private key file. A file that others can read, that is
// not cosign's format or not ECDSA P-256 is refused.
func ReadKey(path string, pass Passphrase) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %#o lets others read it; chmod 600 it: %w", path, info.Mode().Perm(), ErrKeyFile)
	}
	b, err := readCapped(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemPrivate || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("%s: not one PEM block %q: %w", path, pemPrivate, ErrKeyFile)
	}
	if pass == nil {
		return nil, fmt.Errorf("%s: %w: none was given", path, ErrPassphrase)
	}
	secret, err := pass(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	der, err := encrypted.Decrypt(block.Bytes, secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, ErrPassphrase)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, ErrKeyFile)
	}
	ec, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: a %T, want ECDSA P-256: %w", path, private, ErrKeyFile)
	}
	k, err := newKey(ec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func readCapped(path string) (b []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
	if err == nil && len(b) > maxKeyFileBytes {
		err = fmt.Errorf("%s: more than %d bytes: %w", path, maxKeyFileBytes, ErrKeyFile)
	}
	return b, err
}

// writeNew writes a file that must not exist, durably.
func writeNew(path string, b []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".tmp-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.Remove(f.Name()); rmErr != nil && err == nil {
			err = rmErr
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: exists and is not replaced: %w", path, fs.ErrExist)
		}
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
