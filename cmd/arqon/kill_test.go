package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// killStudy takes its time, so that there is something to interrupt: a
// measurement of the toy sleeps.
const killStudy = `name: kill
external:
  command: [toy, slow=2ms]
seed: 7
workers: 2
budget: {evaluations: 120}
candidates_per_context: 2
engines:
  - {name: cma, share: 0.4}
  - {name: ga, share: 0.3}
  - {name: sweep, share: 0.3}
policy: {check_seeds: 1, cvar_seeds: 2, robustness: [], reference_pairs: 8, canary_stages: [0.5, 1], canary_pairs: 2}
repository: repo
`

// The files of a run that must not depend on how often it was interrupted.
var killFiles = []string{"candidates.json", "journal.ledger", "handover.json"}

// killRun is a night in a fresh directory.
func killRun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kill.yaml"), []byte(killStudy), 0o644); err != nil {
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
	kills := 24
	if testing.Short() {
		kills = 6
	}
	calm := killRun(t)
	start := time.Now()
	if _, story, err := arqonIn(calm, "nightly", "--study", "kill.yaml"); err != nil {
		t.Fatalf("uninterrupted: %v\n%s", err, story)
	}
	whole := time.Since(start)
	root := uint64(start.UnixNano())
	t.Logf("seed %d, an uninterrupted night takes %v", root, whole)
	rnd := rand.New(rand.NewPCG(root, 0))
	done, nights := 0, 0
	for done < kills {
		nights++
		done += interruptedNight(t, rnd, whole, calm)
		if t.Failed() {
			t.FailNow()
		}
		if nights > 20*kills {
			t.Fatalf("%d kills in %d nights: nothing can be interrupted", done, nights)
		}
	}
	t.Logf("%d kills in %d nights", done, nights)
}

// interruptedNight kills one night until it gets through, and returns how
// often.
func interruptedNight(t *testing.T, rnd *rand.Rand, whole time.Duration, calm string) (kills int) {
	t.Helper()
	dir := killRun(t)
	for {
		args := []string{"nightly", "--resume", "kill-0001"}
		if _, err := os.Stat(runFile(dir, "run.json")); errors.Is(err, fs.ErrNotExist) {
			// killed before the night began: nothing was measured, a new one starts
			if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			args = []string{"nightly", "--study", "kill.yaml"}
		}
		c := command(dir, args...)
		var story bytes.Buffer
		c.Stderr = &story
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rnd.Int64N(int64(whole * 3 / 4))) // so that a night takes several
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
			t.Errorf("after %d kills: %v\n%s", kills, err, story.String())
			return kills
		}
		break
	}
	for _, name := range killFiles {
		want, got := mustRead(t, runFile(calm, name)), mustRead(t, runFile(dir, name))
		if name == "handover.json" { // names the manifest, which names keys and times
			want, got = handoverWords(want), handoverWords(got)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("after %d kills %s differs: %s", kills, name, firstDifference(string(want), string(got)))
		}
	}
	if out, story, err := arqonIn(dir, "verify", "--repository", "repo"); err != nil || !bytes.Contains([]byte(out), []byte("staging release 1:")) {
		t.Errorf("after %d kills: verify: %v\n%s%s", kills, err, out, story)
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
