// Package universe is the domain of compute kernels: x_{t+1} = F_θ(x_t) on a
// torus of cells. It swaps code.
//
// A [Law] is a typed expression tree for each channel of a cell. [Prepare]
// makes it ready, [Program.Interpret] runs it slowly and is the oracle, and
// [Program.Emit] writes it as a WebAssembly module by a [Plan]: in double or
// single precision or 16-bit fixed point, scalar or by vectors, unrolled, with
// several steps fused while a band of rows is in the cache. No compiler is
// needed. A bundle holds a module for each of the [Widths]; [Loader] stages it
// and a [Universe] steps under one and changes to another between two steps.
//
// With a compiler kernels may also be C that clang has built, for WebAssembly,
// or for this machine's processor where the host allows that: see native.go.
//
// Every kernel agrees bit by bit with the interpreter of its own precision;
// what the precisions differ by is the error that contexts have budgets for.
//
// It is not a simulator for science: grids are tori of three widths, and laws
// look at most two cells far.
package universe

import (
	"context"
	"fmt"
	"sync"

	"github.com/arqon/arqon/benchmarks"
)

// Domain implements benchmarks.Domain for kernels of one law: it builds and
// measures these. It opens and checks those of any law, which are then measured
// in the contexts of their own. It may be used by several goroutines, the
// instances that it opens by one each.
type Domain struct {
	program *Program
	tag     string // of its law
	loader  *Loader
	clang   *Clang  // nil: there is none
	native  *Native // nil: there is none, or nobody wants it

	precompiler *Precompiler // nil: bundles carry no code

	mu     sync.Mutex
	truths map[truthKey]*truth
	recent []truthKey // oldest first
}

var _ benchmarks.Domain = (*Domain)(nil)

// New makes the domain of a law's kernels. Close it after its instances. A
// compiler makes the space larger; nil leaves it as it is on a machine with
// nothing but Go. Opening a bundle needs no compiler, whoever built it.
func New(l Law, compiler *Clang) (*Domain, error) {
	p, err := Prepare(l)
	if err != nil {
		return nil, err
	}
	d := of(p, NewLoader(p))
	d.clang = compiler
	return d, nil
}

func of(p *Program, o *Loader) *Domain {
	return &Domain{program: p, tag: p.law.Tag(), loader: o, truths: map[truthKey]*truth{}}
}

// AllowNative lets the domain open native kernels, which it refuses otherwise,
// and build them too where builder is not nil: the space is larger then.
// Nothing else of the domain may have been called.
func (d *Domain) AllowNative(builder *Native) {
	d.native = builder
	d.loader.AllowNative()
}

// Precompile lets bundles carry what wazero makes of their modules, and opens
// them by that alone: see Loader.AllowPrecompiled. The baseline carries none, so
// that what a host falls back to depends on no machine; nor do native kernels.
// Nothing else of the domain may have been called.
func (d *Domain) Precompile(c *Precompiler) {
	d.precompiler = c
	d.loader.AllowPrecompiled(c)
}

// Close frees the compiled kernels.
func (d *Domain) Close() error { return d.loader.Close() }

// Law is what the domain's kernels compute.
func (d *Domain) Law() Law { return d.program.law }

// Loader is what stages the domain's kernels, for a host.
func (d *Domain) Loader() *Loader { return d.loader }

// Build implements benchmarks.Domain: pure, of the point and the law alone, and
// of the compiler where the point names it.
func (d *Domain) Build(ctx context.Context, p benchmarks.Point, buildSeed uint64) (benchmarks.Bundle, error) {
	p, err := space(d.clang, d.native).Normalize(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	plan, err := planOf(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	out := benchmarks.Bundle{Point: p, Seed: buildSeed, Type: "kernel", Knobs: d.program.law.Online()}
	switch p[paramBuilder] {
	case builderClang:
		out.Files, err = d.program.clangFiles(ctx, d.clang, plan, fmt.Sprint(p[paramLevel]))
	case builderNative:
		cpu, chosen := p[paramCPU].(string)
		if !chosen {
			cpu = d.native.levels[0]
		}
		out.Files, err = d.program.nativeFiles(ctx, d.native, plan, cpu)
		out.Type, out.Needs = "native-kernel", []string{FeatureNative, cpu}
	default:
		if out.Files, err = d.program.Files(plan); err != nil {
			err = fmt.Errorf("%w: %w", err, benchmarks.ErrBadCandidate)
		}
	}
	if err == nil && d.precompiler != nil && out.Needs == nil && !isBaseline(p) {
		out.Files, err = d.precompiler.add(ctx, d.program, plan, out.Files)
		out.Needs = d.precompiler.Features()
	}
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	return out, nil
}

// isBaseline reports whether a normalized point builds what the baseline does.
func isBaseline(p benchmarks.Point) bool {
	for name, v := range Baseline() {
		if p[name] != v {
			return false
		}
	}
	by, chosen := p[paramBuilder]
	return !chosen || by == builderGo
}

// Open implements benchmarks.Domain: it verifies and compiles.
func (d *Domain) Open(ctx context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	k, err := d.loader.Open(ctx, ordered(b.Files))
	if err != nil {
		return nil, err
	}
	if k.program != d.program { // another law: its own oracle, and its own contexts
		d = of(k.program, d.loader)
	}
	return &instance{domain: d, kernels: k, grids: map[int]*grid{}}, nil
}
