package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Lock is an exclusive claim on a path, held by this process until Unlock or
// until the process ends, however it ends.
type Lock struct {
	f *os.File
}

// LockFile takes the lock at path, which is created and holds the owner's
// process id for people. It never waits: an error wrapping ErrLocked names the
// owner. The file stays after Unlock, because removing it would let two
// processes hold locks of the same name.
func LockFile(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := tryLock(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: lock: %w", path, err), f.Close())
	}
	if !held {
		return nil, errors.Join(fmt.Errorf("%s: %w (%s)", path, ErrLocked, owner(f)), f.Close())
	}
	// The number is for people; a full disk must not keep anybody from the lock.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{f: f}, nil
}

// owner reads who holds the lock; the number may be missing for a moment.
func owner(f *os.File) string {
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "pid unknown"
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return "pid unknown"
	}
	return fmt.Sprintf("pid %d", pid)
}

// Unlock gives the lock back. A nil Lock is held by nobody.
func (l *Lock) Unlock() error {
	if l == nil || l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close() // closing the only descriptor releases the lock
}
