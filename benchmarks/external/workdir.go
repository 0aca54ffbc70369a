package external

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/arqon/arqon/internal/ledger"
)

// lockName is the file by which a working directory shows that its owner is
// alive: the system gives the lock back however the owner ends.
const lockName = "owner.lock"

// workDir holds everything that a domain writes on this machine. A process
// that was killed leaves its own behind; the next one to make a directory
// beside it takes it away.
type workDir struct {
	path string
	lock *ledger.Lock
}

// newWorkDir makes a directory with the prefix below parent ("": the system's
// place for temporary files).
func newWorkDir(parent, prefix string) (*workDir, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	removeOrphans(parent, prefix)
	for {
		path, err := os.MkdirTemp(parent, prefix)
		if err != nil {
			return nil, err
		}
		lock, err := ledger.LockFile(filepath.Join(path, lockName))
		if err == nil {
			return &workDir{path, lock}, nil
		}
		err = errors.Join(err, os.RemoveAll(path))
		if !errors.Is(err, ledger.ErrLocked) { // else somebody took it for an orphan before it was locked
			return nil, err
		}
	}
}

// remove takes the directory away. Calling it again does nothing.
func (w *workDir) remove() error {
	return errors.Join(os.RemoveAll(w.path), w.lock.Unlock())
}

// removeOrphans takes away the directories of this user whose owners have
// ended. What it cannot remove it leaves: it is a courtesy to the disk.
func removeOrphans(parent, prefix string) {
	found, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range found {
		lockPath := filepath.Join(path, lockName)
		// Only what is ours: locking writes into the file, and anybody may put
		// a link of this name into a directory that all share.
		if !ours(path, fs.ModeDir) || !ours(lockPath, 0) {
			continue
		}
		lock, err := ledger.LockFile(lockPath)
		if err != nil {
			continue // its owner lives
		}
		_ = os.RemoveAll(path)
		_ = lock.Unlock()
	}
}
