package universe

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

func seedOf(n uint64) *rand.Rand { return seed.Stream(seed.Root(n), "test/start") }

// staged opens kernels of the plans and a universe with all of them ready.
func staged(t *testing.T, width, height int, plans ...Plan) (*Universe, *Field, []*Staged) {
	t.Helper()
	return stagedBy(t, nil, GrayScott(), width, height, plans...)
}

func stagedLaw(t *testing.T, l Law, width, height int, plans ...Plan) (*Universe, *Field, []*Staged) {
	t.Helper()
	return stagedBy(t, nil, l, width, height, plans...)
}

// stagedBy loads their precompiled code where there is a compiler of it.
func stagedBy(t *testing.T, c *Precompiler, l Law, width, height int, plans ...Plan) (*Universe, *Field, []*Staged) {
	t.Helper()
	p := prepared(t, l)
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	o.AllowPrecompiled(c)
	start := p.law.NewStart(width, height, seedOf(5))
	u := NewUniverse(start.Clone())
	var out []*Staged
	for _, plan := range plans {
		files, err := p.Files(plan)
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			if files, err = c.add(t.Context(), p, plan, files); err != nil {
				t.Fatal(err)
			}
		}
		k, err := o.Open(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		if k.Precompiled() != (c != nil) {
			t.Fatalf("%s: loaded %v", k, k.Precompiled())
		}
		s, err := u.Stage(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return u, start, out
}

// While one goroutine steps, another switches 10,000 times among kernels of
// one precision: no step is lost, and the field is the one of a universe that
// never switched.
func TestTenThousandSwitchesLoseNoStep(t *testing.T) { tenThousandSwitches(t, nil) }

// The same with code that was loaded, each variant in a machine of its own.
func TestTenThousandSwitchesOfPrecompiledKernelsLoseNoStep(t *testing.T) {
	tenThousandSwitches(t, needsPrecompiler(t))
}

func tenThousandSwitches(t *testing.T, c *Precompiler) {
	u, start, s := stagedBy(t, c, GrayScott(), 32, 32, Plan{F64, false, 1, 1, 64, false}, Plan{F64, true, 2, 4, 8, false}, Plan{F64, true, 4, 2, 16, true})
	u.Switch(s[0])
	const switches, steps = 10_000, 3
	turn, done := make(chan int), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for i := range turn {
			u.Switch(s[i%len(s)])
		}
	})
	served := 0
	for i := range switches {
		turn <- i
		if _, err := u.Step(t.Context(), steps); err != nil {
			t.Fatal(err)
		}
		served += steps
	}
	close(turn)
	group.Wait()
	<-done
	if u.Steps() != uint64(served) {
		t.Errorf("%d steps of %d", u.Steps(), served)
	}
	if u.HandOvers() < switches/2 {
		t.Errorf("%d hand-overs of %d switches: the test shows nothing", u.HandOvers(), switches)
	}
	// The reference does not switch, and takes its steps at once.
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	if err := sameBits(step(t, m, prepared(t, GrayScott()), Plan{F64, true, 1, 1, 64, false}, start, GrayScott().Defaults(), served), u.Field()); err != nil {
		t.Error(err)
	}
}

// Down to a coarser precision and back: the field stays within the coarse
// budget of the one that never left.
func TestASwitchOfPrecisionStaysWithinItsBudget(t *testing.T) {
	u, start, s := staged(t, 256, 32, Plan{F64, true, 2, 1, 64, false}, Plan{F32, true, 2, 1, 64, false}, Plan{I16, true, 2, 2, 16, false})
	p := prepared(t, GrayScott())
	steps := 0
	for round := range 6 {
		u.Switch(s[[]int{0, 1, 0, 2, 1, 0}[round]])
		if _, err := u.Step(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		steps += 7
	}
	want, err := p.Interpret(t.Context(), F64, start, p.law.Defaults(), steps)
	if err != nil {
		t.Fatal(err)
	}
	if d := statisticDifference(p.law, want, u.Field()); d > budgets[2].statistic {
		t.Errorf("statistics differ by %v, the budget is %v", d, budgets[2].statistic)
	}
}

func TestKnobsMoveWhileAUniverseSteps(t *testing.T) {
	u, start, s := staged(t, 32, 32, Plan{F64, true, 2, 1, 64, false}, Plan{F64, false, 1, 4, 8, true})
	p := prepared(t, GrayScott())
	u.Switch(s[0])
	want := start
	for round := range 4 {
		knobs := p.law.Defaults()
		knobs[0] += .01 * float64(round)
		if err := u.SetKnobs(p.law, knobs); err != nil {
			t.Fatal(err)
		}
		u.Switch(s[round%2])
		if _, err := u.Step(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		var err error
		if want, err = p.Interpret(t.Context(), F64, want, knobs, 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := sameBits(want, u.Field()); err != nil {
		t.Error(err)
	}
	if err := u.SetKnobs(p.law, []float64{1, 0, 0, 0, 0}); err == nil {
		t.Error("a knob outside its bounds was taken")
	}
}
