//go:build unix

package artifacts

import (
	"errors"
	"os"
	"syscall"
)

// lockExclusive waits for the lock; closing the file gives it back, and so
// does the death of the process.
func lockExclusive(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
