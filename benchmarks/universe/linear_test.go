package universe

import (
	"context"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/internal/seed"
)

// inReals is the field after one step of a way to write the law, in float64.
func inReals(t interface{ Fatal(...any) }, way lowered, f *Field, knobs []float64) *Field {
	out, err := interpret(context.Background(), newInterpreter(way, float[float64]{knobs}, f), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// In real numbers the linear form is the law, wherever the knobs are: the
// built-in laws and any other.
func TestTheLinearFormIsTheLaw(t *testing.T) {
	same := func(t interface{ Fatalf(string, ...any) }, p *Program, a, b *Field) {
		for c := range a.Planes {
			for i, v := range a.Planes[c] {
				if w := b.Planes[c][i]; !(math.Abs(v-w) <= 1e-10*(1+math.Abs(v))) {
					t.Fatalf("%s, channel %d, cell %d: the law has %v, its linear form %v", p.law.Encode(), c, i, v, w)
				}
			}
		}
	}
	check := func(t *rapid.T, p *Program) {
		law := p.law
		knobs := law.Defaults()
		for i, k := range law.Knobs {
			knobs[i] = rapid.Float64Range(k.Min, k.Max).Draw(t, "knob")
		}
		f := law.NewStart(32, 16, seed.Stream(seed.Root(rapid.Uint64().Draw(t, "start")), "test"))
		positive := make([]bool, len(law.Channels))
		for c := range positive {
			positive[c] = law.Channels[c].Min >= 0
		}
		same(t, p, inReals(t, p.lowered, f, knobs), inReals(t, p.linearize(positive), f, knobs))
	}
	var known []*Program
	for _, l := range Laws() {
		known = append(known, prepared(t, l))
	}
	t.Run("built in", rapid.MakeCheck(func(t *rapid.T) { check(t, known[rapid.IntRange(0, len(known)-1).Draw(t, "law")]) }))
	t.Run("any", rapid.MakeCheck(func(t *rapid.T) {
		p, err := Prepare(drawLaw(t))
		if errors.Is(err, ErrBadLaw) {
			t.Skip(err)
		}
		check(t, p)
	}))
}

// Whatever the law, the field and the knobs, no integer leaves its span: what
// needs no floor, and what one instruction of x86 may multiply, is decided by
// spans.
func TestNoIntegerLeavesItsSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		law := drawLaw(t)
		if i := rapid.IntRange(0, 3).Draw(t, "built in"); i < len(Laws()) {
			law = Laws()[i]
		}
		p, err := Prepare(law)
		if errors.Is(err, ErrBadLaw) || p.narrow != nil {
			t.Skip(err)
		}
		knobs := law.Defaults()
		for i, k := range law.Knobs {
			knobs[i] = rapid.SampledFrom([]float64{k.Min, k.Max, k.Default, (k.Min + k.Max) / 2}).Draw(t, "knob")
		}
		f := law.NewStart(32, 16, seed.Stream(seed.Root(rapid.Uint64().Draw(t, "start")), "test"))
		in := newInterpreter(p.fixed.lowered, fixedRun{p.fixed, p.fixed.slotValues(knobs)}, f)
		for range 3 {
			for y := range in.height {
				in.row(y)
				for i, row := range in.rows {
					for _, v := range row {
						if s := p.fixed.span[i]; v < s.lo || v > s.hi {
							t.Fatalf("node %d, %v, is %d, which is not in %v", i, in.nodes[i].op, v, s)
						}
					}
				}
				for c, root := range in.roots {
					copy(in.next[c][y*in.width:], in.rows[root])
				}
			}
			in.now, in.next = in.next, in.now
		}
	})
}

// A uniform field has no pattern, and int16 kernels make none of it: where
// Gray-Scott is empty it stays as it is, to the last bit, wherever Tier 2 may
// set the knobs.
func TestAnEmptyFieldStaysEmpty(t *testing.T) {
	law := GrayScott()
	p := prepared(t, law)
	f := NewField(2, 32, 16)
	for i := range f.Planes[0] {
		f.Planes[0][i] = 32767. / 32768
	}
	for corner := range uint64(1) << len(law.Online()) {
		got, err := p.Interpret(t.Context(), I16, f, law.corner(corner), 50)
		if err != nil {
			t.Fatal(err)
		}
		if err := sameBits(f, got); err != nil {
			t.Errorf("corner %b: %v", corner, err)
		}
	}
}

// What a law costs in int16 is decided once for all: Gray-Scott and growth take
// their linear form, and FitzHugh-Nagumo, whose small constants would lose most
// of their digits at a channel's scale, stays as it is written.
func TestWhichLawsTakeTheirLinearForm(t *testing.T) {
	for law, want := range map[string]int{"gray-scott": 7, "fitzhugh-nagumo": 8, "growth": 7} {
		var p *Program
		for _, l := range Laws() {
			if l.Name == law {
				p = prepared(t, l)
			}
		}
		products := 0
		for i, n := range p.fixed.nodes {
			if n.op == Mul && !p.fixed.still[i] {
				products++
			}
		}
		if products != want {
			t.Errorf("%s has %d products a cell in int16, want %d", law, products, want)
		}
	}
}

// Wherever Tier 2 may set the knobs, no sum of an int16 kernel leaves 16 bits by
// more than the last one of a channel that is full.
func TestNothingSaturatesWhereTier2MaySetTheKnobs(t *testing.T) {
	for _, law := range []Law{GrayScott(), FitzHughNagumo()} {
		p := prepared(t, law)
		start := law.NewStart(32, 32, seed.Stream(seed.Root(7), "test"))
		for corner := range uint64(1) << len(law.Online()) {
			in := newInterpreter(p.fixed.lowered, fixedRun{p.fixed, p.fixed.slotValues(law.corner(corner))}, start)
			for range 60 {
				for y := range in.height {
					in.row(y)
					for i, n := range in.nodes {
						if n.op != Add && n.op != Sub {
							continue
						}
						for x, v := range in.rows[i] {
							exact := int32(in.rows[n.a][x]) + int32(in.rows[n.b][x])
							if n.op == Sub {
								exact = int32(in.rows[n.a][x]) - int32(in.rows[n.b][x])
							}
							if off := exact - int32(v); off < 0 || off > 1 {
								t.Fatalf("%s, corner %b: node %d, %v, is %d instead of %d", law.Name, corner, i, n.op, v, exact)
							}
						}
					}
					for c, root := range in.roots {
						copy(in.next[c][y*in.width:], in.rows[root])
					}
				}
				in.now, in.next = in.next, in.now
			}
		}
	}
}
