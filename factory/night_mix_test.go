package factory

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/arqon/arqon/factory/roster"
)

// A night whose study names no engines splits its budget by what they find:
// the whole budget is spent, CatCMA takes part because there are choices, and
// neither workers nor an interruption change a byte.
func TestANightWithoutEnginesOfItsOwn(t *testing.T) {
	names := "engines:\n  - {name: ga, share: 2}\n  - {name: sweep, share: 1}\n"
	night := func(path, workers string) Search {
		cfg := discovery(t, &toy{}, toyStudy(t, names, "", "workers: 2", "workers: "+workers), path)
		cfg.Engines = roster.Engines()
		found, err := Discover(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	dir := t.TempDir()
	one := night(filepath.Join(dir, "1"), "1")
	spent := map[string]int{}
	for _, trial := range one.Trials {
		spent[trial.Engine]++
	}
	if len(one.Trials) != 240 || spent["catcma"] == 0 || spent["ga"] == 0 || spent["sweep"] == 0 || spent["cma"] > 0 {
		t.Errorf("%d trials: %v", len(one.Trials), spent)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "1"))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, whole[:len(whole)*2/3], 0o644); err != nil {
		t.Fatal(err)
	}
	for path, workers := range map[string]string{filepath.Join(dir, "8"): "8", cut: "2"} {
		night(path, workers)
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, whole) {
			t.Errorf("%s workers leave another journal (%v)", workers, err)
		}
	}
}
