package universe

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// needsNative skips where native kernels cannot be built.
func needsNative(t testing.TB) *Native {
	t.Helper()
	n, err := findNative()
	if err != nil {
		t.Skip(err)
	}
	return n
}

// findNative looks once: it builds and runs a kernel.
var findNative = sync.OnceValues(func() (*Native, error) { return FindNative(context.Background(), "") })

// The bundle of testdata/native.
var (
	keptNativePlan = Plan{Precision: I16, SIMD: true, Unroll: 2, Fuse: 2, Rows: 16}
	keptNativeCPU  = "x86-64-v3"
)

// keptNative is a native bundle that clang has built.
func keptNative(t testing.TB) []benchmarks.File {
	t.Helper()
	return keptIn(t, "testdata/native", nativeName, func(p *Program) ([]benchmarks.File, error) {
		return p.nativeFiles(t.Context(), needsNative(t), keptNativePlan, keptNativeCPU)
	})
}

// needsCPU skips on machines that cannot run the kept kernels.
func needsCPU(t testing.TB) {
	t.Helper()
	if !slices.Contains(CPULevels(), keptNativeCPU) {
		t.Skipf("the kept kernels are for %s on Linux, this machine (%s, %s) has %v", keptNativeCPU, goruntime.GOOS, goruntime.GOARCH, CPULevels())
	}
	if err := tryIdle(); err != nil && strings.Contains(err.Error(), "does not restrict system calls") {
		t.Skip(err) // some containers' kernels; anything else fails the tests
	}
}

// tryIdle starts a process once.
var tryIdle = sync.OnceValue(func() error {
	p, err := Prepare(GrayScott())
	if err != nil {
		return err
	}
	k, err := nativeKernel(p, Plan{F64, false, 1, 1, 64, false}, Widths[0], machineCode(codeIdle...))
	if err != nil {
		return err
	}
	g, err := k.open(context.Background(), Widths[0])
	if err != nil {
		return errors.Join(err, k.close())
	}
	return errors.Join(g.close(), k.close())
})

// withCode is the kept bundle with another first kernel, of which the header is
// honest.
func withCode(t *testing.T, code []byte) []benchmarks.File {
	t.Helper()
	files := keptNative(t)
	var h kernelHeader
	if err := json.Unmarshal(files[0].Bytes, &h); err != nil {
		t.Fatal(err)
	}
	h.Builder.Modules[0].Code = digestOf(code)
	header, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	files[0].Bytes, files[1].Bytes = header, code
	return files
}

// machineCode is a native kernel of a few instructions.
func machineCode(instructions ...byte) []byte {
	const text = elfPageBytes
	le := binary.LittleEndian
	out := make([]byte, text, text+len(instructions))
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], elfExec)
	le.PutUint16(out[18:], elfAMD64)
	le.PutUint64(out[24:], nativeCode+text)
	le.PutUint64(out[32:], elfHeaderBytes)
	le.PutUint16(out[54:], elfSegmentBytes)
	le.PutUint16(out[56:], 1)
	h := out[elfHeaderBytes:]
	le.PutUint32(h, elfLoad)
	le.PutUint32(h[4:], elfRead|elfExecute)
	le.PutUint64(h[8:], text)
	le.PutUint64(h[16:], nativeCode+text)
	le.PutUint64(h[32:], uint64(len(instructions)))
	le.PutUint64(h[40:], uint64(len(instructions)))
	return append(out, instructions...)
}

// Kernels that do one thing: cur is in rdi, next in rsi, the result in rax.
var (
	codeIdle    = []byte{0x48, 0x89, 0xf8, 0xc3}                                                       // return cur
	codeNowhere = []byte{0x48, 0x8d, 0x47, 0x08, 0xc3}                                                 // return cur + 8
	codeHangs   = []byte{0xeb, 0xfe}                                                                   // for ever
	codeTrap    = []byte{0x0f, 0x0b}                                                                   // an instruction that does not exist
	codeOutside = []byte{0xc7, 0x04, 0x25, 0x00, 0x00, 0x00, 0x10, 1, 0, 0, 0, 0x48, 0x89, 0xf8, 0xc3} // *(0x10000000) = 1
	codeItself  = []byte{0xc7, 0x04, 0x25, 0x00, 0x10, 0x00, 0x20, 1, 0, 0, 0, 0x48, 0x89, 0xf8, 0xc3} // its own code
	codeBeyond  = []byte{0xc7, 0x04, 0x25, 0x00, 0x00, 0x00, 0x50, 1, 0, 0, 0, 0x48, 0x89, 0xf8, 0xc3} // beyond the fields
	codeSystem  = []byte{0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0x89, 0xf8, 0xc3}                        // getpid()
	codeLeaves  = []byte{0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05}                                    // exit(0)
	// write(1, cur, 8): an answer of its own beside the one it owes
	codeBabbles = []byte{0x57, 0x48, 0x89, 0xfe, 0xbf, 1, 0, 0, 0, 0xba, 8, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x58, 0xc3}
)

func allowed(t *testing.T, known *Program) *Loader {
	t.Helper()
	o := NewLoader(known)
	o.AllowNative()
	t.Cleanup(func() { closes(t, o.Close) })
	return o
}

// A native kernel is opened by who has allowed it, and by nobody else: the
// default refuses it and says so, and so does a processor that is too old.
func TestNativeKernelsMustBeAllowed(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	if _, err := o.Open(t.Context(), keptNative(t)); !errors.Is(err, ErrBadKernel) || !errors.Is(err, ErrNativeRefused) || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("%v, want a refusal of the tier", err)
	}
	o.may = permission{true, []string{"x86-64-v2"}}
	if _, err := o.Open(t.Context(), keptNative(t)); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), "made for processors of level x86-64-v3, this one has x86-64-v2") {
		t.Errorf("%v, want a refusal of the processor", err)
	}
	o.may = permission{true, nil}
	if _, err := o.Open(t.Context(), keptNative(t)); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), "this machine is not") {
		t.Errorf("%v, want a refusal of the machine", err)
	}
	needsCPU(t)
	k, err := allowed(t, p).Open(t.Context(), keptNative(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, k.Close) })
	if got := k.String(); got != "gray-scott i16-simd-u2-k2-r16-f by native -O3 for x86-64-v3" {
		t.Errorf("the kernels say %q", got)
	}
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

// Whatever somebody has signed: what is not a kernel is refused for what is
// wrong with it, before it runs or at the golden run, and the host lives on.
func TestABadNativeKernelIsRefusedWithTheReason(t *testing.T) {
	needsCPU(t)
	p := prepared(t, GrayScott())
	o := allowed(t, p)
	idle := machineCode(codeIdle...)
	changed := func(at int, b byte) []byte {
		out := bytes.Clone(idle)
		out[at] = b
		return out
	}
	good := keptNative(t)[1].Bytes
	segment := elfHeaderBytes
	for _, tc := range []struct {
		name, want string
		code       []byte
	}{
		{"it computes nothing", "interpreter and the kernel differ", idle},
		{"its result is nowhere", "neither grid", machineCode(codeNowhere...)},
		{"a trap", "illegal instruction", machineCode(codeTrap...)},
		{"a write outside", "segmentation fault", machineCode(codeOutside...)},
		{"a write to its own code", "segmentation fault", machineCode(codeItself...)},
		{"a write beyond the fields", "segmentation fault", machineCode(codeBeyond...)},
		{"a system call", "killed", machineCode(codeSystem...)},
		{"it leaves", "it ended: exit status 0", machineCode(codeLeaves...)},
		{"an answer too many", "neither grid", machineCode(codeBabbles...)},
		{"half of the program", "ends outside of the file", good[:len(good)/2]},
		{"half of the table", "ends inside its table", good[:elfHeaderBytes+10]},
		{"no program", "not a program of ELF-64", []byte("#!/bin/sh\nexit 0\n")},
		{"too long", "at most", make([]byte, nativeBytesMax+1)},
		{"another machine", "not a static program for amd64", changed(18, 183)},
		{"a library", "not a static program for amd64", changed(16, 3)},
		{"a loader", "of kind 0x3", changed(segment, 3)},
		{"memory of its own", "may be written", changed(segment+4, elfRead|elfWrite)},
		{"more memory than bytes", "more memory than it has bytes", changed(segment+41, 1)},
		{"code elsewhere", "where kernels are not", changed(segment+16+3, 0x40)},
		{"it begins elsewhere", "begins outside of its code", changed(24, 0xff)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, err := o.Open(t.Context(), withCode(t, tc.code))
			if err == nil {
				closes(t, k.Close)
			}
			if !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want ErrBadKernel with %q", err, tc.want)
			}
		})
	}
}

// One byte, and the code is not what was judged; a header that contradicts
// itself, or was made for other hosts, is refused before anything runs.
func TestWhatANativeBuilderSignedIsWhatIsOpened(t *testing.T) {
	o := NewLoader(prepared(t, GrayScott()))
	t.Cleanup(func() { closes(t, o.Close) })
	o.may = permission{true, []string{keptNativeCPU}}
	flipped := keptNative(t)
	flipped[1].Bytes[len(flipped[1].Bytes)-1] ^= 1
	if _, err := o.Open(t.Context(), flipped); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), "what was judged") {
		t.Errorf("%v, want other code than was judged", err)
	}
	for _, tc := range []struct{ old, new, want string }{
		{`"name":"native"`, `"name":"clang"`, "native is something else"},
		{`"abi":1`, `"abi":2`, "build it again"},
		{`"tier":"native"`, `"tier":"trusted"`, "want native"},
		{`"arch":"amd64"`, `"arch":"arm64"`, "for linux on amd64"},
		{`"cpu":"x86-64-v3"`, `"cpu":"x86-64-v9"`, "unknown"},
		{`"code":"sha256:`, `"code":"`, "modules[0]"},
		{`"native":{`, `"more":{`, "unknown field"},
	} {
		bad := keptNative(t)
		bad[0].Bytes = bytes.Replace(bad[0].Bytes, []byte(tc.old), []byte(tc.new), 1)
		if _, err := o.Open(t.Context(), bad); !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.new, err, tc.want)
		}
	}
}

// Some plans of each law for each level, on which every value of every
// parameter comes; with ARQON_ALL=1 all plans. Bits are the interpreter's.
func TestNativeKernelsAgreeWithTheInterpreterBitByBit(t *testing.T) {
	n := needsNative(t)
	stride := 901
	if os.Getenv("ARQON_ALL") != "" {
		stride = 1
	}
	for k, law := range Laws() {
		p := prepared(t, law)
		for i, plan := range plans(func(Plan) bool { return true }) {
			for j, level := range n.levels {
				if (i*len(n.levels)+j)%stride == k%stride {
					nativeAgrees(t, n, p, plan, level)
				}
			}
		}
	}
}

// A factor of −1, and a knob that may be one, are −32768 as int16: the product
// that x86's instruction does not saturate.
func TestTheProductThatOneInstructionGetsWrong(t *testing.T) {
	n := needsNative(t)
	minus := Law{
		Name: "minus", Start: Noise, Knobs: []LawKnob{{Name: "k", Min: -1, Max: .5, Default: -1}},
		Channels: []Channel{{Name: "x", Min: -1, Max: .9, Next: mul(constant(-1), mul(knob(0), mul(constant(-1), cell(0))))}},
	}
	p := prepared(t, minus)
	if !slices.ContainsFunc(p.fixed.nodes, func(n node) bool { return n.op == Mul && !p.fixed.tame(n.a, n.b) }) {
		t.Fatalf("every product is known to saturate nothing (%v): the test shows nothing", p.fixed.nodes)
	}
	for _, level := range n.levels {
		nativeAgrees(t, n, p, Plan{I16, true, 4, 1, 64, false}, level)
	}
}

// Laws that nobody wrote down: what is drawn is the same every time.
func TestRandomLawsAgreeNatively(t *testing.T) {
	n := needsNative(t)
	drawn := rapid.Custom(drawLaw)
	for i := range 12 {
		p, err := Prepare(drawn.Example(i))
		if err != nil {
			continue // it diverges
		}
		in := Precision(i % int(precisionCount))
		if p.has(in) != nil {
			in = F32
		}
		nativeAgrees(t, n, p, Plan{in, true, unrolls[i%3], fuses[i%4], 8, i%2 == 1}, n.levels[i%len(n.levels)])
	}
}

func nativeAgrees(t *testing.T, n *Native, p *Program, plan Plan, level string) {
	t.Helper()
	code, _, err := n.compile(t.Context(), p, plan, 32, level)
	if err != nil {
		t.Fatal(err)
	}
	k, err := nativeKernel(p, plan, 32, code)
	if err != nil {
		t.Fatalf("%s %v %s: %v", p.law.Name, plan, level, err)
	}
	if err := errors.Join(k.golden(t.Context(), 7), k.close()); err != nil {
		t.Errorf("%s %v %s: %v", p.law.Name, plan, level, err)
	}
}

// The contract holds with native kernels to choose, and a bundle says what a
// host must be: the envelope will.
func TestTheContractIsKeptWithNativeKernels(t *testing.T) {
	d, err := New(GrayScott(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	d.AllowNative(needsNative(t))
	conformance.Run(t, d)
	point := benchmarks.Point{paramPrecision: "f32", paramSIMD: true, paramUnroll: "4", paramBuilder: builderNative}
	b := builtTwice(t, d, point)
	levels := CPULevels()
	if want := []string{FeatureNative, levels[len(levels)-1]}; !slices.Equal(b.Needs, want) {
		t.Errorf("a host must offer %v, want %v", b.Needs, want)
	}
	in, err := d.Open(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, in.Close) })
	got, err := in.Measure(t.Context(), benchmarks.Request{Scenario: "32-1e-5", Seed: 1, Repeats: 1, Fidelity: .01})
	if err != nil || !(got[0].Values[MetricNS] > 0) {
		t.Errorf("%v %v: the time of another process is not seen", got, err)
	}
	checks, err := in.Check(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.Pass {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
}

// Who has not asked for it sees no native builder, with and without clang.
func TestWhoDidNotAskSeesNoNativeBuilder(t *testing.T) {
	for _, s := range []benchmarks.Space{space(nil, nil), space(&Clang{}, nil)} {
		if p, there := s.Parameter(paramBuilder); there && slices.Contains(p.Choices, builderNative) {
			t.Error("native kernels to choose, and nobody has asked for them")
		}
		if _, there := s.Parameter(paramCPU); there {
			t.Error("a processor to choose, and nobody has asked for it")
		}
	}
}

// A machine of the lowest level has a space too.
func TestTheSpaceOfOneLevelIsSound(t *testing.T) {
	s := space(nil, &Native{levels: []string{"x86-64-v2"}})
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	n := *needsNative(t)
	n.levels = n.levels[:1]
	d, err := New(GrayScott(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	d.AllowNative(&n)
	b, err := d.Build(t.Context(), benchmarks.Point{paramBuilder: builderNative}, 0)
	if err != nil || !slices.Equal(b.Needs, []string{FeatureNative, "x86-64-v2"}) {
		t.Errorf("%v, %v: want the one level there is", b.Needs, err)
	}
}

func TestProcessorLevelsAreReadFromTheirFlags(t *testing.T) {
	all := fmt.Sprint("cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 ", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave")
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"processor\t: 0\nflags\t\t: fpu " + all + "\n", []string{"x86-64-v2", "x86-64-v3"}},
		{"flags : " + strings.Replace(all, "avx2", "avx3", 1), []string{"x86-64-v2"}},
		{"flags : avx512f", nil},
		{"", nil},
	} {
		if got := levelsIn(strings.NewReader(tc.text)); !slices.Equal(got, tc.want) {
			t.Errorf("%q: %v, want %v", tc.text, got, tc.want)
		}
	}
}

// FuzzReadNative: whatever the bytes, they are refused or have segments within
// them, none of which can be written.
func FuzzReadNative(f *testing.F) {
	for _, file := range keptNative(f)[1:] {
		f.Add(file.Bytes)
		f.Add(file.Bytes[:len(file.Bytes)/2])
	}
	f.Add(machineCode(codeIdle...))
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := readNative(code)
		if err != nil {
			return
		}
		for _, s := range in.loads {
			if s.flags&elfWrite != 0 || s.offset+s.bytes > uint64(len(code)) || s.offset+s.bytes < s.offset {
				t.Fatalf("segment %+v of %d bytes was let through", s, len(code))
			}
		}
		if again, err := readNative(nativeProgram(code, in, pageBytes)); err == nil {
			t.Fatalf("the host's own program was taken for a kernel: %+v", again)
		}
	})
}
