package runtime

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/adapt"
)

// AdaptConfig of Tier 2. The zero config selects variants by their upper
// bounds and leaves knobs alone.
type AdaptConfig struct {
	Policy    adapt.Policy    `json:"policy"`
	SLA       string          `json:"sla"`       // metric in nanoseconds whose maximum is the SLA; "": none
	Knobs     bool            `json:"knobs"`     // tune the knobs of variants that serve
	Algorithm adapt.Algorithm `json:"algorithm"` // of knobs
}

// Adaptation is Tier 2: one bandit a class, fed with what every variant of the
// class showed in a window, and one tuner a variant with knobs. It proposes;
// only the Executor changes anything. Its choices are a function of (state,
// seed, window) and are logged with their propensities, so that a replay can
// compare them. It belongs to one goroutine.
type Adaptation struct {
	rt     *Runtime
	cfg    AdaptConfig
	seed   uint64
	lanes  []learner
	tuners []tuner // ascending variant

	choices []Choice // of the step being made
}

// learner is what Tier 2 knows of one class.
type learner struct {
	bandit *adapt.Bandit
	ids    []catalog.VariantID // by arm
	limit  float64             // ns; 0: none
	scale  float64             // of losses: what counts as 1; 0: not known yet
	tuning catalog.VariantID   // whose knobs serve as its tuner asked

	eligible  []bool    // by arm; of the choice being made
	predicted []float64 // ms
}

type tuner struct {
	variant catalog.VariantID
	knobs   []KnobID
	ranges  []adapt.Range
	search  *adapt.Tuner
	asked   bool      // what serves now is what it asked for
	now     []float64 // where its knobs are; of the move being made
}

// Choice is what Tier 2 prefers for a class, whether or not that changes
// anything.
type Choice struct {
	Class      Class
	Variant    catalog.VariantID
	Propensity float64 // probability of this choice given the state
}

// How a class's bandit is told about windows.
const (
	priorWindows = 2.   // windows that a signed expectation counts for
	stayNoise    = .5   // standard deviations that another variant must promise more
	auditPace    = .005 // a window in which another variant serves is dear, and knobs that move look like drift
	noiseMin     = 1e-3 // of a window's mean, as a share of what is expected
)

// NewAdaptation makes Tier 2 for a runtime and logs its configuration.
func NewAdaptation(rt *Runtime, c AdaptConfig) (*Adaptation, error) {
	return begin(rt, adaptState{Config: c})
}

// ResumeAdaptation makes Tier 2 from a Snapshot, such as one taken before the
// process ended, and logs that state: a replay goes on from it.
func ResumeAdaptation(rt *Runtime, snapshot []byte) (*Adaptation, error) {
	var s adaptState
	if err := decodeJSON(snapshot, &s); err != nil {
		return nil, fmt.Errorf("adaptation: %w", err)
	}
	return begin(rt, s)
}

func begin(rt *Runtime, s adaptState) (*Adaptation, error) {
	if _, ok := rt.Metric(s.Config.SLA); !ok && s.Config.SLA != "" {
		return nil, fmt.Errorf("adaptation: SLA %q is not one of the runtime's metrics", s.Config.SLA)
	}
	a, err := newAdaptation(s, uint64(rt.cfg.Seed))
	if err != nil {
		return nil, err
	}
	a.rt = rt
	x := &rt.executor
	x.mu.Lock()
	x.enqueue(recordAdapt, func(b []byte) []byte { return appendJSON(b, s) })
	x.mu.Unlock()
	return a, x.drain(false)
}

// Cycle is one decision cycle: Tier 1 judges the window, then Tier 2 proposes
// and Tier 1 decides, proposal by proposal.
func (a *Adaptation) Cycle(w *Window) ([]Transition, []Decision) {
	x := &a.rt.executor
	ts := x.Observe(w)
	var ds []Decision
	for _, p := range a.Step(w) {
		p.Base = a.rt.Load().Generation() // classes are independent: only the first could still be on the old one
		ds = append(ds, x.Propose(p))
	}
	return ts, ds
}

// Step learns from a window and returns what Tier 2 would change, at most one
// proposal a class.
func (a *Adaptation) Step(w *Window) []Proposal {
	x := &a.rt.executor
	x.mu.Lock()
	x.noticeKill()
	s := a.step(x.m, w)
	x.enqueue(recordStep, s.encode)
	x.mu.Unlock()
	if err := x.drain(false); err != nil {
		return nil
	}
	return s.Proposals
}

// step is Step without the world. The choices it returns are good until the next
// one.
func (a *Adaptation) step(m *machine, w *Window) (out adaptStep) {
	if m.dead != NoReason {
		return out
	}
	out.Choices = a.choices[:0]
	for c := range m.lanes {
		if len(a.lanes) <= c {
			a.lanes = append(a.lanes, learner{})
		}
		if err := a.prepare(m.view, Class(c)); err != nil {
			continue // a class without entries has nothing to choose from
		}
		loss, seen := a.learn(m, w, Class(c))
		if s := m.lanes[c].state; s != Idle && s != Promoted {
			a.gaveUp(m, Class(c))
			continue
		}
		choice, p, ok := a.stepClass(m, w, Class(c), loss, seen)
		out.Choices = append(out.Choices, choice)
		if ok {
			out.Proposals = append(out.Proposals, p)
		}
	}
	a.choices = out.Choices
	return out
}

var errNoArms = errors.New("no entries")

// prepare makes the class's bandit choose among the entries of the release in
// force; what is known of those that stay is kept.
func (a *Adaptation) prepare(v *view, c Class) error {
	l := &a.lanes[c]
	if len(v.Entries) == 0 {
		return errNoArms
	}
	limit := v.limit(a.cfg.SLA, c)
	same := l.bandit != nil && l.limit == limit && len(l.ids) == len(v.Entries)
	for i := 0; same && i < len(l.ids); i++ {
		same = l.ids[i] == v.Entries[i].ID
	}
	if same {
		return nil
	}
	ids, from := make([]catalog.VariantID, len(v.Entries)), make([]int, len(v.Entries))
	for i, e := range v.Entries {
		ids[i], from[i] = e.ID, slices.Index(l.ids, e.ID)
	}
	if l.bandit == nil {
		b, err := adapt.NewBandit(adapt.BanditConfig{
			Arms: len(ids), Seed: adapt.Draw(a.seed, uint64(c)), LimitMS: limit / 1e6, Policy: a.cfg.Policy, Stay: stayNoise, NoiseMin: noiseMin, Audit: auditPace,
		})
		if err != nil {
			return err
		}
		l.bandit = b
	} else if err := l.bandit.Rearm(from, limit/1e6); err != nil {
		return err
	}
	l.ids, l.limit = ids, limit
	if l.scale == 0 {
		l.scale = v.scale(c)
	}
	if l.scale > 0 {
		a.expect(v, c, from)
	}
	return nil
}

// expect tells the bandit of the signed expectations of new arms.
func (a *Adaptation) expect(v *view, c Class, from []int) {
	l := &a.lanes[c]
	for i := range l.ids {
		if e := &v.Entries[i].Class[c]; from[i] < 0 && e.Known {
			l.bandit.Expect(i, v.reward(c, e.Value, l.scale), priorWindows)
		}
	}
}

// scale is the size of the success metric in a class: what the baseline is
// expected to have, or else the first entry that has an expectation.
func (v *view) scale(c Class) float64 {
	out := 0.0
	for i := range v.Entries {
		e := &v.Entries[i]
		if x := math.Abs(e.Class[c].Value); e.Class[c].Known && x > 0 && (out == 0 || e.ID == v.Baseline) {
			out = x
		}
	}
	return out
}

// reward is a success metric's value as more is better, in units of scale.
func (v *view) reward(c Class, x, scale float64) float64 {
	if v.Classes[c].Higher {
		return x / scale
	}
	return -x / scale
}

// limit is the least maximum that guardrails set for a metric in a class, 0
// for none.
func (v *view) limit(metric string, c Class) (limit float64) {
	m := v.metric(metric)
	for _, g := range v.Guards {
		if m >= 0 && int(g.Metric) == m && (g.Class < 0 || g.Class == int(c)) && g.Max != nil && (limit == 0 || *g.Max < limit) {
			limit = *g.Max
		}
	}
	return limit
}

// learn tells the class's bandit what every variant showed, candidates of
// canaries included. It returns the incumbent's loss.
func (a *Adaptation) learn(m *machine, w *Window, c Class) (loss float64, seen bool) {
	v, l := m.view, &a.lanes[c]
	k := v.Classes[c]
	if k.Success < 0 {
		return 0, false
	}
	sla := v.metric(a.cfg.SLA)
	for i, id := range l.ids {
		cell, ok := w.Cell(c, id, MetricID(k.Success))
		if !ok || !cell.sane() || cell.Count == 0 {
			continue
		}
		if l.scale == 0 && cell.Mean != 0 {
			l.scale = math.Abs(cell.Mean)
		}
		reward := v.reward(c, cell.Mean, max(l.scale, math.SmallestNonzeroFloat64))
		ms := math.NaN()
		if sla >= 0 {
			if cell, ok := w.Cell(c, id, MetricID(sla)); ok && cell.sane() {
				ms = cell.value(v.Metrics[sla].Stat) / 1e6
			}
		}
		l.bandit.Observe(i, nil, reward, v.Entries[i].Class[c].P99NS/1e6, ms)
		if id == m.lanes[c].incumbent {
			loss, seen = -reward, true
		}
	}
	return loss, seen
}

func (a *Adaptation) stepClass(m *machine, w *Window, c Class, loss float64, seen bool) (Choice, Proposal, bool) {
	v, l := m.view, &m.lanes[c]
	choice := a.choose(v, c, l.incumbent)
	p := Proposal{Tick: w.Tick, Base: m.generation, Class: c, Variant: choice.Variant, Seed: adapt.Draw(a.seed, uint64(c), uint64(w.Tick))}
	if p.Variant != l.incumbent && p.Variant != catalog.BuiltIn { // only guardrails fall back to the built-in
		if e, ok := v.entry(p.Variant); ok && (e.Direct || e.ID == v.Baseline) {
			p.Ramp = RampDirect
		}
		return choice, p, true
	}
	if !a.cfg.Knobs || !seen {
		return choice, p, false
	}
	p.Variant = l.incumbent
	p.Knobs = a.tune(m, c, loss)
	return choice, p, len(p.Knobs) > 0
}

// choose asks the class's bandit. Constraints come first: what Tier 1 would
// refuse is not in the choice, and where no arm is known to stay within the
// SLA the class's fallback is chosen.
func (a *Adaptation) choose(v *view, c Class, incumbent catalog.VariantID) Choice {
	l := &a.lanes[c]
	l.eligible, l.predicted = l.eligible[:0], l.predicted[:0]
	for i := range v.Entries {
		e := &v.Entries[i]
		l.eligible = append(l.eligible, e.Class[c].Why == NoReason && (e.Direct || e.ID == v.Baseline || v.MaxExperiments > 0))
		l.predicted = append(l.predicted, e.Class[c].P99NS/1e6)
	}
	if v.Classes[c].Success < 0 { // nothing is learned: what serves stays
		return Choice{c, incumbent, 1}
	}
	l.bandit.Serve(slices.Index(l.ids, incumbent))
	pick := l.bandit.Prefer(nil, l.eligible, l.predicted)
	if !pick.OK || pick.Breach {
		return Choice{c, v.base(c), 1}
	}
	return Choice{c, l.ids[pick.Arm], l.bandit.Propensity(pick)}
}
