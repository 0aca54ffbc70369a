package gates

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

func TestAlphaLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alpha.ledger")
	c := Charge{Run: "a", Year: 2026, Alpha: .004, K: 10, Candidates: "sha256:x"}
	first, err := Take(t.Context(), path, Budget{Alpha: .01}, c)
	if err != nil {
		t.Fatal(err)
	}
	if first.Nights != 1 || first.Spent != .004 || math.Abs(first.Bar-2500) > 1e-9 || math.Abs(first.LogBar-math.Log(2500)) > 1e-12 {
		t.Errorf("first charge: %+v", first)
	}
	if again, err := Take(t.Context(), path, Budget{Alpha: .01}, c); err != nil || again != first {
		t.Errorf("the same night was charged twice: %+v, %v", again, err)
	}
	rerun := c
	rerun.Candidates = "sha256:y" // registered anew: new alpha
	if a, err := Take(t.Context(), path, Budget{Alpha: .01}, rerun); err != nil || a.Nights != 2 {
		t.Errorf("a rerun: %+v, %v", a, err)
	}
	third := c
	third.Run = "c"
	if _, err := Take(t.Context(), path, Budget{Alpha: .01}, third); !errors.Is(err, ErrAlphaSpent) {
		t.Errorf("past the budget: %v", err)
	}
	third.Year = 2027
	if a, err := Take(t.Context(), path, Budget{Alpha: .01}, third); err != nil || a.Nights != 1 {
		t.Errorf("a new year: %+v, %v", a, err)
	}
	if again, err := Take(t.Context(), path, Budget{Alpha: .01}, c); err != nil || again != first {
		t.Errorf("a resumed night after others: %+v, %v", again, err)
	}
}

func TestAlphaLedgerDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alpha.ledger")
	for _, run := range []string{"a", "b"} {
		if _, err := Take(t.Context(), path, Budget{Alpha: .1}, Charge{Run: run, Alpha: .01, K: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1 // inside the first charge
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), path, Budget{Alpha: .1}, Charge{Run: "c", Alpha: .01, K: 1}); !errors.Is(err, ledger.ErrCorrupt) {
		t.Errorf("a damaged ledger: %v", err)
	}
	foreign := filepath.Join(t.TempDir(), "x")
	l, err := ledger.Create(foreign, ledger.Header{Purpose: "else"}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), foreign, Budget{Alpha: .1}, Charge{Run: "c", Alpha: .01, K: 1}); !errors.Is(err, ledger.ErrForeign) {
		t.Errorf("a foreign ledger: %v", err)
	}
}

// Many nights at once: the budget covers five, exactly five get it.
func TestAlphaLedgerConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alpha.ledger")
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := Take(t.Context(), path, Budget{Alpha: .05}, Charge{Run: string(rune('a' + i)), Alpha: .01, K: 1})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				granted++
			case !errors.Is(err, ErrAlphaSpent):
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if granted != 5 {
		t.Errorf("%d nights got alpha, the budget covers 5", granted)
	}
}
