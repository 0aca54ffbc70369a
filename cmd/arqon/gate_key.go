package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog/publish"
)

func newGateKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE.key",
		Short: "Make the key pair that signs charges on the error budget",
		Long: `Key writes FILE.key (encrypted, cosign's format) and FILE.pub. While
` + budgetVariable + ` names FILE.key, every night signs its charge on the year's error
budget, and refuses a ledger with a charge that this key did not sign after the
first one that it did.`,
		Example: `  arqon gate key out/budget.key
  ` + budgetVariable + `=out/budget.key arqon nightly --study studies/infer.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, file := filepath.Split(args[0])
			name, ok := strings.CutSuffix(file, ".key")
			if !ok || name == "" {
				return hinted{fmt.Errorf("%q does not end in .key", args[0]), "arqon gate key out/budget.key"}
			}
			k, err := publish.GenerateKey()
			if err != nil {
				return err
			}
			if dir == "" {
				dir = "."
			}
			pass := passphraseReader(true)
			path, err := k.WriteFiles(dir, name, func(string) ([]byte, error) { return pass() })
			if err != nil {
				return errors.Join(errors.New("no key was made"), err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: key %.12s\n", path, k.ID)
			return err
		},
	}
}
