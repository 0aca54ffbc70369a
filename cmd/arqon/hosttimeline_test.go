package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/catalog"
)

// windowsOf makes windows of ten requests from values of one series.
func windowsOf(values []float64, variants ...catalog.VariantID) []windowResult {
	out := make([]windowResult, len(values))
	for i, v := range values {
		out[i] = windowResult{Tick: uint64(i + 1), Requests: 10, Variant: 1, Values: []float64{v}}
		if i < len(variants) {
			out[i].Variant = variants[i]
		}
	}
	return out
}

func TestRecovery(t *testing.T) {
	higher := []series{{name: "accuracy", higher: true}}
	lower := []series{{name: "latency"}}
	for _, c := range []struct {
		name   string
		list   []series
		values []float64
		served []catalog.VariantID
		want   recovery
		judged int
	}{
		{"at once", higher, []float64{.9, .9, .91, .9, .9, .91}, nil, recovery{Recovered: true}, 1},
		{"after two windows", higher, []float64{.1, .1, .9, .91, .9, .91, .9, .91, .9}, nil, recovery{true, 2, 20, 0, 0}, 1},
		{"better than it settles is no harm", higher, []float64{1, 1, .5, .5, .5, .5}, nil, recovery{Recovered: true}, 1},
		{"one good window among bad ones is luck", lower, []float64{9, 1, 9, 9, 1, 1, 1, 1, 1}, nil, recovery{true, 4, 40, 0, 0}, 1},
		{"it swings after it has recovered", higher, []float64{.1, .9, .9, .91, .9, .9}, []catalog.VariantID{1, 2, 2, 3, 2, 2}, recovery{true, 1, 10, 2, 0}, 1},
		{"traffic that comes in runs", higher, []float64{0, .1, .1, 0, 1, .4, .4, 1, 1, .4, .4, 1}, nil, recovery{true, 4, 40, 0, 0}, 2},
		{"nothing was served", higher, nil, nil, recovery{}, 1},
	} {
		if got := recoveryOf(windowsOf(c.values, c.served...), c.list, c.judged); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Windows are held to a limit together with those they are judged with, the
// rest of a phase with its last group; what even the best possible would break
// is told apart.
func TestLimitsHoldForWhatIsJudgedTogether(t *testing.T) {
	least := .4
	phase := func(values ...float64) []windowResult {
		ws := windowsOf(values)
		for i := range ws {
			ws[i].Limits = []windowLimit{{0, &least, nil}}
		}
		return ws
	}
	for _, c := range []struct {
		name   string
		values []float64
		judged int
		best   func(span) []float64
		broke  string // a letter a window: b(roke), o(ut of reach)
	}{
		{"each alone", []float64{.9, .1, .9, .3}, 1, nil, ".b.b"},
		{"runs of a scan among hits", []float64{.9, .1, .1, .9}, 2, nil, "...."},
		{"a bad group", []float64{.9, .9, .1, .3, .9, .9}, 2, nil, "..bb.."},
		{"the rest is judged with the last group", []float64{.9, .9, .9, .9, .1}, 2, nil, "....."},
		{"less than a group", []float64{.9, .1}, 8, nil, ".."},
		{"nothing could have been better", []float64{.1, .1, .1, .1}, 2, func(g span) []float64 { return []float64{.3 + float64(g.from)} }, "oobb"},
		{"nothing was served", nil, 8, nil, ""},
	} {
		ws := phase(c.values...)
		overLimit(ws, c.judged, c.best)
		got := ""
		for _, w := range ws {
			switch {
			case w.Broke:
				got += "b"
			case w.Beyond:
				got += "o"
			default:
				got += "."
			}
		}
		if got != c.broke {
			t.Errorf("%s: %s, want %s", c.name, got, c.broke)
		}
	}
}

// What a phase settles at is no recovery while it breaks a signed limit.
func TestRecoveryKeepsTheLimits(t *testing.T) {
	ws := windowsOf([]float64{.9, .2, .3, .9, .2, .9, .3, .9, .2})
	ws[1].Broke, ws[2].Broke, ws[4].Broke = true, true, true
	if got := recoveryOf(ws, []series{{name: "hit ratio", higher: true}}, 1); got != (recovery{true, 5, 50, 0, 0}) {
		t.Errorf("%+v", got)
	}
}

// The limits of a phase are those signed for its traffic, not for what the
// host took it for.
func TestAPhaseIsHeldToItsOwnLimits(t *testing.T) {
	low, high := .1, .6
	h := &hostRun{
		plan: plan{series: []series{{name: "hit_ratio", higher: true}}},
		limits: []catalog.Guardrail{
			{Metric: "hit_ratio", Context: "scan", Min: &low}, {Metric: "hit_ratio", Context: "recency", Min: &high},
			{Metric: "other", Min: &high},
		},
	}
	w := windowResult{Class: "recency", Values: []float64{.3}}
	h.limit(&w, "scan")
	if len(w.Limits) != 1 || w.Limits[0].Min != &low {
		t.Errorf("%+v", w.Limits)
	}
}

// A run is absorbed if every phase recovered and kept the limits from then on;
// windows over a limit before that are counted and named.
func TestTheVerdictOfARun(t *testing.T) {
	phase := func(broke ...int) *phaseResult {
		ws := windowsOf([]float64{.1, .1, .9, .91, .9, .91, .9, .91, .9})
		p := &phaseResult{Context: "shifted", Violations: len(broke)}
		for _, i := range broke {
			ws[i].Broke = true
		}
		p.Recovery = recoveryOf(ws, []series{{name: "accuracy", higher: true}}, 1)
		return p
	}
	lost := phase()
	lost.Recovery = recovery{}
	for _, c := range []struct {
		name     string
		run      runResult
		absorbed bool
		says     string
	}{
		{"quiet", runResult{Phases: []*phaseResult{phase()}}, true, "the slowest after 20 requests; 0 changes of variant after that; nothing dropped; no window over a signed limit"},
		{"over a limit until it reacts", runResult{Phases: []*phaseResult{phase(0, 1)}}, true, "only until the host had reacted: 2 windows in shifted"},
		{"out of reach", runResult{Phases: []*phaseResult{{Context: "scan", Recovery: recovery{Recovered: true}, Beyond: 8}}}, true, "out of anything's reach was a signed limit in 8 windows of scan"},
		{"over a limit later", runResult{Phases: []*phaseResult{phase(), phase(0, 7)}}, false, "shifted was over a signed limit in 1 window after it had recovered"},
		{"never again", runResult{Phases: []*phaseResult{lost}}, false, "shifted did not recover"},
		{"lost", runResult{Phases: []*phaseResult{phase()}, Dropped: 2}, false, "2 requests dropped, 0 snapshots torn"},
	} {
		if v := c.run.verdict(); v.Absorbed != c.absorbed || !strings.Contains(v.Text, c.says) {
			t.Errorf("%s: %+v, want %q", c.name, v, c.says)
		}
	}
}

func TestThinningKeepsTheBreaches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := windowsOf(rapid.SliceOfN(rapid.Float64Range(0, 1), 0, 300).Draw(t, "values"))
		broke := 0
		for i := range ws {
			if ws[i].Broke = rapid.Bool().Draw(t, "broke"); ws[i].Broke {
				broke = i + 1
			}
		}
		limit := rapid.IntRange(1, 100).Draw(t, "limit")
		got := thin(ws, limit)
		if len(got) > limit && len(ws) > limit {
			t.Fatalf("%d windows of %d, at most %d", len(got), len(ws), limit)
		}
		seen := false
		for _, w := range got {
			seen = seen || w.Broke
		}
		if seen != (broke > 0) {
			t.Fatalf("a breach at window %d of %d: seen is %v", broke, len(ws), seen)
		}
	})
}

// story of a run with a trip, for the forms that it is told in.
func storyOfARun() runResult {
	least := .5
	ws := windowsOf([]float64{.9, .3, .9, .9}, 2, 2, 1, 1)
	for i := range ws {
		ws[i].Limits = []windowLimit{{0, &least, nil}}
	}
	ws[1].Broke = true
	ws[2].Shadow = &shadowResult{Variant: 7, Values: []float64{.2}, shadowCount: shadowCount{Tried: 5}}
	return runResult{
		Shadowed: 1,
		Domain:   "infer", Channel: `staging"><script>`, Release: 3, Series: []string{"accuracy"}, Requests: 40, Trips: 1,
		series: []series{{name: "accuracy", header: "accuracy", unit: unitShare, higher: true}},
		Phases: []*phaseResult{{Context: "shifted", Requests: 40, Windows: ws, Facts: []fact{{"accuracy", "accuracy", unitShare, .75}}}},
		Events: []hostEvent{{2, eventGuardrail, "variant 2 broke a signed limit <b>"}},
		Facts:  []fact{{"entries", "entries", unitCount, 7}},
	}
}

func TestThePageDrawsTheRun(t *testing.T) {
	var b bytes.Buffer
	if err := storyOfARun().page(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for what, n := range map[string]int{"<svg ": 2, "<polyline": 2, `class="open"`: 2, "variant 7 in shadow": 1, `class="b-FAIL"`: 2, `class="l-limit"`: 4, "<script": 0, "<b>variant": 0, "limit <b>": 0} {
		if got := strings.Count(page, what); got != n {
			t.Errorf("%d times %q, want %d", got, what, n)
		}
	}
}

func TestTheFiguresOfADomainStandBesideTheHosts(t *testing.T) {
	b, err := json.Marshal(storyOfARun())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Entries  float64
		Requests int
		Phases   []struct {
			Context  string
			Accuracy float64
			Windows  []windowResult
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Entries != 7 || got.Requests != 40 || got.Phases[0].Accuracy != .75 || !got.Phases[0].Windows[1].Broke || *got.Phases[0].Windows[1].Limits[0].Min != .5 {
		t.Errorf("%s", b)
	}
}
