package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/runtime"
)

// tamperSeed draws the byte and the bit; a failure prints it.
func tamperSeed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	t.Logf("seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitYes
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// copyOf copies a fixture for one test.
func copyOf(t *testing.T, name string) string {
	t.Helper()
	from, err := fixture(name)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := copyTree(to, from); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestTamper flips one byte at every arrow and expects the refusal that
// belongs there.
func TestTamper(t *testing.T) {
	t.Run("repository", tamperRepository)
	t.Run("night", tamperNight)
	t.Run("report", tamperReport)
	t.Run("keys", tamperKeys)
	t.Run("alpha ledger", tamperAlpha)
	t.Run("actuation log", tamperActuation)
}

// tamperRepository changes each file that verify reads, in several places, and
// then removes it.
func tamperRepository(t *testing.T) {
	rnd := tamperSeed(t)
	dir := copyOf(t, "toy")
	out, story, err := arqonIn(dir, "verify", "--repository", "repo", "--json")
	if err != nil {
		t.Fatalf("untouched: %v\n%s", err, story)
	}
	var v verified
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Files) < 10 {
		t.Fatalf("verify read %d files only", len(v.Files))
	}
	onDisk := map[string]bool{}
	err = filepath.WalkDir(filepath.Join(dir, "repo"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(filepath.Join(dir, "repo"), path)
			onDisk[filepath.ToSlash(rel)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name, what string) {
		t.Helper()
		out, story, err := arqonIn(dir, "verify", "--repository", "repo", "--json")
		if exitCode(err) != exitNo {
			t.Errorf("%s: exit %d, want 1\n%s", what, exitCode(err), story)
			return
		}
		var v verified
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if v.OK || v.Reason == "" || v.File != name || !strings.Contains(story, name) {
			t.Errorf("%s: ok %v, reason %q, file %q\n%s", what, v.OK, v.Reason, v.File, story)
		}
		if !strings.Contains(story, "\nhint: ") {
			t.Errorf("%s: no hint\n%s", what, story)
		}
	}
	for _, name := range v.Files {
		if !onDisk[name] {
			t.Errorf("verify lists %s, which is not there", name)
			continue
		}
		file := filepath.Join(dir, "repo", filepath.FromSlash(name))
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(good))
		for _, at := range []int64{0, rnd.Int64N(size), rnd.Int64N(size), rnd.Int64N(size), size - 1} {
			mask := byte(1) << rnd.IntN(8)
			if err := flipByte(file, at, mask); err != nil {
				t.Fatal(err)
			}
			refused(name, strings.Join([]string{"flipped", name}, " "))
			if t.Failed() {
				t.Fatalf("byte %d of %d, mask %#x", at, size, mask)
			}
			if err := os.WriteFile(file, good, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for what, b := range map[string][]byte{"one byte more": append(bytes.Clone(good), '\n'), "one byte less": good[:size-1], "empty": {}} {
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			refused(name, name+": "+what)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		refused(name, "removed "+name)
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, story, err := arqonIn(dir, "verify", "--repository", "repo"); err != nil {
		t.Errorf("restored: %v\n%s", err, story)
	}
}

// middle is a place in a file that is far from both ends.
func middle(t *testing.T, file string) int64 {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size() / 2
}

func flipIn(t *testing.T, file string, at int64) {
	t.Helper()
	if err := flipByte(file, at, 1); err != nil {
		t.Fatal(err)
	}
}

// refuses runs the command and expects the code and the texts.
func refuses(t *testing.T, dir string, code int, args []string, texts ...string) {
	t.Helper()
	_, story, err := arqonIn(dir, args...)
	if exitCode(err) != code {
		t.Errorf("arqon %v: exit %d, want %d\n%s", args, exitCode(err), code, story)
	}
	for _, text := range append(texts, "arqon: ") {
		if !strings.Contains(story, text) {
			t.Errorf("arqon %v does not say %q:\n%s", args, text, story)
		}
	}
}

// tamperNight changes what a resumed night reads.
func tamperNight(t *testing.T) {
	const run = "out/runs/toy-0001/"
	resume := []string{"nightly", "--resume", "toy-0001"}
	for _, c := range []struct {
		name, file string
		before     func(t *testing.T, dir string) // the state in which the file is read
		text       string
	}{
		{"study", "study.yaml", nil, "was changed after the night began"},
		{"run", "run.json", nil, "run.json"},
		{"candidates", "candidates.json", nil, "candidates.json"},
		{"journal", "journal.ledger", func(t *testing.T, dir string) { removeAll(t, dir+"/"+run+"candidates.json") }, "journal.ledger"},
		{"gates", "gates.ledger", nil, "gates.ledger"},
		{"handover", "handover.json", nil, "handover.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyOf(t, "toy")
			if c.before != nil {
				c.before(t, dir)
			}
			file := filepath.Join(dir, run, c.file)
			at := middle(t, file)
			switch c.name {
			case "study":
				at = int64(bytes.Index(mustRead(t, file), []byte("seed: 1")) + len("seed: "))
			case "handover":
				at = int64(bytes.Index(mustRead(t, file), []byte("arqon-handover")))
			case "run":
				at = int64(bytes.Index(mustRead(t, file), []byte("sha256:")) + len("sha256:"))
			}
			flipIn(t, file, at)
			want := c.text
			if c.name == "run" {
				want = "was changed after the night began"
			}
			refuses(t, dir, exitCouldNot, resume, want)
		})
	}
	t.Run("blob", func(t *testing.T) {
		dir := copyOf(t, "toy")
		blobs, err := filepath.Glob(filepath.Join(dir, run, "blobs/sha256/*/*"))
		if err != nil || len(blobs) == 0 {
			t.Fatalf("%d blobs, %v", len(blobs), err)
		}
		// which of them a night that is over reads again is its business: the
		// bundles of its candidates
		var c struct {
			Candidates []struct {
				Bundle struct {
					Files []struct {
						Digest string `json:"digest"`
					} `json:"files"`
				} `json:"bundle"`
			} `json:"candidates"`
		}
		if err := json.Unmarshal(mustRead(t, filepath.Join(dir, run, "candidates.json")), &c); err != nil {
			t.Fatal(err)
		}
		if len(c.Candidates) == 0 {
			t.Fatal("no candidates")
		}
		hex := strings.TrimPrefix(c.Candidates[0].Bundle.Files[0].Digest, "sha256:")
		flipIn(t, filepath.Join(dir, run, "blobs/sha256", hex[:2], hex), 3)
		refuses(t, dir, exitCouldNot, resume, hex[:8])
	})
}

// tamperReport changes numbers that a report's reader would believe.
func tamperReport(t *testing.T) {
	dir := copyOf(t, "toy")
	file := filepath.Join(dir, "out/runs/toy-0001/report.json")
	good := string(mustRead(t, file))
	for _, c := range []struct{ what, old, new string }{
		{"an outcome", `"INCONCLUSIVE"`, `"PASS"`},
		{"the bar", `"bar": 146000`, `"bar": 14600`},
		{"a digest", `"policy_digest": "sha256:`, `"policy_digest": "sha256:0`},
	} {
		if !strings.Contains(good, c.old) {
			t.Errorf("%s: the report has no %s", c.what, c.old)
			continue
		}
		if err := os.WriteFile(file, []byte(strings.Replace(good, c.old, c.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		_, story, err := arqonIn(dir, "report", "toy-0001", "--check")
		if exitCode(err) == exitYes {
			t.Errorf("%s was changed and --check says yes", c.what)
		} else if !strings.Contains(story, "arqon: ") {
			t.Errorf("%s: %s", c.what, story)
		}
	}
	// any byte anywhere
	rnd := tamperSeed(t)
	for range 25 {
		if err := os.WriteFile(file, []byte(good), 0o644); err != nil {
			t.Fatal(err)
		}
		at := rnd.Int64N(int64(len(good)))
		if err := flipByte(file, at, byte(1)<<rnd.IntN(7)); err != nil {
			t.Fatal(err)
		}
		if b := mustRead(t, file); saysTheSame(b, good) {
			continue // the same number in other digits, or a key in another case
		}
		_, story, err := arqonIn(dir, "report", "toy-0001", "--check")
		if exitCode(err) == exitYes {
			t.Errorf("byte %d: %q became %q and --check says yes", at, around(good, at), around(string(mustRead(t, file)), at))
		} else if !strings.Contains(story, "arqon: ") {
			t.Errorf("byte %d: %s", at, story)
		}
	}
}

// saysTheSame reports whether a changed record is read as the one before.
func saysTheSame(changed []byte, good string) bool {
	n, err := gates.DecodeNight(changed)
	if err != nil {
		return false
	}
	b, err := gates.EncodeNight(n)
	return err == nil && string(b) == good
}

func around(s string, at int64) string { return s[max(0, at-30):min(int64(len(s)), at+30)] }

// tamperKeys changes a private key, which must then not sign.
func tamperKeys(t *testing.T) {
	dir := copyOf(t, "people")
	file := filepath.Join(dir, "repo-keys/nightly/staging.key")
	flipIn(t, file, middle(t, file))
	refuses(t, dir, exitCouldNot, []string{"sign", "--repository", "repo", "--keys", "repo-keys/nightly"}, "staging", "\nhint: ")
	// a proposal that was changed after it was made is not signed
	dir = copyOf(t, "people")
	manifests, err := filepath.Glob(filepath.Join(dir, "repo/proposals/*/*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("%d files of proposals, %v", len(manifests), err)
	}
	for _, file := range manifests {
		good := mustRead(t, file)
		flipIn(t, file, middle(t, file))
		_, story, err := arqonIn(dir, "sign", "--repository", "repo", "--keys", "repo-keys/nightly")
		if exitCode(err) == exitYes {
			t.Errorf("%s was changed and is signed", file)
		} else if !strings.Contains(story, "arqon: ") {
			t.Errorf("%s: %s", file, story)
		}
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tamperAlpha changes the account of the year's errors: no night may start on
// an account that does not add up. The last record of a ledger cannot be told
// from an append that a crash cut short, so it is an earlier one that changes.
func tamperAlpha(t *testing.T) {
	dir := copyOf(t, "toy")
	night := []string{"nightly", "--study", "toy.yaml", "--repository", "repo"}
	if _, story, err := arqonIn(dir, night...); err != nil {
		t.Fatalf("%v\n%s", err, story)
	}
	file := filepath.Join(dir, "out/alpha.ledger")
	good := mustRead(t, file)
	last := bytes.LastIndex(good, []byte("toy-0002"))
	if last < 0 {
		t.Fatal("the ledger does not name the second night")
	}
	first := bytes.Index(good, []byte("toy-0001"))
	flipIn(t, file, int64(first))
	refuses(t, dir, exitCouldNot, night, "alpha.ledger", "\nhint: ")
}

// tamperActuation changes what a host did.
func tamperActuation(t *testing.T) {
	dir := copyOf(t, "infer")
	file := filepath.Join(dir, "actuation.ledger")
	done, err := runtime.ReplayFile(file)
	if err != nil || done.Outputs == 0 {
		t.Fatalf("untouched: %d outputs, %v", done.Outputs, err)
	}
	good := mustRead(t, file)
	rnd := tamperSeed(t)
	for range 20 {
		at := rnd.Int64N(int64(len(good)))
		if err := flipByte(file, at, 1); err != nil {
			t.Fatal(err)
		}
		if again, err := runtime.ReplayFile(file); err == nil && again == done {
			t.Errorf("byte %d of %d was changed and the replay is the same", at, len(good))
		}
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// a log is never overwritten
	refuses(t, dir, exitCouldNot, []string{"run", "--repository", "repo", "--log", "actuation.ledger"}, "actuation.ledger", "\nhint: ")
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
