package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

func newRollback() *cobra.Command {
	var f signFlags
	var channel string
	var to uint64
	c := &cobra.Command{
		Use:   "rollback --repository DIR --to N",
		Short: "Make a new release with the content of an old one",
		Long: `Rollback proposes the content of release N as the channel's next release: the same
ids, digests and evidence under a new number, because clients never go back.
What was withdrawn since stays out.

It needs the channel's approvals like any other release. To stop one variant at
once, yank it: that needs one key.`,
		Example: `  arqon rollback --repository out/catalog --to 3
  arqon rollback --repository /srv/arqon --channel prod --to 11`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if to == 0 {
				return hinted{errors.New("no release was named"), "give --to N; arqon history lists the releases"}
			}
			return withRepository(c.Context(), f, func(ctx context.Context, repo *publish.Repository) error {
				p, left, err := repo.Rollback(ctx, channel, to)
				if errors.Is(err, publish.ErrProposal) {
					return no{hinted{err, "--to takes an older release, arqon history lists them; what was withdrawn comes back only under a new id, through a night"}}
				}
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
	c.Flags().StringVar(&channel, "channel", string(catalog.ScopeStaging), "the channel")
	c.Flags().Uint64Var(&to, "to", 0, "the `RELEASE` whose content is wanted")
	return c
}
