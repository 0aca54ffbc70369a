package insight

import (
	"math"
	"math/rand/v2"
	"sort"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/internal/plot"
	"github.com/arqon/arqon/internal/seed"
)

// Importance says which knobs the search's results depend on.
type Importance struct {
	Method string `json:"method"`
	Points int    `json:"points"` // what the forest was grown on
	// Explained is the share of the variance of the ranks that the forest
	// predicts at points it has not seen; below 0.3 the shares mean little.
	Explained float64       `json:"explained"`
	Knobs     []KnobShare   `json:"knobs"` // most important first
	Pairs     []SharedKnobs `json:"pairs,omitempty"`
}

// KnobShare is the share of the forest's variance that a knob alone explains.
type KnobShare struct {
	Knob  string  `json:"knob"`
	Share float64 `json:"share"`  // mean over the trees
	Error float64 `json:"spread"` // standard deviation over the trees
}

// SharedKnobs is what two knobs explain together beyond what each does alone.
type SharedKnobs struct {
	Knobs [2]string `json:"knobs"`
	Share float64   `json:"share"`
}

// method is how importance is found; every page says so.
const method = "functional ANOVA of a random forest (Hutter, Hoos & Leyton-Brown, ICML 2014) over the ranks of the losses"

const (
	importanceMin = 24 // points; fewer say nothing
	pairedKnobs   = 4  // the most important ones whose interactions are looked at
	pairsShown    = 3
)

// importanceOf needs at least importanceMin distinct search measurements of the
// context that are not all alike; else nil.
//
// The response is the rank of the loss, from 0 (best) to 1, ties at their mean:
// a failure is worst but not infinitely so, and one very bad point does not
// carry all the variance. A knob that is switched off gets a random value, so
// that it cannot stand for the knob that switches it. The marginals are over
// the whole cube, while searches look most at good places: a knob can be
// decisive far away from them.
func importanceOf(space benchmarks.Space, seen []factory.Observation, root uint64, context string) *Importance {
	var x [][]float64
	var losses []float64
	fill := seed.Stream(seed.Root(root), "insight/inactive/"+context)
	for _, o := range seen {
		if !o.Cached {
			x, losses = append(x, encoded(space, o.Point, fill)), append(losses, o.Loss)
		}
	}
	if len(x) > pointsMax {
		var few [][]float64
		var fewLosses []float64
		for _, i := range plot.Thin(len(x), pointsMax) {
			few, fewLosses = append(few, x[i]), append(fewLosses, losses[i])
		}
		x, losses = few, fewLosses
	}
	y := ranks(losses)
	if len(y) < importanceMin || y == nil {
		return nil
	}
	forest := growForest(x, y, seed.Stream(seed.Root(root), "insight/forest/"+context))
	out := &Importance{Method: method, Points: len(y), Explained: explained(forest, x, y)}
	mains := make([][]float64, treesMax)
	var kept [][]leaf
	for t, tr := range forest {
		leaves := tr.leaves(len(x[0]))
		kept = append(kept, leaves)
		mains[t] = mainShares(leaves, len(x[0]))
	}
	at := 0
	first := map[string]int{} // a knob's coordinate, for pairs
	for _, p := range space.Parameters {
		width := p.Width()
		shares := make([]float64, treesMax)
		for t := range mains {
			for k := range width {
				shares[t] += mains[t][at+k] // of a permutation, its items' places added up
			}
		}
		mean, spread := meanAndSpread(shares)
		out.Knobs = append(out.Knobs, KnobShare{Knob: p.Name, Share: mean, Error: spread})
		if width == 1 {
			first[p.Name] = at
		}
		at += width
	}
	sort.SliceStable(out.Knobs, func(i, j int) bool { return out.Knobs[i].Share > out.Knobs[j].Share })
	out.Pairs = pairsOf(kept, mains, out.Knobs, first)
	return out
}

// encoded is a point in the unit cube, random where a knob is inactive.
func encoded(space benchmarks.Space, p benchmarks.Point, fill *rand.Rand) []float64 {
	u := space.Encode(p)
	at := 0
	for _, q := range space.Parameters {
		_, active := p[q.Name]
		for range q.Width() {
			if !active {
				u[at] = fill.Float64()
			}
			at++
		}
	}
	return u
}

// mainShares are the main effects as shares of the tree's variance.
func mainShares(leaves []leaf, d int) []float64 {
	out := make([]float64, d)
	mean, total := variance(leaves)
	if total <= 0 {
		return out
	}
	for f := range out {
		out[f] = mainEffect(leaves, mean, f) / total
	}
	return out
}

func pairsOf(kept [][]leaf, mains [][]float64, knobs []KnobShare, at map[string]int) []SharedKnobs {
	var out []SharedKnobs
	for i := range min(pairedKnobs, len(knobs)) {
		for j := range i {
			f, fine := at[knobs[j].Knob]
			g, fine2 := at[knobs[i].Knob]
			if !fine || !fine2 {
				continue
			}
			sum := 0.0
			for t, leaves := range kept {
				if mean, total := variance(leaves); total > 0 {
					sum += math.Max(0, jointEffect(leaves, mean, f, g)/total-mains[t][f]-mains[t][g])
				}
			}
			out = append(out, SharedKnobs{Knobs: [2]string{knobs[j].Knob, knobs[i].Knob}, Share: sum / float64(len(kept))})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Share > out[j].Share })
	return out[:min(len(out), pairsShown)]
}

// ranks are the places of the losses from 0 to 1; nil if all are alike.
func ranks(losses []float64) []float64 {
	n := len(losses)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return losses[order[i]] < losses[order[j]] })
	if n < 2 || losses[order[0]] == losses[order[n-1]] {
		return nil
	}
	out := make([]float64, n)
	for i := 0; i < n; {
		j := i
		for j+1 < n && losses[order[j+1]] == losses[order[i]] {
			j++
		}
		for k := i; k <= j; k++ {
			out[order[k]] = float64(i+j) / 2 / float64(n-1)
		}
		i = j + 1
	}
	return out
}

func meanAndSpread(x []float64) (mean, spread float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		spread += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(spread / float64(max(len(x)-1, 1)))
}
