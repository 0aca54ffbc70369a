package universe

import (
	"fmt"
	"math"
	"os"
	goruntime "runtime"
	"testing"
	"time"
)

// ARQON_FIGURES=1 go test -run TestFiguresOfNative -v ./benchmarks/universe
// compares native kernels with Emit's and with a plain Go loop: nanoseconds a
// cell and step, the least of interleaved rounds, of processor time (of this
// thread and of the kernel's process) and of wall time (the way to the other
// process and back included); many steps a command, and eight, as arqon run
// gives them.
func TestFiguresOfNative(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	n := needsNative(t)
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	const rounds, few = 25, 8
	for _, width := range Widths {
		many := max(few, 1<<20/(width*width)/few*few)
		var arms []*nativeArm
		start := p.law.NewStart(width, width, seedOf(3))
		add := func(name string, k *kernel) {
			g, err := k.open(t.Context(), width)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closes(t, g.close); closes(t, k.close) })
			g.write(start)
			arms = append(arms, &nativeArm{name: name, run: func(steps int) error { return g.steps(t.Context(), steps) }, grid: g})
		}
		now, next, knobs := singles(start, p.law)
		arms = append(arms, &nativeArm{name: "plain Go f32", grid: &grid{}, run: func(steps int) error {
			for range steps {
				grayScottLoop(now, next, width, width, knobs)
				now, next = next, now
			}
			return nil
		}})
		for _, plan := range []Plan{
			{F64, true, 4, 1, 64, false}, {F32, true, 4, 1, 64, false}, {F32, true, 4, 4, 32, false},
			{I16, true, 4, 1, 64, false}, {I16, true, 4, 8, 64, false},
		} {
			module, err := p.Emit(plan, width)
			if err != nil {
				t.Fatal(err)
			}
			k, err := m.compile(t.Context(), p, plan, width, module)
			if err != nil {
				t.Fatal(err)
			}
			add(fmt.Sprintf("%v in WebAssembly (%d bytes)", plan, len(module)), k)
			for _, level := range n.levels {
				code, _, err := n.compile(t.Context(), p, plan, width, level)
				if err != nil {
					t.Fatal(err)
				}
				if k, err = nativeKernel(p, plan, width, code); err != nil {
					t.Fatal(err)
				}
				add(fmt.Sprintf("%v %s (%d bytes)", plan, level, len(code)), k)
			}
		}
		for range rounds {
			for _, a := range arms {
				for i, steps := range []int{many, few} {
					if err := a.round(i, steps, width*width); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		t.Logf("%4d  %-52s %21s %21s", width, "", fmt.Sprintf("%d steps: cpu, wall", many), fmt.Sprintf("%d steps: cpu, wall", few))
		for _, a := range arms {
			t.Logf("%4d  %-52s %10.3f %10.3f %10.3f %10.3f", width, a.name, a.best[0][0], a.best[0][1], a.best[1][0], a.best[1][1])
		}
	}
}

// nativeArm is one thing that steps, and its least times: of many steps and of
// few, processor and wall.
type nativeArm struct {
	name string
	run  func(steps int) error
	grid *grid
	best [2][2]float64
}

func (a *nativeArm) round(which, steps, cells int) error {
	var wall time.Duration
	cpu, err := a.grid.spent(func() error {
		began := time.Now()
		defer func() { wall = time.Since(began) }()
		return a.run(steps)
	})
	if err != nil {
		return err
	}
	for i, d := range []time.Duration{cpu, wall} {
		x := float64(d) / float64(steps*cells)
		if b := &a.best[which][i]; *b == 0 || x < *b {
			*b = math.Max(x, math.SmallestNonzeroFloat64)
		}
	}
	return nil
}
