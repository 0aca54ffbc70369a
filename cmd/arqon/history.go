package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func newHistory() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "history --repository DIR",
		Short: "List a channel's releases: when, what changed, who approved",
		Long: `History reads every release that was ever committed to the channel and verifies
each under the keys that were in force at its time. A hole or a file that does
not verify is a refusal.`,
		Example: `  arqon history --repository out/catalog
  arqon history --repository /srv/arqon --channel prod --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withHistory(c.Context(), f, false, func(past []trust.Past) error {
				return printHistory(c.OutOrStdout(), past, f.json)
			})
		},
	}
	historyFlags(c, &f)
	return c
}

func historyFlags(c *cobra.Command, f *inspectFlags) {
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.channel, "channel", string(catalog.ScopeStaging), "the channel")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().BoolVar(&f.json, "json", false, "print the answer as JSON")
}

// withHistory reads a channel's history for one piece of work.
func withHistory(ctx context.Context, f inspectFlags, evidence bool, work func([]trust.Past) error) (err error) {
	in, err := openReading(f.repository, f.keys, f.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	past, err := in.client.History(ctx, f.channel, evidence)
	if err != nil {
		return refused(err)
	}
	return work(past)
}

// historyLine is one release in the JSON form.
type historyLine struct {
	Sequence  uint64           `json:"sequence"`
	Manifest  artifacts.Digest `json:"manifest"`
	Created   time.Time        `json:"created"`
	Entries   int              `json:"entries"`
	Added     int              `json:"added"`
	Removed   int              `json:"removed"`
	Changed   int              `json:"changed"`
	Baseline  uint32           `json:"baseline"`
	Approvers []string         `json:"approvers"`
	Threshold int              `json:"threshold"`
}

func printHistory(w io.Writer, past []trust.Past, asJSON bool) error {
	lines := make([]historyLine, 0, len(past))
	var before catalog.Release
	for _, p := range past {
		d := catalog.Diff(before, p.Release)
		lines = append(lines, historyLine{
			Sequence: p.Release.Sequence, Manifest: p.Manifest.Digest, Created: p.Release.Created,
			Entries: len(p.Release.Entries), Added: len(d.Added), Removed: len(d.Removed), Changed: len(d.Changed),
			Baseline: uint32(p.Release.Baseline), Approvers: p.Approvers, Threshold: p.Threshold,
		})
		before = p.Release
	}
	if asJSON {
		return printJSON(w, lines)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "RELEASE\tCREATED\tENTRIES\tDIFFERENCE\tBASELINE\tAPPROVED BY\tMANIFEST")
	for _, l := range lines {
		fmt.Fprintf(t, "%d\t%s\t%d\t+%d -%d ~%d\t%d\t%s\t%s\n", l.Sequence, l.Created.Format("2006-01-02 15:04"), l.Entries,
			l.Added, l.Removed, l.Changed, l.Baseline, approvedBy(l.Approvers, l.Threshold), l.Manifest.Short())
	}
	return t.Flush()
}

func approvedBy(keys []string, threshold int) string {
	s := ""
	for i, k := range keys {
		if i > 0 {
			s += ", "
		}
		s += k[:min(8, len(k))]
	}
	return fmt.Sprintf("%s (%d needed)", s, threshold)
}
