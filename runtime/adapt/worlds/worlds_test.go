package worlds

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/arqon/arqon/runtime/adapt"
)

// arqon puts the bandit of runtime/adapt behind the interface of these worlds.
type arqon struct{ b *adapt.Bandit }

func newArqon(t testing.TB, c adapt.BanditConfig) arqon {
	t.Helper()
	c.Arms, c.Dim, c.LimitMS = ArmCount, FeatureDim, LimitMS
	b, err := adapt.NewBandit(c)
	if err != nil {
		t.Fatal(err)
	}
	return arqon{b}
}

func (a arqon) Choose(t uint64, r Request) int {
	return a.b.Choose(t, r.X, r.Eligible, r.PredictedMS).Arm
}

func (a arqon) Reward(t uint64, k int, y, ms float64) { a.b.Reward(t, k, y, ms) }

// seeds is how many seeds the long tables take: ARQON_WORLDS, 0 if unset.
func seeds() uint64 {
	n, err := strconv.ParseUint(os.Getenv("ARQON_WORLDS"), 10, 16)
	if err != nil {
		return 0
	}
	return n
}

// first is the first of them: ARQON_FIRST, 0 if unset.
func first() uint64 {
	n, err := strconv.ParseUint(os.Getenv("ARQON_FIRST"), 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// TestBanditTable prints the regret table of docs/runtime.md.
func TestBanditTable(t *testing.T) {
	n := seeds()
	if n == 0 {
		t.Skip("ARQON_WORLDS=10 ARQON_FIRST=100 go test ./runtime/adapt/worlds -run TestBanditTable -v")
	}
	const T = 20_000
	fmt.Printf("%-20s %12s", "world", "arqon")
	for _, p := range Peers(0) {
		fmt.Printf(" %12s", p.Name())
	}
	fmt.Println("   ratio  violations  ineligible")
	for _, w := range append(Bandits(), Curves()...) {
		if only := os.Getenv("ARQON_WORLD"); only != "" && !strings.Contains(w.Name, only) {
			continue
		}
		var own Score
		peers := make([]Score, len(Peers(0)))
		for s := first(); s < first()+n; s++ {
			own.add(w.Run(newArqon(t, adapt.BanditConfig{Seed: s}), s+1, T))
			for i, p := range Peers(s) {
				peers[i].add(w.Run(p, s+1, T))
			}
		}
		fmt.Printf("%-20s %12.0f", w.Name, own.Regret/float64(n))
		best := peers[0].Regret
		for _, p := range peers {
			fmt.Printf(" %12.0f", p.Regret/float64(n))
			best = min(best, p.Regret)
		}
		fmt.Printf("   %5.2f  %8.4f %%  %d\n", own.Regret/best, 100*float64(own.Violations)/float64(n)/T, own.Ineligible)
	}
}

func (s *Score) add(o Score) {
	s.Regret += o.Regret
	s.Violations += o.Violations
	s.Ineligible += o.Ineligible
}

func TestTheBanditBeatsTheTextbook(t *testing.T) {
	const T = 2000
	for _, w := range Bandits() {
		own, best := w.Run(newArqon(t, adapt.BanditConfig{Seed: 1}), 2, T), Score{Regret: 1e9}
		if again := w.Run(newArqon(t, adapt.BanditConfig{Seed: 1}), 2, T); again != own {
			t.Errorf("%s: %+v, then %+v", w.Name, own, again)
		}
		for _, p := range Peers(1) {
			if !p.linear && p.sample {
				continue // short worlds without features are Thompson's: see the table
			}
			if s := w.Run(p, 2, T); s.Regret < best.Regret {
				best = s
			}
		}
		if own.Ineligible != 0 || own.Violations > 6 || own.Regret > best.Regret {
			t.Errorf("%s: %+v, the best peer has regret %.0f", w.Name, own, best.Regret)
		}
	}
}
