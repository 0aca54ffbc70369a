package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// File is what a log writes to. *os.File is one; a test hands in another one
// through Options.Wrap to see a disk that is full or a sync that fails.
type File interface {
	io.Writer
	io.ReaderAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Options of a log. The zero Options are the defaults.
type Options struct {
	BytesMax int64           // largest file; 0: DefaultFileBytesMax
	Wrap     func(File) File // nil: the file itself
}

func (o Options) bytesMax() int64 {
	if o.BytesMax <= 0 {
		return DefaultFileBytesMax
	}
	return min(o.BytesMax, maxFileBytes)
}

// Log is a ledger open for appending. It belongs to one goroutine; the lock
// keeps other processes away.
type Log struct {
	path     string
	f        File
	lock     *Lock
	salt     uint32
	head     [32]byte
	next     uint64
	bytes    int64 // file length including what is buffered
	bytesMax int64
	buf      []byte
	failed   error
	closed   bool
}

// Create makes a new file at path, durable when it returns, and opens it for
// appending. It returns an error wrapping ErrExists if there is a file already
// and ErrLocked if another process is at it.
func Create(path string, h Header, o Options) (*Log, error) {
	if len(h.Purpose) > MaxPurposeBytes {
		return nil, fmt.Errorf("%s: purpose of %d bytes, at most %d", path, len(h.Purpose), MaxPurposeBytes)
	}
	lock, err := LockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := create(path, h, o)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	l.lock = lock
	return l, nil
}

// create writes the header to a temporary file and renames it, so that nobody
// ever sees half a header. The caller holds the lock, so the look before the
// rename cannot be overtaken by another writer.
func create(path string, h Header, o Options) (*Log, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	temp := path + ".new"
	osf, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	f := wrap(osf, o)
	head := appendHeader(nil, h)
	_, err = f.Write(head)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &Log{
		path: path, f: f, salt: binary.LittleEndian.Uint32(head[len(head)-crcBytes:]),
		head: sha256.Sum256(head), next: h.Base, bytes: int64(len(head)), bytesMax: o.bytesMax(),
	}, nil
}

// Open opens an existing file for appending. It calls visit (nil: nobody) for
// every record, cuts off a torn tail (Info.TornBytes says how much), and
// refuses damage anywhere else with an error wrapping ErrCorrupt that leaves
// the file as it is. An error from visit is returned as it is and changes
// nothing either.
func Open(path string, o Options, visit func(Record) error) (*Log, Info, error) {
	lock, err := LockFile(path + ".lock")
	if err != nil {
		return nil, Info{}, err
	}
	l, info, err := open(path, o, visit)
	if err != nil {
		return nil, info, errors.Join(err, lock.Unlock())
	}
	l.lock = lock
	return l, info, nil
}

func open(path string, o Options, visit func(Record) error) (*Log, Info, error) {
	osf, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, Info{}, err
	}
	st, err := osf.Stat()
	if err != nil {
		return nil, Info{}, errors.Join(err, osf.Close())
	}
	if !st.Mode().IsRegular() {
		return nil, Info{}, errors.Join(fmt.Errorf("%s: not a regular file: %w", path, ErrForeign), osf.Close())
	}
	f := wrap(osf, o)
	info, err := Decode(f, st.Size(), path, visit)
	if err == nil && info.TornBytes > 0 {
		if err = f.Truncate(info.Bytes); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		return nil, info, errors.Join(err, f.Close())
	}
	head := appendHeader(nil, info.Header)
	return &Log{
		path: path, f: f, salt: binary.LittleEndian.Uint32(head[len(head)-crcBytes:]), head: info.Head,
		next: info.Header.Base + info.Records, bytes: info.Bytes, bytesMax: o.bytesMax(),
	}, info, nil
}

func wrap(f *os.File, o Options) File {
	if o.Wrap == nil {
		return f
	}
	return o.Wrap(f)
}

// Read walks a file without locking or changing it; a writer may be at it.
func Read(path string, visit func(Record) error) (info Info, err error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	if !st.Mode().IsRegular() {
		return Info{}, fmt.Errorf("%s: not a regular file: %w", path, ErrForeign)
	}
	return Decode(f, st.Size(), path, visit)
}

// Append adds a record and returns its sequence. The record is durable only
// after the next Sync that returns nil. After any failed write or sync every
// Append returns an error wrapping ErrFailed; a full file (ErrFull) and an
// oversized payload leave the log usable.
func (l *Log) Append(kind uint16, payload []byte) (uint64, error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	if len(payload) > MaxPayloadBytes {
		return 0, fmt.Errorf("%s: payload of %d bytes, at most %d", l.path, len(payload), MaxPayloadBytes)
	}
	n := int64(recordFixedBytes + len(payload))
	if l.bytes+n > l.bytesMax {
		return 0, fmt.Errorf("%s: %d bytes more would pass %d: %w", l.path, n, l.bytesMax, ErrFull)
	}
	if len(l.buf) > 0 && len(l.buf)+int(n) > flushBytes {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	start := len(l.buf)
	l.buf = appendRecord(l.buf, l.salt, l.next, kind, payload)
	l.head = chain(l.head, l.buf[start:])
	l.bytes += n
	seq := l.next
	l.next++
	if len(l.buf) >= flushBytes {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

// Sync writes what is buffered and makes it durable. A sync that has failed is
// never tried again: what the kernel did with the pages is unknown.
func (l *Log) Sync() error {
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	if err := l.f.Sync(); err != nil {
		return l.fail(fmt.Errorf("sync: %w", err))
	}
	return nil
}

// Flush hands what is buffered to the system, so that it outlives this process
// but perhaps not the machine's power.
func (l *Log) Flush() error {
	if err := l.usable(); err != nil {
		return err
	}
	return l.flush()
}

// AppendSync appends one record and makes it durable.
func (l *Log) AppendSync(kind uint16, payload []byte) (uint64, error) {
	seq, err := l.Append(kind, payload)
	if err != nil {
		return 0, err
	}
	return seq, l.Sync()
}

func (l *Log) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	n, err := l.f.Write(l.buf)
	if err == nil && n < len(l.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return l.fail(fmt.Errorf("write: %w", err))
	}
	l.buf = l.buf[:0]
	return nil
}

func (l *Log) fail(err error) error {
	l.failed = err
	l.buf = nil
	return l.usable()
}

func (l *Log) usable() error {
	if l.failed != nil {
		return fmt.Errorf("%s: %w: %w", l.path, ErrFailed, l.failed)
	}
	if l.closed {
		return fmt.Errorf("%s: %w", l.path, os.ErrClosed)
	}
	return nil
}

// Head returns the chain after the last appended record, as 64 hexadecimal
// digits: the digest to anchor elsewhere.
func (l *Log) Head() string { return hex.EncodeToString(l.head[:]) }

// HeadBytes returns the same as bytes, for the next segment's Header.Previous.
func (l *Log) HeadBytes() [32]byte { return l.head }

// Next returns the sequence that the next record will get.
func (l *Log) Next() uint64 { return l.next }

// Bytes returns the file's length, what is buffered included.
func (l *Log) Bytes() int64 { return l.bytes }

// Path returns where the file is.
func (l *Log) Path() string { return l.path }

// Close syncs, closes and unlocks. A log that has failed closes without a
// sync and returns its failure.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	err := l.Sync()
	l.closed = true
	return errors.Join(err, l.f.Close(), l.lock.Unlock())
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}
