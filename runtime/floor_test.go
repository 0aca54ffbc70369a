package runtime

import (
	"context"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/adapt"
)

// The figures of docs/runtime.md that are ratios or tails. Timings of what is
// compared alternate within one run and the least of each counts, so that a
// machine which is busy with other things makes them late, not wrong.

// wideRelease has one baseline and 29 more variants, of which variant 2 has 50
// knobs and is the best.
func wideRelease(sequence uint64) *catalog.Release {
	r := toyRelease(sequence)
	r.Entries = nil
	for id := catalog.VariantID(1); id <= 30; id++ {
		e := entry(id, -.01*float64(id%7), "low", "burst")
		if id == idFast {
			e = entry(id, -.4, "low", "burst")
			for k := range 50 {
				e.Variant.Knobs = append(e.Variant.Knobs, catalog.Knob{
					Name: string(rune('A'+k/10)) + string(rune('0'+k%10)), Default: .5, Bounds: catalog.Bounds{Max: 1, MaxDelta: .1},
				})
			}
		}
		if id == idBase {
			e = entry(id, 0, "low", "burst")
		}
		e.Curves = []catalog.LatencyCurve{{Context: "low", P99NS: 300}, {Context: "burst", P99NS: 300}}
		r.Entries = append(r.Entries, e)
	}
	r.NextID = 31
	return r
}

func openWide(tb testing.TB, cfg Config) *Runtime {
	tb.Helper()
	r := wideRelease(1)
	rt, err := open(context.Background(), cfg, r, manifestOf(r), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

// least runs f n times in each of some rounds and keeps the fastest round.
func least(into *time.Duration, n int, f func()) {
	start := time.Now()
	for range n {
		f()
	}
	if d := time.Since(start) / time.Duration(n); *into == 0 || d < *into {
		*into = d
	}
}

// BenchmarkRatios reports how long the hot path takes in units of a bare
// atomic load of the same run, and the ways back in units of a swap.
func BenchmarkRatios(b *testing.B) {
	rt := openToy(b, toyConfig())
	rec := rt.Recorder(0)
	var floor atomic.Pointer[Snapshot]
	floor.Store(rt.Load())
	bandit, x, eligible, ms := wideBandit(b)
	other := openToy(b, toyConfig())
	live, tick := other.Load(), Tick(0)
	ids := [2]catalog.VariantID{idFast, idUntold}
	parts := []struct {
		name string
		n    int
		f    func()
		best time.Duration
	}{
		{name: "load", n: 1 << 14, f: func() {
			for range 100 {
				sinkU = floor.Load().generation
			}
		}},
		{name: "select", n: 1 << 14, f: func() {
			for range 100 {
				sinkID = rt.Load().Select(cBurst)
			}
		}},
		{name: "select+record", n: 1 << 14, f: func() {
			for range 10 {
				rec.Record(rt.Load().Select(cBurst), cBurst, mLatency, 120)
			}
		}},
		{name: "decision", n: 1 << 9, f: func() { sinkU = uint64(bandit.Prefer(x, eligible, ms).Arm) }},
		{name: "kill", n: 1 << 12, f: func() {
			rt.live.Store(live)
			rt.killed.Store(0)
			rt.Kill(ReasonOperator)
		}},
		{name: "snapback", n: 1 << 8, f: func() { other.Executor().Snapback(cBurst, ReasonOperator, tick) }},
		{name: "swap", n: 1 << 8, f: func() {
			tick++
			propose(other, tick, cLow, ids[tick%2], RampDirect)
		}},
	}
	for b.Loop() {
		for i := range parts {
			p := &parts[i]
			least(&p.best, p.n, p.f)
		}
	}
	ns := func(i int, per float64) float64 { return float64(parts[i].best.Nanoseconds()) / per }
	b.ReportMetric(0, "ns/op")
	load := ns(0, 100)
	b.ReportMetric(load, "load-ns")
	b.ReportMetric(ns(1, 100)/load, "select/load")
	b.ReportMetric(ns(2, 10), "select+record-ns")
	b.ReportMetric(ns(3, 1), "decision-ns")
	b.ReportMetric(ns(4, 1)/ns(6, 1), "kill/swap")
	b.ReportMetric(ns(5, 1)/ns(6, 1), "snapback/swap")
}

// wideBandit has learned from 600 requests over 30 arms of 8 features.
func wideBandit(tb testing.TB) (b *adapt.Bandit, x []float64, eligible []bool, ms []float64) {
	tb.Helper()
	b, err := adapt.NewBandit(adapt.BanditConfig{Arms: 30, Dim: 8, LimitMS: 100})
	if err != nil {
		tb.Fatal(err)
	}
	x, eligible, ms = make([]float64, 8), make([]bool, 30), make([]float64, 30)
	for k := range eligible {
		eligible[k], ms[k] = k%10 > 0, 20+2*float64(k)
	}
	for t := range uint64(600) {
		for i := range x {
			x[i] = adapt.Normal(5, t, uint64(i))
		}
		p := b.Choose(t, x, eligible, ms)
		b.Reward(t, p.Arm, x[p.Arm%8]*.2+.1*adapt.Normal(6, t), ms[p.Arm])
	}
	return b, x, eligible, ms
}

func quantileNS(ds []time.Duration, q float64) float64 {
	slices.Sort(ds)
	return float64(ds[min(int(q*float64(len(ds))), len(ds)-1)].Nanoseconds())
}

// BenchmarkSwapVisible is how long after a swap a reader on another core, which
// does nothing but load, has the new snapshot. It needs two idle cores.
func BenchmarkSwapVisible(b *testing.B) {
	rt := openToy(b, toyConfig())
	snapshots := [2]*Snapshot{rt.Load(), {generation: 99}}
	var saw atomic.Int64 // when, since start; 0: not yet
	var turn atomic.Uint64
	start := time.Now()
	var wg sync.WaitGroup
	stop, ready := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		goruntime.LockOSThread()
		defer goruntime.UnlockOSThread()
		last := rt.Load()
		close(ready)
		for i := 0; ; i++ {
			if s := rt.Load(); s != last {
				last = s
				saw.Store(time.Since(start).Nanoseconds())
			}
			if i%1024 == 0 {
				select {
				case <-stop:
					return
				default:
				}
			}
		}
	})
	<-ready
	var took []time.Duration
	for b.Loop() {
		turn.Add(1)
		saw.Store(0)
		at := time.Since(start).Nanoseconds()
		rt.live.Store(snapshots[turn.Load()%2])
		for saw.Load() == 0 {
			goruntime.Gosched()
		}
		took = append(took, time.Duration(saw.Load()-at))
	}
	close(stop)
	wg.Wait()
	b.ReportMetric(quantileNS(took, .5), "p50-ns")
	b.ReportMetric(quantileNS(took, .999), "p99.9-ns")
}
