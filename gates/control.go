package gates

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates/evalue"
)

// controlAlpha is the level at which a synthetic delay must be found.
const controlAlpha = .01

// Names of controls.
const (
	controlSameCode = "a/a"           // identical builds do not differ
	controlNoise    = "noise history" // and are as loud as in earlier nights
)

// A burn goes in pieces of about a microsecond and takes long enough for a
// clock to tell.
const (
	burnSteps = 1 << 9
	burnNSMin = 200e3
)

// controls are the night's checks on itself, before any candidate: identical
// builds give identical deterministic values, identical builds do not differ
// in what is measured, a synthetic delay is flagged, and its absence is found.
func (j *Judge) controls(ctx context.Context) error {
	if err := j.controlSame(ctx); err != nil {
		return err
	}
	where, m, ok := j.controlMetric()
	if !ok {
		for _, name := range []string{controlSameCode, delayName("+", j.Policy), delayName("-", j.Policy)} {
			j.night.Controls = append(j.night.Controls, Control{
				Name: name, Want: "a measured metric", Outcome: Inconclusive,
				Reason: "not applicable: the domain measures nothing, every metric is deterministic",
			})
		}
		return nil
	}
	if err := j.controlAA(ctx, where); err != nil {
		return err
	}
	if !timeUnit(m) {
		for _, sign := range []string{"+", "-"} {
			j.night.Controls = append(j.night.Controls, Control{
				Name: delayName(sign, j.Policy), Context: where, Metric: m.Name, Want: "a metric in time units", Outcome: Inconclusive,
				Reason: fmt.Sprintf("not applicable: %s is not a time, a delay cannot be injected", m.Name),
			})
		}
		return nil
	}
	slow := &delayed{arm: &j.twin, share: j.Policy.ControlDelay, metrics: j.order[where]}
	if err := j.controlDelay(ctx, where, m, "+", j.instance(&j.base), slow.open(j)); err != nil {
		return err
	}
	return j.controlDelay(ctx, where, m, "-", slow.open(j), j.instance(&j.base))
}

func delayName(sign string, p Policy) string {
	return fmt.Sprintf("delay %s%g %%", sign, 100*p.ControlDelay)
}

// controlMetric prefers a context where a measured time decides.
func (j *Judge) controlMetric() (context string, m benchmarks.Metric, ok bool) {
	rank := 0
	for _, s := range j.Description.Scenarios {
		for _, x := range j.order[s.Name] {
			if x.Kind != benchmarks.Measured {
				continue
			}
			r := 1
			if timeUnit(x) {
				r += 2
			}
			if x.Role == benchmarks.Success {
				r++
			}
			if r > rank {
				rank, context, m, ok = r, s.Name, x, true
			}
		}
	}
	return context, m, ok
}

func timeUnit(m benchmarks.Metric) bool {
	switch m.Unit {
	case "ns", "us", "µs", "ms", "s":
		return m.Direction != benchmarks.Higher && m.Compare != benchmarks.Difference
	}
	return false
}

// controlSame: what is called deterministic must repeat, from another instance
// too.
func (j *Judge) controlSame(ctx context.Context) error {
	where := j.Description.Scenarios[0].Name
	c := Control{Name: "same twice", Context: where, Want: "equal values", Outcome: Pass}
	r := benchmarks.Request{Scenario: where, Seed: j.gateSeed(where, "control"), Fidelity: j.Policy.RobustFidelity}
	a, err := j.evaluate(ctx, &j.base, "baseline/"+where, "control", r)
	if err != nil {
		return err
	}
	b, err := j.evaluate(ctx, &j.twin, "twin/"+where, "control", r)
	if err != nil {
		return err
	}
	n := 0
	for _, m := range j.order[where] {
		if m.Kind != benchmarks.Deterministic {
			continue
		}
		n++
		if r := j.night.Wording.exact(GateRegression, TestSame, m, a, b, 0, 0); r.Decision != Pass {
			c.Outcome, c.Metric, c.Reason = Fail, m.Name, r.Reason
			break
		}
	}
	switch {
	case n == 0:
		c.Outcome, c.Reason = Inconclusive, "not applicable: no metric is deterministic"
	case c.Outcome == Pass:
		c.Reason = "two instances of the baseline gave " + j.night.Wording.values(n)
	}
	j.night.Controls = append(j.night.Controls, c)
	return nil
}

// controlAA: identical builds must not cross at the night's own level.
func (j *Judge) controlAA(ctx context.Context, where string) error {
	c := Control{Name: controlSameCode, Context: where, Want: "no difference between identical builds"}
	src := pairSource{j: j, name: "control/aa", context: where, a: j.instance(&j.base), b: j.instance(&j.twin), arms: []*arm{&j.base, &j.twin}}
	var ms []benchmarks.Metric
	for _, m := range j.order[where] {
		if m.Kind == benchmarks.Measured {
			ms = append(ms, m)
		}
	}
	c.LogBar = evalue.LogBar(len(ms), j.night.Alpha.Night)
	most := j.identicalPairs(c.LogBar)
	for i := range most {
		p, failed, err := src.next(ctx, i)
		if err != nil {
			return err
		}
		if failed != "" {
			c.Failed = failed
			break
		}
		c.Pairs = append(c.Pairs, p)
		j.step(Step{Context: where, Gate: "control", Pairs: i + 1, PairsMax: most})
	}
	c.Outcome, c.LogE = Pass, math.Inf(-1)
	var all []*measuredSeries
	for _, m := range ms {
		s := j.newSeries(m, j.Policy.question(m, j.night.Alpha.Night, len(ms)), where).addAll(c.Pairs)
		r := s.result(GateRegression, TestSame, 0)
		j.learn(where, s)
		all = append(all, s)
		if r.Decision != Pass && c.Outcome == Pass || r.LogE > c.LogE && c.Outcome == Pass {
			c.Metric, c.LogE, c.Change, c.Race, c.Reason = m.Name, r.LogE, r.Change, r.Race, r.Reason
		}
		if r.Decision != Pass {
			c.Outcome = Fail
		}
	}
	if c.Failed != "" {
		c.Outcome, c.Reason = Fail, "the baseline could not be measured: "+c.Failed
	}
	if !finite(c.LogE) {
		c.LogE = 0
	}
	j.machineEvents(where, c.Name, c.Pairs)
	j.night.Controls = append(j.night.Controls, c)
	return j.controlHistory(where, all)
}

// controlDelay: with "+" the candidate is the baseline made slower and must be
// called slower; with "-" the baseline is, and the candidate must be found.
func (j *Judge) controlDelay(ctx context.Context, where string, m benchmarks.Metric, sign string, a, b func(context.Context) (benchmarks.Instance, error)) error {
	c := Control{Name: delayName(sign, j.Policy), Context: where, Metric: m.Name, LogBar: evalue.LogBar(1, controlAlpha)}
	q := j.Policy.question(m, controlAlpha, 1)
	q.Goal, q.MinEffect = evalue.Better, j.Policy.ControlDelay
	s := j.newSeries(m, q, where)
	side := evalue.Above
	c.Want = "slower, and flagged"
	if sign == "-" {
		side = evalue.Below
		c.Want = "faster, and found"
	}
	src := pairSource{j: j, name: "control/delay" + sign, context: where, a: a, b: b, arms: []*arm{&j.base, &j.twin}}
	for i := range j.Policy.ControlPairsMax {
		p, failed, err := src.next(ctx, i)
		if err != nil {
			return err
		}
		if failed != "" {
			c.Failed = failed
			break
		}
		c.Pairs = append(c.Pairs, p)
		s.add(p)
		j.step(Step{Context: where, Gate: "control", Pairs: i + 1, PairsMax: j.Policy.ControlPairsMax})
		if s.bad != nil || s.logE(side, 0) >= c.LogBar {
			break
		}
	}
	switch {
	case c.Failed != "":
		c.Outcome, c.Reason = Fail, "could not be measured: "+c.Failed
	case s.bad != nil:
		c.Outcome, c.Reason = Fail, s.bad.Error()
	default:
		c.Change, c.LogE = s.d.Estimate(), s.logE(side, 0)
		c.Race = raceOf(s.d.Race(side, 0))
		c.Outcome = Fail
		if c.LogE >= c.LogBar {
			c.Outcome = Pass
		}
		c.Reason = fmt.Sprintf("%s: %s measured, %s, %d pairs", m.Name, changeWords(m, c.Change), eWords(c.LogE, c.LogBar), s.len())
	}
	j.machineEvents(where, c.Name, c.Pairs)
	j.night.Controls = append(j.night.Controls, c)
	return nil
}

// delayed is an instance made slower by a share: after every measurement it
// burns that share of the time the measurement took, in real work, and adds
// the time that the work really took to every metric that is a time.
// The delay is beside the timed region, not inside it: what the control proves
// is that the pairs, the order coins and the tests see a real delay of that
// size through this machine's noise tonight.
type delayed struct {
	arm     *arm
	share   float64
	metrics []benchmarks.Metric
	sink    uint64 // keeps the burn from being optimised away
}

func (d *delayed) open(j *Judge) func(context.Context) (benchmarks.Instance, error) {
	return func(ctx context.Context) (benchmarks.Instance, error) {
		in, err := d.arm.open(ctx, j.Domain)
		if err != nil {
			return nil, err
		}
		return &slowInstance{Instance: in, delay: d}, nil
	}
}

type slowInstance struct {
	benchmarks.Instance
	delay *delayed
}

// Measure implements benchmarks.Instance.
func (s *slowInstance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	took := stopwatch()
	samples, err := s.Instance.Measure(ctx, r)
	if err != nil {
		return nil, err
	}
	d := s.delay
	tookNS := took()
	share := d.share * tookNS
	rounds := max(1, math.Ceil(burnNSMin/max(1, share))) // a short delay is burnt several times and averaged
	burning := stopwatch()
	for burning() < share*rounds {
		d.sink += burn(burnSteps)
	}
	delay := burning() / rounds
	factor := 1 + delay/max(1, tookNS)
	out := make([]benchmarks.Sample, len(samples))
	for i, sample := range samples {
		out[i] = benchmarks.Sample{Values: map[string]float64{}, Items: sample.Items}
		for k, v := range sample.Values {
			out[i].Values[k] = v
		}
		for _, m := range d.metrics {
			if v, ok := sample.Values[m.Name]; ok && m.Kind == benchmarks.Measured && timeUnit(m) {
				out[i].Values[m.Name] = v * factor
			}
		}
	}
	return out, nil
}

// stopwatch returns the nanoseconds since it was made. A control measures, as a
// domain does; what it measured is recorded and only the record decides.
func stopwatch() func() float64 {
	start := time.Now() //nolint:forbidigo // measures, decides nothing
	return func() float64 {
		return float64(time.Since(start).Nanoseconds()) //nolint:forbidigo // measures, decides nothing
	}
}

// burn is a dependent chain that the compiler cannot shorten.
func burn(steps int) uint64 {
	x := uint64(88172645463325252)
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
