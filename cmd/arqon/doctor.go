package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/catalog/trust"
)

type doctorFlags struct {
	repository, keys, root string
	read, json             bool
	at                     string
}

func newDoctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor --repository DIR",
		Short: "Look for trouble before it comes: store, clock, expiry, permissions",
		Long: `Doctor looks at what a repository depends on, and says what is wrong or will be
soon:

  store   can be read, and keeps the conditions of writes: tried with an object
          of its own, which is removed again; --read leaves that out
  clock   of this machine against the store's and against signed dates
  expiry  of every role's metadata
  keys    modes of the key files and their folders

--at asks the same of a later time: what will have expired then if nobody renews
it. The clock itself is compared as it is now.

Exit 0 means that nothing fails, warnings aside; exit 1 that something does.
What the releases contain is arqon verify's business.`,
		Example: `  arqon doctor --repository out/catalog
  arqon doctor --repository s3://bucket/catalog --read --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return doctor(c.Context(), f, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.repository, "repository", "", "the `DIR` of the repository, or s3://bucket/prefix")
	c.Flags().StringVar(&f.root, "root", "", "believe the root in this `FILE`")
	c.Flags().StringVar(&f.keys, "keys", "", "folder of the key files (default REPOSITORY-keys)")
	c.Flags().StringVar(&f.at, "at", "", atUsage)
	c.Flags().BoolVar(&f.read, "read", false, "write nothing, not even for a moment")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

// symptom is one thing looked at. Level: fine, warning or failure.
type symptom struct {
	Check  string `json:"check"`
	Level  string `json:"level"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

const (
	levelFine    = "ok"
	levelWarning = "warning"
	levelFailure = "failure"
)

// checkup collects symptoms in the order of looking.
type checkup struct{ found []symptom }

func (c *checkup) add(check, level, remedy, format string, args ...any) {
	if level == levelFine {
		remedy = ""
	}
	c.found = append(c.found, symptom{check, level, fmt.Sprintf(format, args...), remedy})
}

func (c *checkup) failures() (n int) {
	for _, s := range c.found {
		if s.Level == levelFailure {
			n++
		}
	}
	return n
}

func doctor(ctx context.Context, f doctorFlags, stdout io.Writer) (err error) {
	clock, err := clockAt(f.at)
	if err != nil {
		return err
	}
	p, err := newPlace(f.repository, f.keys)
	if err != nil {
		return err
	}
	store, err := p.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	anchor, err := p.anchor(f.root)
	if err != nil {
		return err
	}
	var c checkup
	head, err := trust.ReadHead(ctx, store, anchor)
	if err != nil {
		c.add("store", levelFailure, remedy(err), "%s cannot be read: %v", p.repository, err)
		err = nil // it is a symptom now
	} else {
		c.add("store", levelFine, "", "%s can be read, and its metadata is signed as it should be", p.repository)
	}
	if !f.read {
		c.conditions(ctx, p, store)
	}
	c.clock(store, head)
	if head != nil {
		c.expiries(head, clock())
	}
	c.keyFiles(p.keys)
	if f.json {
		err = printJSON(stdout, map[string]any{"ok": c.failures() == 0, "repository": p.repository, "checks": c.found})
	} else {
		for _, s := range c.found {
			fmt.Fprintf(stdout, "%-8s %-7s %s\n", s.Level, s.Check, s.Detail)
			if s.Remedy != "" {
				fmt.Fprintf(stdout, "%-8s %-7s %s\n", "", "", "▸ "+s.Remedy)
			}
		}
	}
	if n := c.failures(); n > 0 {
		return errors.Join(err, no{hinted{fmt.Errorf("%d of %d checks fail", n, len(c.found)), "the lines that begin with failure say what to do"}})
	}
	return err
}

// remedy is the hint about a store that cannot be read.
func remedy(err error) string {
	if h := hint(err); h != "" && trust.ReasonOf(err) != trust.Missing {
		return h
	}
	return hint(refused(err))
}

// conditions tries the conditional writes on which a publish commits.
func (c *checkup) conditions(ctx context.Context, p place, store repositoryStore) {
	var err error
	if remote, ok := store.(*s3.Store); ok {
		err = remote.Probe(ctx)
	} else {
		err = tryDirectory(ctx, p.repository)
	}
	switch {
	case err == nil:
		c.add("store", levelFine, "", "keeps the conditions of writes: it can be published to")
	case errors.Is(err, s3.ErrDenied), errors.Is(err, fs.ErrPermission):
		c.add("store", levelWarning, "right for a reader; a publisher needs to write", "cannot be written to: %v", err)
	default:
		c.add("store", levelFailure, hint(err), "%v", err)
	}
}

// tryDirectory makes a store of its own inside the directory, under a name
// that no store lists, and removes it.
func tryDirectory(ctx context.Context, dir string) (err error) {
	temp, err := os.MkdirTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	d, err := artifacts.OpenExistingDir(temp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Create(ctx, "x", []byte("1")); err != nil {
		return err
	}
	if err := d.Create(ctx, "x", []byte("2")); !errors.Is(err, artifacts.ErrExists) {
		return errors.Join(fmt.Errorf("%s: an existing file was created again", dir), err)
	}
	if err := d.Swap(ctx, "x", []byte("2"), []byte("3")); !errors.Is(err, artifacts.ErrConflict) {
		return errors.Join(fmt.Errorf("%s: a file was swapped for another than it was", dir), err)
	}
	return d.Swap(ctx, "x", []byte("1"), []byte("4"))
}

const (
	skewWarning = time.Minute
	skewFailure = 15 * time.Minute // where S3 refuses requests
	headLife    = 3 * 24 * time.Hour
)

// clock compares this machine's clock with the store's, and with the head: a
// head that expires later than a head can has been signed in our future.
func (c *checkup) clock(store repositoryStore, head *trust.Head) {
	const remedy = "set this machine's clock; a clock behind believes what has expired, one ahead refuses what has not"
	if remote, ok := store.(*s3.Store); ok {
		if skew, known := remote.ClockSkew(); known {
			level := levelFine
			switch {
			case skew.Abs() >= skewFailure:
				level = levelFailure
			case skew.Abs() >= skewWarning:
				level = levelWarning
			}
			c.add("clock", level, remedy, "the store's clock is %v ahead of this machine's", skew.Round(time.Second))
		}
	}
	if head == nil {
		return
	}
	if early := head.Timestamp.Signed.Expires.Sub(now()) - headLife; early > skewWarning {
		level := levelWarning
		if early > skewFailure {
			level = levelFailure
		}
		c.add("clock", level, remedy, "the head was signed %v from now, by this machine's clock", early.Round(time.Second))
		return
	}
	c.add("clock", levelFine, "", "%s: not before the head was signed", now().Format(time.RFC3339))
}

// noticeBefore is how long before its end a role's expiry is a warning:
// longer for those that people have to meet for.
func noticeBefore(role string) time.Duration {
	const day = 24 * time.Hour
	switch role {
	case "root", "targets":
		return 30 * day
	case "prod":
		return 14 * day
	case "timestamp":
		return day
	}
	return 3 * day
}

// expiries says what has expired at the time, or will soon.
func (c *checkup) expiries(h *trust.Head, at time.Time) {
	type end struct {
		role string
		at   time.Time
	}
	ends := []end{
		{"root", h.Root.Signed.Expires}, {"targets", h.Targets.Signed.Expires},
		{"snapshot", h.Snapshot.Signed.Expires}, {"timestamp", h.Timestamp.Signed.Expires},
	}
	for _, d := range h.Targets.Signed.Delegations.Roles {
		if role := h.Roles[d.Name]; role != nil {
			ends = append(ends, end{d.Name, role.Signed.Expires})
		}
	}
	for _, e := range ends {
		left := e.at.Sub(at)
		when := e.at.UTC().Format("2006-01-02 15:04")
		switch {
		case left <= 0:
			c.add("expiry", levelFailure, renewal(e.role), "%s expired on %s: clients adopt nothing new, serve what they have, and say so", e.role, when)
		case left < noticeBefore(e.role):
			c.add("expiry", levelWarning, renewal(e.role), "%s expires on %s, in %.1f days", e.role, when, left.Hours()/24)
		default:
			c.add("expiry", levelFine, "", "%s is good until %s", e.role, when)
		}
	}
}

func renewal(role string) string {
	if role == "snapshot" || role == "timestamp" {
		return "arqon publish --renew signs it again; so does any publish"
	}
	return "arqon keys renew --role " + role + ", by enough of its people"
}

const maxKeyFiles = 1000

// keyFiles looks at the modes of private keys and of the folders they are in.
func (c *checkup) keyFiles(dir string) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		c.add("keys", levelFine, "", "%s is not on this machine: it can read and not sign", dir)
		return
	}
	good := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		secret := strings.HasSuffix(e.Name(), ".key")
		if !e.IsDir() && !secret {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if len(c.found) > maxKeyFiles || good > maxKeyFiles {
			return fmt.Errorf("%s: more than %d files", dir, maxKeyFiles)
		}
		switch mode := info.Mode().Perm(); {
		case secret && !info.Mode().IsRegular():
			c.add("keys", levelFailure, "keep the file itself here", "%s is no regular file", path)
		case secret && mode&0o077 != 0:
			c.add("keys", levelFailure, "chmod 600 "+path+", and think of who may have read it", "%s: mode %#o lets others at it", path, mode)
		case e.IsDir() && mode&0o077 != 0:
			c.add("keys", levelWarning, "chmod 700 "+path, "%s: mode %#o lets others look into it", path, mode)
		case secret:
			good++
		}
		return nil
	})
	if err != nil {
		c.add("keys", levelFailure, hint(err), "%v", err)
	}
	if good > 0 {
		c.add("keys", levelFine, "", "%d private key files in %s are their owner's alone", good, dir)
	}
}
