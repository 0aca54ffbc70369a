package universe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

var plain = Plan{Precision: F32, SIMD: true, Unroll: 2, Fuse: 1, Rows: 64}

// Each module is bad in one way, and is refused for that.
func TestABadModuleIsRefusedWithTheReason(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	files, err := p.Files(plain)
	if err != nil {
		t.Fatal(err)
	}
	good := files[1].Bytes
	other, err := p.Emit(Plan{Precision: F32, SIMD: true, Unroll: 2, Fuse: 1, Rows: 64, Serpentine: true}, 32)
	if err != nil {
		t.Fatal(err)
	}
	endless := &code{params: paramCount}
	endless.loop()
	endless.op(wasmBr, 0)
	endless.end()
	endless.i32(0)
	greedy := &code{params: paramCount}
	greedy.get(paramCur)
	outside := &code{params: paramCount}
	outside.i32(-16)
	outside.memory(f64Load, 0)
	outside.op(wasmDrop)
	outside.get(paramNext)
	nothing := &code{params: paramCount}
	nothing.get(paramNext)
	pages := layoutOf(p, plain, 32).pages(32)
	for _, tc := range []struct {
		name, want string
		module     []byte
	}{
		{"an import", `section "import"`, insert(good, 2, []byte{1, 3, 'e', 'n', 'v', 1, 'f', 0, 0})},
		{"a start function", `section "start"`, insert(good, 8, []byte{0})},
		{"data", `section "data"`, append(bytes.Clone(good), 11, 1, 0)},
		{"memory without a maximum", "without a maximum", bytes.Replace(good, []byte{5, 4, 1, 1, 1, byte(pages)}, []byte{5, 3, 1, 0, 1}, 1)},
		{"too much memory", "60000 pages", greedy.module(60000)},
		{"an endless loop", "stopped", endless.module(pages)},
		{"an address outside", "out of bounds", outside.module(pages)},
		{"another result", "interpreter and the kernel differ", nothing.module(pages)},
		{"a byte less", "ends inside a section", good[:len(good)-1]},
		{"no module", "not a WebAssembly module", []byte("hello")},
		{"too long", "at most", make([]byte, moduleBytesMax+1)},
		{"the same by other bytes", "not what emitter", other},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := append([]benchmarks.File(nil), files...)
			bad[1].Bytes = tc.module
			_, err := o.Open(t.Context(), bad)
			if !errors.Is(err, ErrBadKernel) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want ErrBadKernel with %q", err, tc.want)
			}
		})
	}
}

// insert puts a section before the first one with a higher id.
func insert(module []byte, id byte, section []byte) []byte {
	at := 8
	for at < len(module) && module[at] < id {
		size, shift, n := 0, 0, at+1
		for ; ; n++ {
			size |= int(module[n]&0x7f) << shift
			shift += 7
			if module[n] < 0x80 {
				break
			}
		}
		at = n + 1 + size
	}
	out := append(bytes.Clone(module[:at]), id, byte(len(section)))
	return append(append(out, section...), module[at:]...)
}

func TestABadHeaderIsRefused(t *testing.T) {
	p := prepared(t, GrayScott())
	o := NewLoader(p)
	t.Cleanup(func() { closes(t, o.Close) })
	files, err := p.Files(plain)
	if err != nil {
		t.Fatal(err)
	}
	header := string(files[0].Bytes)
	for _, tc := range []struct{ old, new, want string }{
		{`"emitter":2`, `"emitter":1`, "build it again"},
		{`"f32"`, `"f16"`, "unknown"},
		{`"unroll":2`, `"unroll":3`, "unroll 3"},
		{`"unroll":2`, `"unroll":4`, "not what emitter"}, // an honest header of other modules
		{`"rows":64`, `"rows":64,"more":1`, "unknown field"},
		{`"start":"spots"`, `"start":"chaos"`, "chaos"},
		{`const.1,`, `const.1e9,`, "constant"},
		{`lap.0`, `lap.7`, "channel 7"},
		{`}`, `}}`, "after"},
	} {
		bad := append([]benchmarks.File(nil), files...)
		bad[0].Bytes = []byte(strings.Replace(header, tc.old, tc.new, 1))
		if tc.new == "}}" {
			bad[0].Bytes = []byte(header + "}")
		}
		k, err := o.Open(t.Context(), bad)
		if err == nil {
			closes(t, k.Close)
		}
		if err == nil || !errors.Is(err, ErrBadKernel) && !errors.Is(err, ErrBadLaw) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s for %s: %v, want %q", tc.new, tc.old, err, tc.want)
		}
	}
}

func TestALawThatDivergesIsRefused(t *testing.T) {
	l := Law{
		Name: "explosion", Start: Noise, Channels: []Channel{{Name: "x", Min: 0, Max: 1, Next: mul(constant(3), add(cell(0), ring(0)))}},
	}
	if _, err := Prepare(l); !errors.Is(err, ErrBadLaw) || !strings.Contains(err.Error(), "diverges") {
		t.Errorf("%v, want a law that diverges", err)
	}
}

func TestAStoppedKernelSaysWhy(t *testing.T) {
	m := newMachine(true)
	t.Cleanup(func() { closes(t, m.close) })
	p := prepared(t, GrayScott())
	module, err := p.Emit(plain, 256)
	if err != nil {
		t.Fatal(err)
	}
	k, err := m.compile(t.Context(), p, plain, 256, module)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := p.law.NewStart(256, 16, seedOf(1))
	if _, err := k.runFrom(ctx, start, p.law.Defaults(), 1<<30); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's reason", err)
	}
	closes(t, k.close)
}

func FuzzDecodeLaw(f *testing.F) {
	for _, l := range Laws() {
		f.Add(l.Encode())
	}
	f.Add([]byte(`{"name":"x","start":"noise","channels":[{"name":"x","min":0,"max":1,"next":"pick(less(cell.0,const.1),lap.0,ring.0)"}],"knobs":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLaw(b)
		if err != nil {
			if !errors.Is(err, ErrBadLaw) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeLaw(l.Encode())
		if err != nil || !bytes.Equal(again.Encode(), l.Encode()) {
			t.Fatalf("%s does not come back: %v", l.Encode(), err)
		}
	})
}
