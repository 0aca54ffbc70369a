package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/plot"
	"github.com/arqon/arqon/runtime/telemetry"
)

// unit says how a figure is written for people. JSON has the plain number.
type unit uint8

const (
	unitCount unit = iota
	unitShare
	unitNS
	unitSmall // of any magnitude
)

func (u unit) text(x float64) string {
	switch u {
	case unitShare:
		return plot.Fixed(x, 3)
	case unitNS:
		if x >= 1e6 {
			return plot.Fixed(x/1e6, 1) + " ms"
		}
		return plot.Fixed(x/1e3, 1) + " µs"
	case unitSmall:
		return fmt.Sprintf("%.3g", x)
	case unitCount:
	}
	return plot.Grouped(x)
}

// tick is text as short as an axis needs.
func (u unit) tick(x float64) string { return strings.Replace(u.text(x), ".0 ", " ", 1) }

// fact is a figure that only the domain has.
type fact struct {
	name   string // in JSON
	header string
	unit   unit
	value  float64
}

// runResult is what a run says at its end.
type runResult struct {
	Domain      string         `json:"domain"`
	Channel     string         `json:"channel"`
	Release     uint64         `json:"release"`
	Generation  uint64         `json:"generation"` // snapshots published
	Series      []string       `json:"series"`     // what the values of a window are
	Phases      []*phaseResult `json:"phases"`
	Requests    int            `json:"requests"`
	Dropped     int            `json:"dropped"`
	Torn        int            `json:"torn_snapshots"`
	Swaps       int            `json:"swaps"` // times that another variant came to serve most of a window
	Trips       int            `json:"guardrail_trips"`
	Rollbacks   int            `json:"rollbacks"`
	Adopted     int            `json:"releases_adopted"`
	Shadowed    int            `json:"shadow_windows"`    // in which a variant was tried on copies of requests
	ShadowStops int            `json:"stopped_in_shadow"` // variants that ended there for cause: no request was answered by them
	Violations  int            `json:"slo_violations"`    // windows whose figures were outside a signed limit
	Facts       []fact         `json:"-"`                 // members of their own
	Events      []hostEvent    `json:"events"`
	Variants    []variantName  `json:"variants"` // that served, or were tried in shadow
	Verdict     runVerdict     `json:"verdict"`

	series []series
	legend string
}

// phaseResult is one context's traffic and what became of it.
type phaseResult struct {
	Context     string            `json:"context"`
	Requests    int               `json:"requests"`
	Facts       []fact            `json:"-"`          // members of their own: each series, then what the domain adds
	Variant     catalog.VariantID `json:"variant_id"` // that served most
	Served      []servedBy        `json:"served"`
	Swaps       int               `json:"swaps"`
	Trips       int               `json:"guardrail_trips"`
	Rollbacks   int               `json:"rollbacks"`
	Shadowed    int               `json:"shadow_windows"`
	ShadowStops int               `json:"stopped_in_shadow"`
	Violations  int               `json:"slo_violations"`
	Beyond      int               `json:"out_of_reach"` // windows over a limit that nothing could have kept; not among the violations
	Dropped     int               `json:"dropped"`
	Torn        int               `json:"torn_snapshots"`
	Recovery    recovery          `json:"recovery"`
	Windows     []windowResult    `json:"windows"`

	samples                 []telemetry.Sketch
	served                  map[catalog.VariantID]int
	trips, rollbacks, stops int // before the phase
}

// variantName is what an id stands for in the releases of the run.
type variantName struct {
	Variant catalog.VariantID `json:"variant_id"`
	Name    string            `json:"name"`
}

type servedBy struct {
	Variant  catalog.VariantID `json:"variant_id"`
	Requests int               `json:"requests"`
}

type hostEvent struct {
	Tick uint64 `json:"tick"`
	What string `json:"what"`
	Text string `json:"text"`
}

// The kinds of events that figures mark; decisions are named by their outcome.
const (
	eventGuardrail  = "guardrail"
	eventRollback   = "rollback" // for another cause
	eventRelease    = "release"
	eventProposed   = "proposed"
	eventShadow     = "shadow"
	eventShadowStop = "shadow stop" // a variant that ended there
)

// MarshalJSON puts the domain's figures beside the host's.
func (r runResult) MarshalJSON() ([]byte, error) {
	type plain runResult
	return withFacts(plain(r), r.Facts)
}

// MarshalJSON puts the domain's figures beside the host's.
func (p *phaseResult) MarshalJSON() ([]byte, error) {
	type plain phaseResult
	return withFacts((*plain)(p), p.Facts)
}

func withFacts(v any, facts []fact) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	for _, f := range facts {
		x, err := json.Marshal(f.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		b = fmt.Appendf(b, ",%q:%s", f.name, x)
	}
	return append(b, '}'), nil
}

func newRunResult(h *hostRun) runResult {
	names := []string{}
	for _, s := range h.plan.series {
		names = append(names, s.name)
	}
	return runResult{
		Series:  names,
		Channel: h.flags.channel, Domain: h.domain, Release: h.rt.Load().Release(),
		Phases: []*phaseResult{}, Events: []hostEvent{}, series: h.plan.series, legend: h.plan.legend,
	}
}

func newPhase(h *hostRun, context string) *phaseResult {
	return &phaseResult{
		Context: context, samples: make([]telemetry.Sketch, h.plan.samples), served: map[catalog.VariantID]int{},
		Windows: []windowResult{}, trips: h.result.Trips, rollbacks: h.result.Rollbacks, stops: h.result.ShadowStops,
	}
}

// account adds a window that was served.
func (p *phaseResult) account(h *hostRun, w *window) {
	samples := make([]telemetry.Sketch, len(p.samples))
	served := map[catalog.VariantID]int{}
	for i := range w.shards {
		s := &w.shards[i]
		p.Dropped += s.dropped
		p.Torn += s.torn
		for id, n := range s.served {
			served[id] += n
			p.served[id] += n
			p.Requests += n
		}
		for k := range samples {
			samples[k].Merge(&s.samples[k])
		}
	}
	for k := range samples {
		p.samples[k].Merge(&samples[k])
	}
	x := windowResult{Tick: uint64(h.tick + 1), Class: w.class, Variant: mostServed(served), Requests: w.n, Shadow: w.shadow}
	if w.shadow != nil {
		p.Shadowed++
	}
	for _, s := range h.plan.series {
		x.Values = append(x.Values, s.of(samples))
	}
	h.limit(&x, p.Context)
	if last := h.last; last != nil && last.Variant != x.Variant {
		p.Swaps++
	}
	h.last = &x
	p.Windows = append(p.Windows, x)
}

func mostServed(served map[catalog.VariantID]int) catalog.VariantID {
	most, n := catalog.BuiltIn, 0
	for _, id := range slices.Sorted(maps.Keys(served)) {
		if served[id] > n {
			most, n = id, served[id]
		}
	}
	return most
}

// add closes a phase.
func (r *runResult) add(h *hostRun, p *phaseResult) {
	for _, s := range h.plan.series {
		p.Facts = append(p.Facts, fact{s.name, s.header, s.unit, s.of(p.samples)})
	}
	overLimit(p.Windows, h.plan.judged, h.plan.best)
	p.Violations = counting(p.Windows, func(w windowResult) bool { return w.Broke })
	p.Beyond = counting(p.Windows, func(w windowResult) bool { return w.Beyond })
	h.load.end(p)
	p.Trips, p.Rollbacks, p.ShadowStops = r.Trips-p.trips, r.Rollbacks-p.rollbacks, r.ShadowStops-p.stops
	for id, n := range p.served {
		p.Served = append(p.Served, servedBy{id, n})
	}
	sort.Slice(p.Served, func(i, j int) bool {
		a, b := p.Served[i], p.Served[j]
		return a.Requests > b.Requests || a.Requests == b.Requests && a.Variant < b.Variant
	})
	p.Variant = mostServed(p.served)
	p.Recovery = recoveryOf(p.Windows, h.plan.series, h.plan.judged)
	p.Windows = thin(p.Windows, windowsMax)
	r.Phases = append(r.Phases, p)
	r.Requests += p.Requests
	r.Dropped += p.Dropped
	r.Torn += p.Torn
	r.Swaps += p.Swaps
	r.Violations += p.Violations
	r.Shadowed += p.Shadowed
}

func (r *runResult) finish(h *hostRun) {
	r.Release, r.Generation = h.rt.Load().Release(), h.rt.Load().Generation()
	r.Facts = h.load.facts()
	r.Variants = r.named(h.names)
	r.Verdict = r.verdict()
}

// named lists the variants that the history speaks of, by id.
func (r *runResult) named(names map[catalog.VariantID]string) []variantName {
	seen := map[catalog.VariantID]bool{}
	for _, p := range r.Phases {
		for _, s := range p.Served {
			seen[s.Variant] = true
		}
		for _, w := range p.Windows {
			if w.Shadow != nil {
				seen[w.Shadow.Variant] = true
			}
		}
	}
	out := []variantName{}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		name := names[id]
		if id == catalog.BuiltIn {
			name = "built in"
		}
		out = append(out, variantName{id, name})
	}
	return out
}

// who says in one line what the ids of the table stand for.
func (r runResult) who() string {
	words := make([]string, 0, len(r.Variants))
	for _, v := range r.Variants {
		words = append(words, fmt.Sprintf("%d %s", v.Variant, plot.Clean(v.Name, 60)))
	}
	return "variants: " + strings.Join(words, ", ")
}

// runVerdict says whether the host came through every change.
type runVerdict struct {
	Absorbed bool   `json:"absorbed"`
	Text     string `json:"text"`
}

// verdict looks at what a reader asks first: whether each phase was recovered
// from, whether what serves then kept the signed limits, and whether a request
// was lost.
func (r runResult) verdict() runVerdict {
	var bad, before, beyond []string
	slowest, swings := 0, 0
	for _, p := range r.Phases {
		name := plot.Clean(p.Context, 40)
		switch {
		case !p.Recovery.Recovered:
			bad = append(bad, name+" did not recover")
		case p.Recovery.OverLimit > 0:
			bad = append(bad, fmt.Sprintf("%s was over a signed limit in %s after it had recovered", name, count(p.Recovery.OverLimit, "window", "windows")))
		case p.Violations > 0:
			before = append(before, fmt.Sprintf("%s in %s", count(p.Violations, "window", "windows"), name))
		}
		if p.Beyond > 0 {
			beyond = append(beyond, fmt.Sprintf("%s of %s", count(p.Beyond, "window", "windows"), name))
		}
		slowest, swings = max(slowest, p.Recovery.Requests), swings+p.Recovery.Oscillation
	}
	if r.Dropped+r.Torn > 0 {
		bad = append(bad, fmt.Sprintf("%s dropped, %s torn", count(r.Dropped, "request", "requests"), count(r.Torn, "snapshot", "snapshots")))
	}
	if len(bad) > 0 {
		return runVerdict{Text: "not absorbed: " + strings.Join(bad, "; ")}
	}
	text := fmt.Sprintf("absorbed: each of %s, the slowest after %s; %s of variant after that; nothing dropped", count(len(r.Phases), "change", "changes"), count(slowest, "request", "requests"), count(swings, "change", "changes"))
	if len(before) > 0 {
		text += "; over a signed limit only until the host had reacted: " + strings.Join(before, ", ")
	} else {
		text += "; no window over a signed limit"
	}
	if len(beyond) > 0 {
		text += "; out of anything's reach was a signed limit in " + strings.Join(beyond, ", ")
	}
	return runVerdict{Absorbed: true, Text: text}
}

// saying is the phase in a few words.
func (p *phaseResult) saying() string {
	words := []string{}
	for _, f := range p.Facts {
		words = append(words, f.header+" "+f.unit.text(f.value))
	}
	return strings.Join(words, ", ")
}

// rows is the table of the phases: its header and a row a phase.
func (r runResult) rows() (head []string, rows [][]string) {
	for _, p := range r.Phases {
		head = []string{"phase", "requests"}
		row := []string{p.Context, grouped(p.Requests)}
		for _, f := range p.Facts {
			head, row = append(head, f.header), append(row, f.unit.text(f.value))
		}
		ids := make([]string, 0, len(p.Served))
		for _, s := range p.Served {
			ids = append(ids, fmt.Sprint(s.Variant))
		}
		over := fmt.Sprint(p.Violations)
		if p.Recovery.OverLimit > 0 {
			over += fmt.Sprintf(" (%d late)", p.Recovery.OverLimit)
		}
		head = append(head, "VariantId", "swaps", "recovered after", "oscillation", "trips", "rollbacks", "over limit", "dropped")
		row = append(row, strings.Join(ids, ","), fmt.Sprint(p.Swaps), p.Recovery.String(), fmt.Sprint(p.Recovery.Oscillation),
			fmt.Sprint(p.Trips), fmt.Sprint(p.Rollbacks), over, grouped(p.Dropped))
		if r.Shadowed > 0 {
			head = append(head, "in shadow")
			row = append(row, p.shadowed())
		}
		rows = append(rows, row)
	}
	return head, rows
}

// shadowed says in how many windows a variant was tried on copies of requests.
func (p *phaseResult) shadowed() string {
	if p.ShadowStops == 0 {
		return fmt.Sprint(p.Shadowed)
	}
	return fmt.Sprintf("%d (%d stopped)", p.Shadowed, p.ShadowStops)
}

// sentence is the whole run in one.
func (r runResult) sentence() string {
	s := fmt.Sprintf("%s, %s dropped, %s, %s, %s, %s, %s over a signed limit, %s adopted while serving",
		count(r.Requests, "request", "requests"), grouped(r.Dropped), count(r.Torn, "torn snapshot", "torn snapshots"), count(r.Swaps, "swap", "swaps"),
		count(r.Trips, "guardrail trip", "guardrail trips"), count(r.Rollbacks, "rollback", "rollbacks"), count(r.Violations, "window", "windows"),
		count(r.Adopted, "release", "releases"))
	if r.Shadowed > 0 {
		s += fmt.Sprintf(", %s with a variant in shadow, %d stopped there", count(r.Shadowed, "window", "windows"), r.ShadowStops)
	}
	for _, f := range r.Facts {
		s += fmt.Sprintf("; %s: %s", f.header, f.unit.text(f.value))
	}
	return s
}

func (r runResult) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	head, rows := r.rows()
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, r.Verdict.Text)
	fmt.Fprintln(w, r.sentence())
	if len(r.Variants) > 0 {
		fmt.Fprintln(w, r.who())
	}
	if r.legend != "" {
		fmt.Fprintln(w, r.legend)
	}
	fmt.Fprintln(w, recoveryLegend)
	return r.printPlots(w)
}
