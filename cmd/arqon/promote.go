package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

func newPromote() *cobra.Command {
	var f signFlags
	var from, to string
	c := &cobra.Command{
		Use:   "promote --repository DIR [--from staging] [--to prod] [ID…]",
		Short: "Propose what one channel serves to a wider one, same ids and digests",
		Long: `Promote makes the next release of a wider channel from a narrower one: the same
ids, the same artifacts, the same evidence. Without ids it is the whole release;
with ids these come beside what the wider channel has.

The approvers of the wider channel sign the proposal: their threshold is its
gate of approval. Where one person holds every key, it is signed and published
at once.`,
		Example: `  arqon promote --repository out/catalog
  arqon promote --repository /srv/arqon 12 15`,
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := variantIDs(args)
			if err != nil {
				return err
			}
			return withRepository(c.Context(), f, func(ctx context.Context, repo *publish.Repository) error {
				p, left, err := repo.Promotion(ctx, from, to, ids...)
				if err != nil {
					return pending(err)
				}
				return submit(ctx, repo, f, p, left, c.OutOrStdout(), c.ErrOrStderr())
			})
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the key files (default REPOSITORY-keys)")
	jsonFlag(c, &f.json)
	c.Flags().StringVar(&from, "from", string(catalog.ScopeStaging), "the channel that has it")
	c.Flags().StringVar(&to, "to", string(catalog.ScopeProd), "the wider channel")
	return c
}

// submit publishes a proposal where one person holds every key, and leaves it
// to be signed where several do.
func submit(ctx context.Context, repo *publish.Repository, f signFlags, p publish.Proposal, left []catalog.Entry, stdout, stderr io.Writer) error {
	for _, e := range left {
		fmt.Fprintf(stderr, "note: %d %s was withdrawn and stays out\n", e.ID, e.Variant.Name)
	}
	st, err := repo.Status(ctx)
	if err != nil {
		return err
	}
	if !st.Solo {
		made, err := repo.Propose(ctx, p)
		if err != nil {
			return pending(err)
		}
		d := catalog.Diff(st.Releases[p.Channel], made.Release)
		if f.json {
			return printSubmitted(stdout, releaseOf(made.Manifest, made.Release), false, left, d)
		}
		fmt.Fprintf(stdout, "proposal %s: release %d of %s, %s\n",
			made.Manifest.Short(), made.Release.Sequence, p.Channel, count(len(made.Release.Entries), "entry", "entries"))
		printDifference(stdout, d)
		fmt.Fprintf(stdout, "next: arqon sign --repository %s %s\n", word(f.repository), made.Manifest.Short())
		return nil
	}
	out, err := repo.Release(ctx, p)
	if err != nil {
		return pending(err)
	}
	d := catalog.Diff(st.Releases[p.Channel], out.Release)
	if f.json {
		return printSubmitted(stdout, releaseOf(out.Manifest, out.Release), true, left, d)
	}
	fmt.Fprintf(stdout, "release %d of %s is published: %s, manifest %s\n",
		out.Release.Sequence, p.Channel, count(len(out.Release.Entries), "entry", "entries"), out.Manifest.Short())
	printDifference(stdout, d)
	return nil
}
