package universe

import (
	"errors"
	"fmt"
	"math"
	"os"
	goruntime "runtime"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// ARQON_FIGURES=1 go test -run TestFiguresOfClang -v ./benchmarks/universe
// compares Emit's kernels with clang's, and those with what they would be
// without their counter: nanoseconds of processor time a cell and step, the
// least of interleaved rounds.
func TestFiguresOfClang(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	c := needsClang(t)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	const rounds = 15
	ratios, n := 0., 0
	for _, width := range Widths {
		steps := max(8, 1<<20/(width*width)/8*8)
		for _, plan := range []Plan{
			{F64, true, 4, 1, 64, false}, {F32, false, 2, 1, 64, false}, {F32, true, 1, 1, 64, false}, {F32, true, 4, 1, 64, false},
			{F32, true, 4, 4, 32, false}, {I16, false, 1, 1, 64, false}, {I16, true, 2, 1, 64, false}, {I16, true, 4, 1, 64, false}, {I16, true, 4, 8, 64, false},
		} {
			emitted, err := p.Emit(plan, width)
			if err != nil {
				t.Fatal(err)
			}
			names, modules := []string{"Emit"}, [][]byte{emitted}
			for _, level := range levels {
				module, _, err := c.compile(t.Context(), p, plan, width, level)
				if err != nil {
					t.Fatal(err)
				}
				metered, err := meter(module, fuelOf(plan, layoutOf(p, plan, width)))
				if err != nil {
					t.Fatal(err)
				}
				names, modules = append(names, level+" bare", level), append(modules, module, metered)
			}
			best := make([]float64, len(modules))
			var grids []*grid
			for i, module := range modules {
				best[i] = math.Inf(1)
				compiled, err := m.runtime.CompileModule(t.Context(), module)
				if err != nil {
					t.Fatal(err)
				}
				k := &kernel{machine: m, program: p, plan: plan, at: layoutOf(p, plan, width), compiled: compiled}
				g, err := k.open(t.Context(), width)
				if err != nil {
					t.Fatal(err)
				}
				g.write(p.law.NewStart(width, width, seedOf(3)))
				grids = append(grids, g)
			}
			for range rounds {
				for i, g := range grids {
					from, err := benchmarks.ThreadCPU()
					if err := errors.Join(err, g.steps(t.Context(), steps)); err != nil {
						t.Fatal(err)
					}
					to, err := benchmarks.ThreadCPU()
					if err != nil {
						t.Fatal(err)
					}
					best[i] = min(best[i], float64(to-from)/float64(steps*width*width))
				}
			}
			line := ""
			for i, name := range names {
				line += fmt.Sprintf("  %s %.2f", name, best[i])
				if i > 0 && i%2 == 0 {
					ratios, n = ratios+math.Log(best[i]/best[i-1]), n+1
				}
			}
			t.Logf("%4d %-22v%s", width, plan, line)
			for _, g := range grids {
				closes(t, g.close)
				closes(t, g.kernel.close)
			}
		}
	}
	t.Logf("a counter costs %+.1f %% (geometric mean of %d)", 100*math.Expm1(ratios/float64(n)), n)
}
