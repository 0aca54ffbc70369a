//go:build !unix

package artifacts

import (
	"errors"
	"os"
)

// lockExclusive refuses: without flock(2) a Swap could lose an update.
func lockExclusive(*os.File) error {
	return errors.New("this system has no flock: a directory store can be read and created in here, not swapped in")
}
