//go:build !linux

package infer

import (
	"fmt"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// ThreadCPU has no portable form; a wall clock under another name would be a
// lie, so cpu_ns is not offered here.
func ThreadCPU() (time.Duration, error) {
	return 0, fmt.Errorf("%s: thread CPU time is read on Linux only: %w", MetricCPU, benchmarks.ErrUnsupported)
}
