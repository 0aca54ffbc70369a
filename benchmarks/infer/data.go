package infer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/arqon/arqon/internal/seed"
)

// Split is a set of labelled images.
type Split struct {
	Images [][pixels]byte
	Labels []byte // 0 to 9
}

// Len returns the number of images.
func (s *Split) Len() int { return len(s.Images) }

// Data is the data set, cut once and for all: the cut depends on nothing but
// the files, so a validation image of one run is never a training image of
// another.
type Data struct {
	Train       Split  // weights
	Calibration Split  // adapters, activation ranges, input statistics
	Validation  Split  // what the search measures on
	Test        Split  // what the gates measure on and the host serves
	Digest      string // sha256 over all pixels and labels, hexadecimal
}

// The cut of the 60,000 training images.
const (
	trainImages       = 30000
	calibrationImages = 12000
	validationImages  = 6000
)

// LoadData reads the four files of dir ("" = the usual places). Errors wrap
// ErrNoData or ErrBadData and name the file.
func LoadData(dir string) (*Data, error) {
	dir = dataDir(dir)
	sum := sha256.New()
	load := func(stem string, n int) (Split, error) {
		var s Split
		b, path, err := openIdx(dir, stem+"-images-idx3-ubyte")
		if err != nil {
			return s, err
		}
		if s.Images, err = parseImages(b); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
		if len(s.Images) != n {
			return s, fmt.Errorf("%s: %d images instead of %d: %w", path, len(s.Images), n, ErrBadData)
		}
		sum.Write(b)
		b, path, err = openIdx(dir, stem+"-labels-idx1-ubyte")
		if err != nil {
			return s, err
		}
		if s.Labels, err = parseLabels(b); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
		if len(s.Labels) != n {
			return s, fmt.Errorf("%s: %d labels for %d images: %w", path, len(s.Labels), n, ErrBadData)
		}
		sum.Write(b)
		return s, nil
	}
	all, err := load("train", trainSize)
	if err != nil {
		return nil, err
	}
	test, err := load("t10k", testSize)
	if err != nil {
		return nil, err
	}
	d := &Data{Test: test, Digest: hex.EncodeToString(sum.Sum(nil))}
	order := seed.Stream(0, "infer/split").Perm(all.Len())
	cut := func(n int) Split {
		s := pick(&all, order[:n])
		order = order[n:]
		return s
	}
	d.Train, d.Calibration, d.Validation = cut(trainImages), cut(calibrationImages), cut(validationImages)
	return d, nil
}

// pick copies the images at the given places.
func pick(from *Split, at []int) Split {
	s := Split{Images: make([][pixels]byte, len(at)), Labels: make([]byte, len(at))}
	for i, j := range at {
		s.Images[i], s.Labels[i] = from.Images[j], from.Labels[j]
	}
	return s
}
