package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
)

type gcFlags struct {
	repository, keys, root string
	keep                   int
	grace                  time.Duration
	remove, json           bool
}

func newGC() *cobra.Command {
	var f gcFlags
	c := &cobra.Command{
		Use:   "gc --repository DIR",
		Short: "Find, and on request remove, what no release, proof or proposal names",
		Long: `GC lists the objects of a repository that nothing names any more: artifacts and
raw records of old releases, proposals that can no longer be published, what a
dead publisher left. With --remove it takes them away.

What proves the past stays for every release: roots, metadata, manifests, signed
reports, approvals, the log. So do artifacts of the newest releases, pending
proposals, and whatever was written within the grace. It may run beside
publishers and be killed; it needs no key. A rollback to a release whose
artifacts were removed needs them from somewhere else.`,
		Example: `  arqon gc --repository out/catalog
  arqon gc --repository s3://bucket/catalog --keep 10 --grace 720h --remove`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return gc(c.Context(), f, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository, or s3://bucket/prefix")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the pinned root (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().IntVar(&f.keep, "keep", 5, "keep the artifacts of so many newest releases of each channel")
	c.Flags().DurationVar(&f.grace, "grace", 14*24*time.Hour, "leave alone what was written within this time; at least 48h")
	c.Flags().BoolVar(&f.remove, "remove", false, "take it away")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
	return c
}

func gc(ctx context.Context, f gcFlags, stdout io.Writer) (err error) {
	if f.keep < 1 {
		return hinted{fmt.Errorf("--keep %d", f.keep), "the newest release of a channel always stays: give 1 or more"}
	}
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	root, err := p.anchor(f.root)
	if err != nil {
		return err
	}
	store, err := p.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	repo := publish.Repository{Store: store, Keys: &publish.Keyring{Root: root}, Now: now()}
	got, err := repo.Collect(ctx, publish.Collection{Keep: f.keep, Grace: f.grace, Remove: f.remove, Clock: now})
	switch {
	case errors.Is(err, publish.ErrGrace):
		return hinted{err, "publishers need the grace to use again what nothing named for a while"}
	case errors.Is(err, artifacts.ErrConflict):
		return hinted{err, "others publish all the time: run it again when it is quiet; what was removed was garbage"}
	case err != nil:
		return refused(err)
	}
	if f.json {
		return printJSON(stdout, got)
	}
	for _, n := range got.Garbage {
		fmt.Fprintln(stdout, n)
	}
	fmt.Fprintf(stdout, "%d objects: %d named, %d within the grace, %d garbage, %d removed\n",
		got.Objects, got.Named, got.Young, len(got.Garbage), got.Removed)
	return nil
}
