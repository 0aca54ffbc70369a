package external

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// group is a started command and everything that it starts: one process group
// that dies as a whole, at the latest when its leader does.
type group struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the leader is reaped; err is set then
	err    error

	mu     sync.Mutex
	reaped bool
}

// startGroup starts cmd in its own process group and a session goroutine that
// ends when the leader does.
func startGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &group{cmd: cmd, exited: make(chan struct{})}
	go g.reap()
	return g, nil
}

// reap waits for the leader without reaping it, kills what is left of the
// group while the group's number cannot have been reused, and only then reaps.
func (g *group) reap() {
	for {
		err := unix.Waitid(unix.P_PID, g.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break // exited, or an error that Wait will meet as well
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.signal()
	g.err = g.cmd.Wait()
	g.reaped = true
	close(g.exited)
}

// kill ends every process of the group. It may be called at any time.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.signal()
}

// signal needs mu. ESRCH (nobody left) is what kill wants.
func (g *group) signal() {
	if !g.reaped {
		_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// peakBytes is the largest resident set of the command or of one of its
// descendants that it waited for, and at least this process's own when it
// started the command: exec keeps the peak of the memory that it leaves
// (exec_mmap in the kernel), and what it leaves is ours.
func (g *group) peakBytes() (int64, bool) {
	usage, ok := g.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, false
	}
	return usage.Maxrss << 10, true
}

// ours reports whether path itself, not what a link points to, is of the kind
// and belongs to this user.
func ours(path string, kind fs.FileMode) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != kind {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
