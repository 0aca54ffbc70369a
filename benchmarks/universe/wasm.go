package universe

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Instructions of WebAssembly 2.0 that kernels use. Those of vectors are
// numbered after the prefix.
const (
	wasmUnreachable                                    = 0x00
	wasmBlock, wasmLoop, wasmEnd, wasmBr, wasmBrIf     = 0x02, 0x03, 0x0b, 0x0c, 0x0d
	wasmIf, wasmBrTable                                = 0x04, 0x0e
	wasmDrop, wasmSelect                               = 0x1a, 0x1b
	wasmGet, wasmSet, wasmTee                          = 0x20, 0x21, 0x22
	i64Load, f32Load, f64Load, i32Load16S              = 0x29, 0x2a, 0x2b, 0x2e
	i64Store, f32Store, f64Store, i32Store16           = 0x37, 0x38, 0x39, 0x3b
	i32Const, f32Const, f64Const                       = 0x41, 0x43, 0x44
	i64Const                                           = 0x42
	i32Eqz, i32LtS, i32LtU, i64Eqz                     = 0x45, 0x48, 0x49, 0x50
	f32Lt, f64Lt                                       = 0x5d, 0x63
	i32Add, i32Sub, i32Mul, i32DivU, i32And, i32Xor    = 0x6a, 0x6b, 0x6c, 0x6e, 0x71, 0x73
	i32ShrU, i32Load                                   = 0x76, 0x28
	i32ShrS, i64Add, i64Sub, i64Mul, i64ExtendU        = 0x75, 0x7c, 0x7d, 0x7e, 0xad
	f32Add, f32Sub, f32Mul, f64Add, f64Sub, f64Mul     = 0x92, 0x93, 0x94, 0xa0, 0xa1, 0xa2
	prefixBulk, prefixVector                           = 0xfc, 0xfd
	v128Load, v128Load16Splat                          = 0, 8
	v128Load32Splat, v128Load64Splat, v128Store        = 9, 10, 11
	i16x8Splat, f32x4Splat, f64x2Splat                 = 16, 19, 20
	i16x8LtS, f32x4Lt, f64x2Lt, v128Bitselect          = 47, 67, 73, 82
	v128And                                            = 78
	i16x8Q15MulrSatS, i16x8ShrS                        = 130, 140
	i16x8Add, i16x8AddSatS, i16x8SubSatS               = 142, 143, 146
	i16x8MinS, i16x8MaxS, i16x8AvgrU                   = 150, 152, 155
	f32x4Add, f32x4Sub, f32x4Mul, f32x4Pmin, f32x4Pmax = 228, 229, 230, 234, 235
	f64x2Add, f64x2Sub, f64x2Mul, f64x2Pmin, f64x2Pmax = 240, 241, 242, 246, 247
	v128Const, i8x16Shuffle, i32x4Splat                = 12, 13, 17
	v128Or, v128Xor                                    = 80, 81
	i32x4ExtendLowS, i32x4ExtendHighS, i32x4ShrU       = 167, 168, 173
	i32x4Add, i32x4Mul, f32x4Convert, f64x2ConvertLow  = 174, 181, 250, 254
	typeI32, typeI64, typeF32, typeF64                 = 0x7f, 0x7e, 0x7d, 0x7c
	typeV128, typeFunc                                 = 0x7b, 0x60
	blockEmpty                                         = 0x40
)

// code is a function's body while it is written.
type code struct {
	bytes  []byte
	locals []byte // their types, after the parameters
	params int
}

func (c *code) op(b ...byte)   { c.bytes = append(c.bytes, b...) }
func (c *code) unsigned(v int) { c.bytes = binary.AppendUvarint(c.bytes, uint64(v)) }

// signed appends LEB128 with sign.
func (c *code) signed(v int) {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			c.op(b)
			return
		}
		c.op(b | 0x80)
	}
}

func (c *code) vector(op int) { c.op(prefixVector); c.unsigned(op) }

// local makes a new local variable.
func (c *code) local(of byte) int {
	c.locals = append(c.locals, of)
	return c.params + len(c.locals) - 1
}

func (c *code) get(locals ...int) {
	for _, l := range locals {
		c.op(wasmGet)
		c.unsigned(l)
	}
}
func (c *code) set(l int)   { c.op(wasmSet); c.unsigned(l) }
func (c *code) tee(l int)   { c.op(wasmTee); c.unsigned(l) }
func (c *code) i32(v int)   { c.op(i32Const); c.signed(v) }
func (c *code) i64(v int)   { c.op(i64Const); c.signed(v) }
func (c *code) loop()       { c.op(wasmLoop, blockEmpty) }
func (c *code) end()        { c.op(wasmEnd) }
func (c *code) brIf(up int) { c.op(wasmBrIf); c.unsigned(up) }

func (c *code) f32(v float64) {
	c.op(f32Const)
	c.bytes = binary.LittleEndian.AppendUint32(c.bytes, math.Float32bits(float32(v)))
}

func (c *code) f64(v float64) {
	c.op(f64Const)
	c.bytes = binary.LittleEndian.AppendUint64(c.bytes, math.Float64bits(v))
}

// memory appends a scalar load or store; alignment is a hint that wazero does
// not need.
func (c *code) memory(op byte, offset int) {
	c.op(op, 0)
	c.unsigned(offset)
}

func (c *code) vectorMemory(op, offset int) {
	c.vector(op)
	c.op(0)
	c.unsigned(offset)
}

// Names of what a kernel exports.
const (
	exportMemory = "memory"
	exportRun    = "run"
)

// The type of run, and that it is the one function.
var (
	typeOfRun     = []byte{1, typeFunc, 4, typeI32, typeI32, typeI32, typeI32, 1, typeI32}
	functionOfRun = []byte{1, 0}
)

// module wraps the one function: no import, no table, no global, no start, and
// a memory with a maximum.
//
//	run(cur, next, height, steps i32) → the grid that holds the result
func (c *code) module(pages int) []byte {
	out := bytes.Clone(wasmHeader)
	section := func(id byte, body []byte) {
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	section(1, typeOfRun)
	section(3, functionOfRun)
	section(5, binary.AppendUvarint([]byte{1, 1, 1}, uint64(pages)))
	names := append([]byte{2, byte(len(exportMemory))}, exportMemory...)
	names = append(append(names, 2, 0, byte(len(exportRun))), exportRun...)
	section(7, append(names, 0, 0))

	var body []byte
	groups := 0
	for i := 0; i < len(c.locals); {
		n := i
		for n < len(c.locals) && c.locals[n] == c.locals[i] {
			n++
		}
		body = append(binary.AppendUvarint(body, uint64(n-i)), c.locals[i])
		groups++
		i = n
	}
	body = append(binary.AppendUvarint(nil, uint64(groups)), body...)
	body = append(append(body, c.bytes...), wasmEnd)
	section(10, append(binary.AppendUvarint([]byte{1}, uint64(len(body))), body...))
	return out
}
