package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// answer is standard output. It remembers that a write failed: an answer that
// did not arrive is none, whether the verb looked at the error or not.
type answer struct {
	w   io.Writer
	err error // the first
}

func (a *answer) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if err != nil && a.err == nil {
		a.err = err
	}
	return n, err
}

// polish gives every command what cobra's own words lack: arguments are
// counted in sentences, and what is no command is a refusal everywhere. begun
// is called when a verb starts to work.
func polish(root *cobra.Command, begun func()) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.RunE, c.Run = helpFor, nil
			c.Short = "Help about any command"
			c.Example = "  arqon help gate plan"
		case "completion":
			c.Args, c.Run = cobra.NoArgs, nil
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
			c.Example = "  source <(arqon completion bash)"
		}
	}
	each(root, func(c *cobra.Command) {
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error {
			if check == nil || check(c, args) == nil {
				return nil
			}
			return miscounted(c, args)
		}
		run := c.RunE
		if run == nil {
			return
		}
		c.RunE = func(c *cobra.Command, args []string) error {
			if c.Parent() == root { // what is below gate, adapt… is mostly about its flags
				begun()
			}
			return run(c, args)
		}
	})
}

func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		each(sub, do)
	}
}

// helpFor is help TOPIC; cobra's own answers what it does not know with a yes.
func helpFor(c *cobra.Command, topic []string) error {
	found, rest, err := c.Root().Find(topic)
	if err != nil || len(rest) > 0 && found.HasSubCommands() {
		return miscounted(found, rest)
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}

// miscounted says what is wrong with the arguments of c.
func miscounted(c *cobra.Command, args []string) error {
	name := strings.TrimPrefix(c.CommandPath(), "arqon ")
	if c.HasSubCommands() && len(args) > 0 {
		unknown := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			unknown = fmt.Errorf("%w: did you mean %s?", unknown, strings.Join(near, " or "))
		}
		return hinted{unknown, c.CommandPath() + " --help lists the commands"}
	}
	given := strings.Join(args, " ")
	usage := "usage: " + c.UseLine()
	switch {
	case len(args) == 0:
		return hinted{fmt.Errorf("%s: no argument was given", name), usage}
	case c.Args(c, nil) == nil && len(args) == 1:
		return hinted{fmt.Errorf("%s takes no argument, and 1 was given: %s", name, given), usage}
	case len(args) == 1:
		return hinted{fmt.Errorf("%s: 1 argument was given: %s", name, given), usage}
	}
	return hinted{fmt.Errorf("%s: %d arguments were given: %s", name, len(args), given), usage}
}

// told is an error as a person reads it: an interrupt by its name, and each
// line once, although two places may have met the same trouble.
func told(err error) string {
	if errors.Is(err, context.Canceled) && err.Error() == context.Canceled.Error() {
		return "interrupted"
	}
	var kept []string
	for _, line := range strings.Split(err.Error(), "\n") {
		if !strings.Contains(strings.Join(kept, "\n"), line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// untilInterrupted runs what may wait for its input for ever. When the process
// is told to end it ends: the read that is left behind ends with it.
func untilInterrupted(ctx context.Context, work func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
