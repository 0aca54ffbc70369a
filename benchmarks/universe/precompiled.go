package universe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"github.com/arqon/arqon/benchmarks"
)

// A bundle of WebAssembly kernels may also carry what wazero's compiler makes
// of them: its cache files, one a module. They are machine code that no check of
// a module sees, and their own checksum keeps nobody off. So who makes them
// compiles twice, and a host uses them only if it is told to, and only where
// what it would compile itself is the same: see docs/adr/0030.

// FeaturePrecompiled begins the features that an entry with precompiled code
// names in its envelope: the version of wazero, and exactly the features of the
// processor that its code depends on. See Precompiler.Features.
const FeaturePrecompiled = "precompiled"

// SelfCompiled is what a host offers that compiles every kernel itself, and so
// does not mind what the code beside it was made for: any of those features.
const SelfCompiled = FeaturePrecompiled + "-*"

const compiledMediaType = "application/vnd.arqon.wazero-code"

func compiledFileName(width int) string { return fmt.Sprintf("kernel-%d.wazero", width) }

// compilerFile is everything that decides which machine code becomes of a
// module.
type compilerFile struct {
	Wazero string   `json:"wazero"` // what it calls itself: "v1.12.0"; "dev" where a program knows no versions
	OS     string   `json:"os"`
	Arch   string   `json:"arch"`
	CPU    []string `json:"cpu"`   // all that the processor has of what wazero looks for
	Probe  string   `json:"probe"` // SHA-256 of what it makes of known kernels, see probe
}

// compiledFile is what kernel.json says of precompiled code.
type compiledFile struct {
	compilerFile
	Files []builtFile `json:"files"` // in the order of Widths
}

type builtFile struct {
	Digest string `json:"digest"` // SHA-256
	Bytes  int    `json:"bytes"`
}

// check refuses a header that does not say what it should.
func (f *compiledFile) check() error {
	if f.Wazero == "" || f.OS == "" || f.Arch == "" || f.CPU == nil || !digestShaped(f.Probe) {
		return errors.New("wazero, os, arch, cpu or probe is missing: say what compiled it")
	}
	if len(f.Files) != len(Widths) {
		return fmt.Errorf("%d files, want %d", len(f.Files), len(Widths))
	}
	for i, one := range f.Files {
		if !digestShaped(one.Digest) || one.Bytes < 1 || one.Bytes > compiledBytesMax {
			return fmt.Errorf("files[%d]: want a SHA-256 and 1 to %d bytes", i, compiledBytesMax)
		}
	}
	return nil
}

// is compares bytes with what was signed.
func (f builtFile) is(b []byte) error {
	if len(b) != f.Bytes {
		return fmt.Errorf("%d bytes, what was signed has %d", len(b), f.Bytes)
	}
	if got := digestOf(b); got != f.Digest {
		return fmt.Errorf("it is %.15s…, what was signed is %.15s…", got, f.Digest)
	}
	return nil
}

// unlike says in which way code was made by another compiler, or for another
// machine, than c; nil if it was not.
func (c compilerFile) unlike(made compilerFile) error {
	switch {
	case made.Wazero != c.Wazero:
		return fmt.Errorf("compiled by wazero %.40s, this program has %s", made.Wazero, c.Wazero)
	case made.OS != c.OS || made.Arch != c.Arch:
		return fmt.Errorf("compiled for %.20s on %.20s, this is %s on %s", made.OS, made.Arch, c.OS, c.Arch)
	case !slices.Equal(made.CPU, c.CPU):
		return fmt.Errorf("compiled for a processor with %s, this one has %s", spoken(made.CPU), spoken(c.CPU))
	case made.Probe != c.Probe:
		return fmt.Errorf("compiled by a wazero %.40s that compiles known kernels to other code than this one: it was changed", made.Wazero)
	}
	return nil
}

func spoken(features []string) string {
	if len(features) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.80s", strings.Join(features, ", "))
}

// Precompiler is the wazero of this program on this machine's processor.
type Precompiler struct {
	is       compilerFile
	features uint64
}

// FindPrecompiler looks at the wazero of this program: it compiles known
// kernels, and makes sure that the cache files are called and written as this
// room expects. It is done once a process and takes some 15 ms. An error says
// why there can be no precompiled code here.
func FindPrecompiler() (*Precompiler, error) { return findPrecompiler() }

var findPrecompiler = sync.OnceValues(func() (*Precompiler, error) {
	p, err := Prepare(GrayScott())
	if err != nil {
		return nil, err
	}
	c := &Precompiler{}
	if c.is, c.features, err = thisCompiler(context.Background(), p); err != nil {
		return nil, fmt.Errorf("precompiled kernels: %w", err)
	}
	return c, nil
})

// probes are the plans whose code stands for the compiler: each precision, with
// and without vectors.
var probes = []Plan{{F64, false, 2, 2, 8, true}, {F64, true, 1, 1, 64, false}, {F32, false, 1, 1, 64, false}, {F32, true, 4, 2, 8, false}, {I16, true, 2, 2, 16, true}}

// thisCompiler finds out what compiles here. A version alone would not do: a
// program that was built without versions has a wazero "dev" whatever it is, and
// one with a replaced module has the name of the other.
func thisCompiler(ctx context.Context, p *Program) (is compilerFile, features uint64, err error) {
	is = compilerFile{OS: goruntime.GOOS, Arch: goruntime.GOARCH}
	is.CPU, features = processorFeatures()
	var all []byte
	for _, plan := range probes {
		module, err := p.Emit(plan, Widths[0])
		if err != nil {
			return is, 0, err
		}
		version, name, b, err := compileFile(ctx, module)
		if err != nil {
			return is, 0, err
		}
		if want := compiledName(module, features); name != want {
			return is, 0, fmt.Errorf("wazero %s calls a cache file %.8s… that should be %.8s…: this program knows another wazero or another processor", version, name, want)
		}
		if _, err := readCompiled(b, version); err != nil {
			return is, 0, fmt.Errorf("wazero %s writes a cache file that this program cannot read: %w", version, err)
		}
		is.Wazero, all = version, append(all, b...)
	}
	is.Probe = digestOf(all)
	return is, features, nil
}

// String says what it is.
func (c *Precompiler) String() string {
	return fmt.Sprintf("wazero %s for %s on %s with %s", c.is.Wazero, c.is.OS, c.is.Arch, spoken(c.is.CPU))
}

// Features are what a host that uses precompiled code offers to envelopes, and
// what the envelope of such an entry asks for: the compiler's version, and one
// word for all features of the processor. One that has more of them compiles
// something else.
func (c *Precompiler) Features() []string { return c.is.needs() }

func (c compilerFile) needs() []string {
	return []string{
		FeaturePrecompiled + "-wazero-" + c.Wazero,
		strings.Join(append([]string{FeaturePrecompiled, c.Arch}, c.CPU...), "-"),
	}
}

// compile makes the cache file of a module, as it is run.
func (c *Precompiler) compile(ctx context.Context, module []byte) ([]byte, error) {
	version, name, b, err := compileFile(ctx, module)
	if err != nil {
		return nil, err
	}
	if want := compiledName(module, c.features); name != want || version != c.is.Wazero {
		return nil, fmt.Errorf("wazero %s wrote %.8s…, want %.8s… of %s", version, name, want, c.is.Wazero)
	}
	if _, err := readCompiled(b, version); err != nil {
		return nil, err
	}
	return b, nil
}

// add puts the cache files of a bundle's modules behind them, and what they are
// into its kernel.json.
func (c *Precompiler) add(ctx context.Context, p *Program, plan Plan, files []benchmarks.File) ([]benchmarks.File, error) {
	var h kernelHeader
	if err := strictJSON(files[0].Bytes, headerBytesMax, &h); err != nil {
		return nil, err
	}
	h.Compiled = &compiledFile{compilerFile: c.is}
	out := slices.Clone(files)
	for i, width := range Widths {
		module := files[1+i].Bytes
		if h.Builder != nil {
			var err error
			if module, err = meter(module, fuelOf(plan, layoutOf(p, plan, width))); err != nil {
				return nil, err
			}
		}
		b, err := c.compile(ctx, module)
		if err != nil {
			return nil, fmt.Errorf("width %d: %w: %w", width, benchmarks.ErrBuildFailed, err)
		}
		h.Compiled.Files = append(h.Compiled.Files, builtFile{digestOf(b), len(b)})
		out = append(out, benchmarks.File{Name: compiledFileName(width), MediaType: compiledMediaType, Bytes: b})
	}
	header, err := json.Marshal(h)
	out[0].Bytes = header
	return out, err
}

// ErrOtherMachine is wrapped by what cannot be compared here, because it was
// compiled by another compiler or for another processor.
var ErrOtherMachine = errors.New("was compiled elsewhere")

// Reproduce compiles the kernels again and compares every byte with the
// precompiled code of their bundle, which may be loaded or not. It returns how
// many files that were: 0 where a bundle has none. An error wraps
// ErrOtherMachine where another compiler made them, and ErrBadKernel where
// they are something else than what becomes of their module.
func (k *Kernels) Reproduce(ctx context.Context) (int, error) {
	if k.compiled == nil {
		return 0, nil
	}
	c, err := FindPrecompiler()
	if err != nil {
		return 0, err
	}
	if err := c.is.unlike(k.compiled.compilerFile); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrOtherMachine, err)
	}
	for i, width := range Widths {
		if err := k.reproduce(ctx, c, i, width); err != nil {
			return 0, err
		}
	}
	return len(Widths), nil
}

func (k *Kernels) reproduce(ctx context.Context, c *Precompiler, i, width int) error {
	b, err := c.compile(ctx, k.by[width].binary)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, k.code[i]) {
		return fmt.Errorf("%s: %w: %d bytes that are not the %d that wazero makes of its module", compiledFileName(width), ErrBadKernel, len(k.code[i]), len(b))
	}
	return nil
}
