package infer

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// idx writes a header and a body.
func idx(body []byte, words ...uint32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return append(b, body...)
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAbsentDataSaysWhatToDo(t *testing.T) {
	d, err := New(Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Build(t.Context(), Baseline(), 1)
	if !errors.Is(err, ErrNoData) {
		t.Fatalf("%v, want ErrNoData", err)
	}
	for _, hint := range []string{"apt-get install dataset-fashion-mnist", "ARQON_FASHION_MNIST", "studies/compress.yaml"} {
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("%q does not mention %q", err, hint)
		}
	}
	if _, err := d.Describe(t.Context()); err != nil {
		t.Errorf("describing needs no data: %v", err)
	}
}

func TestTheEnvironmentNamesTheFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(dataEnv, dir)
	if _, err := LoadData(""); !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want ErrNoData that names %s", err, dir)
	}
	if other := t.TempDir(); dataDir(other) != other {
		t.Error("an explicit folder must win over the environment")
	}
}

func TestWrongFilesAreNamed(t *testing.T) {
	const images = "train-images-idx3-ubyte"
	three := idx(make([]byte, 3*pixels), magicImages, 3, side, side)
	for _, c := range []struct {
		why, file, hint string
		content         []byte
	}{
		{"empty", images, "header", nil},
		{"wrong magic", images, "magic", idx(make([]byte, pixels), magicLabels, 1, side, side)},
		{"wrong shape", images, "32×28", idx(make([]byte, 32*side), magicImages, 1, 32, side)},
		{"truncated", images, "bytes instead of", three[:len(three)-1]},
		{"enormous count", images, "at most", idx(nil, magicImages, 0xffffffff, side, side)},
		{"too few", images, "3 images instead of 60000", three},
		{"not gzip", images + ".gz", "invalid header", []byte("hello, this is not compressed at all")},
		{"truncated gzip", images + ".gz", "EOF", gzipped(t, three)[:30]},
		{"too few, compressed", images + ".gz", "3 images instead of 60000", gzipped(t, three)},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := LoadData(dir)
		if !errors.Is(err, ErrBadData) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v; want ErrBadData with the path and %q", c.why, err, c.hint)
		}
	}
}

func TestWrongLabelsAreRefused(t *testing.T) {
	for why, b := range map[string][]byte{
		"short":     {0, 0},
		"magic":     idx([]byte{1}, magicImages, 1),
		"count":     idx([]byte{1}, magicLabels, 2),
		"class ten": idx([]byte{1, 10}, magicLabels, 2),
	} {
		if _, err := parseLabels(b); !errors.Is(err, ErrBadData) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if got, err := parseLabels(idx([]byte{1, 9}, magicLabels, 2)); err != nil || string(got) != "\x01\x09" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheCutIsFixedAndDisjoint(t *testing.T) {
	d := testData(t)
	if d.Train.Len() != trainImages || d.Calibration.Len() != calibrationImages || d.Validation.Len() != validationImages || d.Test.Len() != testSize {
		t.Fatalf("%d, %d, %d, %d images", d.Train.Len(), d.Calibration.Len(), d.Validation.Len(), d.Test.Len())
	}
	// The data set holds a few identical pictures; a cut that overlapped would
	// share thousands.
	seen := map[[pixels]byte]bool{}
	for _, img := range d.Train.Images {
		seen[img] = true
	}
	for _, img := range d.Calibration.Images {
		seen[img] = true
	}
	shared := 0
	for _, img := range d.Validation.Images {
		if seen[img] {
			shared++
		}
	}
	if shared > 20 {
		t.Errorf("%d validation images are training or calibration images", shared)
	}
}

func FuzzParseImages(f *testing.F) {
	f.Add(idx(make([]byte, pixels), magicImages, 1, side, side))
	f.Add(idx(nil, magicImages, 0xffffffff, side, side))
	f.Add([]byte{0, 0, 8, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		images, err := parseImages(b)
		if err == nil && len(b) != 16+pixels*len(images) || err != nil && !errors.Is(err, ErrBadData) {
			t.Fatalf("%d images, %v", len(images), err)
		}
	})
}

func FuzzParseLabels(f *testing.F) {
	f.Add(idx([]byte{1, 2, 3}, magicLabels, 3))
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 1, 77})
	f.Fuzz(func(t *testing.T, b []byte) {
		labels, err := parseLabels(b)
		if err != nil && !errors.Is(err, ErrBadData) {
			t.Fatal(err)
		}
		for _, c := range labels {
			if c >= classes {
				t.Fatalf("class %d", c)
			}
		}
	})
}
