package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/gates"
)

func newAudit() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "audit --repository COPY --root FILE",
		Short: "Prove, offline, that every id ever released had its approvals and all gates",
		Long: `Audit needs a copy of the repository and the root that you believe, and nothing
else. It holds every commit against the transparency log, goes through every
release of the channel, from the first one on, under the keys that were in force
at its time, and checks for every id that enough distinct approvers signed and
that a signed report shows each gate passed in the contexts that the variant
serves. The baseline needs them in one context: it is there as what others were
compared with.

Exit 0 means that all of it is proved; exit 1 names the first thing that is not.`,
		Example: `  arqon audit --repository /mnt/copy --root root.json
  arqon audit --repository out/catalog --channel staging --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withHistory(c.Context(), f, true, func(past []trust.Past) error {
				return audit(past, f, c.OutOrStdout())
			})
		},
	}
	historyFlags(c, &f)
	c.Flags().Lookup("channel").DefValue = string(catalog.ScopeProd)
	f.channel = string(catalog.ScopeProd)
	return c
}

// proof is what is known about one id that was ever released.
type proof struct {
	ID        catalog.VariantID `json:"id"`
	Name      string            `json:"name"`
	Release   uint64            `json:"first_release"`
	Baseline  bool              `json:"baseline"`
	Approvers []string          `json:"approvers"`
	Threshold int               `json:"threshold"`
	Contexts  []string          `json:"contexts"` // those that it serves and that are proved
	Missing   string            `json:"missing,omitempty"`
}

// proved gates are those that a report can show; the sixth, approval, is the
// threshold of the role that signed the release.
var provedGates = []string{
	gates.GateCorrectness, gates.GateEnvelope, gates.GateRobustness, gates.GateRegression, gates.GateCanary,
}

func audit(past []trust.Past, f inspectFlags, stdout io.Writer) error {
	var proofs []proof
	missing := 0
	seen := map[catalog.VariantID]bool{}
	for _, p := range past {
		for i, e := range p.Release.Entries {
			if seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			x := prove(p, e, p.Evidence[i])
			if x.Missing != "" {
				missing++
			}
			proofs = append(proofs, x)
		}
	}
	if f.json {
		if err := printJSON(stdout, map[string]any{"channel": f.channel, "releases": len(past), "ids": proofs, "proved": missing == 0}); err != nil {
			return err
		}
	} else if err := printProofs(stdout, f.channel, len(past), proofs); err != nil {
		return err
	}
	if missing > 0 {
		return no{hinted{fmt.Errorf("%d of %d ids are not proved", missing, len(proofs)), "yank them, or ask who approved them"}}
	}
	return nil
}

// prove looks for what an entry needs in its own release: later ones repeat it.
func prove(p trust.Past, e catalog.Entry, found trust.EntryEvidence) proof {
	x := proof{
		ID: e.ID, Name: e.Variant.Name, Release: p.Release.Sequence, Baseline: e.Reference,
		Approvers: p.Approvers, Threshold: p.Threshold, Contexts: []string{},
	}
	if len(p.Approvers) < p.Threshold {
		x.Missing = fmt.Sprintf("%d of %d approvals", len(p.Approvers), p.Threshold)
		return x
	}
	for _, c := range e.Envelope.Contexts {
		gate, err := unproved(e, c, found.Reports)
		switch {
		case err != nil:
			x.Missing = err.Error()
			return x
		case gate == "":
			x.Contexts = append(x.Contexts, c)
		case !e.Reference && x.Missing == "":
			x.Missing = fmt.Sprintf("gate %s in context %s", gate, c)
		}
	}
	if x.Missing == "" && len(x.Contexts) == 0 {
		x.Missing = "a passing report of any context"
	}
	return x
}

// unproved returns the first gate that no signed report shows passed by the
// entry in the context, or "".
func unproved(e catalog.Entry, c string, statements []trust.Statement) (string, error) {
	gate := provedGates[0]
	for _, s := range statements {
		var report statement
		if err := json.Unmarshal(s.Predicate, &report); err != nil {
			return "", errors.New("a report that can be read")
		}
		for _, r := range report.Candidates {
			if r.Identity != e.Variant.Identity || r.Context != c {
				continue
			}
			i := slices.IndexFunc(provedGates, func(g string) bool { return !passed(r.Findings, g) })
			if i < 0 {
				return "", nil
			}
			gate = provedGates[i]
		}
	}
	return gate, nil
}

// passed reports whether the gate spoke and every time said yes.
func passed(findings []gates.Finding, gate string) bool {
	spoke := false
	for _, x := range findings {
		if x.Gate != gate {
			continue
		}
		if x.Outcome != gates.Pass {
			return false
		}
		spoke = true
	}
	return spoke
}

func printProofs(w io.Writer, channel string, releases int, proofs []proof) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tSINCE\tAPPROVED BY\tALL GATES IN\tMISSING")
	for _, p := range proofs {
		name := p.Name
		if p.Baseline {
			name += " (baseline)"
		}
		fmt.Fprintf(t, "%d\t%s\trelease %d\t%s\t%d contexts\t%s\n", p.ID, name, p.Release, approvedBy(p.Approvers, p.Threshold), len(p.Contexts), p.Missing)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %d releases, %d ids\n", channel, releases, len(proofs))
	return nil
}
