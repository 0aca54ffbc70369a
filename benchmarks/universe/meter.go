package universe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// meterVersion names what meter writes. Change it with the first byte that
// changes.
const meterVersion = 1

// What a module of a compiler may have.
const (
	labelsMax  = 64
	localsMax  = 1 << 10
	nestingMax = 64
)

// fuel bounds how many turns all loops of a kernel together may begin in one
// call: aRowAndStep·height·steps + aStep·steps + aCall.
type fuel struct{ aRowAndStep, aStep, aCall int }

// fuelSlack is how much more than a plan needs its kernel may use: compilers
// split loops.
const fuelSlack = 4

// fuelOf is what a kernel of the layout by the plan needs, with slack. A step
// is at most ⌈height/Rows⌉ bands of Rows rows and reach·(Fuse−1) extra ones at
// either side; a row is one turn a vector, and a few at its ends; the rows that
// are copied around the torus are copied by eight bytes at least.
func fuelOf(p Plan, at layout) fuel {
	extra := 2 * at.reach * (p.Fuse - 1)
	row := at.width*at.valueBytes*p.Unroll/at.turnBytes + 16 + at.noises*at.width/2
	wrap := 2 * at.reach * p.Fuse * at.stride / 8
	return fuel{
		aRowAndStep: fuelSlack * row * ((p.Rows+extra+p.Rows-1)/p.Rows + 1),
		aStep:       fuelSlack * (row*(p.Rows+extra) + wrap + 64),
		aCall:       1 << 10,
	}
}

// meter makes a module that ends out of one that may not: at the head of every
// loop it counts down a local variable, and traps at zero. It takes only what
// readForeign lets through, so that nothing else can take long: one function
// that calls nothing, no import, no start, one bounded memory, and no
// instruction whose time depends on its operands. What comes out has the
// sections of a module of Emit's, and differs from what came in by the counter
// alone. Pure; a refusal wraps ErrBadKernel.
func meter(module []byte, limit fuel) ([]byte, error) {
	out, err := metered(module, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKernel, err)
	}
	return out, nil
}

func metered(module []byte, limit fuel) ([]byte, error) {
	if len(module) > moduleBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d", len(module), moduleBytesMax)
	}
	s, err := readForeign(module)
	if err != nil {
		return nil, err
	}
	body, err := meterBody(s.code, limit)
	if err != nil {
		return nil, fmt.Errorf("code: %w", err)
	}
	out := append([]byte(nil), wasmHeader...)
	section := func(id byte, body []byte) {
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	section(sectionType, typeOfRun)
	section(sectionFunction, functionOfRun)
	section(sectionMemory, s.memory)
	section(sectionExport, s.exports)
	section(sectionCode, append(binary.AppendUvarint([]byte{1}, uint64(len(body))), body...))
	if len(out) > moduleBytesMax {
		return nil, fmt.Errorf("%d bytes with its counter, at most %d", len(out), moduleBytesMax)
	}
	return out, nil
}

// foreign are the parts of a module that meter keeps: the bodies of sections
// memory and export, and the one function.
type foreign struct{ memory, exports, code []byte }

var wasmHeader = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

// Sections.
const (
	sectionCustom, sectionType, sectionFunction, sectionMemory = 0, 1, 3, 5
	sectionGlobal, sectionExport, sectionCode                  = 6, 7, 10
)

// readForeign checks everything but the function's instructions. Custom
// sections mean nothing and are left out. One global is allowed, because
// linkers write the pointer of a stack that nobody uses, and left out too:
// there is no instruction by which a kernel could reach it.
func readForeign(module []byte) (foreign, error) {
	var out foreign
	if !bytes.HasPrefix(module, wasmHeader) {
		return out, errors.New("not a WebAssembly module of version 1")
	}
	r := &wasmReader{rest: module[len(wasmHeader):]}
	last := byte(0)
	for len(r.rest) > 0 {
		id := r.byte()
		s := &wasmReader{rest: r.bytes(r.size("bytes of a section", moduleBytesMax))}
		if r.err != nil {
			return out, fmt.Errorf("section %s: %w", sectionName(id), r.err)
		}
		if id == sectionCustom {
			continue
		}
		if id <= last {
			return out, fmt.Errorf("section %s in the wrong place", sectionName(id))
		}
		last = id
		whole := s.rest
		switch id {
		case sectionType:
			s.exactly(typeOfRun, "not the one type of a kernel")
		case sectionFunction:
			s.exactly(functionOfRun, "not exactly one function")
		case sectionMemory:
			s.memory()
			out.memory = whole
		case sectionGlobal:
			s.unusedGlobal()
		case sectionExport:
			s.exports()
			out.exports = whole
		case sectionCode:
			if s.unsigned() != 1 {
				s.fail(errors.New("not exactly one function"))
			}
			out.code = s.bytes(s.size("bytes of a function", moduleBytesMax))
		default:
			return out, fmt.Errorf("a section %q, which a kernel does not have", sectionName(id))
		}
		s.end("section")
		if s.err != nil {
			return out, fmt.Errorf("section %s: %w", sectionName(id), s.err)
		}
	}
	if out.memory == nil || out.exports == nil || out.code == nil {
		return out, errors.New("no memory, no export or no code")
	}
	return out, nil
}

// exactly wants the bytes.
func (r *wasmReader) exactly(want []byte, otherwise string) {
	if got := r.bytes(len(r.rest)); !bytes.Equal(got, want) {
		r.fail(errors.New(otherwise))
	}
}

// memory wants one memory with a maximum of at most pagesMax.
func (r *wasmReader) memory() {
	if err := checkMemory(r.rest); err != nil {
		r.fail(err)
		return
	}
	r.bytes(2)
	if least, most := r.unsigned(), r.unsigned(); least > most {
		r.fail(fmt.Errorf("a memory of %d to %d pages", least, most))
	}
}

// unusedGlobal reads over one i32 with a constant.
func (r *wasmReader) unusedGlobal() {
	n, of, mutable, op := r.byte(), r.byte(), r.byte(), r.byte()
	if n != 1 || of != typeI32 || mutable > 1 || op != i32Const {
		r.fail(errors.New("globals other than the pointer of an unused stack"))
	}
	r.signed(32)
	if r.byte() != wasmEnd {
		r.fail(errors.New("a global that is not a constant"))
	}
}

// exports wants the memory and run, in any order.
func (r *wasmReader) exports() {
	const kindFunction, kindMemory = 0, 2
	kinds := map[string]byte{exportMemory: kindMemory, exportRun: kindFunction}
	seen := map[string]bool{}
	for range r.size("exports", 2) {
		name := string(r.bytes(r.size("bytes of a name", 16)))
		kind, at := r.byte(), r.unsigned()
		if want, known := kinds[name]; !known || kind != want || at != 0 || seen[name] {
			r.fail(fmt.Errorf("export %.16q: want %s and %s", name, exportMemory, exportRun))
		}
		seen[name] = true
	}
	if r.err == nil && len(seen) != 2 {
		r.fail(fmt.Errorf("exports %d things, want %s and %s", len(seen), exportMemory, exportRun))
	}
}

// meterBody copies a function's body and puts the counter in.
func meterBody(body []byte, limit fuel) ([]byte, error) {
	r := &wasmReader{rest: body}
	groups := r.size("groups of locals", localsMax)
	locals, from := 0, r.rest
	for range groups {
		locals += r.size("locals", localsMax)
		if t := r.byte(); r.err == nil && (t < typeV128 || t > typeI32) {
			r.fail(fmt.Errorf("a local of type 0x%02x", t))
		}
	}
	if locals > localsMax {
		r.fail(fmt.Errorf("%d locals, at most %d", locals, localsMax))
	}
	if r.err != nil {
		return nil, r.err
	}
	out := &code{params: paramCount}
	out.unsigned(groups + 1)
	out.op(from[:len(from)-len(r.rest)]...)
	out.op(1, typeI64)
	counter := paramCount + locals
	out.fill(counter, limit)
	for depth := 1; depth > 0; {
		before := r.rest
		op := r.instruction()
		if r.err != nil {
			return nil, fmt.Errorf("byte %d: %w", len(body)-len(before), r.err)
		}
		out.op(before[:len(before)-len(r.rest)]...)
		switch op {
		case wasmLoop:
			out.count(counter)
			depth++
		case wasmBlock, wasmIf:
			depth++
		case wasmEnd:
			depth--
		}
		if depth > nestingMax {
			return nil, fmt.Errorf("nested deeper than %d", nestingMax)
		}
	}
	r.end("function")
	return out.bytes, r.err
}

// fill sets the counter from height and steps.
func (c *code) fill(counter int, limit fuel) {
	c.get(paramHeight)
	c.op(i64ExtendU)
	c.i64(limit.aRowAndStep)
	c.op(i64Mul)
	c.i64(limit.aStep)
	c.op(i64Add)
	c.get(paramSteps)
	c.op(i64ExtendU, i64Mul)
	c.i64(limit.aCall)
	c.op(i64Add)
	c.set(counter)
}

// count takes one off the counter and traps at zero.
func (c *code) count(counter int) {
	c.get(counter)
	c.i64(1)
	c.op(i64Sub)
	c.tee(counter)
	c.op(i64Eqz, wasmIf, blockEmpty, wasmUnreachable, wasmEnd)
}
