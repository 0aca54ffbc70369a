package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/gates/report"
)

type reportFlags struct {
	out, html, explain, diff, candidate string
	json, schema, ascii, check          bool
	width                               int
}

func newReport() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Show why the gates decided as they did",
		Long: `Report shows a judged night: every candidate, every gate, with the numbers, the
intervals and what would change the verdict.

RUN is the name of a run below --out, its directory, or a report.json file.`,
		Example: `  arqon report infer-0001
  arqon report infer-0001 --html report.html
  arqon report infer-0001 --explain accuracy
  arqon report infer-0001 --candidate burst-3f2a09c1
  arqon report infer-0002 --diff infer-0001
  arqon report infer-0001 --check`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.schema {
				_, err := c.OutOrStdout().Write(report.Schema())
				return err
			}
			if len(args) == 0 {
				return hinted{errors.New("no run was named"), "arqon report RUN; the runs are below " + filepath.Join(f.out, "runs")}
			}
			return showReport(f, args[0], c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.out, "out", "out", "where the runs are kept")
	c.Flags().StringVar(&f.html, "html", "", "write one self-contained HTML `FILE` (- for standard output)")
	c.Flags().BoolVar(&f.json, "json", false, "print the whole record as JSON")
	c.Flags().StringVar(&f.explain, "explain", "", "how one `METRIC` was judged, candidate by candidate")
	c.Flags().StringVar(&f.diff, "diff", "", "compare with another `RUN`")
	c.Flags().StringVar(&f.candidate, "candidate", "", "the page of one candidate, by `NAME`")
	c.Flags().BoolVar(&f.check, "check", false, "derive every number again from the raw data and compare bit for bit")
	c.Flags().BoolVar(&f.schema, "schema", false, "print the JSON schema of --json")
	c.Flags().BoolVar(&f.ascii, "ascii", false, "plain ASCII")
	c.Flags().IntVar(&f.width, "width", 0, "columns (default: the terminal's, or 80)")
	c.MarkFlagsMutuallyExclusive("html", "json", "explain", "diff", "candidate", "check", "schema")
	return c
}

func showReport(f reportFlags, name string, stdout io.Writer) error {
	n, err := readNight(f.out, name)
	if err != nil {
		return err
	}
	where := f.where(name, n.Domain)
	o := report.TextOptions{Terminal: terminal(stdout)}
	o.Where = where
	o.ASCII = o.ASCII || f.ascii
	if f.width > 0 {
		o.Width = f.width
	}
	switch {
	case f.json:
		return report.WriteJSON(stdout, n)
	case f.html != "":
		return writePage(f.html, stdout, func(w io.Writer) error { return report.HTMLFor(w, n, where) })
	case f.explain != "":
		return report.Explain(stdout, n, f.explain, o)
	case f.candidate != "":
		return report.Candidate(stdout, n, f.candidate, o)
	case f.diff != "":
		other, err := readNight(f.out, f.diff)
		if err != nil {
			return err
		}
		return report.Diff(stdout, other, n, o)
	case f.check:
		if err := gates.Recompute(n); err != nil {
			return no{err}
		}
		fmt.Fprintf(stdout, "%s: every e-value, interval and verdict follows from the raw data\n", n.Run)
		return nil
	}
	return report.Text(stdout, n, o)
}

// where is the repository of a run, for the commands that the page shows: the
// study's, unless the night was given another.
func (f reportFlags) where(name, domain string) report.Where {
	path, err := factory.RunPath(f.out, name)
	if err != nil {
		return whereOf(domain, "", "") // a report file on its own
	}
	var o overrides
	if b, err := os.ReadFile(filepath.Join(path, overridesFile)); err == nil && json.Unmarshal(b, &o) == nil {
		return whereOf(domain, o.Repository, o.Channel)
	}
	return whereOf(domain, "", "")
}

// whereOf is what the commands on a night's page say about its repository.
func whereOf(domain, repository, channel string) report.Where {
	_, hosted := workloads[domain]
	return report.Where{Repository: repository, Channel: channel, Embedded: !hosted}
}

// readNight finds report.json by run name, directory or file.
func readNight(out, name string) (gates.Night, error) {
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
		return report.ReadNight(name)
	}
	path, err := factory.RunPath(out, name)
	if err != nil {
		return gates.Night{}, err
	}
	n, err := report.ReadNight(filepath.Join(path, "report.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return n, hinted{fmt.Errorf("%s has not been judged yet", name), "arqon nightly --resume " + filepath.Base(path) + " goes on"}
	}
	return n, err
}

// writePage writes a page whole or not at all; "-" is standard output.
func writePage(path string, stdout io.Writer, draw func(io.Writer) error) error {
	var page bytes.Buffer
	if err := draw(&page); err != nil {
		return err
	}
	if path == "-" {
		_, err := stdout.Write(page.Bytes())
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, page.Bytes(), 0o644); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, path)
	return err
}
