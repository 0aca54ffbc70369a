package infer

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tinyModel assembles a model from random weights: no data, no training.
func tinyModel(t testing.TB, widths []int, c choices, root uint64) *Model {
	t.Helper()
	net := newNetwork(widths)
	rng := rand.New(rand.NewPCG(root, 1))
	for _, tensor := range net.tensors() {
		for i := range tensor {
			tensor[i] = rng.Float32()*0.4 - 0.2
		}
	}
	var stats [maxStages]layerStats
	for i, l := range net.hidden {
		for range l.cols {
			stats[i].mean = append(stats[i].mean, rng.Float32())
			stats[i].spread = append(stats[i].spread, 0.1+rng.Float32())
		}
		for range 100 {
			stats[i].out = append(stats[i].out, 4*rng.Float32())
		}
		slices.Sort(stats[i].out)
	}
	tr := &trained{net: net, stats: map[string]*[maxStages]layerStats{adapterNone: &stats}}
	c.adapter = adapterNone
	m, err := tr.assemble(&c)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := OpenModel(m.encode())
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func randomImages(n int, root uint64) [][pixels]byte {
	rng := rand.New(rand.NewPCG(root, 2))
	out := make([][pixels]byte, n)
	for k := range out {
		for i := range out[k] {
			if rng.IntN(2) == 0 {
				out[k][i] = byte(rng.UintN(256))
			}
		}
	}
	return out
}

func drawChoices(t *rapid.T) choices {
	share := rapid.Float64Range(0, 0.95)
	return choices{
		route:      rapid.SampledFrom([]string{routeCascade, routeEscalate, routeSmall}).Draw(t, "route"),
		precision:  rapid.SampledFrom([]string{precisionF32, precisionI8, precisionI4}).Draw(t, "precision"),
		prune:      [maxStages]float64{share.Draw(t, "p0"), 0, share.Draw(t, "p2")},
		quantile:   rapid.Float64Range(0.95, 1).Draw(t, "quantile"),
		thresholds: Thresholds{rapid.Float32Range(0.2, 1).Draw(t, "t0"), rapid.Float32Range(0.2, 1).Draw(t, "t1")},
	}
}

// Any model of any shape, width and precision agrees with the oracle, the
// invariants and its own file.
func TestAnyModelMatchesTheOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		widths := rapid.SliceOfN(rapid.IntRange(1, 20), 1, maxStages).Draw(rt, "widths")
		m := tinyModel(t, widths, drawChoices(rt), rapid.Uint64().Draw(rt, "weights"))
		images := randomImages(3, rapid.Uint64().Draw(rt, "images"))
		for name, check := range map[string]func(*Model, [][pixels]byte) string{
			"oracle": checkOracle, "round trip": checkRoundTrip, "twice": checkTwice,
			"probabilities": checkProbabilities, "monotone": checkMonotone,
		} {
			if wrong := check(m, images); wrong != "" {
				rt.Fatalf("%s: %s", name, wrong)
			}
		}
	})
}

// The checks can fail: a model whose kernels run other weights than the file
// holds is found out.
func TestTheOracleFindsAWrongWeight(t *testing.T) {
	images := randomImages(8, 3)
	for _, precision := range []string{precisionF32, precisionI8, precisionI4} {
		for _, pruned := range []float64{0, 0.5} {
			m := tinyModel(t, []int{8, 8, 8}, choices{precision: precision, quantile: 1, prune: [maxStages]float64{0, 0, pruned},
				thresholds: Thresholds{1, 1}}, 5)
			view := &m.stages[2].view
			switch {
			case precision == precisionF32:
				for i := range view.dense {
					view.dense[i] += 0.05
				}
			case pruned > 0:
				for i := range view.quant {
					view.quant[i] = -view.quant[i]
				}
			default:
				view.packed[300] ^= 0x7
				for i := range view.packed {
					view.packed[i] ^= 0x4
				}
			}
			if checkOracle(m, images) == "" {
				t.Errorf("%s, pruned %v: wrong weights pass the golden outputs", precision, pruned)
			}
		}
	}
}

func TestRaisingThresholdsNeverCostsLess(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := tinyModel(t, []int{9, 7, 5}, drawChoices(rt), 1)
		low := rapid.Float32Range(0.1, 0.99).Draw(rt, "low")
		high := rapid.Float32Range(low, 0.99).Draw(rt, "high")
		var w Workspace
		for _, image := range randomImages(4, rapid.Uint64().Draw(rt, "images")) {
			a := m.PredictAt(&image, &w, Thresholds{low, low})
			b := m.PredictAt(&image, &w, Thresholds{high, high})
			if a.MACs > b.MACs || a.Exit > b.Exit {
				rt.Fatalf("thresholds %v: %+v, %v: %+v", low, a, high, b)
			}
		}
	})
}

func TestPruningKeepsTheSmallShare(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newDense(rapid.IntRange(1, 9).Draw(rt, "rows"), rapid.IntRange(1, 30).Draw(rt, "cols"))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "weights"), 0))
		for i := range l.w {
			l.w[i] = float32(1+rng.IntN(4)) / 4 // many equals
		}
		spread := make([]float32, l.cols)
		for i := range spread {
			spread[i] = 1
		}
		share := rapid.Float64Range(0, 0.95).Draw(rt, "share")
		zeros, smallestKept, largestDropped := 0, float32(2), float32(0)
		for i, x := range prune(&l, spread, share) {
			if x == 0 {
				zeros++
				largestDropped = max(largestDropped, l.w[i])
			} else {
				smallestKept = min(smallestKept, x)
			}
		}
		if zeros != int(share*float64(len(l.w))) || largestDropped > smallestKept {
			rt.Fatalf("share %v of %d: %d dropped up to %v, kept from %v", share, len(l.w), zeros, largestDropped, smallestKept)
		}
	})
}

func TestExp32IsClose(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := rapid.Float32Range(-79, 0).Draw(rt, "x")
		want := expReference(float64(x))
		if got := float64(exp32(x)); got < want*(1-2e-7) || got > want*(1+2e-7) {
			rt.Fatalf("exp32(%v) = %v, want %v", x, got, want)
		}
	})
	if exp32(0) != 1 || exp32(-1000) != 0 {
		t.Errorf("exp32(0) = %v, exp32(-1000) = %v", exp32(0), exp32(-1000))
	}
}
