package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

type inspectFlags struct {
	repository, keys, channel, root string
	json                            bool
}

func newInspect() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect --repository DIR",
		Short: "Show a channel's release: entries, envelopes, curves, evidence, what changed",
		Example: `  arqon inspect --repository out/catalog
  arqon inspect --repository out/catalog --channel prod --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return inspect(c.Context(), f, c.OutOrStdout()) },
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.channel, "channel", "staging", "the channel")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().BoolVar(&f.json, "json", false, "print the manifest as JSON")
	return c
}

const manifestBytesMax = 64 << 20

func inspect(ctx context.Context, f inspectFlags, stdout io.Writer) (err error) {
	in, err := openReading(f.repository, f.keys, f.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	rep, err := in.client.VerifyAll(ctx, f.channel)
	if err != nil {
		return refused(err)
	}
	r := rep.Releases[0]
	if f.json {
		return printJSON(stdout, r.Release)
	}
	before, err := previous(ctx, in.store, r.Release)
	if err != nil {
		return err
	}
	printRelease(stdout, r)
	printEntries(stdout, r.Release)
	fmt.Fprintln(stdout)
	printDifference(stdout, catalog.Diff(before, r.Release))
	return nil
}

// previous reads the manifest that the release replaced; its digest is signed.
func previous(ctx context.Context, store artifacts.Store, r catalog.Release) (catalog.Release, error) {
	if r.Previous == "" {
		return catalog.Release{}, nil
	}
	name := trust.TargetName(trust.ManifestTarget(r.Channel), r.Previous)
	b, err := store.Read(ctx, name, manifestBytesMax)
	if errors.Is(err, artifacts.ErrNotFound) {
		return catalog.Release{}, nil // collected: the difference is against nothing
	}
	if err != nil {
		return catalog.Release{}, err
	}
	if artifacts.DigestOf(b) != r.Previous {
		return catalog.Release{}, no{fmt.Errorf("%s: %w", name, artifacts.ErrCorrupt)}
	}
	return catalog.ReadRelease(ctx, b, artifacts.Blobs{Store: store})
}

func printRelease(w io.Writer, rr trust.ReleaseReport) {
	r := rr.Release
	fmt.Fprintf(w, "%s release %d of domain %s\n", r.Channel, r.Sequence, r.Domain)
	fmt.Fprintf(w, "manifest  %s\ncreated   %s, expires %s\nbaseline  %d\napproved  %s signed, %d needed\nguards    ",
		rr.Manifest, r.Created.Format("2006-01-02 15:04"), r.Expires.Format("2006-01-02 15:04"), r.Baseline, count(len(rr.Approvers), "key", "keys"), rr.Threshold)
	var guards []string
	for _, g := range r.Policy.Guardrails {
		if g.Min != nil {
			guards = append(guards, fmt.Sprintf("%s ≥ %.4g in %s", g.Metric, *g.Min, g.Context))
		}
		if g.Max != nil {
			guards = append(guards, fmt.Sprintf("%s ≤ %.4g in %s", g.Metric, *g.Max, g.Context))
		}
	}
	fmt.Fprintf(w, "%s\n\n", cmp.Or(strings.Join(guards, "; "), "none"))
}

func printEntries(w io.Writer, r catalog.Release) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tTYPE\tSERVES\tBYTES\tP50\tP99\tSHOWN TO CHANGE\tEVIDENCE")
	for _, e := range r.Entries {
		bytes := int64(0)
		for _, a := range e.Variant.Artifacts {
			bytes += a.Size
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%s\t%s\t%d\n", e.ID, e.Variant.Name, e.Variant.Type,
			strings.Join(e.Envelope.Contexts, ","), bytes, latency(e.Curves), shown(e), len(e.Evidence))
	}
	if err := t.Flush(); err != nil {
		return // the terminal went away
	}
	for i := range r.Entries {
		printWaivers(w, &r.Entries[i])
	}
}

// latency is the first curve as two columns.
func latency(curves []catalog.LatencyCurve) string {
	if len(curves) == 0 {
		return "-\t-"
	}
	return fmt.Sprintf("%.1f µs\t%.1f µs", curves[0].P50NS/1e3, curves[0].P99NS/1e3)
}

// shown is what the success metric of each context was shown to be.
func shown(e catalog.Entry) string {
	if e.Reference {
		return "baseline"
	}
	seen := map[string]bool{}
	var out []string
	for _, x := range e.Expectations { // the success metric comes first in each context
		if seen[x.Context] {
			continue
		}
		seen[x.Context] = true
		if x.Scale == "difference" {
			out = append(out, fmt.Sprintf("%s %+.3f [%+.3f, %+.3f]", x.Metric, x.Change, x.Lower, x.Upper))
		} else {
			out = append(out, fmt.Sprintf("%s %+.1f %% [%+.1f, %+.1f]", x.Metric, 100*x.Change, 100*x.Lower, 100*x.Upper))
		}
	}
	return strings.Join(out, "; ")
}

// printWaivers says what an entry was let through with.
func printWaivers(w io.Writer, e *catalog.Entry) {
	for _, x := range e.Waivers {
		what := ""
		if t := x.Waiver.Tolerance; t != nil {
			what = fmt.Sprintf("tolerance %g", *t)
		}
		if l := x.Waiver.Limit; l != nil {
			what = fmt.Sprintf("limit %g", *l)
		}
		fmt.Fprintf(w, "      %d was let through %s with a waiver: %s %s until %s: %s\n", e.ID, x.Waiver.Context, x.Waiver.Metric, what, x.Waiver.Expires.Format(time.DateOnly), x.Waiver.Reason)
	}
}

func printDifference(w io.Writer, d catalog.Difference) {
	if d.Empty() {
		fmt.Fprintf(w, "no difference to release %d\n", d.OldSequence)
		return
	}
	if d.OldSequence == 0 {
		fmt.Fprintln(w, "against nothing: this is the first release")
	} else {
		fmt.Fprintf(w, "against release %d:\n", d.OldSequence)
	}
	for _, c := range d.Added {
		fmt.Fprintf(w, "  + %d %s (%s) for %s\n", c.ID, c.New.Variant.Name, c.New.Variant.Type, strings.Join(c.New.Envelope.Contexts, ", "))
		printWaivers(w, c.New)
	}
	for _, c := range d.Removed {
		fmt.Fprintf(w, "  - %d %s\n", c.ID, c.Old.Variant.Name)
	}
	for _, c := range d.Changed {
		fmt.Fprintf(w, "  ~ %d %s: %s\n", c.ID, c.New.Variant.Name, strings.Join(c.Fields, ", "))
		printWaivers(w, c.New)
	}
	if d.OldBaseline != d.NewBaseline {
		fmt.Fprintf(w, "  baseline %d -> %d\n", d.OldBaseline, d.NewBaseline)
	}
	if d.PolicyChanged {
		fmt.Fprintln(w, "  the online policy changes")
	}
	for _, id := range d.Repointed {
		fmt.Fprintf(w, "  !! id %d changes its meaning: refuse this\n", id)
	}
}
