package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime/adapt"
)

// simHost is a host in memory: it serves requests of the toy release, records
// them as its sensors see them, and runs Tier 1 and Tier 2 once a tick, while
// faults that its seed draws befall it.
type simHost struct {
	seed  uint64
	rt    *Runtime
	tier2 *Adaptation
	log   *memoryLog
	tick  Tick

	sequence uint64
	knobs    []float64
	last     *Window // of the tick before, for late and repeated delivery
	proposal Proposal
	faults   [faultCount]bool
	seen     [faultCount]int
	trips    int
	refused  int
	applied  int
}

type fault int

const (
	faultNaN       fault = iota // a sensor sends no numbers
	faultStuck                  // a sensor always sends the same number
	faultLate                   // the window of the tick before comes again instead of this one
	faultDuplicate              // a window comes twice
	faultRelease                // a release that must be refused, or one that harms
	faultFlap                   // accuracy falls below the guardrail every other tick
	faultBus                    // proposals from outside stop, and come late and wrong
	faultDiskFull               // an append fails
	faultSync                   // fsync fails
	faultKill                   // somebody throws the switch and takes it back
	faultClock                  // ticks stand still
	faultCount
)

var faultNames = [...]string{"NaN", "stuck", "late", "duplicate", "bad release", "flapping guardrail", "dead bus", "disk full", "fsync error", "kill", "stopped clock"}

const simTicks = 40

func (h *simHost) uniform(keys ...uint64) float64 {
	return adapt.Uniform(h.seed, append([]uint64{uint64(h.tick)}, keys...)...)
}

func newSimHost(t testing.TB, seedOf uint64) *simHost {
	t.Helper()
	h := &simHost{seed: seedOf, log: &memoryLog{}, sequence: 1}
	for f := range h.faults {
		h.faults[f] = adapt.Uniform(seedOf, 1, uint64(f)) < .25
	}
	cfg := toyConfig()
	cfg.Log, cfg.Seed = h.log, seed.Root(seedOf)
	cfg.Limits.ShadowWindows = seedOf % 3
	h.rt = openToy(t, cfg)
	var err error
	h.tier2, err = NewAdaptation(h.rt, AdaptConfig{Policy: adapt.Policy(seedOf % 2), Knobs: true, SLA: "latency", Algorithm: adapt.Algorithm(seedOf % 6)})
	if err != nil {
		t.Fatal(err)
	}
	h.knobs = append(h.knobs, h.rt.Load().knobs...)
	if h.faults[faultDiskFull] {
		h.log.failAt = len(h.log.records) + 1 + int(120*adapt.Uniform(seedOf, 2))
	}
	return h
}

// strikes says whether a fault that this seed has befalls this tick.
func (h *simHost) strikes(f fault, share float64) bool {
	if !h.faults[f] || h.uniform(3, uint64(f)) > share {
		return false
	}
	h.seen[f]++
	return true
}

// serve is a tick's worth of requests.
func (h *simHost) serve() {
	rec := h.rt.Recorder(int(h.tick) % 2)
	s := h.rt.Load()
	load := 1.0
	if h.tick > simTicks/2 {
		load = 1.6 // the step change
	}
	nan, stuck := h.strikes(faultNaN, .3), h.strikes(faultStuck, .5)
	flap := h.faults[faultFlap] && h.tick%2 == 0
	if flap {
		h.seen[faultFlap]++
	}
	for i := range uint64(24) {
		c := Class(i % 2)
		id := s.Route(c, adapt.Draw(h.seed, uint64(h.tick), i))
		key := uint64(id)<<8 | i
		cost := 100 - 12*float64(id) + 20*(s.Knob(0)-.3)*(s.Knob(0)-.3) + 5*adapt.Normal(h.seed, uint64(h.tick), 4, key)
		accuracy, latency := .9+.02*adapt.Normal(h.seed, uint64(h.tick), 5, key), load*(300+100*float64(id))
		if flap {
			accuracy -= .3
		}
		if nan && i%3 > 0 {
			cost, accuracy = math.NaN(), math.Inf(1)
		}
		if stuck {
			cost, latency = 42, 42
		}
		if shadow := s.Shadow(c); shadow != catalog.BuiltIn { // a copy of the request
			rec.Record(shadow, c, mCost, cost-1)
			rec.Record(shadow, c, mAccuracy, accuracy)
			rec.Record(shadow, c, mLatency, latency)
		}
		rec.Record(id, c, mCost, cost)
		rec.Record(id, c, mAccuracy, accuracy)
		rec.Record(id, c, mLatency, latency)
	}
	rec.Flush()
}

// cycle is one tick.
func (h *simHost) cycle(t testing.TB) {
	if !h.strikes(faultClock, .3) {
		h.tick++
	}
	if h.strikes(faultSync, .05) {
		h.log.syncErr = errors.New("input/output error")
	}
	h.serve()
	w := h.rt.Collect(h.tick)
	switch {
	case h.last != nil && h.strikes(faultLate, .2):
		h.last, w = w, h.last
	default:
		h.last = w
	}
	h.observe(w)
	if h.strikes(faultDuplicate, .2) {
		h.observe(w)
	}
	if h.strikes(faultBus, .3) {
		h.outside()
	}
	if h.strikes(faultRelease, .1) {
		h.badRelease(t)
	}
	if h.strikes(faultKill, .05) {
		h.rt.Kill(ReasonOperator)
	} else if h.uniform(6) < .2 && h.rt.Killed() == ReasonOperator {
		if err := h.rt.Executor().Revive(h.tick); err != nil && !errors.Is(err, ErrFrozen) {
			t.Fatal(err)
		}
	}
}

func (h *simHost) observe(w *Window) {
	ts, ds := h.tier2.Cycle(w)
	for _, tr := range ts {
		if tr.From != tr.To && tr.To == RolledBack {
			h.trips++
		}
	}
	for _, d := range ds {
		h.count(d)
	}
}

func (h *simHost) count(d Decision) {
	if d.Outcome == Refused {
		h.refused++
	} else {
		h.applied++
	}
}

// outside is what a bus that was dead delivers: a proposal of some ticks ago,
// and one with numbers that are none.
func (h *simHost) outside() {
	x := h.rt.Executor()
	if h.proposal.Base != 0 {
		h.count(x.Propose(h.proposal))
	}
	h.proposal = Proposal{
		Tick: h.tick, Base: h.rt.Load().Generation(), Class: Class(3 * h.uniform(7)), Variant: catalog.VariantID(6 * h.uniform(8)),
		Ramp: Ramp(4 * h.uniform(9)), Knobs: []KnobDelta{{KnobID(3 * h.uniform(10)), math.Tan(3 * h.uniform(11))}},
	}
	bad := h.proposal
	bad.Knobs = []KnobDelta{{0, math.NaN()}, {1, math.Inf(1)}}
	h.count(x.Propose(bad))
	if h.uniform(12) < .5 {
		h.count(x.Propose(h.proposal))
	}
}

// badRelease offers a release of which most are refused.
func (h *simHost) badRelease(t testing.TB) {
	r := toyRelease(h.sequence + uint64(2*h.uniform(13)))
	switch int(5 * h.uniform(14)) {
	case 0:
		r.Baseline = 77
	case 1:
		r.Entries[1].Variant.Knobs[0].Bounds.Min = math.NaN()
	case 2:
		r.Entries = r.Entries[:1]
	case 3:
		r.RuntimeMin = 1 << 20
	default:
		r.Entries[1].Variant.Knobs[0].Bounds.Max = .55 // narrower bounds: knobs must come inside
	}
	if err := h.rt.adopt(context.Background(), r, manifestOf(r), nil); err == nil {
		h.sequence = r.Sequence
		h.knobs = append(h.knobs[:0], h.rt.Load().knobs...)
	}
	if h.rt.Load() == nil {
		t.Fatal("nothing serves")
	}
}

// verify asserts the invariants of Tier 1 after every tick.
func (h *simHost) verify() error {
	if err := invariants(h.rt); err != nil {
		return err
	}
	s, v := h.rt.Load(), h.rt.executor.viewNow()
	for i, now := range s.knobs {
		if i < len(h.knobs) && now != v.Knobs[i].Default && math.Abs(now-h.knobs[i]) > simMovesMax*v.Knobs[i].Bounds.MaxDelta {
			return fmt.Errorf("knob %d went from %g to %g in one tick", i, h.knobs[i], now)
		}
	}
	h.knobs = append(h.knobs[:0], s.knobs...)
	running := 0
	for c := range Class(2) {
		st, ok := h.rt.Executor().Status(c)
		if ok && (st.State == Canary || st.State == Paused) {
			running++
		}
	}
	if h.rt.Executor().Frozen() != nil && h.rt.Killed() == NoReason {
		return errors.New("the log has failed and something else than the baseline may serve")
	}
	if running > 2 {
		return fmt.Errorf("%d experiments", running)
	}
	return nil
}

// simMovesMax is how many changes of a knob one tick of the simulation can
// bring: two cycles and three proposals.
const simMovesMax = 5

func runSim(t testing.TB, seedOf uint64) *simHost {
	t.Helper()
	h := newSimHost(t, seedOf)
	for range simTicks {
		h.cycle(t)
		if err := h.verify(); err != nil {
			t.Fatalf("seed %d, tick %d: %v\nrun again: ARQON_SIM_SEED=%d go test ./runtime -run TestSimulatedHosts", seedOf, h.tick, err, seedOf)
		}
	}
	// a kill of the last tick is in the log once somebody has asked the executor
	if err := h.rt.Executor().Sync(); err != nil && !errors.Is(err, ErrFrozen) {
		t.Fatalf("seed %d: %v", seedOf, err)
	}
	return h
}

// TestSimulatedHosts runs hosts under faults: the invariants hold after every
// tick, the log replays to the same bytes, and the same seed gives the same
// log. ARQON_SIM=10000 runs as many seeds, ARQON_SIM_SEED one of them.
func TestSimulatedHosts(t *testing.T) {
	n, first := uint64(150), uint64(0)
	if v, err := strconv.ParseUint(os.Getenv("ARQON_SIM"), 10, 32); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv("ARQON_SIM_SEED"), 10, 64); err == nil {
		n, first = 1, v
	}
	var seen [faultCount]int
	records, trips, applied, refused, frozen := 0, 0, 0, 0, 0
	for s := first; s < first+n; s++ {
		h := runSim(t, s)
		var again Replayer
		for _, rec := range h.log.records {
			if err := again.Feed(rec.kind, rec.payload); err != nil {
				t.Fatalf("seed %d: %v", s, err)
			}
		}
		if h.rt.Executor().Frozen() == nil {
			if done := again.Done(); done.Generation != h.rt.executor.m.generation {
				t.Fatalf("seed %d: replay ends at generation %d, the host at %d", s, done.Generation, h.rt.executor.m.generation)
			}
		} else {
			frozen++
		}
		twin := runSim(t, s)
		if len(twin.log.records) != len(h.log.records) {
			t.Fatalf("seed %d: %d records, then %d", s, len(h.log.records), len(twin.log.records))
		}
		for i, rec := range h.log.records {
			if rec.kind != twin.log.records[i].kind || !bytes.Equal(rec.payload, twin.log.records[i].payload) {
				t.Fatalf("seed %d, record %d: %s, then %s", s, i, describe(rec.kind, rec.payload), describe(rec.kind, twin.log.records[i].payload))
			}
		}
		for f := range seen {
			seen[f] += h.seen[f]
		}
		records, trips, applied, refused = records+len(h.log.records), trips+h.trips, applied+h.applied, refused+h.refused
	}
	if first != 0 {
		return
	}
	for f, k := range seen {
		if k == 0 && fault(f) != faultDiskFull {
			t.Errorf("fault %q never struck", faultNames[f])
		}
	}
	if trips == 0 || applied == 0 || refused == 0 || frozen == 0 {
		t.Errorf("%d retreats, %d applied, %d refused, %d frozen: the faults test nothing", trips, applied, refused, frozen)
	}
	t.Logf("%d runs of %d ticks: %d records replayed, %d changes applied, %d refused, %d retreats, %d hosts frozen on the baseline; faults %v",
		n, simTicks, records, applied, refused, trips, frozen, seen)
}
