package universe

import (
	"testing"

	"github.com/arqon/arqon/benchmarks/conformance"
)

func grayScott(t *testing.T) *Domain {
	t.Helper()
	d, err := New(GrayScott(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	return d
}

func TestTheContractIsKept(t *testing.T) { conformance.Run(t, grayScott(t)) }

func TestLawsKeepTheContract(t *testing.T) {
	d := NewLawDomain()
	t.Cleanup(func() { closes(t, d.Close) })
	conformance.Run(t, d)
}

// In the space of laws there is Gray-Scott, and it does what Gray-Scott does.
func TestTheSpaceOfLawsHoldsGrayScott(t *testing.T) {
	point, err := lawSpace().Normalize(LawBaseline())
	if err != nil {
		t.Fatal(err)
	}
	found, built := prepared(t, lawOf(point)), GrayScott()
	start := built.NewStart(32, 32, seedOf(2))
	a, err := found.Interpret(t.Context(), F64, start, nil, 50)
	if err != nil {
		t.Fatal(err)
	}
	b, err := prepared(t, built).Interpret(t.Context(), F64, start, built.Defaults(), 50)
	if err != nil {
		t.Fatal(err)
	}
	if d := maxDifference(built, a, b); d > 1e-12 {
		t.Errorf("%v apart after 50 steps", d)
	}
}

func TestStructureIsOfScales(t *testing.T) {
	const side = 32
	flat, stripes := make([]float64, side*side), make([]float64, side*side)
	for i := range flat {
		flat[i] = .5
		stripes[i] = float64(i / 4 % 2) // four cells wide
	}
	if s := sum(structure(flat, side)); s > 1e-12 {
		t.Errorf("a flat pattern has the complexity %v", s)
	}
	got := structure(stripes, side)
	for k, v := range got {
		if (v > .01) != (k == 1) { // lost where blocks of four become blocks of eight
			t.Errorf("stripes of four at scale %d: %v", k, v)
		}
	}
}

// An entry signs bounds for every knob of the law, and wherever within them
// Tier 2 may go, each precision keeps the budget that contexts have for it: at
// all corners, from a fresh start each.
func TestBudgetsHoldWhereverKnobsMayGo(t *testing.T) {
	t.Run("gray-scott", func(t *testing.T) { budgetsHold(t, GrayScott()) })
	t.Run("noisy", func(t *testing.T) { budgetsHold(t, NoisyGrayScott()) })
}

func budgetsHold(t *testing.T, l Law) {
	d, err := New(l, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	b, err := d.Build(t.Context(), Baseline(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Knobs) != len(l.Knobs) {
		t.Fatalf("%d knobs in the bundle, the law has %d", len(b.Knobs), len(l.Knobs))
	}
	for i, k := range b.Knobs {
		if !(l.Knobs[i].Min <= k.Bounds.Min && k.Bounds.Min < k.Bounds.Max && k.Bounds.Max <= l.Knobs[i].Max && k.Bounds.MaxDelta > 0) {
			t.Errorf("knob %s: %+v within %+v", k.Name, k.Bounds, l.Knobs[i])
		}
	}
	p := prepared(t, l)
	for which := range uint64(1) << len(l.Knobs) {
		knobs := l.corner(which)
		start := l.NewStart(32, 32, seedOf(which))
		want, err := p.Interpret(t.Context(), F64, start, knobs, errorSteps)
		if err != nil {
			t.Fatal(err)
		}
		for in, budget := range map[Precision]budget{F32: budgets[1], I16: budgets[2]} {
			got, err := p.Interpret(t.Context(), in, start, knobs, errorSteps)
			if err != nil {
				t.Fatal(err)
			}
			if most, statistic := l.Distance(want, got); most > budget.error || statistic > budget.statistic {
				t.Errorf("corner %b in %v: %v and %v, the budget is %v and %v", which, in, most, statistic, budget.error, budget.statistic)
			}
		}
	}
}

// No corner of what may move online kills the pattern.
func TestPatternsLiveWhereverKnobsMayGo(t *testing.T) {
	t.Run("gray-scott", func(t *testing.T) { patternsLive(t, GrayScott()) })
	t.Run("noisy", func(t *testing.T) { patternsLive(t, NoisyGrayScott()) })
}

func patternsLive(t *testing.T, l Law) {
	const steps = 4000
	p := prepared(t, l)
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	module, err := p.Emit(plain, 32)
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.compile(t.Context(), p, plain, 32, module)
	if err != nil {
		t.Fatal(err)
	}
	for which := range uint64(1) << len(l.Knobs) {
		got, err := k.runFrom(t.Context(), l.NewStart(32, 32, seedOf(which)), l.corner(which), steps)
		if err != nil {
			t.Fatal(err)
		}
		if c := l.Complexity(got); c < .001 {
			t.Errorf("corner %b: the pattern is dead, complexity %v", which, c)
		}
	}
}
