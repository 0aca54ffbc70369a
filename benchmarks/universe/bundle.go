package universe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// What a bundle holds: what the kernel is, and a module a width.
const (
	kernelFile      = "kernel.json"
	kernelMediaType = "application/vnd.arqon.universe-kernel+json"
	moduleMediaType = "application/wasm"
	nativeMediaType = "application/x-elf"
)

func moduleFile(width int) string { return fmt.Sprintf("kernel-%d.wasm", width) }
func nativeName(width int) string { return fmt.Sprintf("kernel-%d.elf", width) }

// emitterVersion names what Emit writes. Change it with the first byte that
// changes: modules of another version are refused, because nothing else shows
// that they end.
const emitterVersion = 2

// kernelHeader is kernel.json.
type kernelHeader struct {
	Emitter int             `json:"emitter"`
	Plan    planFile        `json:"plan"`
	Law     json.RawMessage `json:"law"`
	Builder *builderFile    `json:"builder,omitempty"` // absent: Emit

	Compiled *compiledFile `json:"compiled,omitempty"` // absent: no precompiled code
}

// headerBytesMax bounds kernel.json.
const headerBytesMax = 2 * lawBytesMax

// builderFile says who built the modules, so that anybody can build them again.
type builderFile struct {
	Name     string        `json:"name"`     // "clang" or "native"
	Version  string        `json:"version"`  // what the compiler says of itself
	Compiler string        `json:"compiler"` // SHA-256 of it, see Clang.Digest
	Flags    []string      `json:"flags"`
	Meter    int           `json:"meter,omitempty"`  // meterVersion, of clang
	Native   *nativeFile   `json:"native,omitempty"` // what runs the kernels, of native
	Modules  []builtModule `json:"modules"`          // in the order of Widths
}

// builtModule is a module as a builder left it.
type builtModule struct {
	Source  string `json:"source"`            // SHA-256 of Program.C
	Memory  int    `json:"memory"`            // its maximum, bytes: the linker's --max-memory
	Metered string `json:"metered,omitempty"` // SHA-256 of what meter makes of it, which is what was judged
	Code    string `json:"code,omitempty"`    // of a native kernel: SHA-256 of it
}

type planFile struct {
	Precision  string `json:"precision"`
	SIMD       bool   `json:"simd"`
	Unroll     int    `json:"unroll"`
	Fuse       int    `json:"fuse"`
	Rows       int    `json:"rows"`
	Serpentine bool   `json:"serpentine"`
}

// Files writes the law by the plan for every width: pure.
func (p *Program) Files(plan Plan) ([]benchmarks.File, error) {
	var modules [][]byte
	for _, width := range Widths {
		module, err := p.Emit(plan, width)
		if err != nil {
			return nil, err
		}
		modules = append(modules, module)
	}
	return p.files(plan, modules, nil)
}

func (p *Program) files(plan Plan, modules [][]byte, builder *builderFile) ([]benchmarks.File, error) {
	header, err := json.Marshal(kernelHeader{
		Emitter: emitterVersion, Law: p.law.Encode(), Builder: builder,
		Plan: planFile{plan.Precision.String(), plan.SIMD, plan.Unroll, plan.Fuse, plan.Rows, plan.Serpentine},
	})
	if err != nil {
		return nil, err
	}
	out := []benchmarks.File{{Name: kernelFile, MediaType: kernelMediaType, Bytes: header}}
	for i, width := range Widths {
		f := benchmarks.File{Name: moduleFile(width), MediaType: moduleMediaType, Bytes: modules[i]}
		if builder != nil && builder.Native != nil {
			f.Name, f.MediaType = nativeName(width), nativeMediaType
		}
		out = append(out, f)
	}
	return out, nil
}

// Loader compiles kernels. It may be used by several goroutines.
type Loader struct {
	machine *machine
	may     permission

	precompiler *Precompiler // nil: precompiled code is not used
	mu          sync.Mutex
	known       map[string]*Program // by the text of their laws: what is not prepared again; guarded by mu
	others      map[*machine]bool   // of bundles whose code was loaded, until they are closed; guarded by mu
}

// lawsKnownMax is how many laws a loader keeps. One more forgets all of them:
// they are prepared again then, some milliseconds each.
const lawsKnownMax = 64

// NewLoader starts a loader. A law that is the program's needs no preparation;
// nil knows none.
func NewLoader(known *Program) *Loader {
	o := &Loader{machine: newMachine(false), known: map[string]*Program{}}
	if known != nil {
		o.known[string(known.law.Encode())] = known
	}
	return o
}

// prepared is the program of a law's text, made once.
func (o *Loader) prepared(text []byte) (*Program, error) {
	o.mu.Lock()
	p := o.known[string(text)]
	o.mu.Unlock()
	if p != nil {
		return p, nil
	}
	l, err := DecodeLaw(text)
	if err != nil {
		return nil, err
	}
	if p, err = Prepare(l); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if other := o.known[string(l.Encode())]; other != nil {
		return other, nil
	}
	if len(o.known) >= lawsKnownMax {
		clear(o.known)
	}
	o.known[string(l.Encode())] = p
	return p, nil
}

// Close frees everything that the loader has compiled: nothing may step any
// more.
func (o *Loader) Close() error {
	err := o.machine.close()
	o.mu.Lock()
	defer o.mu.Unlock()
	for m := range o.others {
		err = errors.Join(err, m.close())
	}
	o.others = nil
	return err
}

// Kernels is one variant, compiled for every width.
type Kernels struct {
	program *Program
	plan    Plan
	builder *builderFile // nil: Emit
	by      map[int]*kernel
	bytes   int // of the largest module, as it is in the bundle

	compiled *compiledFile // nil: the bundle has no precompiled code
	code     [][]byte      // it, in the order of Widths
	loader   *Loader
	loaded   *machine // what the code was loaded into; nil: the modules were compiled
}

// Open stages a bundle's files: it reads the law and the plan, emits the
// modules anew, and compiles only what is byte for byte the same. That is the
// proof that a kernel ends and touches nothing but its memory: wazero's check
// at every turn of a loop makes kernels ten times slower. A module of a
// compiler cannot be emitted anew: it is metered, see meter, must then be what
// was judged, and must compute what the interpreter does. A native kernel must be
// allowed, and compute that too; so must precompiled code, where it is allowed.
// Anything else is refused with what is wrong with it, wrapping ErrBadKernel or
// ErrBadLaw.
func (o *Loader) Open(ctx context.Context, files []benchmarks.File) (_ *Kernels, err error) {
	out, err := o.header(files)
	if err != nil {
		return nil, err
	}
	m := o.machine
	if out.compiled != nil && o.precompiler != nil {
		if m, err = o.precompiled(out); err != nil {
			return nil, err
		}
		out.loaded = m
		defer func() { err = errors.Join(err, m.ready.folder.remove()) }()
	}
	for i, width := range Widths {
		f := files[i+1]
		k, err := o.one(ctx, m, out, i, f.Bytes)
		if err == nil {
			out.by[width], out.bytes = k, max(out.bytes, len(f.Bytes))
			if out.loaded != nil && out.builder == nil { // foreign has done it
				err = k.golden(ctx, 1)
			}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.Name, err), out.Close())
		}
	}
	return out, nil
}

// one makes the kernel of the i-th width.
func (o *Loader) one(ctx context.Context, m *machine, of *Kernels, i int, module []byte) (*kernel, error) {
	p, plan, width := of.program, of.plan, Widths[i]
	switch {
	case of.builder == nil:
		return o.emitted(ctx, m, p, plan, width, module)
	case of.builder.Native != nil:
		return o.native(ctx, p, plan, width, module, of.builder.Modules[i].Code)
	}
	return o.foreign(ctx, m, p, plan, width, module, of.builder.Modules[i].Metered)
}

func (o *Loader) emitted(ctx context.Context, m *machine, p *Program, plan Plan, width int, module []byte) (*kernel, error) {
	want, err := p.Emit(plan, width)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(want, module) {
		return nil, o.diagnose(ctx, p, plan, width, module)
	}
	return m.compile(ctx, p, plan, width, module)
}

// foreign opens what a compiler has built. The golden run is on every width:
// nothing else ties the module to its law.
func (o *Loader) foreign(ctx context.Context, m *machine, p *Program, plan Plan, width int, module []byte, judged string) (*kernel, error) {
	metered, err := meter(module, fuelOf(plan, layoutOf(p, plan, width)))
	if err != nil {
		return nil, err
	}
	if got := digestOf(metered); got != judged {
		return nil, fmt.Errorf("%w: with its counter it is %.15s…, what was judged is %.15s…", ErrBadKernel, got, judged)
	}
	k, err := m.compile(ctx, p, plan, width, metered)
	if err != nil {
		return nil, err
	}
	if err := k.golden(ctx, 1); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// header reads what a bundle is, and looks at nothing of its modules.
func (o *Loader) header(files []benchmarks.File) (*Kernels, error) {
	bad := func(err error) (*Kernels, error) { return nil, fmt.Errorf("%s: %w: %w", kernelFile, ErrBadKernel, err) }
	if len(files) == 0 || files[0].Name != kernelFile {
		return bad(fmt.Errorf("a bundle of %d files: the first is not %s", len(files), kernelFile))
	}
	var h kernelHeader
	if err := strictJSON(files[0].Bytes, headerBytesMax, &h); err != nil {
		return bad(err)
	}
	if err := h.names(files); err != nil {
		return bad(err)
	}
	if h.Emitter != emitterVersion {
		return bad(fmt.Errorf("made by emitter %d, this program has %d: build it again", h.Emitter, emitterVersion))
	}
	plan := Plan{precisionCount, h.Plan.SIMD, h.Plan.Unroll, h.Plan.Fuse, h.Plan.Rows, h.Plan.Serpentine}
	for p := range precisionCount {
		if precisions[p].name == h.Plan.Precision {
			plan.Precision = p
		}
	}
	if err := plan.check(); err != nil {
		return bad(err)
	}
	if h.Builder != nil {
		if err := h.Builder.check(); err != nil {
			return bad(fmt.Errorf("builder: %w", err))
		}
		if n := h.Builder.Native; n != nil {
			if err := o.may.check(n); err != nil {
				return bad(err)
			}
		}
	}
	out := &Kernels{plan: plan, builder: h.Builder, compiled: h.Compiled, by: map[int]*kernel{}, loader: o}
	if err := out.takeCode(files[1+len(Widths):]); err != nil {
		return nil, err
	}
	var err error
	out.program, err = o.prepared(h.Law)
	return out, err
}

// names refuses files that are not those of the header, in their order.
func (h *kernelHeader) names(files []benchmarks.File) error {
	want := []string{kernelFile}
	for _, width := range Widths {
		if h.Builder != nil && h.Builder.Native != nil {
			want = append(want, nativeName(width))
		} else {
			want = append(want, moduleFile(width))
		}
	}
	if h.Compiled != nil {
		for _, width := range Widths {
			want = append(want, compiledFileName(width))
		}
	}
	for i, name := range want {
		if !slices.ContainsFunc(files, func(f benchmarks.File) bool { return f.Name == name }) {
			return fmt.Errorf("a bundle of %d files, want %d: %s is missing", len(files), len(want), name)
		}
		if files[i].Name != name {
			return fmt.Errorf("file %.40q where %s belongs", files[i].Name, name)
		}
	}
	if len(files) > len(want) {
		return fmt.Errorf("a bundle of %d files, want %d: %.40q does not belong there", len(files), len(want), files[len(want)].Name)
	}
	return nil
}

// takeCode keeps precompiled code that is what was signed. It may never be used.
func (k *Kernels) takeCode(files []benchmarks.File) error {
	if k.compiled == nil {
		return nil
	}
	if err := k.compiled.check(); err != nil {
		return fmt.Errorf("%s: %w: compiled: %w", kernelFile, ErrBadKernel, err)
	}
	if k.builder != nil && k.builder.Native != nil {
		return fmt.Errorf("%s: %w: native kernels are machine code already: compiled must be absent", kernelFile, ErrBadKernel)
	}
	for i, f := range files {
		if err := k.compiled.Files[i].is(f.Bytes); err != nil {
			return fmt.Errorf("%s: %w: %w", f.Name, ErrBadKernel, err)
		}
		k.code = append(k.code, f.Bytes)
	}
	return nil
}

// check refuses a builder that this program knows nothing of.
func (b *builderFile) check() error {
	switch {
	case b.Name != builderClang && b.Name != builderNative:
		return fmt.Errorf("%.40q is not one whose kernels this program opens: want %s, %s, or none", b.Name, builderClang, builderNative)
	case (b.Name == builderNative) != (b.Native != nil):
		return fmt.Errorf("%s, and native is something else: say which processors it is for, or nothing", b.Name)
	case b.Native == nil && b.Meter != meterVersion:
		return fmt.Errorf("judged with counter %d, this program has %d: build it again", b.Meter, meterVersion)
	case len(b.Modules) != len(Widths):
		return fmt.Errorf("%d modules, want %d", len(b.Modules), len(Widths))
	case b.Version == "" || len(b.Flags) == 0 || !digestShaped(b.Compiler):
		return errors.New("version, flags or the compiler's SHA-256 is missing: say what built it")
	}
	judged := func(m builtModule) string { return m.Metered }
	if b.Native != nil {
		if err := b.Native.check(); err != nil {
			return fmt.Errorf("native: %w", err)
		}
		judged = func(m builtModule) string { return m.Code }
	}
	for i, m := range b.Modules {
		if !digestShaped(m.Source) || !digestShaped(judged(m)) {
			return fmt.Errorf("modules[%d]: want SHA-256 of the source and of what was judged: the metered module, or the code", i)
		}
	}
	return nil
}

const digestPrefix = "sha256:"

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return digestPrefix + hex.EncodeToString(sum[:])
}

func digestShaped(s string) bool {
	text, ok := strings.CutPrefix(s, digestPrefix)
	b, err := hex.DecodeString(text)
	return ok && err == nil && len(b) == sha256.Size
}

// trialTimeMax bounds the run of a module that will be refused anyway.
const trialTimeMax = 500 * time.Millisecond

// diagnose says what is wrong with a module that is not what the emitter
// writes: its sections, its memory and exports, whether it ends, or what it
// computes. It never returns nil.
func (o *Loader) diagnose(ctx context.Context, p *Program, plan Plan, width int, module []byte) error {
	ctx, cancel := context.WithTimeout(ctx, trialTimeMax)
	defer cancel()
	guarded := newMachine(true)
	k, err := guarded.compile(ctx, p, plan, width, module)
	if err == nil {
		err = errors.Join(k.golden(ctx, 1), k.close())
	}
	if err = errors.Join(err, guarded.close()); err != nil {
		return err
	}
	return fmt.Errorf("%w: it is not what emitter %d writes for its law and plan, so nothing shows that it always ends", ErrBadKernel, emitterVersion)
}

// Close frees the compiled modules. Grids that still step must be closed
// before.
func (k *Kernels) Close() error {
	var err error
	for _, width := range Widths {
		if one, ok := k.by[width]; ok {
			err = errors.Join(err, one.close())
		}
	}
	if k.loaded != nil {
		err = errors.Join(err, k.loader.forget(k.loaded))
	}
	return err
}

// String says what the kernels are.
func (k *Kernels) String() string {
	out := k.program.law.Name + " " + k.plan.String()
	if k.builder != nil {
		out += fmt.Sprintf(" by %s %s", k.builder.Name, k.builder.Flags[0])
		if n := k.builder.Native; n != nil {
			out += " for " + n.CPU
		}
	}
	if k.Precompiled() {
		out += ", precompiled"
	}
	return out
}

// Precompiled reports whether the kernels are the code that their bundle
// carries, instead of what was compiled of their modules here.
func (k *Kernels) Precompiled() bool { return k.loaded != nil }

// Law is what the kernels compute.
func (k *Kernels) Law() Law { return k.program.law }

// Precision is what the kernels compute in.
func (k *Kernels) Precision() Precision { return k.plan.Precision }
