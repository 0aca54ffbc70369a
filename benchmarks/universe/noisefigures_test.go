package universe

import (
	"fmt"
	"os"
	goruntime "runtime"
	"testing"
)

// ARQON_FIGURES=1 go test -run TestFiguresOfNoise -v ./benchmarks/universe
// prints what noise costs: nanoseconds of processor time a cell and step of
// Gray-Scott and of its noisy relative, all arms of a width interleaved, the
// least of the rounds; and what it makes of a pattern.
func TestFiguresOfNoise(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	noiseCosts(t, m)
	noiseShows(t, m)
}

func noiseCosts(t *testing.T, m *machine) {
	const rounds = 15
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	for _, width := range Widths {
		var arms []*arm
		for _, law := range []Law{GrayScott(), NoisyGrayScott()} {
			p := prepared(t, law)
			for _, plan := range []Plan{
				{F64, false, 1, 1, 64, false}, {F64, true, 4, 1, 64, false}, {F32, true, 4, 1, 64, false}, {F32, true, 4, 4, 32, false}, {I16, true, 4, 1, 64, false}, {I16, true, 4, 8, 64, false},
			} {
				a := emittedArm(t, m, p, plan, width)
				a.name = law.Name + " " + a.name
				arms = append(arms, a)
			}
		}
		interleaved(t, arms, rounds, width)
		for i, a := range arms[len(arms)/2:] {
			t.Logf("%4d  %-60s %.2f  without %.2f  %.2f more", width, a.name, a.best, arms[i].best, a.best-arms[i].best)
		}
	}
}

// noiseShows is the complexity of patterns by strength of the noise, after as
// many steps as the search over laws takes, and after many.
func noiseShows(t *testing.T, m *machine) {
	const starts = 8
	law := NoisyGrayScott()
	p := prepared(t, law)
	plan := Plan{F32, true, 4, 1, 64, false}
	for _, side := range []int{32, 256} {
		module, err := p.Emit(plan, side)
		if err != nil {
			t.Fatal(err)
		}
		k, err := m.compile(t.Context(), p, plan, side, module)
		if err != nil {
			t.Fatal(err)
		}
		for _, strength := range []float64{0, .05, .07, .1, .13, .2, .3, .4, .5, .7} {
			line := ""
			for _, steps := range []int{lawSteps, 8 * lawSteps} {
				if side > 32 && steps > lawSteps {
					continue
				}
				mean := 0.0
				knobs := law.Defaults()
				knobs[5] = strength
				for i := range starts {
					got, err := k.runFrom(t.Context(), law.NewStart(side, side, seedOf(uint64(500+i))), knobs, steps)
					if err != nil {
						t.Fatal(err)
					}
					mean += law.Complexity(got) / starts
				}
				line += fmt.Sprintf("  %.4f after %d steps", mean, steps)
			}
			t.Logf("%d², noise %.2f:%s", side, strength, line)
		}
	}
}
