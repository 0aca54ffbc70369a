//go:build linux && amd64

package universe

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pretending is kernels of the plan that are the code, whatever it computes: no
// golden run has seen them.
func pretending(t *testing.T, p *Program, plan Plan, code []byte) *Kernels {
	t.Helper()
	k, err := nativeKernel(p, plan, 32, code)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, k.close) })
	return &Kernels{program: p, plan: plan, by: map[int]*kernel{32: k}}
}

// Whatever becomes of a native kernel's process, the rescue goes on from the
// field as it was, with the knobs as they were, and no step is missing: bits
// are those of a universe that never left WebAssembly, of a law with noise too.
func TestALostProcessLosesNoStep(t *testing.T) {
	needsCPU(t)
	exact := Plan{F64, false, 1, 1, 64, false}
	for _, tc := range []struct {
		name, want string
		code       []byte
	}{
		{"a crash", "segmentation fault", machineCode(codeOutside...)},
		{"a system call", "signal: killed", machineCode(codeSystem...)},
		{"a hang", "did not end within", machineCode(codeHangs...)},
		{"nonsense", "neither grid", machineCode(codeNowhere...)},
		{"an end", "it ended: exit status 0", machineCode(codeLeaves...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, start, s := stagedLaw(t, NoisyGrayScott(), 32, 32, exact)
			u.Switch(s[0])
			rogue, err := u.Stage(t.Context(), pretending(t, prepared(t, NoisyGrayScott()), exact, tc.code))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { closes(t, rogue.Close) })
			rogue.grid.process.patience = 50 * time.Millisecond
			u.SetRescue(s[0])
			knobs := NoisyGrayScott().corner(5)
			if err := u.SetKnobs(NoisyGrayScott(), knobs); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := u.Step(t.Context(), 5); err != nil {
					t.Fatal(err)
				}
				u.Switch(rogue)
			}
			if err := u.Lost(); !errors.Is(err, ErrKernelLost) || !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want a lost process and %q", err, tc.want)
			}
			m := newMachine(false)
			t.Cleanup(func() { closes(t, m.close) })
			if err := sameBits(step(t, m, prepared(t, NoisyGrayScott()), exact, start, knobs, 15), u.Field()); err != nil || u.Steps() != 15 {
				t.Errorf("after %d steps: %v", u.Steps(), err)
			}
		})
	}
}

// A process that is killed in the middle of a long life, with knobs that
// turned: the steps since the last copy are taken again.
func TestAKilledProcessLosesNoStep(t *testing.T) {
	n := needsNative(t)
	p := prepared(t, NoisyGrayScott())
	plan, exact := Plan{F64, true, 4, 2, 16, true}, Plan{F64, false, 1, 1, 64, false}
	code, _, err := n.compile(t.Context(), p, plan, 32, n.levels[0])
	if err != nil {
		t.Fatal(err)
	}
	u, start, s := stagedLaw(t, NoisyGrayScott(), 32, 32, exact)
	native, err := u.Stage(t.Context(), pretending(t, p, plan, code))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, native.Close) })
	u.SetRescue(s[0])
	u.Switch(native)
	turned := p.law.corner(9)
	for i := range 60 {
		if i == 20 {
			if err := u.SetKnobs(p.law, turned); err != nil {
				t.Fatal(err)
			}
		}
		if i == 47 {
			closes(t, native.grid.process.process.Kill)
		}
		by, err := u.Step(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		if want := i < 47; (by == native) != want {
			t.Fatalf("step %d: the native kernel took it: %v", i, by == native)
		}
	}
	if err := u.Lost(); !errors.Is(err, ErrKernelLost) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v, want a process that was killed", err)
	}
	want, err := p.Interpret(t.Context(), F64, start, p.law.Defaults(), 140)
	if err != nil {
		t.Fatal(err)
	}
	if want, err = p.interpretFrom(t.Context(), F64, want, turned, 140, 280); err != nil {
		t.Fatal(err)
	}
	if err := sameBits(want, u.Field()); err != nil || u.Steps() != 420 {
		t.Errorf("after %d steps: %v", u.Steps(), err)
	}
}

// Nobody to take over: the error is one, and stays.
func TestALossWithoutRescueIsAnError(t *testing.T) {
	needsCPU(t)
	plan := Plan{F64, false, 1, 1, 64, false}
	u := NewUniverse(GrayScott().NewStart(32, 32, seedOf(5)))
	s, err := u.Stage(t.Context(), pretending(t, prepared(t, GrayScott()), plan, machineCode(codeTrap...)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, s.Close) })
	u.Switch(s)
	for range 2 {
		if _, err := u.Step(t.Context(), 1); !errors.Is(err, ErrKernelLost) {
			t.Errorf("%v, want a lost process", err)
		}
	}
}

// A context that ends takes the process with it.
func TestAStoppedNativeKernelSaysWhy(t *testing.T) {
	needsCPU(t)
	k := pretending(t, prepared(t, GrayScott()), Plan{F64, false, 1, 1, 64, false}, machineCode(codeHangs...)).by[32]
	g, err := k.open(t.Context(), 32)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.steps(ctx, 1); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrKernelLost) {
		t.Errorf("%v, want a kernel that was stopped", err)
	}
	closes(t, g.close)
}

// What a kernel's process has: two pipes, no environment, no system call but
// four, and the end of its parent as its own.
func TestWhatAKernelsProcessHas(t *testing.T) {
	needsCPU(t)
	t.Setenv("ARQON_SECRET", "yes")
	k := pretending(t, prepared(t, GrayScott()), Plan{F64, false, 1, 1, 64, false}, machineCode(codeIdle...)).by[32]
	g, err := k.open(t.Context(), 32)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closes(t, g.close) }()
	proc := fmt.Sprintf("/proc/%d/", g.process.process.Pid)
	open, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	var fds []string
	for _, f := range open {
		to, err := os.Readlink(proc + "fd/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(to, ":")
		fds = append(fds, f.Name()+" "+kind)
	}
	if got := strings.Join(fds, ", "); got != "0 pipe, 1 pipe" {
		t.Errorf("open: %s, want two pipes", got)
	}
	if env, err := os.ReadFile(proc + "environ"); err != nil || len(env) > 0 {
		t.Errorf("its environment is %q, %v", env, err)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nSeccomp:\t1\n", "\nNoNewPrivs:\t1\n", "\nThreads:\t1\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in its status:\n%s", want, status)
		}
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes Max") {
		t.Errorf("it may leave a core file:\n%s", limits)
	}
	// What others map cannot be cut off.
	if f, err := sealed("test", pageBytes, nil, 0); err != nil || f.Truncate(0) == nil {
		t.Errorf("%v: a grid's memory can be cut off", err)
	} else {
		closes(t, f.Close)
	}
}

// The bytes that begin every native kernel's process are what their source says.
func TestTheBeginningIsItsSource(t *testing.T) {
	n := needsNative(t)
	to := filepath.Join(t.TempDir(), "amd64.o")
	out, err := exec.CommandContext(t.Context(), n.clang.path, "--target=x86_64-unknown-linux-gnu", "-c", "-o", to, "native/amd64.S").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	object, err := elf.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	got, err := object.Section(".text").Data()
	if err := errors.Join(err, object.Close()); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(nativeBegin) {
		t.Errorf("native/amd64.S gives %d bytes that are not native/amd64.bin (%d)", len(got), len(nativeBegin))
	}
}

// Staging a native bundle of three widths, golden runs included.
func BenchmarkStageNative(b *testing.B) {
	needsCPU(b)
	p, err := Prepare(GrayScott())
	if err != nil {
		b.Fatal(err)
	}
	files := keptNative(b)
	o := NewLoader(p)
	o.AllowNative()
	for b.Loop() {
		k, err := o.Open(b.Context(), files)
		if err != nil {
			b.Fatal(err)
		}
		if err := k.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRoundTrip is a command of no steps: the way there and back.
func BenchmarkRoundTrip(b *testing.B) {
	needsCPU(b)
	p, err := Prepare(GrayScott())
	if err != nil {
		b.Fatal(err)
	}
	k, err := nativeKernel(p, Plan{F64, false, 1, 1, 64, false}, 32, machineCode(codeIdle...))
	if err != nil {
		b.Fatal(err)
	}
	g, err := k.open(b.Context(), 32)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := g.steps(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(g.close(), k.close()); err != nil {
		b.Fatal(err)
	}
}
