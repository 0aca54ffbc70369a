package universe

import (
	"errors"
	"fmt"
)

// wasmReader reads a module that somebody else made. Everything that it does
// not know is an error: what it lets through is a small part of WebAssembly 2.0
// in which nothing but a loop can take long.
type wasmReader struct {
	rest []byte
	err  error // the first; every read after it gives zeros
}

var errModuleEnds = errors.New("ends too early")

func (r *wasmReader) fail(err error) {
	if r.err == nil {
		r.err, r.rest = err, nil
	}
}

func (r *wasmReader) byte() byte {
	b := r.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// bytes takes n bytes, none if there are fewer.
func (r *wasmReader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail(errModuleEnds)
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

// unsigned reads an unsigned LEB128 of at most 32 bits.
func (r *wasmReader) unsigned() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errors.New("a number of more than 32 bits"))
	return 0
}

// signed reads over a signed LEB128 of so many bits, 32 or 64.
func (r *wasmReader) signed(bits int) {
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		if b >= 0x80 {
			continue
		}
		if left := bits - shift; left < 7 { // the bits beyond are copies of the sign
			if high := int8(b<<1) >> left; high != 0 && high != -1 {
				break
			}
		}
		return
	}
	r.fail(fmt.Errorf("a number of more than %d bits", bits))
}

// size reads a count of at most most things.
func (r *wasmReader) size(what string, most int) int {
	n := r.unsigned()
	if n > uint32(most) {
		r.fail(fmt.Errorf("%d %s, at most %d", n, what, most))
		return 0
	}
	return int(n)
}

// end wants nothing to be left.
func (r *wasmReader) end(what string) {
	if len(r.rest) > 0 {
		r.fail(fmt.Errorf("%d bytes after the end of the %s", len(r.rest), what))
	}
}

// What follows an instruction.
type immediate uint8

const (
	notAllowed immediate = iota
	nothing              //
	blockType            // of a block, a loop or an if
	index                // of a local or a label
	indexList            // of a br_table
	memoryArg            // alignment and offset
	memoryLane           // the same and a lane
	lane                 // one byte
	lanes16              // of a shuffle, or a constant of 128 bits
	constant32           // signed
	constant64           // signed
	fourBytes            //
	eightBytes           //
	vectorCode           // a number of its own and what follows that
	saturating           // 0 to 7: a conversion that saturates
)

// scalarOps says what follows an instruction of one byte. Calls, globals,
// tables, references, memory.size and memory.grow are not allowed, nor is
// unreachable: a module that traps by itself could not be told from one that
// ran out of turns.
var scalarOps = func() (t [256]immediate) {
	for _, op := range []byte{0x01, 0x05, wasmEnd, 0x0f, wasmDrop, wasmSelect} {
		t[op] = nothing
	}
	t[wasmBlock], t[wasmLoop], t[wasmIf] = blockType, blockType, blockType
	t[wasmBr], t[wasmBrIf], t[wasmBrTable] = index, index, indexList
	t[wasmGet], t[wasmSet], t[wasmTee] = index, index, index
	for op := 0x28; op <= 0x3e; op++ {
		t[op] = memoryArg
	}
	t[i32Const], t[i64Const], t[f32Const], t[f64Const] = constant32, constant64, fourBytes, eightBytes
	for op := 0x45; op <= 0xc4; op++ {
		t[op] = nothing
	}
	t[prefixBulk], t[prefixVector] = saturating, vectorCode
	return t
}()

// vectorOps says the same of the vector instructions of WebAssembly 2.0; those
// that a processor may compute as it likes (relaxed) are not among them.
var vectorOps = func() (t [256]immediate) {
	for op := range t {
		t[op] = nothing
	}
	for op := 0; op <= 11; op++ {
		t[op] = memoryArg
	}
	t[12], t[13] = lanes16, lanes16
	for op := 21; op <= 34; op++ {
		t[op] = lane
	}
	for op := 84; op <= 91; op++ {
		t[op] = memoryLane
	}
	t[92], t[93] = memoryArg, memoryArg
	for _, op := range []int{154, 162, 165, 166, 175, 176, 178, 179, 180, 187, 194, 197, 198, 207, 208, 210, 211, 212, 226, 238} {
		t[op] = notAllowed // these numbers are free
	}
	return t
}()

// instruction reads one instruction and what follows it, and returns its first
// byte.
func (r *wasmReader) instruction() byte {
	op := r.byte()
	switch kind := scalarOps[op]; kind {
	case vectorCode:
		n := r.unsigned()
		if n >= uint32(len(vectorOps)) || vectorOps[n] == notAllowed {
			r.fail(fmt.Errorf("vector instruction %d, which kernels may not have", n))
			return op
		}
		r.immediate(vectorOps[n])
	case saturating:
		if n := r.unsigned(); n > 7 {
			r.fail(fmt.Errorf("instruction 0xfc %d, which kernels may not have", n))
		}
	case notAllowed:
		if r.err == nil {
			r.fail(fmt.Errorf("instruction 0x%02x%s, which kernels may not have", op, refusedNames[op]))
		}
	default:
		r.immediate(kind)
	}
	return op
}

// refusedNames names what compilers are likely to write and kernels may not.
var refusedNames = map[byte]string{
	0x00: " (unreachable)", 0x10: " (call)", 0x11: " (call_indirect)", 0x23: " (global.get)", 0x24: " (global.set)",
	0x3f: " (memory.size)", 0x40: " (memory.grow)",
}

func (r *wasmReader) immediate(kind immediate) {
	switch kind {
	case blockType:
		if t := r.byte(); r.err == nil && t != blockEmpty && (t < typeV128 || t > typeI32) {
			r.fail(errors.New("a block with parameters or several results, which kernels may not have"))
		}
	case index:
		r.unsigned()
	case indexList:
		for range r.size("labels", labelsMax) + 1 {
			r.unsigned()
		}
	case memoryArg, memoryLane:
		if align := r.unsigned(); align > 4 {
			r.fail(fmt.Errorf("alignment 2^%d", align))
		}
		r.unsigned()
		if kind == memoryLane {
			r.byte()
		}
	case lane:
		r.byte()
	case lanes16:
		r.bytes(16)
	case constant32:
		r.signed(32)
	case constant64:
		r.signed(64)
	case fourBytes:
		r.bytes(4)
	case eightBytes:
		r.bytes(8)
	default: // nothing follows
	}
}
