package universe

import (
	"context"
	"errors"
	"testing"

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

func TestEveryPlanAgreesWithTheInterpreterBitByBit(t *testing.T) {
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	for _, law := range Laws() {
		l := prepared(t, law)
		start := law.NewStart(32, 32, seed.Stream(3, "test/start"))
		for p := range precisionCount {
			want, err := l.Interpret(context.Background(), p, start, law.Defaults(), 11)
			if err != nil {
				t.Fatal(err)
			}
			for i, plan := range plans(func(x Plan) bool { return x.Precision == p }) {
				if testing.Short() && i%7 != 0 {
					continue
				}
				if err := sameBits(want, step(t, m, l, plan, start, law.Defaults(), 11)); err != nil {
					t.Errorf("%s %v: %v", law.Name, plan, err)
				}
			}
		}
	}
}
