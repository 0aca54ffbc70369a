package worlds

import (
	"fmt"
	"os"
	"strconv"
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

// TestBanditTable prints the regret table of docs/runtime.md.
func TestBanditTable(t *testing.T) {
	n := seeds()
	if n == 0 {
		t.Skip("ARQON_WORLDS=10 go test ./runtime/adapt/worlds -run TestBanditTable -v")
	}
	const T = 20_000
	variants := []struct {
		name string
		c    adapt.BanditConfig
	}{{"arqon", adapt.BanditConfig{}}}
	if os.Getenv("ARQON_VARIANTS") != "" {
		variants = append(variants, []struct {
			name string
			c    adapt.BanditConfig
		}{
			{"ts4", adapt.BanditConfig{Finalist: 4}}, {"ucb1", adapt.BanditConfig{Policy: adapt.Optimist}},
			{"ucb.5", adapt.BanditConfig{Policy: adapt.Optimist, Explore: .5}}, {"ucb2", adapt.BanditConfig{Policy: adapt.Optimist, Explore: 2}},
			{"r1", adapt.BanditConfig{Ridge: 1}}, {"r16", adapt.BanditConfig{Ridge: 16}}, {"fixed", adapt.BanditConfig{Fixed: true}},
		}...)
	}
	fmt.Printf("%-20s", "world")
	for _, v := range variants {
		fmt.Printf(" %12s", v.name)
	}
	for _, p := range Peers(0) {
		fmt.Printf(" %12s", p.Name())
	}
	fmt.Println("   ratio  violations  ineligible")
	for _, w := range Bandits() {
		var own []Score
		peers := make([]Score, len(Peers(0)))
		for i, v := range variants {
			own = append(own, Score{})
			for s := range n {
				c := v.c
				c.Seed = s
				own[i].add(w.Run(newArqon(t, c), s+1, T))
			}
		}
		for s := range n {
			for i, p := range Peers(s) {
				peers[i].add(w.Run(p, s+1, T))
			}
		}
		fmt.Printf("%-20s", w.Name)
		best := peers[0].Regret
		for _, o := range own {
			fmt.Printf(" %12.0f", o.Regret/float64(n))
		}
		for _, p := range peers {
			fmt.Printf(" %12.0f", p.Regret/float64(n))
			best = min(best, p.Regret)
		}
		fmt.Printf("   %5.2f  %8.4f %%  %d\n", own[0].Regret/best, 100*float64(own[0].Violations)/float64(n)/T, own[0].Ineligible)
	}
}

func (s *Score) add(o Score) {
	s.Regret += o.Regret
	s.Violations += o.Violations
	s.Ineligible += o.Ineligible
}

func TestTheBanditBeatsTheTextbook(t *testing.T) {
	const T = 4000
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
