package runtime

import (
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/arqon/arqon/catalog"
)

// view is what Tier 1 needs to know of a release on this host: no bytes, no
// handles, no clock. It is logged, so that a replay needs nothing else.
type view struct {
	Sequence       uint64            `json:"sequence"`
	Manifest       string            `json:"manifest"`
	Channel        string            `json:"channel"`
	Domain         string            `json:"domain"`
	Baseline       catalog.VariantID `json:"baseline"`
	Classes        []viewClass       `json:"classes"`
	Entries        []viewEntry       `json:"entries"` // ascending id
	Knobs          []viewKnob        `json:"knobs"`   // by KnobID
	Guards         []viewGuard       `json:"guards"`
	Metrics        []Metric          `json:"metrics"`
	MaxExperiments int               `json:"max_experiments"`
	CoolDownTicks  int               `json:"cool_down_ticks"`
	WindowRequests int               `json:"window_requests"`
	Limits         Limits            `json:"limits"`
}

type viewClass struct {
	Name    string `json:"name"`
	Success int    `json:"success"` // MetricID; −1: not recorded
	Higher  bool   `json:"higher"`  // higher is better
	// Base is what the class falls back to: the release's baseline where its
	// envelope names the class, else the host's built-in fallback.
	Base catalog.VariantID `json:"base"`
}

type viewEntry struct {
	ID     catalog.VariantID `json:"id"`
	Name   string            `json:"name"`
	Host   Reason            `json:"host"`   // why no class may have it; 0: none
	Class  []viewArm         `json:"class"`  // by class
	Direct bool              `json:"direct"` // has passed a canary: may skip the ramp
}

// viewArm is an entry as one class sees it.
type viewArm struct {
	Why    Reason  `json:"why"`    // why the class may not have it; 0: eligible
	Change float64 `json:"change"` // worst end of the signed interval, < 0 better; 0 when not shown
	Value  float64 `json:"value"`  // signed expectation of the success metric
	Known  bool    `json:"known"`  // Value means something
	P99NS  float64 `json:"p99_ns"` // signed latency; 0: not known
}

type viewKnob struct {
	Variant catalog.VariantID `json:"variant"`
	Name    string            `json:"name"`
	Default float64           `json:"default"`
	Bounds  catalog.Bounds    `json:"bounds"`
	Present bool              `json:"present"` // the release still has it
}

type viewGuard struct {
	Metric MetricID `json:"metric"`
	Class  int      `json:"class"` // −1: every class
	Min    *float64 `json:"min,omitempty"`
	Max    *float64 `json:"max,omitempty"`
}

// The refusals of a release.
var (
	ErrUnverified = errors.New("release is not verified")
	ErrBaseline   = errors.New("release has no usable baseline")
	ErrABI        = errors.New("release needs a newer runtime")
	ErrOlder      = errors.New("release is older than the one in force")
	ErrForeign    = errors.New("release is of another channel or domain")
	ErrRelease    = errors.New("release is not well formed")
	ErrUnmeasured = errors.New("release guards a metric that this host does not record")
	ErrKilled     = errors.New("the kill switch is on")
	ErrFrozen     = errors.New("the event log failed: adaptation is frozen")
	ErrStage      = errors.New("variant cannot be staged")
)

// Host is what this machine offers. Zero fields mean the process's own.
type Host struct {
	OS          string   // 0: GOOS
	Arch        string   // 0: GOARCH
	CPUFeatures []string // lower case, as envelopes name them, or ending in "*", see catalog.Lacks; nil: none known
	Cores       int      // 0: NumCPU
	MemoryBytes int64    // what one variant may use; 0: not limited
}

func (h Host) filled() Host {
	if h.OS == "" {
		h.OS = goruntime.GOOS
	}
	if h.Arch == "" {
		h.Arch = goruntime.GOARCH
	}
	if h.Cores == 0 {
		h.Cores = goruntime.NumCPU()
	}
	return h
}

// fits says why an envelope does not fit the host, 0 if it does. A memory
// need that is not stated does not fit a limited host.
func (h Host) fits(e catalog.Envelope) Reason {
	w := e.Hardware
	if (w.OS != "" && w.OS != h.OS) || (w.Arch != "" && w.Arch != h.Arch) || w.CoresMin > h.Cores {
		return ReasonHardware
	}
	if catalog.Lacks(w.CPUFeatures, h.CPUFeatures) != "" {
		return ReasonHardware
	}
	if h.MemoryBytes > 0 && (e.MemoryBytesMax <= 0 || e.MemoryBytesMax > h.MemoryBytes) {
		return ReasonMemory
	}
	return NoReason
}

// Limits are the host's own bounds on how fast Tier 1 moves. The policy of
// the release is not here: it comes signed.
type Limits struct {
	Ramp          []float64 `json:"ramp"`            // canary shares, ascending, the last is 1; nil: .01 .05 .25 .5 1
	ShadowWindows uint64    `json:"shadow_windows"`  // windows of evidence that an automatic ramp takes at share 0, from mirrored requests; 0: no shadow
	ApplyTicksMin uint64    `json:"apply_ticks_min"` // between two changes of a class; 0: 1
	HarmZ         float64   `json:"harm_z"`          // standard errors that count as harm; 0: 3
	HarmRatio     float64   `json:"harm_ratio"`      // relative loss below which nothing is harm; 0: .02
}

const shadowWindowsMax = 1 << 10

func (l Limits) filled() (Limits, error) {
	if l.Ramp == nil {
		l.Ramp = []float64{.01, .05, .25, .5, 1}
	}
	last := 0.0
	for i, s := range l.Ramp {
		if !(s > last) || s > 1 {
			return l, fmt.Errorf("config: Limits.Ramp[%d] is %v: want shares in (0, 1] that grow", i, s)
		}
		last = s
	}
	if last != 1 {
		return l, errors.New("config: Limits.Ramp must end at 1")
	}
	if l.ShadowWindows > shadowWindowsMax {
		return l, fmt.Errorf("config: Limits.ShadowWindows is %d: want at most %d", l.ShadowWindows, shadowWindowsMax)
	}
	if l.ApplyTicksMin == 0 {
		l.ApplyTicksMin = 1
	}
	if l.HarmZ == 0 {
		l.HarmZ = 3
	}
	if l.HarmRatio == 0 {
		l.HarmRatio = .02
	}
	if !(l.HarmZ > 0) || !(l.HarmRatio > 0) || math.IsInf(l.HarmZ, 0) || math.IsInf(l.HarmRatio, 0) {
		return l, fmt.Errorf("config: HarmZ %v and HarmRatio %v must be positive and finite", l.HarmZ, l.HarmRatio)
	}
	return l, nil
}

// newView reads a release as this host sees it. before is the view in force
// (nil: none): classes and knobs keep their indices.
func newView(cfg *Config, r *catalog.Release, manifest string, before *view) (*view, error) {
	v := &view{
		Sequence: r.Sequence, Manifest: manifest, Channel: r.Channel, Domain: r.Domain, Baseline: r.Baseline,
		Metrics: cfg.Metrics, Limits: cfg.Limits, MaxExperiments: r.Policy.MaxExperiments,
		CoolDownTicks: max(r.Policy.CoolDownTicks, 0), WindowRequests: max(r.Policy.WindowRequests, 1),
	}
	if r.RuntimeMin > catalog.RuntimeABI {
		return nil, fmt.Errorf("release %d asks for runtime ABI %d, this is %d: %w", r.Sequence, r.RuntimeMin, catalog.RuntimeABI, ErrABI)
	}
	if before != nil {
		if r.Channel != before.Channel || r.Domain != before.Domain {
			return nil, fmt.Errorf("release %d is %s/%s, this runtime serves %s/%s: %w",
				r.Sequence, r.Channel, r.Domain, before.Channel, before.Domain, ErrForeign)
		}
		if r.Sequence < before.Sequence || (r.Sequence == before.Sequence && manifest != before.Manifest) {
			return nil, fmt.Errorf("release %d after %d: %w", r.Sequence, before.Sequence, ErrOlder)
		}
	}
	if err := v.addClasses(cfg, r, before); err != nil {
		return nil, err
	}
	if err := v.addGuards(r); err != nil {
		return nil, err
	}
	if err := v.addEntries(cfg, r); err != nil {
		return nil, err
	}
	if err := v.addKnobs(r, before); err != nil {
		return nil, err
	}
	if r.Baseline == catalog.BuiltIn && cfg.BuiltIn != nil {
		return v, nil // the baseline was withdrawn: every class falls back to the host's own
	}
	base, ok := v.entry(r.Baseline)
	if !ok {
		return nil, fmt.Errorf("release %d: baseline %d is not an entry: %w", r.Sequence, r.Baseline, ErrBaseline)
	}
	if base.Host != NoReason {
		return nil, fmt.Errorf("release %d: baseline %d: %v: %w", r.Sequence, r.Baseline, base.Host, ErrBaseline)
	}
	for c := range v.Classes {
		v.Classes[c].Base = v.Baseline
		if cfg.BuiltIn != nil && base.Class[c].Why != NoReason {
			v.Classes[c].Base = catalog.BuiltIn
		}
	}
	return v, nil
}

// base is what a class falls back to.
func (v *view) base(c Class) catalog.VariantID { return v.Classes[c].Base }

func (v *view) addClasses(cfg *Config, r *catalog.Release, before *view) error {
	if before != nil {
		for _, c := range before.Classes {
			v.Classes = append(v.Classes, viewClass{Name: c.Name})
		}
	}
	for _, name := range r.Contexts {
		if name == "" {
			return fmt.Errorf("release %d: a context without a name: %w", r.Sequence, ErrRelease)
		}
		if v.class(name) < 0 {
			v.Classes = append(v.Classes, viewClass{Name: name})
		}
	}
	if len(r.Contexts) == 0 || len(v.Classes) > classesMax {
		return fmt.Errorf("release %d: %d contexts, want 1 to %d: %w", r.Sequence, len(v.Classes), classesMax, ErrRelease)
	}
	for i := range v.Classes {
		c := &v.Classes[i]
		metric, direction := successOf(cfg, r, c.Name)
		c.Success, c.Higher = v.metric(metric), direction == "higher"
	}
	return nil
}

// successOf names a class's success metric: the host's word, or else the
// first expectation that the release has for the context.
func successOf(cfg *Config, r *catalog.Release, class string) (metric, direction string) {
	metric = cfg.Success[class]
	for _, e := range r.Entries {
		for _, x := range e.Expectations {
			if x.Context == class && (metric == "" || x.Metric == metric) {
				return x.Metric, x.Direction
			}
		}
	}
	return metric, ""
}

func (v *view) class(name string) int {
	return slices.IndexFunc(v.Classes, func(c viewClass) bool { return c.Name == name })
}

func (v *view) metric(name string) int {
	return slices.IndexFunc(v.Metrics, func(m Metric) bool { return m.Name == name })
}

func (v *view) addGuards(r *catalog.Release) error {
	for _, g := range r.Policy.Guardrails {
		m, c := v.metric(g.Metric), -1
		if m < 0 {
			return fmt.Errorf("release %d: guardrail on %q: %w", r.Sequence, g.Metric, ErrUnmeasured)
		}
		if g.Context != "" {
			if c = v.class(g.Context); c < 0 {
				return fmt.Errorf("release %d: guardrail on %q in unknown context %q: %w", r.Sequence, g.Metric, g.Context, ErrRelease)
			}
		}
		for _, limit := range [...]*float64{g.Min, g.Max} {
			if limit != nil && !finite(*limit) {
				return fmt.Errorf("release %d: guardrail on %q: limit %v: %w", r.Sequence, g.Metric, *limit, ErrRelease)
			}
		}
		v.Guards = append(v.Guards, viewGuard{Metric: MetricID(m), Class: c, Min: g.Min, Max: g.Max})
	}
	return nil
}

func finite(x float64) bool { return x-x == 0 }

func (v *view) addEntries(cfg *Config, r *catalog.Release) error {
	need := catalog.Scope(r.Channel).Rank()
	if need == 0 {
		need = catalog.ScopeProd.Rank() // a channel of another name is as strict as prod
	}
	for _, e := range r.Entries {
		if e.ID == catalog.BuiltIn || e.ID > variantIDMax {
			return fmt.Errorf("release %d: entry id %d: want 1 to %d: %w", r.Sequence, e.ID, variantIDMax, ErrRelease)
		}
		x := viewEntry{ID: e.ID, Name: e.Variant.Name, Host: cfg.Host.fits(e.Envelope), Direct: e.Scope.Rank() >= catalog.ScopeStaging.Rank()}
		if e.Scope.Rank() < need {
			x.Host = ReasonScope
		}
		for c := range v.Classes {
			a := v.judge(r, e, c)
			if x.Host != NoReason {
				a.Why = x.Host
			}
			x.Class = append(x.Class, a)
		}
		v.Entries = append(v.Entries, x)
	}
	slices.SortFunc(v.Entries, func(a, b viewEntry) int { return int(a.ID) - int(b.ID) })
	for i := 1; i < len(v.Entries); i++ {
		if v.Entries[i].ID == v.Entries[i-1].ID {
			return fmt.Errorf("release %d: id %d twice: %w", r.Sequence, v.Entries[i].ID, ErrRelease)
		}
	}
	return nil
}

// judge reads what an entry has to say to a class: whether its envelope and
// its signed expectations allow it there, and how much better it was shown to
// be, at the worse end of the interval of the success metric.
func (v *view) judge(r *catalog.Release, e catalog.Entry, c int) viewArm {
	name := v.Classes[c].Name
	a := viewArm{}
	for _, k := range e.Curves {
		if k.Context == name && finite(k.P99NS) {
			a.P99NS = k.P99NS
		}
	}
	for _, x := range e.Expectations {
		if x.Context == name && v.breaks(c, x.Metric, x.Value) {
			a.Why = ReasonSLO
		}
	}
	for _, x := range e.Expectations {
		if x.Context != name || !v.isSuccess(r, c, x.Metric) {
			continue
		}
		a.Value, a.Known = x.Value, finite(x.Value)
		if !a.Known {
			a.Value = 0
		}
		if worst := max(x.Change, x.Upper); x.Direction == "lower" && finite(worst) {
			a.Change = min(worst, 0)
		} else if worst := min(x.Change, x.Lower); x.Direction == "higher" && finite(worst) {
			a.Change = -max(worst, 0)
		}
		break
	}
	switch {
	case !e.Serves(name):
		a.Why, a.Change = ReasonNotServed, 0
	case e.ID == v.Baseline: // what runs today needs no proof where it may serve
		a.Why, a.Change = NoReason, 0
	}
	return a
}

// isSuccess compares by name, because the success metric need not be one that
// the host records.
func (v *view) isSuccess(r *catalog.Release, c int, metric string) bool {
	if s := v.Classes[c].Success; s >= 0 {
		return v.Metrics[s].Name == metric
	}
	first, _ := successOf(&Config{}, r, v.Classes[c].Name)
	return first == metric
}

// breaks reports whether a value of a metric is outside a guardrail of c.
func (v *view) breaks(c int, metric string, x float64) bool {
	m := v.metric(metric)
	for _, g := range v.Guards {
		if int(g.Metric) == m && (g.Class < 0 || g.Class == c) && g.broken(x) {
			return true
		}
	}
	return false
}

func (g viewGuard) broken(x float64) bool {
	return !finite(x) || (g.Min != nil && x < *g.Min) || (g.Max != nil && x > *g.Max)
}

func (v *view) addKnobs(r *catalog.Release, before *view) error {
	if before != nil {
		for _, k := range before.Knobs {
			k.Present = false
			v.Knobs = append(v.Knobs, k)
		}
	}
	for _, e := range r.Entries {
		for _, k := range e.Variant.Knobs {
			b := k.Bounds
			if !finite(b.Min) || !finite(b.Max) || !finite(b.MaxDelta) || b.Min > b.Max || b.MaxDelta <= 0 ||
				!(k.Default >= b.Min && k.Default <= b.Max) || strings.TrimSpace(k.Name) == "" {
				return fmt.Errorf("release %d: variant %d: knob %q: default %v, bounds [%v, %v], step %v: %w",
					r.Sequence, e.ID, k.Name, k.Default, b.Min, b.Max, b.MaxDelta, ErrRelease)
			}
			x := viewKnob{Variant: e.ID, Name: k.Name, Default: k.Default, Bounds: b, Present: true}
			if i := v.knob(e.ID, k.Name); i < 0 {
				v.Knobs = append(v.Knobs, x)
			} else if v.Knobs[i].Present {
				return fmt.Errorf("release %d: variant %d: knob %q twice: %w", r.Sequence, e.ID, k.Name, ErrRelease)
			} else {
				v.Knobs[i] = x
			}
		}
	}
	if len(v.Knobs) > knobsMax {
		return fmt.Errorf("release %d: %d knobs, at most %d: %w", r.Sequence, len(v.Knobs), knobsMax, ErrRelease)
	}
	return nil
}

func (v *view) knob(id catalog.VariantID, name string) int {
	return slices.IndexFunc(v.Knobs, func(k viewKnob) bool { return k.Variant == id && k.Name == name })
}

// defaults are the knobs of a release as it came.
func (v *view) defaults() []float64 {
	out := make([]float64, len(v.Knobs))
	for i := range v.Knobs {
		out[i] = v.Knobs[i].Default
	}
	return out
}

// lists reports whether the release has the entries of the view and no others.
// The same manifest has fewer of them once some are withdrawn.
func (v *view) lists(r *catalog.Release) bool {
	for _, e := range r.Entries {
		if _, ok := v.entry(e.ID); !ok {
			return false
		}
	}
	return len(r.Entries) == len(v.Entries)
}

func (v *view) entry(id catalog.VariantID) (*viewEntry, bool) {
	i, ok := slices.BinarySearchFunc(v.Entries, id, func(e viewEntry, id catalog.VariantID) int { return int(e.ID) - int(id) })
	if !ok {
		return nil, false
	}
	return &v.Entries[i], true
}

// eligible says why a class may not have a variant, 0 if it may. The built-in
// fallback is never proposed: it is where the runtime falls to.
func (v *view) eligible(id catalog.VariantID, c Class) Reason {
	e, ok := v.entry(id)
	switch {
	case !ok:
		return ReasonUnknownVariant
	case int(c) >= len(e.Class):
		return ReasonUnknownClass
	}
	return e.Class[c].Why
}

// best is the lexicographic choice for a class: among the eligible entries
// (constraints first) the one whose signed improvement is largest at the worse
// end of its interval; the lower id on a tie; the class's fallback if nothing is
// shown to be better.
func (v *view) best(c Class) catalog.VariantID {
	id, change := v.base(c), 0.0
	for _, e := range v.Entries {
		if e.Class[c].Why == NoReason && e.Class[c].Change < change {
			id, change = e.ID, e.Class[c].Change
		}
	}
	return id
}
