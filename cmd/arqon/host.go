package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime"
)

// shards is how many goroutines serve.
const shards = 2

// hostRun serves the phases of one run.
type hostRun struct {
	flags   runFlags
	channel string
	data    *infer.Data
	rt      *runtime.Runtime
	adapt   *runtime.Adaptation
	log     *ledger.Log
	sense   *sense
	story   *story
	window  int // requests

	tick   runtime.Tick
	result hostResult

	mu       sync.Mutex
	releases []uint64 // adopted while serving, not yet told
}

func (h *hostRun) close() error {
	if h.log == nil {
		return nil
	}
	err := h.log.Close()
	h.log = nil
	return err
}

// adopted is called by the watcher.
func (h *hostRun) adopted(sequence uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releases = append(h.releases, sequence)
}

// serve runs the six phases and returns the table.
func (h *hostRun) serve(ctx context.Context) (hostResult, error) {
	h.result = hostResult{Channel: h.channel, Release: h.rt.Load().Release(), Phases: []phaseResult{}, Events: []hostEvent{}}
	h.tick++
	for _, d := range h.rt.Install(h.tick) {
		h.decided(d)
	}
	class := infer.LowLoad
	for _, context := range []string{infer.LowLoad, infer.Burst, infer.Memory300K, infer.Shifted, infer.Noisy, infer.Inverted} {
		ph, err := h.newPhase(context)
		if err != nil {
			return h.result, err
		}
		if class, err = h.phase(ctx, ph, class); err != nil {
			return h.result, err
		}
		h.result.add(ph)
		h.story.say("%-12s %d requests, accuracy %.3f", ph.context, ph.requests, float64(ph.right)/float64(ph.requests))
	}
	h.result.Release = h.rt.Load().Release()
	h.result.Generation = h.rt.Load().Generation()
	return h.result, nil
}

// declared is what the host knows of itself in a phase: the load and the
// memory cap. Of the inputs it knows nothing.
func declared(context string) string {
	switch context {
	case infer.Burst, infer.Memory300K:
		return context
	}
	return infer.LowLoad
}

func (h *hostRun) phase(ctx context.Context, ph *phase, class string) (string, error) {
	if d := declared(ph.context); d != infer.LowLoad || class == infer.Burst || class == infer.Memory300K {
		class = d // the host's own signals take effect at once
	}
	for ph.requests < h.flags.requests {
		if err := ctx.Err(); err != nil {
			return class, err
		}
		c, ok := h.rt.Class(class)
		if !ok {
			return class, hinted{fmt.Errorf("the release does not know context %s", class), "run a night over it"}
		}
		l, err := h.serveWindow(ph, c, min(h.window, h.flags.requests-ph.requests))
		if err != nil {
			return class, err
		}
		h.control()
		if next := h.sense.recognise(l, declared(ph.context)); next != class {
			h.note("recognised", fmt.Sprintf("the inputs look like %s, not like %s", next, class))
			class = next
		}
	}
	return class, nil
}

// control is one cycle of the engine's side: collect, judge, propose.
func (h *hostRun) control() {
	h.tick++
	h.mu.Lock()
	adopted := h.releases
	h.releases = nil
	h.mu.Unlock()
	for _, sequence := range adopted {
		h.result.Adopted++
		h.note("release", fmt.Sprintf("release %d was verified and adopted while serving", sequence))
	}
	if len(adopted) > 0 {
		for _, d := range h.rt.Install(h.tick) {
			h.decided(d)
		}
	}
	transitions, decisions := h.adapt.Cycle(h.rt.Collect(h.tick))
	for _, t := range transitions {
		h.moved(t)
	}
	for _, d := range decisions {
		h.decided(d)
	}
}

func (h *hostRun) moved(t runtime.Transition) {
	if t.From == t.To {
		return
	}
	classes := h.rt.Classes()
	name := fmt.Sprint(t.Class)
	if int(t.Class) < len(classes) {
		name = classes[t.Class]
	}
	if t.Reason == runtime.ReasonGuardrail {
		h.result.Trips++
		h.result.Rollbacks++
		h.note("guardrail", fmt.Sprintf("%s: variant %d broke a signed limit; back to %d", name, t.Variant, t.Serves))
		return
	}
	h.note("transition", fmt.Sprintf("%s: %v to %v (%v), variant %d, %d serves", name, t.From, t.To, t.Reason, t.Variant, t.Serves))
}

func (h *hostRun) decided(d runtime.Decision) {
	if d.Outcome == runtime.Refused {
		if d.Reason != runtime.ReasonCoolingDown {
			h.note("refused", fmt.Sprintf("variant %d for class %d: %v", d.Variant, d.Class, d.Reason))
		}
		return
	}
	h.note(d.Outcome.String(), fmt.Sprintf("variant %d for %s", d.Variant, h.rt.Classes()[d.Class]))
}

func (h *hostRun) note(what, text string) {
	h.result.Events = append(h.result.Events, hostEvent{Tick: uint64(h.tick), What: what, Text: text})
	h.story.say("tick %3d  %-11s %s", h.tick, what, text)
}

// phase is one context's traffic and what became of it.
type phase struct {
	context  string
	streams  [shards]*infer.Stream
	requests int
	right    int
	dropped  int
	torn     int
	swaps    int
	served   map[catalog.VariantID]int
	last     [shards]catalog.VariantID
	latency  []float64 // ns, one a request
}

func (h *hostRun) newPhase(context string) (*phase, error) {
	ph := &phase{context: context, served: map[catalog.VariantID]int{}}
	for i := range ph.streams {
		s, err := infer.NewStream(h.data, context, seed.Derive(seed.Root(h.flags.seed), "run/traffic", uint64(i)))
		if err != nil {
			return nil, err
		}
		ph.streams[i] = s
	}
	return ph, nil
}

// tally is what one shard did in a window.
type tally struct {
	right, dropped, torn, swaps int
	served                      map[catalog.VariantID]int
	latency                     []float64
	look                        look
	err                         error
}

// serveWindow serves n requests of a class from every shard at once.
func (h *hostRun) serveWindow(ph *phase, c runtime.Class, n int) (look, error) {
	var group sync.WaitGroup
	var tallies [shards]tally
	for i := range shards {
		share := n / shards
		if i == 0 {
			share = n - (shards-1)*share
		}
		group.Go(func() { tallies[i] = h.serveShard(ph, i, c, share) })
	}
	group.Wait()
	var l look
	for i := range tallies {
		t := &tallies[i]
		if t.err != nil {
			return l, t.err
		}
		ph.right, ph.dropped, ph.torn, ph.swaps = ph.right+t.right, ph.dropped+t.dropped, ph.torn+t.torn, ph.swaps+t.swaps
		for id, k := range t.served {
			ph.served[id] += k
		}
		ph.latency = append(ph.latency, t.latency...)
		for k := range l {
			l[k] += t.look[k]
		}
	}
	ph.requests += n
	return l.over(n), nil
}

var errWrongHandle = errors.New("the snapshot holds something that is not a model")

// serveShard is the data plane: one snapshot a request, no lock, no clock but
// the one that the table needs.
func (h *hostRun) serveShard(ph *phase, shard int, c runtime.Class, n int) tally {
	t := tally{served: map[catalog.VariantID]int{}, latency: make([]float64, 0, n)}
	rec := h.rt.Recorder(shard)
	var w infer.Workspace
	goruntime.LockOSThread() // the processor time of a request is its thread's
	defer goruntime.UnlockOSThread()
	for i := range n {
		image, label := ph.streams[shard].Next()
		start := time.Now()
		snap := h.rt.Load()
		id := snap.Route(c, uint64(ph.requests+i)*shards+uint64(shard))
		model, ok := snap.Handle(id).(*infer.Model)
		if !ok {
			t.dropped++
			t.err = fmt.Errorf("variant %d: %w", id, errWrongHandle)
			return t
		}
		cpu, cpuErr := infer.ThreadCPU()
		got := model.Predict(image, &w)
		if cpuErr == nil { // read on Linux only; a window without it is judged on the rest
			if after, err := infer.ThreadCPU(); err == nil {
				rec.Record(id, c, cpuID, float64(after-cpu))
			}
		}
		ns := float64(time.Since(start))
		if !snap.Intact() {
			t.torn++
		}
		right := 0.0
		if got.Class == label {
			right, t.right = 1, t.right+1
		}
		rec.Record(id, c, accuracyID, right)
		rec.Record(id, c, macsID, float64(got.MACs))
		rec.Record(id, c, p99ID, ns)
		rec.Record(id, c, bytesID, float64(model.Bytes()))
		if ph.last[shard] != id && ph.requests+i > 0 {
			t.swaps++
		}
		ph.last[shard] = id
		t.served[id]++
		t.latency = append(t.latency, ns)
		t.look.add(image)
	}
	rec.Flush()
	return t
}
