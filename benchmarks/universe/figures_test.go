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

// grayScottLoop is the best plain Go loop that we know for one step: rows as
// slices of one length, so that the inner loop checks no bound, and the edges
// outside of it.
func grayScottLoop(now, next [2][]float32, width, height int, k []float32) {
	feed, kill, diffU, diffV, dt := k[0], k[1], k[2], k[3], k[4]
	both := feed + kill
	for y := range height {
		o, above, below := y*width, (y+height-1)%height*width, (y+1)%height*width
		u, uUp, uDown := now[0][o:o+width], now[0][above:][:width], now[0][below:][:width]
		v, vUp, vDown := now[1][o:o+width], now[1][above:][:width], now[1][below:][:width]
		toU, toV := next[0][o:][:width], next[1][o:][:width]
		cell := func(x, left, right int) {
			cu, cv := u[x], v[x]
			lapU := (u[left] + u[right]) + (uUp[x] + uDown[x]) - 4*cu
			lapV := (v[left] + v[right]) + (vUp[x] + vDown[x]) - 4*cv
			uvv := cu * cv * cv
			toU[x] = cu + dt*(diffU*lapU-uvv+feed*(1-cu))
			toV[x] = cv + dt*(diffV*lapV+uvv-both*cv)
		}
		cell(0, width-1, 1)
		uUp, uDown, v, vUp, vDown, toU, toV = uUp[:len(u)], uDown[:len(u)], v[:len(u)], vUp[:len(u)], vDown[:len(u)], toU[:len(u)], toV[:len(u)]
		for x := 1; x < len(u)-1; x++ {
			cu, cv := u[x], v[x]
			lapU := (u[x-1] + u[x+1]) + (uUp[x] + uDown[x]) - 4*cu
			lapV := (v[x-1] + v[x+1]) + (vUp[x] + vDown[x]) - 4*cv
			uvv := cu * cv * cv
			toU[x] = cu + dt*(diffU*lapU-uvv+feed*(1-cu))
			toV[x] = cv + dt*(diffV*lapV+uvv-both*cv)
		}
		cell(width-1, width-2, 0)
	}
}

func TestThePlainLoopComputesTheLaw(t *testing.T) {
	law := GrayScott()
	start := law.NewStart(32, 32, seedOf(9))
	now, next, knobs := singles(start, law)
	for range 5 {
		grayScottLoop(now, next, 32, 32, knobs)
		now, next = next, now
	}
	want, err := prepared(t, law).Interpret(t.Context(), F64, start, law.Defaults(), 5)
	if err != nil {
		t.Fatal(err)
	}
	for c := range now {
		for i, v := range now[c] {
			if d := math.Abs(float64(v) - want.Planes[c][i]); d > 1e-5 {
				t.Fatalf("channel %d, cell %d: %v off", c, i, d)
			}
		}
	}
}

func singles(f *Field, l Law) (now, next [2][]float32, knobs []float32) {
	for c, p := range f.Planes {
		now[c], next[c] = make([]float32, len(p)), make([]float32, len(p))
		for i, v := range p {
			now[c][i] = float32(v)
		}
	}
	for _, v := range l.Defaults() {
		knobs = append(knobs, float32(v))
	}
	return now, next, knobs
}

// arm is one of several that are timed in turns.
type arm struct {
	name string
	run  func(steps int) error
	best float64 // nanoseconds of processor time a cell and step, least of the rounds
}

// emittedArm steps a field by a kernel of the emitter's.
func emittedArm(t *testing.T, m *machine, p *Program, plan Plan, width int) *arm {
	t.Helper()
	module, err := p.Emit(plan, width)
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.compile(t.Context(), p, plan, width, module)
	if err != nil {
		t.Fatal(err)
	}
	g, err := k.open(t.Context(), width)
	if err != nil {
		t.Fatal(err)
	}
	g.write(p.law.NewStart(width, width, seedOf(3)))
	return &arm{fmt.Sprintf("%v (%d bytes)", plan, len(module)), func(steps int) error { return g.steps(t.Context(), steps) }, math.Inf(1)}
}

// interleaved times a million cells or eight steps of every arm in each round.
func interleaved(t *testing.T, arms []*arm, rounds, width int) {
	t.Helper()
	steps := max(8, 1<<20/(width*width)/8*8)
	for range rounds {
		for _, a := range arms {
			from, err := benchmarks.ThreadCPU()
			if err := errors.Join(err, a.run(steps)); err != nil {
				t.Fatal(err)
			}
			to, err := benchmarks.ThreadCPU()
			if err != nil {
				t.Fatal(err)
			}
			a.best = min(a.best, float64(to-from)/float64(steps*width*width))
		}
	}
}

// ARQON_FIGURES=1 go test -run TestFigures -v ./benchmarks/universe prints the
// table of docs/universe.md: nanoseconds of processor time a cell and step,
// the least of several interleaved rounds.
func TestFigures(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	for _, width := range Widths {
		start := p.law.NewStart(width, width, seedOf(3))
		now, next, knobs := singles(start, p.law)
		arms := []*arm{{"plain Go f32", func(steps int) error {
			for range steps {
				grayScottLoop(now, next, width, width, knobs)
				now, next = next, now
			}
			return nil
		}, math.Inf(1)}}
		for _, plan := range []Plan{
			{F64, false, 1, 1, 64, false}, {F64, true, 4, 1, 64, false}, {F32, false, 1, 1, 64, false}, {F32, false, 2, 1, 64, false},
			{F32, true, 1, 1, 64, false}, {F32, true, 4, 1, 64, false}, {F32, true, 4, 4, 32, false}, {I16, false, 1, 1, 64, false},
			{I16, true, 1, 1, 64, false}, {I16, true, 4, 1, 64, false}, {I16, true, 4, 8, 64, false},
		} {
			arms = append(arms, emittedArm(t, m, p, plan, width))
		}
		interleaved(t, arms, 7, width)
		for _, a := range arms {
			t.Logf("%4d  %-36s %6.2f", width, a.name, a.best)
		}
	}
}

// BenchmarkStage is all of what a host does before a swap: read, emit anew and
// compare, compile three widths, and make a grid of the middle one.
func BenchmarkStage(b *testing.B) {
	p, err := Prepare(GrayScott())
	if err != nil {
		b.Fatal(err)
	}
	files, err := p.Files(Plan{F32, true, 4, 4, 32, false})
	if err != nil {
		b.Fatal(err)
	}
	o := NewLoader(nil) // which knows no law: preparing it is part of this
	u := NewUniverse(p.law.NewStart(256, 256, seedOf(1)))
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	from, err := benchmarks.ThreadCPU()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := o.Open(b.Context(), files)
		if err != nil {
			b.Fatal(err)
		}
		s, err := u.Stage(b.Context(), k)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.grid.kernel.golden(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if err := k.Close(); err != nil {
			b.Fatal(err)
		}
	}
	to, err := benchmarks.ThreadCPU()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((to-from).Nanoseconds())/float64(b.N), "thread-ns/op")
}

// BenchmarkSwitch is the swap itself, as who switches sees it.
func BenchmarkSwitch(b *testing.B) {
	u := NewUniverse(GrayScott().NewStart(32, 32, seedOf(1)))
	two := [2]*Staged{{}, {}}
	i := 0
	for b.Loop() {
		u.Switch(two[i&1])
		i++
	}
}

// BenchmarkHandOver switches and takes no step: what a swap adds to the step
// after it.
func BenchmarkHandOver(b *testing.B) {
	f64, f64SIMD, f32 := Plan{F64, false, 1, 1, 64, false}, Plan{F64, true, 2, 4, 8, false}, Plan{F32, true, 4, 1, 64, false}
	for _, width := range Widths {
		for _, to := range []Plan{f64SIMD, f32} {
			b.Run(fmt.Sprintf("%d/f64-%v", width, to.Precision), func(b *testing.B) {
				p, err := Prepare(GrayScott())
				if err != nil {
					b.Fatal(err)
				}
				o := NewLoader(p)
				u := NewUniverse(p.law.NewStart(width, width, seedOf(1)))
				var two [2]*Staged
				for i, plan := range []Plan{f64, to} {
					files, err := p.Files(plan)
					if err != nil {
						b.Fatal(err)
					}
					k, err := o.Open(b.Context(), files)
					if err != nil {
						b.Fatal(err)
					}
					if two[i], err = u.Stage(b.Context(), k); err != nil {
						b.Fatal(err)
					}
				}
				i := 0
				for b.Loop() {
					u.Switch(two[i%2])
					i++
					if _, err := u.Step(b.Context(), 0); err != nil {
						b.Fatal(err)
					}
				}
				if err := o.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
