package gates

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/arqon/arqon/artifacts"
)

// maxSeriesItems bounds what one series may unpack to.
const maxSeriesItems = 1 << 22

// Series is the raw value of every item of one metric and one arm: float32,
// little endian, deflated. The digest names the bytes before compression, so
// that equal series are kept once.
type Series struct {
	Digest artifacts.Digest `json:"digest"`
	Count  int              `json:"count"`
	Data   []byte           `json:"data"` // base64 of deflate of float32 LE
}

// NewSeries packs items.
func NewSeries(items []float32) (Series, error) {
	raw := seriesBytes(items)
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestCompression)
	if err != nil {
		return Series{}, err
	}
	if _, err := w.Write(raw); err != nil {
		return Series{}, err
	}
	if err := w.Close(); err != nil {
		return Series{}, err
	}
	return Series{Digest: artifacts.DigestOf(raw), Count: len(items), Data: buf.Bytes()}, nil
}

func seriesBytes(items []float32) []byte {
	raw := make([]byte, 4*len(items))
	for i, x := range items {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
	return raw
}

// Floats unpacks the series: exactly Count finite values with the digest.
func (s Series) Floats() ([]float32, error) {
	if s.Count < 0 || s.Count > maxSeriesItems {
		return nil, fmt.Errorf("count %d: want 0 to %d", s.Count, maxSeriesItems)
	}
	r := flate.NewReader(bytes.NewReader(s.Data))
	raw, err := io.ReadAll(io.LimitReader(r, int64(4*s.Count)+1))
	if err != nil {
		return nil, fmt.Errorf("series %s: %w", s.Digest.Short(), err)
	}
	if err := r.Close(); err != nil {
		return nil, err
	}
	if len(raw) != 4*s.Count {
		return nil, fmt.Errorf("series %s: %d bytes instead of %d", s.Digest.Short(), len(raw), 4*s.Count)
	}
	if d := artifacts.DigestOf(raw); d != s.Digest {
		return nil, fmt.Errorf("series %s: digest is %s: %w", s.Digest.Short(), d.Short(), artifacts.ErrCorrupt)
	}
	out := make([]float32, s.Count)
	for i := range out {
		x := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if x != x || math.IsInf(float64(x), 0) {
			return nil, errors.New("series " + s.Digest.Short() + ": holds a value that is not a number")
		}
		out[i] = x
	}
	return out, nil
}
