package factory

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestAClaimsPlanFitsAndHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 400).Draw(t, "total")
		sigma := rapid.Float64Range(0, .2).Draw(t, "sigma")
		n := rapid.IntRange(0, 100).Draw(t, "n")
		p := planClaim(total, sigma, sigma, n)
		if p.winner < 1 || p.baseline < 0 || p.winner+p.baseline > total || p.baseline > p.winner {
			t.Fatalf("%+v of %d", p, total)
		}
		if p.baseline > 0 && p.baseline < spikesNeedAtAll {
			t.Fatalf("%+v: so few samples of the baseline may be one disturbance", p)
		}
		if worst := math.Hypot(sigma/math.Sqrt(float64(p.winner+p.baseline)), driftUsual); p.se > worst+1e-12 {
			t.Fatalf("%+v has a larger error than no baseline at all, %v", p, worst)
		}
		if more := planClaim(total+20, sigma, sigma, n); more.se > math.Max(p.se, claimErrorWanted)+1e-12 {
			t.Fatalf("20 samples more make the error %v from %v", more.se, p.se)
		}
	})
	if loud, quiet := planClaim(24, .1, .1, 12), planClaim(24, .01, .01, 12); loud.baseline >= quiet.baseline {
		t.Errorf("much noise buys %d samples of the baseline, little %d: nobody sees the drift through noise", loud.baseline, quiet.baseline)
	}
}

func TestADriftIsBelievedAsFarAsItWasSeen(t *testing.T) {
	if m, v := drift(.5, math.Inf(1)); m != 0 || math.Abs(v-driftUsual*driftUsual) > 1e-15 {
		t.Errorf("nothing seen: %v ± √%v", m, v)
	}
	rapid.Check(t, func(t *rapid.T) {
		moved := rapid.Float64Range(-1, 1).Draw(t, "moved")
		s2 := math.Pow(rapid.Float64Range(1e-6, .1).Draw(t, "s"), 2)
		m, v := drift(moved, s2)
		if m*moved < 0 || math.Abs(m) > math.Abs(moved)+1e-12 || v < 0 || math.IsNaN(m+v) {
			t.Fatalf("seen %v ± %v: believed %v ± √%v", moved, math.Sqrt(s2), m, v)
		}
		if o, _ := drift(-moved, s2); math.Abs(o+m) > 1e-12 {
			t.Fatalf("%v to one side, %v to the other", m, o)
		}
	})
	// A tenth seen clearly is believed; 3 % behind 3 % of noise hardly.
	if m, _ := drift(.1, .01*.01); m < .095 {
		t.Errorf("an upset machine is not believed: %v", m)
	}
	if m, _ := drift(.03, .03*.03); m > .01 {
		t.Errorf("noise is believed: %v", m)
	}
}

// What a walk through a whole space is promised is left by every noise.
func TestAWalkGetsItsPoints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &hunt{budget: rapid.IntRange(30, 5000).Draw(t, "budget"), noisy: rapid.Bool().Draw(t, "noisy"), reference: map[string][]measurement{}, spent: map[string]int{}}
		h.success.Name = "cost"
		for range spikesNeedAtAll {
			v := rapid.Float64Range(.5, 2).Draw(t, "sample")
			h.reference[phaseOpen] = append(h.reference[phaseOpen], measurement{Values: map[string]float64{"cost": v}})
		}
		left := h.budget - h.tail() - 1
		if h.noisy {
			left -= openSamples - 1
			left -= left / referenceEvery
		}
		if got := walkable(h.noisy, h.budget); got > left {
			t.Fatalf("%d points promised of %d evaluations, %d are left", got, h.budget, left)
		}
	})
}
