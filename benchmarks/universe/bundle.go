package universe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// What a bundle holds: what the kernel is, and a module a width.
const (
	kernelFile      = "kernel.json"
	kernelMediaType = "application/vnd.arqon.universe-kernel+json"
	moduleMediaType = "application/wasm"
)

func moduleFile(width int) string { return fmt.Sprintf("kernel-%d.wasm", width) }

// emitterVersion names what Emit writes. Change it with the first byte that
// changes: modules of another version are refused, because nothing else shows
// that they end.
const emitterVersion = 1

// kernelHeader is kernel.json.
type kernelHeader struct {
	Emitter int             `json:"emitter"`
	Plan    planFile        `json:"plan"`
	Law     json.RawMessage `json:"law"`
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
	header, err := json.Marshal(kernelHeader{
		Emitter: emitterVersion, Law: p.law.Encode(),
		Plan: planFile{plan.Precision.String(), plan.SIMD, plan.Unroll, plan.Fuse, plan.Rows, plan.Serpentine},
	})
	if err != nil {
		return nil, err
	}
	out := []benchmarks.File{{Name: kernelFile, MediaType: kernelMediaType, Bytes: header}}
	for _, width := range Widths {
		module, err := p.Emit(plan, width)
		if err != nil {
			return nil, err
		}
		out = append(out, benchmarks.File{Name: moduleFile(width), MediaType: moduleMediaType, Bytes: module})
	}
	return out, nil
}

// Loader compiles kernels. It may be used by several goroutines.
type Loader struct {
	machine *machine
	known   *Program // whose law is not prepared again
}

// NewLoader starts a loader. A law that is the program's needs no preparation;
// nil knows none.
func NewLoader(known *Program) *Loader { return &Loader{newMachine(false), known} }

// Close frees everything that the loader has compiled: nothing may step any
// more.
func (o *Loader) Close() error { return o.machine.close() }

// Kernels is one variant, compiled for every width.
type Kernels struct {
	program *Program
	plan    Plan
	by      map[int]*kernel
	bytes   int // of the largest module
}

// Open stages a bundle's files: it reads the law and the plan, emits the
// modules anew, and compiles only what is byte for byte the same. That is the
// proof that a kernel ends and touches nothing but its memory: a check at every
// turn of a loop, the other way to be sure, makes kernels ten times slower.
// Anything else is refused with what is wrong with it, wrapping ErrBadKernel
// or ErrBadLaw.
func (o *Loader) Open(ctx context.Context, files []benchmarks.File) (*Kernels, error) {
	p, plan, err := o.header(files)
	if err != nil {
		return nil, err
	}
	out := &Kernels{program: p, plan: plan, by: map[int]*kernel{}}
	for i, width := range Widths {
		f := files[i+1]
		want, err := p.Emit(plan, width)
		if err == nil && !bytes.Equal(want, f.Bytes) {
			err = o.diagnose(ctx, p, plan, width, f.Bytes)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.Name, err), out.Close())
		}
		k, err := o.machine.compile(ctx, p, plan, width, f.Bytes)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.Name, err), out.Close())
		}
		out.by[width], out.bytes = k, max(out.bytes, len(f.Bytes))
	}
	return out, nil
}

func (o *Loader) header(files []benchmarks.File) (*Program, Plan, error) {
	bad := func(err error) (*Program, Plan, error) {
		return nil, Plan{}, fmt.Errorf("%s: %w: %w", kernelFile, ErrBadKernel, err)
	}
	if len(files) != 1+len(Widths) || files[0].Name != kernelFile {
		return bad(fmt.Errorf("a bundle of %d files: want %s and %d modules", len(files), kernelFile, len(Widths)))
	}
	for i, width := range Widths {
		if files[i+1].Name != moduleFile(width) {
			return bad(fmt.Errorf("file %.40q where %s belongs", files[i+1].Name, moduleFile(width)))
		}
	}
	var h kernelHeader
	if err := strictJSON(files[0].Bytes, 2*lawBytesMax, &h); err != nil {
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
	if o.known != nil && bytes.Equal(h.Law, o.known.law.Encode()) {
		return o.known, plan, nil
	}
	l, err := DecodeLaw(h.Law)
	if err != nil {
		return nil, Plan{}, err
	}
	p, err := Prepare(l)
	return p, plan, err
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
	return err
}

// String says what the kernels are.
func (k *Kernels) String() string { return k.program.law.Name + " " + k.plan.String() }

// Law is what the kernels compute.
func (k *Kernels) Law() Law { return k.program.law }

// Precision is what the kernels compute in.
func (k *Kernels) Precision() Precision { return k.plan.Precision }
