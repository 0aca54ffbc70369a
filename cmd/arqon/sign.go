package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog/publish"
)

type signFlags struct {
	repository, keys string
	dry, renew, json bool
}

func newSign() *cobra.Command {
	var f signFlags
	c := &cobra.Command{
		Use:   "sign --repository DIR [PROPOSAL]",
		Short: "Review a proposal and add one approver's signature",
		Long: `Sign checks a proposal and its evidence again, shows what it would change, and
adds the signature of the first key in the key folder that may approve it and
has not yet. PROPOSAL is the digest that nightly printed, or its beginning;
without it the only pending proposal is meant, and several are listed: from
which nights, for which contexts, with what gain.`,
		Example: `  arqon sign --repository out/catalog
  arqon sign --repository /srv/arqon --keys /media/usb/person-2 3f2a09c1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withRepository(c.Context(), f, func(ctx context.Context, repo *publish.Repository) error {
				return sign(ctx, repo, f, first(args), c.OutOrStdout())
			})
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the approver's key files (default REPOSITORY-keys)")
	c.Flags().BoolVar(&f.dry, "dry-run", false, "review only, sign nothing")
	jsonFlag(c, &f.json)
	return c
}

func newPublish() *cobra.Command {
	var f signFlags
	var repair bool
	c := &cobra.Command{
		Use:   "publish --repository DIR [PROPOSAL]",
		Short: "Commit a proposal that enough approvers have signed",
		Long: `Publish commits a signed proposal: one create-if-absent makes it the channel's
release or leaves everything as it was. A publisher that died in between is
finished by the next one, or by --repair. --renew signs fresh dates over what is
published already.`,
		Example: `  arqon publish --repository out/catalog
  arqon publish --repository out/catalog --repair
  arqon publish --repository out/catalog --renew`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withRepository(c.Context(), f, func(ctx context.Context, repo *publish.Repository) error {
				switch {
				case repair:
					return repairHead(ctx, repo, f.json, c.OutOrStdout())
				case f.renew:
					return renew(ctx, repo, f.json, c.OutOrStdout())
				}
				return commit(ctx, repo, f, first(args), c.OutOrStdout())
			})
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the publisher's key files (default REPOSITORY-keys)")
	c.Flags().BoolVar(&repair, "repair", false, "finish what a publisher that died has left")
	c.Flags().BoolVar(&f.renew, "renew", false, "renew the dates of what is published")
	jsonFlag(c, &f.json)
	c.MarkFlagsMutuallyExclusive("repair", "renew")
	return c
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// withRepository opens repository and keys for one piece of work.
func withRepository(ctx context.Context, f signFlags, work func(context.Context, *publish.Repository) error) (err error) {
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	store, err := p.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	ring, err := p.ring(passphraseReader(false))
	if err != nil {
		return err
	}
	if ring.Root == nil { // a person's own folder: the root may be pinned elsewhere
		if ring.Root, err = p.anchor(""); err != nil {
			return err
		}
	}
	return refused(work(ctx, &publish.Repository{Store: store, Keys: ring, Now: now()}))
}

func sign(ctx context.Context, repo *publish.Repository, f signFlags, name string, stdout io.Writer) error {
	manifest, err := pick(ctx, repo, name)
	if err != nil {
		return err
	}
	rv, err := repo.Review(ctx, manifest)
	if err != nil {
		return pending(err)
	}
	if !f.json { // before it signs: a person may still stop it
		fmt.Fprintf(stdout, "proposal %s, %s verified\n", proposalLine(rv), count(rv.Evidence, "gate report", "gate reports"))
		printDifference(stdout, rv.Difference)
	}
	if !f.dry {
		if rv, err = repo.Sign(ctx, manifest); err != nil {
			return pending(err)
		}
	}
	if f.json {
		return printSigned(stdout, rv)
	}
	if f.dry {
		fmt.Fprintf(stdout, "%d of %d signatures; nothing was signed (--dry-run)\n", len(rv.Signed), rv.Threshold)
		return nil
	}
	fmt.Fprintf(stdout, "signed: %d of %d signatures\n", len(rv.Signed), rv.Threshold)
	if len(rv.Signed) >= rv.Threshold {
		fmt.Fprintf(stdout, "next: arqon publish --repository %s %s\n", word(f.repository), manifest.Short())
	}
	return nil
}

func commit(ctx context.Context, repo *publish.Repository, f signFlags, name string, stdout io.Writer) error {
	manifest, err := pick(ctx, repo, name)
	if err != nil {
		return err
	}
	p, err := repo.Publish(ctx, manifest)
	if err != nil {
		return pending(err)
	}
	if f.json {
		return printJSON(stdout, publishedAnswer{releaseOf(p.Manifest, p.Release), append([]string{}, p.Approvers...), p.Again})
	}
	state := "is published"
	if p.Again {
		state = "was published already"
	}
	fmt.Fprintf(stdout, "release %d of %s %s: %s, approved by %s, manifest %s\n",
		p.Release.Sequence, p.Release.Channel, state, count(len(p.Release.Entries), "entry", "entries"), count(len(p.Approvers), "key", "keys"), p.Manifest.Short())
	return nil
}

func repairHead(ctx context.Context, repo *publish.Repository, asJSON bool, stdout io.Writer) error {
	done, err := repo.Repair(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(stdout, map[string]bool{"repaired": done})
	}
	if done {
		fmt.Fprintln(stdout, "finished a commit whose publisher had died")
	} else {
		fmt.Fprintln(stdout, "nothing to repair")
	}
	return nil
}

func renew(ctx context.Context, repo *publish.Repository, asJSON bool, stdout io.Writer) error {
	if err := repo.Renew(ctx); err != nil {
		return err
	}
	st, err := repo.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(stdout, map[string]string{"expires": st.Expires.Format(time.RFC3339)})
	}
	fmt.Fprintf(stdout, "renewed; the next date to keep is %s\n", st.Expires.Format(time.RFC3339))
	return nil
}

// pending explains the refusals of a proposal.
func pending(err error) error {
	switch {
	case errors.Is(err, publish.ErrApprovals):
		return no{hinted{err, "another approver signs: arqon sign --keys THEIR-FOLDER"}}
	case errors.Is(err, publish.ErrStale):
		return no{hinted{err, "arqon nightly proposes again on top of the newest release"}}
	case errors.Is(err, publish.ErrMayNot):
		return no{hinted{err, "another person signs: arqon sign --keys THEIR-FOLDER"}}
	case errors.Is(err, publish.ErrNoKey):
		return hinted{err, "give the folder of a key that may: --keys FOLDER"}
	case errors.Is(err, publish.ErrProposal):
		return no{hinted{err, "arqon inspect and arqon history show what there is; what was withdrawn comes back only under a new id, through a night"}}
	}
	return err
}
