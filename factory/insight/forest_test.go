package insight

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/internal/seed"
)

// The effects of a tree are those that sums over a fine grid give.
func TestEffectsAgreeWithAGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seed.Stream(seed.Root(rapid.Uint64().Draw(t, "seed")), "insight/test")
		const n, d, side = 40, 3, 8
		x, y := make([][]float64, n), make([]float64, n)
		for i := range x {
			for range d { // on a coarse lattice, so that cuts fall on the grid's lines
				x[i] = append(x[i], (float64(rng.IntN(side))+.5)/side)
			}
			y[i] = x[i][0]*x[i][1] + rng.Float64()
		}
		leaves := growForest(x, y, rng)[0].leaves(d)
		value := func(a, b, c int) float64 {
			p := []float64{(float64(a) + .5) / (2 * side), (float64(b) + .5) / (2 * side), (float64(c) + .5) / (2 * side)}
			for _, l := range leaves {
				inside := true
				for f := range p {
					inside = inside && p[f] >= l.lo[f] && p[f] < l.hi[f]
				}
				if inside {
					return l.value
				}
			}
			t.Fatalf("no leaf holds %v", p)
			return 0
		}
		const m = 2 * side
		mean, total, square := 0.0, 0.0, 0.0
		main, joint := make([]float64, m), make([]float64, m*m)
		for a := range m {
			for b := range m {
				for c := range m {
					v := value(a, b, c)
					mean += v / (m * m * m)
					square += v * v / (m * m * m)
					main[b] += v / (m * m)
					joint[a*m+b] += v / m
				}
			}
		}
		total = square - mean*mean
		wantMain, wantJoint := 0.0, 0.0
		for b := range m {
			wantMain += (main[b] - mean) * (main[b] - mean) / m
			for a := range m {
				wantJoint += (joint[a*m+b] - mean) * (joint[a*m+b] - mean) / (m * m)
			}
		}
		gotMean, gotTotal := variance(leaves)
		for name, pair := range map[string][2]float64{
			"mean": {gotMean, mean}, "variance": {gotTotal, total},
			"main effect": {mainEffect(leaves, gotMean, 1), wantMain}, "joint effect": {jointEffect(leaves, gotMean, 0, 1), wantJoint},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 {
				t.Fatalf("%s is %v, the grid says %v", name, pair[0], pair[1])
			}
		}
	})
}

// A loss that depends on two knobs, one through the other, and on nothing else.
func TestImportanceNamesTheKnobsThatMatter(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "idle", Kind: benchmarks.Float, Max: 1},
		{Name: "speed", Kind: benchmarks.Float, Max: 1},
		{Name: "mode", Kind: benchmarks.Categorical, Choices: []string{"a", "b", "c"}},
		{Name: "order", Kind: benchmarks.Permutation, Choices: []string{"x", "y", "z"}},
	}}
	rng := seed.Stream(1, "insight/test/importance")
	var seen []factory.Observation
	for range 400 {
		p := space.Sample(rng)
		loss := 3 * p["speed"].(float64)
		if p["mode"] == "b" {
			loss = 2 - loss
		}
		seen = append(seen, factory.Observation{Point: p, Loss: loss + .1*rng.Float64()})
	}
	got := importanceOf(space, seen, 1, "c")
	if got.Explained < .8 || got.Knobs[0].Knob != "speed" && got.Knobs[0].Knob != "mode" || got.Pairs[0].Knobs != [2]string{"speed", "mode"} && got.Pairs[0].Knobs != [2]string{"mode", "speed"} {
		t.Errorf("%+v", got)
	}
	if got.Pairs[0].Share < 5*got.Pairs[1].Share {
		t.Errorf("the interaction does not stand out: %+v", got.Pairs)
	}
	for _, k := range got.Knobs[2:] {
		if k.Share > .05 {
			t.Errorf("%s explains %v", k.Knob, k.Share)
		}
	}
	// What does not depend on anything is said to be so.
	for i := range seen {
		seen[i].Loss = rng.Float64()
	}
	if none := importanceOf(space, seen, 1, "c"); none.Explained > .1 {
		t.Errorf("noise is explained: %v", none.Explained)
	}
	for i := range seen {
		seen[i].Loss = math.Inf(1)
	}
	if importanceOf(space, seen, 1, "c") != nil || importanceOf(space, seen[:10], 1, "c") != nil {
		t.Error("nothing to tell apart, and yet an importance")
	}
}

func TestAskedWords(t *testing.T) {
	for want, e := range map[string]Engine{
		"1,200":                                 {Asked: 1200},
		"17 of 30":                              {Asked: 17, Budget: 30},
		"30 of 30":                              {Asked: 30, Budget: 30},
		"33: its 30 and 3 that a proposer left": {Asked: 33, Budget: 30},
	} {
		if got := e.askedWords(); got != want {
			t.Errorf("asked %d with a budget of %d: %q, want %q", e.Asked, e.Budget, got, want)
		}
	}
}
