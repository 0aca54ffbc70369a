package factory

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// play lets engines ask for n batches of 8; loss is what engine i measures.
func play(b *bandit, n int, loss func(i, k int) float64) []int {
	spent := make([]int, len(b.stakes))
	for k := range n {
		i := b.next()
		if i < 0 {
			break
		}
		b.asked(i, 8)
		spent[i] += 8
		var losses []float64
		for j := range 8 {
			losses = append(losses, loss(i, 8*k+j))
		}
		b.told(i, losses)
	}
	return spent
}

func TestTheBanditFollowsFindsWithinItsBounds(t *testing.T) {
	mix := []EngineShare{{"a", 1}, {"b", 1}}
	spent := play(newBandit(mix, false), 200, func(i, k int) float64 { return float64(i) + float64(k%7)/100 })
	if share := float64(spent[1]) / 1600; share > .3 || share < banditFloor/(banditFloor+banditLimit)-.02 {
		t.Errorf("the engine that finds nothing gets %.2f of the evaluations", share)
	}
	spent = play(newBandit(mix, true), 200, func(i, _ int) float64 { return float64(i) })
	if spent[0] != spent[1] {
		t.Errorf("fixed shares of one half become %v", spent)
	}
	b := newBandit(mix, false)
	b.end(0)
	if spent = play(b, 10, func(int, int) float64 { return math.Inf(1) }); spent[0] != 0 || spent[1] != 80 {
		t.Errorf("an engine that has ended: %v", spent)
	}
	if b.end(1); b.next() != -1 {
		t.Error("all have ended")
	}
}

func TestNoEngineStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "engines")
		var mix []EngineShare
		sum := 0.
		for range n {
			share := rapid.Float64Range(.2, 5).Draw(t, "share")
			mix, sum = append(mix, EngineShare{Share: share}), sum+share
		}
		losses := rapid.SliceOfN(rapid.Float64(), 16, 64).Draw(t, "losses")
		const batches = 400
		spent := play(newBandit(mix, false), batches, func(i, k int) float64 {
			return losses[(3*i+k)%len(losses)]
		})
		for i, s := range spent {
			planned := mix[i].Share / sum * 8 * batches
			if low := planned * banditFloor / banditLimit; float64(s) < low-16 {
				t.Fatalf("engine %d of %v gets %d, its floor is %.0f", i, mix, s, low)
			}
		}
	})
}
