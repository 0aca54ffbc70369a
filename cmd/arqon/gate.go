package main

import "github.com/spf13/cobra"

// newGate is the parent of what the gates can do outside a night.
func newGate() *cobra.Command {
	c := &cobra.Command{
		Use:   "gate",
		Short: "Use the gates outside a night: judge foreign samples, simulate, plan, verify",
		Long: `Gate opens the decision code of the gates to the outside: the same tests that a
night promotes with, on samples of somebody else, on simulated nights, on past
runs.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(policyVerbs()...)
	return c
}
