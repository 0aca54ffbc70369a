package universe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nativeImage is a program in memory that processes of a kernel are started
// from. Nothing can change it any more.
type nativeImage struct {
	file *os.File
	size int // of the memory that it maps
}

func newNativeImage(program []byte, size int) (*nativeImage, error) {
	f, err := sealed("arqon-kernel", len(program), program, unix.F_SEAL_WRITE)
	if err != nil {
		return nil, err
	}
	return &nativeImage{f, size}, nil
}

func (i *nativeImage) close() error { return i.file.Close() }

// sealed makes a file in memory that never changes its size again: who maps it
// could be made to fault by another process that cuts it off.
func sealed(name string, size int, content []byte, seals int) (*os.File, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	err = f.Truncate(int64(size))
	if err == nil && len(content) > 0 {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL|seals)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory file: %w", err), f.Close())
	}
	return f, nil
}

// nativeProcess is one grid's process. It is used by one goroutine at a time.
type nativeProcess struct {
	process  *os.Process
	commands int // descriptor that is written
	answers  int // descriptor that is read
	memory   []byte
	gone     error         // why it is of no use any more
	patience time.Duration // with a command, beside what its cells take
}

// nativeReady is the first answer: "aqnready".
const nativeReady = 0x79646165726e7161

// start starts a process with memory of its own. It has the three descriptors
// of native/amd64.S, no variable of the environment, and dies with this
// program.
func (i *nativeImage) start(ctx context.Context) (_ *nativeProcess, err error) {
	memory, err := sealed("arqon-grid", i.size, nil, 0)
	if err != nil {
		return nil, err
	}
	p := &nativeProcess{commands: -1, answers: -1, patience: nativeStepsMax}
	var theirs []*os.File
	defer func() {
		for _, f := range append(theirs, memory) {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.memory, err = unix.Mmap(int(memory.Fd()), 0, i.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the grid: %w", err)
	}
	for side, ours := range []*int{&p.commands, &p.answers} {
		var pair [2]int // read, write
		if err := unix.Pipe2(pair[:], unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("pipe to a kernel: %w", err)
		}
		*ours = pair[1-side]
		theirs = append(theirs, os.NewFile(uintptr(pair[side]), "kernel"))
	}
	attr := &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: append(append([]*os.File{}, theirs...), memory),
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true},
	}
	onStarter(func() {
		p.process, err = os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", i.file.Fd()), []string{"arqon-kernel"}, attr)
	})
	if err != nil {
		return nil, fmt.Errorf("start a kernel: %w", err)
	}
	first, err := p.answer(ctx, nativeStartMax)
	if err == nil && first != nativeReady {
		err = p.lose(fmt.Errorf("answered %#x where it had to say that it is ready", first))
	}
	return p, err
}

// starter runs functions on one thread that never ends: a child gets its
// parent's death signal when the thread that made it ends.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		goruntime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func onStarter(f func()) {
	done := make(chan struct{})
	starter() <- func() { defer close(done); f() }
	<-done
}

// Time limits. A step's is far beyond what the slowest kernel takes on a busy
// machine: it is there to end what does not end.
const (
	nativeStartMax  = 10 * time.Second
	nativeStepsMax  = 2 * time.Second        // and for every cell and step:
	nativeCellMax   = 500 * time.Nanosecond  // ten times the slowest kernel
	nativeLook      = 100 * time.Millisecond // how often the context is looked at meanwhile
	nativeSoon      = 200 * time.Microsecond // how long nobody else may have the processor
	nativeWordBytes = 8
)

// steps lets the kernel take n steps of a grid, and returns where the result
// is.
func (p *nativeProcess) steps(ctx context.Context, cur, next, height, width, n int) (int, error) {
	if p.gone != nil {
		return 0, p.gone
	}
	var command [16]byte
	for i, v := range [4]int{cur, next, height, n} {
		binary.LittleEndian.PutUint32(command[4*i:], uint32(v))
	}
	for {
		_, err := unix.Write(p.commands, command[:]) // never in part: a pipe keeps 16 bytes together
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EPIPE) {
			err = p.lose(nil) // how it ended says more
		} else if err != nil {
			err = p.lose(err)
		}
		if err != nil {
			return 0, err
		}
		break
	}
	at, err := p.answer(ctx, p.patience+time.Duration(width*height)*time.Duration(n)*nativeCellMax)
	return int(at), err
}

// answer waits for one, or for the process to end.
func (p *nativeProcess) answer(ctx context.Context, limit time.Duration) (uint64, error) {
	until := time.Now().Add(limit)
	p.soon()
	for {
		wait := min(nativeLook, time.Until(until))
		if wait <= 0 {
			return 0, p.lose(fmt.Errorf("it did not end within %v", limit))
		}
		fds := []unix.PollFd{{Fd: int32(p.answers), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(1, int(wait/time.Millisecond)))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, p.lose(err)
		case n == 0:
			if ctx.Err() != nil {
				return 0, p.lose(fmt.Errorf("stopped: %w", ctx.Err()))
			}
			continue
		}
		var word [nativeWordBytes]byte
		switch n, err := unix.Read(p.answers, word[:]); {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, p.lose(err)
		case n != nativeWordBytes:
			return 0, p.lose(nil)
		}
		return binary.LittleEndian.Uint64(word[:]), nil
	}
}

// soon waits a little for an answer without telling Go's scheduler, which would
// give the processor to another thread and back: that takes longer than a small
// grid's steps. What stops the world meanwhile waits as long. Whatever comes of
// it, who waits in earnest sees again.
func (p *nativeProcess) soon() {
	fd := unix.PollFd{Fd: int32(p.answers), Events: unix.POLLIN}
	limit := unix.NsecToTimespec(int64(nativeSoon))
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
}

// lose kills the process and says why it is of no use any more: because of
// why, or nil for what it ended with itself.
func (p *nativeProcess) lose(why error) error {
	state, err := p.end(why == nil)
	switch {
	case why != nil:
	case err != nil:
		why = err
	case state.ExitCode() == exitNoMap:
		why = errors.New("its memory could not be mapped")
	case state.ExitCode() == exitNoSeccomp:
		why = errors.New("this machine's kernel does not restrict system calls (seccomp)")
	default:
		why = fmt.Errorf("it ended: %v", state)
	}
	p.gone = fmt.Errorf("%w: %w", ErrKernelLost, why)
	return p.gone
}

// Exit codes of native/amd64.S.
const (
	exitNoMap     = 101
	exitNoSeccomp = 102
)

// endMax is how long a process that has closed its answers may take to end.
const endMax = time.Second

// end reaps the process, which is killed at once unless it is ending by itself.
func (p *nativeProcess) end(itself bool) (*os.ProcessState, error) {
	kill := func() { _ = p.process.Kill() } // it may have ended: Wait says so
	if !itself {
		kill()
	}
	late := time.AfterFunc(endMax, kill)
	defer late.Stop()
	return p.process.Wait()
}

// cpu is the processor time of the process so far.
func (p *nativeProcess) cpu() (time.Duration, error) {
	if p.gone != nil {
		return 0, p.gone
	}
	const sched = 2 // CPUCLOCK_SCHED of the whole process, see clock_getcpuclockid(3)
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.process.Pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("processor time of a kernel's process: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// settled is cpu when the process waits for a command. The system's account of
// another process lacks what it has run since it was last interrupted, and an
// answer is here before who wrote it sleeps: a whole command may be missing.
func (p *nativeProcess) settled() (time.Duration, error) {
	const looks, pause = 500, 20 * time.Microsecond
	last := time.Duration(-1)
	for range looks {
		now, err := p.cpu()
		if err != nil {
			return 0, err
		}
		if now == last && p.sleeps() {
			return now, nil
		}
		last = now
		time.Sleep(pause)
	}
	return last, nil // it ran all the time: its account is a tick old at most
}

// sleeps reads the state behind the name in /proc/PID/stat.
func (p *nativeProcess) sleeps() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.process.Pid))
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && strings.HasPrefix(state, "S")
}

// close ends the process and gives back what it had.
func (p *nativeProcess) close() error {
	var err error
	if p.process != nil && p.gone == nil {
		_, err = p.end(false)
	}
	p.gone = fmt.Errorf("%w: it was closed", ErrKernelLost)
	for _, fd := range []*int{&p.commands, &p.answers} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
		}
		*fd = -1
	}
	if p.memory != nil {
		err = errors.Join(err, unix.Munmap(p.memory))
		p.memory = nil
	}
	return err
}
