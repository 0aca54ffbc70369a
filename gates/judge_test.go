package gates

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
)

func outcome(v Verdict, gate string) Outcome {
	for _, f := range v.Findings {
		if f.Gate == gate {
			return f.Outcome
		}
	}
	return Invalid
}

func last(v Verdict) Finding { return v.Findings[len(v.Findings)-1] }

// One night with everything in it: what is better passes, each bad one is
// stopped by the gate that is there for it, and the record replays.
func TestNightStory(t *testing.T) {
	d := newToy(.01, 1)
	j := d.judge(t, 1)
	type row struct {
		c    Candidate
		gate string
		want Outcome
		says string
	}
	slow := d.candidate(t, "fast", benchmarks.Point{"speed": 1.1})
	rows := []row{
		{d.reference(t, "fast"), GateApproval, Inconclusive, "awaits signatures: prod needs 2"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8}), GateApproval, Inconclusive, "awaits signatures: prod needs 2"},
		{d.candidate(t, "right", benchmarks.Point{"gain": .15}), GateApproval, Inconclusive, "awaits signatures: prod needs 2"},
		{d.candidate(t, "small", benchmarks.Point{"bytes": 250.0}), GateApproval, Inconclusive, "awaits signatures: prod needs 2"},
		{slow, GateRegression, Inconclusive, "no hope of showing it better"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "gain": -.035}), GateRegression, Fail, "accuracy"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "tail": 2.0}), GateRegression, Fail, "p99_ns"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "wrong": 1.0}), GateCorrectness, Fail, "golden"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "broken": 1.0}), GateCorrectness, Fail, "no such model"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "bytes": 1001.0}), GateEnvelope, Fail, "1001"},
		{d.candidate(t, "small", benchmarks.Point{"bytes": 301.0}), GateEnvelope, Fail, "limit 300"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "fragile": 2.0}), GateRobustness, Fail, "noise"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .8, "nan": 1.0}), GateEnvelope, Invalid, "accuracy"},
		{d.candidate(t, "fast", benchmarks.Point{"stuck": 1.0}), GateRegression, Invalid, "timer is broken"},
		{d.candidate(t, "fast", benchmarks.Point{"speed": .99999, "vanish": 1.0}), GateRegression, Invalid, "p99_ns"},
	}
	// the reference cannot serve a context whose hard limit it breaks
	rows = append(rows, row{d.reference(t, "small"), GateEnvelope, Fail, "limit 300"})
	tampered := d.candidate(t, "fast", benchmarks.Point{"speed": .7})
	tampered.Bundle.Files[0].Bytes = []byte("other bytes")
	rows = append(rows, row{tampered, GateCorrectness, Invalid, "file p.json"})
	var cs []Candidate
	for _, r := range rows {
		cs = append(cs, r.c)
	}
	night, verdicts, err := j.Night(t.Context(), cs)
	if err != nil {
		t.Fatal(err)
	}
	if night.Outcome != Pass {
		t.Fatalf("the night is %v: %s", night.Outcome, night.Reason)
	}
	for i, r := range rows {
		f := last(verdicts[i])
		t.Logf("%-14s %-12v %-11s %s", verdicts[i].Context, f.Outcome, f.Gate, night.Candidates[i].Why)
		if f.Gate != r.gate || f.Outcome != r.want || !strings.Contains(f.Reason, r.says) {
			t.Errorf("%s %s: %s %v %q, want %s %v with %q", r.c.Context, r.c.Variant.Point, f.Gate, f.Outcome, f.Reason, r.gate, r.want, r.says)
		}
	}
	for _, c := range night.Controls {
		t.Logf("control %-12s %v %s", c.Name, c.Outcome, c.Reason)
	}
	if night.Funnel[0].Entered != len(rows) || night.Funnel[4].Pass != 4 {
		t.Errorf("funnel %+v", night.Funnel)
	}
	if _, err := verdicts[1].Entry(7, catalog.ScopeStaging); err != nil {
		t.Error(err)
	}
	if _, err := verdicts[1].Entry(7, catalog.ScopeProd); !errors.Is(err, ErrNotPassed) {
		t.Errorf("prod without signatures: %v", err)
	}
	if _, err := verdicts[4].Entry(7, catalog.ScopeCanary); !errors.Is(err, ErrNotPassed) {
		t.Errorf("a slower candidate in a canary release: %v", err)
	}
	if e, err := verdicts[1].Entry(7, catalog.ScopeStaging); err == nil {
		if len(e.Curves) != 1 || e.Curves[0].P50NS < 600 || e.Curves[0].P50NS > 1000 || len(e.Expectations) != 4 || e.Expectations[0].Metric != "cpu_ns" {
			t.Errorf("curves %+v, expectations %+v", e.Curves, e.Expectations)
		}
	}
	if err := Recompute(night); err != nil {
		t.Error(err)
	}
}

// A killed night goes on: the same record, and nothing is measured twice.
func TestResume(t *testing.T) {
	whole := newToy(.01, 5)
	candidates := func(d *toy) []Candidate {
		return []Candidate{
			d.reference(t, "fast"), d.candidate(t, "fast", benchmarks.Point{"speed": .8}),
			d.candidate(t, "right", benchmarks.Point{"gain": .15}), d.candidate(t, "fast", benchmarks.Point{"speed": 1.1}),
		}
	}
	j := whole.judge(t, 5)
	want, _, err := j.Night(t.Context(), candidates(whole))
	if err != nil {
		t.Fatal(err)
	}
	wantBytes, err := EncodeNight(want)
	if err != nil {
		t.Fatal(err)
	}
	// a second call answers from the ledger alone
	before := whole.measured + whole.evaluated
	again, _, err := j.Night(t.Context(), candidates(whole))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := EncodeNight(again); err != nil || string(b) != string(wantBytes) {
		t.Error("the same night gave another record", err)
	}
	if whole.measured+whole.evaluated != before {
		t.Error("a finished night was measured again")
	}
	if again.Alpha.Nights != 1 {
		t.Errorf("charged %d times", again.Alpha.Nights)
	}

	// killed every 45 measurements, and once in the middle of the canary
	d := newToy(.01, 5)
	k := d.judge(t, 5)
	kills, rolledBack := 0, 0
	k.StartCanary = d.startCanary(func(x *toyCanary) { x.onRollback = func() { rolledBack++ } })
	for {
		ctx, cancel := context.WithCancel(t.Context())
		d.kill, d.killIn = cancel, 45
		got, verdicts, err := k.Night(ctx, candidates(d))
		cancel()
		if errors.Is(err, context.Canceled) {
			kills++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range verdicts {
			if v.Passed(GateCanary) != (i != 3) {
				t.Errorf("candidate %d after %d kills: %+v", i, kills, v.Findings)
			}
		}
		if err := Recompute(got); err != nil {
			t.Error(err)
		}
		if got.Alpha.Nights != 1 {
			t.Errorf("charged %d times", got.Alpha.Nights)
		}
		break
	}
	if kills < 5 || rolledBack == 0 {
		t.Errorf("killed %d times, %d canaries rolled back: the test tests nothing", kills, rolledBack)
	}
}

func TestForeignLedgerRefused(t *testing.T) {
	d := newToy(.01, 6)
	j := d.judge(t, 6)
	if _, _, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .14})}); !errors.Is(err, ErrForeignNight) {
		t.Errorf("other candidates: %v", err)
	}
	j.Seed = 7
	if _, _, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})}); !errors.Is(err, ErrForeignNight) {
		t.Errorf("another seed: %v", err)
	}
}

func TestJudgeRefusesNonsense(t *testing.T) {
	d := newToy(.01, 6)
	c := d.candidate(t, "right", benchmarks.Point{"gain": .15})
	for name, f := range map[string]func(*Judge) []Candidate{
		"none":    func(*Judge) []Candidate { return nil },
		"twice":   func(*Judge) []Candidate { return []Candidate{c, c} },
		"context": func(*Judge) []Candidate { e := c; e.Context = "elsewhere"; return []Candidate{e} },
		"policy":  func(j *Judge) []Candidate { j.Policy = Policy{}; return []Candidate{c} },
		"ledger":  func(j *Judge) []Candidate { j.LedgerPath = ""; return []Candidate{c} },
	} {
		j := d.judge(t, 1)
		if _, _, err := j.Night(t.Context(), f(j)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestUnsupportedIsNotAPass(t *testing.T) {
	d := newToy(.01, 8)
	d.noChecks = true
	_, v, err := d.judge(t, 8).Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})})
	if err != nil {
		t.Fatal(err)
	}
	if f := last(v[0]); f.Gate != GateCorrectness || f.Outcome != Inconclusive {
		t.Errorf("no checks: %+v", f)
	}
	d = newToy(.01, 8)
	d.noPerturb = true
	n, v, err := d.judge(t, 8).Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})})
	if err != nil {
		t.Fatal(err)
	}
	if f := last(v[0]); f.Gate != GateRobustness || f.Outcome != Inconclusive {
		t.Errorf("no disturbance: %+v", f)
	}
	if err := Recompute(n); err != nil {
		t.Error(err)
	}
	quake := []Disturbance{{Kind: "noise", Level: .1}, {Kind: "earthquake", Level: 9}}
	for name, c := range map[string]struct {
		noPerturb bool
		asked     []Disturbance
		want      Outcome
		says      string
	}{
		"an empty list":          {true, []Disturbance{}, Pass, "waived"},
		"none is known":          {true, nil, Pass, "not applicable: the domain supports no disturbance"},
		"one of the usual":       {false, nil, Pass, "under 1 disturbances (not supported by the domain: shift, occlude)"},
		"a named one is unknown": {false, quake, Inconclusive, "earthquake"},
	} {
		d := newToy(.01, 9)
		d.noPerturb = c.noPerturb
		j := d.judge(t, 9)
		j.Policy.Robustness = c.asked
		n, v, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})})
		if err != nil {
			t.Fatal(err)
		}
		if f := v[0].Findings[2]; outcome(v[0], GateRobustness) != c.want || !strings.Contains(f.Reason, c.says) {
			t.Errorf("%s: %+v", name, f)
		}
		if err := Recompute(n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// On a machine too noisy for the policy nothing starts, and it is said; and a
// night whose controls cannot see a 3 % delay is INVALID.
func TestNoisyMachine(t *testing.T) {
	d := newToy(3, 10)
	j := d.judge(t, 10)
	n, v, err := j.Night(t.Context(), []Candidate{d.candidate(t, "fast", benchmarks.Point{"speed": .5})})
	if err != nil {
		t.Fatal(err)
	}
	if n.Outcome != Invalid || v[0].Passed(GateCorrectness) {
		t.Errorf("a night that cannot see 3 %%: %v %s", n.Outcome, n.Reason)
	}
	d = newToy(.2, 10)
	j = d.judge(t, 10)
	j.Policy.ControlDelay, j.Policy.ControlPairsMax = 1, 200
	n, v, err = j.Night(t.Context(), []Candidate{d.candidate(t, "fast", benchmarks.Point{"speed": .5})})
	if err != nil {
		t.Fatal(err)
	}
	if f := last(v[0]); f.Gate != GateRegression || f.Outcome != Inconclusive || !strings.Contains(f.Reason, "underpowered") {
		t.Errorf("%+v (night %v %s)", f, n.Outcome, n.Reason)
	}
	if err := Recompute(n); err != nil {
		t.Error(err)
	}
}

func TestCanary(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*toyCanary)
		want Outcome
		says string
	}{
		"harm":     {func(k *toyCanary) { k.harmFrom = .25 }, Fail, "rolled back"},
		"rehearse": {func(k *toyCanary) { k.refuse = "rehearse" }, Fail, "rehearsed rollback"},
		"widen":    {func(k *toyCanary) { k.refuse = "widen" }, Invalid, "widening"},
		"fine":     {func(*toyCanary) {}, Pass, "no harm"},
	} {
		d := newToy(.01, 11)
		j := d.judge(t, 11)
		var k *toyCanary
		j.StartCanary = d.startCanary(func(x *toyCanary) { k = x; c.set(x) })
		// accuracy decides, so the canary is where time is watched
		n, v, err := j.Night(t.Context(), []Candidate{d.candidate(t, "right", benchmarks.Point{"gain": .15})})
		if err != nil {
			t.Fatal(err)
		}
		var f Finding
		for _, x := range v[0].Findings {
			if x.Gate == GateCanary {
				f = x
			}
		}
		if f.Outcome != c.want || !strings.Contains(f.Reason, c.says) {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		if (k.rolledBack != "") != (c.want != Pass) || !k.closed || k.rehearsed != 1 {
			t.Errorf("%s: rolled back %q, closed %v, rehearsed %d", name, k.rolledBack, k.closed, k.rehearsed)
		}
		if c.want == Pass && len(k.shares) != len(j.Policy.CanaryStages) {
			t.Errorf("%s: stages %v", name, k.shares)
		}
		t.Logf("%s: %d pairs, %s", name, len(n.Candidates[0].Canary.Pairs), f.Reason)
		if err := Recompute(n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing is better: over many seeded nights nothing is promoted as better.
func TestNullsAreNeverPromoted(t *testing.T) {
	nights := 4
	if testing.Short() {
		nights = 2
	}
	promoted, better, found := 0, 0, 0
	for s := range nights {
		d := newToy(.01, uint64(100+s))
		j := d.judge(t, seed.Root(100+s))
		j.Policy.CVaRSeeds = 0
		cs := []Candidate{d.reference(t, "fast")}
		for i := range 6 { // different points, equal behaviour
			cs = append(cs, d.candidate(t, "fast", benchmarks.Point{"id": float64(i)}))
		}
		cs = append(cs, d.candidate(t, "fast", benchmarks.Point{"speed": .95}))
		n, v, err := j.Night(t.Context(), cs)
		if err != nil {
			t.Fatal(err)
		}
		if n.Outcome != Pass {
			t.Errorf("night %d: %s", s, n.Reason)
			continue
		}
		if !v[0].Passed(GateRegression) {
			t.Errorf("night %d: the reference: %+v", s, last(v[0]))
		}
		for _, x := range v[1:7] {
			if x.Passed(GateRegression) {
				promoted++
			}
		}
		better++
		if v[7].Passed(GateRegression) {
			found++
		}
	}
	if promoted > 0 || found < better {
		t.Errorf("%d nulls promoted, %d of %d better ones found", promoted, found, better)
	}
}
