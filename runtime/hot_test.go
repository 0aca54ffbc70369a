package runtime

import (
	"context"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/arqon/arqon/catalog"
)

var (
	sinkID  catalog.VariantID
	sinkAny any
	sinkF   float64
	sinkU   uint64
)

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	rt := openToy(t, toyConfig())
	rt.Install(1)
	propose(rt, 2, cLow, idUntold, RampAuto)
	rec := rt.Recorder(0)
	ev := Event{Kind: 1}
	key := uint64(0)
	for name, f := range map[string]func(){
		"load":   func() { sinkU = rt.Load().Generation() },
		"select": func() { sinkID = rt.Load().Select(cBurst) },
		"route":  func() { key++; sinkID = rt.Load().Route(cLow, key) },
		"handle": func() { sinkAny = rt.Load().Handle(idFast) },
		"knob":   func() { sinkF = rt.Load().Knob(0) },
		"record": func() { rec.Record(idFast, cLow, mLatency, 120) },
		"emit":   func() { rec.Emit(&ev) },
		"kill":   func() { rt.Kill(ReasonOperator) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}

// Readers, recorders, a proposer, an observer, releases and the kill switch
// all at once. Every request sees one whole snapshot whose variant is staged
// and approved for its class, and every request is served.
func TestNoRequestIsDroppedAndNoSnapshotTornWhileEverythingChanges(t *testing.T) {
	cfg := toyConfig()
	cfg.Shards = 3
	log := &memoryLog{}
	cfg.Log = log
	rt := openToy(t, cfg)
	const changes = 400
	var served, asked, torn, lost, wrong atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for shard := range cfg.Shards {
		wg.Go(func() {
			rec := rt.Recorder(shard)
			defer rec.Flush()
			for k := uint64(0); !stop.Load(); k++ {
				asked.Add(1)
				s := rt.Load()
				c := Class(k % 2)
				id := s.Route(c, k)
				if k%64 == 0 && !s.Intact() {
					torn.Add(1)
				}
				if _, ok := s.Handle(id).(string); !ok {
					lost.Add(1)
				}
				if id == catalog.BuiltIn || id > 5 || (c == cBurst && id == idSmall) {
					wrong.Add(1)
				}
				rec.Record(id, c, mCost, 60)
				rec.Record(id, c, mAccuracy, .9)
				rec.Record(id, c, mLatency, 200)
				served.Add(1)
				if k%256 == 0 {
					goruntime.Gosched()
				}
			}
		})
	}
	for served.Load() < 100 {
		goruntime.Gosched()
	}
	generation := rt.Load().Generation()
	for tick := Tick(1); tick <= changes; tick++ {
		c := Class(tick % 2)
		switch tick % 8 {
		case 0:
			r := toyRelease(uint64(tick))
			if err := rt.adopt(context.Background(), r, manifestOf(r), nil); err != nil && rt.Killed() == NoReason {
				t.Errorf("adopt %d: %v", tick, err)
			}
		case 1, 2, 3:
			propose(rt, tick, c, idFast, Ramp(tick%3))
		case 4:
			propose(rt, tick, cLow, idSmall, RampDirect)
		case 5:
			rt.Kill(ReasonOperator)
		case 6:
			if err := rt.Executor().Revive(tick); err != nil {
				t.Error(err)
			}
		default:
			rt.Executor().Snapback(c, ReasonOperator, tick)
		}
		rt.Executor().Observe(rt.Collect(tick))
		goruntime.Gosched()
	}
	stop.Store(true)
	wg.Wait()
	if served.Load() != asked.Load() || torn.Load() != 0 || lost.Load() != 0 || wrong.Load() != 0 {
		t.Fatalf("served %d of %d, torn %d, lost %d, wrong %d", served.Load(), asked.Load(), torn.Load(), lost.Load(), wrong.Load())
	}
	if swaps := rt.Load().Generation() - generation; swaps < changes/2 {
		t.Fatalf("only %d swaps while serving", swaps)
	}
	if err := rt.Executor().Sync(); err != nil {
		t.Fatal(err)
	}
	check(t, rt)
	log.replay(t)
}

// The kill switch thrown from many goroutines while changes are under way
// always ends on the baseline, and the log still replays.
func TestKillRaces(t *testing.T) {
	for round := range 50 {
		log := &memoryLog{}
		cfg := toyConfig()
		cfg.Log = log
		rt := openToy(t, cfg)
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() {
			<-start
			for tick := Tick(1); tick < 6; tick++ {
				propose(rt, tick, cLow, []catalog.VariantID{idFast, idUntold}[tick%2], RampDirect)
				if round%2 == 0 {
					rt.Executor().Rollback(cLow, ReasonOperator, tick)
				}
			}
		})
		for range 2 {
			wg.Go(func() {
				<-start
				for range round % 7 {
					goruntime.Gosched()
				}
				rt.Kill(ReasonGuardrail)
				if rt.Load().Select(cLow) != idBase {
					t.Error("kill returned while something else serves")
				}
			})
		}
		close(start)
		wg.Wait()
		if err := rt.Executor().Sync(); err != nil {
			t.Fatal(err)
		}
		check(t, rt)
		log.replay(t)
	}
}

func BenchmarkAtomicLoad(b *testing.B) { // the floor
	var p atomic.Pointer[Snapshot]
	p.Store(&Snapshot{generation: 1})
	for b.Loop() {
		sinkU = p.Load().generation
	}
}

func BenchmarkSelect(b *testing.B) {
	rt := openToy(b, toyConfig())
	for b.Loop() {
		sinkID = rt.Load().Select(cBurst)
	}
}

func BenchmarkRoute(b *testing.B) {
	rt := openToy(b, toyConfig())
	propose(rt, 1, cLow, idFast, RampAuto)
	key := uint64(0)
	for b.Loop() {
		key++
		sinkID = rt.Load().Route(cLow, key)
	}
}

func BenchmarkSelectHandle(b *testing.B) {
	rt := openToy(b, toyConfig())
	for b.Loop() {
		s := rt.Load()
		sinkAny = s.Handle(s.Select(cBurst))
	}
}

func BenchmarkRecord(b *testing.B) {
	rt := openToy(b, toyConfig())
	rec := rt.Recorder(0)
	for b.Loop() {
		rec.Record(idBase, cBurst, mLatency, 120)
	}
}

func BenchmarkSelectRecord(b *testing.B) {
	rt := openToy(b, toyConfig())
	rec := rt.Recorder(0)
	for b.Loop() {
		rec.Record(rt.Load().Select(cBurst), cBurst, mLatency, 120)
	}
}

func BenchmarkEmit(b *testing.B) {
	rt := openToy(b, toyConfig())
	rec, dst := rt.Recorder(0), make([]Event, 64)
	ev := Event{Kind: 1}
	for b.Loop() {
		if !rec.Emit(&ev) {
			rt.Drain(dst)
		}
	}
}

// BenchmarkSwap is a whole forward change without a log: validate, stage,
// build, swap, and the next ways back.
func BenchmarkSwap(b *testing.B) {
	rt := openToy(b, toyConfig())
	ids := [2]catalog.VariantID{idFast, idUntold}
	tick := Tick(0)
	b.ReportAllocs()
	for b.Loop() {
		tick++
		if d := propose(rt, tick, cLow, ids[tick%2], RampDirect); d.Outcome != Applied {
			b.Fatal(d)
		}
	}
}

// BenchmarkKill is the kill switch alone: the pointer is put back between.
func BenchmarkKill(b *testing.B) {
	rt := openToy(b, toyConfig())
	live := rt.Load()
	b.ReportAllocs()
	for b.Loop() {
		rt.live.Store(live)
		rt.killed.Store(0)
		rt.Kill(ReasonOperator)
	}
}

// BenchmarkSnapback is a retreat with the preparation of the next ways back.
func BenchmarkSnapback(b *testing.B) {
	rt := openToy(b, toyConfig())
	for b.Loop() {
		rt.Executor().Snapback(cLow, ReasonOperator, 1)
	}
}

// BenchmarkCycle is Tier 1 and Tier 2 on one window, knobs and drift included.
func BenchmarkCycle(b *testing.B) {
	rt := openToy(b, toyConfig())
	tier2, err := NewAdaptation(rt, AdaptConfig{Knobs: true})
	if err != nil {
		b.Fatal(err)
	}
	w := window(0)
	for id := idBase; id <= idUntold; id++ {
		w.Cells = append(w.Cells, append(seen(cLow, id, 50+float64(id), .9, 100), seen(cBurst, id, 50+float64(id), .9, 100)...)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Tick++
		tier2.Cycle(w)
	}
}
