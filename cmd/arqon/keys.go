package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog/publish"
)

type keyFlags struct {
	signFlags
	role, key, pub, kms, name string
	threshold                 int
	keepEvidence              bool
}

func newKeys() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "List, generate, rotate, revoke keys; see what expires when",
		Long: `Keys shows who may sign what, and changes it. A change of root, targets, snapshot
or timestamp keys makes a new root, signed by the old threshold and the new one;
a change of a channel's or the yank role's keys is signed by the targets role.
Every step leaves a repository that verifies, so an interrupted change is simply
gone on with.

The key folder must reach the thresholds: people bring their folders together
below one, on one machine, for the time of a ceremony.`,
		Example: `  arqon keys list --repository out/catalog
  arqon keys rotate --repository out/catalog --role staging
  arqon keys revoke --repository /srv/arqon --keys /media/ceremony --role prod --key 3f2a09c1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKeysList(), newKeysGenerate(), newKeysGrant(), newKeysRevoke(), newKeysRotate(), newKeysRenew())
	return c
}

// keysCommand is what the sub-verbs share: a repository, a key folder, a role.
func keysCommand(f *keyFlags, use, short, long, example string, work func(context.Context, *publish.Repository, io.Writer) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withRepository(c.Context(), f.signFlags, func(ctx context.Context, repo *publish.Repository) error {
				return keyAnswer(work(ctx, repo, c.OutOrStdout()))
			})
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the key files (default REPOSITORY-keys)")
	jsonFlag(c, &f.json)
	return c
}

// keyAnswer explains the refusals of a change of keys.
func keyAnswer(err error) error {
	switch {
	case errors.Is(err, publish.ErrApprovals), errors.Is(err, publish.ErrNoKey):
		return no{hinted{err, "bring the folders of the people that the role names together below --keys"}}
	case errors.Is(err, publish.ErrProposal):
		return no{hinted{err, "arqon keys list shows the roles and their keys"}}
	}
	return refused(err)
}

func newKeysList() *cobra.Command {
	var f keyFlags
	c := keysCommand(&f, "list --repository DIR", "Who may sign what, which keys are here, what expires when",
		"List shows every role with its threshold, its keys (* marks those in the key\nfolder) and the day on which what it signed expires.",
		"  arqon keys list --repository out/catalog", func(ctx context.Context, repo *publish.Repository, w io.Writer) error {
			roles, err := repo.Roles(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(w, roles)
			}
			return printRoles(w, roles)
		})
	return c
}

func printRoles(w io.Writer, roles []publish.RoleStatus) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ROLE\tNEEDS\tKEYS (* HERE)\tVERSION\tEXPIRES")
	for _, r := range roles {
		var keys []string
		for _, k := range r.Keys {
			mark := ""
			if slices.Contains(r.Here, k) {
				mark = "*"
			}
			keys = append(keys, k[:min(8, len(k))]+mark)
		}
		expires := "nothing signed yet"
		if r.Version > 0 {
			expires = fmt.Sprintf("%s (%d days)", r.Expires, r.DaysLeft)
		}
		fmt.Fprintf(t, "%s\t%d of %d\t%s\t%d\t%s\n", r.Role, r.Threshold, len(r.Keys), strings.Join(keys, " "), r.Version, expires)
	}
	return t.Flush()
}

func newKeysGenerate() *cobra.Command {
	var f keyFlags
	c := &cobra.Command{
		Use:   "generate --keys DIR --name NAME",
		Short: "Make a key file that no role knows yet",
		Long: `Generate writes NAME.key (encrypted, cosign's format, mode 0600) and NAME.pub.
Hand the .pub file to the people of a ceremony: arqon keys grant --pub FILE.
With --kms URI nothing is generated: the key of a key service is looked up
through sigstore's program sigstore-kms-SERVICE, and NAME.kms holds the URI.`,
		Example: `  arqon keys generate --keys ~/arqon-keys --name prod
  arqon keys generate --keys ~/arqon-keys --name prod --kms awskms:///alias/arqon-prod`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.keys == "" || f.name == "" {
				return hinted{errors.New("no place for the key was named"), "give --keys DIR and --name NAME"}
			}
			if f.name != filepath.Base(f.name) || strings.HasPrefix(f.name, ".") {
				return hinted{fmt.Errorf("--name %q: want a plain file name", f.name), "give --keys DIR for the folder"}
			}
			k, path, err := makeKey(c.Context(), f.keys, f.name, f.kms)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(c.OutOrStdout(), keysAnswer{Key: k.ID, File: path})
			}
			fmt.Fprintf(c.OutOrStdout(), "%s\n", path)
			return nil
		},
	}
	c.Flags().StringVar(&f.keys, "keys", "", "folder for the key files")
	c.Flags().StringVar(&f.name, "name", "", "name of the key files")
	c.Flags().StringVar(&f.kms, "kms", "", "`URI` of a key in a key service")
	jsonFlag(c, &f.json)
	return c
}

func makeKey(ctx context.Context, dir, name, uri string) (*publish.Key, string, error) {
	if uri != "" {
		k, err := publish.OpenKMS(ctx, uri)
		if err != nil {
			return nil, "", hinted{err, "a service NAME needs the program sigstore-kms-NAME in PATH"}
		}
		path, err := k.WriteKMS(dir, name, uri)
		return k, path, err
	}
	ask := passphraseReader(true)
	k, err := publish.GenerateKey()
	if err != nil {
		return nil, "", err
	}
	path, err := k.WriteFiles(dir, name, func(string) ([]byte, error) { return ask() })
	return k, path, err
}

func newKeysGrant() *cobra.Command {
	var f keyFlags
	c := keysCommand(&f, "grant --repository DIR --role ROLE --pub FILE", "Let one more key sign for a role",
		"Grant adds a key by its .pub file; the role's other keys stay. --threshold N also\nchanges how many must sign.",
		"  arqon keys grant --repository /srv/arqon --keys /media/ceremony --role prod --pub dora.pub --threshold 3",
		func(ctx context.Context, repo *publish.Repository, w io.Writer) error {
			public, err := publicOf(f.pub)
			if err != nil {
				return err
			}
			if err := repo.Grant(ctx, f.role, public, f.threshold); err != nil {
				return err
			}
			if f.json {
				return printJSON(w, keysAnswer{Role: f.role, Granted: f.pub})
			}
			fmt.Fprintf(w, "granted: %s to the key of %s\n", f.role, f.pub)
			return nil
		})
	roleFlag(c, &f)
	c.Flags().StringVar(&f.pub, "pub", "", "the new key's .pub `FILE`")
	return c
}

func roleFlag(c *cobra.Command, f *keyFlags) {
	c.Flags().StringVar(&f.role, "role", "", "root, targets, snapshot, timestamp, yank or a channel")
	c.Flags().IntVar(&f.threshold, "threshold", 0, "how many keys must sign (0: as before)")
}

func publicOf(file string) (*ecdsa.PublicKey, error) {
	if file == "" {
		return nil, hinted{errors.New("no key was named"), "give --pub FILE; arqon keys generate makes one"}
	}
	return publish.ReadPublic(file)
}

func newKeysRevoke() *cobra.Command {
	var f keyFlags
	c := keysCommand(&f, "revoke --repository DIR --role ROLE --key ID", "Take a role from a key",
		`Revoke removes a key from a role; what it signed and is in force is signed again
without it first. Statements of evidence by the key stop counting, and releases
that rest on them are refused: publish without them first, or keep them with
--keep-evidence if the key was not misused.`,
		"  arqon keys revoke --repository /srv/arqon --keys /media/ceremony --role prod --key 3f2a09c1",
		func(ctx context.Context, repo *publish.Repository, w io.Writer) error {
			id, err := pickKey(ctx, repo, f.role, f.key)
			if err != nil {
				return err
			}
			if err := repo.Revoke(ctx, f.role, id, f.threshold, f.keepEvidence); err != nil {
				return err
			}
			if f.json {
				return printJSON(w, keysAnswer{Role: f.role, Revoked: id})
			}
			fmt.Fprintf(w, "revoked: %s from key %s\n", f.role, id[:8])
			return nil
		})
	roleFlag(c, &f)
	keyFlag(c, &f)
	return c
}

func keyFlag(c *cobra.Command, f *keyFlags) {
	c.Flags().StringVar(&f.key, "key", "", "the key's `ID` or its beginning")
	c.Flags().BoolVar(&f.keepEvidence, "keep-evidence", false, "statements of the old key go on counting")
}

const keyIDDigits = 64 // SHA-256 in hex

// pickKey finds one key of a role by the beginning of its id; "" means the
// role's only one.
func pickKey(ctx context.Context, repo *publish.Repository, role, name string) (string, error) {
	roles, err := repo.Roles(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(roles, func(r publish.RoleStatus) bool { return r.Role == role })
	if i < 0 {
		return "", hinted{fmt.Errorf("role %q: this repository does not have it", role), "arqon keys list shows the roles"}
	}
	var found []string
	for _, id := range roles[i].Keys {
		if strings.HasPrefix(id, name) {
			found = append(found, id)
		}
	}
	if len(found) == 0 && len(name) == keyIDDigits {
		return name, nil // perhaps one that has retired and whose statements are to go
	}
	if len(found) != 1 {
		return "", hinted{fmt.Errorf("role %s: %d of its keys begin with %q", role, len(found), name), "name one with --key; arqon keys list shows them"}
	}
	return found[0], nil
}

func newKeysRotate() *cobra.Command {
	var f keyFlags
	c := keysCommand(&f, "rotate --repository DIR --role ROLE [--key ID]", "Replace a key of a role by a new one",
		`Rotate makes a new key, grants it the role, signs again what the old key signed,
and revokes the old one. The new key file goes beside the old one. With --pub the
new key is somebody's own; with --kms it is in a key service.`,
		"  arqon keys rotate --repository out/catalog --role timestamp",
		func(ctx context.Context, repo *publish.Repository, w io.Writer) error { return rotate(ctx, repo, f, w) })
	roleFlag(c, &f)
	keyFlag(c, &f)
	c.Flags().StringVar(&f.pub, "pub", "", "the new key's .pub `FILE` (default: a new key is made)")
	c.Flags().StringVar(&f.kms, "kms", "", "`URI` of the new key in a key service")
	c.MarkFlagsMutuallyExclusive("pub", "kms")
	return c
}

func rotate(ctx context.Context, repo *publish.Repository, f keyFlags, w io.Writer) error {
	old, err := pickKey(ctx, repo, f.role, f.key)
	if err != nil {
		return err
	}
	var public *ecdsa.PublicKey
	where := f.pub
	if f.pub != "" {
		if public, err = publish.ReadPublic(f.pub); err != nil {
			return err
		}
	} else {
		dir := filepath.Dir(repo.Keys.Path(old))
		if repo.Keys.Path(old) == "" {
			return fmt.Errorf("key %.8s of role %s: %w", old, f.role, publish.ErrNoKey)
		}
		name := fmt.Sprintf("%s-%s", f.role, now().Format("20060102-150405"))
		k, path, err := makeKey(ctx, dir, name, f.kms)
		if err != nil {
			return err
		}
		repo.Keys.Add(k)
		public, where = k.Public, path
	}
	if err := repo.Grant(ctx, f.role, public, f.threshold); err != nil {
		return err
	}
	if err := repo.Revoke(ctx, f.role, old, f.threshold, f.keepEvidence); err != nil {
		return fmt.Errorf("the new key %s has the role, and the old one still has it: %w", where, err)
	}
	if f.json {
		return printJSON(w, keysAnswer{Role: f.role, Granted: where, Revoked: old})
	}
	fmt.Fprintf(w, "rotated: %s from key %s to %s\n", f.role, old[:8], where)
	return nil
}

func newKeysRenew() *cobra.Command {
	var f keyFlags
	c := keysCommand(&f, "renew --repository DIR --role ROLE", "Sign what a role has in force again, with a fresh date",
		"Renew signs the role's metadata again by every key in the folder that may. For\nsnapshot and timestamp alone, arqon publish --renew does the same.",
		"  arqon keys renew --repository /srv/arqon --keys /media/ceremony --role root",
		func(ctx context.Context, repo *publish.Repository, w io.Writer) error {
			if err := repo.Resign(ctx, f.role); err != nil {
				return err
			}
			if f.json {
				return printJSON(w, keysAnswer{Role: f.role, Renewed: true})
			}
			fmt.Fprintf(w, "renewed: %s\n", f.role)
			return nil
		})
	c.Flags().StringVar(&f.role, "role", "", "root, targets, snapshot, timestamp, yank or a channel")
	return c
}
