package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

func newYank() *cobra.Command {
	var f signFlags
	var reason string
	c := &cobra.Command{
		Use:   "yank --repository DIR --reason TEXT ID…",
		Short: "Withdraw variants from every channel, for ever",
		Long: `Yank withdraws variants by id. It only ever removes, so one key of the yank role
is enough and no approval is waited for. Clients stop serving the variants at
their next refresh and never believe a list without them again. To serve one
again, a night proves it under a new id.`,
		Example: `  arqon yank --repository out/catalog --reason "wrong answers on Tuesdays" 17
  arqon yank --repository /srv/arqon --keys /media/usb/oncall --reason leak 17 18`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ids, err := variantIDs(args)
			if err != nil {
				return err
			}
			return withRepository(c.Context(), f, func(ctx context.Context, repo *publish.Repository) error {
				return yank(ctx, repo, f, reason, ids, c.OutOrStdout())
			})
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the responder's key files (default REPOSITORY-keys)")
	jsonFlag(c, &f.json)
	c.Flags().StringVar(&reason, "reason", "", "one line for everybody who asks why")
	return c
}

// withdrawnAnswer is the JSON form.
type withdrawnAnswer struct {
	Withdrawn []catalog.VariantID `json:"withdrawn"`
	Reason    string              `json:"reason"`
}

// variantIDs reads ids from the command line.
func variantIDs(args []string) ([]catalog.VariantID, error) {
	var ids []catalog.VariantID
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 32)
		if err != nil || n == 0 {
			return nil, hinted{fmt.Errorf("%q is not the id of a variant", a), "ids are numbers from 1; arqon inspect lists them"}
		}
		ids = append(ids, catalog.VariantID(n))
	}
	return ids, nil
}

func yank(ctx context.Context, repo *publish.Repository, f signFlags, reason string, ids []catalog.VariantID, stdout io.Writer) error {
	if reason == "" {
		return hinted{errors.New("no reason was given"), `give --reason "one line": it is what everybody reads later`}
	}
	err := repo.Yank(ctx, reason, ids...)
	if errors.Is(err, artifacts.ErrNotFound) {
		return no{hinted{err, "arqon inspect lists the ids of a channel"}}
	}
	if err != nil {
		return pending(err)
	}
	if f.json {
		return printJSON(stdout, withdrawnAnswer{ids, reason})
	}
	for _, id := range ids {
		fmt.Fprintf(stdout, "withdrawn: %d\n", id)
	}
	fmt.Fprintln(stdout, "clients stop serving it at their next refresh")
	return nil
}
