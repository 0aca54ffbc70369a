package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/runtime"
)

func newReplay() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "replay LOG",
		Short: "Decide everything in an event log again and compare byte by byte",
		Long: `Replay feeds what a runtime's executor was told (releases, proposals, windows,
commands) to a fresh executor and compares each decision, transition and applied
value with what the log says, byte by byte.

Exit code 0: everything is the same. 1: the log was damaged, or replay decides
something else; the record is named. 2: the file could not be read.`,
		Example: `  arqon replay out/host/events.log
  arqon replay --json out/host/events.log`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return replayLog(args[0], asJSON, c.OutOrStdout()) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what was replayed as JSON")
	return c
}

// replayedJSON is the answer of arqon replay --json.
type replayedJSON struct {
	Log        string `json:"log"`
	Same       bool   `json:"same"`
	Problem    string `json:"problem,omitempty"`
	Records    int    `json:"records"`
	Inputs     int    `json:"inputs"`
	Outputs    int    `json:"outputs"`
	Seed       uint64 `json:"seed"`
	Generation uint64 `json:"generation"`
	TornBytes  int64  `json:"torn_bytes"`
}

func replayLog(path string, asJSON bool, stdout io.Writer) error {
	done, err := runtime.ReplayFile(path)
	err = logProblem(err)
	var answer no
	if err != nil && !errors.As(err, &answer) {
		return err
	}
	if asJSON {
		j := replayedJSON{path, err == nil, "", done.Records, done.Inputs, done.Outputs, done.Seed, done.Generation, done.TornBytes}
		if err != nil {
			j.Problem = err.Error()
		}
		return errors.Join(printJSON(stdout, j), err)
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s: the same, %d outputs of %d inputs, seed %d, generation %d\n", path, done.Outputs, done.Inputs, done.Seed, done.Generation); err != nil {
		return err
	}
	if done.TornBytes > 0 {
		_, err = fmt.Fprintf(stdout, "%d bytes at the end are an append that a crash cut short\n", done.TornBytes)
	}
	return err
}

// logProblem sorts errors about a log into answers of no and what could not be
// answered.
func logProblem(err error) error {
	switch {
	case errors.Is(err, runtime.ErrDiffers):
		return no{hinted{err, "the log was written by another version, architecture or a changed program; arqon log LOG shows the records around it"}}
	case errors.Is(err, runtime.ErrRecord), errors.Is(err, ledger.ErrCorrupt), errors.Is(err, ledger.ErrForeign):
		return no{hinted{err, "this is not an event log as a runtime wrote it: restore it from a copy"}}
	}
	return err
}

type logFlags struct {
	json bool
	kind string
	last int
}

const logLinesMax = 1 << 20

func newLog() *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:   "log LOG",
		Short: "Read a runtime's event log, one record a line",
		Long: `Log prints the records of an event log in the order in which they happened:
what the executor was told and what it decided and applied. With --json each is
an object with its sequence, kind, text and fields; docs/runtime.md lists the
fields of each kind.`,
		Example: `  arqon log out/host/events.log
  arqon log out/host/events.log --kind transition
  arqon log out/host/events.log --last 20 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return showLog(args[0], f, c.OutOrStdout()) },
	}
	c.Flags().BoolVar(&f.json, "json", false, "one JSON object a line")
	c.Flags().StringVar(&f.kind, "kind", "", "only records of this `KIND`, such as decision, applied, transition or window")
	c.Flags().IntVar(&f.last, "last", 0, "only the last `N` of them (0: all)")
	return c
}

type logLine struct {
	Sequence uint64         `json:"sequence"`
	Kind     string         `json:"kind"`
	Text     string         `json:"text"`
	Fields   map[string]any `json:"fields"`
}

func showLog(path string, f logFlags, stdout io.Writer) error {
	if f.last < 0 || f.last > logLinesMax {
		return hinted{fmt.Errorf("--last is %d: want 0 to %d", f.last, logLinesMax), "arqon log LOG --last 20"}
	}
	if kinds := runtime.Kinds(); f.kind != "" && !slices.Contains(kinds, f.kind) {
		return hinted{fmt.Errorf("--kind %q: a log has no such records", f.kind), "kinds are " + strings.Join(kinds, ", ")}
	}
	var tail []logLine
	var events runtime.LogReader // reads all of them: releases give the later ones their names
	info, err := ledger.Read(path, func(rec ledger.Record) error {
		e := events.Read(rec.Kind, rec.Payload)
		if f.kind != "" && e.Kind != f.kind {
			return nil
		}
		line := logLine{rec.Seq, e.Kind, e.Text, e.Fields}
		if f.last == 0 {
			return printLogLine(stdout, line, f.json)
		}
		if tail = append(tail, line); len(tail) > f.last {
			tail = tail[1:]
		}
		return nil
	})
	for _, l := range tail {
		if err := printLogLine(stdout, l, f.json); err != nil {
			return err
		}
	}
	if err == nil && info.Header.Purpose != runtime.LogPurpose {
		err = fmt.Errorf("%s: purpose is %q, not %q: %w", path, info.Header.Purpose, runtime.LogPurpose, ledger.ErrForeign)
	}
	return logProblem(err)
}

func printLogLine(w io.Writer, l logLine, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintf(w, "%6d  %s\n", l.Sequence, l.Text)
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
