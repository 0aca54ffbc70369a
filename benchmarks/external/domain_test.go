package external

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

func misbehaving(t *testing.T, o Options, mode string, args ...string) *Domain {
	t.Helper()
	o.TempDir, o.Env = t.TempDir(), append(o.Env, "GORACE")
	d, err := New(append([]string{os.Args[0], "program", mode}, args...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(o.TempDir)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return d
}

var anything = benchmarks.Request{Scenario: "only", Seed: 1, Repeats: 1, Fidelity: 1}

func open(t *testing.T, d *Domain) benchmarks.Instance {
	t.Helper()
	b, err := d.Build(t.Context(), benchmarks.Point{"x": 3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	return in
}

func TestAProgramThatMisbehavesIsOneClearError(t *testing.T) {
	for _, tc := range []struct {
		mode string
		is   error
		want string
	}{
		{"hang", benchmarks.ErrTimeout, "no answer within 300ms"},
		{"crash", benchmarks.ErrCrash, "exit status 7"},
		{"crash", benchmarks.ErrCrash, "out of cheese"},
		{"close", benchmarks.ErrCrash, "closed its output"},
		{"flood", ErrProtocol, "without a newline"},
		{"wrong-id", ErrProtocol, "want the id"},
		{"garbage", ErrProtocol, "Segmentation fault"},
		{"two", ErrProtocol, "data after"},
		{"no-ok", ErrProtocol, `no "ok"`},
		{"code", ErrProtocol, "tuesday"},
		{"few", ErrProtocol, "0 samples for 1"},
		{`"ok":true,"samples":[{"cost":NaN}]`, benchmarks.ErrBadCandidate, "metric cost is NaN"},
		{`"ok":true,"samples":[{"cost":-Infinity}]`, benchmarks.ErrBadCandidate, "metric cost is -Infinity"},
		{`"ok":true,"samples":[{"cost":1e999}]`, benchmarks.ErrBadCandidate, "metric cost is 1e999"},
		{`"ok":true,"samples":[{"cost":null}]`, benchmarks.ErrBadCandidate, "metric cost is null"},
		{`"ok":true,"samples":[{"cots":1}]`, benchmarks.ErrBadCandidate, "metric cost is missing"},
		{`"ok":false,"error":{"code":"bad_candidate","message":"too hot"}`, benchmarks.ErrBadCandidate, "too hot"},
		{`"ok":false,"error":{"code":"timeout","message":"slow"}`, benchmarks.ErrTimeout, "slow"},
		{`"ok":false,"error":{"code":"crash","message":"gone"}`, benchmarks.ErrCrash, "gone"},
		{`"ok":false,"error":{"code":"build_failed","message":"cc"}`, benchmarks.ErrBuildFailed, "cc"},
		{`"ok":false,"error":{"code":"unsupported","message":"noise"}`, benchmarks.ErrUnsupported, "noise"},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			t.Parallel()
			o := Options{}
			if tc.mode == "hang" {
				o.MeasureTimeout = 300 * time.Millisecond
			}
			_, err := open(t, misbehaving(t, o, tc.mode)).Measure(t.Context(), anything)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q wrapping %q", err, tc.want, tc.is)
			}
			if n := len(err.Error()); n > tailBytes+2000 {
				t.Errorf("the error has %d bytes", n)
			}
		})
	}
}

func TestHelloAndDescribeAreChecked(t *testing.T) {
	for mode, want := range map[string]string{
		"hello/garbage":      "Segmentation",
		"hello/crash":        "exit status 7",
		`hello/"ok":true`:    "name: empty",
		`describe/"ok":true`: "space: missing",
		`describe/"ok":true,"space":{"parameters":[{"name":"x","kind":"int","min":1,"max":9}]}`:                                           "baseline: missing",
		"describe/" + strings.Replace(strings.ReplaceAll(testDescription, "\n", ""), `"max":9`, `"max":0`, 1):                             "not below max",
		"describe/" + strings.Replace(strings.ReplaceAll(testDescription, "\n", ""), `{"x":5}`, `{"x":99}`, 1):                            "baseline",
		"describe/" + strings.Replace(strings.ReplaceAll(testDescription, "\n", ""), `"max":9`, `"max":9,"scale":"ln"`, 1):                "scale",
		"describe/" + strings.Replace(strings.ReplaceAll(testDescription, "\n", ""), `"max":9`, `"max":9,"scale":"linear","log":true`, 1): "say one of them",
	} {
		d := misbehaving(t, Options{}, mode)
		if _, err := d.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", mode, err, want)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("an empty command was accepted")
	}
	d, err := New([]string{"/no/such/program"}, Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Describe(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing program: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A program that answers describe and measure, and nothing else, has no name.
func TestHelloIsOptional(t *testing.T) {
	d := misbehaving(t, Options{}, `hello/"ok":false,"error":{"code":"unsupported","message":"no hello"}`)
	desc, err := d.Describe(t.Context())
	if err != nil || desc.Name != "external" || desc.Version != "0" {
		t.Fatal(desc.Name, desc.Version, err)
	}
	for range 2 { // the second time it is not asked to build
		if b, err := d.Build(t.Context(), benchmarks.Point{"x": 3}, 1); err != nil || len(b.Files) != 1 || b.Files[0].Name != "params.json" {
			t.Fatal(b, err)
		}
	}
}

func TestAScaleIsSaidInEitherWay(t *testing.T) {
	for _, word := range []string{`"scale":"log"`, `"log":true`} {
		d := misbehaving(t, Options{}, "describe/"+strings.Replace(strings.ReplaceAll(testDescription, "\n", ""), `"max":9`, `"max":9,`+word, 1))
		if desc, err := d.Describe(t.Context()); err != nil || !desc.Space.Parameters[0].Log {
			t.Error(word, err)
		}
	}
}

func TestAMinimalProgramIsUsable(t *testing.T) {
	d := misbehaving(t, Options{}, "none/none")
	b, err := d.Build(t.Context(), benchmarks.Point{"x": 3.0}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Files) != 1 || b.Files[0].Name != "params.json" || string(b.Files[0].Bytes) != `{"x":3}` {
		t.Errorf("bundle %+v", b)
	}
	if _, err := open(t, d).Check(t.Context(), 1); !errors.Is(err, benchmarks.ErrUnsupported) {
		t.Errorf("check: %v", err)
	}
	samples, err := open(t, d).Measure(t.Context(), benchmarks.Request{Scenario: "only", Repeats: 3})
	if err != nil || len(samples) != 3 || samples[2].Values["cost"] != 5 {
		t.Errorf("%v, %v", samples, err)
	}
}

func TestACrashIsFollowedByARestart(t *testing.T) {
	d := misbehaving(t, Options{}, "once", filepath.Join(t.TempDir(), "mark"))
	in := open(t, d)
	if _, err := in.Measure(t.Context(), anything); !errors.Is(err, benchmarks.ErrCrash) {
		t.Fatalf("first: %v", err)
	}
	if _, err := in.Measure(t.Context(), anything); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	if d.crashes != 0 {
		t.Errorf("%d crashes in a row after a success", d.crashes)
	}
}

func TestRepeatedCrashesAreQuarantined(t *testing.T) {
	d := misbehaving(t, Options{CrashesMax: 3}, "crash")
	in := open(t, d)
	for range 3 {
		if _, err := in.Measure(t.Context(), anything); !errors.Is(err, benchmarks.ErrCrash) {
			t.Fatal(err)
		}
	}
	_, err := in.Measure(t.Context(), anything)
	if !errors.Is(err, benchmarks.ErrQuarantined) || errors.Is(err, benchmarks.ErrCrash) {
		t.Fatalf("got %v", err)
	}
}

func TestCancellingIsNotACrash(t *testing.T) {
	d := misbehaving(t, Options{CrashesMax: 1}, "hang")
	in := open(t, d)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := in.Measure(ctx, anything); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, benchmarks.ErrTimeout) {
		t.Fatal(err)
	}
	if d.crashes != 0 {
		t.Error("counted as a crash")
	}
}

// gone waits until no process has the id in the file.
func gone(t *testing.T, pidFile string) {
	t.Helper()
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if stat, err := os.ReadFile("/proc/" + string(b) + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d is still there", pid)
}

func TestTheWholeGroupDies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	_, err := open(t, misbehaving(t, Options{}, "family", file)).Measure(t.Context(), anything)
	if !errors.Is(err, benchmarks.ErrCrash) {
		t.Error(err)
	}
	gone(t, file)
}

func TestADescendantThatLeftTheGroupCannotMakeUsHang(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	d := misbehaving(t, Options{MeasureTimeout: 2 * time.Second}, "deaf", file)
	_, err := open(t, d).Measure(t.Context(), anything)
	if !errors.Is(err, benchmarks.ErrTimeout) {
		t.Error(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // ours to clean up: it left on purpose
		t.Error(err)
	}
}

func TestTheEnvironmentIsScrubbed(t *testing.T) {
	t.Setenv("ARQON_TEST_SECRET", "swordfish")
	t.Setenv("ARQON_TEST_PASSED", "please")
	_, err := open(t, misbehaving(t, Options{Env: []string{"ARQON_TEST_PASSED"}}, "env")).Measure(t.Context(), anything)
	if err == nil || strings.Contains(err.Error(), "swordfish") || !strings.Contains(err.Error(), "please") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(err.Error(), "TMPDIR=") || !strings.Contains(err.Error(), "process-") {
		t.Errorf("no directory of its own: %v", err)
	}
}

func TestAFloodOnStderrIsOnlyALog(t *testing.T) {
	if _, err := open(t, misbehaving(t, Options{}, "log")).Measure(t.Context(), anything); err != nil {
		t.Error(err)
	}
}

func TestFilesAreReadBackWithinTheDirectory(t *testing.T) {
	for files, want := range map[string]string{
		`[{"path":"sub/b.txt","media_type":"text/plain"},{"path":"a.txt"}]`: "",
		`[]`:                                  "",
		`[{"path":"../a.txt"}]`:               "relative",
		`[{"path":"/etc/passwd"}]`:            "relative",
		`[{"path":""}]`:                       "relative",
		`[{"path":"sub/../a.txt"}]`:           "relative",
		`[{"path":"link"}]`:                   "symbolic link",
		`[{"path":"linked/b.txt"}]`:           "symbolic link",
		`[{"path":"fifo"}]`:                   "not a regular file",
		`[{"path":"sub"}]`:                    "not a regular file",
		`[{"path":"none"}]`:                   "no such file",
		`[{"path":"a.txt"},{"path":"a.txt"}]`: "twice",
		`[{"path":"a.txt"},{"path":"sub/b.txt"},{"path":"sub/b.txt"}]`: "larger than allowed",
	} {
		d := misbehaving(t, Options{BundleBytesMax: 6}, "build/files", files)
		b, err := d.Build(t.Context(), benchmarks.Point{"x": 3}, 1)
		if want != "" {
			if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", files, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", files, err)
		}
		if files != "[]" && (len(b.Files) != 2 || b.Files[0].Name != "a.txt" || string(b.Files[1].Bytes) != "bbb") {
			t.Errorf("files %+v", b.Files)
		}
	}
}

func TestABundleCannotWriteOutsideItsDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"../x", "/x", "", "a/../../x"} {
		if err := writeOut(dir, []benchmarks.File{{Name: name}}, 10); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if err := writeOut(dir, []benchmarks.File{{Name: "a", Bytes: make([]byte, 11)}}, 10); err == nil {
		t.Error("too many bytes were written")
	}
}

func TestManyCallersShareAFewProcesses(t *testing.T) {
	d := misbehaving(t, Options{Processes: 2}, "none/none")
	in := open(t, d)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				if _, err := in.Measure(t.Context(), anything); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := len(d.idle); n > 2 {
		t.Errorf("%d processes", n)
	}
}

func TestAMinimalProgramConforms(t *testing.T) {
	for _, f := range conformance.Examine(t.Context(), misbehaving(t, Options{}, "none/none")) {
		if f.Broken() && f.Promise != "declines an unknown perturbation" { // it ignores them: the examination must notice
			t.Errorf("%s: %v", f.Promise, f.Err)
		} else if !f.Broken() && f.Promise == "declines an unknown perturbation" {
			t.Error("a program that ignores perturbations passed")
		}
	}
}

func FuzzDecodeReply(f *testing.F) {
	for _, s := range []string{
		`{"id":1,"ok":true,"name":"gzip","version":"1"}`,
		`{"id":1,` + testDescription + `}`,
		`{"id":1,"ok":true,"samples":[{"cost":NaN}]}`,
		`{"id":1,"ok":true,"samples":[{"cost":3.1}],"files":[{"path":"a"}],"checks":[{"name":"x","pass":true}]}`,
		`{"id":1,"ok":false,"error":{"code":"bad_candidate","message":"m"}}`,
		`{"id":1,"ok":false}`, `{"id":2,"ok":true}`, `[]`, `{}`, "\xff", `{"id":1e0,"ok":true}`,
		`{"id":1,"ok":true,"space":{"parameters":[{"name":"x","kind":"permutation","choices":["a","b"],"when":{"x":[[]]}}]},"baseline":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeReply(line, 1)
		if err != nil {
			return
		}
		d, err := description(reply{Name: "n", Version: "1"}, r)
		if err != nil {
			return
		}
		if err := d.Check(); err != nil {
			t.Fatalf("%q: an unsound description came through: %v", line, err)
		}
		for _, raw := range r.Samples {
			if s, err := sample(d.Metrics, raw); err == nil {
				if err := benchmarks.CheckSample(d.Metrics, anything, s); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
		}
	})
}
