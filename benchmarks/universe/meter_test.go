package universe

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

var update = flag.Bool("update", false, "build testdata/clang and testdata/native anew: needs clang")

// keptPlan is the plan of the bundle in testdata/clang.
var keptPlan = Plan{Precision: I16, SIMD: true, Unroll: 2, Fuse: 2, Rows: 16}

// kept is a bundle that clang has built.
func kept(t testing.TB) []benchmarks.File {
	t.Helper()
	return keptIn(t, "testdata/clang", moduleFile, func(p *Program) ([]benchmarks.File, error) {
		c, err := FindClang(t.Context(), "")
		if err != nil {
			return nil, err
		}
		return p.clangFiles(t.Context(), c, keptPlan, "O2")
	})
}

// keptIn reads a bundle that is kept so that machines without a compiler see
// one; build makes it anew.
func keptIn(t testing.TB, dir string, named func(width int) string, build func(*Program) ([]benchmarks.File, error)) []benchmarks.File {
	t.Helper()
	names := []string{kernelFile}
	for _, w := range Widths {
		names = append(names, named(w))
	}
	if *update {
		p, err := Prepare(GrayScott())
		if err != nil {
			t.Fatal(err)
		}
		files, err := build(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out []benchmarks.File
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, benchmarks.File{Name: name, Bytes: b})
	}
	return out
}

// withModule is the kept bundle with another first module, whose header is
// honest about what the counter makes of it.
func withModule(t *testing.T, module []byte) []benchmarks.File {
	t.Helper()
	files := kept(t)
	var h kernelHeader
	if err := json.Unmarshal(files[0].Bytes, &h); err != nil {
		t.Fatal(err)
	}
	p := prepared(t, GrayScott())
	if metered, err := meter(module, fuelOf(keptPlan, layoutOf(p, keptPlan, Widths[0]))); err == nil {
		h.Builder.Modules[0].Metered = digestOf(metered)
	}
	header, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	files[0].Bytes, files[1].Bytes = header, module
	return files
}

func TestAKeptBundleOfClangOpensAndSteps(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	k, err := o.Open(t.Context(), kept(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, k.Close) })
	start := p.law.NewStart(32, 32, seedOf(4))
	want, err := p.Interpret(t.Context(), I16, start, p.law.Defaults(), 301)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.by[32].runFrom(t.Context(), start, p.law.Defaults(), 301)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits(want, got); err != nil {
		t.Error(err)
	}
}

// run is a module of one function.
func run(pages int, write func(c *code)) []byte {
	c := &code{params: paramCount}
	write(c)
	return c.module(pages)
}

// Whatever a compiler, or somebody in its name, has built: what is not a kernel
// is refused for what is wrong with it, before it is compiled or at the golden
// run.
func TestABadModuleOfABuilderIsRefusedWithTheReason(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	pages := layoutOf(p, keptPlan, 32).pages(32)
	good := kept(t)[1].Bytes
	empty := run(pages, func(c *code) { c.get(paramCur) })
	op := func(ops ...byte) []byte {
		return run(pages, func(c *code) { c.op(ops...); c.get(paramCur) })
	}
	forever := func(write func(c *code)) []byte {
		return run(pages, func(c *code) { c.loop(); write(c); c.end(); c.get(paramCur) })
	}
	for _, tc := range []struct {
		name, want string
		module     []byte
	}{
		{"an import", `section "import"`, insert(empty, 2, []byte{1, 3, 'e', 'n', 'v', 1, 'f', 0, 0})},
		{"a start function", `section "start"`, insert(empty, 8, []byte{0})},
		{"a table", `section "table"`, insert(empty, 4, []byte{1, 0x70, 0, 1})},
		{"data", `section "data"`, append(bytes.Clone(empty), 11, 1, 0)},
		{"memory without a maximum", "without a maximum", bytes.Replace(empty, []byte{5, 4, 1, 1, 1, byte(pages)}, []byte{5, 3, 1, 0, 1}, 1)},
		{"too much memory", "60000 pages", run(60000, func(c *code) { c.get(paramCur) })},
		{"two globals", "globals other than", insert(empty, 6, []byte{2, typeI32, 1, i32Const, 0, wasmEnd, typeI32, 1, i32Const, 0, wasmEnd})},
		{"two functions", "not exactly one function", bytes.Replace(empty, []byte{3, 2, 1, 0}, []byte{3, 3, 2, 0, 0}, 1)},
		{"another export", "export", bytes.Replace(empty, []byte("run"), []byte("ruN"), 1)},
		{"a section twice", "wrong place", append(bytes.Clone(empty), empty[8:]...)},
		{"a call of itself", "call", op(0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x10, 0, wasmDrop)},
		{"a call by a table", "call_indirect", op(0x11, 0, 0)},
		{"more memory", "memory.grow", op(0x41, 1, 0x40, 0, wasmDrop)},
		{"a copy as long as it likes", "0xfc 10", op(0x41, 0, 0x41, 0, 0x41, 0, prefixBulk, 10, 0, 0)},
		{"a global", "global.get", op(0x23, 0, wasmDrop)},
		{"a trap", "unreachable", op(0)},
		{"relaxed vectors", "vector instruction 256", op(prefixVector, 0x80, 2)},
		{"a block with parameters", "block with parameters", op(wasmBlock, 0, wasmEnd)},
		{"an endless loop", "did not end", forever(func(c *code) { c.op(wasmBr, 0) })},
		{"an endless br_table", "did not end", forever(func(c *code) { c.i32(3); c.op(wasmBrTable, 1, 0, 0) })},
		{"two loops for ever", "did not end", forever(func(c *code) { c.loop(); c.op(wasmBr, 1); c.end() })},
		{"an address outside", "out of bounds", run(pages, func(c *code) { c.i32(-16); c.memory(f64Load, 0); c.op(wasmDrop); c.get(paramNext) })},
		{"another result", "interpreter and the kernel differ", run(pages, func(c *code) { c.get(paramNext) })},
		{"wrong types", "cannot use f32", run(pages, func(c *code) { c.f32(1) })},
		{"nested too deep", "nested deeper", op(append(bytes.Repeat([]byte{wasmBlock, blockEmpty}, 99), bytes.Repeat([]byte{wasmEnd}, 99)...)...)},
		{"a byte less", "ends too early", good[:len(good)-1]},
		{"no module", "not a WebAssembly module", []byte("hello")},
		{"too long", "at most", append(bytes.Clone(wasmHeader), make([]byte, moduleBytesMax)...)},
		{"a number too long", "more than 32 bits", op(0x41, 0xff, 0xff, 0xff, 0xff, 0x7f+0x80, 0, wasmDrop)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, err := o.Open(t.Context(), withModule(t, tc.module))
			if err == nil {
				closes(t, k.Close)
			}
			if !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want ErrBadKernel with %q", err, tc.want)
			}
		})
	}
}

// One bit of an instruction, and the module is not what was judged; a header
// that does not say who built it, or was judged with another counter, or names
// a tier of which this program knows nothing, is refused before anything is
// read of the modules.
func TestWhatABuilderSignedIsWhatIsOpened(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	flipped := kept(t)
	flipped[2].Bytes = bytes.Replace(flipped[2].Bytes, []byte{prefixVector, 0x82, 1}, []byte{prefixVector, 0x8e, 1}, 1)
	if _, err := o.Open(t.Context(), flipped); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), "what was judged") {
		t.Errorf("%v, want another module than was judged", err)
	}
	for _, tc := range []struct{ old, new, want string }{
		{`"name":"clang"`, `"name":"native"`, "native"},
		{`"meter":1`, `"meter":2`, "build it again"},
		{`"compiler":"sha256:`, `"compiler":"sha1:`, "SHA-256 is missing"},
		{`"source":"sha256:`, `"source":"`, "modules[0]"},
	} {
		bad := kept(t)
		bad[0].Bytes = bytes.Replace(bad[0].Bytes, []byte(tc.old), []byte(tc.new), 1)
		if _, err := o.Open(t.Context(), bad); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.new, err, tc.want)
		}
	}
}

// The counter leaves the bits alone: every module of Emit's that meter takes
// computes the same with it, and is not taken a second time.
func TestTheCounterChangesNothingElse(t *testing.T) {
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	plan := Plan{F32, true, 2, 4, 8, true}
	module, err := p.Emit(plan, 32)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := meter(module, fuel{1, 1, 1}); err == nil {
		t.Fatal("Emit copies rows by one instruction: meter must not take it")
	}
	module = kept(t)[1].Bytes
	metered, err := meter(module, fuelOf(keptPlan, layoutOf(p, keptPlan, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := meter(metered, fuel{1, 1, 1}); err == nil {
		t.Error("a module with a counter was given another")
	}
	// With hardly any fuel the same module stops.
	hungry, err := meter(module, fuel{0, 0, 10})
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.compile(t.Context(), p, keptPlan, 32, hungry)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.golden(t.Context(), 1); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("%v, want a kernel that is stopped", err)
	}
	closes(t, k.close)
}

// FuzzMeter: any bytes are refused, or become a module that a kernel's checks
// let through and that ends, whatever it is called with. A module that wazero
// takes without the counter it takes with it.
func FuzzMeter(f *testing.F) {
	for _, file := range kept(f)[1:] {
		f.Add(file.Bytes)
		f.Add(file.Bytes[:len(file.Bytes)/2])
	}
	add := func(write func(c *code)) { f.Add(run(2, write)) }
	add(func(c *code) { c.get(paramCur) })
	add(func(c *code) { c.loop(); c.op(wasmBr, 0); c.end(); c.get(paramCur) })
	add(func(c *code) { c.loop(); c.i32(1); c.op(wasmBrTable, 1, 0, 0); c.end(); c.get(paramCur) })
	add(func(c *code) {
		c.op(wasmBlock, typeI32)
		c.loop()
		c.get(paramSteps)
		c.get(paramHeight)
		c.op(i32LtU)
		c.brIf(0)
		c.end()
		c.get(paramNext)
		c.end()
	})
	add(func(c *code) { // an if with both branches, and a loop in each
		c.get(paramSteps)
		c.op(wasmIf, blockEmpty)
		c.loop()
		c.get(paramCur)
		c.brIf(0)
		c.end()
		c.op(0x05)
		c.loop()
		c.op(wasmBr, 0)
		c.end()
		c.end()
		c.get(paramCur)
	})
	add(func(c *code) { c.op(0x41, 0x80, 0x80, 0x80, 0x80, 0x70, wasmDrop); c.get(paramCur) }) // a number with all its bytes
	add(func(c *code) { c.op(0x41, 0x80, 0x80, 0x80, 0x80, 0x10, wasmDrop); c.get(paramCur) }) // and one with wrong last bits
	add(func(c *code) { c.op(prefixVector, 0x8c, 0); c.op(make([]byte, 16)...); c.op(wasmDrop); c.get(paramCur) })
	add(func(c *code) {
		c.op(0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, wasmDrop)
		c.get(paramCur)
	})
	f.Fuzz(func(t *testing.T, module []byte) {
		out, err := meter(module, fuel{1, 1, 64})
		if err != nil {
			if !errors.Is(err, ErrBadKernel) {
				t.Fatal(err)
			}
			return
		}
		if err := checkSections(out); err != nil {
			t.Fatalf("the checks of a kernel refuse what meter wrote: %v", err)
		}
		m := newMachine(false)
		defer func() { closes(t, m.close) }()
		compiled, err := m.runtime.CompileModule(t.Context(), out)
		if err != nil {
			if _, original := m.runtime.CompileModule(t.Context(), module); original == nil {
				t.Fatalf("wazero takes the module without its counter alone: %v", err)
			}
			return
		}
		if mem := compiled.ExportedMemories()[exportMemory]; mem.Min() > 16 {
			return // it would take long to clear it
		}
		one, err := m.runtime.InstantiateModule(t.Context(), compiled, noStart())
		if err != nil {
			return
		}
		for _, args := range [][]uint64{{1024, 2048, 16, 3}, {0, 0, 0, 0}, {1 << 31, 1, 2, 1}} {
			_, _ = one.ExportedFunction(exportRun).Call(t.Context(), args...) // it ends, one way or another
		}
	})
}
