package factory

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/qd"
)

// ranAs runs a night without gates, or a search alone, and returns its
// directory.
func ranAs(t testing.TB, d *toy, alone bool, edit ...string) (path string, c Candidates, found Recommendations) {
	t.Helper()
	run, err := NewRun(t.TempDir(), written(t, edit...))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, run)
	engines := toyEngines()
	engines["qd"] = qd.Engine
	n := Nightly{Domain: d, Engines: engines, Judge: (&fakeJudge{}).judge}
	if alone {
		found, err = n.Recommend(t.Context(), run)
	} else {
		var r Result
		r, err = n.Do(t.Context(), run)
		c = r.Candidates
	}
	if err != nil {
		t.Fatal(err)
	}
	return run.Path, c, found
}

func account(t testing.TB, path string) Account {
	t.Helper()
	a, err := ReadAccount(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccountOfANight(t *testing.T) {
	path, c, _ := ranAs(t, &toy{}, false)
	a := account(t, path)
	count := map[string]int{}
	for _, o := range a.Observations {
		count[o.Purpose]++
	}
	if a.Alone || !a.Ended || a.Stop != c.Stop || a.JournalHead != c.JournalHead || count[ForSearch] != c.Evaluations || count[ForBaseline] != 4 || count[ForClaim] == 0 {
		t.Errorf("%v, stop %q, head %s: %v", a.Ended, a.Stop, a.JournalHead, count)
	}
	var candidates int
	for _, x := range c.List {
		if !x.Reference {
			candidates++
		}
	}
	if len(a.Winners) != candidates {
		t.Errorf("%d winners of %d candidates", len(a.Winners), candidates)
	}
	for _, w := range a.Winners {
		o := a.Observations[w.Found]
		if !o.Point.Equal(w.Point) || o.Engine != w.Engine || o.Context != w.Context || w.Name == "" {
			t.Errorf("%s was found as %+v", w.Name, o)
		}
	}
	// Parents are points of the same lane that were asked before.
	made := 0
	for _, o := range a.Observations {
		for _, p := range o.Parents {
			made++
			if p < 0 || p >= o.Index {
				t.Errorf("%s of trial %d has parent %d", o.Engine, o.Index, p)
			}
		}
	}
	if made == 0 {
		t.Error("nothing has a parent")
	}
}

func TestAccountOfASearchAlone(t *testing.T) {
	for _, measured := range []bool{false, true} {
		path, _, found := ranAs(t, &toy{measured: measured}, true)
		a := account(t, path)
		if !a.Alone || !a.Ended || a.Stop != found.Stop || len(a.Winners) != 4 || len(a.Observations) != found.Evaluations {
			t.Errorf("%d observations of %d, %d winners, %q", len(a.Observations), found.Evaluations, len(a.Winners), a.Stop)
		}
		for i, c := range found.Contexts {
			w := a.Winners[i]
			if w.Context != c.Context || string(w.Point.Canonical()) != string(c.Point) || math.Abs(w.Change-(c.Claimed/c.Baseline-1)) > 1e-9 && c.Metric != "accuracy" {
				t.Errorf("%+v is not %+v", w, c)
			}
			if w.Found >= 0 && a.Observations[w.Found].Engine != c.Engine {
				t.Errorf("found by %s, not %s", a.Observations[w.Found].Engine, c.Engine)
			}
		}
		for _, o := range a.Observations {
			if o.Failed != "" {
				if !math.IsInf(o.Loss, 1) {
					t.Errorf("a failed sample has loss %v", o.Loss)
				}
				continue
			}
			if o.Purpose == ForBaseline && o.Context != "memory" && math.Abs(o.Loss) > .1 {
				t.Errorf("the baseline in %s has loss %v", o.Context, o.Loss)
			}
			// What the engines were told is what the account says.
			if cost := o.Values["cost"]; o.Context == "low" && o.Purpose == ForSearch && !measured && o.Feasible() && o.Loss < 0 != (cost < .99) {
				t.Errorf("cost %v has loss %v", cost, o.Loss)
			}
		}
	}
}

func TestAccountRefuses(t *testing.T) {
	path, _, _ := ranAs(t, &toy{}, true)
	description := filepath.Join(path, fileDescription)
	raw := readFile(t, description)
	write := func(b []byte) {
		if err := os.WriteFile(description, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte(strings.Replace(string(raw), `"Tolerance":0.01`, `"Tolerance":0.5`, 1)))
	if _, err := ReadAccount(path); !errors.Is(err, ErrForeignJournal) || !strings.Contains(err.Error(), fileDescription) {
		t.Errorf("a changed description: %v", err)
	}
	write([]byte("{"))
	if _, err := ReadAccount(path); err == nil || !strings.Contains(err.Error(), fileDescription) {
		t.Errorf("a broken description: %v", err)
	}
	if err := os.Remove(description); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccount(path); !errors.Is(err, ErrNoAccount) {
		t.Errorf("no description: %v", err)
	}
	if _, err := ReadAccount(t.TempDir()); !errors.Is(err, ErrNoRun) {
		t.Errorf("no run: %v", err)
	}
	write(raw)
	if err := os.Remove(filepath.Join(path, fileSearch)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccount(path); !errors.Is(err, ErrNoAccount) {
		t.Errorf("no journal: %v", err)
	}
}

// A run that is still searching, or was killed, is shown as far as it came.
func TestAccountOfAnInterruptedSearch(t *testing.T) {
	path, _, _ := ranAs(t, &toy{}, false)
	whole := account(t, path)
	journal := filepath.Join(path, fileJournal)
	raw := readFile(t, journal)
	if err := os.WriteFile(journal, raw[:len(raw)*2/3], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(path, fileCandidates)); err != nil {
		t.Fatal(err)
	}
	part := account(t, path)
	if n := len(part.Observations); part.Ended || n == 0 || n >= len(whole.Observations) || len(part.Winners) != 0 {
		t.Errorf("%d of %d observations, ended %v, %d winners", n, len(whole.Observations), part.Ended, len(part.Winners))
	}
}

// The map is that of all engines, by what the study names, and a replay of the
// same run writes the same file.
func TestArchiveOfARun(t *testing.T) {
	edit := []string{"{name: sweep, share: 1}", "{name: qd, share: 2}", "candidates_per_context: 2",
		"descriptors: [{knob: packing}, {metric: bytes, min: 100, max: 1000, log: true, bins: 5}]"}
	path, _, _ := ranAs(t, &toy{}, false, edit...)
	raw := readFile(t, filepath.Join(path, fileArchive))
	var f archiveFile
	if err := json.Unmarshal(raw, &f); err != nil || f.Schema != archiveSchema || len(f.Contexts) != 4 {
		t.Fatal(err, f.Schema)
	}
	low := f.Contexts[0]
	if low.Cells != 20 || low.Axes[1].Labels[4] != "631…1000" || len(low.Elites) < 2 || low.Better == 0 || !(low.Score > 0) {
		t.Errorf("%+v", low)
	}
	a := account(t, path)
	for _, e := range low.Elites {
		for _, o := range a.Observations {
			p, err := benchmarks.DecodePoint(a.Description.Space, e.Point)
			if err != nil {
				t.Fatal(err)
			}
			same := o.Context == "low" && o.Purpose == ForSearch && o.Feasible() && o.Point["packing"] == p["packing"] && math.Abs(o.Values["bytes"]-e.Values["bytes"]) < 1e-9
			if same && o.Loss < e.Loss {
				t.Errorf("%s holds %s with %v, but %s had %v", low.Context, e.Point, e.Loss, o.Point, o.Loss)
			}
		}
	}
	again, _, _ := ranAs(t, &toy{}, false, edit...)
	if got := readFile(t, filepath.Join(again, fileArchive)); !slices.Equal(got, raw) {
		t.Error("the same search left another archive")
	}
	if _, err := a.Archives([]engine.Descriptor{{Knob: "nothing"}}); !errors.Is(err, qd.ErrDescriptor) {
		t.Error(err)
	}
}
