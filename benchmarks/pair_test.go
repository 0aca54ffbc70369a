package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

// recorder writes down who was measured with what.
type recorder struct {
	name   string
	log    *[]string
	values map[string]float64
	items  map[string][]float32
	err    error
}

func (r recorder) Measure(_ context.Context, q Request) ([]Sample, error) {
	*r.log = append(*r.log, fmt.Sprintf("%s %d", r.name, q.Seed))
	return []Sample{{Values: r.values, Items: r.items}}, r.err
}
func (recorder) Check(context.Context, uint64) ([]Check, error) { return nil, nil }
func (recorder) Close() error                                   { return nil }

func TestPairsAreInterleavedInTheOrderOfTheCoin(t *testing.T) {
	d := gzipDescription()
	good := map[string]float64{"ns": 1, "ratio": 2}
	run := func() ([]string, []Pair) {
		var log []string
		a, b := recorder{name: "a", log: &log, values: good}, recorder{name: "b", log: &log, values: good}
		p := NewPairer(d)
		p.Spin = func() int64 { log = append(log, "spin"); return 100 }
		var pairs []Pair
		for i := range 20 {
			pair, err := p.MeasurePair(t.Context(), 1, "cand", i, a, b, Request{Scenario: "small", Seed: 5, Fidelity: 1})
			if err != nil {
				t.Fatal(err)
			}
			pairs = append(pairs, pair)
		}
		return log, pairs
	}
	log, pairs := run()
	again, _ := run()
	if !slices.Equal(log, again) {
		t.Error("two runs with one seed measured differently")
	}
	log = log[5+8:] // the burn-in pair and the calibration
	seeds := map[string]bool{}
	for i, pair := range pairs {
		if pair.Index != i || pair.BFirst != seed.Coin(1, "pair/order/cand", uint64(i)) || pair.Marked {
			t.Fatalf("pair %d: %+v", i, pair)
		}
		mine := log[5*i : 5*i+5]
		first, second := "a", "b"
		if pair.BFirst {
			first, second = second, first
		}
		if mine[0] != "spin" || mine[2] != "spin" || mine[4] != "spin" || mine[1][:1] != first || mine[3][:1] != second {
			t.Fatalf("pair %d: %q", i, mine)
		}
		if mine[1][1:] != mine[3][1:] || seeds[mine[1][1:]] {
			t.Fatalf("pair %d: seeds %q, want one for both arms and a new one each pair", i, mine)
		}
		seeds[mine[1][1:]] = true
	}
	if bFirst := slices.IndexFunc(pairs, func(p Pair) bool { return p.BFirst }); bFirst < 0 {
		t.Error("the candidate never went first")
	}
}

func TestASlowSpinMarksThePair(t *testing.T) {
	var log []string
	in := recorder{log: &log, values: map[string]float64{"ns": 1, "ratio": 2}}
	spins := append(slices.Repeat([]int64{100}, 11), 100, 125, 100, 100, 100, 126, 90, 100, 100)
	p := NewPairer(gzipDescription())
	p.Spin = func() int64 { ns := spins[0]; spins = spins[1:]; return ns }
	for i, marked := range []bool{false, true, false} {
		pair, err := p.MeasurePair(t.Context(), 1, "c", i, in, in, Request{Scenario: "small"})
		if err != nil {
			t.Fatal(err)
		}
		if pair.Marked != marked {
			t.Errorf("pair %d with spins %v: marked %v", i, pair.CanaryNS, pair.Marked)
		}
	}
	if p.MinimumNS() != 90 {
		t.Errorf("minimum %d", p.MinimumNS())
	}
	if SpinNS() <= 0 {
		t.Error("the real spin takes no time")
	}
}

func TestAPairNeedsEveryMetricFinite(t *testing.T) {
	var log []string
	good := recorder{log: &log, values: map[string]float64{"ns": 1, "ratio": 2}}
	boom := errors.New("boom")
	for want, bad := range map[string]recorder{
		"candidate: metric ratio is missing":  {values: map[string]float64{"ns": 1}},
		"candidate: metric ns is NaN":         {values: map[string]float64{"ns": math.NaN(), "ratio": 1}},
		"candidate: metric ratio is +Inf":     {values: map[string]float64{"ns": 1, "ratio": math.Inf(1)}},
		"metric ratio, item 1: 11 is outside": {values: good.values, items: map[string][]float32{"ratio": {1, 11}}},
		"items of ns":                         {values: good.values, items: map[string][]float32{"ns": {1}}},
		"candidate: boom":                     {err: boom},
	} {
		bad.log = &log
		_, err := NewPairer(gzipDescription()).MeasurePair(t.Context(), 1, "c", 0, good, bad, Request{Scenario: "small"})
		if bad.err == nil && (err == nil || !strings.Contains(err.Error(), want)) || bad.err != nil && !errors.Is(err, boom) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	only := recorder{log: &log, values: map[string]float64{"ratio": 2}}
	r := Request{Scenario: "small", OnlyDeterministic: true}
	if _, err := NewPairer(gzipDescription()).MeasurePair(t.Context(), 1, "c", 0, good, only, r); err != nil {
		t.Errorf("deterministic alone: %v", err)
	}
	r.Repeats = 2
	if _, err := NewPairer(gzipDescription()).MeasurePair(t.Context(), 1, "c", 0, good, good, r); err == nil {
		t.Error("two repeats in a pair were accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewPairer(gzipDescription()).MeasurePair(ctx, 1, "c", 0, good, good, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAPairSurvivesJSON(t *testing.T) {
	in := Pair{Index: 3, BFirst: true, A: Sample{Values: map[string]float64{"ns": .1}},
		B: Sample{Values: map[string]float64{"ns": .2}, Items: map[string][]float32{"acc": {0, 1}}}, CanaryNS: [3]int64{1, 2, 3}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"index":3,"b_first":true,"a":{"values":{"ns":0.1}},"b":{"values":{"ns":0.2},"items":{"acc":[0,1]}},"canary_ns":[1,2,3]}`
	if string(b) != want {
		t.Errorf("got %s", b)
	}
}
