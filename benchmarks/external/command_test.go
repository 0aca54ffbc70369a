package external

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// compressProgram builds the program of benchmarks/external/compress.
func compressProgram(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "compress")
	if out, err := exec.Command("go", "build", "-o", bin, "./compress").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

const compressTemplate = `
name: compress-command
version: "1"
command: [PROGRAM, "-strategy={{strategy}}", "-level={{level}}", "-block-kb={{block_kb}}", "-dictionary={{dictionary}}",
  "-dictionary-kb={{dictionary_kb}}", -scenario, "{{ scenario }}", "-seed={{seed}}", "-fidelity={{fidelity}}"]
parameters:
  - {name: strategy, kind: categorical, choices: [default, huffman]}
  - {name: level, kind: int, min: 1, max: 9, default: 6, when: {strategy: [default]}}
  - {name: block_kb, kind: int, min: 1, max: 1024, scale: log, default: 64}
  - {name: dictionary, kind: bool}
  - {name: dictionary_kb, kind: int, min: 1, max: 32, scale: log, default: 8, when: {dictionary: [true]}}
constraints:
  - {name: huffman finds no matches, expr: 'strategy == "default" || !dictionary'}
metrics:
  - {name: ns_per_byte, unit: ns, direction: lower, kind: measured, role: success, json: ns_per_byte}
  - {name: ratio, direction: higher, kind: deterministic, role: guardrail, tolerance: 0.02, regexp: '"ratio":([0-9.]+)'}
  - {name: cpu_ms, unit: ms, direction: lower, kind: measured, role: guardrail, builtin: cpu_ns, scale: 1.0e-6}
  - {name: rss_bytes, unit: bytes, direction: lower, kind: measured, role: guardrail, builtin: rss_bytes, limit: 268435456}
scenarios: [{name: small, features: {bytes: 1024}}, {name: large, features: {bytes: 262144}}]
baseline: {strategy: default, level: 6, block_kb: 64, dictionary: false}
`

func TestBothFormsConform(t *testing.T) {
	bin := compressProgram(t)
	t.Run("protocol", func(t *testing.T) {
		d, err := New([]string{bin}, Options{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		conformance.Run(t, d)
		contextsMatter(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("command", func(t *testing.T) {
		tmpl, err := DecodeTemplate([]byte(strings.Replace(compressTemplate, "PROGRAM", bin, 1)))
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewCommand(tmpl, Options{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		conformance.Run(t, d)
		contextsMatter(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// contextsMatter sees that a dictionary lifts the ratio of small messages by
// much more than that of large ones.
func contextsMatter(t *testing.T, d benchmarks.Domain) {
	t.Helper()
	ratio := func(p benchmarks.Point, scenario string) float64 {
		b, err := d.Build(t.Context(), p, 1)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		s, err := in.Measure(t.Context(), benchmarks.Request{Scenario: scenario, Seed: 3, Fidelity: .5})
		if err = errors.Join(err, in.Close()); err != nil {
			t.Fatal(err)
		}
		return s[0].Values["ratio"]
	}
	plain, primed := benchmarks.Point{}, benchmarks.Point{"dictionary": true, "dictionary_kb": 32}
	small := ratio(primed, "small")/ratio(plain, "small") - 1
	large := ratio(primed, "large")/ratio(plain, "large") - 1
	t.Logf("a dictionary of 32 KiB: small %+.1f %%, large %+.1f %%", 100*small, 100*large)
	if small < .05 || large > small/2 {
		t.Errorf("small %+.3f, large %+.3f: the contexts do not differ", small, large)
	}
}

func TestTheProgramAnswersBadCandidateAndNoise(t *testing.T) {
	d, err := New([]string{compressProgram(t)}, Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Build(t.Context(), benchmarks.Point{"dictionary": true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Files) != 2 || b.Files[0].Name != "dictionary.bin" || len(b.Files[0].Bytes) != 8<<10 || b.Type != "flate-profile" {
		t.Errorf("bundle of type %s: %v", b.Type, b.Refs())
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	r := benchmarks.Request{Scenario: "large", Seed: 1, Fidelity: .25}
	quiet, err := in.Measure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Perturbation = &benchmarks.Perturbation{Kind: "noise", Level: .1}
	noisy, err := in.Measure(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := quiet[0].Values["ratio"], noisy[0].Values["ratio"]; b >= a {
		t.Errorf("ratio %v, with noise %v", a, b)
	}
	bad := benchmarks.Point{"strategy": "huffman", "dictionary": true}
	if _, err := d.Build(t.Context(), bad, 1); !errors.Is(err, benchmarks.ErrBadCandidate) || !strings.Contains(err.Error(), "huffman finds no matches") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(in.Close(), d.Close()); err != nil {
		t.Error(err)
	}
}

// shell is a template around a shell line, which tests may write.
func shell(line string) Template {
	return Template{
		Name: "sh", Version: "1", Command: []string{"sh", "-c", line, "sh", "x={{x}}", "y={{y}}", "{{feature.size}}", "{{dir}}"},
		Parameters: []wireParameter{
			{Name: "x", Kind: "float", Max: 1, Default: .5},
			{Name: "on", Kind: "bool"},
			{Name: "y", Kind: "permutation", Choices: []string{"a", "b"}, When: map[string][]any{"on": {true}}},
		},
		Metrics:           []TemplateMetric{{Name: "cost", Direction: "lower", Kind: "deterministic", Role: "success", Regexp: `cost (\S+)`}},
		Scenarios:         []wireScenario{{Name: "only", Features: map[string]float64{"size": 1048576}}},
		Baseline:          map[string]any{"x": .5},
		BadCandidateExits: []int{3},
	}
}

func runShell(t *testing.T, tmpl Template, o Options, p benchmarks.Point) (map[string]float64, error) {
	t.Helper()
	o.TempDir = t.TempDir()
	c, err := NewCommand(tmpl, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Build(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	s, err := in.Measure(t.Context(), anything)
	if left, e := os.ReadDir(c.work.path); e != nil || len(left) != 1 || left[0].Name() != lockName {
		t.Errorf("left behind: %v, %v", left, e)
	}
	if e := c.Close(); e != nil {
		t.Error(e)
	}
	if err != nil {
		return nil, err
	}
	return s[0].Values, nil
}

func TestACommandThatMisbehavesIsOneClearError(t *testing.T) {
	for _, tc := range []struct {
		line string
		is   error
		want string
	}{
		{"sleep 100 & sleep 100", benchmarks.ErrTimeout, "within 500ms"},
		{"exec >&-; sleep 100", benchmarks.ErrTimeout, "within 500ms"},
		{"echo no cheese >&2; exit 5", benchmarks.ErrCrash, "no cheese"},
		{"kill -SEGV $$", benchmarks.ErrCrash, "segmentation fault"},
		{"exit 3", benchmarks.ErrBadCandidate, "exit status 3"},
		{"yes", benchmarks.ErrCrash, "more than"},
		{"echo cost NaN", benchmarks.ErrBadCandidate, "metric cost"},
		{"echo cost -Inf", benchmarks.ErrBadCandidate, "metric cost"},
		{"echo cost much", benchmarks.ErrBadCandidate, `"much" is not a number`},
		{"echo price 3", benchmarks.ErrBadCandidate, "matches"},
	} {
		var o Options
		if errors.Is(tc.is, benchmarks.ErrTimeout) {
			o.MeasureTimeout = 500 * time.Millisecond
		}
		_, err := runShell(t, shell(tc.line), o, nil)
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q wrapping %q", tc.line, err, tc.want, tc.is)
		}
	}
}

func TestAGrandchildDiesWithTheCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	v, err := runShell(t, shell(`sleep 1000 & printf %s $! > `+file+`; echo cost 1,234.5`), Options{}, nil)
	if err != nil || v["cost"] != 1234.5 {
		t.Fatalf("%v, %v", v, err)
	}
	gone(t, file)
}

func TestPlaceholdersBecomeArgumentsNotShell(t *testing.T) {
	tmpl := shell(`test -d "$4" || test -d "$3" || exit 9; echo "cost $#"; echo "$@" >&2; [ $# -lt 4 ] || exit 5`)
	v, err := runShell(t, tmpl, Options{}, benchmarks.Point{"x": .25})
	if err != nil || v["cost"] != 3 { // y is inactive: its argument is left out
		t.Errorf("%v, %v", v, err)
	}
	_, err = runShell(t, tmpl, Options{}, benchmarks.Point{"x": .25, "on": true, "y": []string{"b", "a"}})
	if err == nil || !strings.Contains(err.Error(), "x=0.25 y=b,a 1048576 ") {
		t.Errorf("got %v", err)
	}
}

func TestATemplateIsCheckedBeforeItRuns(t *testing.T) {
	for want, spoil := range map[string]func(*Template){
		"command: empty":      func(t *Template) { t.Command = nil },
		"cannot be":           func(t *Template) { t.Command[0] = "{{x}}" },
		"unknown placeholder": func(t *Template) { t.Command[1] = "{{z}}" },
		"{{feature.width}}":   func(t *Template) { t.Command[1] = "{{feature.width}}" },
		"no {{name}}":         func(t *Template) { t.Command[1] = "{{x y}}" },
		"have 0":              func(t *Template) { t.Metrics[0].Regexp = "" },
		"have 2":              func(t *Template) { t.Metrics[0].Builtin = "cpu_ns" },
		"no group":            func(t *Template) { t.Metrics[0].Regexp = "x" },
		"regexp":              func(t *Template) { t.Metrics[0].Regexp = "(" },
		"builtin":             func(t *Template) { t.Metrics[0].Regexp, t.Metrics[0].Builtin = "", "joules" },
		"json":                func(t *Template) { t.Metrics[0].Regexp, t.Metrics[0].JSON = "", "a..b" },
		"baseline":            func(t *Template) { t.Baseline["x"] = 2.0 },
		"scale":               func(t *Template) { t.Parameters[0].Scale = "cubic" },
		"not below max":       func(t *Template) { t.Parameters[0].Max = -1 },
		"success":             func(t *Template) { t.Metrics[0].Role = "guardrail" },
	} {
		tmpl := shell("true")
		spoil(&tmpl)
		if _, err := NewCommand(tmpl, Options{TempDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, bad := range []string{"nam: x", "name: x\nname: y", "name: [", "name: x\n---\nname: y", "metrics: 3"} {
		if _, err := DecodeTemplate([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestJSONPaths(t *testing.T) {
	const out = "warming up [3 of 3]…\n{\"results\":[{\"mean\":0.25,\"x.y\":1},{\"mean\":2e3}],\"n\":\"7\"}\ndone\n"
	for in, want := range map[string]string{
		"results[0].mean":     "0.25",
		"results[1].mean":     "2000",
		"results[2].mean":     "nothing at 2",
		"results.mean":        "nothing at mean",
		"n":                   "not a number",
		"n[0]":                "nothing at 0",
		".n":                  "want names",
		"results[":            "want names",
		"results[9999999999]": "want names",
		"[0]":                 "nothing at 0",
	} {
		p, err := parsePath(in)
		got := ""
		if err == nil {
			var v float64
			if v, err = p.find([]byte(out)); err == nil {
				got = strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	if _, err := (jsonPath{"a"}).find([]byte("no json here")); err == nil {
		t.Error("found JSON in prose")
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte(compressTemplate), []byte(`{"ns_per_byte":3,"ratio":2}`))
	f.Add([]byte("name: x\nmetrics: [{json: 'a[0]'}]"), []byte(`{"a":[1]}`))
	f.Fuzz(func(t *testing.T, file, stdout []byte) {
		tmpl, err := DecodeTemplate(file)
		if err != nil {
			return
		}
		d, err := tmpl.description()
		if err != nil || tmpl.checkCommands(d) != nil {
			return
		}
		for _, m := range tmpl.Metrics {
			find, err := compileExtractor(m)
			if err != nil {
				return
			}
			if v, err := find(outcome{stdout: stdout}); err == nil && v != v {
				t.Fatalf("%s is NaN", m.Name)
			}
		}
	})
}

// TestPeakOfASmallProgram: the builtin counts this process's own memory, as
// docs/studies.md says, and what is shown there for small programs does not.
func TestPeakOfASmallProgram(t *testing.T) {
	if _, err := os.Stat("/usr/bin/time"); err != nil {
		t.Skip("no /usr/bin/time here")
	}
	tmpl, err := DecodeTemplate([]byte(`
name: small
version: "1"
command: [/usr/bin/time, -o, /dev/stdout, -f, "rss %M", sh, -c, "echo {{x}}"]
parameters: [{name: x, kind: int, min: 1, max: 9}]
metrics:
  - {name: peak, unit: B, direction: lower, kind: measured, role: success, regexp: 'rss (\d+)', scale: 1024}
  - {name: with_ours, unit: B, direction: lower, kind: measured, role: guardrail, tolerance: 9, builtin: rss_bytes}
scenarios: [{name: only}]
baseline: {x: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewCommand(tmpl, Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Build(t.Context(), benchmarks.Point{"x": int64(1)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	s, err := in.Measure(t.Context(), benchmarks.Request{Scenario: "only", Seed: 1, Repeats: 1, Fidelity: 1})
	if err = errors.Join(err, in.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if peak, ours := s[0].Values["peak"], s[0].Values["with_ours"]; !(peak > 0 && peak < 16<<20 && peak <= ours) {
		t.Errorf("a shell that says a digit takes %v bytes, with ours %v", peak, ours)
	}
}
