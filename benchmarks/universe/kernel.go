package universe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// ErrBadKernel is wrapped by every refusal of a module and by the failure of
// one that runs: its instance is gone then.
var ErrBadKernel = errors.New("bad kernel")

// ErrKernelLost is wrapped by the error of a native kernel whose process
// crashed, hung, or answered nonsense: it is gone, and its field with it.
var ErrKernelLost = errors.New("the kernel's process is lost")

// machine compiles and runs modules. One is shared by everything in the room;
// compiled modules are closed by who made them.
type machine struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache // nil: none
	ready   *ready                  // nil: modules are compiled
}

// newMachine starts an empty machine. Modules get no import whatever: no
// clock, no file, no network. Guarded, a module that still runs when its
// context ends is stopped; each turn of a loop then costs a call into Go, some
// 45 ns.
func newMachine(guarded bool) *machine {
	return &machine{runtime: wazero.NewRuntimeWithConfig(context.Background(), machineConfig(guarded))}
}

// machineConfig is how every machine of the room compiles.
func machineConfig(guarded bool) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithMemoryLimitPages(pagesMax).WithCloseOnContextDone(guarded).
		WithCoreFeatures(api.CoreFeaturesV2)
}

func (m *machine) close() error {
	err := m.runtime.Close(context.Background())
	if m.cache != nil { // then it has the code, and the runtime has not
		err = errors.Join(err, m.cache.Close(context.Background()))
	}
	return err
}

// code makes a module ready to be instantiated: compiles it, or loads what has
// become of it elsewhere.
func (m *machine) code(ctx context.Context, width int, module []byte) (wazero.CompiledModule, error) {
	if m.ready != nil {
		return m.ready.load(ctx, width, module)
	}
	return m.runtime.CompileModule(ctx, module)
}

// kernel is a compiled module, or a native program, for grids of one width.
type kernel struct {
	machine  *machine
	program  *Program
	plan     Plan
	at       layout
	compiled wazero.CompiledModule
	binary   []byte       // the module that was compiled
	native   *nativeImage // nil: compiled
}

// compile refuses what is not a kernel, before any of it runs: an import, a
// start function, a memory without a maximum, exports other than a kernel's.
func (m *machine) compile(ctx context.Context, l *Program, p Plan, width int, module []byte) (*kernel, error) {
	if len(module) > moduleBytesMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBadKernel, len(module), moduleBytesMax)
	}
	k := &kernel{machine: m, program: l, plan: p, at: layoutOf(l, p, width), binary: module}
	if err := checkSections(module); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	compiled, err := m.code(ctx, width, module)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	k.compiled = compiled
	if err := k.checkExports(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrBadKernel, err), k.close())
	}
	return k, nil
}

func (k *kernel) close() error {
	if k.native != nil {
		return k.native.close()
	}
	return k.compiled.Close(context.Background())
}

// checkSections lets through type, function, memory, export and code, in this
// order and nothing else: no import, table, global, start, element or data.
func checkSections(module []byte) error {
	const header = 8
	if len(module) < header || string(module[:4]) != "\x00asm" {
		return errors.New("not a WebAssembly module")
	}
	want := []byte{sectionType, sectionFunction, sectionMemory, sectionExport, sectionCode}
	for rest := module[header:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return errors.New("ends inside a section")
		}
		if len(want) == 0 || id != want[0] {
			return fmt.Errorf("a section %q, which a kernel does not have there", sectionName(id))
		}
		body := rest[1+n : 1+n+int(size)]
		if id == sectionMemory {
			if err := checkMemory(body); err != nil {
				return err
			}
		}
		want = want[1:]
		rest = rest[1+n+int(size):]
	}
	if len(want) > 0 {
		return fmt.Errorf("section %q is missing", sectionName(want[0]))
	}
	return nil
}

func sectionName(id byte) string {
	names := [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprint(id)
}

// checkMemory wants one memory with a maximum of at most pagesMax.
func checkMemory(section []byte) error {
	const one, withMaximum = 1, 1
	if len(section) < 2 || section[0] != one {
		return errors.New("not exactly one memory")
	}
	if section[1] != withMaximum {
		return errors.New("a memory without a maximum")
	}
	_, n := binary.Uvarint(section[2:])
	if n <= 0 {
		return errors.New("ends inside the memory section")
	}
	if most, m := binary.Uvarint(section[2+n:]); m <= 0 || most > pagesMax {
		return fmt.Errorf("a memory of up to %d pages, at most %d", most, pagesMax)
	}
	return nil
}

func (k *kernel) checkExports() error {
	mem, ok := k.compiled.ExportedMemories()[exportMemory]
	if !ok {
		return errors.New("exports no memory")
	}
	if most, _ := mem.Max(); int(most) < k.at.pages(k.at.width) {
		return fmt.Errorf("a memory of up to %d pages, want %d", most, k.at.pages(k.at.width))
	}
	functions := k.compiled.ExportedFunctions()
	run, ok := functions[exportRun]
	if !ok || len(functions) != 1 {
		return fmt.Errorf("exports %d functions, want %s alone", len(functions), exportRun)
	}
	i32 := api.ValueTypeI32
	if string(run.ParamTypes()) != string([]byte{i32, i32, i32, i32}) || string(run.ResultTypes()) != string([]byte{i32}) {
		return fmt.Errorf("%s has the wrong parameters or results", exportRun)
	}
	return nil
}

// grid is a kernel with a memory of its own: a field that steps. It is used by
// one goroutine at a time.
type grid struct {
	kernel    *kernel
	module    api.Module
	run       api.Function
	process   *nativeProcess // nil: module
	memory    []byte
	height    int
	cur, next int
	stack     [paramCount]uint64
	clock     uint32 // number of the next step, which noise depends on
}

// noStart gives a module no name and calls nothing in it.
func noStart() wazero.ModuleConfig { return wazero.NewModuleConfig().WithName("").WithStartFunctions() }

// open makes a grid of the height, all zeros, knobs at their defaults.
func (k *kernel) open(ctx context.Context, height int) (*grid, error) {
	if height < k.at.haloRows || height > k.at.width {
		return nil, fmt.Errorf("height %d: want %d to %d", height, k.at.haloRows, k.at.width)
	}
	g := &grid{kernel: k, height: height}
	g.cur, g.next = k.at.grids(height)
	if k.native != nil {
		var err error
		if g.process, err = k.native.start(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
		}
		g.memory = g.process.memory
		g.setKnobs(k.program.law.Defaults())
		return g, nil
	}
	module, err := k.machine.runtime.InstantiateModule(ctx, k.compiled, noStart())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	g.module, g.run = module, module.ExportedFunction(exportRun)
	mem := module.Memory()
	if pages := k.at.pages(height); pages > int(mem.Size()/pageBytes) {
		if _, ok := mem.Grow(uint32(pages) - mem.Size()/pageBytes); !ok {
			return nil, errors.Join(fmt.Errorf("%w: no memory of %d pages", ErrBadKernel, pages), g.close())
		}
	}
	g.memory, _ = mem.Read(0, mem.Size())
	g.setKnobs(k.program.law.Defaults())
	return g, nil
}

func (g *grid) close() error {
	if g.process != nil {
		g.memory = nil
		return g.process.close()
	}
	return g.module.Close(context.Background())
}

// elsewhere is the processor time of the grid's own process, 0 if it has none:
// a thread's own clock does not see it.
func (g *grid) elsewhere() (time.Duration, error) {
	if g.process == nil {
		return 0, nil
	}
	return g.process.settled()
}

// trapOfCounter is how wazero reports the instruction unreachable, which
// neither Emit nor the subset of meter has.
const trapOfCounter = "unreachable"

// steps advances the field. An error means that the grid is of no use any
// more, and wraps ErrBadKernel or the context's error.
func (g *grid) steps(ctx context.Context, n int) error {
	g.setClock()
	if err := g.take(ctx, n); err != nil {
		return err
	}
	g.clock += uint32(n)
	return nil
}

func (g *grid) take(ctx context.Context, n int) error {
	if g.process != nil {
		at, err := g.process.steps(ctx, g.cur, g.next, g.height, g.kernel.at.width, n)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBadKernel, err)
		}
		if err := g.arrived(at); err != nil {
			return fmt.Errorf("%w: %w", ErrBadKernel, g.process.lose(err))
		}
		return nil
	}
	g.stack = [paramCount]uint64{uint64(g.cur), uint64(g.next), uint64(g.height), uint64(n)}
	if err := g.run.CallWithStack(ctx, g.stack[:]); err != nil {
		var exit *sys.ExitError
		if errors.As(err, &exit) && ctx.Err() != nil {
			return fmt.Errorf("%w: stopped: %w", ErrBadKernel, ctx.Err())
		}
		if strings.Contains(err.Error(), trapOfCounter) { // only a counter traps like that
			err = errors.New("a loop did not end within the turns that grid and plan allow")
		}
		return fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	if err := g.arrived(int(uint32(g.stack[0]))); err != nil {
		return fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	return nil
}

// arrived takes a kernel's word for where the result is.
func (g *grid) arrived(at int) error {
	switch at {
	case g.cur:
	case g.next:
		g.cur, g.next = g.next, g.cur
	default:
		return fmt.Errorf("the result is at %d, which is neither grid", at)
	}
	return nil
}

// setKnobs takes one value a knob, in the law's order.
func (g *grid) setKnobs(values []float64) {
	p := g.kernel.program
	switch g.kernel.plan.Precision {
	case F64:
		for i, v := range values {
			binary.LittleEndian.PutUint64(g.memory[i*8:], math.Float64bits(v))
		}
	case F32:
		for i, v := range values {
			binary.LittleEndian.PutUint32(g.memory[i*8:], math.Float32bits(float32(v)))
		}
	case I16:
		for i, v := range p.fixed.slotValues(values) {
			binary.LittleEndian.PutUint16(g.memory[i*8:], uint16(v))
		}
	default: // there is no other
	}
}

// row is the memory of one row of a channel.
func (g *grid) row(c, y int) []byte {
	at := &g.kernel.at
	from := g.cur + y*at.stride + c*at.channelBytes
	return g.memory[from : from+at.channelBytes]
}

// write sets the field, halo columns included.
func (g *grid) write(f *Field) {
	width, size := f.Width, g.kernel.at.valueBytes
	for c, p := range f.Planes {
		for y := range f.Height {
			row := g.row(c, y)
			data := row[edgeBytes : len(row)-edgeBytes]
			values := p[y*width : (y+1)*width]
			switch g.kernel.plan.Precision {
			case F64:
				for x, v := range values {
					binary.LittleEndian.PutUint64(data[x*8:], math.Float64bits(v))
				}
			case F32:
				for x, v := range values {
					binary.LittleEndian.PutUint32(data[x*4:], math.Float32bits(float32(v)))
				}
			case I16:
				for x, v := range values {
					binary.LittleEndian.PutUint16(data[x*2:], uint16(g.kernel.program.fixed.load(c, v)))
				}
			default: // there is no other
			}
			copy(row[:edgeBytes], data[width*size-edgeBytes:])
			copy(row[len(row)-edgeBytes:], data[:edgeBytes])
		}
	}
}

// read copies the field out.
func (g *grid) read(f *Field) {
	width := f.Width
	for c, p := range f.Planes {
		for y := range f.Height {
			row := g.row(c, y)
			data := row[edgeBytes : len(row)-edgeBytes]
			values := p[y*width : (y+1)*width]
			switch g.kernel.plan.Precision {
			case F64:
				for x := range values {
					values[x] = math.Float64frombits(binary.LittleEndian.Uint64(data[x*8:]))
				}
			case F32:
				for x := range values {
					values[x] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[x*4:])))
				}
			case I16:
				scale := math.Ldexp(1, -g.kernel.program.fixed.channel[c])
				for x := range values {
					values[x] = float64(int16(binary.LittleEndian.Uint16(data[x*2:]))) * scale
				}
			default: // there is no other
			}
		}
	}
}

// whole is the memory of all rows.
func (g *grid) whole() []byte {
	return g.memory[g.cur : g.cur+g.height*g.kernel.at.stride]
}
