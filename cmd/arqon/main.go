// Command arqon finds better variants of a system offline, proves them, signs
// them into a catalog, and runs them inside bounds.
//
// Each verb is one file and a thin caller of one room: discover (factory),
// nightly (factory and gates), report (gates/report), init, sign, publish,
// inspect (catalog/publish), verify (catalog/trust), run (runtime). Standard output carries the answer,
// standard error the story; exit 0 means yes, 1 no, 2 could not answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitYes      = 0
	exitNo       = 1
	exitCouldNot = 2
)

// version is stamped by the build; a development build says so.
var version = "0.1.0-dev"

// no is an answer of "no": the command worked and the answer is a refusal.
type no struct{ err error }

func (n no) Error() string { return n.err.Error() }
func (n no) Unwrap() error { return n.err }

func main() { os.Exit(Main()) }

// Main runs the command line of the process and returns its exit code; the
// scripts in testdata call it under the name arqon.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	answers := &answer{w: stdout}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(answers)
	root.SetErr(stderr)
	started := false // before that an error is about how the command was called
	polish(root, func() { started = true })
	complete(root)
	c, err := root.ExecuteContextC(ctx)
	if answers.err != nil && !errors.Is(err, answers.err) {
		err = errors.Join(err, answers.err)
	}
	if err == nil {
		return exitYes
	}
	fmt.Fprintf(stderr, "arqon: %s\n", told(err))
	h := hint(err)
	if h == "" && !started {
		h = c.CommandPath() + " --help shows the flags and an example"
	}
	if h != "" {
		fmt.Fprintf(stderr, "hint: %s\n", h)
	}
	var refusal no
	if errors.As(err, &refusal) && answers.err == nil {
		return exitNo
	}
	return exitCouldNot
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "arqon",
		Short: "Find better variants offline, prove them, sign them, and run them inside bounds",
		Long: `Arqon finds better variants of a system offline, proves them, signs them into a
catalog, and lets a small runtime choose among them at machine speed, inside
bounds it cannot leave.

  discover ▶ gate ▶ sign ▶ publish ▶ verify ▶ swap ▶ adapt ▶ evidence`,
		Example: `  arqon init --repository out/catalog --solo
  arqon nightly --study studies/infer.yaml
  arqon report infer-0001 --html report.html
  arqon verify --repository out/catalog
  arqon run --repository out/catalog --channel staging`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hinted{err, fmt.Sprintf("%s --help shows the flags and an example", c.CommandPath())}
	})
	root.AddCommand(
		newInit(), newDiscover(), newNightly(), newReport(), newSign(), newPublish(),
		newVerify(), newInspect(), newRun(), newServe(), newLoad(), newGate(), newDoctor(),
		newYank(), newPromote(), newRollback(), newHistory(), newDiff(), newKeys(),
		newMirror(), newExport(), newImport(), newAudit(), newGC(),
		newAdapt(), newReplay(), newLog(), newStudy(), newDomain(),
	)
	return root
}
