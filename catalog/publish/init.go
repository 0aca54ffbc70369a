package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

// ErrRepositoryExists is wrapped when a repository is already there.
var ErrRepositoryExists = errors.New("there is a repository already")

const dayHours = 24 * time.Hour

// lifetimes says for how long the metadata of a role is good.
var lifetimes = map[string]time.Duration{
	metadata.ROOT: 365 * dayHours, metadata.TARGETS: 182 * dayHours,
	metadata.SNAPSHOT: 14 * dayHours, metadata.TIMESTAMP: 3 * dayHours,
	string(catalog.ScopeProd): 90 * dayHours, string(catalog.ScopeStaging): 14 * dayHours,
	string(catalog.ScopeCanary): dayHours, trust.RoleYank: 30 * dayHours,
}

const (
	people    = 3 // who share root, targets and prod
	threshold = 2 // of them must agree
)

// InitOptions says how to found a repository. Now is mandatory.
type InitOptions struct {
	// Solo founds a repository for one person: 1 of 1 in every role, each with
	// its own key. The repository says so to everybody who reads it. false:
	// three people share root, targets and prod, two of whom must agree.
	Solo bool
	// KeysDir is where the key files go; "" keeps the keys in memory, for
	// scratch repositories.
	KeysDir string
	// Passphrase encrypts the key files; mandatory with KeysDir.
	Passphrase Passphrase
	// Now dates the metadata.
	Now time.Time
	// Channels are delegated; nil: prod and staging.
	Channels []string
}

// Created is what Init made.
type Created struct {
	Root     []byte   // the trust anchor to ship with hosts
	KeyFiles []string // to be handed to the people that their folders name
	Keys     *Keyring // every key; in memory for as long as the process lives
}

// seat is one key of one role and the file that it goes to.
type seat struct {
	role, file string
	key        *Key
}

// Init founds a repository in the store: keys, root, targets with its
// delegations, an empty snapshot and a timestamp. An existing repository is
// ErrRepositoryExists, and existing key files are never replaced.
func Init(ctx context.Context, store artifacts.Store, o InitOptions) (*Created, error) {
	if o.Now.IsZero() {
		return nil, errors.New("init: Now is mandatory")
	}
	if o.Channels == nil {
		o.Channels = []string{string(catalog.ScopeProd), string(catalog.ScopeStaging)}
	}
	for i, c := range o.Channels {
		if !slices.Contains(catalog.Channels(), c) || slices.Contains(o.Channels[:i], c) {
			return nil, fmt.Errorf("init: channel %.40q: want distinct ones of %v", c, catalog.Channels())
		}
	}
	names, err := store.List(ctx, "metadata/")
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("%s: %w", names[0], ErrRepositoryExists)
	}
	seats, err := seatsOf(o)
	if err != nil {
		return nil, err
	}
	made := &Created{Keys: &Keyring{}}
	for i := range seats {
		if seats[i].key, err = GenerateKey(); err != nil {
			return nil, err
		}
		made.Keys.entries = append(made.Keys.entries, &ringEntry{id: seats[i].key.ID, key: seats[i].key})
	}
	f := founding{options: o, seats: seats, now: whole(o.Now)}
	if made.KeyFiles, err = f.writeKeys(); err != nil {
		return nil, err
	}
	if made.Root, err = f.write(ctx, store); err != nil {
		return nil, err
	}
	made.Keys.Root = made.Root
	if o.KeysDir != "" {
		err = writeNew(filepath.Join(o.KeysDir, rootFile), made.Root, 0o644)
	}
	return made, err
}

// seatsOf lists every key that a repository needs and refuses key files that
// exist already, before anything is generated.
func seatsOf(o InitOptions) ([]seat, error) {
	var seats []seat
	add := func(folder, role string) {
		file := role
		if !o.Solo {
			file = folder + "/" + role
		}
		seats = append(seats, seat{role: role, file: file})
	}
	shared := []string{metadata.ROOT, metadata.TARGETS}
	if slices.Contains(o.Channels, string(catalog.ScopeProd)) {
		shared = append(shared, string(catalog.ScopeProd))
	}
	for person := range o.people() {
		for _, role := range shared {
			add(fmt.Sprintf("person-%d", person+1), role)
		}
	}
	for _, c := range o.Channels {
		if c != string(catalog.ScopeProd) {
			add("nightly", c)
		}
	}
	add("oncall", trust.RoleYank)
	add("publisher", metadata.SNAPSHOT)
	add("publisher", metadata.TIMESTAMP)
	for _, s := range seats {
		if o.KeysDir == "" {
			break
		}
		path := filepath.Join(o.KeysDir, filepath.FromSlash(s.file)+".key")
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s: exists and is not replaced: %w", path, fs.ErrExist)
		}
	}
	return seats, nil
}

func (o InitOptions) people() int {
	if o.Solo {
		return 1
	}
	return people
}

// founding is one run of Init.
type founding struct {
	options InitOptions
	seats   []seat
	now     time.Time
}

func (f *founding) writeKeys() ([]string, error) {
	var files []string
	if f.options.KeysDir == "" {
		return nil, nil
	}
	for _, s := range f.seats {
		dir, name := filepath.Split(filepath.FromSlash(s.file))
		path, err := s.key.WriteFiles(filepath.Join(f.options.KeysDir, dir), name, f.options.Passphrase)
		if err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	return files, nil
}

// keys returns the keys of a role.
func (f *founding) keys(role string) (keys []*Key, ids []string) {
	for _, s := range f.seats {
		if s.role == role {
			keys, ids = append(keys, s.key), append(ids, s.key.ID)
		}
	}
	return keys, ids
}

// agree is how many of n keys must sign: most of several, or the only one.
// Yank is 1 of n: withdrawing must be easy.
func agree(role string, n int) int {
	if role == trust.RoleYank {
		return 1
	}
	return min(n, threshold)
}

func (f *founding) write(ctx context.Context, store artifacts.Store) ([]byte, error) {
	root := metadata.Root(f.now.Add(lifetimes[metadata.ROOT]))
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		keys, ids := f.keys(role)
		for _, k := range keys {
			root.Signed.Keys[k.ID] = k.tuf
		}
		root.Signed.Roles[role] = &metadata.Role{KeyIDs: ids, Threshold: agree(role, len(ids))}
	}
	targets := metadata.Targets(f.now.Add(lifetimes[metadata.TARGETS]))
	targets.Signed.Delegations = f.delegations()
	targets.Signed.UnrecognizedFields = map[string]any{trust.RulesField: f.rules()}
	rootKeys, _ := f.keys(metadata.ROOT)
	rootBytes, err := sealed(root, rootKeys...)
	if err != nil {
		return nil, err
	}
	targetsKeys, _ := f.keys(metadata.TARGETS)
	targetsBytes, err := sealed(targets, targetsKeys...)
	if err != nil {
		return nil, err
	}
	snapshot := metadata.Snapshot(f.now.Add(lifetimes[metadata.SNAPSHOT]))
	snapshot.Signed.Meta = map[string]*metadata.MetaFiles{
		"root.json": metaFile(1, rootBytes), "targets.json": metaFile(1, targetsBytes),
	}
	snapshotKeys, _ := f.keys(metadata.SNAPSHOT)
	snapshotBytes, err := sealed(snapshot, snapshotKeys...)
	if err != nil {
		return nil, err
	}
	timestamp := metadata.Timestamp(f.now.Add(lifetimes[metadata.TIMESTAMP]))
	timestamp.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": metaFile(1, snapshotBytes)}
	timestampKeys, _ := f.keys(metadata.TIMESTAMP)
	timestampBytes, err := sealed(timestamp, timestampKeys...)
	if err != nil {
		return nil, err
	}
	files := []trust.File{
		{Name: trust.MetadataName(metadata.ROOT, 1), Bytes: rootBytes}, {Name: trust.MetadataName(metadata.TARGETS, 1), Bytes: targetsBytes},
		{Name: trust.MetadataName(metadata.SNAPSHOT, 1), Bytes: snapshotBytes},
	}
	log, err := trust.ExtendLog(ctx, store, nil, 1, snapshotBytes, timestampKeys[0].note())
	if err != nil {
		return nil, err
	}
	files = append(append(files, log...), trust.File{Name: trust.TimestampName, Bytes: timestampBytes})
	return rootBytes, create(ctx, store, files)
}

// create writes the files of a new repository.
func create(ctx context.Context, store artifacts.Store, files []trust.File) error {
	for _, file := range files {
		err := store.Create(ctx, file.Name, file.Bytes)
		if errors.Is(err, artifacts.ErrExists) {
			return fmt.Errorf("%s: somebody else was faster: %w", file.Name, ErrRepositoryExists)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *founding) delegations() *metadata.Delegations {
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	for _, role := range append(slices.Clone(f.options.Channels), trust.RoleYank) {
		keys, ids := f.keys(role)
		for _, k := range keys {
			d.Keys[k.ID] = k.tuf
		}
		path := "catalog/" + role + "/*"
		if role == trust.RoleYank {
			path = "yank/*"
		}
		d.Roles = append(d.Roles, metadata.DelegatedRole{
			Name: role, KeyIDs: ids, Threshold: agree(role, len(ids)), Terminating: true, Paths: []string{path},
		})
	}
	return d
}

// rules name the keys whose statements count as evidence: the nightly job's,
// or the channels' own in a repository without a nightly one.
func (f *founding) rules() map[string]any {
	keys := []string{}
	for _, c := range f.options.Channels {
		if c != string(catalog.ScopeProd) {
			_, ids := f.keys(c)
			keys = append(keys, ids...)
		}
	}
	if len(keys) == 0 {
		_, keys = f.keys(string(catalog.ScopeProd))
	}
	return map[string]any{"schema": trust.RulesSchema, "solo": f.options.Solo, "evidence_keys": keys}
}

// sealed signs a metadata file with every key and returns its one form.
func sealed[T metadata.Roles](m *metadata.Metadata[T], keys ...*Key) ([]byte, error) {
	for _, k := range keys {
		if _, err := m.Sign(k.signer); err != nil {
			return nil, err
		}
	}
	return m.ToBytes(false)
}

func metaFile(version int64, b []byte) *metadata.MetaFiles {
	return &metadata.MetaFiles{Version: version, Length: int64(len(b)), Hashes: sha256Of(b)}
}

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
