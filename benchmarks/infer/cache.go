package infer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// A cache file is
//
//	"ARQT" ‖ key (32 bytes) ‖ every weight, float32 little-endian ‖ sha256 of all before
//
// in the order: base network (stage by stage: hidden w, b, head w, b), then
// each adapter's heads in the order of adapterNames. The recipe fixes every
// length, so there is nothing to parse.
const (
	cacheMagic    = "ARQT"
	maxCacheBytes = 64 << 20
)

// cacheKey names the weights by all they depend on.
func cacheKey(data *Data, r recipe, root uint64) [sha256.Size]byte {
	b, err := json.Marshal(struct {
		Data   string
		Recipe recipe
		Seed   uint64
	}{data.Digest, r, root})
	if err != nil {
		panic(err) // plain numbers and strings
	}
	return sha256.Sum256(b)
}

func cachePath(dir string, key [sha256.Size]byte) string {
	return filepath.Join(dir, "infer-"+hex.EncodeToString(key[:8])+".arqt")
}

// cacheTensors lists the weights in file order.
func cacheTensors(net *network, adapters map[string][]dense) [][]float32 {
	out := net.tensors()
	for _, name := range adapterNames[1:] {
		for i := range adapters[name] {
			out = append(out, adapters[name][i].w, adapters[name][i].b)
		}
	}
	return out
}

// readCache returns nil without an error when there is nothing to read, and an
// error when what is there cannot be used.
func readCache(dir string, key [sha256.Size]byte, r recipe) (*network, map[string][]dense, error) {
	if dir == "" {
		return nil, nil, nil
	}
	path := cachePath(dir, key)
	b, err := readBounded(path, maxCacheBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	net := newNetwork(r.Widths)
	adapters := map[string][]dense{}
	for _, name := range adapterNames[1:] {
		for _, w := range r.Widths {
			adapters[name] = append(adapters[name], newDense(classes, w))
		}
	}
	tensors := cacheTensors(net, adapters)
	want := len(cacheMagic) + 2*sha256.Size
	for _, t := range tensors {
		want += 4 * len(t)
	}
	body := b[:max(0, len(b)-sha256.Size)]
	sum := sha256.Sum256(body)
	if len(b) != want || string(b[len(body):]) != string(sum[:]) ||
		string(b[:4]) != cacheMagic || string(b[4:4+sha256.Size]) != string(key[:]) {
		return nil, nil, fmt.Errorf("%s: cached weights are damaged", path)
	}
	rest := body[4+sha256.Size:]
	for _, t := range tensors {
		for i := range t {
			t[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*len(t):]
	}
	return net, adapters, nil
}

// writeCache stores the weights so that a reader sees all of them or none.
func writeCache(dir string, key [sha256.Size]byte, net *network, adapters map[string][]dense) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b := append([]byte(cacheMagic), key[:]...)
	for _, t := range cacheTensors(net, adapters) {
		for _, x := range t {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	sum := sha256.Sum256(b)
	return writeDurably(cachePath(dir, key), append(b, sum[:]...))
}

// writeDurably replaces path by b: temporary file beside it, fsync, rename,
// fsync of the folder.
func writeDurably(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".infer-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
