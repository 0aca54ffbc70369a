package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

var update = flag.Bool("update", false, "write the golden files again")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with: go test ./gates/report -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the golden file at byte %d; look at the difference, then: go test ./gates/report -update", path, firstDifference(got, want))
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// night returns the golden night.
func night(t testing.TB) gates.Night {
	t.Helper()
	path := filepath.Join("testdata", "night.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := WriteJSON(&buf, makeNight(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, err := ReadNight(path)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func text(t testing.TB, f func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGoldenText(t *testing.T) {
	n := night(t)
	for name, f := range map[string]func(*bytes.Buffer) error{
		"night.txt": func(b *bytes.Buffer) error { return Text(b, n, TextOptions{Terminal: plot.Terminal{Width: 100}}) },
		"night.ascii.txt": func(b *bytes.Buffer) error {
			return Text(b, n, TextOptions{Terminal: plot.Terminal{Width: 80, ASCII: true}})
		},
		"night.color.txt": func(b *bytes.Buffer) error {
			return Text(b, n, TextOptions{Terminal: plot.Terminal{Width: 80, Color: true}})
		},
		"invalid.txt": func(b *bytes.Buffer) error { return Text(b, invalidated(n), TextOptions{}) },
		"pass.txt": func(b *bytes.Buffer) error {
			return Candidate(b, n, "low-load-3f2a09c1", TextOptions{Terminal: plot.Terminal{Width: 100}})
		},
		"pass.ascii.txt": func(b *bytes.Buffer) error {
			return Candidate(b, n, "burst-51aa7e20", TextOptions{Terminal: plot.Terminal{ASCII: true}})
		},
		"fail.txt":          func(b *bytes.Buffer) error { return Candidate(b, n, "low-load-9be1f604", TextOptions{}) },
		"inconclusive.txt":  func(b *bytes.Buffer) error { return Candidate(b, n, "burst-77c0d1e9", TextOptions{}) },
		"canary-failed.txt": func(b *bytes.Buffer) error { return Candidate(b, n, "shifted-0e97aa15", TextOptions{}) },
		"explain.txt":       func(b *bytes.Buffer) error { return Explain(b, n, "accuracy", TextOptions{}) },
		"diff.txt":          func(b *bytes.Buffer) error { return Diff(b, n, later(n), TextOptions{}) },
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, text(t, f)) })
	}
}

// later is a second night: one candidate gone, one new, one verdict and one
// estimate changed, another policy.
func later(n gates.Night) gates.Night {
	n.Run, n.Seed, n.PolicyDigest = "nightly-0002", 5, "sha256:00ff00ff00ff"
	cs := append([]gates.CandidateReport(nil), n.Candidates[1:]...)
	cs[0].Outcome, cs[0].Gate, cs[0].Why = gates.Fail, gates.GateCanary, "rolled back at 5 %"
	cs[0].Findings = findings(gates.GateCanary, gates.Fail, "rolled back at 5 %")
	rs := append([]gates.Result(nil), cs[3].Results...)
	rs[0].Change, rs[0].Lower, rs[0].Upper = -.2, p64(-.22), p64(-.18)
	cs[3].Results = rs
	extra := cs[5]
	extra.Name, extra.Identity = "burst-00000001", "sha256:01"
	n.Candidates = append(cs, extra)
	return n
}

// A night whose search found nothing says so, and where to look.
func TestNightWithoutCandidates(t *testing.T) {
	n := gates.Night{Schema: gates.NightSchema, Run: "small-0001", Outcome: gates.Pass, Contexts: []gates.ContextRecord{{Name: "low"}}}
	n.Candidates = []gates.CandidateReport{{Name: "baseline", Context: "low", Reference: true, Outcome: gates.Pass}}
	var b strings.Builder
	if err := Text(&b, n, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"low: the search brought no candidate, the baseline stays", "$ arqon study show small-0001"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "0 of 0") || strings.Contains(b.String(), "METRIC") {
		t.Errorf("nothing was judged:\n%s", b.String())
	}
}
