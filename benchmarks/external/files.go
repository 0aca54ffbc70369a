package external

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

const (
	maxFiles     = 256
	maxPathBytes = 256
	// bundleBytesMax is the size of a bundle that nobody said anything about.
	bundleBytesMax = 64 << 20
)

// checkPath accepts relative, clean, slash-separated paths.
func checkPath(name string) error {
	if name == "" || len(name) > maxPathBytes || name == "." || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("file %.80q: want a relative, clean path of at most %d bytes below the directory", name, maxPathBytes)
	}
	return nil
}

// readBack reads the files that a program says it wrote under dir: regular
// files only, through no symbolic link, limit bytes in all. They come back
// sorted by path, so that a program's order cannot change a digest.
func readBack(dir string, files []wireFile, limit int64) ([]benchmarks.File, error) {
	if len(files) > maxFiles {
		return nil, fmt.Errorf("%d files, at most %d: %w", len(files), maxFiles, ErrProtocol)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	out := make([]benchmarks.File, 0, len(files))
	for _, f := range files {
		b, readErr := readRegular(root, f.Path, limit)
		if readErr != nil {
			err = fmt.Errorf("%w: %w", readErr, ErrProtocol)
			break
		}
		limit -= int64(len(b))
		out = append(out, benchmarks.File{Name: f.Path, MediaType: f.MediaType, Bytes: b})
	}
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b benchmarks.File) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name {
			return nil, fmt.Errorf("file %.80q is listed twice: %w", out[i].Name, ErrProtocol)
		}
	}
	return out, nil
}

func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	for at := name; at != "."; at = path.Dir(at) {
		info, err := root.Lstat(filepath.FromSlash(at))
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("file %.80q: %s is a symbolic link", name, at)
		}
		if at == name && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("file %.80q is not a regular file", name)
		}
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("file %.80q: the bundle is larger than allowed", name)
	}
	return b, nil
}

// writeOut is the way back: it writes the files of a bundle under dir. They
// need no fsync, because nobody reads them after this process.
func writeOut(dir string, files []benchmarks.File, limit int64) error {
	if len(files) > maxFiles {
		return fmt.Errorf("%d files, at most %d", len(files), maxFiles)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if limit -= int64(len(f.Bytes)); limit < 0 {
			err = errors.New("the bundle is larger than allowed")
			break
		}
		if err = checkPath(f.Name); err != nil {
			break
		}
		if err = root.MkdirAll(filepath.FromSlash(path.Dir(f.Name)), 0o700); err != nil {
			break
		}
		if err = root.WriteFile(filepath.FromSlash(f.Name), f.Bytes, 0o600); err != nil {
			break
		}
	}
	return errors.Join(err, root.Close())
}
