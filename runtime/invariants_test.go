package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
)

// The ten invariants by name and number, each on its own; that they hold
// together, whatever happens, is what TestExecutorHoldsItsInvariants,
// TestSimulatedHosts and TestNoRequestIsDroppedAndNoSnapshotTornWhileEverythingChanges
// are about.

// 1: a reader is wait-free. Every lock of the runtime is held while it reads
// and records, so that a reader which took one would never return.
func TestInvariant1AReaderWaitsForNobody(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	rec := rt.Recorder(0)
	for _, mu := range []interface{ Lock() }{&rt.adoptMu, &rt.boardMu, &rt.executor.mu, &rt.executor.logMu} {
		mu.Lock()
	}
	if n := testing.AllocsPerRun(100, func() {
		s := rt.Load()
		id := s.Route(cLow, 7)
		sinkAny, sinkF, sinkID = s.Handle(id), s.Knob(0), s.Select(cBurst)
		rec.Record(id, cLow, mCost, 1)
		rec.Emit(&Event{Kind: 1})
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
	rt.Kill(ReasonOperator) // 6: nor does the kill switch wait
	if rt.Load().Select(cBurst) != idBase {
		t.Error("the kill switch waits for a lock")
	}
}

// 2: a reader sees one whole snapshot. Whatever is changed in one that was
// published, it says so; and none that was published ever changes, though the
// next ones share what did not change.
func TestInvariant2ASnapshotIsWhole(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	for name, spoil := range map[string]func(*Snapshot){
		"generation": func(s *Snapshot) { s.generation++ },
		"release":    func(s *Snapshot) { s.release++ },
		"route":      func(s *Snapshot) { s.route = []uint32{s.route[0], s.route[1] + 1} },
		"routes exchanged": func(s *Snapshot) {
			s.route = []uint32{9, 8}
			s.routesSum = sumRoutes([]uint32{8, 9}, s.canary)
		},
		"canary": func(s *Snapshot) { s.canary = []canaryArm{{below: 1}, s.canary[1]} },
		"knob":   func(s *Snapshot) { s.knobs = []float64{s.knobs[0], math.Nextafter(s.knobs[1], 0)} },
		"sums":   func(s *Snapshot) { s.checksum = checksum(s.generation, s.release, 1, 2) },
	} {
		s := *rt.Load()
		if !s.Intact() {
			t.Fatal("a copy is not intact")
		}
		if spoil(&s); s.Intact() {
			t.Errorf("%s: the change is not noticed", name)
		}
	}
	var all []*Snapshot
	var said []string
	tell := func(s *Snapshot) string { return fmt.Sprint(s.generation, s.release, s.route, s.canary, s.knobs) }
	for tick := Tick(2); tick < 60; tick++ {
		switch tick % 5 {
		case 0:
			rt.Executor().Snapback(cLow, ReasonOperator, tick)
		case 1:
			propose(rt, tick, cLow, idUntold, RampAuto)
		default:
			propose(rt, tick, cBurst, idFast, RampDirect, KnobDelta{0, .03}, KnobDelta{1, 1})
		}
		all, said = append(all, rt.Load()), append(said, tell(rt.Load()))
	}
	for i, s := range all {
		if !s.Intact() || tell(s) != said[i] {
			t.Errorf("snapshot %d is %s, was %s", i, tell(s), said[i])
		}
	}
}

// 3: the published pointer passed Tier 1 or is the baseline.
func TestInvariant3NothingServesThatTier1Refused(t *testing.T) {
	rt := openToy(t, toyConfig())
	if s := rt.Load(); s.Select(cLow) != idBase || s.Select(cBurst) != idBase {
		t.Fatal("something other than the baseline serves before any decision")
	}
	before := rt.Load()
	for tick, p := range []Proposal{
		{Class: cLow, Variant: 99}, {Class: 9, Variant: idFast}, {Class: cBurst, Variant: idSmall}, {Class: cLow, Variant: idFast, Base: 5},
	} {
		if p.Base == 0 {
			p.Base = before.Generation()
		}
		p.Tick = Tick(tick + 1)
		if d := rt.Executor().Propose(p); d.Outcome != Refused || d.Reason == NoReason || rt.Load() != before {
			t.Errorf("%+v: %+v", p, d)
		}
	}
}

// 4: every applied knob is within its bounds, moves by at most its largest
// step, and not more often than the rate allows; what was applied is said.
func TestInvariant4KnobsKeepTheirBoundsStepsAndRate(t *testing.T) {
	cfg := toyConfig()
	cfg.Limits.ApplyTicksMin = 3
	rt := openToy(t, cfg)
	rt.Install(0)
	last := Tick(0)
	for tick := Tick(1); tick < 200; tick++ {
		before := rt.Load().Knob(0)
		delta := 1e300 * math.Sin(float64(tick)) // far outside, to both sides
		d := propose(rt, tick, cLow, idFast, RampDirect, KnobDelta{0, delta})
		after := rt.Load().Knob(0)
		if !(after >= 0 && after <= 1) || math.Abs(after-before) > .1 {
			t.Fatalf("tick %d: from %g to %g", tick, before, after)
		}
		switch {
		case d.Outcome == Applied && (tick-last < 3 || !d.Knobs[0].Clipped || d.Knobs[0].Value != after):
			t.Fatalf("tick %d after %d: %+v", tick, last, d)
		case d.Outcome == Applied:
			last = tick
		case d.Reason != ReasonRateLimited && d.Reason != ReasonOutOfBounds || after != before:
			t.Fatalf("tick %d: %+v", tick, d)
		}
	}
	if last < 150 {
		t.Fatalf("the last change was at tick %d", last)
	}
}

// 5: what is ineligible is never selected, and where nothing is eligible the
// class's fallback serves.
func TestInvariant5AnEmptyEligibleSetServesTheFallback(t *testing.T) {
	empty := func(r *catalog.Release) {
		for i := range r.Entries {
			r.Entries[i].Envelope.Contexts = []string{"low"}
		}
	}
	rt := openToy(t, toyConfig(), empty)
	tier2, err := NewAdaptation(rt, AdaptConfig{Knobs: true, SLA: "latency"})
	if err != nil {
		t.Fatal(err)
	}
	rt.Install(1)
	for tick := Tick(2); tick < 60; tick++ {
		w := window(tick, append(seen(cLow, rt.Load().Select(cLow), 60, .9, 300), seen(cBurst, rt.Load().Select(cBurst), 100, .9, 300)...)...)
		_, ds := tier2.Cycle(w)
		for _, d := range ds {
			if d.Class == cBurst {
				t.Fatalf("%+v", d)
			}
		}
		if id := rt.Load().Select(cBurst); id != catalog.BuiltIn || rt.Load().Handle(id) != "built in" {
			t.Fatalf("variant %d serves", id)
		}
	}
	for id := range catalog.VariantID(6) {
		if d := propose(rt, 90, cBurst, id, RampDirect); d.Outcome != Refused || d.Reason != ReasonNotServed && d.Reason != ReasonUnknownVariant {
			t.Errorf("variant %d: %+v", id, d)
		}
	}
	check(t, rt)
}

// 6 and 7: the kill switch and a rollback wait for nothing: not for a disk that
// hangs (TestKillAndRollbackDoNotWaitForTheLog), not for one that is full, and
// what they publish was made before they were called.
func TestInvariants6And7TheWaysBackAreMadeBefore(t *testing.T) {
	for _, s := range lasting {
		if s == Killed {
			continue
		}
		cfg := toyConfig()
		log := &memoryLog{}
		cfg.Log = log
		rt := openToy(t, cfg)
		reach(t, rt, s)
		log.failAt = 1 // the disk is full from here
		x := rt.Executor()
		x.mu.Lock()
		prepared := [2]*Snapshot{x.back[0][cLow], x.back[1][cLow]}
		x.mu.Unlock()
		kill := rt.Load().kill
		if prepared[0] == nil || prepared[1] == nil || kill == nil || prepared[0].kill == nil {
			t.Fatalf("%v: nothing is prepared", s)
		}
		x.mu.Lock()
		swapped := x.swap(prepared[1])
		x.mu.Unlock()
		if !swapped || rt.Load() != prepared[1] || rt.Load().Select(cLow) != idBase || !rt.Load().Intact() {
			t.Errorf("%v: the way back does not lead to the baseline", s)
		}
		rt.Kill(ReasonOperator)
		if rt.Load() != prepared[1].kill || rt.Load().Select(cLow) != idBase || !rt.Load().Intact() {
			t.Errorf("%v: the switch made something", s)
		}
	}
}

// 8: at most one experiment is in flight in a class, and none where the policy
// allows none.
func TestInvariant8ExperimentsAreFew(t *testing.T) {
	for _, most := range []int{0, 1} {
		rt := openToy(t, toyConfig(), func(r *catalog.Release) { r.Policy.MaxExperiments = most })
		for tick := Tick(1); tick < 20; tick++ {
			for _, c := range []Class{cLow, cBurst} {
				for _, id := range []catalog.VariantID{idFast, idUntold} {
					propose(rt, tick, c, id, Ramp(tick%2))
				}
				n := 0
				for key := range uint64(2000) {
					if rt.Load().Route(c, key) != rt.Load().Select(c) {
						n = 1
					}
				}
				if id, _ := rt.Load().Candidate(c); id != catalog.BuiltIn {
					n = 1
				}
				if n > most {
					t.Fatalf("%d experiments, at most %d", n, most)
				}
			}
		}
	}
}

// 9: a change that would break a signed limit is not applied, and one that does
// all the same is taken back by the first window that shows it.
func TestInvariant9NoAppliedChangeBreaksALimit(t *testing.T) {
	rt := openToy(t, toyConfig(), func(r *catalog.Release) {
		r.Entries[3].Expectations = append(r.Entries[3].Expectations, catalog.Expectation{Metric: "accuracy", Context: "low", Value: .79})
	})
	if d := propose(rt, 1, cLow, idUntold, RampDirect); d.Reason != ReasonSLO {
		t.Errorf("%+v", d)
	}
	if d := propose(rt, 1, cLow, idFast, RampDirect); d.Outcome != Applied {
		t.Fatalf("%+v", d)
	}
	ts := rt.Executor().Observe(window(2, seen(cLow, idFast, 60, .79, 300)...))
	if len(ts) != 1 || ts[0].Reason != ReasonGuardrail || rt.Load().Select(cLow) != idBase {
		t.Errorf("%+v", ts)
	}
}

// 10: replaying the log gives the same bytes: TestALedgerFileReplaysToTheSameBytes
// and TestALogOfLongAgoReplays. A log that two executors write is neither's: the
// first record of the other's freezes this one on the baseline.
func TestInvariant10TwoExecutorsOnOneLog(t *testing.T) {
	log, err := ledger.Create(filepath.Join(t.TempDir(), "events"), ledger.Header{Purpose: LogPurpose}, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := ledger.Create(log.Path(), ledger.Header{Purpose: LogPurpose}, ledger.Options{}); !errors.Is(err, ledger.ErrLocked) {
		t.Errorf("a second writer of the file: %v", err)
	}
	cfg := toyConfig()
	cfg.Log = log
	first := openToy(t, cfg)
	first.Install(1)
	if first.Load().Select(cLow) != idFast {
		t.Fatal("nothing was installed")
	}
	openToy(t, cfg)
	d := propose(first, 2, cLow, idUntold, RampDirect)
	if d.Outcome != Refused || d.Reason != ReasonLogFailed || first.Killed() != ReasonLogFailed || first.Load().Select(cLow) != idBase {
		t.Errorf("%+v, killed for %v, %d serves", d, first.Killed(), first.Load().Select(cLow))
	}
	if err := first.Executor().Frozen(); !errors.Is(err, ErrShared) {
		t.Error(err)
	}
	check(t, first)
}

// A clock that stands still disarms no guardrail and proves nothing: a canary
// neither grows on windows of one tick nor is let off.
func TestAClockThatStandsStill(t *testing.T) {
	rt := openToy(t, toyConfig())
	propose(rt, 1, cLow, idUntold, RampAuto)
	good := append(seen(cLow, idBase, 100, .9, 300), seen(cLow, idUntold, 90, .9, 300)...)
	rt.Executor().Observe(window(2, good...))
	_, share := rt.Load().Candidate(cLow)
	for range 50 {
		rt.Executor().Observe(window(2, good...))
		rt.Executor().Observe(window(1, good...))
	}
	if _, now := rt.Load().Candidate(cLow); now != share || share == 0 {
		t.Errorf("the share went from %g to %g in one tick", share, now)
	}
	bad := append(seen(cLow, idBase, 100, .9, 300), seen(cLow, idUntold, 90, .1, 300)...)
	ts := rt.Executor().Observe(window(2, bad...))
	if len(ts) != 1 || ts[0].Reason != ReasonGuardrail || rt.Load().Route(cLow, 1) != idBase {
		t.Errorf("%+v", ts)
	}
	if d := propose(rt, 2, cLow, idFast, RampDirect); d.Reason != ReasonCoolingDown {
		t.Errorf("%+v: a cool-down ended in no time", d)
	}
}

// A release without a baseline, on its way in and as an update.
func TestAReleaseWithoutABaseline(t *testing.T) {
	r := toyRelease(2)
	r.Baseline = catalog.BuiltIn
	cfg := toyConfig()
	cfg.BuiltIn = nil
	if _, err := open(context.Background(), cfg, r, manifestOf(r), nil); !errors.Is(err, ErrBaseline) {
		t.Errorf("a host without a fallback of its own: %v", err)
	}
	rt := openToy(t, cfg)
	before := rt.Load()
	if err := rt.adopt(context.Background(), r, manifestOf(r), nil); !errors.Is(err, ErrBaseline) || rt.Load() != before {
		t.Errorf("adopt: %v", err)
	}
}
