package universe

import (
	"context"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// How the error is found: on a low grid of the context's width, after some
// steps. Fields begin in one of a few ways, so that the oracle need not run
// anew for every sample.
const (
	errorCells = 4096 // cells of the low grid, about
	errorSteps = 40
	startsKept = 4
	truthsKept = 64
)

// How much one timed sample steps at fidelity 1, and at least.
const (
	timedCellSteps = 4 << 20
	timedStepsMin  = 8
	timedStepsMax  = 2048
)

// truthKey is everything that an oracle's run depends on.
type truthKey struct {
	width   int
	start   uint64
	corner  bool // knobs at a corner of what may move online, instead of at their defaults
	purpose benchmarks.Purpose
	disturb benchmarks.Perturbation
}

// truth is what the oracle says.
type truth struct {
	knobs         []float64
	start, result *Field
}

// purposes separates what the search sees from what the gates see.
var purposes = map[benchmarks.Purpose]string{benchmarks.ForSearch: "universe/search", benchmarks.ForGates: "universe/gates"}

// Disturbances.
const (
	disturbNoise = "noise" // uniform noise of ± level times the range on the start
	disturbShift = "shift" // knobs moved by up to level times a tenth of their range
)

func keyOf(width int, r benchmarks.Request, repeat int) (truthKey, error) {
	key := truthKey{width: width, purpose: r.Purpose, start: seed.Derive(seed.Root(r.Seed), "universe/start", uint64(repeat)) % startsKept}
	if p := r.Perturbation; p != nil {
		if p.Kind != disturbNoise && p.Kind != disturbShift {
			return key, fmt.Errorf("perturbation %.40q: %w", p.Kind, benchmarks.ErrUnsupported)
		}
		if !(p.Level >= 0 && p.Level <= 1) {
			return key, fmt.Errorf("%s of level %v: want 0 to 1: %w", p.Kind, p.Level, benchmarks.ErrUnsupported)
		}
		key.disturb = *p
	}
	return key, nil
}

// begin lays out a start of the height and the knobs.
func (d *Domain) begin(key truthKey, height int) (*Field, []float64) {
	l := d.program.law
	root := seed.Root(seed.Derive(seed.Root(key.start), purposes[key.purpose], uint64(key.width)))
	f, knobs := l.NewStart(key.width, height, seed.Stream(root, "universe/field")), l.Defaults()
	r := seed.Stream(root, "universe/disturb")
	if key.corner {
		knobs = l.corner(seed.Derive(root, "universe/corner"))
	}
	switch key.disturb.Kind {
	case disturbNoise:
		for c, p := range f.Planes {
			lo, hi := l.Channels[c].Min, l.Channels[c].Max
			for i := range p {
				p[i] = min(hi, max(lo, p[i]+(hi-lo)*key.disturb.Level*(2*r.Float64()-1)))
			}
		}
	case disturbShift:
		for i, k := range l.Knobs {
			knobs[i] = min(k.Max, max(k.Min, knobs[i]+(k.Max-k.Min)*key.disturb.Level*.1*(2*r.Float64()-1)))
		}
	}
	return f, knobs
}

// truth runs the oracle, or remembers.
func (d *Domain) truth(ctx context.Context, key truthKey) (*truth, error) {
	d.mu.Lock()
	t, ok := d.truths[key]
	d.mu.Unlock()
	if ok {
		return t, nil
	}
	t = &truth{}
	t.start, t.knobs = d.begin(key, min(key.width, max(goldenHeight, errorCells/key.width)))
	var err error
	if t.result, err = d.program.Interpret(ctx, F64, t.start, t.knobs, errorSteps); err != nil {
		return nil, err
	}
	if err := t.result.finite(d.program.law); err != nil {
		return nil, fmt.Errorf("%w: %w", err, benchmarks.ErrBadCandidate)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.truths[key]; !ok {
		d.truths[key] = t
		if d.recent = append(d.recent, key); len(d.recent) > truthsKept {
			delete(d.truths, d.recent[0])
			d.recent = d.recent[1:]
		}
	}
	return t, nil
}

// instance implements benchmarks.Instance.
type instance struct {
	domain  *Domain
	kernels *Kernels
	grids   map[int]*grid // by width, for timing
}

// Close implements benchmarks.Instance.
func (in *instance) Close() error {
	var err error
	for _, w := range Widths {
		if g, ok := in.grids[w]; ok {
			err = errors.Join(err, g.close())
		}
	}
	return errors.Join(err, in.kernels.Close())
}

// Measure implements benchmarks.Instance.
func (in *instance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	s, err := in.domain.scene(r.Scenario)
	if err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	var out []benchmarks.Sample
	for repeat := range r.Repeats {
		key, err := keyOf(s.width, r, repeat)
		if err != nil {
			return nil, err
		}
		sample := benchmarks.Sample{Values: map[string]float64{}}
		if !r.OnlyMeasured {
			if err := in.compare(ctx, key, sample.Values); err != nil {
				return nil, err
			}
		}
		if !r.OnlyDeterministic {
			if sample.Values[MetricNS], err = in.timed(ctx, key, r.Fidelity); err != nil {
				return nil, err
			}
		}
		out = append(out, sample)
	}
	return out, nil
}

// compare finds the errors: the larger of the one at the knobs' defaults and
// the one at a corner of what may move online, so that a budget is about any
// knobs that Tier 2 may set. The fidelity changes nothing here: half a budget
// of steps is another budget.
func (in *instance) compare(ctx context.Context, key truthKey, values map[string]float64) error {
	l := in.domain.program.law
	values[MetricError], values[MetricStatistic] = 0, 0
	for _, corner := range []bool{false, true} {
		if corner && (key.disturb.Kind == disturbShift || len(l.Online()) == 0) {
			continue // a shift moves the knobs itself, and further
		}
		key.corner = corner
		t, err := in.domain.truth(ctx, key)
		if err != nil {
			return err
		}
		got, err := in.kernels.by[key.width].runFrom(ctx, t.start, t.knobs, errorSteps)
		if err != nil {
			return err
		}
		// A kernel that leaves the numbers is infinitely wrong; metrics are finite.
		values[MetricError] = max(values[MetricError], min(maxDifference(l, t.result, got), math.MaxFloat32))
		values[MetricStatistic] = max(values[MetricStatistic], min(statisticDifference(l, t.result, got), math.MaxFloat32))
	}
	values[MetricModule] = float64(in.kernels.bytes)
	return nil
}

// timed steps the whole grid from the start and returns the time of a cell.
func (in *instance) timed(ctx context.Context, key truthKey, fidelity float64) (float64, error) {
	f, knobs := in.domain.begin(key, key.width)
	g, ok := in.grids[key.width]
	if !ok {
		var err error
		if g, err = in.kernels.by[key.width].open(ctx, key.width); err != nil {
			return 0, err
		}
		in.grids[key.width] = g
	}
	g.setKnobs(knobs)
	g.write(f)
	cells := key.width * key.width
	steps := min(timedStepsMax, max(timedStepsMin, int(fidelity*timedCellSteps)/cells))
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	command := steps
	if g.process != nil {
		command = stepsACommand
	}
	spent, err := g.spent(func() error {
		for left := steps; left > 0; left -= command {
			if err := g.steps(ctx, min(left, command)); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(spent) / float64(steps*cells), err
}

// stepsACommand is how many steps a timed native kernel takes at once: the way
// to its process and back is a part of what it costs, and a host that serves
// takes a few steps a request.
const stepsACommand = 8

// spent is the processor time that f takes of the calling thread, which must be
// locked to its goroutine, and of the grid's own process.
func (g *grid) spent(f func() error) (time.Duration, error) {
	there, err := g.elsewhere()
	if err != nil {
		return 0, err
	}
	from, err := benchmarks.ThreadCPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	to, err := benchmarks.ThreadCPU() // before it waits for the other account
	if err != nil {
		return 0, err
	}
	after, err := g.elsewhere()
	return to - from + after - there, err
}

// Check implements benchmarks.Instance: each width's kernel against the
// interpreter of its precision, and the oracle against nonsense.
func (in *instance) Check(ctx context.Context, from uint64) ([]benchmarks.Check, error) {
	var out []benchmarks.Check
	note := func(name string, err error) {
		c := benchmarks.Check{Name: name, Pass: err == nil}
		if err != nil {
			c.Detail = err.Error()
		}
		out = append(out, c)
	}
	for _, w := range Widths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k := in.kernels.by[w]
		note(fmt.Sprintf("width %d agrees with the interpreter bit by bit", w), k.golden(ctx, from))
		if l := k.program.law; len(l.Online()) > 0 {
			at := l.corner(seed.Derive(seed.Root(from), "universe/check-corner", uint64(w)))
			note(fmt.Sprintf("width %d does so with knobs where Tier 2 may set them", w), k.goldenAt(ctx, from, at))
		}
	}
	note("the field stays in its range", in.bounded(ctx, from))
	if in.kernels.compiled != nil {
		_, err := in.kernels.Reproduce(ctx)
		note("what wazero makes of its modules is, byte for byte, what the bundle carries", err)
	}
	return out, nil
}

// boundedSteps is how long a field must stay in its range.
const boundedSteps = 500

func (in *instance) bounded(ctx context.Context, from uint64) error {
	l := in.domain.program.law
	k := in.kernels.by[Widths[0]]
	start := l.NewStart(Widths[0], Widths[0], seed.Stream(seed.Root(from), "universe/bounded"))
	got, err := k.runFrom(ctx, start, l.Defaults(), boundedSteps)
	if err != nil {
		return err
	}
	return got.finite(l)
}
