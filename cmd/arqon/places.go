package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// now is the command's clock: the rooms get times as arguments.
func now() time.Time { return time.Now().UTC() }

// place is one repository with what belongs to it on this machine.
type place struct {
	repository string // a directory
	keys       string // key files; default <repository>-keys
	state      string // what a verifying client remembers about it
}

var errNotLocal = errors.New("only a local directory can be a repository in this version")

func newPlace(repository, keys string) (place, error) {
	if repository == "" {
		return place{}, hinted{errors.New("no repository was named"), "give --repository DIR, or repository: DIR in the study"}
	}
	if strings.Contains(repository, "://") {
		return place{}, fmt.Errorf("repository %s: %w", repository, errNotLocal)
	}
	abs, err := filepath.Abs(repository)
	if err != nil {
		return place{}, err
	}
	if keys == "" {
		keys = abs + "-keys"
	}
	sum := sha256.Sum256([]byte(abs))
	return place{repository: abs, keys: keys, state: filepath.Join(stateHome(abs), hex.EncodeToString(sum[:8]))}, nil
}

// stateHome is where verifying clients remember: $ARQON_STATE, or the user's
// state directory, or beside the repository for a user without a home.
func stateHome(repository string) string {
	if dir := os.Getenv("ARQON_STATE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "arqon")
	}
	if home, err := os.UserHomeDir(); err == nil {
		if st, err := os.Stat(home); err == nil && st.IsDir() {
			return filepath.Join(home, ".local", "state", "arqon")
		}
	}
	return repository + "-state"
}

// open opens an existing repository.
func (p place) open() (*artifacts.Dir, error) {
	d, err := artifacts.OpenExistingDir(p.repository)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", p.repository, err)
	}
	return d, nil
}

// ring opens the key files.
func (p place) ring(passphrase func() ([]byte, error)) (*publish.Keyring, error) {
	ring, err := publish.OpenKeys(p.keys, func(string) ([]byte, error) { return passphrase() })
	if err != nil {
		return nil, hinted{err, "the key files of a repository lie in REPOSITORY-keys unless --keys names another folder"}
	}
	return ring, nil
}

const rootBytesMax = 1 << 20

// client makes the verifying client of the repository. anchor is the file of a
// root to believe; "" takes the one that init left beside the keys, if any.
// remember false leaves no trace: for looking at a copy once.
func (p place) client(store artifacts.Store, anchor string, remember bool) (*trust.Client, error) {
	cfg := trust.Config{Store: store, Now: now}
	if remember {
		cfg.StateDir = p.state
	} else if _, err := os.Stat(p.state); err == nil {
		cfg.StateDir = p.state // floors that exist are respected
	}
	root, err := p.anchor(anchor)
	if err != nil {
		return nil, err
	}
	cfg.Root = root
	return trust.Open(cfg)
}

// pinnedRoot is the root that init pinned, in the state directory and beside
// the keys.
const pinnedRoot = "root.json"

// anchor reads the root to believe: the named file, or the one that init
// pinned for this user, or the one beside the keys; nil if there is none, and
// the client then reports trust on first use.
func (p place) anchor(named string) ([]byte, error) {
	if named != "" {
		b, err := readRoot(named)
		if err != nil {
			return nil, fmt.Errorf("pinned root: %w", err)
		}
		return b, nil
	}
	for _, file := range []string{filepath.Join(p.state, pinnedRoot), filepath.Join(p.keys, pinnedRoot)} {
		b, err := readRoot(file)
		if !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return nil, nil
}

func readRoot(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Size() > rootBytesMax {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", file, st.Size(), rootBytesMax)
	}
	return os.ReadFile(file)
}
