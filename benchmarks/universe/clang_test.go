package universe

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/conformance"
)

// needsClang skips where there is no compiler: what it builds is then only
// seen by the tests of modules that are kept with the sources.
func needsClang(t *testing.T) *Clang {
	t.Helper()
	c, err := FindClang(t.Context(), "")
	if err != nil {
		t.Skip(err)
	}
	return c
}

// Some plans of each law, on which every value of every parameter comes; with
// ARQON_ALL=1 all plans at all levels. Bits are the interpreter's, as Emit's are.
func TestKernelsOfClangAgreeWithTheInterpreterBitByBit(t *testing.T) {
	c := needsClang(t)
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	stride := 271
	if os.Getenv("ARQON_ALL") != "" {
		stride = 1
	}
	for k, law := range Laws() {
		p := prepared(t, law)
		for i, plan := range plans(func(Plan) bool { return true }) {
			for j, level := range levels {
				if (i*len(levels)+j)%stride != k%stride {
					continue
				}
				module, _, err := c.compile(t.Context(), p, plan, 32, level)
				if err != nil {
					t.Fatal(err)
				}
				if module, err = meter(module, fuelOf(plan, layoutOf(p, plan, 32))); err != nil {
					t.Fatalf("%s %v %s: %v", law.Name, plan, level, err)
				}
				kernel, err := m.compile(t.Context(), p, plan, 32, module)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(kernel.golden(t.Context(), 7), kernel.close()); err != nil {
					t.Errorf("%s %v %s: %v", law.Name, plan, level, err)
				}
			}
		}
	}
}

// builtTwice is a bundle, after it was built again to the same bytes.
func builtTwice(t testing.TB, d *Domain, point benchmarks.Point) benchmarks.Bundle {
	t.Helper()
	var twice [2]benchmarks.Bundle
	for i := range twice {
		var err error
		if twice[i], err = d.Build(t.Context(), point, 0); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range twice[0].Files {
		if !bytes.Equal(f.Bytes, twice[1].Files[i].Bytes) {
			t.Errorf("%s differs when it is built again", f.Name)
		}
	}
	return twice[0]
}

// A bundle of clang's is the same bytes again, says what built it, and opens in
// a loader that knows of no compiler.
func TestABundleOfClangOpensWithoutClang(t *testing.T) {
	c := needsClang(t)
	d, err := New(GrayScott(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	point := benchmarks.Point{paramPrecision: "f32", paramSIMD: true, paramUnroll: "2", paramBuilder: builderClang, paramLevel: "O3"}
	bundle := builtTwice(t, d, point)
	var h kernelHeader
	if err := json.Unmarshal(bundle.Files[0].Bytes, &h); err != nil {
		t.Fatal(err)
	}
	if b := h.Builder; b == nil || b.Name != "clang" || !strings.Contains(b.Version, "clang") || !slices.Contains(b.Flags, "-O3") || b.check() != nil {
		t.Errorf("the header says of the builder: %+v", b)
	}
	o := NewLoader(nil)
	t.Cleanup(func() { closes(t, o.Close) })
	k, err := o.Open(t.Context(), bundle.Files)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.String(); got != "gray-scott f32-simd-u2-k1-r64-f by clang -O3" {
		t.Errorf("the kernels say %q", got)
	}
	closes(t, k.Close)
}

func TestTheContractIsKeptWithClang(t *testing.T) {
	d, err := New(GrayScott(), needsClang(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, d.Close) })
	conformance.Run(t, d)
}

// Without a compiler there is nothing to choose: points and spaces are what
// they were, and a point that asks for clang is refused.
func TestAMachineWithNothingButGoSeesNoBuilder(t *testing.T) {
	if _, there := space(nil, nil).Parameter(paramBuilder); there {
		t.Error("a builder to choose, and no compiler")
	}
	d := grayScott(t)
	_, err := d.Build(t.Context(), benchmarks.Point{paramBuilder: builderClang}, 0)
	if err == nil || !strings.Contains(err.Error(), paramBuilder) {
		t.Errorf("%v, want a refusal of the builder", err)
	}
	if _, err := FindClang(t.Context(), "/nowhere/clang"); err == nil {
		t.Error("a compiler that is not there was found")
	}
}
