package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/gates/evalue"
	"github.com/arqon/arqon/gates/sim"
	"github.com/arqon/arqon/internal/seed"
)

// newGate is the parent of what the gates can do outside a night.
func newGate() *cobra.Command {
	c := &cobra.Command{
		Use:   "gate",
		Short: "Use the gates outside a night: judge foreign samples, simulate, plan, verify",
		Long: `Gate opens the decision code of the gates to the outside: the same tests that a
night promotes with, on samples of somebody else, on simulated nights, on past
runs.`,
		Example: `  arqon gate simulate --noise heavy --nights 200
  my-benchmark | arqon gate judge`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newGateJudge(), newGateSimulate())
	c.AddCommand(policyVerbs()...)
	return c
}

func newGateJudge() *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use:   "judge",
		Short: "Decide about somebody else's measurements, JSON lines in and out",
		Long: `Judge reads nights on standard input and decides about their candidates. It asks
for every measurement that it needs, and for no other:

  > {"type":"hello","protocol":"gatesim/1","seed":1}
  < {"type":"hello","name":"arqon"}
  > {"type":"night","night":0,"goal":"better","direction":"lower",
     "metric":"latency_ns","tolerance":0.02,"mde":0.03,"alpha":0.01,"candidates":[7]}
  < {"type":"measure","id":7,"arms":"ABBA"}
  > {"type":"samples","id":7,"values":[812.1,790.4,788.9,815.0]}
  < {"type":"decision","id":7,"promote":true,"estimate":-0.031}
  < {"type":"night_done"}

Each message is one line. A is the baseline and B the candidate, measured in
this order: the order is random and part of the proof. The goal is better or
noninferior, the direction lower or higher; tolerance, mde (the smallest effect
of interest) and estimate are ratios; alpha is what the night may err. Samples
that are missing, negative or no numbers cost their candidate the promotion.
Standard error tells the reasons. The end of the input is the end.`,
		Example: `  printf '{"type":"hello","protocol":"gatesim/1","seed":1}\n' | arqon gate judge
  arqon gate simulate --nights 5 --judge "arqon gate judge --quiet"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			tell := func(night int, o sim.Outcome) {
				fmt.Fprintf(c.ErrOrStderr(), "night %d candidate %d: promote %t after %d pairs: %s\n", night, o.ID, o.Promote, o.Pairs, o.Reason)
			}
			if quiet {
				tell = nil
			}
			return untilInterrupted(c.Context(), func() error { return sim.Serve(c.InOrStdin(), c.OutOrStdout(), tell) })
		},
	}
	c.Flags().BoolVar(&quiet, "quiet", false, "do not tell the reasons")
	return c
}

type simulateFlags struct {
	plan   sim.Plan
	rule   string
	judge  string
	goal   string
	seed   uint64
	json   bool
	quiet  bool
	canary bool
	watch  sim.CanaryPlan
}

func newGateSimulate() *cobra.Command {
	f := simulateFlags{plan: sim.DefaultPlan(), watch: sim.DefaultCanary()}
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Play nights whose truth is known and count what a decision rule gets wrong",
		Long: `Simulate makes nights of candidates with a known effect under a known noise, lets
a rule decide about them and counts: nights on which something harmful (worse by
more than the tolerance) or something not better was promoted, the share of the
better ones found, samples, the bias of the estimates, the coverage of the
intervals at the stop.

Rules: ours (the gates', Bonferroni on e-values), ebh and elond (the same pairs, but
promoted is what e-BH selects from a night, or e-LOND from one candidate after
another), naive (means of 10 runs), benchstat (Mann-Whitney at .05 on 10 runs),
fixed (signed rank with Bonferroni, sized for 95 % power).
Noise: ` + strings.Join(sim.Noises, ", ") + `, or all.
With --canary a canary is watched instead, by each alarm: how often harm is rolled
back in time, and how often a good canary is.
With --judge another program decides, over its standard input and output in the
protocol of arqon gate judge.`,
		Example: `  arqon gate simulate --noise heavy --nights 200
  arqon gate simulate --rule benchstat --json
  arqon gate simulate --canary --noise all
  arqon gate simulate --nights 5 --judge "./my-judge --fast"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.canary {
				return simulateCanary(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
			}
			return simulate(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.plan.Noise, "noise", f.plan.Noise, "noise `MODEL`, or all")
	fl.Float64Var(&f.plan.SD, "sd", f.plan.SD, "noise of one sample, as a ratio")
	fl.IntVar(&f.plan.Nights, "nights", f.plan.Nights, "how many nights")
	fl.IntVar(&f.plan.Candidates, "candidates", f.plan.Candidates, "candidates a night")
	fl.Float64Var(&f.plan.Harmful, "harmful", f.plan.Harmful, "share of harmful candidates")
	fl.Float64Var(&f.plan.Improved, "better", f.plan.Improved, "share of better candidates")
	fl.Float64Var(&f.plan.HarmBy, "harm-by", f.plan.HarmBy, "how much worse the harmful ones are")
	fl.Float64Var(&f.plan.ImproveBy, "better-by", f.plan.ImproveBy, "how much better the better ones are")
	fl.Float64Var(&f.plan.Tolerance, "tolerance", f.plan.Tolerance, "how much worse is not harmful yet")
	fl.Float64Var(&f.plan.MinEffect, "mde", f.plan.MinEffect, "smallest effect of interest")
	fl.Float64Var(&f.plan.Alpha, "alpha", f.plan.Alpha, "what a night may err")
	fl.Uint64Var(&f.seed, "seed", uint64(f.plan.Seed), "seed of everything")
	fl.StringVar(&f.goal, "goal", "better", "better or noninferior")
	fl.StringVar(&f.rule, "rule", "ours", "`RULE` that decides, or all")
	fl.StringVar(&f.judge, "judge", "", "`COMMAND` that decides instead")
	fl.BoolVar(&f.canary, "canary", false, "watch a canary instead of playing nights")
	fl.IntVar(&f.watch.Runs, "runs", f.watch.Runs, "canaries of each kind")
	fl.IntVar(&f.watch.HarmAt, "harm-at", f.watch.HarmAt, "pair at which a harmful canary begins to harm")
	fl.IntVar(&f.watch.Within, "within", f.watch.Within, "pairs in which harm must be noticed")
	fl.BoolVar(&f.json, "json", false, "print the results as JSON")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
	c.MarkFlagsMutuallyExclusive("rule", "judge", "canary")
	return c
}

func simulate(ctx context.Context, f simulateFlags, stdout, stderr io.Writer) error {
	switch f.goal {
	case "better":
		f.plan.Goal = evalue.Better
	case "noninferior":
		f.plan.Goal = evalue.NotWorse
	default:
		return fmt.Errorf("--goal %q: want better or noninferior", f.goal)
	}
	f.plan.Seed = seed.Root(f.seed)
	noises, rules := noisesOf(f), []string{f.rule}
	if f.rule == "all" {
		rules = sim.Rules
	}
	st := newStory(stderr, f.quiet)
	defer st.close()
	results := []sim.Result{}
	for _, noise := range noises {
		for _, rule := range rules {
			p := f.plan
			p.Noise = noise
			step := func(done int) { st.step(noise+" "+rule, done, p.Nights, "") }
			r, err := playOne(ctx, p, rule, f.judge, stderr, step)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
	}
	st.close()
	if f.json {
		return printJSON(stdout, results)
	}
	printResults(stdout, results)
	return nil
}

func playOne(ctx context.Context, p sim.Plan, rule, judge string, stderr io.Writer, step func(int)) (sim.Result, error) {
	if judge == "" {
		return sim.Play(ctx, p, rule, step)
	}
	words := strings.Fields(judge)
	if len(words) == 0 {
		return sim.Result{}, errors.New("--judge: no command")
	}
	child := exec.CommandContext(ctx, words[0], words[1:]...)
	child.Stderr = stderr
	child.WaitDelay = 5 * time.Second
	in, err := child.StdinPipe()
	if err != nil {
		return sim.Result{}, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return sim.Result{}, err
	}
	if err := child.Start(); err != nil {
		return sim.Result{}, fmt.Errorf("--judge: %w", err)
	}
	r, err := sim.Drive(ctx, p, out, in, step)
	err = errors.Join(err, in.Close())
	if werr := child.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("--judge: %s: %w", words[0], werr))
	}
	return r, err
}

func printResults(w io.Writer, results []sim.Result) {
	fmt.Fprintf(w, "%-10s %-10s %7s  %9s %9s %7s  %8s %8s %8s  %7s %8s\n",
		"noise", "rule", "nights", "P(harm)", "P(false)", "power", "samples", "of fixed", "at mde", "bias pt", "covered")
	for _, r := range results {
		covered := "-"
		if r.Covered > 0 {
			covered = fmt.Sprintf("%.2f %%", 100*r.Covered)
		}
		fmt.Fprintf(w, "%-10s %-10s %7d  %7.2f %% %7.2f %% %5.1f %%  %8.1f %6.0f %% %6.0f %%  %+7.2f %8s\n",
			r.Noise, r.Rule, r.Nights, 100*float64(r.NightsHarmful)/float64(r.Nights), 100*float64(r.NightsFalse)/float64(r.Nights),
			100*r.Power, r.Samples, 100*r.FixedShare, 100*r.FixedShareAtEffect, r.Bias, covered)
	}
}

func noisesOf(f simulateFlags) []string {
	if f.plan.Noise == "all" {
		return sim.Noises
	}
	return []string{f.plan.Noise}
}

func simulateCanary(ctx context.Context, f simulateFlags, stdout, stderr io.Writer) error {
	st := newStory(stderr, f.quiet)
	defer st.close()
	results := []sim.CanaryResult{}
	noises := noisesOf(f)
	for _, noise := range noises {
		for _, alarm := range sim.Alarms {
			p := f.watch
			p.Noise, p.SD, p.HarmBy, p.Tolerance, p.MinEffect, p.Seed = noise, f.plan.SD, f.plan.HarmBy, f.plan.Tolerance, f.plan.MinEffect, seed.Root(f.seed)
			r, err := sim.PlayCanary(ctx, p, alarm)
			if err != nil {
				return err
			}
			results = append(results, r)
			st.step("canaries", len(results), len(noises)*len(sim.Alarms), noise+" "+alarm)
		}
	}
	st.close()
	if f.json {
		return printJSON(stdout, results)
	}
	fmt.Fprintf(stdout, "%-10s %-9s %6s  %14s %7s  %6s %9s %13s\n", "noise", "alarm", "runs", "noticed", "delay", "false", "at line", "all tolerance")
	for _, r := range results {
		fmt.Fprintf(stdout, "%-10s %-9s %6d  %6.2f %% in %2d %7.1f  %6d %9d %13d\n", r.Noise, r.Alarm, r.Runs, 100*r.Noticed, r.Within, r.Delay, r.False, r.FalseEdge, r.Edge)
	}
	return nil
}
