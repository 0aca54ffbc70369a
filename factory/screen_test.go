package factory

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

// The context "memory" searches for bytes, which are deterministic, and
// guards the cost, which is measured: the search cannot see that the smallest
// packing costs twice as much. Finalists that do are left out, the next best
// points take their places, and a replay decides the same without measuring.
func TestFinalistsBeyondAMeasuredGuardrailLeave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	st := toyStudy(t, "seed: 7", "seed: 9", "evaluations: 240", "evaluations: 80", "domain: toy", "domain: toy\ncontexts: [memory]")
	found, journal, candidates := searched(t, &toy{measured: true, strict: true}, st, path)
	if len(found.Finalists[0]) == 0 {
		t.Fatal("nobody is left")
	}
	for _, o := range found.Finalists[0] {
		x := o.Point["threshold"].(float64)
		if cost := .1 + .9*x*x; o.Point["packing"] == "tight" && 2*cost > 1.05*1.02 || o.Point["packing"] == "half" && 1.1*cost > 1.05*1.02 {
			t.Errorf("%v costs more than the tolerance", o.Point)
		}
	}
	left := screenedIn(t, path, true)
	if len(left) != 4 || left[0].Failed != "cost is beyond the tolerance 0.05 in each of 5 pairs beside the baseline" || left[0].Values != nil || left[0].Change != nil {
		t.Errorf("who left: %+v", left)
	}
	again := &toy{measured: true, strict: true}
	if _, j, c := searched(t, again, st, path); !bytes.Equal(j, journal) || !bytes.Equal(c, candidates) || again.measures.Load() != 0 {
		t.Error("a replay differs or measured")
	}
	// Killed between two looks: what was seen stays seen.
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, journal[:bytes.LastIndex(journal, []byte("is beyond the tolerance"))], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Discover(t.Context(), discovery(t, &toy{measured: true, strict: true}, st, cut)); err != nil {
		t.Fatal(err)
	}
	if got := screenedIn(t, cut, true); got[0].Failed != left[0].Failed {
		t.Errorf("looked again: %q, before the kill %q", got[0].Failed, left[0].Failed)
	}
}

// Within a wide tolerance everybody stays, and the candidates are those of a
// search that never looked: the same seed, the same bytes.
func TestALookAtGuardrailsChangesNothingWithinThem(t *testing.T) {
	st := toyStudy(t, "evaluations: 240", "evaluations: 80", "domain: toy", "domain: toy\ncontexts: [memory]")
	path := filepath.Join(t.TempDir(), "j")
	blind, _, _ := searched(t, &toy{}, st, filepath.Join(t.TempDir(), "blind"))
	seen, _, _ := searched(t, &toy{measured: true}, st, path)
	if len(screenedIn(t, path, false)) != st.Candidates || len(screenedIn(t, path, true)) != 0 {
		t.Errorf("looked at %+v", screenedIn(t, path, false))
	}
	for i, o := range blind.Finalists[0] {
		if got := seen.Finalists[0][i]; string(got.Point.Canonical()) != string(o.Point.Canonical()) {
			t.Errorf("finalist %d is %v, without looking %v", i, got.Point, o.Point)
		}
	}
}

// screenedIn lists the looks that a journal holds; only those at finalists
// that left, if so asked.
func screenedIn(t *testing.T, path string, left bool) (out []measureRecord) {
	t.Helper()
	_, err := ledger.Read(path, func(r ledger.Record) error {
		if r.Kind != kindScreen {
			return nil
		}
		var m measureRecord
		if err := json.Unmarshal(r.Payload, &m); err != nil {
			return err
		}
		if m.Failed != "" || !left {
			out = append(out, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
