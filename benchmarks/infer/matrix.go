package infer

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// encoding says how a matrix is written and computed.
type encoding uint8

// The encodings. Sparse ones carry a bitmap of the weights that are there.
const (
	encF32 encoding = iota + 1
	encI8
	encI4
	encSparseF32
	encSparseI8
	encSparseI4
)

func (e encoding) sparse() bool    { return e >= encSparseF32 }
func (e encoding) quantized() bool { return e != encF32 && e != encSparseF32 }

// bitsPerWeight is the width of one stored weight.
func (e encoding) bitsPerWeight() int {
	switch e {
	case encF32, encSparseF32:
		return 32
	case encI8, encSparseI8:
		return 8
	case encI4, encSparseI4:
		return 4
	}
	return 0
}

// maxCols bounds rows and columns; it is a power of two because the sparse
// kernels mask their indexes with maxCols−1.
const maxCols = 1024

// matrix is a weight matrix in the form of the file (bitmap, vals) and in the
// form the kernels run (dense, quant, start, index).
//
// A quantized weight stands for scale[row]·q, q in [−127, 127] or [−7, 7], and
// multiplies an integer input in [0, 255].
type matrix struct {
	rows, cols int
	enc        encoding
	scale      []float32 // rows; quantized only
	bitmap     []byte    // rows × ⌈cols/8⌉; sparse only, padding bits zero
	vals       []byte    // packed weights, see bitsPerWeight; int4 is q+8, low nibble first

	dense  []float32 // encF32: rows×cols; encSparseF32: one a weight
	quant  []int8    // encSparseI8, encSparseI4: one a weight
	packed []uint16  // encI8: ⌈rows/2⌉×cols byte pairs; encI4: ⌈rows/3⌉×cols nibble triples
	start  []uint32  // sparse: rows+1 places in dense or quant
	index  []uint16  // sparse: the column of each weight
}

// macs is the number of multiply-accumulates of one product.
func (m *matrix) macs() int {
	if m.enc.sparse() {
		return len(m.index)
	}
	return m.rows * m.cols
}

func (m *matrix) bitmapStride() int { return (m.cols + 7) / 8 }

// nibbleStride is the bytes of one row of a dense int4 matrix.
func (m *matrix) nibbleStride() int { return (m.cols + 1) / 2 }

// weights counts the weights stored and says how many bytes they take.
func (m *matrix) stored() (weights, bytes int) {
	weights = m.rows * m.cols
	if m.enc.sparse() {
		weights = 0
		for _, b := range m.bitmap {
			weights += bits.OnesCount8(b)
		}
	}
	if m.enc == encI4 {
		return weights, m.rows * m.nibbleStride()
	}
	return weights, (weights*m.enc.bitsPerWeight() + 7) / 8
}

// prepare fills the fields that the kernels run from those of the file. The
// file's fields have the right lengths already.
func (m *matrix) prepare() error {
	n, _ := m.stored()
	switch m.enc {
	case encF32, encSparseF32:
		m.dense = make([]float32, n)
		for i := range m.dense {
			m.dense[i] = math.Float32frombits(binary.LittleEndian.Uint32(m.vals[4*i:]))
			if !finite(m.dense[i]) {
				return fmt.Errorf("weight %d is %v", i, m.dense[i])
			}
		}
	case encI8, encSparseI8:
		for i, b := range m.vals {
			if b == 0x80 {
				return fmt.Errorf("weight %d is −128, the range is ±127", i)
			}
		}
		if m.enc == encI8 {
			m.packed = m.interleave(2, func(r, c int) uint16 { return uint16(m.vals[r*m.cols+c]^0x80) << (8 * (r % 2)) })
			break
		}
		m.quant = make([]int8, n)
		for i, b := range m.vals {
			m.quant[i] = int8(b)
		}
	case encSparseI4:
		m.quant = make([]int8, n)
		for i := range m.quant {
			m.quant[i] = int8(nibble(m.vals, i)) - 8
		}
	case encI4:
		stride := m.nibbleStride()
		m.packed = m.interleave(3, func(r, c int) uint16 { return uint16(nibble(m.vals[r*stride:], c)) << (4 * (r % 3)) })
	}
	if m.enc == encI4 || m.enc == encSparseI4 {
		if err := m.checkNibbles(n); err != nil {
			return err
		}
	}
	if m.enc.sparse() {
		return m.indexBitmap(n)
	}
	return nil
}

// interleave packs the same column of some rows into one word.
func (m *matrix) interleave(rows int, word func(r, c int) uint16) []uint16 {
	out := make([]uint16, (m.rows+rows-1)/rows*m.cols)
	for r := range m.rows {
		line := out[r/rows*m.cols:][:m.cols]
		for c := range line {
			line[c] |= word(r, c)
		}
	}
	return out
}

// checkNibbles refuses the two forms that the writer never produces: q = −8
// and padding that is not zero.
func (m *matrix) checkNibbles(n int) error {
	for i, b := range m.vals {
		last := m.enc == encI4 && m.cols%2 == 1 && (i+1)%m.nibbleStride() == 0 ||
			m.enc == encSparseI4 && n%2 == 1 && i == len(m.vals)-1
		if b&0x0f == 0 || !last && b>>4 == 0 || last && b>>4 != 0 {
			return fmt.Errorf("byte %d of the int4 weights is %#02x", i, b)
		}
	}
	return nil
}

func nibble(b []byte, i int) byte { return b[i/2] >> (4 * (i % 2)) & 0x0f }

func (m *matrix) indexBitmap(n int) error {
	m.start, m.index = make([]uint32, 1, m.rows+1), make([]uint16, 0, n)
	stride := m.bitmapStride()
	for r := range m.rows {
		for k, b := range m.bitmap[r*stride : (r+1)*stride] {
			for ; b != 0; b &= b - 1 {
				col := 8*k + bits.TrailingZeros8(b)
				if col >= m.cols {
					return fmt.Errorf("bitmap of row %d names column %d of %d", r, col, m.cols)
				}
				m.index = append(m.index, uint16(col))
			}
		}
		m.start = append(m.start, uint32(len(m.index)))
	}
	return nil
}

// addFloat adds M·x to y. x has at least cols values.
func (m *matrix) addFloat(x *[maxCols]float32, y []float32) {
	y = y[:m.rows]
	if m.enc == encF32 {
		for r := range y {
			y[r] += dot(m.dense[r*m.cols:(r+1)*m.cols], x[:])
		}
		return
	}
	for r := range y {
		lo, hi := m.start[r], m.start[r+1]
		y[r] += dotSparse(m.dense[lo:hi], m.index[lo:hi], x)
	}
}

// addQuantized adds M·x to y for inputs of 0 to 255. The integer sums are
// exact: at most 1024·127·255 < 2³¹.
func (m *matrix) addQuantized(x *[maxCols]uint64, y []float32) {
	y = y[:m.rows]
	switch m.enc {
	case encI8:
		offset := 128 * sumOf(x[:m.cols])
		for r := 0; r < len(y); r += 2 {
			s := dotPairs(m.packed[r/2*m.cols:][:m.cols], x[:])
			m.scaled(y, r, int32(uint32(s))-offset)
			m.scaled(y, r+1, int32(s>>32)-offset)
		}
	case encI4:
		offset := 8 * sumOf(x[:m.cols])
		for r := 0; r < len(y); r += 3 {
			a, b, c := -offset, -offset, -offset
			for lo := 0; lo < m.cols; lo += tripleSpan {
				hi := min(lo+tripleSpan, m.cols)
				s := dotTriples(m.packed[r/3*m.cols:][lo:hi], x[lo:])
				a += int32(s & tripleMask)
				b += int32(s >> tripleLane & tripleMask)
				c += int32(s >> (2 * tripleLane))
			}
			m.scaled(y, r, a)
			m.scaled(y, r+1, b)
			m.scaled(y, r+2, c)
		}
	case encSparseI8, encSparseI4:
		for r := range y {
			lo, hi := m.start[r], m.start[r+1]
			m.scaled(y, r, dotSparseInt(m.quant[lo:hi], m.index[lo:hi], x))
		}
	case encF32, encSparseF32: // float inputs only
	}
}

// scaled adds scale·acc to y[r]; rows past the end are padding.
func (m *matrix) scaled(y []float32, r int, acc int32) {
	if r < len(y) {
		y[r] += float32(m.scale[r] * float32(acc))
	}
}

func sumOf(x []uint64) int32 {
	sum := uint64(0)
	for _, v := range x {
		sum += v
	}
	return int32(sum)
}

func finite(x float32) bool { return x-x == 0 }
