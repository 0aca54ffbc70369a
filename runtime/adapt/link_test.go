package adapt

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheLinkIncreasesAndIsStraightInTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bend := rapid.Float64Range(.1, 10)
		l := link{Centre: rapid.Float64Range(-1, 1).Draw(t, "centre"), Bend: [2]float64{bend.Draw(t, "below"), bend.Draw(t, "above")}}
		eta, more := rapid.Float64Range(-3, 3).Draw(t, "eta"), rapid.Float64Range(0, 1).Draw(t, "more")
		a, slope := l.at(eta, 0)
		b, _ := l.at(eta+more, 0)
		if b < a || b-a > more+1e-12 || slope < linkSlopeMin || slope > 1 {
			t.Fatalf("from %g to %g where η grows by %g, slope %g", a, b, more, slope)
		}
		if low, high := l.Centre-1/l.Bend[stepBelow], l.Centre+1/l.Bend[stepAbove]; a < low-1e-12 || a > high+1e-12 {
			t.Fatalf("%g is not within %g and %g", a, low, high)
		}
		const h = 1e-6
		if before, _ := l.at(l.Centre-h, 0); math.Abs(l.Centre-h-before) > h/100 {
			t.Fatalf("%g below the centre: %g", h, l.Centre-before)
		}
	})
}

// What a line has learned, put on another scale, is what a line on that scale
// would have learned.
func TestARescaledLineIsTheLineOfRescaledRewards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const d, noise = 4, .3
		gain, shift := rapid.Float64Range(.5, 2).Draw(t, "gain"), rapid.Float64Range(-1, 1).Draw(t, "shift")
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 30).Draw(t, "rewards")
		l, batch, work := newLinear(d), newLinear(d), make([]float64, d*(d+1)/2)
		prior := newPopulation(d, .7)
		for i := range prior.Mean {
			prior.Mean[i] = Normal(seed, 1, uint64(i))
		}
		for i := range uint64(n) {
			x := []float64{Normal(seed, 2, i), Normal(seed, 3, i), Normal(seed, 4, i), 1}
			y, weight := Normal(seed, 5, i), Uniform(seed, 6, i)
			l.add(x, y, weight)
			batch.add(x, float64(gain*y)+shift, weight/(gain*gain))
		}
		l.solve(noise, &prior, work)
		l.rescale(gain, shift)
		prior.rescale(gain, shift)
		batch.solve(noise, &prior, work)
		for _, c := range [][2][]float64{{l.W, batch.W}, {l.P, batch.P}, {l.A, batch.A}, {l.B, batch.B}} {
			for i := range c[0] {
				if math.Abs(c[0][i]-c[1][i]) > 1e-8*(1+math.Abs(c[1][i])) {
					t.Fatalf("%v, want %v", c[0], c[1])
				}
			}
		}
	})
}

// A curve is found where there is one, to its end, and none where there is none.
func TestTheCurveOfRewardsIsFound(t *testing.T) {
	for _, c := range []struct {
		name   string
		reward func(eta float64) float64
		top    [2]float64 // where the upper end is seen
	}{
		{"logistic", func(eta float64) float64 { return 1 / (1 + math.Exp(-2*eta)) }, [2]float64{.95, 1.05}},
		{"cut off", func(eta float64) float64 { return min(max(.5+.4*eta, 0), 1) }, [2]float64{.95, 1.1}},
		{"straight", func(eta float64) float64 { return .5 + .4*eta }, [2]float64{2, math.Inf(1)}},
	} {
		const arms, dim = 10, 4
		b := newTestBandit(t, BanditConfig{Arms: arms, Dim: dim, Seed: 2})
		all, x := slices.Repeat([]bool{true}, arms), make([]float64, dim)
		for i := range uint64(4000) {
			for j := range x {
				x[j] = Normal(1, i, uint64(j))
			}
			k := b.Choose(i, x, all, nil).Arm
			eta := Normal(2, uint64(k)) / 2
			for j := range x {
				eta += Normal(3, uint64(k), uint64(j)) * x[j] / 2
			}
			b.Reward(i, k, c.reward(eta)+.05*Normal(4, i), 0)
		}
		l := &b.s.Link
		if top := b.s.Origin + l.Centre + 1/l.Bend[stepAbove]; !(top > c.top[0] && top < c.top[1]) {
			t.Errorf("%s: the upper end is seen at %.3f, want %v", c.name, top, c.top)
		}
	}
}

// Without features there is no curve, and nothing is different from before.
func TestBareArmsHaveNoCurve(t *testing.T) {
	b := newTestBandit(t, BanditConfig{Arms: 3})
	for i := range uint64(300) {
		k := b.Choose(i, nil, []bool{true, true, true}, nil).Arm
		b.Reward(i, k, float64(k), 0)
	}
	if b.s.Link.Bend != [2]float64{} || b.s.Link.Seen != 0 {
		t.Fatalf("%+v", b.s.Link)
	}
}
