package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// now is the command's clock: the rooms get times as arguments.
func now() time.Time { return time.Now().UTC() }

const atUsage = "look from this later `TIME` on: RFC 3339, or how long from now, as 72h"

// clockAt is the clock that stands at a later time; now for "". What has
// expired does not become good again: a time that has passed is refused.
func clockAt(at string) (func() time.Time, error) {
	if at == "" {
		return now, nil
	}
	start := now()
	then, err := time.Parse(time.RFC3339, at)
	if long, longErr := time.ParseDuration(at); longErr == nil {
		then, err = start.Add(long), nil
	}
	if err != nil {
		return nil, hinted{fmt.Errorf("--at %.40q: neither a time nor how long from now", at), "give RFC 3339, as 2027-01-31T00:00:00Z, or hours, as 72h"}
	}
	if then.Before(start) {
		return nil, hinted{fmt.Errorf("--at %s: that has passed", at), "--at only looks ahead: a clock that goes back would make what has expired look good"}
	}
	return func() time.Time { return then.UTC() }, nil
}

// place is one repository with what belongs to it on this machine.
type place struct {
	repository string // a directory, or s3://bucket/prefix
	keys       string // key files; default <repository>-keys
	state      string // what a verifying client remembers about it
}

// repositoryStore is an open repository, wherever it is.
type repositoryStore interface {
	artifacts.Store
	artifacts.Getter
	io.Closer
}

var errNoScheme = errors.New("neither a directory nor s3://bucket/prefix")

func newPlace(repository, keys string) (place, error) {
	if repository == "" {
		return place{}, hinted{errors.New("no repository was named"), "give --repository DIR or s3://bucket/prefix, or the same as repository: in the study"}
	}
	p, err := located(repository)
	if err != nil {
		return place{}, err
	}
	if keys != "" {
		p.keys = keys
	}
	sum := sha256.Sum256([]byte(p.repository))
	p.state = filepath.Join(stateHome(p.state), hex.EncodeToString(sum[:8]))
	return p, nil
}

// located gives the repository its one spelling, and names the folder of the
// keys and the place of the state for a user without a home: beside a
// directory, and for a bucket in the working directory.
func located(repository string) (place, error) {
	if !strings.Contains(repository, "://") {
		abs, err := filepath.Abs(repository)
		return place{repository: abs, keys: abs + "-keys", state: abs + "-state"}, err
	}
	if !strings.HasPrefix(repository, s3.Scheme) {
		return place{}, hinted{fmt.Errorf("repository %s: %w", repository, errNoScheme), "give a folder, or s3://bucket/prefix with ARQON_S3_ENDPOINT set"}
	}
	at, err := s3.ParseLocation(repository)
	if err != nil {
		return place{}, fmt.Errorf("repository: %w", err)
	}
	beside, err := filepath.Abs(strings.ReplaceAll(strings.TrimPrefix(at.String(), s3.Scheme), "/", "-"))
	return place{repository: at.String(), keys: beside + "-keys", state: beside + "-state"}, err
}

// remote reports whether the repository is in an object store.
func (p place) remote() bool { return strings.HasPrefix(p.repository, s3.Scheme) }

// stateHome is where verifying clients remember: $ARQON_STATE, or the user's
// state directory, or otherwise for a user without a home.
func stateHome(otherwise string) string {
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
	return otherwise
}

// open opens an existing repository. A bucket is asked when it is first read.
func (p place) open() (repositoryStore, error) {
	if p.remote() {
		return p.bucket()
	}
	d, err := artifacts.OpenExistingDir(p.repository)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", p.repository, err)
	}
	return d, nil
}

// create opens the place of a new repository: a directory is made, a bucket
// must exist and keep conditions, which is found out before any key is made.
func (p place) create(ctx context.Context) (repositoryStore, error) {
	if !p.remote() {
		return artifacts.OpenDir(p.repository)
	}
	store, err := p.bucket()
	if err != nil {
		return nil, err
	}
	if err := store.Probe(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// windowVariable is how long a request to an object store may stand still.
const windowVariable = "ARQON_S3_WINDOW"

// s3Options bounds what a request may cost: by the window, or as artifacts/s3
// does it for "".
func s3Options(window string) (s3.Options, error) {
	if window == "" {
		return s3.Options{}, nil
	}
	d, err := time.ParseDuration(window)
	if err != nil || d < time.Second || d > 10*time.Minute {
		return s3.Options{}, hinted{fmt.Errorf("%s=%.40q: want 1s to 10m", windowVariable, window), "it is how long a request may move less than 8 KiB/s; an operation has four times that"}
	}
	return s3.Options{Window: d, Deadline: 4 * d}, nil
}

func (p place) bucket() (*s3.Store, error) {
	opts, err := s3Options(os.Getenv(windowVariable))
	if err != nil {
		return nil, err
	}
	store, err := s3.OpenURL(p.repository, opts)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", p.repository, err)
	}
	return store, nil
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
func (p place) client(store artifacts.Store, anchor string, how reader) (*trust.Client, error) {
	cfg := trust.Config{Store: store, Now: how.clock, LeftOut: how.leftOut}
	cfg.Host.CPUFeatures = tiers{}.offers()
	if how.smoker != nil {
		cfg.Smoke, cfg.Host.CPUFeatures = how.smoker.smoke, how.smoker.may.offers()
	}
	if how.remember {
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

// reading is a repository opened to be verified and read.
type reading struct {
	place  place
	store  repositoryStore
	client *trust.Client
	smoker *smoker // nil: nothing is opened
}

// reader is how a repository is read. Zero: by now's clock, leaving no trace,
// opening nothing.
type reader struct {
	remember bool             // keep what was seen; false is for looking at a copy once
	smoker   *smoker          // asks golden questions of what it has not seen; nil asks none
	clock    func() time.Time // nil: now; another one may only be ahead
	leftOut  func(e catalog.Entry, feature string)
}

// openReading opens a repository and a client that believes the root in the
// file anchor, or the pinned one.
func openReading(repository, keys, anchor string) (*reading, error) {
	return openReadingAs(repository, keys, anchor, reader{})
}

// openServing is openReading for a host: it remembers, and what it has not
// served before answers its golden questions first.
func openServing(repository, keys, anchor string) (*reading, error) {
	return openHosting(repository, keys, anchor, tiers{}, nil)
}

// openHosting is openServing for a host that may allow tiers and wants to hear
// of entries that it leaves out.
func openHosting(repository, keys, anchor string, may tiers, leftOut func(catalog.Entry, string)) (*reading, error) {
	s := newSmoker()
	s.may = may
	return openReadingAs(repository, keys, anchor, reader{remember: true, smoker: s, leftOut: leftOut})
}

func openReadingAs(repository, keys, anchor string, how reader) (*reading, error) {
	if how.clock == nil {
		how.clock = now
	}
	p, err := newPlace(repository, keys)
	if err != nil {
		return nil, err
	}
	store, err := p.open()
	if err != nil {
		return nil, err
	}
	client, err := p.client(store, anchor, how)
	if err != nil {
		return nil, errors.Join(refused(err), store.Close())
	}
	return &reading{p, store, client, how.smoker}, nil
}

// Close closes all of it.
func (r *reading) Close() error {
	err := errors.Join(r.client.Close(), r.store.Close())
	if r.smoker != nil {
		err = errors.Join(err, r.smoker.Close())
	}
	return err
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
