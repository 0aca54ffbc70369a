package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// executedMark stands before the block of README.md that this test runs.
const executedMark = "<!-- executed -->"

// readmeStudy takes the place of studies/compress.yaml: the same program, but
// few evaluations and a success metric that no clock decides. The test is about
// the commands; the figures of a real night are not reproduced here.
const readmeStudy = `name: compress
external:
  command: ["go", "run", "./benchmarks/external/compress"]
seed: 1
workers: 2
budget: {evaluations: 24}
candidates_per_context: 1
contexts:
  - {name: small, success: ratio, tolerances: {ns_per_byte: 10}}
policy:
  alpha_night: 0.001
  reference_pairs: 8
  check_seeds: 1
  robustness: []
  cvar_seeds: 0
  canary_stages: [0.5, 1]
  canary_pairs: 2
  canary_margin: 10
  control_delay: 1
repository: out/compress
`

// TestReadme runs the console session of README.md in one shell: each line that
// begins with "$ " must succeed, and what is shown below it must be in what it
// said, figures aside. It runs in a copy of what the session needs; instead of
// building, bin/arqon is the binary under test.
func TestReadme(t *testing.T) {
	sessions := executedSessions(string(mustRead(t, "../../README.md")))
	if len(sessions) == 0 {
		t.Fatalf("README.md has no console block after %s", executedMark)
	}
	dir := readmeProject(t)
	for _, s := range sessions {
		if len(s) == 0 {
			t.Fatal("a session of README.md has no line that begins with $")
		}
		runSession(t, dir, s)
	}
}

// readmeProject is what the session finds: the studies, the program, a binary.
func readmeProject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"studies", "benchmarks/external/compress"} {
		if err := copyTree(filepath.Join(dir, name), filepath.Join("../..", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string][]byte{
		"go.mod": mustRead(t, "../../go.mod"), "go.sum": mustRead(t, "../../go.sum"),
		"studies/compress.yaml": []byte(readmeStudy),
		"Makefile":              []byte("build:\n\t@test -x bin/arqon\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	arqon, err := exec.LookPath("arqon")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "bin"), 0o755)
	}
	if err == nil {
		err = os.Symlink(arqon, filepath.Join(dir, "bin/arqon"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// step is one command and what the README shows of its output.
type step struct {
	command string
	shown   []string
}

func executedSessions(readme string) [][]step {
	var out [][]step
	for _, part := range strings.Split(readme, executedMark)[1:] {
		part = strings.TrimLeft(part, "\n")
		block, ok := strings.CutPrefix(part, "```console\n")
		if !ok {
			continue
		}
		block, _, _ = strings.Cut(block, "\n```")
		var steps []step
		for _, line := range strings.Split(block, "\n") {
			if c, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: c})
			} else if len(steps) > 0 && strings.TrimSpace(line) != "" {
				last := &steps[len(steps)-1]
				last.shown = append(last.shown, line)
			}
		}
		out = append(out, steps)
	}
	return out
}

var digits = regexp.MustCompile(`[0-9a-f]{8,}|[0-9][0-9.,]*|[−+-]`)

// plain is a line without what differs from night to night.
func plain(line string) string {
	line = strings.ReplaceAll(line, "\u00a0", " ")
	return strings.Join(strings.Fields(digits.ReplaceAllString(line, "")), " ")
}

// between separates the outputs of the steps.
const between = "-- the next step --"

func runSession(t *testing.T, dir string, steps []step) {
	t.Helper()
	script := "set -e\n"
	for _, s := range steps {
		script += s.command + "\necho '" + between + "'\n"
	}
	c := exec.Command("sh", "-c", script)
	c.Dir = dir
	c.Env = append(os.Environ(), "ARQON_STATE="+filepath.Join(dir, "state"))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	said := strings.Split(out.String(), between+"\n")
	if err != nil {
		t.Fatalf("$ %s: %v\n%s", steps[min(len(said), len(steps))-1].command, err, said[len(said)-1])
	}
	for i, s := range steps {
		text := plain(said[i])
		for _, line := range s.shown {
			for _, piece := range strings.Split(line, "…") {
				if p := plain(piece); p != "" && !strings.Contains(text, p) {
					t.Errorf("$ %s: README.md shows %q, which was not said:\n%s", s.command, line, said[i])
				}
			}
		}
	}
}
