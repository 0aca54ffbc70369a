package infer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNoData says that the data set is not on this machine; the message says
// what to do about it.
var ErrNoData = errors.New("fashion-mnist is not installed: apt-get install dataset-fashion-mnist, " +
	"or set ARQON_FASHION_MNIST to a folder with the four idx files, " +
	"or use studies/compress.yaml, which needs no data")

// ErrBadData says that a file is there but is not what it should be.
var ErrBadData = errors.New("not the fashion-mnist data set")

const (
	debianDir = "/usr/share/datasets/fashion-mnist"
	dataEnv   = "ARQON_FASHION_MNIST"

	side      = 28
	pixels    = side * side
	classes   = 10
	trainSize = 60000
	testSize  = 10000

	magicImages = 0x00000803 // unsigned bytes, 3 dimensions
	magicLabels = 0x00000801 // unsigned bytes, 1 dimension

	maxImages    = 100_000                 // in one file
	maxIdxBytes  = 16 + maxImages*pixels   // decompressed
	maxFileBytes = maxIdxBytes + (1 << 20) // on disk, plain or compressed
)

// dataDir resolves the folder: argument, environment, Debian's.
func dataDir(dir string) string {
	if dir != "" {
		return dir
	}
	if env := os.Getenv(dataEnv); env != "" {
		return env
	}
	return debianDir
}

// openIdx reads name or name.gz below dir, whichever exists, bounded.
func openIdx(dir, name string) (b []byte, path string, err error) {
	for _, suffix := range []string{".gz", ""} {
		path = filepath.Join(dir, name+suffix)
		raw, err := readBounded(path, maxFileBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, path, err
		}
		if suffix == "" {
			return raw, path, nil
		}
		b, err := gunzip(raw, maxIdxBytes)
		if err != nil {
			return nil, path, fmt.Errorf("%s: %w: %w", path, err, ErrBadData)
		}
		return b, path, nil
	}
	return nil, path, fmt.Errorf("%s: no such file: %w", path, ErrNoData)
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes: %w", path, limit, ErrBadData)
	}
	return b, nil
}

func gunzip(raw []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("expands to more than %d bytes", limit)
	}
	return b, z.Close()
}

// parseImages checks an idx3 file of 28×28 bytes and returns its pixels.
func parseImages(b []byte) ([][pixels]byte, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("%d bytes, an image header has 16: %w", len(b), ErrBadData)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	if word(0) != magicImages {
		return nil, fmt.Errorf("magic %#08x instead of %#08x: %w", word(0), uint32(magicImages), ErrBadData)
	}
	if word(2) != side || word(3) != side {
		return nil, fmt.Errorf("images of %d×%d instead of 28×28: %w", word(2), word(3), ErrBadData)
	}
	n := word(1)
	if n > maxImages {
		return nil, fmt.Errorf("%d images, at most %d are accepted: %w", n, maxImages, ErrBadData)
	}
	if want := 16 + int(n)*pixels; len(b) != want {
		return nil, fmt.Errorf("%d bytes instead of %d for %d images: %w", len(b), want, n, ErrBadData)
	}
	out := make([][pixels]byte, n)
	for i := range out {
		copy(out[i][:], b[16+i*pixels:])
	}
	return out, nil
}

// parseLabels checks an idx1 file of classes 0 to 9.
func parseLabels(b []byte) ([]byte, error) {
	if len(b) < 8 {
		return nil, fmt.Errorf("%d bytes, a label header has 8: %w", len(b), ErrBadData)
	}
	if m := binary.BigEndian.Uint32(b); m != magicLabels {
		return nil, fmt.Errorf("magic %#08x instead of %#08x: %w", m, uint32(magicLabels), ErrBadData)
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n > maxImages || len(b) != 8+int(n) {
		return nil, fmt.Errorf("%d bytes for %d labels: %w", len(b), n, ErrBadData)
	}
	for i, c := range b[8:] {
		if c >= classes {
			return nil, fmt.Errorf("label %d is %d, classes are 0 to 9: %w", i, c, ErrBadData)
		}
	}
	return b[8:], nil
}
