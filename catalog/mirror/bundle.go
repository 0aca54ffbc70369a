package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// ErrBundle is wrapped by every refusal of a bundle's form.
var ErrBundle = errors.New("bundle refused")

const (
	maxBundleFiles = 1 << 20
	maxBundleBytes = 64 << 30
)

// Export writes the whole repository as one file: an ustar archive of regular
// files in ascending order of their names, mode 0644, dated 1970, owned by
// nobody. The same repository gives the same bytes.
func Export(ctx context.Context, src artifacts.Store, o Options, w io.Writer) (Report, error) {
	head, rep, err := whole(ctx, src, o)
	if err != nil {
		return Report{}, err
	}
	out := Report{Report: rep}
	t := tar.NewWriter(w)
	for _, name := range rep.Files {
		b, err := withHead{Store: src, head: head}.Read(ctx, name, maxFileBytes)
		if err != nil {
			return out, err
		}
		if err := writeFile(t, name, b); err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
		out.Copied++
		out.Bytes += int64(len(b))
	}
	return out, t.Close()
}

func writeFile(t *tar.Writer, name string, b []byte) error {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(b)),
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(b)
	return err
}

// Import unpacks a bundle into scratch, verifies it there from the pinned root
// down, and then brings dst to its state as Copy does. scratch must be empty;
// it is the caller's to remove. A bundle that holds more or less than the
// repository in it needs is refused.
func Import(ctx context.Context, r io.Reader, scratch, dst artifacts.Store, o Options) (Report, error) {
	names, err := Unpack(ctx, r, scratch)
	if err != nil {
		return Report{}, err
	}
	_, rep, err := whole(ctx, scratch, o)
	if err != nil {
		return Report{}, fmt.Errorf("the bundle: %w", err)
	}
	if !slices.Equal(names, rep.Files) {
		return Report{}, fmt.Errorf("%d files, and the repository in it has %d: %w", len(names), len(rep.Files), ErrBundle)
	}
	return Copy(ctx, scratch, dst, o)
}

// Unpack reads a bundle into a store and accepts the one spelling that Export
// writes: it writes the archive again and compares. It believes nothing else.
func Unpack(ctx context.Context, r io.Reader, into artifacts.Store) (names []string, err error) {
	read, again := sha256.New(), sha256.New()
	in := &counted{r: io.LimitReader(r, maxBundleBytes), sum: read}
	t, w := tar.NewReader(in), tar.NewWriter(again)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrBundle)
		}
		if len(names) >= maxBundleFiles || h.Size < 0 || h.Size > maxFileBytes || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%.200q: want at most %d regular files of at most %d bytes: %w", h.Name, maxBundleFiles, maxFileBytes, ErrBundle)
		}
		if len(names) > 0 && h.Name <= names[len(names)-1] {
			return nil, fmt.Errorf("%.200q: want ascending names, each once: %w", h.Name, ErrBundle)
		}
		if err := artifacts.CheckName(h.Name); err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrBundle)
		}
		var b bytes.Buffer // grows with what is there, not with what is promised
		if _, err := io.Copy(&b, io.LimitReader(t, h.Size)); err != nil {
			return nil, fmt.Errorf("%.200q: %w: %w", h.Name, err, ErrBundle)
		}
		if err := writeFile(w, h.Name, b.Bytes()); err != nil {
			return nil, fmt.Errorf("%.200q: %w: %w", h.Name, err, ErrBundle)
		}
		if err := into.Create(ctx, h.Name, b.Bytes()); err != nil {
			return nil, err
		}
		names = append(names, h.Name)
	}
	return names, sameSpelling(in, w, read, again)
}

func sameSpelling(in io.Reader, w *tar.Writer, read, again hash.Hash) error {
	if _, err := io.Copy(io.Discard, in); err != nil { // what follows the archive counts too
		return fmt.Errorf("%w: %w", err, ErrBundle)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("%w: %w", err, ErrBundle)
	}
	if !bytes.Equal(read.Sum(nil), again.Sum(nil)) {
		return fmt.Errorf("not in the one form that export writes: %w", ErrBundle)
	}
	return nil
}

// counted hashes what is read through it.
type counted struct {
	r   io.Reader
	sum hash.Hash
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n]) // a hash never fails
	return n, err
}
