package universe

import (
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/arqon/arqon/internal/seed"
)

// ARQON_FIGURES=1 go test -run TestFiguresOfInt16 -v ./benchmarks/universe
// prints how far int16 kernels are from the f64 oracle: the largest over some
// starts with the knobs at their defaults, and over all corners of what Tier 2
// may set.
func TestFiguresOfInt16(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	const width, height, starts = 256, 32, 8
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	for _, law := range Laws() {
		p := prepared(t, law)
		kernels := map[Precision]*kernel{}
		for _, in := range []Precision{F64, I16} {
			plan := Plan{in, true, 2, 1, 64, false}
			module, err := p.Emit(plan, width)
			if err != nil {
				t.Fatal(err)
			}
			if kernels[in], err = m.compile(t.Context(), p, plan, width, module); err != nil {
				t.Fatal(err)
			}
		}
		corners := 1 << len(law.Online())
		for _, steps := range []int{errorSteps, 1600} {
			worst := func(knobs func(i int) []float64, n int) string {
				var most, statistic, mean float64
				for i := range n {
					start := law.NewStart(width, height, seed.Stream(seed.Root(uint64(100+i%starts)), "test/int16"))
					var out [2]*Field
					for k, in := range []Precision{F64, I16} {
						var err error
						if out[k], err = kernels[in].runFrom(t.Context(), start, knobs(i), steps); err != nil {
							t.Fatal(err)
						}
					}
					a, b := law.Distance(out[0], out[1])
					most, statistic, mean = max(most, a), max(statistic, b), mean+b/float64(n)
				}
				return fmt.Sprintf("max error %.2e, statistic error %.2e (mean %.2e)", most, statistic, mean)
			}
			t.Logf("%-16s %4d steps, defaults: %s", law.Name, steps, worst(func(int) []float64 { return law.Defaults() }, starts))
			t.Logf("%-16s %4d steps, corners:  %s", law.Name, steps, worst(func(i int) []float64 { return law.corner(uint64(i)) }, corners))
		}
	}
}

// ARQON_FIGURES=1 go test -run TestFiguresOfTheBest -v ./benchmarks/universe
// compares the best int16 kernel of each builder with its best f32 kernel: all
// arms of a width interleaved, nanoseconds of processor time a cell and step,
// the least of the rounds.
func TestFiguresOfTheBest(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	c := needsClang(t)
	n := needsNative(t)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	const rounds = 25
	for _, width := range Widths {
		var arms []*nativeArm
		add := func(name string, k *kernel, err error) {
			if err != nil {
				t.Fatal(err)
			}
			g, err := k.open(t.Context(), width)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closes(t, g.close); closes(t, k.close) })
			g.write(p.law.NewStart(width, width, seedOf(3)))
			arms = append(arms, &nativeArm{name: name, run: func(steps int) error { return g.steps(t.Context(), steps) }, grid: g})
		}
		for _, plan := range []Plan{
			{F32, true, 2, 1, 64, false}, {F32, true, 4, 1, 64, false}, {F32, true, 2, 4, 32, false}, {F32, true, 4, 4, 32, false}, {F32, true, 4, 8, 64, false},
			{I16, true, 2, 1, 64, false}, {I16, true, 4, 1, 64, false}, {I16, true, 2, 4, 32, false}, {I16, true, 4, 4, 32, false}, {I16, true, 4, 8, 64, false},
		} {
			module, err := p.Emit(plan, width)
			if err != nil {
				t.Fatal(err)
			}
			k, err := m.compile(t.Context(), p, plan, width, module)
			add(fmt.Sprintf("emitter %v", plan), k, err)
			for _, level := range levels {
				module, _, err := c.compile(t.Context(), p, plan, width, level)
				if err == nil {
					module, err = meter(module, fuelOf(plan, layoutOf(p, plan, width)))
				}
				if err != nil {
					t.Fatal(err)
				}
				k, err := m.compile(t.Context(), p, plan, width, module)
				add(fmt.Sprintf("clang %v %s", plan, level), k, err)
			}
			for _, level := range n.levels {
				code, _, err := n.compile(t.Context(), p, plan, width, level)
				if err != nil {
					t.Fatal(err)
				}
				k, err := nativeKernel(p, plan, width, code)
				add(fmt.Sprintf("native %v %s", plan, level), k, err)
			}
		}
		for range rounds {
			for _, a := range arms {
				if err := a.round(0, max(8, 1<<20/(width*width)/8*8), width*width); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, builder := range []string{"emitter", "clang", "native"} {
			best := map[Precision]*nativeArm{}
			for _, a := range arms {
				if in := a.grid.kernel.plan.Precision; strings.HasPrefix(a.name, builder) && (best[in] == nil || a.best[0][0] < best[in].best[0][0]) {
					best[in] = a
				}
			}
			t.Logf("%4d  %-44s %.3f   %-44s %.3f   %.2f times", width, best[F32].name, best[F32].best[0][0], best[I16].name, best[I16].best[0][0], best[F32].best[0][0]/best[I16].best[0][0])
		}
	}
}
