package cache

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// threadCPU is the processor time of the calling thread in nanoseconds; it
// must be locked to its goroutine.
func threadCPU() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("thread CPU clock: %w", err)
	}
	return ts.Nano(), nil
}
