package gates

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/ledger"
)

// A machine that is suddenly far louder than in its earlier nights makes the
// night INVALID and says what to do; one that stays so gets a new history.
func TestNoiseHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "noise.ledger")
	night := func(i int, noise float64) Night {
		t.Helper()
		d := newToy(noise, uint64(100+i))
		j := d.judge(t, 61)
		j.NoisePath, j.Run, j.StartCanary = path, fmt.Sprintf("toy-%04d", i), nil
		j.Policy.Robustness, j.Policy.ControlDelay = nil, .3
		n, _, err := j.Night(t.Context(), []Candidate{d.candidate(t, "small", benchmarks.Point{"bytes": 250.0})})
		if err != nil {
			t.Fatal(err)
		}
		if err := Recompute(n); err != nil {
			t.Errorf("night %d: %v", i, err)
		}
		e := evidence{}
		if _, err := Verify(e.encode(t, n), Beside{GatesLedger: j.LedgerPath, AlphaLedger: j.AlphaPath}); err != nil {
			t.Errorf("night %d: %v", i, err)
		}
		if err := j.writeHistory(t.Context()); err != nil { // a resumed night says it once
			t.Fatal(err)
		}
		return n
	}
	for i := range historyFew {
		if n := night(i, .01); n.Outcome != Pass || n.NoiseHistory == nil {
			t.Fatalf("night %d: %s: %s", i, n.Outcome, n.Reason)
		}
	}
	var past []noiseRecord
	if _, err := ledger.Read(path, noiseVisit(&past)); err != nil || len(past) != historyFew {
		t.Fatalf("%d nights remembered, %v", len(past), err)
	}
	if n := night(20, .012); n.Outcome != Pass {
		t.Errorf("a usual night: %s: %s", n.Outcome, n.Reason)
	}
	for i := range newNormal {
		n := night(30+i, .1)
		if n.Outcome != Invalid || !strings.Contains(n.Reason, "earlier nights had") || !strings.Contains(n.Reason, "judge again") {
			t.Errorf("ten times as loud: %s: %s", n.Outcome, n.Reason)
		}
	}
	if n := night(40, .1); n.Outcome != Pass {
		t.Errorf("%d nights like this one are a new history: %s: %s", newNormal, n.Outcome, n.Reason)
	}
}

func TestUsualNoise(t *testing.T) {
	low, high := (PastNoise{SD: []float64{.01, .01, .01, .01, .01, .01, .01, .01}}).usual()
	if low < .002 || low > .003 || high < .03 || high > .05 {
		t.Errorf("[%v, %v]", low, high)
	}
	if low, high := (PastNoise{SD: make([]float64, 8)}).usual(); !finite(low) || !finite(high) {
		t.Errorf("no noise at all: [%v, %v]", low, high)
	}
}

func FuzzNoiseRecords(f *testing.F) {
	f.Add([]byte(`{"run":"a","sd":{"x":1e308}}`), uint16(1))
	f.Fuzz(func(_ *testing.T, b []byte, kind uint16) {
		var past []noiseRecord
		if noiseVisit(&past)(ledger.Record{Kind: kind, Payload: b}) == nil {
			historyOf(past, noiseRecord{Run: "b"})
		}
	})
}

// Identical builds are rarely called different and a delay is found.
func TestSelftest(t *testing.T) {
	d := newToy(.01, 71)
	j := d.judge(t, 71)
	r, err := j.Selftest(context.Background(), 10, 80, 20, .01, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.False > 0 || r.FalseOne > 3 || r.Found < 9 || r.Pairs < 8 {
		t.Errorf("%+v", r)
	}
	if _, err := j.Selftest(context.Background(), 0, 80, 20, .01, nil); err == nil {
		t.Error("no runs were run")
	}
}
