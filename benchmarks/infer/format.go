package infer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A model file, version 1. All numbers are little-endian.
//
//	"ARQM"  version u8 = 1  reserved u8 = 0  payload length u32  CRC-32C of the payload u32
//	payload:
//	  stages u8 (1 to 3)   quantized u8 (0, 1)   reserved u16 = 0
//	  exit thresholds f32 × 2, in (0, 1]; 1 is never
//	  for each stage i:
//	    hidden width u16
//	    hidden units an integer step is, f32 (quantized: > 0; else 0)
//	    matrix width × 49, 196 or 784     the view
//	    matrix width × previous width     only for i > 0
//	    bias f32 × width
//	    matrix 10 × width                 the exit head
//	    bias f32 × 10
//	matrix: encoding u8, scales f32 × rows (quantized), bitmap (sparse), weights
//
// A quantized stage computes h = max(0, bias + scale·Σ(view) + scale·Σ(previous)),
// left to right in float32 around exact integer sums, and hands on
// min(255, ⌊h/step + ½⌋).
//
// There is one file for one model: reserved bytes are zero, paddings are zero,
// and nothing follows. The CRC finds accidents; who wrote the file is the
// business of the catalog's digests and signatures.
const (
	modelMagic    = "ARQM"
	modelVersion  = 1
	modelHeader   = 14
	maxModelBytes = 16 << 20
	mediaType     = "application/vnd.arqon.infer.v1"
	modelFileName = "model.arqm"
	neverExit     = float32(1)
)

// ErrBadModel says that bytes are not a model file of this version.
var ErrBadModel = errors.New("not an infer model")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes the model file.
func (m *Model) encode() []byte {
	p := []byte{byte(len(m.stages)), 0, 0, 0}
	if m.quantized {
		p[1] = 1
	}
	p = appendFloats(p, m.thresholds[:])
	for i := range m.stages {
		s := &m.stages[i]
		p = binary.LittleEndian.AppendUint16(p, uint16(s.width))
		p = appendFloats(p, []float32{s.step})
		p = appendMatrix(p, &s.view)
		if i > 0 {
			p = appendMatrix(p, &s.prev)
		}
		p = appendFloats(p, s.bias)
		p = appendMatrix(p, &s.head)
		p = appendFloats(p, s.headBias)
	}
	b := append([]byte(modelMagic), modelVersion, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(p, castagnoli))
	return append(b, p...)
}

func appendFloats(b []byte, xs []float32) []byte {
	for _, x := range xs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func appendMatrix(b []byte, m *matrix) []byte {
	b = append(b, byte(m.enc))
	b = appendFloats(b, m.scale)
	b = append(b, m.bitmap...)
	return append(b, m.vals...)
}

// OpenModel reads a model file; every size is checked before anything of that
// size is made. Errors wrap ErrBadModel.
func OpenModel(b []byte) (*Model, error) {
	if len(b) > maxModelBytes {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), maxModelBytes, ErrBadModel)
	}
	if len(b) < modelHeader || string(b[:4]) != modelMagic {
		return nil, fmt.Errorf("no %q header: %w", modelMagic, ErrBadModel)
	}
	if b[4] != modelVersion || b[5] != 0 {
		return nil, fmt.Errorf("version %d.%d, this program reads %d.0: %w", b[4], b[5], modelVersion, ErrBadModel)
	}
	p := b[modelHeader:]
	if n := binary.LittleEndian.Uint32(b[6:]); int64(n) != int64(len(p)) {
		return nil, fmt.Errorf("payload of %d bytes, header says %d: %w", len(p), n, ErrBadModel)
	}
	if crc32.Checksum(p, castagnoli) != binary.LittleEndian.Uint32(b[10:]) {
		return nil, fmt.Errorf("checksum differs: %w", ErrBadModel)
	}
	r := &reader{rest: p}
	m := r.model()
	if r.err == nil && len(r.rest) != 0 {
		r.fail("%d bytes follow the model", len(r.rest))
	}
	if r.err != nil {
		return nil, fmt.Errorf("offset %d: %w: %w", modelHeader+len(p)-len(r.rest), r.err, ErrBadModel)
	}
	m.bytes = len(b)
	m.countMACs()
	return m, nil
}

// reader takes a payload apart; after the first error it yields zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) floats(n int, what string) []float32 {
	b := r.take(4 * n)
	if r.err != nil {
		return make([]float32, min(n, maxCols))
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if !finite(out[i]) {
			r.fail("%s %d is %v", what, i, out[i])
		}
	}
	return out
}

func (r *reader) model() *Model {
	h := r.take(4)
	if r.err != nil {
		return nil
	}
	if h[0] < 1 || h[0] > maxStages || h[1] > 1 || h[2] != 0 || h[3] != 0 {
		r.fail("header % x: want 1 to %d stages, quantized 0 or 1, then zeros", h, maxStages)
		return nil
	}
	m := &Model{quantized: h[1] == 1, stages: make([]stage, h[0])}
	for i, t := range r.floats(len(m.thresholds), "threshold") {
		if !(t > 0 && t <= neverExit) {
			r.fail("threshold %d is %v, want (0, 1]", i, t)
		}
		m.thresholds[i] = t
	}
	prev := 0
	for i := range m.stages {
		r.stage(&m.stages[i], i, prev, m.quantized)
		prev = m.stages[i].width
	}
	return m
}

func (r *reader) stage(s *stage, i, prev int, quantized bool) {
	if b := r.take(2); r.err == nil {
		s.width = int(binary.LittleEndian.Uint16(b))
	}
	if s.width < 1 || s.width > maxCols {
		r.fail("stage %d is %d wide, want 1 to %d", i, s.width, maxCols)
		return
	}
	s.step = r.floats(1, "step")[0]
	if quantized != (s.step > 0) || s.step < 0 {
		r.fail("stage %d has step %v", i, s.step)
	}
	s.view = r.matrix(s.width, sides[i]*sides[i], quantized)
	if i > 0 {
		s.prev = r.matrix(s.width, prev, quantized)
	}
	s.bias = r.floats(s.width, "bias")
	s.head = r.matrix(classes, s.width, quantized)
	s.headBias = r.floats(classes, "head bias")
}

func (r *reader) matrix(rows, cols int, quantized bool) matrix {
	m := matrix{rows: rows, cols: cols}
	b := r.take(1)
	if r.err != nil {
		return m
	}
	m.enc = encoding(b[0])
	if m.enc.bitsPerWeight() == 0 || m.enc.quantized() != quantized {
		r.fail("encoding %d of a matrix %d×%d", m.enc, rows, cols)
		return m
	}
	if quantized {
		m.scale = r.floats(rows, "scale")
	}
	if m.enc.sparse() {
		m.bitmap = r.take(rows * m.bitmapStride())
	}
	if r.err != nil {
		return m
	}
	_, n := m.stored()
	m.vals = r.take(n)
	if r.err == nil {
		if err := m.prepare(); err != nil {
			r.fail("matrix %d×%d: %w", rows, cols, err)
		}
	}
	return m
}
