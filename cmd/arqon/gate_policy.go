package main

import "github.com/spf13/cobra"

// policyVerbs are the verbs below gate that read past nights and policies.
func policyVerbs() []*cobra.Command {
	return []*cobra.Command{newGateVerify(), newGatePlan(), newGateTest(), newGateKey(), newGateAnchor(), newGateSelftest(), newGateWaive(), newGateAdopt()}
}
