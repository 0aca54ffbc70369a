package universe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
)

// Native kernels are machine code. They have no interpreter between them and
// the processor, and nothing shows that they end. So each grid of one steps in
// a process of its own that shares no memory with the host but the fields, has
// given up every system call but read, write and exit before the first
// instruction of the kernel (native/amd64.S), and is killed when its time is
// over. A host must allow them by name all the same: see Loader.AllowNative.

// ErrNativeRefused is wrapped by the refusal of a native kernel by a host that
// has not allowed them.
var ErrNativeRefused = errors.New("native kernels are not allowed here: they are machine code outside of WebAssembly's sandbox")

// FeatureNative is what a host must offer, beside a level of its processor, to
// be given an entry with a native kernel: an envelope's cpu_features name both.
const FeatureNative = "native"

// cpuLevel is a level of the x86-64 psABI: what clang's -march names.
type cpuLevel struct {
	name   string
	vector int      // bytes of its vectors
	flags  []string // of /proc/cpuinfo, beside those of the levels before
}

// cpuLevels are those that kernels are built for, each with what the ones
// before have. Level 1 has no pmulhrsw.
var cpuLevels = []cpuLevel{
	{"x86-64-v2", 16, []string{"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}},
	{"x86-64-v3", 32, []string{"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}},
	{"x86-64-v4", 64, []string{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}},
}

// levelOf finds a level by name.
func levelOf(name string) (cpuLevel, error) {
	for _, l := range cpuLevels {
		if l.name == name {
			return l, nil
		}
	}
	return cpuLevel{}, fmt.Errorf("processor level %.40q is unknown", name)
}

// CPULevels are the levels that this machine has, lowest first; none where
// native kernels are not known.
func CPULevels() []string {
	if goruntime.GOOS != "linux" || goruntime.GOARCH != "amd64" {
		return nil
	}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	return levelsIn(f)
}

// cpuinfoMax is how much of /proc/cpuinfo is read: the first processor's part
// is some kilobytes, and all must have what one has.
const cpuinfoMax = 64 << 10

func levelsIn(r io.Reader) []string {
	lines := bufio.NewScanner(io.LimitReader(r, cpuinfoMax))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		have := strings.Fields(value)
		var out []string
		for _, l := range cpuLevels {
			for _, f := range l.flags {
				if !slices.Contains(have, f) {
					return out
				}
			}
			out = append(out, l.name)
		}
		return out
	}
	return nil
}

// NativeFeatures is what a host that allows native kernels offers to
// envelopes: FeatureNative and the levels of its processor; nil where there is
// no such kernel.
func NativeFeatures() []string {
	if levels := CPULevels(); len(levels) > 0 {
		return append([]string{FeatureNative}, levels...)
	}
	return nil
}

// Native builds native kernels: clang for this machine, with ld.lld.
type Native struct {
	clang  *Clang
	levels []string
}

// FindNative looks for clang and its linker for this machine, at path or where
// programs are if path is empty, and builds and runs a kernel. An error says
// what is missing.
func FindNative(ctx context.Context, path string) (*Native, error) {
	n := &Native{levels: CPULevels()}
	if len(n.levels) == 0 {
		return nil, fmt.Errorf("native kernels: made for Linux on amd64 with at least %s, this is %s on %s", cpuLevels[0].name, goruntime.GOOS, goruntime.GOARCH)
	}
	var err error
	if n.clang, err = clangAt(ctx, path); err != nil {
		return nil, err
	}
	said, err := n.clang.run(ctx, nil, "-print-prog-name=ld.lld")
	if err != nil {
		return nil, err
	}
	if n.clang.linker, err = exec.LookPath(strings.TrimSpace(string(said))); err != nil {
		return nil, fmt.Errorf("%s has no linker ld.lld (Debian package lld): %w", n.clang.path, err)
	}
	if n.clang.linker, err = filepath.EvalSymlinks(n.clang.linker); err != nil {
		return nil, err
	}
	p, err := Prepare(GrayScott())
	if err != nil {
		return nil, err
	}
	plan := Plan{Precision: I16, SIMD: true, Unroll: 1, Fuse: 1, Rows: bands[0]}
	level := n.levels[len(n.levels)-1]
	code, _, err := n.compile(ctx, p, plan, Widths[0], level)
	if err != nil {
		return nil, err
	}
	k, err := nativeKernel(p, plan, Widths[0], code)
	if err == nil {
		err = errors.Join(k.golden(ctx, 1), k.close())
	}
	if err != nil {
		return nil, fmt.Errorf("%s (%s) does not build kernels for %s: %w", n.clang.path, n.clang.version, level, err)
	}
	return n, nil
}

// String says which compiler it is.
func (n *Native) String() string { return n.clang.version + " for " + n.levels[len(n.levels)-1] }

// flags are the arguments for a kernel: clang's, but for this machine.
func (n *Native) flags(level string) []string {
	out := []string{
		"-O3", "-march=" + level, "--target=x86_64-unknown-linux-gnu", "-std=c11", "-w", "-ffreestanding", "-fno-builtin", "-nostdlib",
		"-ffp-contract=off", "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-fno-stack-protector",
		"-fno-asynchronous-unwind-tables", "-fno-unroll-loops", "-fno-pic", "-no-pie", "-static", "-fuse-ld=lld", "-Wl,--entry=run", "-Wl,--strip-all", "-Wl,--build-id=none",
		"-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,noseparate-code", fmt.Sprintf("-Wl,--image-base=%#x", nativeCode),
	}
	if level == "x86-64-v4" {
		out = append(out, "-mprefer-vector-width=512")
	}
	return out
}

// compile builds the kernel of a width: a static program whose entry is the
// kernel itself, and the source.
func (n *Native) compile(ctx context.Context, p *Program, plan Plan, width int, level string) (code []byte, source string, err error) {
	of, err := levelOf(level)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", benchmarks.ErrBadCandidate, err)
	}
	if source, err = p.source(plan, width, cTarget{base: nativeBase, vector: of.vector, x86: true}); err != nil {
		return nil, "", fmt.Errorf("%w: %w", benchmarks.ErrBadCandidate, err)
	}
	code, err = n.clang.build(ctx, source, "kernel.elf", n.flags(level))
	return code, source, err
}

// nativeFiles builds the law by the plan for every width, and says who did it
// and for which processors.
func (p *Program) nativeFiles(ctx context.Context, n *Native, plan Plan, level string) ([]benchmarks.File, error) {
	digest, err := n.clang.Digest()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", benchmarks.ErrBuildFailed, err)
	}
	builder := &builderFile{
		Name: builderNative, Version: n.clang.version, Compiler: digest, Flags: n.flags(level),
		Native: &nativeFile{Tier: FeatureNative, OS: "linux", Arch: "amd64", CPU: level, ABI: nativeABI},
	}
	var codes [][]byte
	for _, width := range Widths {
		code, source, err := n.compile(ctx, p, plan, width, level)
		if err != nil {
			return nil, err
		}
		if _, err := readNative(code); err != nil {
			return nil, fmt.Errorf("width %d: %w: %w", width, benchmarks.ErrBadCandidate, err)
		}
		codes = append(codes, code)
		builder.Modules = append(builder.Modules, builtModule{
			Source: digestOf([]byte(source)), Memory: layoutOf(p, plan, width).pages(width) * pageBytes, Code: digestOf(code),
		})
	}
	return p.files(plan, codes, builder)
}

// nativeFile is what a host must be to run a native kernel.
type nativeFile struct {
	Tier string `json:"tier"` // FeatureNative
	OS   string `json:"os"`   // "linux"
	Arch string `json:"arch"` // "amd64"
	CPU  string `json:"cpu"`  // a level: "x86-64-v3"
	ABI  int    `json:"abi"`  // nativeABI
}

// nativeABI names how a host and a kernel talk: where its memory and its code
// are, and what it is called with. Change it with native/amd64.S and nativeBase.
const nativeABI = 1

func (f *nativeFile) check() error {
	if f.Tier != FeatureNative || f.OS != "linux" || f.Arch != "amd64" {
		return fmt.Errorf("tier %.20q for %.20q on %.20q: want %s for linux on amd64", f.Tier, f.OS, f.Arch, FeatureNative)
	}
	if f.ABI != nativeABI {
		return fmt.Errorf("made for hosts with ABI %d, this program has %d: build it again", f.ABI, nativeABI)
	}
	_, err := levelOf(f.CPU)
	return err
}

// permission is what a loader allows; the zero value allows nothing.
type permission struct {
	native bool
	levels []string // of this machine
}

// AllowNative lets the loader open native kernels that this machine's processor
// can run. Without it they are refused: they are outside of WebAssembly's
// sandbox, and whoever runs a host must want that.
func (o *Loader) AllowNative() { o.may = permission{true, CPULevels()} }

// check refuses a native kernel that the host does not want or cannot run.
func (m permission) check(n *nativeFile) error {
	switch {
	case !m.native:
		return ErrNativeRefused
	case len(m.levels) == 0:
		return fmt.Errorf("made for %s on %s with %s, which this machine is not", n.OS, n.Arch, n.CPU)
	case !slices.Contains(m.levels, n.CPU):
		return fmt.Errorf("made for processors of level %s, this one has %s", n.CPU, m.levels[len(m.levels)-1])
	}
	return nil
}

// native opens what a compiler has built for this machine. The golden run is
// on every width: nothing else ties the code to its law.
func (o *Loader) native(ctx context.Context, p *Program, plan Plan, width int, code []byte, judged string) (*kernel, error) {
	if got := digestOf(code); got != judged {
		return nil, fmt.Errorf("%w: it is %.15s…, what was judged is %.15s…", ErrBadKernel, got, judged)
	}
	k, err := nativeKernel(p, plan, width, code)
	if err != nil {
		return nil, err
	}
	if err := k.golden(ctx, 1); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// nativeKernel makes code ready to be started for grids of a width.
func nativeKernel(p *Program, plan Plan, width int, code []byte) (*kernel, error) {
	segments, err := readNative(code)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	k := &kernel{program: p, plan: plan, at: layoutOf(p, plan, width)}
	size := k.at.pages(width) * pageBytes
	if k.native, err = newNativeImage(nativeProgram(code, segments, size), size); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	return k, nil
}
