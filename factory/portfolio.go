package factory

import (
	"math"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/gates"
)

// portfolioMax is how many variants a portfolio holds at most: what a runtime
// keeps warm, not what a release may hold.
const portfolioMax = 8

// choosePortfolio picks the variants that together serve the contexts best.
//
// The value of a set S is Σ_c max(0, max_{x∈S} −loss(x, c)): in each context
// the runtime takes the best member that is inside the limits, or stays with
// the baseline. The function is monotone and submodular, so the greedy choice
// reaches at least 1−1/e of the best set of its size (Nemhauser, Wolsey and
// Fisher 1978). It stops when nothing is left to gain.
//
// gapClosed is (value(S) − value(single best)) / (value(all) − value(single
// best)), and 1 where a single variant is best everywhere. The numbers are the
// search's own; gates judge each variant by fresh ones.
func choosePortfolio(losses [][]float64, k int) (chosen []int, gapClosed float64) {
	if len(losses) == 0 {
		return nil, 1
	}
	contexts := len(losses[0])
	have := make([]float64, contexts)
	single := 0.0
	for len(chosen) < k {
		best, gain := -1, 1e-12
		for x, row := range losses {
			g := 0.0
			for c, l := range row {
				g += math.Max(0, utility(l)-have[c])
			}
			if g > gain {
				best, gain = x, g
			}
		}
		if best < 0 {
			break
		}
		chosen = append(chosen, best)
		for c, l := range losses[best] {
			have[c] = math.Max(have[c], utility(l))
		}
		if len(chosen) == 1 {
			single = sum(have) // the greedy first choice is the single best
		}
	}
	all := make([]float64, contexts)
	for _, row := range losses {
		for c, l := range row {
			all[c] = math.Max(all[c], utility(l))
		}
	}
	if gap := sum(all) - single; gap > 1e-12 {
		return chosen, (sum(have) - single) / gap
	}
	return chosen, 1
}

// utility is what a variant saves against the baseline; nothing if it is worse
// or outside the limits.
func utility(loss float64) float64 {
	if loss < 0 {
		return -loss
	}
	return 0
}

func sum(x []float64) float64 {
	t := 0.0
	for _, v := range x {
		t += v
	}
	return t
}

// Portfolio chooses among the search's finalists. names and identities belong
// to Search.Points, in order.
func (s Search) Portfolio(names []string, identities []artifacts.Digest) gates.Portfolio {
	losses := make([][]float64, len(s.Matrix))
	for r, row := range s.Matrix {
		for _, o := range row {
			losses[r] = append(losses[r], o.Loss)
		}
	}
	chosen, gap := choosePortfolio(losses, portfolioMax)
	out := gates.Portfolio{
		GapClosed: gap, Chosen: []gates.PortfolioPick{}, Contexts: []string{},
		Note: "losses of the search, measured afresh: 0 is the baseline, −1 the most, above 1 outside a limit",
	}
	for _, sc := range s.Description.Scenarios {
		out.Contexts = append(out.Contexts, sc.Name)
	}
	for _, x := range chosen {
		pick := gates.PortfolioPick{Name: names[x], Identity: identities[x]}
		for _, l := range losses[x] {
			if math.IsInf(l, 0) || math.IsNaN(l) {
				pick.Losses = append(pick.Losses, nil)
				continue
			}
			pick.Losses = append(pick.Losses, &l)
		}
		out.Chosen = append(out.Chosen, pick)
	}
	return out
}
