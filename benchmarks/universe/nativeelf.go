package universe

import (
	_ "embed" // native/amd64.bin
	"encoding/binary"
	"errors"
	"fmt"
)

// Where things are in the process of a native kernel. All of it is below 2 GiB:
// code that is not position independent names its memory by 32 bits.
const (
	nativeStart = 0x400000   // the host's beginning, native/amd64.S
	nativeCode  = 0x20000000 // the kernel
	nativeBase  = 0x40000000 // its memory: the host's fields
)

// nativeBytesMax bounds a kernel's program.
const nativeBytesMax = 32 << 10

// nativeBegin is native/amd64.S in machine code.
//
//go:embed native/amd64.bin
var nativeBegin []byte

// Offsets in nativeBegin: two words that the host fills in, and the first
// instruction.
const (
	beginSize  = 0
	beginEntry = 8
	beginCode  = 48
)

// The parts of ELF-64 that a kernel may have.
const (
	elfHeaderBytes  = 64
	elfSegmentBytes = 56
	elfExec         = 2
	elfAMD64        = 62
	elfLoad         = 1
	elfTable        = 6 // says where the table itself is
	elfStack        = 0x6474e551
	elfExecute      = 1
	elfWrite        = 2
	elfRead         = 4
	elfPageBytes    = 4096
	segmentsMax     = 4
	tableMax        = segmentsMax + 2
)

// nativeSegments are the parts of a kernel's program that are loaded.
type nativeSegments struct {
	entry uint64
	loads []elfSegment
}

type elfSegment struct{ flags, offset, address, bytes uint64 }

// readNative refuses what is not a kernel for Linux on amd64, before any of it
// runs: a static program without a loader, nothing that may be written, all of
// it where kernels are.
func readNative(code []byte) (nativeSegments, error) {
	var out nativeSegments
	le := binary.LittleEndian
	switch {
	case len(code) > nativeBytesMax:
		return out, fmt.Errorf("%d bytes, at most %d", len(code), nativeBytesMax)
	case len(code) < elfHeaderBytes || string(code[:7]) != "\x7fELF\x02\x01\x01":
		return out, errors.New("not a program of ELF-64, little end first")
	case le.Uint16(code[16:]) != elfExec || le.Uint16(code[18:]) != elfAMD64:
		return out, errors.New("not a static program for amd64")
	}
	out.entry = le.Uint64(code[24:])
	table, count := le.Uint64(code[32:]), int(le.Uint16(code[56:]))
	if table != elfHeaderBytes || le.Uint16(code[54:]) != elfSegmentBytes || count < 1 || count > tableMax ||
		len(code) < elfHeaderBytes+count*elfSegmentBytes {
		return out, errors.New("ends inside its table of segments, or has another than kernels have")
	}
	entered := false
	for i := range count {
		h := code[elfHeaderBytes+i*elfSegmentBytes:]
		kind := le.Uint32(h)
		s := elfSegment{flags: uint64(le.Uint32(h[4:])), offset: le.Uint64(h[8:]), address: le.Uint64(h[16:]), bytes: le.Uint64(h[32:])}
		if kind == elfTable || kind == elfStack && s.flags&elfExecute == 0 {
			continue // nothing of it is used: the host writes a table of its own
		}
		if err := s.check(kind, le.Uint64(h[40:]), len(code)); err != nil {
			return out, fmt.Errorf("segment %d: %w", i, err)
		}
		entered = entered || s.flags&elfExecute != 0 && out.entry >= s.address && out.entry-s.address < s.bytes
		out.loads = append(out.loads, s)
	}
	if !entered || len(out.loads) > segmentsMax {
		return out, errors.New("begins outside of its code")
	}
	return out, nil
}

// check refuses a segment; size is what it takes in memory.
func (s elfSegment) check(kind uint32, size uint64, length int) error {
	switch {
	case kind != elfLoad:
		return fmt.Errorf("of kind %#x, which a kernel does not have", kind)
	case s.flags&elfWrite != 0 || s.flags&elfRead == 0:
		return errors.New("may be written: a kernel has no memory but its grid")
	case s.offset > uint64(length) || s.bytes > uint64(length)-s.offset:
		return errors.New("ends outside of the file")
	case size != s.bytes || s.bytes == 0:
		return errors.New("takes more memory than it has bytes")
	case s.address < nativeCode || s.address >= nativeCode+nativeBytesMax*segmentsMax || s.address%elfPageBytes != s.offset%elfPageBytes:
		return fmt.Errorf("at %#x, where kernels are not", s.address)
	}
	return nil
}

// nativeProgram is the program that the host starts: its own beginning, then
// the kernel's segments, for a memory of the size. Pure.
func nativeProgram(code []byte, in nativeSegments, size int) []byte {
	le := binary.LittleEndian
	out := make([]byte, elfPageBytes, elfPageBytes+len(code))
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], elfExec)
	le.PutUint16(out[18:], elfAMD64)
	le.PutUint32(out[20:], 1)
	count := len(in.loads) + 2
	begin := elfHeaderBytes + count*elfSegmentBytes
	begin = (begin + 15) &^ 15
	le.PutUint64(out[24:], uint64(nativeStart+begin+beginCode))
	le.PutUint64(out[32:], elfHeaderBytes)
	le.PutUint16(out[52:], elfHeaderBytes)
	le.PutUint16(out[54:], elfSegmentBytes)
	le.PutUint16(out[56:], uint16(count))
	segment := func(i int, kind uint32, s elfSegment) {
		h := out[elfHeaderBytes+i*elfSegmentBytes:]
		le.PutUint32(h, kind)
		le.PutUint32(h[4:], uint32(s.flags))
		le.PutUint64(h[8:], s.offset)
		le.PutUint64(h[16:], s.address)
		le.PutUint64(h[24:], s.address)
		le.PutUint64(h[32:], s.bytes)
		le.PutUint64(h[40:], s.bytes)
		le.PutUint64(h[48:], elfPageBytes)
	}
	segment(0, elfLoad, elfSegment{elfRead | elfExecute, 0, nativeStart, uint64(begin + len(nativeBegin))})
	for i, s := range in.loads {
		s.offset += elfPageBytes
		segment(1+i, elfLoad, s)
	}
	segment(count-1, elfStack, elfSegment{flags: elfRead | elfWrite})
	copy(out[begin:], nativeBegin)
	le.PutUint64(out[begin+beginSize:], uint64(size))
	le.PutUint64(out[begin+beginEntry:], in.entry)
	return append(out, code...)
}
