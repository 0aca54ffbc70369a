package gates

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

func recordedNight(t *testing.T) Night {
	t.Helper()
	d := newToy(.01, 21)
	n, _, err := d.judge(t, 21).Night(t.Context(), []Candidate{
		d.reference(t, "fast"), d.candidate(t, "fast", benchmarks.Point{"speed": .8}), d.candidate(t, "right", benchmarks.Point{"gain": .1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecomputeCatchesEdits(t *testing.T) {
	n := recordedNight(t)
	if err := Recompute(n); err != nil {
		t.Fatal(err)
	}
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Night){
		"outcome": func(n *Night) { n.Candidates[1].Outcome = Fail },
		"finding": func(n *Night) { n.Candidates[1].Findings[3].Reason = "trust me" },
		"e-value": func(n *Night) { n.Candidates[1].Results[len(n.Candidates[1].Results)-1].LogE += 1e-9 },
		"pair":    func(n *Night) { n.Candidates[1].Pairs[7].B["cpu_ns"] *= 1.0000001 },
		"coin":    func(n *Night) { n.Candidates[1].Pairs[7].BFirst = !n.Candidates[1].Pairs[7].BFirst },
		"dropped": func(n *Night) { n.Candidates[1].Pairs = n.Candidates[1].Pairs[:10] },
		"policy":  func(n *Night) { n.Policy.PairsMax++ },
		"seed":    func(n *Night) { n.Seed++ },
		"alpha":   func(n *Night) { n.Alpha.LogBar -= 1 },
		"k":       func(n *Night) { n.Candidates = n.Candidates[:2] },
		"series":  func(n *Night) { n.Series = n.Series[1:] },
		"control": func(n *Night) { n.Controls[2].Outcome = Inconclusive },
		"value":   func(n *Night) { n.Evals[0].Values["accuracy"] += .01 },
		"canary":  func(n *Night) { n.Candidates[1].Canary.Pairs[3].A["cpu_ns"]++ },
		"metric":  func(n *Night) { n.Contexts[0].Metrics[0].Tolerance = .5 },
	} {
		m, err := DecodeNight(b)
		if err != nil {
			t.Fatal(err)
		}
		edit(&m)
		if err := Recompute(m); err == nil {
			t.Errorf("%s: an edited record was accepted", name)
		} else if name != "series" && !errors.Is(err, ErrDiffers) && !errors.Is(err, ErrNoRaw) && !errors.Is(err, ErrBadNight) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record of an older wording follows from its raw data in its own words: what
// was judged before "10.25 1" became "10.25" is still what it was.
func TestRecomputeOlderWording(t *testing.T) {
	n := recordedNight(t)
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = DecodeNight(b); err != nil { // unpacks the series
		t.Fatal(err)
	}
	n.Wording = 0
	j, candidates, err := replayJudge(n)
	if err == nil {
		_, err = j.run(t.Context(), candidates)
	}
	if err != nil {
		t.Fatal(err)
	}
	older := *j.night
	if err := older.digest(); err != nil {
		t.Fatal(err)
	}
	older.Ended, older.Portfolio = n.Ended, n.Portfolio
	older.clock()
	old, err := EncodeNight(older)
	if err != nil {
		t.Fatal(err)
	}
	unit := regexp.MustCompile(`[0-9] 1(,| against| from)`)
	if !unit.Match(old) || unit.Match(b) {
		t.Errorf("the unit 1 is printed: older wording %v, this one %v", unit.Match(old), unit.Match(b))
	}
	if older, err = DecodeNight(old); err != nil {
		t.Fatal(err)
	}
	if err := Recompute(older); err != nil {
		t.Error(err)
	}
}

// Any digit changed anywhere in the numbers of the record is noticed: the
// record has no free numbers but those that others said (times, names, claim,
// lineage, point, the error budget). Those are bound by the seal and by the
// ledgers that Verify compares: TestVerifyCatchesFlips.
func TestRecomputeCatchesDigits(t *testing.T) {
	n := recordedNight(t)
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.Replace(string(b), string(n.sealOf(t)), "", 1)) // or the seal would catch everything
	lines := strings.Split(string(b), "\n")
	free := []string{
		`"speed"`, `"gain"`, `"started"`, `"ended"`, `"claim"`, `"loss"`, `"evaluations"`, `"trial"`, `"name"`, `"run"`, `"domain_version"`, `"awaits `, // said by others
		`"spent"`, `"nights"`, `"sequence"`, `"head"`, `"identity"`, // theirs are the alpha ledger and the registration
	}
	// What the study says of the contexts is an input too; its digest is in the
	// registration.
	from := slices.Index(lines, ` "contexts": [`)
	to := from + slices.Index(lines[max(from, 0):], " ],")
	if from < 0 || to < from {
		t.Fatal("the record has no contexts")
	}
	r := rand.New(rand.NewPCG(1, 2))
	tried := map[string]int{} // by field: each gets its turns, wherever the timings of the day put it
	for _, i := range r.Perm(len(lines)) {
		line := lines[i]
		field, _, ok := strings.Cut(line, ":")
		at := strings.IndexAny(line, "123456789")
		if !ok || !strings.Contains(field, `"`) || at < len(field) || hasAny(line, free) || tried[field] == 2 || i > from && i < to {
			continue
		}
		tried[field]++
		changed := append([]string(nil), lines...)
		digit := '1' + (line[at]-'1'+1)%9
		changed[i] = line[:at] + string(rune(digit)) + line[at+1:]
		m, err := DecodeNight([]byte(strings.Join(changed, "\n")))
		if err != nil {
			continue
		}
		if err := Recompute(m); err == nil {
			t.Errorf("line %d: %q became %q and was accepted", i+1, line, changed[i])
		}
	}
	if len(tried) < 30 {
		t.Errorf("only %d fields were tried", len(tried))
	}
}

func (n Night) sealOf(t *testing.T) artifacts.Digest {
	t.Helper()
	b, err := EncodeNight(n)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = DecodeNight(b); err != nil {
		t.Fatal(err)
	}
	return n.Seal
}

func hasAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

func BenchmarkRecompute(b *testing.B) {
	d := newToy(.01, 21)
	j := d.judge(b, 21)
	n, _, err := j.Night(b.Context(), []Candidate{d.reference(b, "fast"), d.candidate(b, "fast", benchmarks.Point{"speed": .8})})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := Recompute(n); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhatNeverVaries(t *testing.T) {
	for _, c := range []struct {
		unit string
		w    wording
		want string
	}{{"ns", wordingNow, "the timer is broken"}, {"B", wordingNow, "is deterministic"}, {"B", 0, "the timer is broken"}} {
		m := benchmarks.Metric{Name: "x", Unit: c.unit, Direction: benchmarks.Lower, Kind: benchmarks.Measured, Compare: benchmarks.Ratio, Tolerance: .1}
		p := DefaultPolicy()
		s := newSeries(m, p.question(m, p.Night(), 1), &evalue.Noise{})
		s.wording = c.w
		for i := range 2 * evalue.BrokenAfter {
			s.add(PairRecord{Index: i, A: map[string]float64{"x": 7}, B: map[string]float64{"x": 7 + float64(i)/100}})
		}
		if s.bad == nil || !strings.Contains(s.bad.Error(), c.want) {
			t.Errorf("unit %s, wording %d: %v, want %q", c.unit, c.w, s.bad, c.want)
		}
	}
}
