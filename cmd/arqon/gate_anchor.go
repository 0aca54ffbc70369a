package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/gates"
)

// anchorPath is where a study's epoch is kept.
func anchorPath(out, study string) string {
	return filepath.Join(out, "anchors", study+".ledger")
}

func newGateAnchor() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "anchor RUN",
		Short: "Pin the baseline of a judged night as the anchor of a new epoch",
		Long: `Anchor begins an epoch: from now on every night of the study also holds its
candidates to one tolerance against this baseline, and not only against the
baseline of the day, so that many promotions of "at most a little worse" cannot
add up. While the channel's newest release lists the anchor, candidates that stand
beside the baseline of the day are measured beside the anchor too. Otherwise
every promotion draws its upper limit from the tolerance, and when that is used
up nothing is promoted until a new epoch is pinned.

The anchor is kept in OUT/anchors/STUDY.ledger; a study without one is judged
against its baseline alone.`,
		Example: `  arqon gate anchor infer-0001`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := gateVerify(out, args[0]); err != nil {
				return err
			}
			n, err := readNight(out, args[0])
			if err != nil {
				return err
			}
			path := anchorPath(out, n.Study)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			epoch, err := gates.PinAnchor(path, n)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), anchoredAnswer{path, epoch, n.Run})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: epoch %d is anchored at the baseline of %s\n", path, epoch, n.Run)
			return err
		},
	}
	c.Flags().StringVar(&out, "out", "out", "where the runs are kept")
	jsonFlag(c, &asJSON)
	return c
}

// anchoredAnswer is the JSON form.
type anchoredAnswer struct {
	Ledger string `json:"ledger"`
	Epoch  int    `json:"epoch"`
	Run    string `json:"run"`
}

// lend gives a judge the pinned anchor from the channel's newest release, to be
// measured beside the candidates. Where the release does not list it (any more)
// the chain of promotions is summed instead.
func (h *handover) lend(ctx context.Context, j *gates.Judge) error {
	if j.AnchorPath == "" {
		return nil
	}
	id, err := gates.AnchorOf(j.AnchorPath)
	if err != nil {
		return err
	}
	st, err := h.repo.Status(ctx)
	if err != nil {
		return err
	}
	for _, e := range st.Releases[h.channel].Entries {
		if e.Variant.Identity != id {
			continue
		}
		b, err := bundleOf(ctx, j.Description.Space, e.Variant, h.store)
		if err != nil {
			return fmt.Errorf("the anchor %s of %s: %w", e.Variant.Name, j.AnchorPath, err)
		}
		j.Anchor = &b
		return nil
	}
	return nil
}
