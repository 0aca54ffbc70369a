package universe

import (
	"context"
	"math"
	"os"
	goruntime "runtime"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/arqon/arqon/benchmarks"
)

// ARQON_FIGURES=1 go test -run TestFiguresOfStaging -v ./benchmarks/universe
// prints what staging consists of, what wazero's compilation cache leaves of
// it, and what precompiled bundles take: the least processor time of
// interleaved rounds, all three widths. docs/adr/0023 and 0030 are about it.
func TestFiguresOfStaging(t *testing.T) {
	if os.Getenv("ARQON_FIGURES") == "" {
		t.Skip("ARQON_FIGURES is not set")
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	p := prepared(t, GrayScott())
	plan := Plan{F32, true, 4, 4, 32, false}
	var modules [][]byte
	for _, w := range Widths {
		module, err := p.Emit(plan, w)
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, module)
	}
	foreign := kept(t)
	dir := t.TempDir()
	compile := func(cfg wazero.RuntimeConfig) {
		r := wazero.NewRuntimeWithConfig(context.Background(), cfg.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(pagesMax))
		for _, m := range modules {
			if _, err := r.CompileModule(context.Background(), m); err != nil {
				t.Fatal(err)
			}
		}
		closes(t, func() error { return r.Close(context.Background()) })
	}
	withCache := func() {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		compile(wazero.NewRuntimeConfig().WithCompilationCache(cache))
		closes(t, func() error { return cache.Close(context.Background()) })
	}
	withCache() // fills the folder
	m := newMachine(false)
	t.Cleanup(func() { closes(t, m.close) })
	var three []*kernel
	for i, w := range Widths {
		k, err := m.compile(t.Context(), p, plan, w, modules[i])
		if err != nil {
			t.Fatal(err)
		}
		three = append(three, k)
	}
	k := three[1]
	compiler := needsPrecompiler(t)
	withCode := func(plan Plan, files []benchmarks.File) []benchmarks.File {
		out, err := compiler.add(t.Context(), p, plan, files)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range Widths {
			t.Logf("%v, width %d: a module of %d bytes, code of %d", plan, w, len(out[1+i].Bytes), len(out[1+len(Widths)+i].Bytes))
		}
		return out
	}
	code, foreignCode := withCode(plan, mustFiles(t, p, plan)), withCode(keptPlan, foreign)
	loads := func() *Loader {
		o := NewLoader(p)
		o.AllowPrecompiled(compiler)
		return o
	}
	arms := []struct {
		name string
		run  func()
	}{
		{"prepare the law", func() { prepared(t, GrayScott()) }},
		{"emit anew", func() {
			for _, w := range Widths {
				if _, err := p.Emit(plan, w); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"meter what clang built", func() {
			for i, f := range foreign[1:] {
				if _, err := meter(f.Bytes, fuelOf(keptPlan, layoutOf(p, keptPlan, Widths[i]))); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"compile", func() { compile(wazero.NewRuntimeConfig()) }},
		{"compile, cache files there", withCache},
		{"the golden run at 256", func() {
			if err := k.golden(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}},
		{"open Go's bundle, law known", func() { opens(t, NewLoader(p), mustFiles(t, p, plan)) }},
		{"open clang's bundle, law known", func() { opens(t, NewLoader(p), foreign) }},
		{"golden runs on three widths", func() {
			for _, k := range three {
				if err := k.golden(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"load the code of three widths", func() {
			o := loads()
			k, err := o.header(code)
			if err != nil {
				t.Fatal(err)
			}
			m, err := o.precompiled(k)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range Widths {
				if _, err := m.compile(t.Context(), p, plan, w, modules[i]); err != nil {
					t.Fatal(err)
				}
			}
			closes(t, m.ready.folder.remove)
			closes(t, o.Close)
		}},
		{"open Go's bundle by its code", func() { opens(t, loads(), code) }},
		{"open clang's bundle by its code", func() { opens(t, loads(), foreignCode) }},
		{"know the compiler (once a process)", func() {
			if _, _, err := thisCompiler(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}},
	}
	best := make([]float64, len(arms))
	for i := range best {
		best[i] = math.Inf(1)
	}
	for range 15 {
		for i, a := range arms {
			from, err := benchmarks.ThreadCPU()
			if err != nil {
				t.Fatal(err)
			}
			a.run()
			to, err := benchmarks.ThreadCPU()
			if err != nil {
				t.Fatal(err)
			}
			best[i] = min(best[i], (to-from).Seconds()*1e3)
		}
	}
	for i, a := range arms {
		t.Logf("%-32s %6.2f ms", a.name, best[i])
	}
}

func mustFiles(t *testing.T, p *Program, plan Plan) []benchmarks.File {
	t.Helper()
	files, err := p.Files(plan)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func opens(t *testing.T, o *Loader, files []benchmarks.File) {
	t.Helper()
	k, err := o.Open(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	closes(t, k.Close)
	closes(t, o.Close)
}
