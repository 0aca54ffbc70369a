package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	corpusBytesMax = 3 << 20
	fileBytesMax   = 256 << 10
	measuredBytes  = 1 << 20 // per measurement at fidelity 1
	substring      = 24      // bytes: the pieces a dictionary is made of
)

// corpus is the Go tree's own sources in two halves, file by file in turn: a
// dictionary is trained on one and everything is measured on the other.
type corpus struct {
	train, test []byte
	trained     []byte // the largest dictionary, made when first needed; a smaller one is its end
}

var errEnough = errors.New("enough")

// loadCorpus reads the .go files below $(go env GOROOT)/src in sorted order.
func loadCorpus() (*corpus, error) {
	root, err := goroot()
	if err != nil {
		return nil, err
	}
	c, files := &corpus{}, 0
	err = filepath.WalkDir(filepath.Join(root, "src"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "testdata" {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b = b[:min(len(b), fileBytesMax)]
		if files++; files%2 == 0 {
			c.train = append(c.train, b...)
		} else {
			c.test = append(c.test, b...)
		}
		if len(c.train)+len(c.test) >= corpusBytesMax {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if len(c.test) < measuredBytes {
		return nil, fmt.Errorf("%s holds %d bytes of Go sources, want %d: install the Go tree with its sources", root, len(c.test), measuredBytes)
	}
	return c, nil
}

func goroot() (string, error) {
	if root := os.Getenv("GOROOT"); root != "" {
		return root, nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// train returns size bytes made of the sampled lines that occur in most places,
// the most frequent ones last, where a match is cheapest.
func train(corpus []byte, size int) []byte {
	counts := map[string]int{}
	for at := 0; at+substring <= len(corpus); at += substring / 3 {
		counts[string(corpus[at:at+substring])]++
	}
	type piece struct {
		text string
		n    int
	}
	var pieces []piece
	for text, n := range counts {
		pieces = append(pieces, piece{text, n})
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.text, b.text))
	})
	var out []byte
	for _, p := range pieces {
		if len(out) >= size {
			break
		}
		out = append([]byte(p.text), out...)
	}
	return out[max(0, len(out)-size):]
}

// dictionary is nil for a point without one.
func (c *corpus) dictionary(p point) []byte {
	if !p.Dictionary {
		return nil
	}
	if c.trained == nil {
		c.trained = train(c.train, 32<<10)
	}
	return c.trained[max(0, len(c.trained)-p.DictionaryKB<<10):]
}

// messages cuts the test half into the messages of a scenario, at places that
// the seed chooses.
func (c *corpus) messages(scenario string, seed uint64, fidelity float64) ([][]byte, error) {
	var size int
	switch scenario {
	case "small":
		size = 1 << 10
	case "large":
		size = 256 << 10
	default:
		return nil, fmt.Errorf("scenario %q", clean(scenario))
	}
	if !(fidelity > 0 && fidelity <= 1) {
		return nil, fmt.Errorf("fidelity %v is outside 0 to 1", fidelity)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]byte, max(1, int(fidelity*measuredBytes)/size))
	for i := range out {
		at := r.IntN(len(c.test) - size + 1)
		out[i] = c.test[at : at+size]
	}
	return out, nil
}
