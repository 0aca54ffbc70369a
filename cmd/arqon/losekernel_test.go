package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// kernelTicks is processor time, in hundredths of a second, that a native
// kernel's process has when it serves: what is only tried out has less.
const kernelTicks = 10

// cmdLoseKernel kills one process of a native kernel that serves for the
// newest command in the background.
func cmdLoseKernel(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.BackgroundCmds()
	if neg || len(args) != 0 || len(running) == 0 {
		ts.Fatalf("usage: losekernel, with a command in the background")
	}
	host := running[len(running)-1].Process.Pid
	for range 12_000 {
		if pid, ok := busyKernel(host); ok {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("in 2 min no kernel of process %d was busy", host)
}

// busyKernel finds a child of the host that is a kernel and has worked.
func busyKernel(host int) (pid int, ok bool) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, false
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		name, rest, found := strings.Cut(string(b), ") ") // PID (NAME) STATE PPID …
		fields := strings.Fields(rest)
		if !found || len(fields) < 12 || fields[1] != strconv.Itoa(host) {
			continue
		}
		if ticks, err := strconv.Atoi(fields[11]); err != nil || ticks < kernelTicks { // of user code
			continue
		}
		if _, err := fmt.Sscanf(name, "%d (", &pid); err == nil {
			return pid, true
		}
	}
	return 0, false
}
