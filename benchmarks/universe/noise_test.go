package universe

import (
	"errors"
	"math"
	"math/bits"
	"strings"
	"testing"
)

// What the hash is good for: values, neighbours in a row, in a column and in
// time, the four noises, and fields whose clocks are a little apart know nothing
// of each other. Limits are five standard deviations of a mean over as many
// independent draws.
func TestNoiseLooksIndependent(t *testing.T) {
	const width, height, steps = 256, 64, 32
	const n = width * height * steps
	draws := map[[2]int][][]float64{} // by noise and first step
	for _, key := range [][2]int{{0, 0}, {1, 0}, {2, 0}, {3, 0}, {0, 1 << 20}} {
		row := make([]int16, width)
		for step := range steps {
			var plane []float64
			for y := range height {
				noiseRow(row, key[0], uint32(key[1]+step), y)
				for _, v := range row {
					plane = append(plane, float64(v)*noiseScale)
				}
			}
			draws[key] = append(draws[key], plane)
		}
	}
	first := draws[[2]int{0, 0}]
	mean, square, fourth := 0.0, 0.0, 0.0
	for _, plane := range first {
		for _, v := range plane {
			if !(v > -1 && v < 1) {
				t.Fatalf("%v", v)
			}
			mean += v / n
			square += v * v / n
			fourth += v * v * v * v / n
		}
	}
	sigma := 1 / math.Sqrt(n)
	near := func(name string, got, want, deviation float64) {
		t.Helper()
		t.Logf("%s: %.6f, %.2f deviations from %.4f", name, got, (got-want)/(deviation*sigma), want)
		if math.Abs(got-want) > 5*deviation*sigma {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("mean", mean, 0, math.Sqrt(1./3))
	near("variance", square, 1./3, math.Sqrt(1./5-1./9))
	near("fourth moment", fourth, 1./5, math.Sqrt(1./9-1./25))
	// Of n products of independent uniform values on (−1, 1), each of variance 1/9.
	correlated := func(name string, other func(step, y, x int) float64) {
		t.Helper()
		s := 0.0
		for step, plane := range first {
			for i, v := range plane {
				s += v * other(step, i/width, i%width) / n
			}
		}
		near(name, s, 0, 1./3)
	}
	at := func(of [][]float64, step, y, x int) float64 {
		return of[step%steps][y%height*width+x%width]
	}
	for _, lag := range []int{1, 2, 3, 8, 128} {
		correlated("with the column "+string(rune('0'+lag%10))+" further", func(s, y, x int) float64 { return at(first, s, y, x+lag) })
	}
	for _, lag := range []int{1, 2, 7} {
		correlated("with the row", func(s, y, x int) float64 { return at(first, s, y+lag, x) })
		correlated("with the step", func(s, y, x int) float64 { return at(first, s+lag, y, x) })
		correlated("along a diagonal", func(s, y, x int) float64 { return at(first, s+lag, y+lag, x+lag) })
	}
	for _, key := range [][2]int{{1, 0}, {2, 0}, {3, 0}, {0, 1 << 20}} {
		correlated("with another noise or clock", func(s, y, x int) float64 { return at(draws[key], s, y, x) })
	}
	// Magnitudes too: of products of squares about their mean.
	s := 0.0
	for step, plane := range first {
		for i, v := range plane {
			w := at(first, step, i/width, i%width+1)
			s += (v*v - 1./3) * (w*w - 1./3) / n
		}
	}
	near("magnitudes of neighbours", s, 0, 1./5-1./9)
}

// One bit of column, row or step changes half of the bits, about.
func TestNoiseIsSensitiveToEveryBit(t *testing.T) {
	const tries = 400
	draw := func(step, y, x uint32) uint32 {
		a, b := noiseKeys(0, step, int(y))
		return noisePair(a, b, int(x))
	}
	for name, flip := range map[string]func(bit uint32, at [3]uint32) [3]uint32{
		"step":   func(bit uint32, at [3]uint32) [3]uint32 { at[0] ^= bit; return at },
		"row":    func(bit uint32, at [3]uint32) [3]uint32 { at[1] ^= bit; return at },
		"column": func(bit uint32, at [3]uint32) [3]uint32 { at[2] ^= bit; return at },
	} {
		for bit := range 9 { // of 512 pairs of columns
			changed := 0
			r := seedOf(uint64(bit))
			for range tries {
				at := [3]uint32{r.Uint32(), r.Uint32N(1024), r.Uint32N(512)}
				to := flip(1<<bit, at)
				changed += bits.OnesCount32(draw(at[0], at[1], at[2]) ^ draw(to[0], to[1], to[2]))
			}
			if share := float64(changed) / (32 * tries); math.Abs(share-.5) > .03 {
				t.Errorf("bit %d of the %s changes %.3f of the bits", bit, name, share)
			}
		}
	}
}

// A universe that goes over from kernel to kernel, at another height than the
// width, draws what an interpreter draws that never did, from the same clock.
func TestNoiseGoesOnAcrossHandOvers(t *testing.T) {
	clock := uint32(math.MaxUint32 - 20) // and over the end
	u, start, s := stagedLaw(t, NoisyGrayScott(), 256, 48, Plan{F64, false, 1, 1, 64, false}, Plan{F64, true, 2, 4, 8, false}, Plan{F64, true, 4, 8, 16, true})
	p := prepared(t, NoisyGrayScott())
	u.SetClock(clock)
	steps := 0
	for _, k := range []int{0, 2, 1, 0, 1, 2} {
		u.Switch(s[k])
		if _, err := u.Step(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		steps += 7
	}
	want, err := p.interpretFrom(t.Context(), F64, start, p.law.Defaults(), clock, steps)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(want, u.Field()); err != nil {
		t.Error(err)
	}
	if other, err := p.Interpret(t.Context(), F64, start, p.law.Defaults(), steps); err != nil || sameBits(other, want) == nil {
		t.Errorf("another clock draws the same: %v", err)
	}
	// A replay of the second half, as a host's reference does it.
	half, err := p.interpretFrom(t.Context(), F64, start, p.law.Defaults(), clock, 21)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.interpretFrom(t.Context(), F64, half, p.law.Defaults(), clock+21, 21)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(want, again); err != nil {
		t.Error(err)
	}
}

// Every noise of a law is its own, on every width, in every precision; with a
// knob at 0 the law is Gray-Scott.
func TestNoisesOfALaw(t *testing.T) {
	l := Law{Name: "noises", Start: Waves, Channels: []Channel{
		{Name: "a", Min: -1, Max: 1, Next: add(mul(constant(.5), noise(0)), mul(constant(.25), noise(3)))},
		{Name: "b", Min: -1, Max: 1, Next: add(mul(constant(.5), noise(1)), mul(constant(.25), noise(0)))},
	}}
	p := prepared(t, l)
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	for _, width := range Widths {
		for i, plan := range plans(func(x Plan) bool { return x.Unroll == 4 && x.Rows == 16 }) {
			if width != 32 && i%7 != width/256 {
				continue
			}
			start := l.NewStart(width, 16, seedOf(1))
			want, err := p.Interpret(t.Context(), plan.Precision, start, nil, 3)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameBits(want, step(t, m, p, plan, start, nil, 3)); err != nil {
				t.Errorf("%v on %d: %v", plan, width, err)
			}
		}
	}
	noisy, quiet := prepared(t, NoisyGrayScott()), prepared(t, GrayScott())
	knobs := noisy.law.Defaults()
	knobs[5] = 0
	start := quiet.law.NewStart(32, 32, seedOf(1))
	a, err := noisy.Interpret(t.Context(), F64, start, knobs, 30)
	if err != nil {
		t.Fatal(err)
	}
	b, err := quiet.Interpret(t.Context(), F64, start, quiet.law.Defaults(), 30)
	if err != nil {
		t.Fatal(err)
	}
	if d := maxDifference(quiet.law, a, b); d > 1e-12 {
		t.Errorf("%v apart without noise", d)
	}
	for _, text := range []string{"noise.4", "noise.-1", "noise"} {
		bad := strings.Replace(string(l.Encode()), "noise.3", text, 1)
		if _, err := DecodeLaw([]byte(bad)); !errors.Is(err, ErrBadLaw) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
