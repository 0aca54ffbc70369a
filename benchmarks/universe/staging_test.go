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
// prints what staging consists of, and what wazero's compilation cache would
// leave of it: the least processor time of interleaved rounds, all three
// widths. docs/adr/0023 is about it.
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
	k, err := m.compile(t.Context(), p, plan, 256, modules[1])
	if err != nil {
		t.Fatal(err)
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
