package runtime

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

// TestALogOfLongAgoReplays reads an event log that was committed once: a change
// that makes old logs decide otherwise must be a decision, made with -update.
func TestALogOfLongAgoReplays(t *testing.T) {
	golden := filepath.Join("testdata", "events.log")
	if *update {
		fresh := filepath.Join(t.TempDir(), "events.log")
		writeStory(t, fresh)
		b, err := os.ReadFile(fresh)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done, err := ReplayFile(golden)
	if err != nil || done.Outputs < 60 || done.Seed != 7 {
		t.Fatalf("%+v, %v", done, err)
	}
}

// writeStory logs two releases, a canary that is widened and one that harms, a
// guardrail, knobs that move, the kill switch and its end.
func writeStory(t *testing.T, path string) {
	t.Helper()
	log, err := ledger.Create(path, ledger.Header{Purpose: LogPurpose, Seed: 7}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := toyConfig()
	cfg.Log = log
	rt := openToy(t, cfg)
	tier2, err := NewAdaptation(rt, AdaptConfig{Knobs: true})
	if err != nil {
		t.Fatal(err)
	}
	x := rt.Executor()
	for tick := Tick(1); tick <= 40; tick++ {
		switch tick {
		case 3:
			propose(rt, tick, cBurst, idUntold, RampAuto)
		case 14:
			x.Snapback(cLow, ReasonOperator, tick)
		case 20:
			if err := rt.adopt(context.Background(), toyRelease(2), manifestOf(toyRelease(2)), nil); err != nil {
				t.Fatal(err)
			}
		case 25:
			rt.Kill(ReasonOperator)
		case 28:
			if err := x.Revive(tick); err != nil {
				t.Fatal(err)
			}
		}
		w := window(tick)
		for _, c := range []Class{cLow, cBurst} {
			for id := idBase; id <= idUntold; id++ {
				accuracy := .9
				if tick == 33 && id == idFast {
					accuracy = .5
				}
				cost := 90.0
				if id == idFast {
					cost = 60 + float64(tick%3)
				}
				w.Cells = append(w.Cells, seen(c, id, cost, accuracy, 100)...)
			}
		}
		tier2.Cycle(w)
	}
	if err := x.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
