package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// maxOutputBytes bounds what a command may print.
const maxOutputBytes = 16 << 20

// Command is a domain made of a template: every sample is one run of the
// command. It has no artifacts beyond its parameters, no perturbations, and no
// checks unless the template names a command for them, and says so.
type Command struct {
	template Template
	desc     benchmarks.Description
	find     []extractor // by metric
	opts     Options
	work     *workDir
	slots    chan struct{}
}

// NewCommand checks the template; nothing is run yet. Of the options,
// MeasureTimeout bounds one run and Processes how many run at once.
func NewCommand(t Template, o Options) (*Command, error) {
	desc, err := t.description()
	if err == nil {
		err = t.checkCommands(desc)
	}
	if err != nil {
		return nil, fmt.Errorf("template %.80s: %w", t.Name, err)
	}
	c := &Command{template: t, desc: desc, opts: o.withDefaults()}
	for _, m := range t.Metrics {
		find, err := compileExtractor(m)
		if err != nil {
			return nil, fmt.Errorf("template %s: metric %s: %w", t.Name, m.Name, err)
		}
		c.find = append(c.find, find)
	}
	c.slots = make(chan struct{}, c.opts.Processes)
	if c.work, err = newWorkDir(o.TempDir, "arqon-command-"); err != nil {
		return nil, fmt.Errorf("template %s: %w", t.Name, err)
	}
	return c, nil
}

// Close removes what the runs left. No run may be under way.
func (c *Command) Close() error { return c.work.remove() }

// Describe returns what the template says.
func (c *Command) Describe(context.Context) (benchmarks.Description, error) { return c.desc, nil }

// Build records the parameters: there is nothing else to build.
func (c *Command) Build(_ context.Context, p benchmarks.Point, seed uint64) (benchmarks.Bundle, error) {
	p, err := c.desc.Space.Normalize(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	return benchmarks.Bundle{Point: p, Seed: seed, Type: "command", Files: []benchmarks.File{paramsFile(p)}}, nil
}

// Open needs the point alone.
func (c *Command) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	p, err := c.desc.Space.Normalize(b.Point)
	if err != nil {
		return nil, err
	}
	return &commandInstance{c, p}, nil
}

type commandInstance struct {
	command *Command
	point   benchmarks.Point
}

func (in *commandInstance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	c := in.command
	s, ok := c.desc.Scenario(r.Scenario)
	if !ok {
		return nil, fmt.Errorf("command %s: unknown scenario %.80q", c.desc.Name, r.Scenario)
	}
	if r.Perturbation != nil {
		return nil, fmt.Errorf("command %s: perturbation %.40q: %w", c.desc.Name, r.Perturbation.Kind, benchmarks.ErrUnsupported)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]benchmarks.Sample, max(r.Repeats, 1))
	for i := range out {
		values := in.values(s, r, i)
		o, err := c.run(ctx, c.template.Command, values)
		if err != nil {
			return nil, fmt.Errorf("command %s: scenario %s: %w", c.desc.Name, s.Name, err)
		}
		out[i].Values = make(map[string]float64, len(c.find))
		for j, find := range c.find {
			if out[i].Values[c.desc.Metrics[j].Name], err = find(o); err != nil {
				return nil, fmt.Errorf("command %s: scenario %s: %w", c.desc.Name, s.Name, err)
			}
		}
	}
	return out, nil
}

// values are the placeholders of one run; repeat i has the seed r.Seed+i.
func (in *commandInstance) values(s benchmarks.Scenario, r benchmarks.Request, i int) map[string]string {
	fidelity := r.Fidelity
	if fidelity == 0 {
		fidelity = 1
	}
	out := map[string]string{
		"scenario": s.Name,
		"seed":     strconv.FormatUint(r.Seed+uint64(i), 10),
		"fidelity": strconv.FormatFloat(fidelity, 'g', -1, 64),
	}
	for name, v := range s.Features {
		out[featurePrefix+name] = strconv.FormatFloat(v, 'f', -1, 64)
	}
	for name, v := range in.point {
		switch v := v.(type) {
		case float64:
			out[name] = strconv.FormatFloat(v, 'g', -1, 64)
		case []string:
			out[name] = strings.Join(v, ",")
		default:
			out[name] = fmt.Sprint(v)
		}
	}
	return out
}

// Check runs the template's check, in each scenario if it asks which one. It is
// declined without one: a benchmark alone proves nothing about its results.
func (in *commandInstance) Check(ctx context.Context, seed uint64) ([]benchmarks.Check, error) {
	c := in.command
	if c.template.Check == nil {
		return nil, fmt.Errorf("command %s: check: the template names no check: %w", c.desc.Name, benchmarks.ErrUnsupported)
	}
	scenarios := c.desc.Scenarios
	each := slices.ContainsFunc(c.template.Check, func(arg string) bool {
		return slices.ContainsFunc(placeholder.FindAllStringSubmatch(arg, -1), func(m []string) bool {
			return m[1] == "scenario" || strings.HasPrefix(m[1], featurePrefix)
		})
	})
	if !each {
		scenarios = scenarios[:1]
	}
	var out []benchmarks.Check
	for _, s := range scenarios {
		name := "check"
		if each {
			name += " " + s.Name
		}
		o, err := c.run(ctx, c.template.Check, in.values(s, benchmarks.Request{Seed: seed}, 0))
		if err != nil && o.exit <= 0 {
			return nil, fmt.Errorf("command %s: %s: %w", c.desc.Name, name, err)
		}
		out = append(out, benchmarks.Check{Name: name, Pass: err == nil, Detail: o.reason()})
	}
	return out, nil
}

func (in *commandInstance) Close() error { return nil }

// run executes the command once in a group of its own.
func (c *Command) run(ctx context.Context, command []string, values map[string]string) (out outcome, err error) {
	dir, err := os.MkdirTemp(c.work.path, "run-")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	values["dir"] = dir
	argv := argv(command, values)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.opts.Dir, environment(c.opts.Env, dir)
	log := &tail{}
	defer log.close()
	logEnd, err := log.pipe()
	if err != nil {
		return out, err
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		return out, errors.Join(err, logEnd.Close())
	}
	defer func() { _ = stdout.Close() }() // read only
	cmd.Stdout, cmd.Stderr = stdoutEnd, logEnd

	ctx, cancel := context.WithTimeout(ctx, c.opts.MeasureTimeout)
	defer cancel()
	start := time.Now()
	g, err := startGroup(cmd)
	if err = errors.Join(err, stdoutEnd.Close(), logEnd.Close()); err != nil {
		return out, fmt.Errorf("start %q: %w", argv[0], err)
	}
	unhook := context.AfterFunc(ctx, func() {
		g.kill()
		_ = stdout.SetDeadline(time.Unix(1, 0))
	})
	defer unhook()
	var b bytes.Buffer
	n, readErr := io.Copy(&b, io.LimitReader(stdout, maxOutputBytes+1))
	if readErr != nil || n > maxOutputBytes {
		g.kill()
	}
	<-g.exited // its own end, or ours
	wallNS := time.Since(start).Nanoseconds()
	log.close()
	out = outcome{stdout: b.Bytes(), said: log.String(), exit: g.cmd.ProcessState.ExitCode()}
	if err := c.judge(ctx, g, n, readErr); err != nil {
		if out.said != "" {
			err = fmt.Errorf("%w; its stderr ends with: %s", err, out.said)
		}
		return out, err
	}
	out.builtins = map[string]float64{
		"wall_ns": float64(wallNS),
		"cpu_ns":  float64((g.cmd.ProcessState.UserTime() + g.cmd.ProcessState.SystemTime()).Nanoseconds()),
	}
	if rss, ok := g.peakBytes(); ok {
		out.builtins["rss_bytes"] = float64(rss)
	}
	return out, nil
}

// judge says what a finished run was worth.
func (c *Command) judge(ctx context.Context, g *group, printed int64, readErr error) error {
	code := g.cmd.ProcessState.ExitCode()
	switch {
	case printed > maxOutputBytes:
		return fmt.Errorf("it printed more than %d bytes: %w", maxOutputBytes, benchmarks.ErrCrash)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not finished within %v: %w", c.opts.MeasureTimeout, benchmarks.ErrTimeout)
	case ctx.Err() != nil:
		return ctx.Err()
	case slices.Contains(c.template.BadCandidateExits, code):
		return fmt.Errorf("%s: %w", g.cmd.ProcessState, benchmarks.ErrBadCandidate)
	case g.err != nil:
		return fmt.Errorf("the command ended (%s): %w", g.cmd.ProcessState, benchmarks.ErrCrash)
	}
	return readErr
}
