package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

type verifyFlags struct {
	repository, keys, channel, root, study string
	json, files, smoke                     bool
	at                                     string
}

func newVerify() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify --repository DIR",
		Short: "Check a repository end to end, offline",
		Long: `Verify reads everything that the newest releases reach: roots, metadata,
manifests, artifacts, gate reports and approvals. Exit 0 means that every byte of
every file read is what was signed; exit 1 names the file that is not.

The root that init pinned is believed. A repository that was never pinned here
vouches for itself, and verify says so: pin its root with --root.

With --smoke, the entries of built-in domains are opened too and asked the small
questions that the release carries the answers of; --study opens the program of
a study, and with it the entries of its domain. Machine code that kernels carry
for machines like this one is compiled again, and every byte compared.

--at asks whether it would still verify then, if nobody renewed anything: a
later time, or how long from now (72h). It cannot be a time that has passed.`,
		Example: `  arqon verify --repository out/catalog
  arqon verify --repository /mnt/copy --root root.json --channel staging --json
  arqon verify --repository out/catalog --at 72h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.study != "" && !f.smoke {
				return hinted{errors.New("--study is for --smoke"), "arqon verify --smoke --study FILE"}
			}
			return verify(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository")
	c.Flags().StringVar(&f.channel, "channel", "", "one channel (default: all that have a release)")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder in which init left root.json (default REPOSITORY-keys)")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&f.smoke, "smoke", false, "open each entry and compare its golden answers too, as a host on this machine would")
	c.Flags().StringVar(&f.study, "study", "", "with --smoke, also ask the domain of the study in this `FILE`")
	c.Flags().StringVar(&f.at, "at", "", atUsage)
	c.Flags().BoolVar(&f.files, "files", false, "list every file that was read")
	return c
}

// verified is the JSON form.
type verified struct {
	OK         bool              `json:"ok"`
	Repository string            `json:"repository"`
	Reason     string            `json:"reason,omitempty"`
	File       string            `json:"file,omitempty"`
	Error      string            `json:"error,omitempty"`
	Answered   int               `json:"answered"`                     // entries whose golden answers were asked for and are right
	Recompiled int               `json:"recompiled,omitempty"`         // entries whose precompiled code this machine made again, to the byte
	Elsewhere  int               `json:"compiled_elsewhere,omitempty"` // entries whose precompiled code is for other machines, and was not compared
	FirstUse   bool              `json:"trusted_on_first_use"`
	Solo       bool              `json:"solo"`
	Releases   []verifiedRelease `json:"releases"`
	Files      []string          `json:"files"`
}

type verifiedRelease struct {
	Channel   string           `json:"channel"`
	Sequence  uint64           `json:"sequence"`
	Manifest  artifacts.Digest `json:"manifest"`
	Entries   int              `json:"entries"`
	Evidence  int              `json:"evidence"`
	Approvers []string         `json:"approvers"`
	Threshold int              `json:"threshold"`
	Here      int              `json:"here"` // entries that a host on this machine would be given
}

func verify(ctx context.Context, f verifyFlags, stdout, stderr io.Writer) (err error) {
	clock, err := clockAt(f.at)
	if err != nil {
		return err
	}
	in, err := openReadingAs(f.repository, f.keys, f.root, reader{clock: clock})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	rep, err := in.client.VerifyAll(ctx, f.channel)
	answered, code := 0, recompiled{}
	if err == nil && f.smoke {
		if answered, code, err = f.answers(ctx, rep, in.store); err != nil && trust.ReasonOf(err) == "" {
			return err
		}
	}
	v := verified{Answered: answered, Recompiled: code.again, Elsewhere: code.elsewhere, OK: err == nil, Repository: in.place.repository, FirstUse: rep.FirstUse, Solo: rep.Solo, Releases: []verifiedRelease{}, Files: rep.Files}
	if err != nil {
		err = refused(err)
		if f.json {
			var r *trust.Refusal
			if errors.As(err, &r) {
				v.Reason, v.File = string(r.Reason), r.File
			}
			v.Error = err.Error()
			return errors.Join(printJSON(stdout, v), err)
		}
		return err
	}
	for _, r := range rep.Releases {
		v.Releases = append(v.Releases, verifiedRelease{
			r.Release.Channel, r.Release.Sequence, r.Manifest, len(r.Release.Entries), r.Evidence, r.Approvers, r.Threshold, r.Here,
		})
	}
	if f.json {
		return printJSON(stdout, v)
	}
	v.print(stdout, stderr, f.files, f.smoke)
	return nil
}

// answers asks every entry what it answered when it was signed, and compiles
// again what is there compiled for machines like this one.
func (f verifyFlags) answers(ctx context.Context, rep trust.Report, store artifacts.Store) (n int, code recompiled, err error) {
	s := newSmoker()
	defer func() { err = errors.Join(err, s.Close()) }()
	if f.study != "" {
		if err := s.load(ctx, f.study, defaultOut); err != nil {
			return 0, code, err
		}
	}
	n, err = s.smokeAll(ctx, rep, artifacts.Blobs{Store: store})
	return n, s.code, err
}

func (v verified) print(stdout, stderr io.Writer, files, smoke bool) {
	for _, r := range v.Releases {
		fmt.Fprintf(stdout, "%s release %d: %d entries, %d pieces of evidence, approved by %d of at least %d keys, manifest %s\n",
			r.Channel, r.Sequence, r.Entries, r.Evidence, len(r.Approvers), r.Threshold, r.Manifest.Short())
	}
	if len(v.Releases) == 0 {
		fmt.Fprintln(stdout, "no channel has a release yet")
	}
	if files {
		for _, name := range v.Files {
			fmt.Fprintln(stdout, name)
		}
	}
	fmt.Fprintf(stdout, "verified: %d files read, every byte accounted for\n", len(v.Files))
	if smoke && v.Answered == 0 {
		fmt.Fprintln(stdout, "answers: no entry that this command can open carries any: nothing was asked")
	} else if smoke {
		fmt.Fprintf(stdout, "answers: %s opened and answer as they did when they were signed\n", count(v.Answered, "entry was", "entries were"))
	}
	if v.Recompiled > 0 {
		fmt.Fprintf(stdout, "code: what %s was compiled again, and is the same to the byte\n", count(v.Recompiled, "entry carries", "entries carry"))
	}
	if v.Elsewhere > 0 {
		fmt.Fprintf(stderr, "note: %s code for other machines, or of another wazero: nobody can compile that again here\n", count(v.Elsewhere, "entry carries", "entries carry"))
	}
	for _, r := range v.Releases {
		if r.Here == 0 {
			fmt.Fprintf(stderr, "note: no entry of %s release %d is for this machine or this version: a host here refuses it and serves what it has\n", r.Channel, r.Sequence)
		}
	}
	if v.FirstUse {
		fmt.Fprintln(stderr, "note: no root was pinned for this path, so the repository vouches for itself; pin it with --root FILE")
	}
	if v.Solo {
		fmt.Fprintln(stderr, "note: a --solo repository: one person holds every key")
	}
}

// refused turns a refusal into an answer of no, with what to do.
func refused(err error) error {
	var r *trust.Refusal
	if !errors.As(err, &r) {
		return err
	}
	if r.Reason == trust.Unreadable {
		if hint(err) == "" {
			return hinted{err, "nothing was adopted; a client that loses what it remembers is protected by --root and the floor that its host ships, and by nothing else"}
		}
		return err
	}
	if r.Reason == trust.Missing && r.File == trust.MetadataName("root", 1) {
		return no{hinted{err, "there is no repository here, or not all of it: check the path; arqon init founds one"}}
	}
	if r.Reason == trust.Expired {
		return no{hinted{err, "nobody has renewed it: " + renewalOf(r.File) + "; hosts go on serving what they have"}}
	}
	return no{hinted{err, refusalHints[r.Reason]}}
}

// renewalOf says who can bring a file past its date back, and how.
func renewalOf(file string) string {
	role, isRole := strings.CutSuffix(path.Base(file), ".json")
	if _, name, ok := strings.Cut(role, "."); ok { // VERSION.ROLE
		role = name
	}
	if path.Dir(file) != "metadata" || !isRole {
		return "the next release of its channel has a new date"
	}
	return renewal(role)
}

var refusalHints = map[trust.Reason]string{
	trust.Missing:      "copy the whole repository again: a file is not there",
	trust.Malformed:    "the file is not what was signed: take it from a good copy",
	trust.BadDigest:    "the bytes were changed: take the file from a good copy",
	trust.TooLarge:     "nobody signed that much: take the file from a good copy",
	trust.BadSignature: "the file was changed or signed by somebody else: take it from a good copy",
	trust.Threshold:    "approvals are missing: arqon sign",
	trust.BadRole:      "the roles are not as they may be: ask who owns the root keys",
	trust.ForeignRoot:  "this is another repository than the one that was pinned; if that is meant, pin its root with --root FILE",
	trust.Rollback:     "this copy is older than what was seen before: get a newer one",
	trust.FastForward:  "versions jumped: ask who owns the root keys before believing it",
	trust.MixAndMatch:  "parts of different releases: copy the whole repository again",
	trust.SplitView:    "two histories are shown: treat the repository as compromised, and compare copies with others (arqon mirror, arqon audit)",
	trust.NotLogged:    "what is shown is not in the log: take the file from a good copy",
	trust.WrongChannel: "name the right channel with --channel",
	trust.Repointed:    "an id changed its meaning: treat the repository as compromised",
	trust.NextID:       "ids would be used twice: treat the repository as compromised",
	trust.Unyanked:     "a withdrawn variant came back: treat the repository as compromised",
	trust.Hardware:     "none of it is made for this machine",
	trust.ABI:          "use a newer arqon",
	trust.BadEvidence:  "the gate report is not the one that was signed: take it from a good copy",
	trust.Smoke:        "an entry does not open, or answers otherwise than when it was signed: the last good release goes on; yank it if it does so everywhere",
	trust.NoRelease:    "a night makes releases of staging (arqon nightly), arqon promote those of prod; --channel names another channel",
}
