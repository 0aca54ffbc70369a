package artifacts

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Dir is a Store in a local directory, one file an object.
//
// Writes are crash-safe: bytes go to a temporary file in the same directory,
// which is fsynced, then linked (Create) or renamed (Swap) to its name, then
// the directory is fsynced. A reader sees the whole object or none. Conditional
// writes hold between processes on one machine: Create by link(2), Swap under
// flock(2). A network file system that breaks either is no place for a Dir.
//
// The path is held open: no name and no symbolic link in the tree leads out of
// it. Names that start with a dot are the Dir's own and are never listed.
type Dir struct {
	root *os.Root
	path string
	hook func(op, name string) error // tests: called before each step that touches the disk
}

const (
	lockName   = ".lock"
	tempPrefix = ".tmp-"
	maxListed  = 1 << 20 // names returned by one List
)

// OpenDir opens the store at the path and creates the directory (0755) if it
// is missing. Close it when done.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return OpenExistingDir(path)
}

// OpenExistingDir is OpenDir for readers: it creates nothing, and a missing
// directory is ErrNotFound.
func OpenExistingDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store %s: no such directory: %w", path, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return &Dir{root: root, path: path}, nil
}

// Path returns the directory as it was given to OpenDir.
func (d *Dir) Path() string { return d.path }

// Close releases the directory. Operations after it return errors.
func (d *Dir) Close() error { return d.root.Close() }

// Read returns the object name, at most limit bytes.
func (d *Dir) Read(ctx context.Context, name string, limit int64) (b []byte, err error) {
	if err := enter(ctx, name); err != nil {
		return nil, err
	}
	if err := d.step("read", name); err != nil {
		return nil, err
	}
	info, err := d.root.Stat(name) // before opening: opening a pipe would wait for a writer
	if err != nil {
		return nil, d.wrap(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, d.wrap(name, errors.New("not a regular file"))
	}
	if info.Size() > limit {
		return nil, d.wrap(name, fmt.Errorf("%d bytes, limit %d: %w", info.Size(), limit, ErrTooLarge))
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, d.wrap(name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b = make([]byte, 0, info.Size()+1)
	buf := bytes.NewBuffer(b)
	n, err := buf.ReadFrom(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, d.wrap(name, err)
	}
	if n > limit {
		return nil, d.wrap(name, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge))
	}
	return buf.Bytes(), nil
}

// Create writes an object that must not exist.
func (d *Dir) Create(ctx context.Context, name string, b []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	if _, err := d.root.Lstat(name); err == nil {
		return d.wrap(name, ErrExists)
	}
	return d.write(name, b, func(temp string) error {
		if err := d.root.Link(temp, name); err != nil {
			return err
		}
		return d.root.Remove(temp)
	})
}

// Swap replaces old by b; nil old means that the object must not exist.
func (d *Dir) Swap(ctx context.Context, name string, old, b []byte) (err error) {
	if err := enter(ctx, name); err != nil {
		return err
	}
	if old == nil {
		err := d.Create(ctx, name, b)
		if errors.Is(err, ErrExists) {
			return d.wrap(name, ErrConflict)
		}
		return err
	}
	lock, err := d.root.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return d.wrap(lockName, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // closing also unlocks
	if err := lockExclusive(lock); err != nil {
		return d.wrap(lockName, err)
	}
	have, err := d.Read(ctx, name, int64(len(old)))
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooLarge) {
		return d.wrap(name, ErrConflict)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(have, old) {
		return d.wrap(name, ErrConflict)
	}
	return d.write(name, b, func(temp string) error { return d.root.Rename(temp, name) })
}

// Modified returns when the object was written last.
func (d *Dir) Modified(ctx context.Context, name string) (time.Time, error) {
	if err := enter(ctx, name); err != nil {
		return time.Time{}, err
	}
	info, err := d.root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return time.Time{}, d.wrap(name, err)
	}
	return info.ModTime(), nil
}

// Remove takes the object away. Its folder stays.
func (d *Dir) Remove(ctx context.Context, name string) error {
	if _, err := d.Modified(ctx, name); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := d.step("remove", name); err != nil {
		return err
	}
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.wrap(name, err)
	}
	return d.wrap(name, d.syncDir(path.Dir(name)))
}

// List returns the names that begin with prefix, ascending.
func (d *Dir) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	top := path.Dir(prefix + "x") // the deepest directory that holds every match
	var names []string
	err := fs.WalkDir(d.root.FS(), top, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if name != "." && strings.HasPrefix(e.Name(), ".") {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			if !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/") && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if e.Type().IsRegular() && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		if len(names) > maxListed {
			return fmt.Errorf("more than %d objects: %w", maxListed, ErrTooLarge)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, d.wrap(top, err)
	}
	sort.Strings(names)
	return names, nil
}

// Get reads a blob by reference.
func (d *Dir) Get(ctx context.Context, ref Ref) ([]byte, error) { return GetBlob(ctx, d, ref) }

// Put stores a blob under its digest.
func (d *Dir) Put(ctx context.Context, b []byte) (Digest, error) { return PutBlob(ctx, d, b) }

// write puts b into a durable temporary file beside name and lets place give
// it its name; then the directory is made durable.
func (d *Dir) write(name string, b []byte, place func(temp string) error) error {
	dir := path.Dir(name)
	if err := d.mkdir(dir); err != nil {
		return d.wrap(dir, err)
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	temp := path.Join(dir, tempPrefix+hex.EncodeToString(random[:]))
	err := d.writeTemp(temp, b)
	if err == nil {
		err = d.step("place", name)
	}
	if err == nil {
		err = place(temp)
	}
	if err != nil {
		_ = d.root.Remove(temp) // best effort: a leftover is never listed or read
		return d.wrap(name, err)
	}
	if err := d.step("sync", name); err != nil {
		return err
	}
	return d.wrap(dir, d.syncDir(dir))
}

func (d *Dir) writeTemp(temp string, b []byte) (err error) {
	if err := d.step("write", temp); err != nil {
		return err
	}
	f, err := d.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// mkdir creates dir and its parents; each new one is durable in its parent.
func (d *Dir) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := d.root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := d.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := d.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.syncDir(path.Dir(dir))
}

func (d *Dir) syncDir(dir string) (err error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

func (d *Dir) step(op, name string) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(op, name)
}

// wrap names the file in err and translates what the system says.
func (d *Dir) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = ErrNotFound
	case errors.Is(err, fs.ErrExist):
		err = ErrExists
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return fmt.Errorf("%s: %w", filepath.Join(d.path, filepath.FromSlash(name)), err)
}
