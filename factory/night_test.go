package factory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
)

// written returns a study that was read from a file.
func written(t testing.TB, edit ...string) Study {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "toy.yaml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(edit...).Replace(toyYAML)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte("pairs_max: 60\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	st, err := LoadStudy(path)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// fakeJudge records what it is given. Real verdicts come from gates alone; the
// order of a night does not depend on what they say.
type fakeJudge struct {
	cases []Case
	fail  error
}

func (j *fakeJudge) judge(_ context.Context, c Case) (gates.Night, []gates.Verdict, error) {
	if j.fail != nil {
		return gates.Night{}, nil, j.fail
	}
	j.cases = append(j.cases, c)
	n := gates.Night{Schema: gates.NightSchema, Run: c.Run.Name, Seed: uint64(c.Run.NightSeed())}
	var verdicts []gates.Verdict
	for _, x := range c.Candidates.List {
		verdicts = append(verdicts, gates.Verdict{Candidate: x.Variant.Identity, Context: x.Context})
	}
	return n, verdicts, nil
}

type fakePublisher struct {
	calls int
	fail  error
}

func (p *fakePublisher) HandOver(_ context.Context, run *Run, _ gates.Night, v []gates.Verdict, _ Candidates) (string, error) {
	if p.fail != nil {
		return "", p.fail
	}
	p.calls++
	return fmt.Sprintf("%s: %d verdicts", run.Name, len(v)), nil
}

func page(w io.Writer, n gates.Night) error {
	_, err := fmt.Fprintf(w, "<h1>%s</h1>", n.Run)
	return err
}

func closed(t testing.TB, r *Run) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestANightLeavesAWholeRun(t *testing.T) {
	out := t.TempDir()
	run, err := NewRun(out, written(t, "seed: 7", "seed: 7\npolicy: p.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if run.Name != "toy-0001" || run.Path != filepath.Join(out, "runs", "toy-0001") {
		t.Error(run.Name, run.Path)
	}
	j, p := &fakeJudge{}, &fakePublisher{}
	n := Nightly{Domain: &toy{}, Engines: toyEngines(), Judge: j.judge, HTML: page, Publisher: p, Now: time.Now}
	result, err := n.Do(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, run)
	if len(result.Verdicts) != len(result.Candidates.List) || result.Handover == "" || result.Night.Portfolio == nil {
		t.Errorf("%+v", result)
	}
	raw := readFile(t, filepath.Join(run.Path, "report.json"))
	if night, err := gates.DecodeNight(raw); err != nil || night.Run != "toy-0001" || len(night.Portfolio.Chosen) == 0 {
		t.Error(err)
	}
	if string(readFile(t, filepath.Join(run.Path, "report.html"))) != "<h1>toy-0001</h1>" {
		t.Error("report.html")
	}
	// Again: nothing is searched, nothing is handed over twice, nothing differs.
	before := snapshot(t, run.Path)
	path, err := RunPath(out, "toy-0001")
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenRun(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Study.Policy.PairsMax != 60 || again.NightSeed() != run.NightSeed() {
		t.Error("the policy or the seed got lost")
	}
	d := &toy{}
	n.Domain = d
	second, err := n.Do(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, again)
	if d.measures.Load()+d.builds.Load() != 0 || p.calls != 1 || second.Handover != result.Handover {
		t.Errorf("%d measurements, %d builds, %d hand-overs", d.measures.Load(), d.builds.Load(), p.calls)
	}
	if after := snapshot(t, run.Path); after != before {
		t.Errorf("the run changed:\n%s\n%s", before, after)
	}
	if !sameList(j.cases[0].Candidates.List, j.cases[1].Candidates.List) {
		t.Error("the judge was given other candidates")
	}
	third, err := NewRun(out, written(t))
	if err != nil || third.Name != "toy-0002" || third.NightSeed() == run.NightSeed() {
		t.Error(third, err)
	}
	closed(t, third)
}

func sameList(a, b []gates.Candidate) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// snapshot lists the files of a directory with their digests, the clock and
// the locks left out.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == fileClock || strings.HasSuffix(e.Name(), "lock") {
			return err
		}
		fmt.Fprintf(&out, "%s %s\n", strings.TrimPrefix(path, dir), artifacts.DigestOf(readFile(t, path)).Short())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Whatever arrow a night is interrupted at, the next session ends in the same
// files.
func TestANightGoesOnAtTheRightArrow(t *testing.T) {
	boom := errors.New("boom")
	finish := func(interrupt func(*Nightly, *fakeJudge, *fakePublisher, context.CancelFunc), repair func(*testing.T, *Run)) string {
		run, err := NewRun(t.TempDir(), written(t))
		if err != nil {
			t.Fatal(err)
		}
		j, p := &fakeJudge{}, &fakePublisher{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := Nightly{Domain: &toy{}, Engines: toyEngines(), Judge: j.judge, HTML: page, Publisher: p}
		if interrupt != nil {
			interrupt(&n, j, p, cancel)
			if _, err := n.Do(ctx, run); !errors.Is(err, boom) && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if repair != nil {
				repair(t, run)
			}
			closed(t, run)
			if run, err = OpenRun(run.Path); err != nil {
				t.Fatal(err)
			}
			j.fail, p.fail = nil, nil
			n.Domain, n.HTML = &toy{}, page
		}
		if _, err := n.Do(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		closed(t, run)
		if p.calls != 1 {
			t.Errorf("%d hand-overs", p.calls)
		}
		return snapshot(t, run.Path)
	}
	want := finish(nil, nil)
	for name, interrupt := range map[string]func(*Nightly, *fakeJudge, *fakePublisher, context.CancelFunc){
		"search": func(n *Nightly, _ *fakeJudge, _ *fakePublisher, cancel context.CancelFunc) {
			d := &toy{}
			d.slow = func() {
				if d.measures.Load() == 77 {
					cancel()
				}
			}
			n.Domain = d
		},
		"judge": func(_ *Nightly, j *fakeJudge, _ *fakePublisher, _ context.CancelFunc) { j.fail = boom },
		"report": func(n *Nightly, _ *fakeJudge, _ *fakePublisher, _ context.CancelFunc) {
			n.HTML = func(io.Writer, gates.Night) error { return boom }
		},
		"hand over": func(_ *Nightly, _ *fakeJudge, p *fakePublisher, _ context.CancelFunc) { p.fail = boom },
	} {
		if got := finish(interrupt, nil); got != want {
			t.Errorf("%s: another run:\n%s\n%s", name, got, want)
		}
	}
	// Killed between the blobs and candidates.json, with a torn journal.
	torn := func(t *testing.T, run *Run) {
		if err := os.Remove(filepath.Join(run.Path, fileCandidates)); err != nil {
			t.Fatal(err)
		}
		journal := filepath.Join(run.Path, fileJournal)
		if err := os.Truncate(journal, int64(len(readFile(t, journal))*2/3)); err != nil {
			t.Fatal(err)
		}
	}
	if got := finish(func(_ *Nightly, j *fakeJudge, _ *fakePublisher, _ context.CancelFunc) { j.fail = boom }, torn); got != want {
		t.Errorf("torn: another run:\n%s\n%s", got, want)
	}
}

func TestTwoNightsInOneDirectory(t *testing.T) {
	run, err := NewRun(t.TempDir(), written(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenRun(run.Path)
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatal(err)
	}
	closed(t, run)
	again, err := OpenRun(run.Path)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, again)
}

func TestOddRunsAreRefused(t *testing.T) {
	out := t.TempDir()
	if _, err := OpenRun(out); !errors.Is(err, ErrNoRun) {
		t.Error(err)
	}
	if _, err := RunPath(out, "toy-0009"); !errors.Is(err, ErrNoRun) || !strings.Contains(err.Error(), "toy-0009") {
		t.Error(err)
	}
	if _, err := NewRun(out, Study{Name: "toy"}); err == nil {
		t.Error("a study that is no file was accepted")
	}
	run, err := NewRun(out, written(t))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, run)
	study := filepath.Join(run.Path, "study.yaml")
	if err := os.WriteFile(study, []byte(strings.Replace(toyYAML, "seed: 7", "seed: 8", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRun(run.Path); !errors.Is(err, ErrForeignJournal) || !strings.Contains(err.Error(), study) {
		t.Error(err)
	}
	// The refusal gave the lock back.
	if err := os.WriteFile(study, []byte(toyYAML), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := OpenRun(run.Path)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, again)
}

// A changed blob or candidates file is noticed before anything is judged.
func TestTamperedCandidatesAreRefused(t *testing.T) {
	run, err := NewRun(t.TempDir(), written(t))
	if err != nil {
		t.Fatal(err)
	}
	j := &fakeJudge{}
	n := Nightly{Domain: &toy{}, Engines: toyEngines(), Judge: j.judge}
	if _, err := n.Do(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(run.Path, fileCandidates)
	whole := readFile(t, file)
	for _, edit := range [][2]string{
		{`"threshold":`, `"Threshold":`}, {candidatesSchema, "arqon-candidates/9"}, {`"run"`, `"ran"`}, {"}\n", "}\n{}"},
	} {
		bad := bytes.Replace(whole, []byte(edit[0]), []byte(edit[1]), 1)
		if bytes.Equal(bad, whole) {
			t.Fatalf("%q is not in %s", edit[0], file)
		}
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Do(t.Context(), run); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", edit, err)
		}
	}
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	blob := ""
	err = filepath.WalkDir(filepath.Join(run.Path, "blobs"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && len(e.Name()) == 64 {
			blob = path
		}
		return err
	})
	if err != nil || blob == "" {
		t.Fatal(blob, err)
	}
	b := readFile(t, blob)
	b[0] ^= 1
	if err := os.WriteFile(blob, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Do(t.Context(), run); !errors.Is(err, artifacts.ErrCorrupt) {
		t.Error(err)
	}
	if len(j.cases) != 1 {
		t.Errorf("%d cases were judged", len(j.cases))
	}
	closed(t, run)
}

// Only verdicts that passed become entries; the zero verdict never does.
func TestEntriesNeedVerdicts(t *testing.T) {
	entries, err := Entries([]gates.Verdict{{}, {Reference: true}}, catalog.ScopeCanary)
	if err != nil || len(entries) != 0 {
		t.Fatal(entries, err)
	}
	if _, err := Entries([]gates.Verdict{{}}, "everywhere"); err == nil {
		t.Error("an unknown scope was accepted")
	}
}

func TestMergedEntriesServeBothContexts(t *testing.T) {
	a := catalog.Entry{Envelope: catalog.Envelope{Contexts: []string{"low"}, Limits: map[string]float64{"bytes": 5, "ms": 1}, FailureModes: []string{"x"}},
		Curves: []catalog.LatencyCurve{{Context: "low"}}}
	b := catalog.Entry{Envelope: catalog.Envelope{Contexts: []string{"low", "burst"}, Limits: map[string]float64{"bytes": 5, "ms": 2}, FailureModes: []string{"x", "y"}},
		Curves: []catalog.LatencyCurve{{Context: "burst"}}}
	m := merge(a, b)
	if fmt.Sprint(m.Envelope.Contexts, m.Envelope.Limits, m.Envelope.FailureModes, len(m.Curves)) != "[low burst] map[bytes:5] [x y] 2" {
		t.Errorf("%+v", m)
	}
	if len(a.Envelope.Contexts) != 1 || len(a.Curves) != 1 {
		t.Error("merge changed its argument")
	}
}

// The time of earlier sessions counts.
func TestTheStopwatchCountsSessions(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileClock)
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	w := newStopwatch(path, clock)
	now.Store(90)
	w.save(w.elapsed())
	now.Store(1000) // the night between two sessions
	w = newStopwatch(path, clock)
	now.Store(1030)
	if got := w.elapsed(); got != 2*time.Minute {
		t.Error(got)
	}
	if err := os.WriteFile(path, []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := newStopwatch(path, clock).elapsed(); got != 0 {
		t.Error(got)
	}
}

func FuzzCandidates(f *testing.F) {
	f.Add([]byte(`{"schema":"arqon-candidates/1","run":"r","stop":"","evaluations":0,"journal_head":"","baseline":{"type":"","seed":"0","point":{},"files":[]},"candidates":[],"portfolio":{"contexts":[],"chosen":[],"gap_closed":1}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCandidatesFile(b)
		if err != nil {
			return
		}
		for _, x := range c.Candidates {
			if x.Variant.Identity != catalog.IdentityOf(x.Variant) {
				t.Fatal("a variant with another identity was accepted")
			}
		}
	})
}
