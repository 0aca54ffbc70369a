package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

// shards is how many goroutines serve.
const shards = 2

// hostRun serves the phases of one run, whatever the domain.
type hostRun struct {
	flags runFlags
	rt    *runtime.Runtime
	adapt *runtime.Adaptation // nil: only what has passed a canary is installed
	log   *ledger.Log
	blobs artifacts.Getter // of the release that the run began with
	story *story
	load  workload
	plan  plan

	shadow    *shadow // nil: the domain gives no copies of requests
	endShadow context.CancelFunc

	domain string
	tick   runtime.Tick
	last   *windowResult
	limits []catalog.Guardrail // of the release in force
	names  map[catalog.VariantID]string
	result runResult

	mu       sync.Mutex
	releases []*catalog.Verified // adopted while serving, not yet told
}

// newHost stages the release and prepares the traffic.
func newHost(ctx context.Context, f runFlags, rel *catalog.Verified, s *story) (*hostRun, error) {
	h := &hostRun{flags: f, story: s, blobs: rel.Blobs(), domain: rel.Release().Domain, names: map[catalog.VariantID]string{}}
	h.learn(rel.Release())
	make, ok := workloads[rel.Release().Domain]
	if !ok {
		return nil, hinted{
			fmt.Errorf("the release is of domain %s", rel.Release().Domain),
			"arqon run hosts " + strings.Join(slices.Sorted(maps.Keys(workloads)), ", ") + "; embed the runtime to host another domain",
		}
	}
	h.load = make(h)
	var err error
	if h.plan, err = h.load.plan(ctx, rel.Release()); err != nil {
		return nil, err
	}
	if err := f.checkProposals(h.plan); err != nil {
		return nil, err
	}
	if h.flags.requests == 0 {
		h.flags.requests = h.plan.requests
	}
	if h.flags.requests > h.plan.requestsMax {
		return nil, fmt.Errorf("--requests is %d: want at most %d for domain %s", h.flags.requests, h.plan.requestsMax, rel.Release().Domain)
	}
	cfg := h.plan.config
	cfg.Shards, cfg.Seed = shards+1, seed.Root(f.seed) // the last is the shadow's
	if h.plan.shadow {
		cfg.Limits.ShadowWindows = uint64(f.shadow.windows)
	}
	if f.log != "" {
		if h.log, err = createLog(f.log, f.seed); err != nil {
			return nil, err
		}
		cfg.Log = h.log
	}
	if h.rt, err = runtime.Open(ctx, cfg, rel); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if h.plan.adapt {
		if h.adapt, err = runtime.NewAdaptation(h.rt, runtime.AdaptConfig{}); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	if h.plan.shadow {
		h.shadow = newShadow(f.shadow, h.rt.Recorder(shards), len(cfg.Metrics), h.plan.samples)
		ctx, h.endShadow = context.WithCancel(context.WithoutCancel(ctx))
		go h.shadow.run(ctx)
	}
	return h, nil
}

// learn takes from a release what the history of the run tells of it.
func (h *hostRun) learn(r *catalog.Release) {
	h.limits = r.Policy.Guardrails
	for _, e := range r.Entries {
		h.names[e.ID] = e.Variant.Name
	}
}

func (h *hostRun) close() error {
	if h.endShadow != nil {
		h.endShadow() // and no wait: what it tries may never end
	}
	if h.log == nil {
		return nil
	}
	err := h.log.Close()
	h.log = nil
	return err
}

// adopted is called by the watcher.
func (h *hostRun) adopted(rel *catalog.Verified) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releases = append(h.releases, rel)
}

// serve runs the phases and returns the table.
func (h *hostRun) serve(ctx context.Context) (runResult, error) {
	h.result = newRunResult(h)
	h.tick++
	h.install()
	class := h.plan.contexts[0]
	for _, context := range h.plan.contexts {
		if err := h.load.begin(ctx, context, h.flags.requests); err != nil {
			return h.result, err
		}
		p := newPhase(h, context)
		var err error
		if class, err = h.phase(ctx, p, class); err != nil {
			return h.result, err
		}
		h.result.add(h, p)
		h.story.say("%-16s %d requests, %s", p.Context, p.Requests, p.saying())
	}
	h.result.finish(h)
	return h.result, nil
}

func (h *hostRun) phase(ctx context.Context, p *phaseResult, class string) (string, error) {
	class = h.load.recognise(nil, class)
	for p.Requests < h.flags.requests {
		if err := ctx.Err(); err != nil {
			return class, err
		}
		id, ok := h.rt.Class(class)
		if !ok {
			return class, hinted{fmt.Errorf("the release does not know context %s", class), "run a night over it"}
		}
		w := &window{
			class: class, id: id, from: p.Requests, n: min(h.plan.window, h.flags.requests-p.Requests), requests: h.flags.requests,
		}
		snap := h.rt.Load()
		err := w.serve(h.load, h.rt, h.plan.samples)
		w.shadow = h.shadowed(snap.Shadow(id))
		p.account(h, w)
		if err != nil {
			return class, err
		}
		h.control()
		if id, ok := h.flags.proposed(p.Context); ok && w.from < w.requests/3 && w.from+w.n >= w.requests/3 {
			h.propose(p.Context, id)
		}
		if next := h.load.recognise(w, class); next != class {
			h.note("recognised", fmt.Sprintf("the traffic looks like %s, not like %s", next, class))
			class = next
		}
	}
	return class, nil
}

// propose asks for a variant as an operator would: it comes as a canary first,
// whatever it has passed before.
func (h *hostRun) propose(context string, id catalog.VariantID) {
	class, ok := h.rt.Class(context)
	if !ok {
		return // newHost has refused such a flag
	}
	h.note(eventProposed, fmt.Sprintf("variant %d for %s, by hand", id, context))
	h.decided([]runtime.Decision{h.rt.Executor().Propose(runtime.Proposal{
		Tick: h.tick, Base: h.rt.Load().Generation(), Class: class, Variant: id, Ramp: runtime.RampAuto,
	})})
}

// control is one cycle of the engine's side: collect, judge, propose.
func (h *hostRun) control() {
	h.tick++
	h.mu.Lock()
	adopted := h.releases
	h.releases = nil
	h.mu.Unlock()
	for _, rel := range adopted {
		h.result.Adopted++
		h.learn(rel.Release())
		h.note(eventRelease, fmt.Sprintf("release %d was verified and adopted while serving", rel.Release().Sequence))
	}
	if h.shadow != nil {
		if ts := h.shadow.endHanging(h.rt, h.tick); len(ts) > 0 {
			h.note(eventShadow, fmt.Sprintf("a copy of a request has not ended for %s", shadowHang))
			h.moved(ts)
		}
	}
	if h.tick%runtime.Tick(h.plan.judged) != 0 {
		return
	}
	if h.adapt == nil {
		h.moved(h.rt.Executor().Observe(h.rt.Collect(h.tick)))
		h.install() // again what a cool-down has released
		return
	}
	if len(adopted) > 0 {
		h.install()
	}
	transitions, decisions := h.adapt.Cycle(h.rt.Collect(h.tick))
	h.moved(transitions)
	h.decided(decisions)
}

// shadowed is what a window has shown of the variant that was in shadow in it,
// nil for none. It waits a little for copies that have not been tried yet:
// every request has been answered.
func (h *hostRun) shadowed(id catalog.VariantID) *shadowResult {
	if h.shadow == nil || id == catalog.BuiltIn {
		return nil
	}
	r := &shadowResult{Variant: id}
	if h.shadow.settle(shadowSettle) {
		for _, s := range h.plan.series {
			r.Values = append(r.Values, s.of(h.shadow.samples))
		}
		for i := range h.shadow.samples {
			h.shadow.samples[i].Reset()
		}
	}
	if r.shadowCount = h.shadow.take(); r.Failed > 0 {
		h.note(eventShadow, fmt.Sprintf("%d of %d copies failed: %s", r.Failed, r.Tried, r.Why))
	}
	if r.Tried == r.Failed {
		r.Values = nil
	}
	return r
}

// install puts the approved variant of each class in force.
func (h *hostRun) install() { h.decided(h.rt.Install(h.tick)) }

func (h *hostRun) moved(transitions []runtime.Transition) {
	for _, t := range transitions {
		if t.From == t.To {
			continue
		}
		name := className(h.rt, t.Class)
		if stoppedInShadow(t) {
			h.result.ShadowStops++
			h.note(eventShadowStop, fmt.Sprintf("%s: variant %d, %s on copies of requests; it answered none, %d serves on", name, t.Variant, inWords(t.Reason), t.Serves))
			continue
		}
		if t.Reason == runtime.ReasonGuardrail {
			h.result.Trips++
			h.result.Rollbacks++
			h.note(eventGuardrail, fmt.Sprintf("%s: variant %d broke a signed limit; back to %d", name, t.Variant, t.Serves))
			continue
		}
		what := "transition"
		if t.To == runtime.RolledBack {
			what = eventRollback
			h.result.Rollbacks++
		}
		h.note(what, fmt.Sprintf("%s: %v to %v (%v), variant %d, %d serves", name, t.From, t.To, t.Reason, t.Variant, t.Serves))
	}
}

func (h *hostRun) decided(decisions []runtime.Decision) {
	for _, d := range decisions {
		switch {
		case d.Outcome == runtime.Staged && h.shadow != nil && h.rt.Load().Shadow(d.Class) == d.Variant:
			h.note(eventShadow, fmt.Sprintf("variant %d for %s, on copies of %.3g %% of requests", d.Variant, className(h.rt, d.Class), 100*h.shadow.share))
		case d.Outcome != runtime.Refused:
			h.note(d.Outcome.String(), fmt.Sprintf("variant %d for %s", d.Variant, className(h.rt, d.Class)))
		case d.Reason != runtime.ReasonCoolingDown && d.Reason != runtime.ReasonBusy:
			h.note("refused", fmt.Sprintf("variant %d for %s: %v", d.Variant, className(h.rt, d.Class), d.Reason))
		}
	}
}

// inWords says why a variant was taken back.
func inWords(why runtime.Reason) string {
	if why == runtime.ReasonGuardrail {
		return "broke a signed limit"
	}
	if why == runtime.ReasonInvalidMetric {
		return "gave no numbers"
	}
	if why == runtime.ReasonHarm {
		return "was worse than what serves, or did not end"
	}
	return why.String()
}

func className(rt *runtime.Runtime, c runtime.Class) string {
	if classes := rt.Classes(); int(c) < len(classes) {
		return classes[c]
	}
	return fmt.Sprint(c)
}

func (h *hostRun) note(what, text string) {
	h.result.Events = append(h.result.Events, hostEvent{Tick: uint64(h.tick), What: what, Text: text})
	h.story.say("tick %3d  %-11s %s", h.tick, what, text)
}
