package runtime

import (
	"context"
	"errors"
	goruntime "runtime"
	"slices"
	"sync"
	"testing"
)

// memoryLog is a Log that can be told to fail or to hang.
type memoryLog struct {
	mu      sync.Mutex
	records []logRecord
	durable int
	failAt  int // Append number that fails, from 1; 0: never
	syncErr error
	hang    chan struct{} // Sync waits for it
	hanging chan struct{} // closed when a Sync waits
}

func (l *memoryLog) Append(kind uint16, payload []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failAt > 0 && len(l.records)+1 >= l.failAt {
		return 0, errors.New("disk full")
	}
	l.records = append(l.records, logRecord{kind, slices.Clone(payload)})
	return uint64(len(l.records)), nil
}

func (l *memoryLog) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hang != nil {
		hang := l.hang
		close(l.hanging)
		l.hang = nil
		l.mu.Unlock()
		<-hang
		l.mu.Lock()
	}
	if l.syncErr != nil {
		return l.syncErr
	}
	l.durable = len(l.records)
	return nil
}

func (l *memoryLog) replay(t testing.TB) Replayed {
	t.Helper()
	var r Replayer
	for _, rec := range l.records {
		if err := r.Feed(rec.kind, rec.payload); err != nil {
			t.Fatal(err)
		}
	}
	return r.Done()
}

// reach brings the class "low" into each state that lasts between calls.
func reach(t *testing.T, rt *Runtime, s State) {
	t.Helper()
	x := rt.Executor()
	switch s {
	case Idle:
	case StagedState:
		propose(rt, 1, cLow, idFast, RampManual)
	case Canary:
		propose(rt, 1, cLow, idFast, RampAuto)
	case Paused:
		propose(rt, 1, cLow, idFast, RampAuto)
		x.Pause(cLow, 1)
	case Promoted:
		propose(rt, 1, cLow, idFast, RampDirect)
	case RolledBack:
		propose(rt, 1, cLow, idFast, RampDirect)
		x.Rollback(cLow, ReasonOperator, 1)
	case Killed:
		rt.Kill(ReasonOperator)
	case NoState, Proposed, Validated, RollingBack, stateCount: // never seen from outside
		t.Fatalf("%v does not last", s)
	}
	if got, _ := x.Status(cLow); got.State != s {
		t.Fatalf("state %v, want %v", got.State, s)
	}
}

var lasting = []State{Idle, StagedState, Canary, Paused, Promoted, RolledBack, Killed}

func TestKillWorksFromEveryState(t *testing.T) {
	for _, s := range lasting {
		t.Run(s.String(), func(t *testing.T) {
			log := &memoryLog{}
			cfg := toyConfig()
			cfg.Log = log
			rt := openToy(t, cfg)
			reach(t, rt, s)
			if n := testing.AllocsPerRun(10, func() { rt.Kill(ReasonGuardrail) }); n != 0 {
				t.Fatalf("kill allocates %g times", n)
			}
			snap := rt.Load()
			for c := range Class(2) {
				for key := range uint64(100) {
					if snap.Route(c, key) != idBase {
						t.Fatal("something other than the baseline serves")
					}
				}
			}
			if d := propose(rt, 9, cLow, idFast, RampDirect); d.Reason != ReasonKilled {
				t.Fatalf("%+v", d)
			}
			if err := rt.adopt(context.Background(), toyRelease(2), manifestOf(toyRelease(2)), nil); !errors.Is(err, ErrKilled) {
				t.Fatalf("adopt: %v", err)
			}
			if ts := rt.Executor().Observe(window(10, seen(cLow, idBase, 1, 0, 1)...)); len(ts) != 0 {
				t.Fatalf("%+v", ts)
			}
			check(t, rt)
			if err := rt.Executor().Revive(11); err != nil {
				t.Fatal(err)
			}
			if d := propose(rt, 12, cLow, idFast, RampDirect); d.Outcome != Applied {
				t.Fatalf("after revive: %+v", d)
			}
			check(t, rt)
			if done := log.replay(t); done.Generation != rt.Load().Generation() {
				t.Fatalf("replay ends at %d, runtime at %d", done.Generation, rt.Load().Generation())
			}
		})
	}
}

func TestAbortAndBreachAreHonouredInEveryState(t *testing.T) {
	for _, s := range lasting {
		if s == Killed {
			continue
		}
		rt := openToy(t, toyConfig())
		reach(t, rt, s)
		if tr, ok := rt.Executor().Rollback(cLow, ReasonOperator, 2); !ok || tr.To != RolledBack || rt.Load().Route(cLow, 1) != idBase {
			t.Fatalf("%v: %+v", s, tr)
		}
		check(t, rt)
		rt = openToy(t, toyConfig())
		reach(t, rt, s)
		if tr, ok := rt.Executor().Snapback(cLow, ReasonOperator, 2); !ok || tr.Serves != idBase {
			t.Fatalf("%v: %+v", s, tr)
		}
		check(t, rt)
	}
}

// With the log hanging in the middle of a forward change, the kill switch and
// a rollback's swap still work at once, and the change never comes into force.
func TestKillAndRollbackDoNotWaitForTheLog(t *testing.T) {
	for _, how := range []string{"kill", "rollback"} {
		t.Run(how, func(t *testing.T) {
			log := &memoryLog{}
			cfg := toyConfig()
			cfg.Log = log
			rt := openToy(t, cfg)
			propose(rt, 1, cLow, idFast, RampDirect)
			hang, hanging := make(chan struct{}), make(chan struct{})
			log.mu.Lock()
			log.hang, log.hanging = hang, hanging
			log.mu.Unlock()
			decided := make(chan Decision)
			go func() { decided <- propose(rt, 5, cLow, idUntold, RampDirect) }()
			<-hanging
			rolled := make(chan struct{})
			if how == "kill" {
				rt.Kill(ReasonOperator)
				close(rolled)
			} else {
				go func() {
					defer close(rolled)
					rt.Executor().Snapback(cLow, ReasonOperator, 5)
				}()
				for rt.Load().Select(cLow) != idBase { // the swap comes before the log
					select {
					case <-rolled:
						t.Error("snapback returned without its record")
					default:
					}
				}
			}
			if rt.Load().Select(cLow) != idBase {
				t.Fatal("not at the baseline")
			}
			close(hang)
			<-rolled
			if d := <-decided; d.Outcome != Refused || (d.Reason != ReasonSuperseded && d.Reason != ReasonKilled) {
				t.Fatalf("%+v", d)
			}
			if rt.Load().Select(cLow) != idBase {
				t.Fatal("the superseded change came into force")
			}
			if err := rt.Executor().Sync(); err != nil {
				t.Fatal(err)
			}
			check(t, rt)
			log.replay(t)
		})
	}
}

// Aborting what waits for its intent leaves the incumbent where it is.
func TestAbortWhileTheIntentIsWritten(t *testing.T) {
	log := &memoryLog{}
	cfg := toyConfig()
	cfg.Log = log
	rt := openToy(t, cfg)
	propose(rt, 1, cLow, idFast, RampDirect)
	hang, hanging := make(chan struct{}), make(chan struct{})
	log.mu.Lock()
	log.hang, log.hanging = hang, hanging
	log.mu.Unlock()
	before := rt.Load()
	decided, rolled := make(chan Decision), make(chan Transition)
	go func() { decided <- propose(rt, 5, cLow, idUntold, RampDirect) }()
	<-hanging
	go func() {
		tr, _ := rt.Executor().Rollback(cLow, ReasonOperator, 5)
		rolled <- tr
	}()
	for rt.Load() == before {
		goruntime.Gosched()
	}
	if rt.Load().Select(cLow) != idFast {
		t.Fatalf("aborting an experiment moved the incumbent to %d", rt.Load().Select(cLow))
	}
	close(hang)
	if tr := <-rolled; tr.Variant != idUntold || tr.Serves != idFast {
		t.Fatalf("%+v", tr)
	}
	if d := <-decided; d.Reason != ReasonSuperseded {
		t.Fatalf("%+v", d)
	}
	check(t, rt)
	log.replay(t)
}

func TestALogThatFailsFreezesOnTheBaseline(t *testing.T) {
	for _, how := range []string{"append", "sync"} {
		t.Run(how, func(t *testing.T) {
			log := &memoryLog{}
			cfg := toyConfig()
			cfg.Log = log
			rt := openToy(t, cfg)
			rt.Install(1)
			if how == "append" {
				log.failAt = len(log.records) + 1
			} else {
				log.syncErr = errors.New("input/output error")
			}
			if d := propose(rt, 2, cLow, idUntold, RampDirect); d.Outcome != Refused || d.Reason != ReasonLogFailed {
				t.Fatalf("%+v", d)
			}
			s := rt.Load()
			if s.Select(cLow) != idBase || s.Select(cBurst) != idBase || rt.Killed() != ReasonLogFailed || rt.Executor().Frozen() == nil {
				t.Fatal("not frozen on the baseline")
			}
			log.failAt, log.syncErr = 0, nil // a disk that comes back is not trusted
			if d := propose(rt, 3, cLow, idFast, RampDirect); d.Reason != ReasonLogFailed {
				t.Fatalf("%+v", d)
			}
			if err := rt.Executor().Revive(4); !errors.Is(err, ErrFrozen) {
				t.Fatalf("revive: %v", err)
			}
			if err := rt.adopt(context.Background(), toyRelease(2), manifestOf(toyRelease(2)), nil); !errors.Is(err, ErrFrozen) {
				t.Fatalf("adopt: %v", err)
			}
			if rt.Recorder(0); rt.Load().Select(cLow) != idBase {
				t.Fatal("stopped serving")
			}
			check(t, rt)
		})
	}
	cfg := toyConfig()
	cfg.Log = &memoryLog{syncErr: errors.New("no space")}
	if _, err := open(context.Background(), cfg, toyRelease(1), "m", nil); err == nil {
		t.Fatal("opened without a log that works")
	}
}

func TestAForwardChangeHasADurableIntentFirst(t *testing.T) {
	log := &memoryLog{}
	cfg := toyConfig()
	cfg.Log = log
	rt := openToy(t, cfg)
	before := rt.Load()
	log.hang, log.hanging = make(chan struct{}), make(chan struct{})
	hang, hanging := log.hang, log.hanging
	done := make(chan Decision)
	go func() { done <- propose(rt, 1, cLow, idFast, RampDirect) }()
	<-hanging
	if rt.Load() != before {
		t.Fatal("applied before its intent was durable")
	}
	close(hang)
	if d := <-done; d.Outcome != Applied {
		t.Fatalf("%+v", d)
	}
}

// The durable intent of one change never brings another into force.
func TestAnIntentIsForOneChange(t *testing.T) {
	m := newMachine(fuzzView)
	first := m.propose(Proposal{Tick: 1, Base: 1, Class: cLow, Variant: idFast, Ramp: RampDirect})
	intent := m.lanes[cLow].intent
	m.retreat(cLow, evAbort, ReasonOperator)
	second := m.propose(Proposal{Tick: 9, Base: m.generation, Class: cLow, Variant: idUntold, Ramp: RampDirect})
	if first.Outcome != Applied || second.Outcome != Applied {
		t.Fatalf("%+v %+v", first, second)
	}
	if tr, ok := m.apply(cLow, intent); ok {
		t.Fatalf("the first intent applied the second change: %+v", tr)
	}
	if _, ok := m.apply(cLow, m.lanes[cLow].intent); !ok || m.lanes[cLow].incumbent != idUntold {
		t.Fatal("the second intent did not apply")
	}
}

// A kill between the executor's check and its swap wins.
func TestASwapAfterAKillIsRefused(t *testing.T) {
	rt := openToy(t, toyConfig())
	x := rt.Executor()
	x.mu.Lock()
	x.noticeKill()
	x.m.propose(Proposal{Tick: 1, Base: 1, Class: cLow, Variant: idFast, Ramp: RampDirect})
	changed := x.m.clone()
	changed.apply(cLow, changed.lanes[cLow].intent)
	rt.Kill(ReasonOperator)
	if x.publish(changed) || rt.Load().Select(cLow) != idBase {
		t.Error("a change came into force after the kill switch")
	}
	x.mu.Unlock()
	check(t, rt)
}
