package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
)

const defaultOut = "out"

// searchFlags are those of every verb that searches.
type searchFlags struct {
	study, resume, out, from string
}

func (f *searchFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.study, "study", "", "the study `FILE` (YAML; docs/studies.md)")
	c.Flags().StringVar(&f.resume, "resume", "", "go on with an interrupted `RUN` (name or directory)")
	c.Flags().StringVar(&f.out, "out", defaultOut, "where runs, caches and the error budget are kept")
	c.Flags().StringVar(&f.from, "from", "", "begin with what this `RUN`, or the newest release of this repository, has found")
	c.MarkFlagsMutuallyExclusive("study", "resume")
	c.MarkFlagsMutuallyExclusive("from", "resume")
}

// hooks are what a verb adds to the beginning of its run; any may be nil.
type hooks struct {
	target  func(factory.Study) error // before a new run exists: what else cannot work
	made    func(*factory.Run) error  // a new run
	resumed func(*factory.Run) error  // one to go on with

	crashesMax int // of the study's program in a row; 0: the client's default
}

// begin opens the domain and starts a new run, or opens the one to go on with.
// What cannot work is found out here, before a run exists.
func begin(ctx context.Context, verb string, f *searchFlags, s *story, h hooks) (*factory.Run, open, error) {
	say := func(line string) { s.say("%s", line) }
	switch {
	case f.resume != "":
		return resume(ctx, f, say, h)
	case f.study == "":
		return nil, open{}, hinted{errors.New("neither a study nor a run to resume was named"),
			"arqon " + verb + " --study studies/compress.yaml, or --resume RUN"}
	}
	st, err := factory.LoadStudy(f.study)
	if err == nil {
		err = st.CheckEngines(roster.Engines())
	}
	if err == nil && h.target != nil {
		err = h.target(st)
	}
	if err != nil {
		return nil, open{}, err
	}
	var elites []factory.Elite
	if f.from != "" {
		if elites, err = elitesFrom(ctx, f.from, f.out, st); err != nil {
			return nil, open{}, err
		}
	}
	domain, err := ready(ctx, st, f.out, h.crashesMax, say)
	if err != nil {
		return nil, domain, err
	}
	run, err := factory.NewRun(f.out, st)
	if err != nil {
		return nil, domain, errors.Join(err, domain.Close())
	}
	if len(elites) > 0 {
		err = run.KeepElites(elites)
	}
	if err == nil && h.made != nil {
		err = h.made(run)
	}
	if err != nil {
		return nil, domain, errors.Join(err, domain.Close(), run.Close())
	}
	return run, domain, nil
}

// resume opens a run where it lies; what the study's domain keeps lies there
// too.
func resume(ctx context.Context, f *searchFlags, say func(string), h hooks) (*factory.Run, open, error) {
	path, err := factory.RunPath(f.out, f.resume)
	if err != nil {
		return nil, open{}, err
	}
	run, err := factory.OpenRun(path)
	if err != nil {
		return nil, open{}, err
	}
	f.out = filepath.Dir(filepath.Dir(run.Path))
	if h.resumed != nil {
		err = h.resumed(run)
	}
	var domain open
	if err == nil {
		domain, err = ready(ctx, run.Study, f.out, h.crashesMax, say)
	}
	if err != nil {
		return nil, domain, errors.Join(err, run.Close())
	}
	return run, domain, nil
}

// ready opens a domain, asks what it is, and holds the study against that.
func ready(ctx context.Context, st factory.Study, out string, crashesMax int, say func(string)) (open, error) {
	domain, err := openDomain(st, out, crashesMax, say)
	if err != nil {
		return domain, err
	}
	d, err := domain.Describe(ctx)
	if err == nil {
		_, err = st.Apply(d)
	}
	if p, ok := domain.Domain.(interface{ Prepare(context.Context) error }); ok && err == nil {
		err = p.Prepare(ctx) // a missing data set is said before a run exists
	}
	if err != nil {
		return domain, errors.Join(err, domain.Close())
	}
	return domain, nil
}

// interrupted adds how to go on.
func interrupted(err error, verb string, run *factory.Run, out string) error {
	var answer no
	if errors.As(err, &answer) || hint(err) != "" && !errors.Is(err, context.Canceled) && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	name, first := run.Name, ""
	if out != defaultOut {
		name = run.Path // the name alone is looked up below the default
	}
	if errors.Is(err, syscall.ENOSPC) {
		first = "free some space; "
	}
	return hinted{err, fmt.Sprintf("%snothing measured is lost: arqon %s --resume %s goes on", first, verb, name)}
}
