package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
)

type planFlags struct {
	study, policy  string
	noise          float64
	candidates     int
	schema, asJSON bool
}

// plannedNoise is what a plan shows when nobody says how loud the machine is.
var plannedNoise = []float64{.005, .01, .02, .05, .1}

// plannedCandidates is registered a night when nobody says how many.
const plannedCandidates = 20

func newGatePlan() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a policy will cost and what it cannot see, before it is adopted",
		Long: `Plan simulates a policy's decisions at its smallest effect of interest: how often
the effect is found within the cap (power), after how many pairs, which effects
are more likely missed than not (the blind spot), and how many pairs a night
will measure. A policy whose cap cannot reach 80 % power is called underpowered:
the gates would refuse to start.

The noise is the standard deviation of one pair's log ratio of identical code,
.02 for 2 %; "arqon report" shows it for every night. Without it a table is
printed. Exit 0: powered. Exit 1: underpowered.`,
		Example: `  arqon gate plan --study studies/infer.yaml --noise 0.02
  arqon gate plan --policy strict.yaml --candidates 200
  arqon gate plan --schema`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.schema {
				_, err := c.OutOrStdout().Write(gates.PolicySchema())
				return err
			}
			return gatePlan(f, c.Flags().Changed("noise"), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.study, "study", "", "plan the policy of this study `FILE`")
	c.Flags().StringVar(&f.policy, "policy", "", "plan this policy `FILE`")
	c.Flags().Float64Var(&f.noise, "noise", 0, "standard deviation of one pair's log ratio")
	c.Flags().IntVar(&f.candidates, "candidates", 0, "registered a night, references included (default: the study's, or 20)")
	c.Flags().BoolVar(&f.schema, "schema", false, "print the JSON schema of a policy")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the plan as JSON")
	c.MarkFlagsMutuallyExclusive("study", "policy", "schema")
	return c
}

func gatePlan(f planFlags, noiseGiven bool, w io.Writer) error {
	p, k, err := plannedPolicy(f)
	if err != nil {
		return err
	}
	if f.candidates != 0 {
		k = f.candidates
	}
	noises := plannedNoise
	if noiseGiven {
		noises = []float64{f.noise}
	}
	var plans []gates.PolicyPlan
	for _, sd := range noises {
		plan, err := gates.PlanPolicy(p, k, sd)
		if err != nil {
			return err
		}
		plans = append(plans, plan)
	}
	if f.asJSON {
		err = printJSON(w, plans)
	} else {
		err = sayPlans(w, p, plans)
	}
	if err == nil && noiseGiven && plans[0].Underpower {
		return no{hinted{fmt.Errorf("underpowered: %d pairs find an effect of %g %% in only %.0f %% of nights, want 80 %%", p.PairsMax, 100*p.MinEffect, 100*plans[0].Power), raiseWords(plans[0])}}
	}
	return err
}

func raiseWords(p gates.PolicyPlan) string {
	if p.Raise == 0 {
		return "no cap up to 10,000 pairs is enough: raise min_effect, or measure on a quieter machine"
	}
	return fmt.Sprintf("pairs_max: %d would be enough; or raise min_effect, or measure on a quieter machine", p.Raise)
}

func plannedPolicy(f planFlags) (gates.Policy, int, error) {
	switch {
	case f.policy != "":
		p, err := factory.LoadPolicy(f.policy)
		return p, plannedCandidates, err
	case f.study != "":
		st, err := factory.LoadStudy(f.study)
		if err != nil {
			return gates.Policy{}, 0, err
		}
		if len(st.Contexts) == 0 {
			return st.Policy, plannedCandidates, nil
		}
		return st.Policy, len(st.Contexts) * (st.Candidates + 1), nil
	}
	return gates.DefaultPolicy(), plannedCandidates, nil
}

func sayPlans(w io.Writer, p gates.Policy, plans []gates.PolicyPlan) error {
	var b strings.Builder
	first := plans[0]
	fmt.Fprintf(&b, "policy %s: %d candidates a night, alpha %.3g a night (%d nights a year), an e-value of %.4g promotes\n",
		first.Policy.Short(), first.K, first.AlphaNight, first.Nights, first.Bar)
	fmt.Fprintf(&b, "smallest effect of interest %g %%, cap %d pairs a candidate, nothing can cross before pair %d\n\n", 100*p.MinEffect, p.PairsMax, first.PairsFewest)
	fmt.Fprintf(&b, "%10s  %6s  %12s  %11s  %12s  %12s\n", "noise/pair", "power", "pairs to 80%", "blind below", "night, pairs", "at most")
	for _, x := range plans {
		pairs, spot := "over the cap", "everything"
		if x.Pairs80 > 0 {
			pairs = fmt.Sprint(x.Pairs80)
		}
		if x.BlindSpot != nil {
			spot = fmt.Sprintf("%.2f %%", 100**x.BlindSpot)
		}
		mark := ""
		if x.Underpower {
			mark = "  underpowered"
		}
		fmt.Fprintf(&b, "%8.2f %%  %4.0f %%  %12s  %11s  %12d  %12d%s\n", 100*x.PairSD, 100*x.Power, pairs, spot, x.Expected, x.PairsCap, mark)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newGateTest() *cobra.Command {
	var out, policy string
	var asJSON bool
	c := &cobra.Command{
		Use:   "test --policy FILE RUN...",
		Short: "Say which past verdicts another policy would change",
		Long: `Test replays judged nights under another policy, from their raw samples. Where
the policy asks for what was not measured, for instance more pairs for a higher
bar, the answer is UNKNOWN, never a guess. Controls, noise floors and approvals
stand as they were recorded.

It also lists the fields in which the policy protects less than the one that
each night followed. Every night is verified first. Exit 0: no verdict changes.
Exit 1: some would, or are unknown.`,
		Example: `  arqon gate test --policy strict.yaml infer-0001 infer-0002
  arqon gate test --policy strict.yaml infer-0001 --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if policy == "" {
				return hinted{errors.New("no policy was named"), "arqon gate test --policy FILE RUN...; arqon gate plan --schema prints the form of a policy"}
			}
			p, err := factory.LoadPolicy(policy)
			if err != nil {
				return err
			}
			return gateTest(out, p, args, asJSON, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&out, "out", "out", "where the runs are kept")
	c.Flags().StringVar(&policy, "policy", "", "the policy `FILE` to try")
	c.Flags().BoolVar(&asJSON, "json", false, "print every verdict as JSON")
	return c
}

// tested is one night under another policy.
type tested struct {
	Run      string         `json:"run"`
	Looser   []string       `json:"looser"`
	Verdicts []gates.Change `json:"verdicts"`
}

func gateTest(out string, p gates.Policy, runs []string, asJSON bool, w io.Writer) error {
	var all []tested
	changed, total := 0, 0
	for _, name := range runs {
		if _, err := gateVerify(out, name); err != nil {
			return err
		}
		n, err := readNight(out, name)
		if err != nil {
			return err
		}
		changes, err := gates.Rejudge(n, p)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range changes {
			total++
			if c.Differs() {
				changed++
			}
		}
		all = append(all, tested{Run: n.Run, Looser: orNone(n.Policy.Looser(p)), Verdicts: changes})
	}
	var err error
	if asJSON {
		err = printJSON(w, all)
	} else {
		err = sayTested(w, all, changed, total)
	}
	if err == nil && changed > 0 {
		return no{fmt.Errorf("%d of %d verdicts would change or are unknown", changed, total)}
	}
	return err
}

func orNone(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func sayTested(w io.Writer, all []tested, changed, total int) error {
	var b strings.Builder
	for _, x := range all {
		for _, l := range x.Looser {
			fmt.Fprintf(&b, "%s: protects less: %s\n", x.Run, l)
		}
		for _, c := range x.Verdicts {
			if c.Differs() {
				fmt.Fprintf(&b, "%s: %s (%s): %s at %s becomes %s at %s: %s\n", c.Run, c.Name, c.Context, c.Was, c.WasGate, c.Is, c.IsGate, c.Why)
			}
		}
	}
	fmt.Fprintf(&b, "%d of %d verdicts stay as they are\n", total-changed, total)
	_, err := io.WriteString(w, b.String())
	return err
}
