package adapt

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestDrawsDependOnTheirKeysAlone(t *testing.T) {
	if first, again := Draw(1, 2, 3), Draw(1, 2, 3); first != again || Draw(1, 2, 3) == Draw(1, 3, 2) || Draw(1, 2) == Draw(2, 2) || Draw(1, 0) == Draw(1, 0, 0) {
		t.Fatal("keys")
	}
	const n = 20_000
	var sum, sq, sign float64
	for i := range uint64(n) {
		z := Normal(5, i)
		sum += z
		sq += z * z
		sign += Sign(6, i)
		if u := Uniform(7, i); !(u > 0 && u < 1) {
			t.Fatalf("uniform %g", u)
		}
	}
	if m := sum / n; math.Abs(m) > .03 || math.Abs(sq/n-1) > .05 || math.Abs(sign/n) > .03 {
		t.Fatalf("mean %g, second moment %g, sign %g", m, sq/n, sign/n)
	}
}

func TestPageHinkleyAlarmsOnAChangeOnly(t *testing.T) {
	for seed := range uint64(20) {
		for _, jump := range []float64{-2, 2} {
			p := PageHinkley{Slack: .5, Threshold: 8}
			for i := range uint64(300) {
				if p.Add(Normal(seed, i)) {
					t.Fatalf("seed %d: false alarm at %d", seed, i)
				}
			}
			at := 0
			for i := range uint64(100) {
				if p.Add(jump + Normal(seed, 1000+i)) {
					at = int(i) + 1
					break
				}
			}
			if at == 0 || at > 30 || p.Count != 0 {
				t.Fatalf("seed %d, jump %g: alarm after %d", seed, jump, at)
			}
		}
	}
	p := PageHinkley{Threshold: 1}
	if p.Add(math.NaN()) || p.Count != 0 {
		t.Fatal("NaN counted")
	}
}

// world is a set of arms with true losses and uneven noise.
type world struct{ loss, noise []float64 }

func (w world) arms() []Arm {
	out := make([]Arm, len(w.loss))
	for i := range out {
		out[i] = Arm{ID: uint32(i + 1), Allowed: true, Prior: math.NaN()}
	}
	return out
}

// run plays n cycles and returns the mean regret of the last quarter.
func (w world) run(t testing.TB, s *Selector, seed uint64, from, n int) float64 {
	t.Helper()
	incumbent, regret := uint32(1), 0.0
	var last *Observation
	for i := range n {
		c := s.Step(w.arms(), incumbent, last)
		if !c.OK {
			t.Fatal("no choice")
		}
		incumbent = c.ID
		k := incumbent - 1
		last = &Observation{ID: incumbent, Loss: w.loss[k] + w.noise[k]*Normal(seed, uint64(from+i))}
		if i >= n*3/4 {
			regret += w.loss[k] - slices.Min(w.loss)
		}
	}
	return regret / float64(n/4)
}

func TestSelectorsFindTheBestArmAndFindItAgainAfterASwitch(t *testing.T) {
	for _, m := range []Method{UCB, Thompson} {
		for seed := range uint64(10) {
			s, err := NewSelector(SelectorConfig{Method: m, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			w := world{loss: []float64{100, 95, 90, 70, 99, 98}, noise: []float64{2, 5, 1, 3, 2, 2}}
			if r := w.run(t, s, seed, 0, 400); r > 3 {
				t.Errorf("method %d seed %d: regret %g a cycle", m, seed, r)
			}
			w.loss[3], w.loss[1] = 130, 60 // the best arm becomes the worst
			if r := w.run(t, s, seed, 1000, 400); r > 5 {
				t.Errorf("method %d seed %d: regret %g a cycle after the switch", m, seed, r)
			}
		}
	}
}

func TestConstraintsComeFirst(t *testing.T) {
	s, err := NewSelector(SelectorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	arms := []Arm{
		{ID: 1, Allowed: true, Prior: 100, Predicted: 50, Limit: 100},
		{ID: 2, Allowed: false, Prior: 1},
		{ID: 3, Allowed: true, Prior: 2, Predicted: 95, Limit: 100}, // within the limit, not within the margin
	}
	if c := s.Step(arms, 1, nil); c.ID != 1 || c.Eligible != 1 || c.Propensity != 1 {
		t.Fatalf("%+v", c)
	}
	for range 20 { // the host is twice as slow as predicted: nothing fits
		s.Step(arms, 1, &Observation{ID: 1, Loss: 100, SLA: 105})
	}
	if c := s.Step(arms, 1, nil); c.OK || c.Eligible != 0 {
		t.Fatalf("%+v", c)
	}
	if c := s.Step(nil, 1, nil); c.OK {
		t.Fatalf("%+v", c)
	}
}

func TestAnIneligibleArmIsNeverChosen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := NewSelector(SelectorConfig{Method: Method(rapid.IntRange(0, 1).Draw(t, "method")), Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		f := rapid.OneOf(rapid.Float64Range(-1e3, 1e3), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e300}))
		for range 20 {
			arms := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Arm {
				return Arm{ID: uint32(rapid.IntRange(1, 5).Draw(t, "id")), Allowed: rapid.Bool().Draw(t, "allowed"), Prior: f.Draw(t, "prior"),
					Predicted: f.Draw(t, "predicted"), Limit: f.Draw(t, "limit")}
			}), 0, 5).Draw(t, "arms")
			o := &Observation{ID: uint32(rapid.IntRange(0, 6).Draw(t, "seen")), Loss: f.Draw(t, "loss"), SLA: f.Draw(t, "sla")}
			before, err := s.Snapshot()
			if err != nil {
				t.Fatalf("state cannot be saved: %v", err)
			}
			twin, err := NewSelector(SelectorConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if err := twin.Restore(before); err != nil {
				t.Fatal(err)
			}
			c := s.Step(arms, 3, o)
			if again := twin.Step(arms, 3, o); again.ID != c.ID || again.OK != c.OK || again.Eligible != c.Eligible {
				t.Fatalf("restored: %+v, straight: %+v", again, c)
			}
			allowed := 0
			for _, a := range arms {
				if a.Allowed && a.ID == c.ID {
					allowed++
				}
			}
			if c.OK && allowed == 0 {
				t.Fatalf("chose %+v of %+v", c, arms)
			}
		}
	})
}

func TestSPSADescendsAndStaysInBounds(t *testing.T) {
	for _, dim := range []int{1, 5, 20} {
		for seed := range uint64(5) {
			ranges, theta := make([]Range, dim), make([]float64, dim)
			for i := range ranges {
				ranges[i], theta[i] = Range{Min: 0, Max: 1, StepMax: .1}, .1
			}
			s, err := NewSPSA(SPSAConfig{Seed: seed}, ranges, theta)
			if err != nil {
				t.Fatal(err)
			}
			loss := func(x []float64) float64 {
				sum := 0.0
				for _, v := range x {
					sum += (v - .7) * (v - .7)
				}
				return sum / float64(dim)
			}
			start, last := loss(theta), theta
			for i := range uint64(2000) {
				x := s.Ask()
				for k := range x {
					if !(x[k] >= 0 && x[k] <= 1) || math.Abs(x[k]-last[k]) > .1+1e-12 {
						t.Fatalf("knob %d moved from %g to %g", k, last[k], x[k])
					}
				}
				last = x
				s.Tell(x, loss(x)+.001*Normal(seed, 77, i))
			}
			if end := loss(s.Theta()); end > start/20 {
				t.Errorf("dim %d seed %d: loss %g → %g", dim, seed, start, end)
			}
		}
	}
}

func TestSPSARefusesWhatIsNoNumberAndResumes(t *testing.T) {
	s, err := NewSPSA(SPSAConfig{Seed: 1}, []Range{{0, 1, .2}, {0, 10, 1}}, []float64{.5, 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		x := s.Ask()
		if i%7 == 3 {
			s.Tell(x, math.NaN())
			s.Tell(x[:1], 3)
			s.Tell([]float64{math.Inf(1), 0}, 3)
			continue
		}
		b, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		twin, err := NewSPSA(SPSAConfig{}, []Range{{0, 1, 1}}, []float64{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := twin.Restore(b); err != nil {
			t.Fatal(err)
		}
		s.Tell(x, x[0])
		twin.Tell(x, x[0])
		a, err1 := s.Snapshot()
		c, err2 := twin.Snapshot()
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, c) {
			t.Fatalf("a restored SPSA goes another way: %v", err)
		}
	}
	for _, bad := range [][]Range{nil, {{0, 1, 0}, {0, 1, 1}}, {{1, 0, 1}, {0, 1, 1}}, {{math.NaN(), 1, 1}, {0, 1, 1}}} {
		if _, err := NewSPSA(SPSAConfig{}, bad, []float64{0, 0}); err == nil {
			t.Errorf("accepted %v", bad)
		}
	}
}

func FuzzRestore(f *testing.F) {
	s, err := NewSelector(SelectorConfig{})
	if err != nil {
		f.Fatal(err)
	}
	p, err := NewSPSA(SPSAConfig{}, []Range{{0, 1, 1}}, []float64{.5})
	if err != nil {
		f.Fatal(err)
	}
	for _, snap := range []func() ([]byte, error){s.Snapshot, p.Snapshot} {
		b, err := snap()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"ranges":[{"min":0,"max":1,"step_max":1}],"theta":[0.5],"minus":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, p := &Selector{}, &SPSA{}
		if err := s.Restore(b); err == nil {
			s.Step([]Arm{{ID: 1, Allowed: true}}, 1, &Observation{ID: 1, Loss: 1})
		} else if !errors.Is(err, ErrState) {
			t.Fatal(err)
		}
		if err := p.Restore(b); err == nil {
			p.Tell(p.Ask(), 1)
			p.Tell(p.Ask(), 2)
		} else if !errors.Is(err, ErrState) {
			t.Fatal(err)
		}
	})
}

func BenchmarkSelect30(b *testing.B) {
	for name, m := range map[string]Method{"ucb": UCB, "thompson": Thompson} {
		b.Run(name, func(b *testing.B) {
			s, err := NewSelector(SelectorConfig{Method: m})
			if err != nil {
				b.Fatal(err)
			}
			arms := make([]Arm, 30)
			for i := range arms {
				arms[i] = Arm{ID: uint32(i + 1), Allowed: i%3 > 0, Prior: float64(100 + i), Predicted: 10, Limit: 100}
				s.Step(arms, 1, &Observation{ID: uint32(i + 1), Loss: 100, SLA: 10})
			}
			o := &Observation{ID: 2, Loss: 100, SLA: 10}
			b.ReportAllocs()
			for b.Loop() {
				s.Step(arms, 2, o)
			}
		})
	}
}
