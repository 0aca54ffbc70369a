package infer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
)

func expReference(x float64) float64 { return math.Exp(x) }

// formatModels holds one small file of every encoding for the widths.
func formatModels(t testing.TB, widths ...int) [][]byte {
	var out [][]byte
	for _, precision := range []string{precisionF32, precisionI8, precisionI4} {
		for _, pruned := range []float64{0, 0.9} {
			m := tinyModel(t, widths, choices{precision: precision, quantile: 0.99,
				prune: [maxStages]float64{pruned, pruned, pruned}, thresholds: Thresholds{0.5, 0.75}}, 9)
			out = append(out, m.encode())
		}
	}
	return out
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	for _, file := range append(formatModels(t, 3, 2, 1), builtInFile) {
		for at := range file {
			bad := bytes.Clone(file)
			bad[at] ^= 0x10
			if _, err := OpenModel(bad); !errors.Is(err, ErrBadModel) {
				t.Fatalf("byte %d of %d flipped: %v", at, len(file), err)
			}
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	for _, file := range append(formatModels(t, 3, 2, 1), builtInFile) {
		for n := 0; n < len(file); n += 1 + n/50 {
			if _, err := OpenModel(file[:n]); !errors.Is(err, ErrBadModel) {
				t.Fatalf("%d of %d bytes: %v", n, len(file), err)
			}
		}
		if _, err := OpenModel(append(bytes.Clone(file), 0)); !errors.Is(err, ErrBadModel) {
			t.Fatalf("one byte more: %v", err)
		}
	}
}

// seal makes header and checksum fit the payload, as an attacker would.
func seal(payload []byte) []byte {
	b := append([]byte(modelMagic), modelVersion, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	return append(b, payload...)
}

func TestWellSealedNonsenseIsRefused(t *testing.T) {
	good := formatModels(t, 3, 2, 1)[0][modelHeader:] // f32
	change := func(at int, with ...byte) []byte {
		p := bytes.Clone(good)
		copy(p[at:], with)
		return p
	}
	nan := []byte{0, 0, 0xc0, 0x7f}
	for name, payload := range map[string][]byte{
		"no stages":          change(0, 0),
		"four stages":        change(0, 4),
		"quantized 2":        change(1, 2),
		"reserved":           change(2, 1),
		"threshold NaN":      change(4, nan...),
		"threshold 0":        change(4, 0, 0, 0, 0),
		"threshold 2":        change(4, 0, 0, 0, 0x40),
		"no width":           change(12, 0, 0),
		"enormous width":     change(12, 0xff, 0xff),
		"step in f32":        change(14, 0, 0, 0x80, 0x3f),
		"unknown encoding":   change(18, 9),
		"int8 without scale": change(18, byte(encI8)),
		"weight NaN":         change(19, nan...),
		"empty":              {},
	} {
		if _, err := OpenModel(seal(payload)); !errors.Is(err, ErrBadModel) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenModel(seal(good)); err != nil {
		t.Errorf("the unchanged payload: %v", err)
	}
}

// FuzzOpenModel: bytes are refused with ErrBadModel or are the one file of the
// model they open as, and that model answers without panicking.
func FuzzOpenModel(f *testing.F) {
	// One and two stages: the fuzzer spends its time on shrinking large inputs.
	for _, file := range append(formatModels(f, 2), formatModels(f, 1, 1)...) {
		f.Add(file[modelHeader:])
	}
	image := randomImages(1, 1)[0]
	f.Fuzz(func(t *testing.T, payload []byte) {
		file := seal(payload)
		m, err := OpenModel(file)
		if err != nil {
			if !errors.Is(err, ErrBadModel) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(m.encode(), file) {
			t.Fatal("the model writes another file than it was read from")
		}
		var w Workspace
		if p := m.Predict(&image, &w); p.Class < 0 || p.Class >= classes || p.MACs < 0 || p.MACs > m.FullMACs() {
			t.Fatalf("%+v", p)
		}
	})
}
