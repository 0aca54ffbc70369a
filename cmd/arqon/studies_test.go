package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks/external"
	"github.com/arqon/arqon/factory"
)

// fenced returns the blocks of a language in a text, in order.
func fenced(text, language string) (out []string) {
	for {
		_, rest, ok := strings.Cut(text, "```"+language+"\n")
		if !ok {
			return out
		}
		block, after, _ := strings.Cut(rest, "```\n")
		out, text = append(out, block), after
	}
}

// TestTheGuideToStudies takes docs/studies.md at its word: the benchmark that
// is shown keeps the contract, a search of it ends, and its check counts; the
// study that shows every key is one.
func TestTheGuideToStudies(t *testing.T) {
	text := string(mustRead(t, "../../docs/studies.md"))
	studies, scripts := fenced(text, "yaml"), fenced(text, "sh")
	if len(studies) != 2 || len(scripts) != 1 {
		t.Fatalf("%d studies and %d scripts, want 2 and 1", len(studies), len(scripts))
	}
	for i, name := range []string{"gzip.yaml", "everything.yaml"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(studies[i]), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := factory.LoadStudy(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(st.Command) == 0 {
			continue
		}
		tmpl, err := external.DecodeTemplate(st.Command)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(tmpl.Check) == 0 {
			t.Errorf("%s shows no check", name)
		}
	}
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("no gzip here")
	}
	t.Chdir(t.TempDir())
	for name, b := range map[string]string{"gzip.yaml": studies[0], "bench.sh": scripts[0]} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	guided(t, "domain", "check", "--study", "gzip.yaml")
	var found struct {
		OK       bool `json:"ok"`
		Contexts []struct {
			Point map[string]any `json:"point"`
		} `json:"contexts"`
	}
	if err := json.Unmarshal(guided(t, "discover", "--study", "gzip.yaml", "--quiet", "--json"), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Contexts) != 2 {
		t.Errorf("%d contexts, want 2", len(found.Contexts))
	}
	for _, c := range found.Contexts {
		if level, ok := c.Point["level"].(float64); !ok || level < 5 {
			t.Errorf("the smallest files are at level %v: gzip compresses better above 4", c.Point["level"])
		}
	}
}

// TestTheGuideToDomains runs the program in Python that docs/domains.md shows
// and the night over it.
func TestTheGuideToDomains(t *testing.T) {
	text := string(mustRead(t, "../../docs/domains.md"))
	programs, studies := fenced(text, "python"), fenced(text, "yaml")
	if len(programs) != 1 || len(studies) != 1 {
		t.Fatalf("%d programs and %d studies, want 1 and 1", len(programs), len(studies))
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3 here")
	}
	t.Chdir(t.TempDir())
	t.Setenv("ARQON_PASSPHRASE", "")
	t.Setenv("ARQON_STATE", "state")
	for name, b := range map[string]string{"batching.py": programs[0], "batching.yaml": studies[0]} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := guided(t, "domain", "check", "--", "python3", "batching.py"); !strings.Contains(string(out), "batching 1: 12 promises kept, 1 declined, 0 broken") {
		t.Errorf("%s", out)
	}
	guided(t, "init", "--repository", "out/batching", "--solo")
	guided(t, "nightly", "--study", "batching.yaml", "--quiet")
	var release struct {
		Entries []struct {
			Variant struct {
				Point struct {
					Batch int `json:"batch"`
				} `json:"point"`
			} `json:"variant"`
			Envelope struct {
				Contexts []string `json:"contexts"`
			} `json:"envelope"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(guided(t, "inspect", "--repository", "out/batching", "--json"), &release); err != nil {
		t.Fatal(err)
	}
	batch := map[string]int{}
	for _, e := range release.Entries {
		for _, c := range e.Envelope.Contexts {
			batch[c] = max(batch[c], e.Variant.Point.Batch)
		}
	}
	// 40 units of waiting are allowed: 21 items that are 4 apart, or all 64 that are .5 apart.
	if batch["calm"] < 16 || batch["calm"] > 21 || batch["rush"] < 40 {
		t.Errorf("batches of %v, want about 21 in calm and 64 in rush", batch)
	}
}

// guided runs a command line that must succeed and returns what it printed.
func guided(t *testing.T, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := execute(context.Background(), args, &stdout, &stderr); code != exitYes {
		t.Fatalf("arqon %s exits %d\n%s%s", strings.Join(args, " "), code, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}
