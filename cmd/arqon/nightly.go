package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/gates/report"
)

type nightlyFlags struct {
	searchFlags
	repository, channel, keys string
	waivers                   []string
	adoption                  string
	json, quiet               bool

	ring  *publish.Keyring // decrypted before the night began, or nil
	given exceptions       // what the waivers and the adoption are, once they are kept with the run
}

func newNightly() *cobra.Command {
	var f nightlyFlags
	c := &cobra.Command{
		Use:   "nightly --study FILE | --resume RUN",
		Short: "Search for better variants, put them through the gates, sign and publish the survivors",
		Long: `Nightly runs one night: it searches the study's domain, puts the best points of
every context through the six gates, writes a report, and hands the approved
variants to the repository. A repository made with init --solo is signed and
published to by itself; any other is left a proposal to sign.

A night can be interrupted at any point, kill -9 included: --resume RUN goes on
where it was, to the same candidates and without measuring anything twice.

Exit 0: the night counts, whether or not anything was better; 1: it is INVALID,
a control failed; 2: it could not be held.`,
		Example: `  arqon nightly --study studies/infer.yaml
  arqon nightly --resume infer-0001
  arqon nightly --study studies/compress.yaml --repository out/compress --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runNightly(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.bind(c)
	c.Flags().StringVar(&f.repository, "repository", "", "publish to this `DIR` instead of the study's repository")
	c.Flags().StringVar(&f.channel, "channel", "", "publish to this channel instead of the study's")
	c.Flags().StringVar(&f.keys, "keys", "", "folder with the key files (default REPOSITORY-keys)")
	c.Flags().StringArrayVar(&f.waivers, "waiver", nil, "judge under the waiver in this `FILE` (arqon gate waive); may be repeated")
	c.Flags().StringVar(&f.adoption, "adoption", "", "the `FILE` in which approvers adopt a looser policy (arqon gate adopt)")
	c.Flags().BoolVar(&f.json, "json", false, "print the night's report as JSON instead of a page")
	c.Flags().BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
	c.MarkFlagsMutuallyExclusive("waiver", "resume")
	return c
}

func runNightly(ctx context.Context, f nightlyFlags, stdout, stderr io.Writer) (err error) {
	s := newStory(stderr, f.quiet)
	defer s.close()
	run, domain, err := begin(ctx, "nightly", &f.searchFlags, s, hooks{
		target: func(st factory.Study) error { return checkTarget(ctx, &f, st) },
		made:   func(run *factory.Run) error { return saveOverrides(ctx, &f, run) },
		resumed: func(run *factory.Run) error {
			if err := loadOverrides(ctx, &f, run); err != nil || run.HandedOver() {
				return err
			}
			return checkTarget(ctx, &f, run.Study)
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, domain.Close(), run.Close()) }()
	s.say("run %s in %s", run.Name, run.Path)
	result, err := conduct(ctx, f, run, domain, s)
	s.close()
	if err != nil {
		return interrupted(err, "nightly", run, f.out)
	}
	if f.json {
		b, err := gates.EncodeNight(result.Night)
		if err != nil {
			return err
		}
		if _, err := stdout.Write(b); err != nil {
			return err
		}
	} else {
		o := report.TextOptions{Terminal: terminal(stdout)}
		o.Where = whereOf(result.Night.Domain, f.repository, f.channel)
		if err := report.Text(stdout, result.Night, o); err != nil {
			return err
		}
		if result.Handover != "" {
			fmt.Fprintln(stdout, result.Handover)
		}
		_, html := run.Report()
		fmt.Fprintf(stdout, "report: %s\n", html)
	}
	if result.Night.Outcome != gates.Pass {
		return no{fmt.Errorf("the night is %s: %s", result.Night.Outcome, result.Night.Reason)}
	}
	return nil
}

// overrides are flags that a resumed night must still know.
type overrides struct {
	Repository string `json:"repository"`
	Channel    string `json:"channel"`
	Keys       string `json:"keys"`
	exceptions
}

const overridesFile = "target.json"

func saveOverrides(ctx context.Context, f *nightlyFlags, run *factory.Run) error {
	given, err := f.keep(ctx, run)
	if err != nil {
		return err
	}
	f.given = given
	b, err := json.Marshal(overrides{f.repository, f.channel, f.keys, given})
	if err != nil {
		return err
	}
	return run.Blobs().Create(ctx, overridesFile, append(b, '\n'))
}

// loadOverrides recalls the flags of the first session; flags given now win.
func loadOverrides(ctx context.Context, f *nightlyFlags, run *factory.Run) error {
	b, err := os.ReadFile(filepath.Join(run.Path, overridesFile))
	if errors.Is(err, os.ErrNotExist) {
		settle(f, run.Study)
		return nil
	}
	if err != nil {
		return err
	}
	var o overrides
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(run.Path, overridesFile), err)
	}
	if f.repository == "" {
		f.repository = o.Repository
	}
	if f.channel == "" {
		f.channel = o.Channel
	}
	if f.keys == "" {
		f.keys = o.Keys
	}
	f.given = o.exceptions
	if f.adoption == "" {
		return nil
	}
	now, err := f.keep(ctx, run)
	f.given.Adoption = now.Adoption
	return err
}

// settle fills the flags from the study.
func settle(f *nightlyFlags, st factory.Study) {
	if f.repository == "" {
		f.repository = st.Repository
	}
	if f.channel == "" {
		f.channel = st.Channel
	}
}

// checkTarget finds out before the night, not after it, that its release has
// somewhere to go.
func checkTarget(ctx context.Context, f *nightlyFlags, st factory.Study) (err error) {
	settle(f, st)
	if f.repository == "" {
		return f.unpublished()
	}
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	store, err := p.open()
	if err != nil {
		return hinted{err, fmt.Sprintf("arqon init --repository %s --solo makes one; without repository in the study nothing is published", f.repository)}
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	scope := catalog.Scope(f.channel)
	if scope.Rank() < catalog.ScopeStaging.Rank() {
		return errNotPublished(f.channel)
	}
	head, err := trust.ReadHead(ctx, store, nil) // who holds the keys; whether to believe it is asked when publishing
	if err != nil {
		return fmt.Errorf("repository %s: %w", f.repository, refused(err))
	}
	if scope == catalog.ScopeProd && !head.Rules.Solo {
		return errNotFromANight()
	}
	if f.ring, err = p.ring(passphraseReader(false)); err != nil {
		return err
	}
	return (&publish.Repository{Store: store, Keys: f.ring, Now: now()}).Unlock(ctx, f.channel)
}

func errNotPublished(channel string) error {
	return hinted{fmt.Errorf("channel %q cannot be published to", channel), "the channels are staging and prod"}
}

// errNotFromANight: people approve for prod what staging has shown.
func errNotFromANight() error {
	return hinted{
		errors.New("prod takes what people have approved, not what a night proposes"),
		"let the study publish to staging, then arqon promote",
	}
}

// conduct wires the rooms together.
func conduct(ctx context.Context, f nightlyFlags, run *factory.Run, domain open, s *story) (factory.Result, error) {
	n := factory.Nightly{
		Domain: domain, Engines: roster.Engines(), Progress: nightProgress{s}, Now: now,
		HTML: func(w io.Writer, night gates.Night) error {
			return report.HTMLFor(w, night, whereOf(night.Domain, f.repository, f.channel))
		},
	}
	var approver gates.Approver
	grant := func(*gates.Judge) error { return nil }
	if f.repository != "" {
		handover, err := newHandover(ctx, f, run, domain)
		if err != nil {
			return factory.Result{}, err
		}
		defer handover.close()
		n.Publisher = handover
		grant = func(j *gates.Judge) error {
			return errors.Join(handover.grant(ctx, j, f.given), handover.lend(ctx, j))
		}
		if handover.solo {
			approver = handover
		}
	}
	judge := func(c factory.Case) (gates.Judge, error) {
		j := gates.Judge{
			Domain: domain, Description: c.Description, Baseline: c.Candidates.Baseline,
			Policy: run.Study.Policy, Seed: run.NightSeed(), Run: run.Name, Study: run.Study.Name, Host: host(),
			LedgerPath: c.Ledger, AlphaPath: filepath.Join(f.out, "alpha.ledger"),
			StartCanary: stager{domain: domain, description: c.Description, baseline: c.Candidates.Baseline, seed: run.NightSeed()}.start,
			Approver:    approver, Progress: func(st gates.Step) { s.judging(st) }, Now: now,
			Command: "arqon report " + run.Name,
		}
		return j, errors.Join(budget(&j, f.out), grant(&j))
	}
	n.Judge = func(ctx context.Context, c factory.Case) (gates.Night, []gates.Verdict, error) {
		j, err := judge(c)
		if err != nil {
			return gates.Night{}, nil, err
		}
		return j.Night(ctx, c.Candidates.List)
	}
	if err := preflight(ctx, run, domain, judge); err != nil {
		return factory.Result{}, err
	}
	return n.Do(ctx, run)
}

// preflight finds out before the search what the gates would refuse after it.
func preflight(ctx context.Context, run *factory.Run, domain open, judge func(factory.Case) (gates.Judge, error)) error {
	d, err := domain.Describe(ctx)
	if err == nil {
		d, err = run.Study.Apply(d)
	}
	if err != nil {
		return err
	}
	j, err := judge(factory.Case{Description: d, Ledger: run.Ledger()})
	if err != nil {
		return err
	}
	return j.Preflight()
}

func host() gates.Host {
	return gates.Host{OS: goruntime.GOOS, Arch: goruntime.GOARCH, CPU: cpuName(), Cores: goruntime.NumCPU(), Go: goruntime.Version()}
}

// nightProgress tells the factory's progress as a story.
type nightProgress struct{ s *story }

func (p nightProgress) Say(line string) { p.s.say("%s", line) }

func (p nightProgress) Step(name string, done, total int, note string) {
	p.s.step(name, done, total, note)
}
