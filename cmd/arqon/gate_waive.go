package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/factory"
)

// waiveFlags are the words of a waiver or an adoption; none of them is given
// when an approver only adds a signature.
type waiveFlags struct {
	sign                           signFlags
	study, context, metric, reason string
	tolerance, limit               float64
	days                           int
}

func newGateWaive() *cobra.Command {
	var f waiveFlags
	c := &cobra.Command{
		Use:   "waive FILE --repository DIR [--study STUDY.yaml --context C --metric M --tolerance T --reason WHY]",
		Short: "Sign an exception: one metric of one context may be worse until a day",
		Long: `Waive writes FILE, a waiver signed by one of the repository's approvers for prod.
With FILE alone the next approver reads what it says and adds a signature; the
policy says how many it needs (waiver_signatures), how long it may hold
(waiver_days) and how many a year may use (waivers_year).

A waiver widens the tolerance or the limit of one guardrail metric in one
context, and nothing else: correctness, controls, missing evidence, signatures
and the success metric cannot be waived. A night judges under it when it is
named with arqon nightly --waiver FILE, says so before the first pair, and every
entry that was judged under it carries it for life. When it has expired, the
entry leaves that context with the next release.`,
		Example: `  arqon gate waive launch.waiver --repository out/catalog --study studies/infer.yaml --context burst \
      --metric p99_ns --tolerance 0.8 --days 14 --reason "launch week, ticket 12"
  arqon gate waive launch.waiver --repository out/catalog --keys /media/usb/person-2
  arqon nightly --study studies/infer.yaml --waiver launch.waiver`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var words func() ([]byte, error)
			if changed := c.Flags().Changed; changed("study") || changed("context") || changed("metric") || changed("reason") {
				words = func() ([]byte, error) { return f.waiver(changed) }
			}
			return cosignFile(c.Context(), f, args[0], catalog.PredicateWaiver, words, c.OutOrStdout())
		},
	}
	f.bind(c)
	jsonFlag(c, &f.sign.json)
	c.Flags().StringVar(&f.study, "study", "", "the `STUDY` that it is for: its file, or its name")
	c.Flags().StringVar(&f.context, "context", "", "the context `C` that it is for")
	c.Flags().StringVar(&f.metric, "metric", "", "the guardrail metric `M`")
	c.Flags().Float64Var(&f.tolerance, "tolerance", 0, "how much worse `T` it may be, on the metric's own scale (0.8 = 80 % for a ratio)")
	c.Flags().Float64Var(&f.limit, "limit", 0, "the absolute limit `L` that it may reach, in the metric's unit")
	c.Flags().IntVar(&f.days, "days", 14, "how long it holds")
	c.MarkFlagsMutuallyExclusive("tolerance", "limit")
	return c
}

// bind adds the flags that both verbs share.
func (f *waiveFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.sign.repository, "repository", "", "the `DIR` of the repository whose approvers sign")
	c.Flags().StringVar(&f.sign.keys, "keys", "", "folder with the approver's key files (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.reason, "reason", "", "`WHY`, for everybody who meets it later")
}

// waiver is what is to be signed.
func (f waiveFlags) waiver(given func(string) bool) ([]byte, error) {
	study, err := studyNamed(f.study)
	if err != nil {
		return nil, err
	}
	begun := now().Truncate(time.Second)
	w := catalog.Waiver{Study: study, Context: f.context, Metric: f.metric, Reason: f.reason, Created: begun, Expires: begun.AddDate(0, 0, f.days)}
	if given("tolerance") {
		w.Tolerance = &f.tolerance
	}
	if given("limit") {
		w.Limit = &f.limit
	}
	return catalog.EncodeWaiver(w)
}

// studyNamed takes a study by its file or, as names have neither dots nor
// slashes, by its name.
func studyNamed(s string) (string, error) {
	if !strings.ContainsAny(s, "./") {
		return s, nil
	}
	st, err := factory.LoadStudy(s)
	return st.Name, err
}

// adoption is the predicate of a policy's adoption.
type adoption struct {
	Study   string           `json:"study"`
	Policy  artifacts.Digest `json:"policy"`
	Reason  string           `json:"reason"`
	Created string           `json:"created"`
}

func newGateAdopt() *cobra.Command {
	var f waiveFlags
	c := &cobra.Command{
		Use:   "adopt FILE --repository DIR [--study STUDY.yaml --reason WHY]",
		Short: "Sign a policy that protects less than the last night's",
		Long: `Adopt writes FILE, an adoption of the study's policy signed by one of the
repository's approvers for prod; with FILE alone the next approver adds a
signature. A policy that protects less than the one of the study's last night
that published needs two approvers (one where there is only one); a tighter one
needs nobody. Name it with arqon nightly --adoption FILE.`,
		Example: `  arqon gate adopt looser.adoption --repository out/catalog --study studies/infer.yaml --reason "quieter machines"
  arqon gate adopt looser.adoption --repository out/catalog --keys /media/usb/person-2
  arqon nightly --study studies/infer.yaml --adoption looser.adoption`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var words func() ([]byte, error)
			if f.study != "" || f.reason != "" {
				words = f.adoption
			}
			return cosignFile(c.Context(), f, args[0], catalog.PredicatePolicy, words, c.OutOrStdout())
		},
	}
	f.bind(c)
	jsonFlag(c, &f.sign.json)
	c.Flags().StringVar(&f.study, "study", "", "the study `FILE` whose policy is adopted")
	return c
}

func (f waiveFlags) adoption() ([]byte, error) {
	if f.study == "" || f.reason == "" {
		return nil, hinted{errors.New("an adoption needs --study and --reason"), "with FILE alone a signature is added to what it says"}
	}
	st, err := factory.LoadStudy(f.study)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(f.study, "./") {
		return nil, hinted{err, "the policy that is adopted is in the study's file: --study studies/" + f.study + ".yaml"}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(adoption{Study: st.Name, Policy: st.Policy.Digest(), Reason: f.reason, Created: now().Format(time.RFC3339)})
}

// toCosign is what an approver is about to sign: the words of a new file, or
// those of the file that is there.
func toCosign(path string, before []byte, predicateType string, words func() ([]byte, error)) ([]byte, error) {
	switch {
	case before == nil && words == nil:
		return nil, hinted{fmt.Errorf("%s: does not exist, and nothing says what to sign", path), "the first approver says it: see --help for the flags"}
	case before == nil:
		return words()
	case words != nil:
		return nil, hinted{fmt.Errorf("%s: exists; a signed statement does not change", path), "add a signature with FILE alone, or choose another name"}
	}
	predicate, err := trust.CosignedPredicate(before, predicateType)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return predicate, err
}

// cosignedAnswer is the JSON form.
type cosignedAnswer struct {
	File      string          `json:"file"`
	Key       string          `json:"key"`
	Signers   int             `json:"signers"`
	Approvers int             `json:"approvers"`
	Statement json.RawMessage `json:"statement"`
}

// cosignFile writes a new cosigned statement, or adds a signature to one.
func cosignFile(ctx context.Context, f waiveFlags, path, predicateType string, words func() ([]byte, error), stdout io.Writer) error {
	before, err := readCosigned(path)
	if err != nil {
		return err
	}
	predicate, err := toCosign(path, before, predicateType, words)
	if err != nil {
		return err
	}
	return withRepository(ctx, f.sign, func(ctx context.Context, repo *publish.Repository) error {
		const approvers = string(catalog.ScopeProd)
		bundle, key, err := repo.Endorse(ctx, approvers, predicateType, []trust.Subject{trust.CosignedSubject(predicate)}, predicate)
		if err != nil {
			return pending(err)
		}
		after, err := trust.Cosign(before, bundle)
		if err != nil {
			return hinted{fmt.Errorf("%s: %w", path, err), "another approver signs: --keys THEIR-FOLDER"}
		}
		if err := replaceFile(ctx, path, before, after); err != nil {
			return err
		}
		keys, err := repo.Approvers(ctx, approvers)
		if err != nil {
			return err
		}
		_, signers, err := trust.VerifyCosigned(after, predicateType, keys...)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if f.sign.json {
			return printJSON(stdout, cosignedAnswer{path, key, signers, len(keys), predicate})
		}
		_, err = fmt.Fprintf(stdout, "%s: signed by key %.12s, %d of %d approvers have: %s\n", path, key, signers, len(keys), predicate)
		return err
	})
}
