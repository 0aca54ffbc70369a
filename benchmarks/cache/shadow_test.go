package cache

import (
	"math"
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

// Shadows say nothing while they fill: the misses of an empty simulation look
// like another kind of traffic. Then their ratios are those of the traffic, and
// after it has changed, of what it has become.
func TestShadowsFollowTheTraffic(t *testing.T) {
	const capacity = 2048
	list := Families()
	root := seed.Root(5)
	traffic := func(name string) []Use {
		for _, m := range mixtures {
			if m.name == name {
				return m.generate(root, usesFull)
			}
		}
		t.Fatalf("no mixture %s", name)
		return nil
	}
	recency, zipf := traffic("recency"), traffic("zipf-flat")
	signature := func(uses []Use) []float64 {
		return Signature(list, capacity, &Trace{Uses: uses, Warm: len(uses) / 4})
	}
	looks := [][]float64{signature(recency), signature(zipf)}
	s := NewShadows(list, capacity)
	if s.Warm() {
		t.Error("empty shadows are warm")
	}
	for i, uses := range [][]Use{recency, zipf} {
		for k, u := range uses {
			if Sampled(u.Key) {
				s.Use(u)
			}
			if !s.Warm() {
				for _, r := range s.Ratios() {
					if r != 0 && s.seen <= 2*capacity/shadowOneIn {
						t.Fatalf("use %d: a shadow that fills says %v", k, s.Ratios())
					}
				}
			}
		}
		own, other := Distance(s.Ratios(), looks[i]), Distance(s.Ratios(), looks[1-i])
		if !s.Warm() || math.IsNaN(own) || own >= other/4 {
			t.Errorf("traffic %d: %.3f from its own look, %.3f from the other", i, own, other)
		}
	}
}
