package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/benchmarks/universe"
	"github.com/arqon/arqon/factory"
)

// lawHint says what may stand under law in a study.
var lawHint = "a built-in law (" + strings.Join(universe.LawNames(), ", ") + "), or a law's file beside the study: arqon study law RUN writes what a search has found"

// lawOf is the law that a study names, Gray-Scott unless it says otherwise.
func lawOf(st factory.Study) (universe.Law, error) {
	var l universe.Law
	var err error
	switch {
	case st.LawFile != nil:
		l, err = universe.DecodeLaw(st.LawFile)
		if err == nil {
			_, err = universe.Prepare(l) // here, so that the refusal names file and key
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", st.Law, err)
		}
	case st.Law != "":
		l, err = universe.LawNamed(st.Law)
	default:
		l = universe.GrayScott()
	}
	if err != nil {
		return l, hinted{st.Refuse("law", err), lawHint}
	}
	return l, nil
}

// lawFileMax bounds a law's file on a command line; as in a study.
const lawFileMax = 64 << 10

// giveLaw puts the law that a flag names into a study of no file.
func giveLaw(st *factory.Study, law string) error {
	st.Law = law
	if law == "" || slices.Contains(universe.LawNames(), law) {
		return nil
	}
	f, err := os.Open(law)
	if err != nil {
		return hinted{fmt.Errorf("--law: %w", err), lawHint}
	}
	st.LawFile, err = io.ReadAll(io.LimitReader(f, lawFileMax+1))
	if err = errors.Join(err, f.Close()); err == nil && len(st.LawFile) > lawFileMax {
		err = fmt.Errorf("--law %s: more than %d bytes", law, lawFileMax)
	}
	if err != nil {
		return hinted{err, lawHint}
	}
	return nil
}

type studyLawFlags struct{ out, context, name string }

func newStudyLaw() *cobra.Command {
	var f studyLawFlags
	c := &cobra.Command{
		Use:   "law RUN",
		Short: "The law that a search over laws has found, as a file for a night over its kernels",
		Long: `Law prints the best law that a run over the domain ` + universe.LawName + ` has found in a
context. A study of the domain ` + universe.Name + ` that names the file under law then searches
kernels for it. The law begins as the context does: with spots, or with noise.

The law is prepared as a night would prepare it: one that diverges is refused here.`,
		Example: `  arqon study law universe-law-0001 --context noise > found.json
  arqon nightly --study universe-found.yaml        # with  law: found.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return printLaw(f, args[0], c.OutOrStdout()) },
	}
	c.Flags().StringVar(&f.out, "out", defaultOut, "where the runs are kept")
	c.Flags().StringVar(&f.context, "context", "", "the `CONTEXT` in which it was found (needed if the run has several)")
	c.Flags().StringVar(&f.name, "name", "found", "what the law is called: lower-case letters, digits and dashes")
	return c
}

func printLaw(f studyLawFlags, run string, stdout io.Writer) error {
	path, err := factory.RunPath(f.out, run)
	if err != nil {
		return err
	}
	a, err := factory.ReadAccount(path)
	if err != nil {
		return err
	}
	if a.Description.Name != universe.LawName {
		return hinted{fmt.Errorf("run %s is of the domain %s, which finds no laws", a.Run, a.Description.Name), "arqon discover --study studies/universe-law.yaml finds some"}
	}
	var contexts []string
	for _, w := range a.Winners {
		if !slices.Contains(contexts, w.Context) {
			contexts = append(contexts, w.Context)
		}
	}
	if len(contexts) == 0 {
		return hinted{fmt.Errorf("run %s: its search has not ended, so it has no winners", a.Run), "arqon discover --resume or arqon nightly --resume goes on with it"}
	}
	if f.context == "" && len(contexts) == 1 {
		f.context = contexts[0]
	}
	at := slices.IndexFunc(a.Winners, func(w factory.Winner) bool { return w.Context == f.context }) // best first
	if at < 0 {
		return hinted{fmt.Errorf("--context %q: run %s found laws in %s", f.context, a.Run, strings.Join(contexts, " and ")), "--context " + contexts[0]}
	}
	l, err := universe.FoundLaw(a.Winners[at].Point, f.context, f.name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n", l.Encode())
	return err
}
