package insight

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/qd"
	"github.com/arqon/arqon/factory/roster"
	"github.com/arqon/arqon/factory/suite"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

var accounts = map[bool]factory.Account{} // by alone; tests here run one after the other

// run is the account of search, which is made once.
func run(t testing.TB, alone bool) factory.Account {
	t.Helper()
	if _, done := accounts[alone]; !done {
		accounts[alone] = search(t, alone)
	}
	return accounts[alone]
}

// search searches a made problem with conditions and noise, alone or for a night
// whose gates decide nothing, and returns the account.
func search(t testing.TB, alone bool) factory.Account {
	t.Helper()
	problem, err := suite.New("conditional", 3)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "s.yaml")
	study := "name: s\ndomain: suite\nseed: 5\nworkers: 1\nbudget: {evaluations: 240}\nengines: [{name: ga, share: 2}, {name: sweep, share: 1}, {name: qd, share: 1}]\n"
	if err := os.WriteFile(file, []byte(study), 0o644); err != nil {
		t.Fatal(err)
	}
	st, err := factory.LoadStudy(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := factory.NewRun(t.TempDir(), st)
	if err != nil {
		t.Fatal(err)
	}
	n := factory.Nightly{Domain: problem, Engines: roster.Engines(), Judge: func(_ context.Context, c factory.Case) (gates.Night, []gates.Verdict, error) {
		return gates.Night{Schema: gates.NightSchema, Run: c.Run.Name}, nil, nil
	}}
	if alone {
		_, err = n.Recommend(t.Context(), r)
	} else {
		_, err = n.Do(t.Context(), r)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	a, err := factory.ReadAccount(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func overview(t testing.TB, a factory.Account) Overview {
	t.Helper()
	o, err := New(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// The numbers of an overview are those of the journal.
func TestOverviewAddsUp(t *testing.T) {
	for _, alone := range []bool{true, false} {
		a := run(t, alone)
		o := overview(t, a)
		c := o.Contexts[0]
		asked, records := 0, 0
		least := math.Inf(1)
		for _, x := range a.Observations {
			if x.Purpose == factory.ForSearch && x.Feasible() {
				least = math.Min(least, x.Loss)
			}
		}
		bestOfAll := math.Inf(1)
		for _, e := range c.Engines {
			asked += e.Asked
			records += e.Records
			for i, s := range e.Steps {
				if i > 0 && (s.At <= e.Steps[i-1].At || s.Change >= e.Steps[i-1].Change) {
					t.Errorf("%s: step %v after %v", e.Name, s, e.Steps[i-1])
				}
			}
			if e.Best != nil {
				bestOfAll = math.Min(bestOfAll, *e.Best)
				if last := e.Steps[len(e.Steps)-1]; last.Change != *e.Best || last.At != e.BestAt {
					t.Errorf("%s: best %v at %d, last step %v", e.Name, *e.Best, e.BestAt, last)
				}
			}
		}
		if asked != c.Asked || c.Asked != o.Asked || records != len(c.best()) {
			t.Errorf("%d asked, the context says %d, the run %d; %d records, %d steps of the best", asked, c.Asked, o.Asked, records, len(c.best()))
		}
		if want := least / (1 - math.Abs(least)); math.Abs(bestOfAll-want) > 1e-9 { // the inverse of the loss
			t.Errorf("best change %v of loss %v, want %v", bestOfAll, least, want)
		}
		w := c.Winner
		if w == nil || w.At < 1 || w.Change >= 0 || len(w.Differs) == 0 || len(w.Lineage) == 0 || w.Lineage[len(w.Lineage)-1].At != w.At {
			t.Fatalf("%+v", w)
		}
		if !c.Noise.Measured || c.Knobs == nil || c.Archive == nil || len(c.Archive.Elites) == 0 {
			t.Errorf("%+v", c)
		}
		if s := c.Noise.Baseline; alone && (s == nil || !s.Relative || s.Sigma < .005 || s.Sigma > .3) {
			t.Errorf("noise floor %+v", s)
		}
		if alone != (w.Interval != nil) || alone != (o.Search == "alone") || w.Ancestors && alone {
			t.Errorf("%+v of %s", w, o.Search)
		}
	}
}

// The same journal gives the same bytes, every time.
func TestOverviewIsAFunctionOfTheJournal(t *testing.T) {
	a := run(t, true)
	var pages [2]bytes.Buffer
	for i := range pages {
		o := overview(t, a)
		if err := errors.Join(HTML(&pages[i], o), Text(&pages[i], o, plot.Terminal{}), json.NewEncoder(&pages[i]).Encode(o)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(pages[0].Bytes(), pages[1].Bytes()) {
		t.Error("two pages of one journal differ")
	}
}

func TestTextFitsItsTerminal(t *testing.T) {
	o := overview(t, run(t, false))
	for _, term := range []plot.Terminal{{}, {ASCII: true}, {Width: 120, Color: true}} {
		var b bytes.Buffer
		if err := Text(&b, o, term); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"winner", "asked", "best so far", "functional ANOVA", "Map of good points", "How the winner came about"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%+v: no %q", term, want)
			}
		}
		if strings.Contains(b.String(), "\x1b[") != term.Color {
			t.Errorf("%+v: colour", term)
		}
		limit := term.Width
		if limit == 0 {
			limit = 80
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if n := utf8.RuneCountInString(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(line, "")); n > limit {
				t.Errorf("%+v: %d columns: %q", term, n, line)
			}
			for _, r := range line {
				if term.ASCII && (r < 0x20 || r > 0x7e) {
					t.Fatalf("%q in ASCII: %q", r, line)
				}
			}
		}
	}
}

var svg = regexp.MustCompile(`(?s)<svg.*?</svg>`)
var ids = regexp.MustCompile(` id="([^"]*)"`)

// checkPage: drawings are well formed, ids are unique, nothing is loaded and
// nothing runs.
func checkPage(t *testing.T, page string) {
	t.Helper()
	for _, bad := range []string{"<script", "javascript:", "src=", "url(", "@import", "onload", "<img", "NaN", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	drawings := svg.FindAllString(page, -1)
	if len(drawings) < 3 {
		t.Errorf("%d drawings", len(drawings))
	}
	for _, s := range drawings {
		d := xml.NewDecoder(strings.NewReader(s))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %.300s", err, s)
			}
		}
	}
	seen := map[string]bool{}
	for _, m := range ids.FindAllStringSubmatch(page, -1) {
		if seen[m[1]] {
			t.Errorf("id %q twice", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !seen[m[1]] {
			t.Errorf("a link leads to %q, which is not there", m[1])
		}
	}
}

func TestPage(t *testing.T) {
	o := overview(t, run(t, true))
	var b bytes.Buffer
	if err := HTML(&b, o); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.String())
	// Whatever names a program gives, they stay text.
	c := &o.Contexts[0]
	evil := `</svg><script>alert(1)</script>"'&` + "\x1b[31m\u202e"
	c.Name, c.Metric, c.Unit, c.Engines[0].Name, c.Winner.Origin = evil, evil, evil, evil, evil
	c.Knobs.Knobs[0].Knob, c.Winner.Lineage[0].Origin, c.Winner.Differs[0].To = evil, evil, evil
	c.Archive.Axes[0].Labels[0] = evil
	c.Notes = []factory.Note{{Engine: evil, Text: evil}}
	b.Reset()
	if err := HTML(&b, o); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.String())
	b.Reset()
	if err := Text(&b, o, plot.Terminal{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("control characters reach the terminal")
	}
}

// A run that has only begun has little to show, and says so.
func TestPageOfARunThatHasJustBegun(t *testing.T) {
	a := run(t, true)
	a.Winners, a.Ended, a.Stop = nil, false, ""
	for _, n := range []int{0, 1, 5, 12} {
		part := a
		part.Observations = a.Observations[:n]
		o := overview(t, part)
		var b bytes.Buffer
		if err := errors.Join(HTML(&b, o), Text(&b, o, plot.Terminal{})); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "still searching") || !strings.Contains(b.String(), "no winner") {
			t.Errorf("%d observations: %.500s", n, b.String())
		}
	}
}

func TestAxesOfOnesOwn(t *testing.T) {
	a := run(t, true)
	var knob string
	for _, p := range a.Description.Space.Parameters {
		if p.Kind != benchmarks.Permutation {
			knob = p.Name
		}
	}
	o, err := New(a, []engine.Descriptor{{Knob: knob}, {Metric: "cost", Min: 1, Max: 20, Log: true, Bins: 4}})
	if err != nil {
		t.Fatal(err)
	}
	if m := o.Contexts[0].Archive; m.Axes[0].Knob != knob || len(m.Axes[1].Labels) != 4 {
		t.Errorf("%+v", m.Axes)
	}
	if _, err := New(a, []engine.Descriptor{{Knob: "none"}}); !errors.Is(err, qd.ErrDescriptor) {
		t.Error(err)
	}
}
