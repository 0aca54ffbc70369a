package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog/mirror"
)

func newMirror() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "mirror SOURCE DESTINATION",
		Short: "Bring a copy of a repository up to date, whole or not at all",
		Long: `Mirror verifies everything in the source (roots, every release, approvals and
evidence, the artifacts of the newest releases), copies what the destination does
not have, verifies it again there, and only then moves the destination's head. A
missing piece of evidence stops it. A copy never goes back to an older state.

Artifacts and raw records of past releases are not copied.`,
		Example: `  arqon mirror out/catalog /mnt/copy
  arqon mirror s3://bucket/arqon /srv/arqon --root root.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return mirrorTo(c.Context(), args[0], args[1], root, asJSON, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&root, "root", "", "believe the root in this `FILE` (default: the one pinned for the source)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return c
}

// copyReport is the JSON form of a copy.
type copyReport struct {
	Releases map[string]uint64 `json:"releases"` // channel → newest release
	Files    int               `json:"files"`
	Copied   int               `json:"copied"`
	Bytes    int64             `json:"bytes"`
}

func (r copyReport) print(w io.Writer, asJSON bool, verb string) error {
	if asJSON {
		return printJSON(w, r)
	}
	for _, c := range sortedNames(r.Releases) {
		fmt.Fprintf(w, "%s release %d\n", c, r.Releases[c])
	}
	fmt.Fprintf(w, "%s: %d files verified, %d of them new (%d bytes)\n", verb, r.Files, r.Copied, r.Bytes)
	return nil
}

func copied(r mirror.Report) copyReport {
	out := copyReport{Releases: map[string]uint64{}, Files: len(r.Files), Copied: r.Copied, Bytes: r.Bytes}
	for _, x := range r.Releases {
		out.Releases[x.Release.Channel] = x.Release.Sequence
	}
	return out
}

// copyOptions say whom a copy believes: there must be a root, because a copy
// is no place for trust on first use.
func copyOptions(p place, root string) (mirror.Options, error) {
	anchor, err := p.anchor(root)
	if err != nil {
		return mirror.Options{}, err
	}
	if anchor == nil {
		return mirror.Options{}, hinted{errors.New("no root is pinned for " + p.repository), "give --root FILE: a copy is believed by others, so it must be known whose it is"}
	}
	return mirror.Options{Root: anchor, Now: now}, nil
}

func mirrorTo(ctx context.Context, source, destination, root string, asJSON bool, stdout io.Writer) (err error) {
	from, err := newPlace(source, "")
	if err != nil {
		return err
	}
	to, err := newPlace(destination, "")
	if err != nil {
		return err
	}
	if from.repository == to.repository {
		return hinted{fmt.Errorf("%s: source and destination are the same", from.repository), "name another place for the copy"}
	}
	o, err := copyOptions(from, root)
	if err != nil {
		return err
	}
	src, err := from.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := to.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	rep, err := mirror.Copy(ctx, src, dst, o)
	if err != nil {
		return notCopied(err)
	}
	return copied(rep).print(stdout, asJSON, "mirrored")
}

// notCopied explains why nothing was adopted.
func notCopied(err error) error {
	switch {
	case errors.Is(err, mirror.ErrOlder):
		return no{hinted{err, "copy in the other direction, or from a newer source"}}
	case errors.Is(err, mirror.ErrBundle):
		return no{hinted{err, "export it again: the file is not what arqon export writes"}}
	}
	return refused(err)
}
