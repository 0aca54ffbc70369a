package universe

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// needsPrecompiler skips where wazero has no compiler. Where it has one, a
// wazero that this room does not know fails the tests.
func needsPrecompiler(t testing.TB) *Precompiler {
	t.Helper()
	if goruntime.GOARCH != "amd64" && goruntime.GOARCH != "arm64" {
		t.Skip("wazero has no compiler for " + goruntime.GOARCH)
	}
	c, err := FindPrecompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withCompiled is a bundle of the emitter's that carries its code.
func withCompiled(t testing.TB, plan Plan) []benchmarks.File {
	t.Helper()
	p, err := Prepare(GrayScott())
	if err != nil {
		t.Fatal(err)
	}
	files, err := p.Files(plan)
	if err != nil {
		t.Fatal(err)
	}
	if files, err = needsPrecompiler(t).add(t.Context(), p, plan, files); err != nil {
		t.Fatal(err)
	}
	return files
}

// resigned is a bundle whose header is honest about the files that change
// makes of it: as somebody would sign it.
func resigned(t testing.TB, files []benchmarks.File, change func(h *kernelHeader, files []benchmarks.File)) []benchmarks.File {
	t.Helper()
	out := slices.Clone(files)
	for i := range out {
		out[i].Bytes = bytes.Clone(out[i].Bytes)
	}
	var h kernelHeader
	if err := json.Unmarshal(out[0].Bytes, &h); err != nil {
		t.Fatal(err)
	}
	change(&h, out)
	for i := range h.Compiled.Files {
		if at := 1 + len(Widths) + i; at < len(out) {
			h.Compiled.Files[i] = builtFile{digestOf(out[at].Bytes), len(out[at].Bytes)}
		}
	}
	header, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out[0].Bytes = header
	return out
}

func usesPrecompiled(t *testing.T, known *Program) *Loader {
	t.Helper()
	o := NewLoader(known)
	o.AllowPrecompiled(needsPrecompiler(t))
	t.Cleanup(func() { closes(t, o.Close) })
	return o
}

// What is relied upon of wazero: its file's name, its layout, and that the
// same module becomes the same code. If this fails after an update of wazero,
// read internal/engine/wazevo/engine_cache.go, internal/platform/cpuid*.go and
// cache.go of the new version, and mend compiledfile.go; until then nothing is
// precompiled or loaded, and hosts compile.
func TestWazeroWritesItsCacheFilesAsThisRoomReadsThem(t *testing.T) {
	c := needsPrecompiler(t)
	p := prepared(t, GrayScott())
	for i, plan := range plans(func(p Plan) bool { return p.Fuse < 8 }) {
		if i%29 != 0 {
			continue
		}
		module, err := p.Emit(plan, Widths[i%3])
		if err != nil {
			t.Fatal(err)
		}
		version, name, b, err := compileFile(t.Context(), module)
		if err != nil {
			t.Fatal(err)
		}
		if want := compiledName(module, c.features); name != want || version != c.is.Wazero {
			t.Fatalf("wazero %s wrote %s, want %s by %s", version, name, want, c.is.Wazero)
		}
		code, err := readCompiled(b, version)
		if err != nil {
			t.Fatalf("%v: %v", plan, err)
		}
		if at := bytes.Index(b, code); at != len(compiledMagic)+1+len(version)+4+8+8 || len(b) != at+len(code)+4+1+4 {
			t.Errorf("%v: code at %d of %d bytes", plan, at, len(b))
		}
	}
}

// The module that go.mod names is the one that compiledfile.go was written for.
func TestTheWazeroThatWasReadIsTheOneInGoMod(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "github.com/tetratelabs/wazero v1.12.0\n") {
		t.Error("wazero was updated: read again what TestWazeroWritesItsCacheFilesAsThisRoomReadsThem is about, and name the new version here")
	}
}

// Many compilations, in this process and in another, make one file; with
// ARQON_ALL=1 those of every plan.
func TestCompilingIsDeterministic(t *testing.T) {
	c := needsPrecompiler(t)
	if os.Getenv("ARQON_PROBE") != "" {
		t.Log("probe " + c.is.Probe)
		return
	}
	p := prepared(t, GrayScott())
	module, err := p.Emit(Plan{I16, true, 4, 8, 16, true}, 256)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 20 {
		b, err := c.compile(t.Context(), module)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(first, b) {
			t.Fatal("two files of one module")
		}
	}
	if os.Getenv("ARQON_ALL") != "" {
		for i, plan := range plans(func(Plan) bool { return true }) {
			if module, err = p.Emit(plan, Widths[i%3]); err != nil {
				t.Fatal(err)
			}
			one, err := c.compile(t.Context(), module)
			if err != nil {
				t.Fatal(err)
			}
			other, err := c.compile(t.Context(), module)
			if err != nil || !bytes.Equal(one, other) {
				t.Errorf("%v: two files of one module: %v", plan, err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCompilingIsDeterministic$", "-test.v")
	cmd.Env = append(os.Environ(), "ARQON_PROBE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), c.is.Probe) {
		t.Errorf("another process compiled known kernels to something else than %s: %v\n%s", c.is.Probe, err, out)
	}
}

// A bundle with code opens by it where that is allowed, is compiled where it is
// not, and computes the same; nothing stays behind on the disk.
func TestPrecompiledKernelsAreLoadedWhereThatIsAllowed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := prepared(t, GrayScott())
	plan := Plan{F32, true, 4, 4, 32, false}
	clang := append([]benchmarks.File(nil), kept(t)...)
	clang, err := needsPrecompiler(t).add(t.Context(), p, keptPlan, clang)
	if err != nil {
		t.Fatal(err)
	}
	plainly := NewLoader(p)
	t.Cleanup(func() { closes(t, plainly.Close) })
	for _, tc := range []struct {
		plan  Plan
		files []benchmarks.File
	}{{plan, withCompiled(t, plan)}, {keptPlan, clang}} {
		for _, o := range []*Loader{usesPrecompiled(t, p), plainly} {
			k, err := o.Open(t.Context(), tc.files)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.HasSuffix(k.String(), ", precompiled"), o != plainly; got != want || (k.by[32].machine != o.machine) != want {
				t.Errorf("%s: loaded %v, want %v", k, got, want)
			}
			if n, err := k.Reproduce(t.Context()); n != len(Widths) || err != nil {
				t.Errorf("%s: %d files made again: %v", k, n, err)
			}
			start := p.law.NewStart(256, 32, seedOf(4))
			want, err := p.Interpret(t.Context(), tc.plan.Precision, start, p.law.Defaults(), 51)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.by[256].runFrom(t.Context(), start, p.law.Defaults(), 51)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameBits(want, got); err != nil {
				t.Error(err)
			}
			closes(t, k.Close)
			if len(o.others) > 0 {
				t.Error("a machine is left of a bundle that is closed")
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Several goroutines stage at once, each in a folder of its own.
func TestPrecompiledKernelsAreLoadedByManyAtOnce(t *testing.T) {
	p := prepared(t, GrayScott())
	o := usesPrecompiled(t, p)
	files := withCompiled(t, plain)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2 {
				k, err := o.Open(t.Context(), files)
				if err != nil {
					t.Error(err)
					return
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if len(o.others) > 0 {
		t.Error("a machine is left")
	}
}

// withChecksum gives an edited file the checksum of its code.
func withChecksum(version string, b []byte) []byte {
	code := len(compiledMagic) + 1 + len(version) + 4 + 8 + 8
	end := len(b) - 1 - 4 - 4
	sum := crc32.Checksum(b[code:end], castagnoli)
	copy(b[end:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
	return b
}

// Each bundle is bad in one way, all digests agree with its header unless they
// are what is bad, and it is refused for that; nothing is compiled instead.
func TestABadCacheFileIsRefusedWithTheReason(t *testing.T) {
	p := prepared(t, GrayScott())
	o := usesPrecompiled(t, p)
	c := o.precompiler
	files := withCompiled(t, plain)
	const first = 4 // the first cache file
	header := func(change func(f *compiledFile)) []benchmarks.File {
		return resigned(t, files, func(h *kernelHeader, _ []benchmarks.File) { change(h.Compiled) })
	}
	file := func(change func(b []byte) []byte) []benchmarks.File {
		return resigned(t, files, func(_ *kernelHeader, files []benchmarks.File) { files[first].Bytes = change(files[first].Bytes) })
	}
	cpuOf := func(names ...string) func(f *compiledFile) { return func(f *compiledFile) { f.CPU = names } }
	at := len(compiledMagic) + 1 + len(c.is.Wazero)
	for _, tc := range []struct {
		name, want string
		files      []benchmarks.File
	}{
		{"another version", "compiled by wazero v1.11.0, this program has " + c.is.Wazero, header(func(f *compiledFile) { f.Wazero = "v1.11.0" })},
		{"a changed wazero", "it was changed", header(func(f *compiledFile) { f.Probe = digestOf(nil) })},
		{"another system", "this is", header(func(f *compiledFile) { f.OS = "plan9" })},
		{"another architecture", "this is", header(func(f *compiledFile) { f.Arch = "riscv64" })},
		{"a lesser processor", "compiled for a processor with nothing, this one has", header(cpuOf([]string{}...))},
		{"a greater processor", "amx, this one has", header(cpuOf(append(slices.Clone(c.is.CPU), "amx")...))},
		{"no processor", "say what compiled it", header(func(f *compiledFile) { f.CPU = nil })},
		{"a version in the file alone", `compiled by wazero "` + strings.Repeat("x", len(c.is.Wazero)) + `"`, file(func(b []byte) []byte {
			return append(append([]byte(compiledMagic), byte(len(c.is.Wazero))), append([]byte(strings.Repeat("x", len(c.is.Wazero))), b[at:]...)...)
		})},
		{"a longer version in the file", `compiled by wazero "`, file(func(b []byte) []byte { b[len(compiledMagic)] = 200; return append(b, make([]byte, 400)...) })},
		{"no cache file", "not a cache file", file(func([]byte) []byte { return []byte("#!/bin/sh\n") })},
		{"half of it", "bytes of code in", file(func(b []byte) []byte { return b[:len(b)/2] })},
		{"a byte less", "ends in the middle", file(func(b []byte) []byte { return b[:len(b)-1] })},
		{"a byte more", "1 bytes after its end", file(func(b []byte) []byte { return append(b, 0) })},
		{"a checksum", "another checksum", file(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
		{"2^32 functions", "4294967295 functions", file(func(b []byte) []byte { copy(b[at:], "\xff\xff\xff\xff"); return b })},
		{"a function elsewhere", "the first at 255", file(func(b []byte) []byte { b[at+4] = 255; return b })},
		{"much code", "bytes of code in", file(func(b []byte) []byte { b[at+4+8+7] = 255; return b })},
		{"a source map", "source map", file(func(b []byte) []byte { b[len(b)-5] = 1; return b })},
		{"exceptions", "catches exceptions", file(func(b []byte) []byte { b[len(b)-1] = 1; return b })},
		{"too long", "1 to", file(func([]byte) []byte { return make([]byte, compiledBytesMax+1) })},
		{"code that computes nothing", "interpreter and the kernel differ", file(func(b []byte) []byte {
			module, err := p.Emit(plain, 32)
			if err != nil {
				t.Fatal(err)
			}
			idle := &code{params: paramCount}
			idle.get(paramNext)
			other, err := c.compile(t.Context(), idle.module(int(module[20])))
			if err != nil {
				t.Fatal(err)
			}
			return withChecksum(c.is.Wazero, other)
		})},
		{"one byte, unsigned", "what was signed", func() []benchmarks.File {
			bad := resigned(t, files, func(*kernelHeader, []benchmarks.File) {})
			bad[first+1].Bytes[100] ^= 1
			return bad
		}()},
		{"one is missing", "kernel-1024.wazero is missing", files[:len(files)-1]},
		{"another is missing", "kernel-256.wazero is missing", append(slices.Clone(files[:first+1]), files[first+2])},
		{"one stands elsewhere", "file \"kernel-1024.wazero\" where kernel-256.wazero belongs", append(slices.Clone(files[:first+1]), files[first+2], files[first+1])},
		{"all are missing", "kernel-32.wazero is missing", files[:first]},
		{"nobody signed for them", "does not belong there", append(mustFiles(t, p, plain), files[first:]...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, err := o.Open(t.Context(), tc.files)
			if err == nil {
				closes(t, k.Close)
			}
			if !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want ErrBadKernel with %q", err, tc.want)
			}
			if len(o.others) > 0 {
				t.Error("a machine is left of a bundle that was refused")
			}
		})
	}
}

// Code for another machine opens where it is not looked at; nobody can say
// whether it is right.
func TestCodeOfAnotherMachineIsNobodysBusinessWhereKernelsAreCompiled(t *testing.T) {
	o := NewLoader(prepared(t, GrayScott()))
	t.Cleanup(func() { closes(t, o.Close) })
	k, err := o.Open(t.Context(), resigned(t, withCompiled(t, plain), func(h *kernelHeader, files []benchmarks.File) {
		h.Compiled.CPU, files[5].Bytes = []string{"amx"}, []byte("what it takes there")
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, k.Close) })
	if _, err := k.Reproduce(t.Context()); !errors.Is(err, ErrOtherMachine) || !strings.Contains(err.Error(), "with amx") {
		t.Errorf("%v, want ErrOtherMachine", err)
	}
}

// The gate compiles again: code that computes the right thing and is not what
// wazero makes of the module does not get through.
func TestCodeThatIsNotReproducedFailsTheCheck(t *testing.T) {
	d, err := New(GrayScott(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	d.Precompile(needsPrecompiler(t))
	other := withCompiled(t, Plan{F32, true, 1, 1, 64, false}) // the same numbers, by other code
	files := resigned(t, withCompiled(t, plain), func(_ *kernelHeader, files []benchmarks.File) { files[4] = other[4] })
	in, err := d.Open(t.Context(), benchmarks.Bundle{Files: files})
	if err != nil {
		t.Fatal(err) // the golden run cannot tell
	}
	t.Cleanup(func() { closes(t, in.Close) })
	checks, err := in.Check(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, c := range checks {
		if !c.Pass {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0], "byte for byte") || !strings.Contains(failed[0], "kernel-32.wazero") {
		t.Errorf("failed: %q, want the one about code", failed)
	}
}

// A file under another name, or one that wazero finds stale, is a miss: it
// compiles, and that is noticed.
func TestAMissIsNoticed(t *testing.T) {
	c := needsPrecompiler(t)
	p := prepared(t, GrayScott())
	module, err := p.Emit(plain, 32)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.compile(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	stale := append(append([]byte(compiledMagic), 1, 'x'), b[len(compiledMagic)+1+len(c.is.Wazero):]...)
	for _, tc := range []struct {
		name, want, file string
		bytes            []byte
	}{
		{"another name", "the folder has 2 files", compiledName(module, c.features+1), b},
		{"stale", "wrote it again", compiledName(module, c.features), stale},
	} {
		f, err := newCacheFolder()
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(f.root); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%v %v: want a folder for nobody else", st, err)
		}
		var loaded wazero.CompiledModule
		loaded, err = f.load(t.Context(), tc.file, tc.bytes, module)
		if err == nil || loaded != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		closes(t, f.machine.close)
		closes(t, f.remove)
	}
}

// The contract holds with code in bundles; an envelope will say what for, and
// the baseline is for every machine.
func TestTheContractIsKeptWithPrecompiledKernels(t *testing.T) {
	d, err := New(GrayScott(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	c := needsPrecompiler(t)
	d.Precompile(c)
	if !testing.Short() { // it takes seconds with the race detector
		conformance.Run(t, d)
	}
	b := builtTwice(t, d, benchmarks.Point{paramPrecision: "f32", paramSIMD: true, paramUnroll: "4"})
	if len(b.Files) != 1+2*len(Widths) || !slices.Equal(b.Needs, c.Features()) {
		t.Errorf("%d files, needs %v; want %v", len(b.Files), b.Needs, c.Features())
	}
	if base := builtTwice(t, d, Baseline()); len(base.Files) != 1+len(Widths) || base.Needs != nil {
		t.Errorf("the baseline has %d files and needs %v", len(base.Files), base.Needs)
	}
	slices.SortFunc(b.Files, func(x, y benchmarks.File) int { return strings.Compare(x.Name, y.Name) }) // as a protocol returns them
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	closes(t, in.Close)
}

func FuzzReadCompiled(f *testing.F) {
	c := needsPrecompiler(f)
	p, err := Prepare(GrayScott())
	if err != nil {
		f.Fatal(err)
	}
	for _, plan := range probes {
		module, err := p.Emit(plan, 32)
		if err != nil {
			f.Fatal(err)
		}
		b, err := c.compile(f.Context(), module)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, c.is.Wazero)
	}
	f.Add([]byte("WAZEVO\x06v1.12.0"), "v1.12.0")
	f.Add([]byte("WAZEVO\xff"), "")
	f.Fuzz(func(t *testing.T, b []byte, version string) {
		code, err := readCompiled(b, version)
		if err != nil {
			return
		}
		// What is accepted says everything once: it can be written again.
		again := append(append([]byte(compiledMagic), byte(len(version))), version...)
		again = append(again, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		n := len(code)
		again = append(again, byte(n), byte(n>>8), byte(n>>16), byte(n>>24), 0, 0, 0, 0)
		again = append(append(again, code...), 0, 0, 0, 0, 0, 0, 0, 0, 0)
		if again = withChecksum(version, again); !bytes.Equal(again, b) {
			t.Fatalf("%q is read, and %q is what it says", b, again)
		}
	})
}
