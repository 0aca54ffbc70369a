package external

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/arqon/arqon/benchmarks"
)

// Options bound a program. The zero value of every field is a usable default.
type Options struct {
	Dir       string   // the program's working directory; "" is the caller's
	TempDir   string   // where its temporary directories are made; "" is the system's
	Env       []string // names of variables to pass on beside PATH, HOME, LANG and its own TMPDIR
	Processes int      // how many may run at once; 0 is 4

	StartTimeout   time.Duration // hello and describe; 0 is 1 minute (a first `go run` compiles)
	BuildTimeout   time.Duration // 0 is 2 minutes
	MeasureTimeout time.Duration // 0 is 2 minutes
	CheckTimeout   time.Duration // 0 is 2 minutes

	CrashesMax     int   // in a row, before quarantine; 0 is 5. A hang and a garbled answer count as crashes
	BundleBytesMax int64 // 0 is 64 MiB
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.StartTimeout, time.Minute)
	def(&o.BuildTimeout, 2*time.Minute)
	def(&o.MeasureTimeout, 2*time.Minute)
	def(&o.CheckTimeout, 2*time.Minute)
	if o.Processes <= 0 {
		o.Processes = 4
	}
	if o.CrashesMax <= 0 {
		o.CrashesMax = 5
	}
	if o.BundleBytesMax <= 0 {
		o.BundleBytesMax = bundleBytesMax
	}
	return o
}

// Domain is a program that speaks arqon-domain/1. Its methods and those of its
// instances may be called from several goroutines: each call borrows one
// process, the one used last if it is free. Close ends all of them.
type Domain struct {
	argv  []string
	opts  Options
	work  *workDir      // all temporary directories live below
	slots chan struct{} // one token a running call

	mu      sync.Mutex
	idle    []*process
	crashes int
	closed  bool
	hello   *reply // the first one; later ones must agree
	builds  bool   // false: it said that it does not build, and is not asked again

	describe sync.Mutex
	desc     *benchmarks.Description
}

// New returns a domain for the command. No process is started before it is
// needed.
func New(argv []string, o Options) (*Domain, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("external: the command is empty")
	}
	o = o.withDefaults()
	work, err := newWorkDir(o.TempDir, "arqon-external-")
	if err != nil {
		return nil, fmt.Errorf("external: %w", err)
	}
	return &Domain{argv: argv, opts: o, work: work, slots: make(chan struct{}, o.Processes), builds: true}, nil
}

// Close ends the idle processes and removes what they left. It waits for the
// calls that still run (cancel their contexts first); a closed domain refuses
// new ones. Closing twice is harmless.
func (d *Domain) Close() error {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.closed = nil, true
	d.mu.Unlock()
	var err error
	for _, p := range idle {
		err = errors.Join(err, p.shutdown("shutdown"))
	}
	for range cap(d.slots) { // wait for the calls that still run
		d.slots <- struct{}{}
	}
	for range cap(d.slots) {
		<-d.slots
	}
	return errors.Join(err, d.work.remove())
}

// Describe asks once and remembers.
func (d *Domain) Describe(ctx context.Context) (benchmarks.Description, error) {
	d.describe.Lock()
	defer d.describe.Unlock()
	if d.desc != nil {
		return *d.desc, nil
	}
	r, err := d.call(ctx, d.opts.StartTimeout, request{Op: "describe"})
	if err != nil {
		return benchmarks.Description{}, err
	}
	d.mu.Lock()
	hello := *d.hello
	d.mu.Unlock()
	desc, err := description(hello, r)
	if err != nil {
		return benchmarks.Description{}, fmt.Errorf("%s: describe: %w", d.label(), err)
	}
	d.desc = &desc
	return desc, nil
}

// Build lets the program write its files and reads them back. A program
// without build gets a bundle of its parameters.
func (d *Domain) Build(ctx context.Context, p benchmarks.Point, seed uint64) (benchmarks.Bundle, error) {
	desc, err := d.Describe(ctx)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	p, err = desc.Space.Normalize(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	b := benchmarks.Bundle{Point: p, Seed: seed, Type: "external", Files: []benchmarks.File{paramsFile(p)}}
	d.mu.Lock()
	builds := d.builds
	d.mu.Unlock()
	if !builds {
		return b, nil
	}
	dir, err := os.MkdirTemp(d.work.path, "build-")
	if err != nil {
		return b, err
	}
	r, err := d.call(ctx, d.opts.BuildTimeout, request{Op: "build", Point: p.Canonical(), Seed: &seed, Dir: dir})
	var files []benchmarks.File
	if err == nil {
		files, err = readBack(dir, r.Files, d.opts.BundleBytesMax)
		if err != nil {
			err = fmt.Errorf("%s: build: %w", d.label(), err)
		}
	}
	if errors.Is(err, benchmarks.ErrUnsupported) { // a question a point would be half of the talk
		d.mu.Lock()
		d.builds = false
		d.mu.Unlock()
		err = nil
	}
	if len(files) > 0 {
		b.Files = files
	}
	if r.Type != "" {
		b.Type = r.Type
	}
	return b, errors.Join(err, os.RemoveAll(dir))
}

// paramsFile makes a bundle of a program that builds nothing.
func paramsFile(p benchmarks.Point) benchmarks.File {
	return benchmarks.File{Name: "params.json", MediaType: "application/json", Bytes: p.Canonical()}
}

// Open writes the bundle's files into a fresh directory.
func (d *Domain) Open(ctx context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	desc, err := d.Describe(ctx)
	if err != nil {
		return nil, err
	}
	p, err := desc.Space.Normalize(b.Point)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(d.work.path, "open-")
	if err != nil {
		return nil, err
	}
	if err := writeOut(dir, b.Files, d.opts.BundleBytesMax); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: open: %w", d.label(), err), os.RemoveAll(dir))
	}
	return &instance{domain: d, desc: desc, point: p.Canonical(), dir: dir}, nil
}

type instance struct {
	domain *Domain
	desc   benchmarks.Description
	point  json.RawMessage
	dir    string
}

// Measure does not pass on the Only flags: the protocol has no words for them,
// and a program always measures everything. It passes on the purpose to a
// program that knows the word.
func (in *instance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	if _, ok := in.desc.Scenario(r.Scenario); !ok {
		return nil, fmt.Errorf("%s: unknown scenario %.80q", in.domain.label(), r.Scenario)
	}
	q := request{Op: "measure", Point: in.point, Dir: in.dir, Scenario: r.Scenario, Seed: &r.Seed,
		Repeats: max(r.Repeats, 1), Fidelity: r.Fidelity, Perturbation: r.Perturbation}
	if q.Fidelity == 0 {
		q.Fidelity = 1
	}
	if r.Purpose == benchmarks.ForGates && in.domain.knowsPurpose() {
		q.Purpose = purposeGates
	}
	answer, err := in.domain.call(ctx, in.domain.opts.MeasureTimeout, q)
	if err != nil {
		return nil, err
	}
	if n := len(answer.Items); n > 0 && n != q.Repeats {
		return nil, fmt.Errorf("%s: measure: items of %d samples for %d repeats: %w", in.domain.label(), n, q.Repeats, ErrProtocol)
	}
	if len(answer.Samples) != q.Repeats {
		return nil, fmt.Errorf("%s: measure: %d samples for %d repeats: %w", in.domain.label(), len(answer.Samples), q.Repeats, ErrProtocol)
	}
	out := make([]benchmarks.Sample, len(answer.Samples))
	for i, raw := range answer.Samples {
		if out[i], err = sample(in.desc.Metrics, raw); err != nil {
			return nil, fmt.Errorf("%s: measure: scenario %s, sample %d: %w", in.domain.label(), r.Scenario, i, err)
		}
		if len(answer.Items) > 0 {
			out[i].Items = answer.Items[i]
		}
	}
	return out, nil
}

// knowsPurpose holds once somebody has shaken hands, as Open has.
func (d *Domain) knowsPurpose() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hello != nil && d.hello.Purpose
}

func (in *instance) Check(ctx context.Context, seed uint64) ([]benchmarks.Check, error) {
	answer, err := in.domain.call(ctx, in.domain.opts.CheckTimeout,
		request{Op: "check", Point: in.point, Dir: in.dir, Seed: &seed})
	return answer.Checks, err
}

var _ benchmarks.Answerer = (*instance)(nil)

// Answer implements benchmarks.Answerer for a program that knows the
// operation; any other declines it.
func (in *instance) Answer(ctx context.Context, questions ...string) ([]benchmarks.Golden, error) {
	answer, err := in.domain.call(ctx, in.domain.opts.CheckTimeout, request{Op: "answer", Point: in.point, Dir: in.dir, Questions: questions})
	if err != nil {
		return nil, err
	}
	if len(answer.Answers) == 0 || (len(questions) > 0 && len(answer.Answers) != len(questions)) {
		return nil, fmt.Errorf("%s: answer: %d answers to %d questions: %w", in.domain.label(), len(answer.Answers), len(questions), ErrProtocol)
	}
	return answer.Answers, nil
}

func (in *instance) Close() error { return os.RemoveAll(in.dir) }

func (d *Domain) label() string { return fmt.Sprintf("external program %q", d.argv[0]) }

// call borrows a process for one request.
func (d *Domain) call(ctx context.Context, deadline time.Duration, q request) (reply, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
	p, err := d.borrow(ctx)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", d.label(), err)
	}
	r, err := p.call(ctx, deadline, q)
	if err = d.giveBack(ctx, p, err); err != nil {
		return r, fmt.Errorf("%s: %w", d.label(), err)
	}
	return r, nil
}

// borrow returns an idle process or starts one and shakes hands.
func (d *Domain) borrow(ctx context.Context) (*process, error) {
	for {
		d.mu.Lock()
		switch {
		case d.closed:
			d.mu.Unlock()
			return nil, errors.New("closed")
		case d.crashes >= d.opts.CrashesMax:
			d.mu.Unlock()
			return nil, fmt.Errorf("%d crashes in a row: %w", d.opts.CrashesMax, benchmarks.ErrQuarantined)
		}
		if len(d.idle) == 0 {
			d.mu.Unlock()
			return d.start(ctx)
		}
		p := d.idle[len(d.idle)-1]
		d.idle = d.idle[:len(d.idle)-1]
		d.mu.Unlock()
		if p.alive() {
			return p, nil
		}
		if err := p.stop(); err != nil { // it died while nobody asked it anything
			return nil, err
		}
	}
}

func (d *Domain) start(ctx context.Context) (*process, error) {
	p, err := startProcess(d.argv, d.opts, d.work.path)
	if err != nil {
		return nil, err
	}
	r, err := p.call(ctx, d.opts.StartTimeout, request{Op: "hello", Protocol: Protocol})
	if errors.Is(err, benchmarks.ErrUnsupported) { // it has no name of its own to say
		r, err = reply{Name: nameless, Version: "0"}, nil
	}
	if err == nil {
		err = d.greet(r)
	}
	if err != nil {
		d.count(ctx, err)
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// nameless is what a program is called that says "unsupported" to hello.
const nameless = "external"

// greet refuses a program that is another one after a restart.
func (d *Domain) greet(r reply) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hello == nil {
		d.hello = &r
	}
	if r.Name != d.hello.Name || r.Version != d.hello.Version {
		return fmt.Errorf("hello: it is %.80q %.40q now and was %.80q %.40q: %w", r.Name, r.Version, d.hello.Name, d.hello.Version, ErrProtocol)
	}
	return nil
}

// giveBack returns a healthy process to the pool and counts crashes.
func (d *Domain) giveBack(ctx context.Context, p *process, err error) error {
	d.count(ctx, err)
	if !p.alive() {
		return errors.Join(err, p.stop())
	}
	d.mu.Lock()
	if !d.closed {
		d.idle = append(d.idle, p)
		d.mu.Unlock()
		return err
	}
	d.mu.Unlock()
	return errors.Join(err, p.shutdown("shutdown"))
}

// count keeps the number of crashes in a row. The program's own refusals are
// answers, and a cancelled call is the caller's doing.
func (d *Domain) count(ctx context.Context, err error) {
	var own *refusal
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil || errors.As(err, &own) || errors.Is(err, errNotFinite):
		d.crashes = 0
	case ctx.Err() == nil:
		d.crashes++
	}
}

func isPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
