//go:build !linux

package cache

import (
	"fmt"
	"runtime"

	"github.com/arqon/arqon/benchmarks"
)

// threadCPU is not read here.
func threadCPU() (int64, error) {
	return 0, fmt.Errorf("thread CPU time on %s: %w", runtime.GOOS, benchmarks.ErrUnsupported)
}
