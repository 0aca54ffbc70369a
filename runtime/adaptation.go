package runtime

import (
	"fmt"
	"math"
	"slices"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime/adapt"
)

// AdaptConfig of Tier 2. The zero config selects variants by UCB and leaves
// knobs alone.
type AdaptConfig struct {
	Method adapt.Method `json:"method"`
	SLA    string       `json:"sla"`   // metric in nanoseconds whose maximum is the SLA; "": none
	Knobs  bool         `json:"knobs"` // tune the knobs of variants that serve
	Track  bool         `json:"track"` // constant gains: follow a moving optimum, never settle
}

// Adaptation is Tier 2: one selector a class and one SPSA a variant with
// knobs. It proposes; only the Executor changes anything. Its proposals are a
// function of (state, seed, window) and are logged, so that a replay can
// compare them. It belongs to one goroutine.
type Adaptation struct {
	rt     *Runtime
	cfg    AdaptConfig
	seed   uint64
	lanes  []*adapt.Selector
	tuners []tuner // ascending variant
}

type tuner struct {
	variant catalog.VariantID
	knobs   []KnobID
	ranges  []adapt.Range
	spsa    *adapt.SPSA
	asked   bool // what serves now is what it asked for
}

// NewAdaptation makes Tier 2 for a runtime and logs its configuration.
func NewAdaptation(rt *Runtime, c AdaptConfig) (*Adaptation, error) {
	if _, ok := rt.Metric(c.SLA); !ok && c.SLA != "" {
		return nil, fmt.Errorf("adaptation: SLA %q is not one of the runtime's metrics", c.SLA)
	}
	a, err := newAdaptation(c, uint64(rt.cfg.Seed))
	if err != nil {
		return nil, err
	}
	a.rt = rt
	x := &rt.executor
	x.mu.Lock()
	x.enqueue(recordAdapt, func(b []byte) []byte { return appendJSON(b, c) })
	x.mu.Unlock()
	return a, x.drain(false)
}

func newAdaptation(c AdaptConfig, root uint64) (*Adaptation, error) {
	if _, err := adapt.NewSelector(adapt.SelectorConfig{Method: c.Method}); err != nil {
		return nil, fmt.Errorf("adaptation: %w", err)
	}
	return &Adaptation{cfg: c, seed: seed.Derive(seed.Root(root), "runtime/adapt")}, nil
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
	out := a.step(x.m, w)
	x.enqueue(recordStep, func(b []byte) []byte { return encodeSteps(b, out) })
	x.mu.Unlock()
	if err := x.drain(false); err != nil {
		return nil
	}
	return out
}

func (a *Adaptation) step(m *machine, w *Window) []Proposal {
	for len(a.lanes) < len(m.lanes) {
		s, err := adapt.NewSelector(adapt.SelectorConfig{Method: a.cfg.Method, Seed: a.seed, Class: uint64(len(a.lanes))})
		if err != nil {
			return nil // newAdaptation has tried this configuration
		}
		a.lanes = append(a.lanes, s)
	}
	if m.dead != NoReason {
		return nil
	}
	var out []Proposal
	for c := range m.lanes {
		l := &m.lanes[c]
		if l.state != Idle && l.state != Promoted {
			continue
		}
		if p, ok := a.stepClass(m, w, Class(c)); ok {
			out = append(out, p)
		}
	}
	return out
}

func (a *Adaptation) stepClass(m *machine, w *Window, c Class) (Proposal, bool) {
	v, l := m.view, &m.lanes[c]
	k := v.Classes[c]
	if k.Success < 0 {
		return Proposal{}, false
	}
	sign := 1.0
	if k.Higher {
		sign = -1
	}
	var seen *adapt.Observation
	if cell, ok := w.Cell(c, l.incumbent, MetricID(k.Success)); ok && cell.sane() && cell.Count > 0 {
		seen = &adapt.Observation{ID: uint32(l.incumbent), Loss: sign * cell.Mean}
		if s := v.metric(a.cfg.SLA); s >= 0 {
			if sla, ok := w.Cell(c, l.incumbent, MetricID(s)); ok && sla.sane() {
				seen.SLA = sla.value(v.Metrics[s].Stat)
			}
		}
	}
	choice := a.lanes[c].Step(a.arms(v, c, sign), uint32(l.incumbent), seen)
	p := Proposal{Tick: w.Tick, Base: m.generation, Class: c, Variant: catalog.VariantID(choice.ID), Seed: adapt.Draw(a.seed, uint64(c), uint64(w.Tick))}
	if !choice.OK {
		p.Variant = v.base(c)
	}
	if p.Variant != l.incumbent && p.Variant != catalog.BuiltIn { // only guardrails fall back to the built-in
		if e, ok := v.entry(p.Variant); ok && (e.Direct || e.ID == v.Baseline) {
			p.Ramp = RampDirect
		}
		return p, true
	}
	if !a.cfg.Knobs || seen == nil {
		return Proposal{}, false
	}
	p.Knobs = a.tune(m, c, seen.Loss)
	return p, len(p.Knobs) > 0
}

// arms turns a class's entries into the selector's terms.
func (a *Adaptation) arms(v *view, c Class, sign float64) []adapt.Arm {
	limit := 0.0
	if s := v.metric(a.cfg.SLA); s >= 0 {
		for _, g := range v.Guards {
			if int(g.Metric) == s && (g.Class < 0 || g.Class == int(c)) && g.Max != nil && (limit == 0 || *g.Max < limit) {
				limit = *g.Max
			}
		}
	}
	out := make([]adapt.Arm, 0, len(v.Entries))
	for i := range v.Entries {
		e := &v.Entries[i]
		arm := adapt.Arm{ID: uint32(e.ID), Prior: math.NaN(), Predicted: e.Class[c].P99NS, Limit: limit}
		arm.Allowed = e.Class[c].Why == NoReason && (e.Direct || e.ID == v.Baseline || v.MaxExperiments > 0)
		if e.Class[c].Known {
			arm.Prior = sign * e.Class[c].Value
		}
		out = append(out, arm)
	}
	return out
}

// tune gives the loss to the variant's SPSA and returns the moves to its next
// point. A variant that serves several classes is tuned by the first of them.
func (a *Adaptation) tune(m *machine, c Class, loss float64) []KnobDelta {
	id := m.lanes[c].incumbent
	for i := range c {
		if m.lanes[i].incumbent == id {
			return nil
		}
	}
	t := a.tuner(m, id)
	if t == nil {
		return nil
	}
	now := make([]float64, len(t.knobs))
	for i, k := range t.knobs {
		now[i] = m.knobs[k]
	}
	if t.asked {
		t.spsa.Tell(now, loss)
	}
	t.asked = true
	var out []KnobDelta
	for i, x := range t.spsa.Ask() {
		if x != now[i] {
			out = append(out, KnobDelta{Knob: t.knobs[i], Delta: x - now[i]})
		}
	}
	return out
}

// tuner finds or makes the SPSA of a variant; a release with other bounds
// starts it afresh. It is nil for a variant without knobs.
func (a *Adaptation) tuner(m *machine, id catalog.VariantID) *tuner {
	n := tuner{variant: id}
	var theta []float64
	for i, k := range m.view.Knobs {
		if k.Variant == id && k.Present {
			n.knobs = append(n.knobs, KnobID(i))
			n.ranges = append(n.ranges, adapt.Range{Min: k.Bounds.Min, Max: k.Bounds.Max, StepMax: k.Bounds.MaxDelta})
			theta = append(theta, m.knobs[i])
		}
	}
	if len(n.knobs) == 0 {
		return nil
	}
	i, ok := slices.BinarySearchFunc(a.tuners, id, func(t tuner, id catalog.VariantID) int { return int(t.variant) - int(id) })
	if ok && slices.Equal(a.tuners[i].ranges, n.ranges) {
		return &a.tuners[i]
	}
	var err error
	n.spsa, err = adapt.NewSPSA(adapt.SPSAConfig{Seed: a.seed, Key: uint64(id), Constant: a.cfg.Track}, n.ranges, theta)
	if err != nil {
		return nil // bounds that newView accepted are bounds that SPSA accepts
	}
	if ok {
		a.tuners[i] = n
	} else {
		a.tuners = slices.Insert(a.tuners, i, n)
	}
	return &a.tuners[i]
}

// stepsMax bounds the proposals of one step: one a class.
const stepsMax = classesMax

func encodeSteps(b []byte, ps []Proposal) []byte {
	b = le.AppendUint32(b, uint32(len(ps)))
	for _, p := range ps {
		body := p.encode(nil)
		b = append(le.AppendUint32(b, uint32(len(body))), body...)
	}
	return b
}

func decodeSteps(b []byte) ([]Proposal, error) {
	r := reader{b: b, what: "step"}
	var out []Proposal
	for range r.count(stepsMax, 4, "proposals") {
		n := r.count(len(b), 1, "bytes")
		p, err := decodeProposal(r.take(n))
		if r.err != nil {
			return nil, r.err
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, r.end()
}
