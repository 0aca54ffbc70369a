package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/mirror"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type bundleFlags struct {
	repository, keys, root, file string
	json                         bool
}

func newExport() *cobra.Command {
	var f bundleFlags
	c := &cobra.Command{
		Use:   "export --repository DIR FILE",
		Short: "Write the repository as one file, for an air gap",
		Long: `Export verifies the repository and writes everything that a copy needs as one tar
file: names in ascending order, no dates, no owners. The same repository gives
the same bytes. FILE must not exist.`,
		Example: `  arqon export --repository out/catalog catalog.tar`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.file = args[0]
			return export(c.Context(), f, c.OutOrStdout())
		},
	}
	bundleFlagsOf(c, &f)
	return c
}

func bundleFlagsOf(c *cobra.Command, f *bundleFlags) {
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
}

func newImport() *cobra.Command {
	var f bundleFlags
	c := &cobra.Command{
		Use:   "import --repository DIR FILE",
		Short: "Bring a repository up to date from one file",
		Long: `Import unpacks the file that export wrote into a scratch folder, verifies all of it
from the pinned root down, and only then brings the repository to its state. A
changed byte, a missing file or one too many is a refusal, and nothing of it is
adopted.`,
		Example: `  arqon import --repository /srv/copy --root root.json catalog.tar`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.file = args[0]
			return importBundle(c.Context(), f, c.OutOrStdout())
		},
	}
	bundleFlagsOf(c, &f)
	return c
}

func export(ctx context.Context, f bundleFlags, stdout io.Writer) (err error) {
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	o, err := copyOptions(p, f.root)
	if err != nil {
		return err
	}
	store, err := p.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := os.Lstat(f.file); err == nil {
		return hinted{fmt.Errorf("%s: exists and is not replaced", f.file), "name another file"}
	}
	temp, err := os.CreateTemp(filepath.Dir(f.file), ".export-*")
	if err != nil {
		return err
	}
	rep, err := mirror.Export(ctx, store, o, temp)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), f.file)
	}
	if err = errors.Join(err, os.Remove(temp.Name())); err != nil {
		return notCopied(err)
	}
	return copied(rep).print(stdout, f.json, "exported")
}

func importBundle(ctx context.Context, f bundleFlags, stdout io.Writer) (err error) {
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	o, err := copyOptions(p, f.root)
	if err != nil {
		return err
	}
	file, err := os.Open(f.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	dir, err := os.MkdirTemp("", "arqon-import-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	scratch, err := artifacts.OpenDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	dst, err := p.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	rep, err := mirror.Import(ctx, file, scratch, dst, o)
	if errors.Is(err, mirror.ErrBundle) {
		err = fmt.Errorf("%s: %w", f.file, err)
	}
	if err != nil {
		return notCopied(err)
	}
	return copied(rep).print(stdout, f.json, "imported")
}
