package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/internal/seed"
)

// small is a night that takes milliseconds.
func small(noise string, nights int) Plan {
	p := DefaultPlan()
	p.Noise, p.Nights = noise, nights
	return p
}

// The promise of the room in small: docs/statistics.md has thousands of nights.
func TestNightsUnderEveryNoise(t *testing.T) {
	for _, noise := range Noises {
		r, err := Play(context.Background(), small(noise, 12), "ours", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		if r.NightsHarmful > 0 {
			t.Errorf("%s: something harmful was promoted on %d of %d nights", noise, r.NightsHarmful, r.Nights)
		}
		// 1 % a night is allowed: 2 or more of 12 has a probability of .006
		if r.NightsFalse > 1 {
			t.Errorf("%s: something false was promoted on %d of %d nights", noise, r.NightsFalse, r.Nights)
		}
		if r.Power < .93 {
			t.Errorf("%s: found %.3f of the better ones", noise, r.Power)
		}
		if r.FixedShare > .30 || r.FixedShareAtEffect > .90 {
			t.Errorf("%s: %.2f of the samples of a fixed design, %.2f at the smallest effect", noise, r.FixedShare, r.FixedShareAtEffect)
		}
		if math.Abs(r.Bias) > .2 || r.Covered < .95 {
			t.Errorf("%s: bias %.3f points, coverage %.4f", noise, r.Bias, r.Covered)
		}
	}
}

func TestNotWorse(t *testing.T) {
	p := small("lognormal", 5)
	p.Goal = evalue.NotWorse
	r, err := Play(context.Background(), p, "ours", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.NightsHarmful > 0 || r.Power < .90 || r.FixedShare > .65 {
		t.Errorf("%d harmful nights, %.3f of the equals accepted at %.2f of the fixed samples", r.NightsHarmful, r.Power, r.FixedShare)
	}
}

// A simulator that cannot show the usual rules failing shows nothing.
func TestUsualRulesFailHere(t *testing.T) {
	for rule, least := range map[string]int{"naive": 10, "benchstat": 8} {
		r, err := Play(context.Background(), small("lognormal", 10), rule, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.NightsFalse < least {
			t.Errorf("%s promoted something false on %d of 10 nights only", rule, r.NightsFalse)
		}
	}
}

// Conformance: over a pipe the same seed gives the same decisions, samples
// and estimates as in process.
func TestDriveServe(t *testing.T) {
	for _, goal := range []evalue.Goal{evalue.Better, evalue.NotWorse} {
		p := small("combined", 2)
		p.Goal, p.Candidates = goal, 40
		want, err := Play(context.Background(), p, "ours", nil)
		if err != nil {
			t.Fatal(err)
		}
		toJudge, ask := io.Pipe()
		answer, fromJudge := io.Pipe()
		served := make(chan error, 1)
		go func() {
			err := Serve(toJudge, fromJudge, nil)
			served <- errors.Join(err, fromJudge.Close())
		}()
		got, err := Drive(context.Background(), p, answer, ask, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ask.Close(), <-served); err != nil {
			t.Fatal(err)
		}
		got.Rule, got.Covered = want.Rule, want.Covered
		if got != want {
			t.Errorf("over a pipe %+v\nin process %+v", got, want)
		}
	}
}

const hello = `{"type":"hello","protocol":"gatesim/1","seed":1}` + "\n"

// judge answers a script: reply makes the values of each measurement.
func judge(t *testing.T, night string, reply func(arms string) string) (decisions []said, err error) {
	t.Helper()
	toJudge, ask := io.Pipe()
	answer, fromJudge := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := Serve(toJudge, fromJudge, nil)
		served <- errors.Join(err, fromJudge.Close(), toJudge.Close())
	}()
	go func() { _, _ = io.WriteString(ask, hello+night+"\n") }()
	lines := bufio.NewScanner(answer)
	for lines.Scan() {
		var m said
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case "measure":
			line := fmt.Sprintf(`{"type":"samples","id":%d,"values":%s}`+"\n", m.ID, reply(m.Arms))
			go func() { _, _ = io.WriteString(ask, line) }()
		case "decision":
			decisions = append(decisions, m)
		case "night_done":
			if err := ask.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return decisions, <-served
}

func nightOf(goal, direction string) string {
	return `{"type":"night","goal":"` + goal + `","direction":"` + direction + `","metric":"m","tolerance":0.02,"mde":0.03,"alpha":0.01,"candidates":[7]}`
}

// timer answers with a baseline of 100 and a candidate times ratio, with noise.
func timer(ratio float64) func(string) string {
	r := seed.Stream(3, "test")
	return func(arms string) string {
		var v []string
		for _, a := range arms {
			x := 100 * math.Exp(.01*r.NormFloat64())
			if a == 'B' {
				x *= ratio
			}
			v = append(v, fmt.Sprint(x))
		}
		return "[" + strings.Join(v, ",") + "]"
	}
}

func TestServeDirections(t *testing.T) {
	for _, c := range []struct {
		goal, direction string
		ratio           float64
		want            bool
	}{
		{"better", "lower", .95, true},
		{"better", "lower", 1.05, false},
		{"better", "higher", 1.05, true},
		{"better", "higher", .95, false},
		{"noninferior", "lower", 1, true},
		{"noninferior", "lower", 1.05, false},
		{"noninferior", "higher", 1, true},
		{"noninferior", "higher", .95, false},
	} {
		got, err := judge(t, nightOf(c.goal, c.direction), timer(c.ratio))
		if err != nil || len(got) != 1 || got[0].ID != 7 || got[0].Promote != c.want {
			t.Errorf("%+v: %+v %v", c, got, err)
			continue
		}
		if c.want && math.Abs(got[0].Estimate-(c.ratio-1)) > .01 {
			t.Errorf("%+v: estimate %v", c, got[0].Estimate)
		}
	}
}

// What cannot be a sample is never promoted, however good the rest looks.
func TestServeBadSamples(t *testing.T) {
	good := timer(.5)
	turns := 0
	late := func(bad string) func(string) string {
		turns = 0
		return func(arms string) string {
			v := good(arms)
			if turns++; turns > 1 {
				v = "[" + bad + v[strings.Index(v, ","):]
			}
			return v
		}
	}
	for name, reply := range map[string]func(string) string{
		"null":      late("null"),
		"NaN":       late("NaN"),
		"-Infinity": late("-Infinity"),
		"infinite":  late("1e999"),
		"a word":    late(`"fast"`),
		"zero":      late("0"),
		"negative":  late("-1"),
		"vanished":  func(string) string { return "[]" },
		"none":      func(string) string { return "null" },
		"too few":   func(a string) string { v := good(a); return v[:strings.LastIndex(v, ",")] + "]" },
		"too many":  func(a string) string { v := good(a); return v[:len(v)-1] + ",1]" },
		"constant": func(a string) string {
			return "[" + strings.TrimSuffix(strings.NewReplacer("A", "100,", "B", "50,").Replace(a), ",") + "]"
		},
	} {
		got, err := judge(t, nightOf("better", "lower"), reply)
		if err != nil || len(got) != 1 || got[0].Promote {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if got, err := judge(t, nightOf("better", "lower"), good); err != nil || !got[0].Promote {
		t.Errorf("without bad samples: %+v %v", got, err)
	}
}

func TestServeRefuses(t *testing.T) {
	night := nightOf("better", "lower") + "\n"
	for name, c := range map[string]struct{ in, want string }{
		"no hello":    {night, "before hello"},
		"protocol":    {`{"type":"hello","protocol":"gatesim/2"}`, "gatesim/2"},
		"unknown":     {hello + `{"type":"dance"}`, "dance"},
		"not json":    {hello + `{"type":`, "line 2"},
		"goal":        {hello + strings.Replace(night, "better", "best", 1), "goal"},
		"direction":   {hello + strings.Replace(night, "lower", "left", 1), "direction"},
		"alpha":       {hello + strings.Replace(night, `"alpha":0.01,`, "", 1), "alpha"},
		"mde":         {hello + strings.Replace(night, `"mde":0.03,`, "", 1), "smallest effect"},
		"tolerance":   {hello + strings.Replace(night, `0.02`, "2", 1), "tolerance"},
		"twice":       {hello + strings.Replace(night, "[7]", "[7,7]", 1), "twice"},
		"other id":    {hello + night + `{"type":"samples","id":8,"values":[1]}`, "candidate 8"},
		"other type":  {hello + night + `{"type":"night"}`, "expected"},
		"a long line": {hello + strings.Repeat(" ", lineMost+1), "longer"},
	} {
		err := Serve(strings.NewReader(c.in), io.Discard, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, in := range map[string]string{"empty": "", "hello": hello, "mid-night": hello + night, "no candidates": hello + `{"type":"night","goal":"better","direction":"lower"}`} {
		if err := Serve(strings.NewReader(in), io.Discard, nil); err != nil {
			t.Errorf("%s: the end of the input is the end: %v", name, err)
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add(hello + nightOf("better", "lower") + "\n" + `{"type":"samples","id":7,"values":[1,NaN,"x",1e400]}`)
	f.Add(hello + nightOf("noninferior", "higher") + "\n{}\n")
	f.Add(`{"type":"hello","protocol":"gatesim/1","seed":-1}`)
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		_ = Serve(strings.NewReader(in), &out, nil) // any error is fine, a panic is not
		if strings.Contains(out.String(), `"promote":true`) && strings.Count(in, "\n") < 3 {
			t.Fatal("promoted without samples")
		}
	})
}

func TestWithoutNaN(t *testing.T) {
	for in, want := range map[string]string{
		`[NaN,-Infinity,1]`: `[null,null,1]`,
		`{"x":"NaN\"NaN"}`:  `{"x":"NaN\"NaN"}`,
		`[nan, inf]`:        `[null, null]`,
		`["a\\",NaN]`:       `["a\\",null]`,
	} {
		if got := string(withoutNaN([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestPlanRefused(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"noise":      func(p *Plan) { p.Noise = "pink" },
		"sd":         func(p *Plan) { p.SD = math.NaN() },
		"nights":     func(p *Plan) { p.Nights = 0 },
		"candidates": func(p *Plan) { p.Candidates = candidatesMost + 1 },
		"shares":     func(p *Plan) { p.Harmful = .95 },
		"harm":       func(p *Plan) { p.HarmBy = .01 },
		"better":     func(p *Plan) { p.ImproveBy = 0 },
		"alpha":      func(p *Plan) { p.Alpha = 1 },
	} {
		p := DefaultPlan()
		change(&p)
		if _, err := Play(context.Background(), p, "ours", nil); err == nil {
			t.Errorf("%s: played", name)
		}
	}
	if _, err := Play(context.Background(), DefaultPlan(), "luck", nil); err == nil {
		t.Error("an unknown rule played")
	}
}

// The exact null distribution of the signed-rank statistic, from its tables.
func TestRankBar(t *testing.T) {
	for _, c := range []struct {
		n     int
		alpha float64
		want  int
	}{{5, .05, 15}, {10, .05, 45}, {20, .01, 167}, {4, .05, 11}} {
		if got := rankBar(c.n, c.alpha); got != c.want {
			t.Errorf("n %d, alpha %v: %d, want %d", c.n, c.alpha, got, c.want)
		}
	}
}
