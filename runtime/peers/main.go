// Command peers times the runtime's hot path beside what others use for the
// same purpose, in one process and interleaved, and prints a table in Markdown:
// feature-flag clients for Select, HdrHistogram for Record, a buffered channel
// for Emit. It is a module of its own, so that nothing of theirs reaches a
// user's build.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 15, "times that everything is measured; the median counts")
	out := flag.String("out", "", "write the table to this `FILE` too")
	flag.Parse()
	subjects, err := open()
	if err != nil {
		log.Fatal(err)
	}
	goruntime.GOMAXPROCS(1)
	goruntime.LockOSThread()
	for _, s := range subjects {
		s.measure() // warm; also finds how many operations take long enough
	}
	for range *rounds {
		for _, s := range subjects {
			s.measure()
		}
	}
	var text strings.Builder
	table(&text, subjects, *rounds)
	fmt.Print(text.String())
	if *out != "" {
		if err := os.WriteFile(*out, []byte(text.String()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	if err := goals(subjects); err != nil {
		log.Fatal(err)
	}
}

// subject is one operation of one system.
type subject struct {
	key    string // for ratios
	does   string
	system string
	n      int         // operations a round
	run    func(n int) // does it n times
	ns     []float64   // an operation, one a round
}

const roundNS = 5e6 // of processor time

// measure adds a round. The first one only finds n.
func (s *subject) measure() {
	if s.n == 0 {
		for s.n = 64; ; s.n *= 2 {
			if s.elapsed() >= roundNS {
				return
			}
		}
	}
	s.ns = append(s.ns, s.elapsed()/float64(s.n))
}

// elapsed is the processor time of n operations on this thread: what else the
// machine does shows less in it than in the time on the wall.
func (s *subject) elapsed() float64 {
	before := threadNS()
	s.run(s.n)
	return threadNS() - before
}

func threadNS() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		log.Fatal(err)
	}
	return float64(t.Nano())
}

func (s *subject) median() float64 {
	x := slices.Sorted(slices.Values(s.ns))
	return x[len(x)/2]
}

func (s *subject) allocations() float64 {
	return testing.AllocsPerRun(1000, func() { s.run(1) })
}

func find(subjects []*subject, key string) *subject {
	for _, s := range subjects {
		if s.key == key {
			return s
		}
	}
	return nil
}

func table(w io.Writer, subjects []*subject, rounds int) {
	floor := find(subjects, "floor").median()
	own := find(subjects, "select").median()
	fmt.Fprintf(w, `# The hot path beside its peers

Made by `+"`make peers`"+`; every figure is the median of %d interleaved rounds of processor time on one thread, so read the ratios. %s/%s, %s.

- A flag client does more than Select: it evaluates rules for a user at every call. A release was decided before the request came.
- OpenFeature's SDK costs a microsecond whatever answers; Arqon's provider adds the metadata of release and snapshot to each evaluation.
- Record also keeps moments, extremes and a count of what was no number; HdrHistogram counts whole numbers alone.

| operation | system | ns | ÷ bare load | ÷ Select | allocations |
|---|---|--:|--:|--:|--:|
`, rounds, goruntime.GOOS, goruntime.GOARCH, goruntime.Version())
	for _, s := range subjects {
		m := s.median()
		fmt.Fprintf(w, "| %s | %s | %.3g | %.1f | %.1f | %.0f |\n", s.does, s.system, m, m/floor, m/own, s.allocations())
	}
}

// goals are the ratios that must hold on any machine.
func goals(subjects []*subject) error {
	ratio := func(a, b string) float64 { return find(subjects, a).median() / find(subjects, b).median() }
	if r := ratio("select", "floor"); r > 3 {
		return fmt.Errorf("Select is %.1f times a bare atomic load, more than 3", r)
	}
	for _, peer := range []string{"launchdarkly", "launchdarkly rule"} {
		if r := ratio(peer, "select"); r < 100 {
			return fmt.Errorf("Select is only %.0f times faster than %s, less than 100", r, peer)
		}
	}
	return nil
}
