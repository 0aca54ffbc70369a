package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
)

func newDiff() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "diff --repository DIR [A] [B]",
		Short: "Show what differs between two releases of a channel",
		Long: `Diff compares release A with release B of a channel, by default the last but one
with the last; with A alone, A with the last. Exit 0 means no difference, 1 that
there is one.`,
		Example: `  arqon diff --repository out/catalog
  arqon diff --repository /srv/arqon --channel prod 9 12`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return withHistory(c.Context(), f, false, func(past []trust.Past) error {
				a, b, err := twoReleases(past, args)
				if err != nil {
					return err
				}
				return printDiff(c.OutOrStdout(), catalog.Diff(a, b), f.json)
			})
		},
	}
	historyFlags(c, &f)
	return c
}

// twoReleases finds what is to be compared; release 0 is "nothing yet".
func twoReleases(past []trust.Past, args []string) (a, b catalog.Release, err error) {
	last := uint64(len(past))
	numbers := []uint64{last - 1, last}
	for i, text := range args {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n > last {
			return a, b, hinted{fmt.Errorf("%q is not a release of this channel", text), fmt.Sprintf("there are releases 1 to %d; arqon history lists them", last)}
		}
		numbers[i] = n
	}
	release := func(n uint64) catalog.Release {
		if n == 0 {
			return catalog.Release{}
		}
		return past[n-1].Release
	}
	return release(numbers[0]), release(numbers[1]), nil
}

// difference is the JSON form.
type difference struct {
	Old           uint64          `json:"old"`
	New           uint64          `json:"new"`
	Same          bool            `json:"same"`
	Added         []differentLine `json:"added"`
	Removed       []differentLine `json:"removed"`
	Changed       []differentLine `json:"changed"`
	OldBaseline   uint32          `json:"old_baseline"`
	NewBaseline   uint32          `json:"new_baseline"`
	PolicyChanged bool            `json:"policy_changed"`
	Repointed     []uint32        `json:"repointed"` // ids that mean something else now: never right
}

func differenceOf(d catalog.Difference) difference {
	out := difference{
		Old: d.OldSequence, New: d.NewSequence, Same: d.Empty(), OldBaseline: uint32(d.OldBaseline),
		NewBaseline: uint32(d.NewBaseline), PolicyChanged: d.PolicyChanged, Repointed: []uint32{},
		Added: differentLines(d.Added), Removed: differentLines(d.Removed), Changed: differentLines(d.Changed),
	}
	for _, id := range d.Repointed {
		out.Repointed = append(out.Repointed, uint32(id))
	}
	return out
}

type differentLine struct {
	ID     uint32   `json:"id"`
	Name   string   `json:"name"`
	Fields []string `json:"fields,omitempty"`
}

func printDiff(w io.Writer, d catalog.Difference, asJSON bool) error {
	if asJSON {
		if err := printJSON(w, differenceOf(d)); err != nil {
			return err
		}
	} else {
		printDifference(w, d)
	}
	if !d.Empty() {
		return no{fmt.Errorf("release %d differs from release %d", d.NewSequence, d.OldSequence)}
	}
	return nil
}

func differentLines(changes []catalog.Change) []differentLine {
	out := []differentLine{}
	for _, c := range changes {
		e := c.New
		if e == nil {
			e = c.Old
		}
		out = append(out, differentLine{ID: uint32(c.ID), Name: e.Variant.Name, Fields: c.Fields})
	}
	return out
}
