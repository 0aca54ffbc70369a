package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
)

func newInit() *cobra.Command {
	var repository, keys string
	var solo, asJSON bool
	c := &cobra.Command{
		Use:   "init --repository DIR [--solo]",
		Short: "Found a repository: keys, roles, an empty catalog",
		Long: `Init founds a repository and its key files (encrypted, in cosign's format) and
pins its root for this user.

Without --solo the keys are for several people: root, targets and prod need two
of three, one key a person, and the folders of the key files say whose they are:
hand them out. With --solo one person holds every key, 1 of 1 everywhere: right
for trying Arqon out, and said to everybody who reads the repository.

The passphrase comes from $ARQON_PASSPHRASE (it may be empty) or the terminal.`,
		Example: `  arqon init --repository out/catalog --solo
  arqon init --repository /srv/arqon --keys /media/usb/keys`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newPlace(repository, keys)
			if err != nil {
				return err
			}
			return found(c.Context(), p, solo, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&repository, "repository", "", "the `DIR` of the new repository, or s3://bucket/prefix")
	c.Flags().StringVar(&keys, "keys", "", "folder for the key files (default REPOSITORY-keys)")
	c.Flags().BoolVar(&solo, "solo", false, "one person holds every key")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was made as JSON")
	return c
}

func found(ctx context.Context, p place, solo, asJSON bool, stdout, stderr io.Writer) (err error) {
	store, err := p.create(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	ask := passphraseReader(true)
	created, err := publish.Init(ctx, store, publish.InitOptions{
		Solo: solo, KeysDir: p.keys, Now: now(), Passphrase: func(string) ([]byte, error) { return ask() },
	})
	if errors.Is(err, publish.ErrRepositoryExists) {
		return hinted{err, "publish into it, or name another folder; a repository is never replaced"}
	}
	if err != nil {
		return err
	}
	if err := p.pin(ctx, created.Root); err != nil {
		return err
	}
	if asJSON {
		return printJSON(stdout, map[string]any{
			"repository": p.repository, "keys": p.keys, "solo": solo,
			"root": artifacts.DigestOf(created.Root), "key_files": created.KeyFiles,
		})
	}
	fmt.Fprintf(stdout, "repository %s\nroot       %s\nkeys       %s (%d files)\n",
		p.repository, artifacts.DigestOf(created.Root), p.keys, len(created.KeyFiles))
	if solo {
		fmt.Fprintln(stderr, "note: --solo: one person holds every key, so every approval is that person's alone")
	} else {
		fmt.Fprintln(stderr, "next: hand the folders below "+p.keys+" to the people that they name, and remove them here")
	}
	return nil
}

// pin makes this user's clients believe the new root and nothing that was
// remembered about another repository at the same path.
func (p place) pin(ctx context.Context, root []byte) (err error) {
	if err := os.RemoveAll(p.state); err != nil {
		return fmt.Errorf("pin the root: %w", err)
	}
	dir, err := artifacts.OpenDir(p.state)
	if err != nil {
		return fmt.Errorf("pin the root: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Create(ctx, pinnedRoot, root)
}
