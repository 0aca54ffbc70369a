package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
)

// runsListedMax is how many runs a shell is offered.
const runsListedMax = 1000

// complete tells the shell what may stand where: runs by name, built-in
// domains, channels. Everything else is a file, as shells assume.
func complete(root *cobra.Command) {
	runs := []string{"report", "study show", "study law", "gate verify", "gate anchor", "gate test"}
	each(root, func(c *cobra.Command) {
		switch path := strings.TrimPrefix(c.CommandPath(), root.Name()+" "); {
		case slices.Contains(runs, path):
			c.ValidArgsFunction = runNames
		case path == "domain check" || path == "domain serve":
			c.ValidArgs = strings.Split(builtIn, ", ")
		}
		for flag, names := range map[string]cobra.CompletionFunc{"resume": runNames, "diff": runNames, "channel": channelNames, "kind": kindNames, "law": lawNames} {
			if c.Flags().Lookup(flag) == nil {
				continue
			}
			if err := c.RegisterFlagCompletionFunc(flag, names); err != nil {
				panic(err) // twice for one flag: a mistake of ours
			}
		}
	})
}

// runNames lists the runs below --out; a directory or a report may stand there too.
func runNames(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	out := defaultOut
	if f := c.Flags().Lookup("out"); f != nil {
		out = f.Value.String()
	}
	entries, err := os.ReadDir(filepath.Join(out, "runs"))
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), begun) && len(names) < runsListedMax {
			names = append(names, e.Name())
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

func channelNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{string(catalog.ScopeStaging), string(catalog.ScopeProd)}, cobra.ShellCompDirectiveNoFileComp
}

func kindNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return runtime.Kinds(), cobra.ShellCompDirectiveNoFileComp
}

// lawNames are the built-in laws; a file may stand there too.
func lawNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return universe.LawNames(), cobra.ShellCompDirectiveDefault
}
