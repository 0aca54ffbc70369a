//go:build !linux

package benchmarks

import (
	"fmt"
	goruntime "runtime"
	"time"
)

// ThreadCPU has no portable form; a wall clock under another name would be a
// lie, so it is unsupported here.
func ThreadCPU() (time.Duration, error) {
	return 0, fmt.Errorf("thread CPU time on %s: %w", goruntime.GOOS, ErrUnsupported)
}
