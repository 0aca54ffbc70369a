package publish

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
)

const maxKeyFiles = 1000 // in one directory tree

// Keyring is the keys that a person or a job holds. Private files are
// decrypted when first needed, once a process: scrypt costs a while.
type Keyring struct {
	// Root is the root metadata that was pinned when the keys were made, or
	// nil. A publisher believes no other repository.
	Root []byte

	pass    Passphrase
	entries []*ringEntry
}

type ringEntry struct {
	id   string
	path string // of the .key file; "" for a key that lives in memory
	key  *Key
}

// rootFile is the pinned root beside the keys.
const rootFile = "root.json"

// OpenKeys finds the key files of a directory and its sub-folders by their
// .pub files. pass is asked when a private key is first needed.
func OpenKeys(dir string, pass Passphrase) (*Keyring, error) {
	ring := &Keyring{pass: pass}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ext := filepath.Ext(path)
		if (ext != ".key" && ext != kmsSuffix) || e.IsDir() {
			return nil
		}
		if len(ring.entries) >= maxKeyFiles {
			return fmt.Errorf("%s: more than %d key files: %w", dir, maxKeyFiles, ErrKeyFile)
		}
		id, err := readPublicID(strings.TrimSuffix(path, ext) + ".pub")
		if err != nil {
			return err
		}
		ring.entries = append(ring.entries, &ringEntry{id: id, path: path})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	sort.Slice(ring.entries, func(i, j int) bool { return ring.entries[i].path < ring.entries[j].path })
	if ring.Root, err = readCapped(filepath.Join(dir, rootFile)); errors.Is(err, fs.ErrNotExist) {
		ring.Root, err = nil, nil
	}
	return ring, err
}

func readPublicID(path string) (string, error) {
	public, err := ReadPublic(path)
	if err != nil {
		return "", err
	}
	_, id, err := tufKey(public)
	return id, err
}

// ReadPublic reads a .pub file: one ECDSA P-256 key in PEM.
func ReadPublic(path string) (*ecdsa.PublicKey, error) {
	b, err := readCapped(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemPublic || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("%s: not one PEM block %q: %w", path, pemPublic, ErrKeyFile)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, ErrKeyFile)
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: a %T, want ECDSA P-256: %w", path, public, ErrKeyFile)
	}
	return ec, nil
}

// Path returns the private file of the key with the id: "" if the ring does
// not hold it or holds it in memory.
func (r *Keyring) Path(id string) string {
	for _, e := range r.entries {
		if e.id == id {
			return e.path
		}
	}
	return ""
}

// Holds reports whether the ring has the private key with the id.
func (r *Keyring) Holds(id string) bool { return len(r.holds([]string{id})) > 0 }

// Add puts a key into the ring for as long as the process lives.
func (r *Keyring) Add(k *Key) { r.entries = append(r.entries, &ringEntry{id: k.ID, key: k}) }

// without returns the ring without one key, sharing what is decrypted.
func (r *Keyring) without(id string) *Keyring {
	c := &Keyring{Root: r.Root, pass: r.pass}
	for _, e := range r.entries {
		if e.id != id {
			c.entries = append(c.entries, e)
		}
	}
	return c
}

// MemoryKeys returns a ring of keys that are nowhere on disk.
func MemoryKeys(keys ...*Key) *Keyring {
	ring := &Keyring{}
	for _, k := range keys {
		ring.entries = append(ring.entries, &ringEntry{id: k.ID, key: k})
	}
	return ring
}

// holds lists the ids that the ring has, in the order of the ring.
func (r *Keyring) holds(ids []string) []string {
	var have []string
	for _, e := range r.entries {
		for _, id := range ids {
			if e.id == id {
				have = append(have, id)
			}
		}
	}
	return have
}

// open returns the key with the id, decrypting its file if needed.
func (r *Keyring) open(id string) (*Key, error) {
	for _, e := range r.entries {
		if e.id != id {
			continue
		}
		if e.key == nil {
			read := ReadKey
			if filepath.Ext(e.path) == kmsSuffix {
				read = readKMS
			}
			k, err := read(e.path, r.pass)
			if err != nil {
				return nil, err
			}
			if k.ID != id {
				return nil, fmt.Errorf("%s: does not belong to the .pub file beside it: %w", e.path, ErrKeyFile)
			}
			e.key = k
		}
		return e.key, nil
	}
	return nil, fmt.Errorf("key %.12s: %w", id, ErrNoKey)
}

// first opens the first of the ids that the ring holds.
func (r *Keyring) first(role string, ids []string) (*Key, error) {
	if r == nil {
		return nil, fmt.Errorf("role %s: %w", role, ErrNoKey)
	}
	have := r.holds(ids)
	if len(have) == 0 {
		return nil, fmt.Errorf("role %s: %w", role, ErrNoKey)
	}
	return r.open(have[0])
}
