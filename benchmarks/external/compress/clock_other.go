//go:build !linux

package main

import "time"

var started = time.Now()

// cpuNS is the wall clock where there is no clock of a thread.
func cpuNS() int64 { return time.Since(started).Nanoseconds() }
