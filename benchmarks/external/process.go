package external

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

const (
	tailBytes     = 4 << 10         // how much of stderr is kept
	reapTimeout   = 5 * time.Second // after SIGKILL: only an uninterruptible sleep takes longer
	politeTimeout = 2 * time.Second // after shutdown, before SIGKILL
	goneTimeout   = time.Second     // after the end of its output, before SIGKILL
)

// process is one running program. It serves one request at a time.
type process struct {
	group  *group
	in     *os.File // the program's stdin
	out    *os.File // the program's stdout
	lines  *bufio.Reader
	log    *tail
	dir    string // its own temporary directory
	lastID uint64
	broken bool // no more requests: the stream is out of step or the program is gone
}

// startProcess starts the program with its own temporary directory below base.
func startProcess(argv []string, o Options, base string) (*process, error) {
	dir, err := os.MkdirTemp(base, "process-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, log: &tail{}}
	childIn, childOut, err := p.pipes()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = o.Dir, environment(o.Env, dir)
	cmd.Stdin, cmd.Stdout = childIn, childOut
	logEnd, err := p.log.pipe()
	if err == nil {
		cmd.Stderr = logEnd
		p.group, err = startGroup(cmd)
		err = errors.Join(err, logEnd.Close())
	}
	if err = errors.Join(err, childIn.Close(), childOut.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %q: %w", argv[0], err), p.stop())
	}
	return p, nil
}

// pipes makes the two pipes with this side's ends in p. They are files, not
// exec's pipes, so that closing an end interrupts whoever is blocked on it.
func (p *process) pipes() (childIn, childOut *os.File, err error) {
	childIn, p.in, err = os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p.out, childOut, err = os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, childIn.Close(), p.in.Close())
	}
	p.lines = bufio.NewReaderSize(p.out, 64<<10)
	return childIn, childOut, nil
}

// call sends one request and waits for its answer, at most for the deadline.
func (p *process) call(ctx context.Context, deadline time.Duration, q request) (reply, error) {
	p.lastID++
	q.ID = p.lastID
	line, err := json.Marshal(q)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", q.Op, err)
	}
	var r reply
	err = p.talk(ctx, deadline, q.Op, line, func(answer []byte) error {
		r, err = decodeReply(answer, q.ID)
		return err
	})
	var own *refusal
	if err != nil && !errors.As(err, &own) && !errors.Is(err, errNotFinite) {
		return reply{}, err
	}
	return r, err
}

// talk sends one line and lets understand read the answer, which must come
// within the deadline. Whatever else happens, the group is dead and the pipes
// are closed when talk returns an error that is not the program's own answer (a
// refusal, or a value that is no number).
func (p *process) talk(ctx context.Context, deadline time.Duration, op string, line []byte, understand func([]byte) error) error {
	if len(line) > maxLineBytes {
		return fmt.Errorf("%s: a request of %d bytes, a line holds %d", op, len(line), maxLineBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	unhook := context.AfterFunc(ctx, p.abort)
	err := p.exchange(append(line, '\n'), understand)
	if !unhook() {
		<-ctx.Done() // abort has begun: the stream cannot be used again
		p.broken = true
	}
	var own *refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own) || errors.Is(err, errNotFinite):
		return fmt.Errorf("%s: %w", op, err)
	}
	return p.explain(ctx, op, deadline, err)
}

// abort unblocks exchange: the group dies and this side's ends close, in case
// a descendant left the group and still holds the other ends.
func (p *process) abort() {
	p.group.kill()
	_ = p.in.SetDeadline(time.Unix(1, 0))
	_ = p.out.SetDeadline(time.Unix(1, 0))
}

func (p *process) exchange(line []byte, understand func([]byte) error) error {
	if _, err := p.in.Write(line); err != nil {
		return err
	}
	answer, err := readLine(p.lines)
	if err != nil {
		return err
	}
	return understand(answer)
}

// readLine returns one line without its newline, or ErrProtocol past the cap.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLineBytes+1 {
			return nil, fmt.Errorf("more than %d bytes without a newline: %w", maxLineBytes, ErrProtocol)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte{'\n'}), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// explain turns a broken exchange into one clear error and ends the process.
func (p *process) explain(ctx context.Context, op string, deadline time.Duration, err error) error {
	p.broken = true
	gone := errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || isPipe(err)
	if gone { // let it finish dying by itself, so that its status is its own
		select {
		case <-p.group.exited:
		case <-time.After(goneTimeout):
		}
	}
	status := p.status()
	stopErr := p.stop()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%s: no answer within %v: %w", op, deadline, benchmarks.ErrTimeout)
	case ctx.Err() != nil:
		return errors.Join(fmt.Errorf("%s: %w", op, ctx.Err()), stopErr)
	case gone:
		err = fmt.Errorf("%s: the program ended (%s): %w", op, status, benchmarks.ErrCrash)
	default:
		err = fmt.Errorf("%s: %w", op, err)
	}
	if said := p.log.String(); said != "" {
		err = fmt.Errorf("%w; its stderr ends with: %s", err, said)
	}
	return errors.Join(err, stopErr)
}

func (p *process) status() string {
	select {
	case <-p.group.exited:
		return p.group.cmd.ProcessState.String()
	default:
		return "it closed its output"
	}
}

// alive reports whether the process can take a request.
func (p *process) alive() bool {
	select {
	case <-p.group.exited:
		return false
	default:
		return !p.broken
	}
}

// shutdown asks politely first, with the protocol's word for it.
func (p *process) shutdown(op string) error {
	if p.alive() {
		_ = p.in.SetWriteDeadline(time.Now().Add(politeTimeout))
		_, err := fmt.Fprintf(p.in, "{\"id\":%d,\"op\":%q}\n", p.lastID+1, op)
		err = errors.Join(err, p.in.Close())
		if err == nil {
			select {
			case <-p.group.exited:
			case <-time.After(politeTimeout):
			}
		}
	}
	return p.stop()
}

// stop kills the group, waits for it and removes the directory. Calling it
// again does nothing.
func (p *process) stop() error {
	p.broken = true
	var err error
	if p.group != nil {
		p.group.kill()
		select {
		case <-p.group.exited:
		case <-time.After(reapTimeout):
			err = fmt.Errorf("process %d does not die", p.group.cmd.Process.Pid)
		}
	}
	for _, f := range []*os.File{p.in, p.out} {
		if e := f.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	p.log.close()
	return errors.Join(err, os.RemoveAll(p.dir))
}

// inherited are the only variables that a program gets unasked; TMPDIR points
// to its own directory.
var inherited = []string{"PATH", "HOME", "LANG"}

// environment is scrubbed so that a measurement depends on what is written
// down, and a secret in the environment stays with its owner.
func environment(allow []string, tmp string) []string {
	env := []string{"TMPDIR=" + tmp}
	for _, name := range append(append([]string{}, inherited...), allow...) {
		if v, ok := os.LookupEnv(name); ok && name != "TMPDIR" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
	from *os.File
	done chan struct{}
}

// pipe returns the end to write to and starts reading the other one.
func (t *tail) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t.from, t.done = r, make(chan struct{})
	go func() {
		defer close(t.done)
		buf := make([]byte, 4<<10)
		for {
			n, err := r.Read(buf)
			t.add(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return w, nil
}

func (t *tail) add(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if extra := len(t.kept) - tailBytes; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
}

// close waits a moment for what is still in the pipe, then stops reading.
func (t *tail) close() {
	if t.from == nil {
		return
	}
	select {
	case <-t.done:
	case <-time.After(100 * time.Millisecond): // somebody outside the group still holds it
	}
	_ = t.from.Close() // read only
	<-t.done
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "?"))
}
