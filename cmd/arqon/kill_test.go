package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killsVariable says how many kills a test shall survive: make kill asks for
// 200 of each kind.
const killsVariable = "ARQON_KILLS"

// killStudy takes its time, so that there is something to interrupt: a
// measurement of the toy sleeps, each for another time, so that workers finish
// in another order in every session.
const killStudy = `name: kill
external:
  command: [toy, shuffle=4ms]
seed: 7
workers: WORKERS
budget: {evaluations: 120}
candidates_per_context: 2
engines:
  - {name: cma, share: 0.4}
  - {name: ga, share: 0.3}
  - {name: sweep, share: 0.3}
policy: {check_seeds: 1, cvar_seeds: 2, robustness: [], reference_pairs: 8, canary_stages: [0.5, 1], canary_pairs: 2}
repository: repo
`

// victim is a verb whose runs are killed, and the files of a run that must not
// depend on how often.
type victim struct {
	verb  string
	kills int    // survived in a plain test run
	study string // "": killStudy
	files []string
	after func(t *testing.T, dir string) // looks at a finished run
}

// killRun is a run to be in a fresh directory.
func killRun(t *testing.T, study string, workers int) string {
	t.Helper()
	dir := t.TempDir()
	if study == "" {
		study = killStudy
	}
	study = strings.Replace(study, "WORKERS", strconv.Itoa(workers), 1)
	if err := os.WriteFile(filepath.Join(dir, "kill.yaml"), []byte(study), 0o644); err != nil {
		t.Fatal(err)
	}
	from, err := fixture("founded")
	if err != nil {
		t.Fatal(err)
	}
	if err := copyTree(dir, from); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runFile(dir, name string) string { return filepath.Join(dir, "out/runs/kill-0001", name) }

// TestKill ends nights with SIGKILL at random points, over and over, and
// expects what an uninterrupted night leaves: candidates, the whole journal,
// and one release.
func TestKill(t *testing.T) {
	survive(t, victim{
		verb: "nightly", kills: 24, files: []string{"candidates.json", "journal.ledger", "handover.json"},
		after: func(t *testing.T, dir string) {
			t.Helper()
			if out, story, err := arqonIn(dir, "verify", "--repository", "repo"); err != nil || !bytes.Contains([]byte(out), []byte("staging release 1:")) {
				t.Errorf("verify: %v\n%s%s", err, out, story)
			}
		},
	})
}

// TestKillDiscover is the same for a search alone.
func TestKillDiscover(t *testing.T) {
	survive(t, victim{verb: "discover", kills: 12, files: []string{"search.ledger", "recommendation.json"}})
}

// survive compares interrupted runs of 1, 2 and 8 workers with an
// uninterrupted one of a single worker.
func survive(t *testing.T, v victim) {
	t.Helper()
	kills := v.kills
	if testing.Short() {
		kills = v.kills / 4
	}
	if n, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
		kills = n
	}
	calm := killRun(t, v.study, 1)
	start := time.Now()
	if _, story, err := arqonIn(calm, v.verb, "--study", "kill.yaml"); err != nil {
		t.Fatalf("uninterrupted: %v\n%s", err, story)
	}
	whole := time.Since(start)
	root := uint64(start.UnixNano())
	t.Logf("seed %d, an uninterrupted run takes %v", root, whole)
	rnd := rand.New(rand.NewPCG(root, 0))
	done, runs := 0, 0
	for ; done < kills; runs++ {
		done += v.interrupted(t, rnd, whole, calm, []int{2, 8, 1}[runs%3])
		if t.Failed() {
			t.FailNow()
		}
		if runs > 20*kills {
			t.Fatalf("%d kills in %d runs: nothing can be interrupted", done, runs)
		}
	}
	t.Logf("%d kills in %d runs", done, runs)
}

// interrupted kills one run until it gets through, and returns how often.
func (v victim) interrupted(t *testing.T, rnd *rand.Rand, whole time.Duration, calm string, workers int) (kills int) {
	t.Helper()
	dir := killRun(t, v.study, workers)
	for {
		args := []string{v.verb, "--resume", "kill-0001"}
		if _, err := os.Stat(runFile(dir, "run.json")); errors.Is(err, fs.ErrNotExist) {
			// killed before the run began: nothing was measured, a new one starts
			if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			args = []string{v.verb, "--study", "kill.yaml"}
		}
		c := command(dir, args...)
		c.Env = append(c.Env, "TMPDIR="+dir) // the killed leave their temporary files, which go with the test's
		var story bytes.Buffer
		c.Stderr = &story
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rnd.Int64N(int64(whole * 3 / 4))) // so that a run takes several
		timer := time.AfterFunc(after, func() {
			if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		})
		err := c.Wait()
		timer.Stop()
		switch {
		case signalled(err, syscall.SIGKILL):
			kills++
			continue
		case err != nil:
			t.Errorf("after %d kills with %d workers: %v\n%s", kills, workers, err, story.String())
			return kills
		}
		break
	}
	for _, name := range v.files {
		want, got := mustRead(t, runFile(calm, name)), mustRead(t, runFile(dir, name))
		if name == "handover.json" { // names the manifest, which names keys and times
			want, got = handoverWords(want), handoverWords(got)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("after %d kills with %d workers %s differs: %s", kills, workers, name, firstDifference(string(want), string(got)))
		}
	}
	if v.after != nil {
		v.after(t, dir)
	}
	return kills
}

func handoverWords(b []byte) []byte {
	i := bytes.Index(b, []byte(", manifest"))
	if i < 0 {
		return b
	}
	return b[:i]
}
