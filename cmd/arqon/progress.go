package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/arqon/arqon/gates"
)

// story tells the person who waits what is going on: bars on a terminal, a line
// a tenth of each step elsewhere. It writes to standard error and decides nothing.
type story struct {
	out  io.Writer
	live bool

	mu    sync.Mutex
	bars  *mpb.Progress
	lanes map[string]*lane
}

type lane struct {
	bar  *mpb.Bar
	said int                    // tenths, where there is no bar
	note atomic.Pointer[string] // the bars are drawn by a goroutine of their own
}

// slowSteps: shorter steps are told when they are done.
const slowSteps = 40

// newStory looks at the writer: bars need a terminal, and --quiet silences
// everything but errors.
func newStory(out io.Writer, quiet bool) *story {
	s := &story{out: out, lanes: map[string]*lane{}}
	if quiet {
		s.out = io.Discard
		return s
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.live = true
		s.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	}
	return s
}

// say prints one line above the bars.
func (s *story) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		if _, err := s.bars.Write([]byte(line)); err == nil {
			return
		}
	}
	fmt.Fprint(s.out, line)
}

// step moves the named bar; note is what stands beside it (the best so far).
func (s *story) step(name string, done, total int, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[name]
	if !s.live {
		if l == nil {
			l = &lane{}
			s.lanes[name] = l
		}
		if total <= 0 {
			return
		}
		tenths := 10 * done / total
		if tenths < l.said { // the same step again, of something else
			l.said = 0
		}
		if (tenths > l.said && total >= slowSteps) || done == total {
			l.said = tenths
			fmt.Fprintf(s.out, "%-14s %d of %d  %s\n", name, done, total, note)
		}
		return
	}
	if l == nil {
		l = &lane{}
		l.note.Store(&note)
		l.bar = s.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *l.note.Load() })))
		s.lanes[name] = l
	}
	l.note.Store(&note)
	l.bar.SetTotal(int64(total), false)
	l.bar.SetCurrent(int64(done))
}

// close leaves the bars as they stand.
func (s *story) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return
	}
	for _, l := range s.lanes {
		l.bar.Abort(false)
	}
	s.bars.Wait()
	s.live = false
}

// judging tells how far the gates are.
func (s *story) judging(st gates.Step) {
	what := st.Candidate
	if what == "" {
		what = st.Gate + "s"
	}
	if st.Spoke {
		s.say("%-24s %-11s %s", what+" "+st.Context, st.Gate, st.Outcome)
	}
	s.step("gates", st.Done, st.Total, what+" "+st.Gate)
}
