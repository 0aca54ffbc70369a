package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/ledger"
)

// reportBytesMax is the largest report.json that is read.
const reportBytesMax = 256 << 20

func newGateVerify() *cobra.Command {
	var out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify RUN",
		Short: "Derive every number of a report again, bit for bit, offline",
		Long: `Verify derives every e-value, interval, sentence and verdict of a judged night
again from its raw samples with the code that judged it, and compares the whole
record byte for byte. It also compares the record with what lies beside it: the
night's ledger, answer by answer, the charge on the year's error budget, and the
policy and seed of the run's study.

RUN is the name of a run below --out, its directory, or a report.json file on
its own; what is not at hand is listed as not compared.

Exit 0: all of it is one consistent night, unchanged. Exit 1: something does not
follow, with what and where. Exit 2: it could not be read. Bits are the same on
one architecture and one toolchain.`,
		Example: `  arqon gate verify infer-0001
  arqon gate verify out/runs/infer-0001/report.json
  arqon gate verify infer-0001 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			v, err := gateVerify(out, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), v)
			}
			return sayVerified(c.OutOrStdout(), v)
		},
	}
	c.Flags().StringVar(&out, "out", "out", "where the runs are kept")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was compared as JSON")
	return c
}

// gateVerify finds the report and what lies beside it.
func gateVerify(out, name string) (gates.Verification, error) {
	path, at, err := evidenceOf(out, name)
	if err != nil {
		return gates.Verification{}, err
	}
	b, err := readReport(path)
	if err != nil {
		return gates.Verification{}, err
	}
	v, err := gates.Verify(b, at)
	if err == nil {
		return v, nil
	}
	err = fmt.Errorf("%s: %w", path, err)
	for _, answer := range []error{
		gates.ErrDiffers, gates.ErrNoRaw, gates.ErrBadNight, gates.ErrForeignNight, gates.ErrUnsigned, gates.ErrAlphaLost, ledger.ErrCorrupt, ledger.ErrForeign,
	} {
		if errors.Is(err, answer) {
			return v, no{err}
		}
	}
	return v, err
}

// evidenceOf is a report with what the run keeps beside it.
func evidenceOf(out, name string) (report string, at gates.Beside, err error) {
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
		return name, at, nil
	}
	path, err := factory.RunPath(out, name)
	if err != nil {
		return "", at, err
	}
	report = filepath.Join(path, "report.json")
	if _, err := os.Stat(report); errors.Is(err, fs.ErrNotExist) {
		return "", at, hinted{fmt.Errorf("%s has not been judged yet", name), "arqon nightly --resume " + filepath.Base(path) + " goes on"}
	}
	run, err := factory.OpenRun(path)
	if err != nil {
		return "", at, err
	}
	policy, seed := run.Study.Policy, run.NightSeed()
	at = gates.Beside{GatesLedger: filepath.Join(path, "gates.ledger"), Policy: &policy, Seed: &seed}
	if budget := filepath.Join(filepath.Dir(filepath.Dir(path)), "alpha.ledger"); exists(budget) {
		at.AlphaLedger = budget
	}
	if _, at.Checker, err = budgetKeys(); err != nil {
		return "", at, errors.Join(err, run.Close())
	}
	return report, at, run.Close()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readReport(path string) (b []byte, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > reportBytesMax {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read: %w", path, st.Size(), reportBytesMax, artifacts.ErrCorrupt)
	}
	return os.ReadFile(path)
}

func sayVerified(w io.Writer, v gates.Verification) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: every e-value, interval and verdict follows from the raw data (night %s)\n", v.Run, v.Outcome)
	fmt.Fprintf(&b, "  %d candidates, %d decisions, %d samples under %s\n", v.Candidates, v.Results, v.Samples, v.Root)
	fmt.Fprintf(&b, "  record %s, policy %s\n", v.Record, v.Policy.Short())
	if v.Ledger > 0 {
		fmt.Fprintf(&b, "  %d raw answers agree with the night's ledger\n", v.Ledger)
	}
	if len(v.NotSeen) > 0 {
		fmt.Fprintf(&b, "  not compared, not at hand: %s\n", strings.Join(v.NotSeen, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
