//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package ledger

import (
	"errors"
	"os"
)

// tryLock refuses: writing without a lock could lose records, so systems
// without flock can read ledgers and not write them.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("this system has no flock, ledgers can only be read here")
}
