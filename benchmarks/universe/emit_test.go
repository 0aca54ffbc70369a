package universe

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/internal/seed"
)

func plans(which func(Plan) bool) []Plan {
	var out []Plan
	for p := range precisionCount {
		for _, simd := range []bool{false, true} {
			for _, u := range unrolls {
				for _, f := range fuses {
					for _, r := range bands {
						for _, s := range []bool{false, true} {
							if plan := (Plan{p, simd, u, f, r, s}); which(plan) {
								out = append(out, plan)
							}
						}
					}
				}
			}
		}
	}
	return out
}

func closes(t *testing.T, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Error(err)
	}
}

func prepared(t *testing.T, l Law) *Program {
	t.Helper()
	p, err := Prepare(l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// step runs a kernel from a start for some steps and returns the field.
func step(t *testing.T, m *machine, p *Program, plan Plan, start *Field, knobs []float64, steps int) *Field {
	t.Helper()
	module, err := p.Emit(plan, start.Width)
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.compile(t.Context(), p, plan, start.Width, module)
	if err != nil {
		t.Fatal(err)
	}
	out, err := k.runFrom(t.Context(), start, knobs, steps)
	if err := errors.Join(err, k.close()); err != nil {
		t.Fatal(err)
	}
	return out
}

// Every fifth plan of each law and precision, begun elsewhere for each, so that
// every value of every parameter comes; -run with ARQON_ALL=1 takes them all.
func TestPlansAgreeWithTheInterpreterBitByBit(t *testing.T) {
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	stride := 5
	if os.Getenv("ARQON_ALL") != "" {
		stride = 1
	}
	for k, law := range Laws() {
		p := prepared(t, law)
		start := law.NewStart(32, 32, seed.Stream(3, "test/start"))
		for in := range precisionCount {
			want, err := p.Interpret(t.Context(), in, start, law.Defaults(), 11)
			if err != nil {
				t.Fatal(err)
			}
			for i, plan := range plans(func(x Plan) bool { return x.Precision == in }) {
				if (i+k+int(in))%stride != 0 {
					continue
				}
				if err := sameBits(want, step(t, m, p, plan, start, law.Defaults(), 11)); err != nil {
					t.Errorf("%s %v: %v", law.Name, plan, err)
				}
			}
		}
	}
}

// A new law, knobs anywhere in their bounds, a start of noise: whatever the
// expression, the kernel does what the interpreter does.
func TestAnyLawAgreesWithTheInterpreter(t *testing.T) {
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	rapid.Check(t, func(t *rapid.T) {
		law := drawLaw(t)
		p, err := Prepare(law)
		if errors.Is(err, ErrBadLaw) {
			t.Skip(err)
		}
		again, err := DecodeLaw(law.Encode())
		if err != nil || string(again.Encode()) != string(law.Encode()) {
			t.Fatalf("the text of the law does not come back: %v", err)
		}
		all := plans(func(x Plan) bool { return p.has(x.Precision) == nil })
		plan := all[rapid.IntRange(0, len(all)-1).Draw(t, "plan")]
		start := law.NewStart(32, 16, seed.Stream(seed.Root(rapid.Uint64().Draw(t, "start")), "test"))
		knobs := law.Defaults()
		for i, k := range law.Knobs {
			knobs[i] = rapid.Float64Range(k.Min, k.Max).Draw(t, "knob")
		}
		want, err := p.Interpret(context.Background(), plan.Precision, start, knobs, 5)
		if err != nil {
			t.Fatal(err)
		}
		module, err := p.Emit(plan, 32)
		if err != nil {
			t.Fatal(err)
		}
		k, err := m.compile(context.Background(), p, plan, 32, module)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.runFrom(context.Background(), start, knobs, 5)
		if err := errors.Join(err, k.close()); err != nil {
			t.Fatal(err)
		}
		if err := sameBits(want, got); err != nil {
			t.Fatalf("%v of %s: %v", plan, law.Encode(), err)
		}
	})
}

// drawLaw makes a law of one or two channels out of every operation.
func drawLaw(t *rapid.T) Law {
	l := Law{
		Name: "drawn", Start: rapid.SampledFrom([]Start{Spots, Waves, Noise}).Draw(t, "kind"),
		Knobs: []LawKnob{{"a", .1, .9, .5, 0}, {"b", -2, 2, 1, 1}},
	}
	channels := rapid.IntRange(1, channelsMax).Draw(t, "channels")
	for c := range channels {
		grown := add(cell(c), mul(constant(.1), drawExpr(t, channels, 4, false)))
		lo := rapid.SampledFrom([]float64{-1, 0}).Draw(t, "min") // with a sign in int16, and without
		next := clamp(grown, lo, 1)
		if rapid.Bool().Draw(t, "open") {
			next = grown
		}
		l.Channels = append(l.Channels, Channel{Name: string("uv"[c]), Min: lo, Max: 1, Next: next})
	}
	return l
}

func drawExpr(t *rapid.T, channels, depth int, truth bool) *Expr {
	number := func() *Expr { return drawExpr(t, channels, depth-1, false) }
	switch {
	case truth:
		return both(Less, number(), number())
	case depth <= 0:
		switch op := rapid.SampledFrom([]Op{Const, Knob, Cell, Lap, Ring, Draw}).Draw(t, "leaf"); op {
		case Draw:
			return noise(rapid.IntRange(0, noisesMax-1).Draw(t, "noise"))
		case Const:
			return constant(rapid.Float64Range(-2, 2).Draw(t, "value"))
		case Knob:
			return knob(rapid.IntRange(0, 1).Draw(t, "knob"))
		default:
			return &Expr{Op: op, Index: rapid.IntRange(0, channels-1).Draw(t, "channel")}
		}
	}
	op := rapid.SampledFrom([]Op{Add, Sub, Mul, Min, Max, Pick, Cell}).Draw(t, "op")
	if op == Cell {
		return drawExpr(t, channels, 0, false)
	}
	if op == Pick {
		return &Expr{Op: Pick, A: drawExpr(t, channels, depth-1, true), B: number(), C: number()}
	}
	return both(op, number(), number())
}

// What is emitted is signed by digest and emitted anew when it is staged: a
// byte that changes needs another emitterVersion.
func TestTheEmitterWritesWhatItWrote(t *testing.T) {
	writes(t, "7d758e88ef0e0cd7", GrayScott(), FitzHughNagumo(), Growth())
	writes(t, "ab6a2c790b68d2e6", NoisyGrayScott())
}

func writes(t *testing.T, want string, laws ...Law) {
	t.Helper()
	h := sha256.New()
	for _, law := range laws {
		p := prepared(t, law)
		for _, plan := range plans(func(Plan) bool { return true }) {
			for _, width := range Widths {
				module, err := p.Emit(plan, width)
				if err != nil {
					t.Fatal(err)
				}
				h.Write(module)
				if len(module) > moduleLimit && (plan.SIMD || plan.Precision != I16 || plan.Unroll < 4 && p.noises == 0 || plan.Unroll == 1) {
					t.Errorf("%s %v for width %d: %d bytes", law.Name, plan, width, len(module))
				}
			}
		}
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want {
		t.Errorf("emitter %d writes %s, it wrote %s: give it a new version", emitterVersion, got, want)
	}
}

func BenchmarkEmit(b *testing.B) {
	p, err := Prepare(GrayScott())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Emit(Plan{I16, true, 4, 8, 64, true}, 1024); err != nil {
			b.Fatal(err)
		}
	}
}
