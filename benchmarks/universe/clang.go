package universe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// Clang is a compiler for wasm32 on this machine, with its linker: an optional
// builder beside Emit. It may be used by several goroutines.
type Clang struct {
	path    string // the program, links followed
	linker  string
	version string // what it says of itself

	once   sync.Once // of digest: it reads a hundred megabytes
	digest string
	err    error
}

// levels are how hard clang may try.
var levels = []string{"O1", "O2", "O3"}

// Limits of a compiler's run.
const (
	clangTimeMax = time.Minute
	clangSaysMax = 1 << 10 // bytes of its complaint that a message repeats
)

// clangFlags are for every level and plan: no library, no header, no builtin
// that is not written out, products never fused, an
// address 0 that is as good as any (the knobs live there), and every address
// as base and offset.
var clangFlags = []string{
	"--target=wasm32-unknown-unknown", "-std=c11", "-w", "-ffreestanding", "-fno-builtin", "-nostdlib", "-ffp-contract=off",
	"-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-mno-bulk-memory",
	"-mllvm", "-disable-lsr",
}

// FindClang looks for clang and its WebAssembly linker: at path, or where
// programs are if path is empty. It compiles a kernel to see whether that
// works. An error says what is missing; a machine without is no less of one.
func FindClang(ctx context.Context, path string) (*Clang, error) {
	c, err := clangAt(ctx, path)
	if err != nil {
		return nil, err
	}
	said, err := c.run(ctx, nil, "--target=wasm32-unknown-unknown", "-print-prog-name=wasm-ld")
	if err != nil {
		return nil, err
	}
	if c.linker, err = exec.LookPath(strings.TrimSpace(string(said))); err != nil {
		return nil, fmt.Errorf("%s has no linker for WebAssembly (Debian package lld): %w", c.path, err)
	}
	if c.linker, err = filepath.EvalSymlinks(c.linker); err != nil {
		return nil, err
	}
	p, err := Prepare(GrayScott())
	if err != nil {
		return nil, err
	}
	plan := Plan{Precision: I16, SIMD: true, Unroll: 1, Fuse: 1, Rows: bands[0]}
	module, _, err := c.compile(ctx, p, plan, Widths[0], levels[0])
	if err == nil {
		_, err = meter(module, fuelOf(plan, layoutOf(p, plan, Widths[0])))
	}
	if err != nil {
		return nil, fmt.Errorf("%s (%s) does not build kernels: %w", c.path, c.version, err)
	}
	return c, nil
}

// clangAt is the compiler at path, "" for where programs are, without a linker.
func clangAt(ctx context.Context, path string) (*Clang, error) {
	if path == "" {
		path = "clang"
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return nil, err
	}
	if found, err = filepath.EvalSymlinks(found); err != nil {
		return nil, err
	}
	c := &Clang{path: found}
	said, err := c.run(ctx, nil, "--version")
	if err != nil {
		return nil, err
	}
	c.version, _, _ = strings.Cut(string(said), "\n")
	return c, nil
}

// String says which compiler it is.
func (c *Clang) String() string { return c.version }

// run starts the compiler with an input and returns its output. It sees
// nothing of the environment but where its linker may be.
func (c *Clang) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, clangTimeMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + os.TempDir()}
	cmd.Stdin = bytes.NewReader(input)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		said := strings.TrimSpace(complaint.String())
		return nil, fmt.Errorf("%s: %w: %.*s", c.path, err, clangSaysMax, said)
	}
	return out.Bytes(), nil
}

// flags are the arguments for a kernel, all but its largest memory.
func (c *Clang) flags(plan Plan, level string) []string {
	out := append([]string{"-" + level}, clangFlags...)
	if plan.SIMD {
		out = append(out, "-msimd128")
	}
	return append(out, "-Wl,--no-entry", "-Wl,--export=run", "-Wl,--strip-all", "-Wl,-z,stack-size=16",
		fmt.Sprintf("-Wl,--initial-memory=%d", pageBytes))
}

// clangFiles builds the law by the plan for every width, and says who did it.
func (p *Program) clangFiles(ctx context.Context, c *Clang, plan Plan, level string) ([]benchmarks.File, error) {
	digest, err := c.Digest()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", benchmarks.ErrBuildFailed, err)
	}
	builder := &builderFile{Name: builderClang, Version: c.version, Compiler: digest, Flags: c.flags(plan, level), Meter: meterVersion}
	var modules [][]byte
	for _, width := range Widths {
		at := layoutOf(p, plan, width)
		module, source, err := c.compile(ctx, p, plan, width, level)
		if err != nil {
			return nil, err
		}
		metered, err := meter(module, fuelOf(plan, at))
		if err != nil {
			return nil, fmt.Errorf("width %d: %w: %w", width, benchmarks.ErrBadCandidate, err)
		}
		modules = append(modules, module)
		builder.Modules = append(builder.Modules, builtModule{
			Source: digestOf([]byte(source)), Memory: at.pages(width) * pageBytes, Metered: digestOf(metered),
		})
	}
	return p.files(plan, modules, builder)
}

// compile builds the kernel of a width: its module, before it is metered, and
// the source. The same compiler makes the same bytes of the same plan.
func (c *Clang) compile(ctx context.Context, p *Program, plan Plan, width int, level string) (module []byte, source string, err error) {
	if source, err = p.C(plan, width); err != nil {
		return nil, "", fmt.Errorf("%w: %w", benchmarks.ErrBadCandidate, err)
	}
	flags := append(c.flags(plan, level), fmt.Sprintf("-Wl,--max-memory=%d", layoutOf(p, plan, width).pages(width)*pageBytes))
	module, err = c.build(ctx, source, "kernel.wasm", flags)
	return module, source, err
}

// build compiles and links a source, in a folder that is gone afterwards.
func (c *Clang) build(ctx context.Context, source, name string, flags []string) (out []byte, err error) {
	dir, err := os.MkdirTemp("", "arqon-clang-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	to := filepath.Join(dir, name)
	if _, err := c.run(ctx, []byte(source), append(flags, "-x", "c", "-o", to, "-")...); err != nil {
		return nil, fmt.Errorf("%w: %w", benchmarks.ErrBuildFailed, err)
	}
	return os.ReadFile(to)
}

// Digest is the SHA-256 of the compiler: of its program, its linker, and the
// libraries beside them in which it mostly is.
func (c *Clang) Digest() (string, error) {
	c.once.Do(func() { c.digest, c.err = c.sum() })
	return c.digest, c.err
}

func (c *Clang) sum() (string, error) {
	h := sha256.New()
	done := map[string]bool{}
	for _, program := range []string{c.path, c.linker} {
		files := append([]string{program}, librariesOf(program)...)
		for _, name := range files {
			if done[name] {
				continue
			}
			done[name] = true
			f, err := os.Open(name)
			if err != nil {
				return "", err
			}
			one := sha256.New()
			_, err = io.Copy(one, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%s %x\n", filepath.Base(name), one.Sum(nil))
		}
	}
	return digestPrefix + hex.EncodeToString(h.Sum(nil)), nil
}

// librariesOf finds the compiler's own libraries of a program, in its order:
// those of LLVM. A program of another system has none that we would know of.
func librariesOf(program string) []string {
	f, err := elf.Open(program)
	if err != nil {
		return nil
	}
	names, err := f.ImportedLibraries()
	if errors.Join(err, f.Close()) != nil {
		return nil
	}
	var out []string
	for _, name := range names {
		if !strings.Contains(name, "LLVM") && !strings.Contains(name, "clang") && !strings.Contains(name, "lld") {
			continue
		}
		near, err := filepath.Glob("/usr/lib/*/" + name)
		if err != nil {
			continue
		}
		for _, path := range append([]string{filepath.Join(filepath.Dir(program), "..", "lib", name)}, near...) {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				out = append(out, real)
				break
			}
		}
	}
	return out
}
