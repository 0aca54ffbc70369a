package runtime

import (
	"slices"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime/telemetry"
)

// Event is something rare that a request wants the engine to know. The kinds
// are the host's.
type Event struct {
	Kind    uint32
	Class   Class
	Metric  MetricID
	Variant catalog.VariantID
	Value   float64
	Key     uint64
}

// Recorder is one goroutine's way to report. It never blocks, allocates or
// reads a clock.
type Recorder struct {
	shard *telemetry.Shard
	ring  *telemetry.Ring[Event]
}

// Record adds x to the metric of the variant that served a request of the
// class. What has no place is dropped and counted.
func (r *Recorder) Record(v catalog.VariantID, c Class, m MetricID, x float64) {
	r.shard.Record(uint32(v), int(c), int(m), x)
}

// Emit passes a rare event; false means that the ring was full and the event
// was dropped and counted.
func (r *Recorder) Emit(e *Event) bool { return r.ring.Push(e) }

// Flush hands over what was recorded so far. An owner calls it when it goes
// idle, or before it collects itself; busy owners hand over by recording.
func (r *Recorder) Flush() { r.shard.Flush() }

// Collect merges what the recorders have handed over and returns the cells
// that have enough requests to be judged; the rest waits for a later window.
// It never waits for a recorder.
func (rt *Runtime) Collect(now Tick) *Window {
	need := rt.executor.viewNow().WindowRequests
	rt.boardMu.Lock()
	defer rt.boardMu.Unlock()
	rt.board.Collect()
	w := &Window{Tick: now}
	rt.board.Take(uint64(need), func(arm uint32, class, metric int, s *telemetry.Sketch) {
		if rt.cfg.Tap != nil {
			rt.cfg.Tap(Class(class), catalog.VariantID(arm), MetricID(metric), s)
		}
		if len(w.Cells) == cellsMax {
			w.Dropped += s.Count()
			return
		}
		w.Cells = append(w.Cells, Cell{
			Class: Class(class), Metric: MetricID(metric), Variant: catalog.VariantID(arm), Count: s.Count(), Invalid: s.Invalid(),
			Mean: s.Mean(), Var: s.Variance(), Min: s.Min(), Max: s.Max(), P50: s.Quantile(.5), P99: s.Quantile(.99),
		})
	})
	slices.SortFunc(w.Cells, func(a, b Cell) int {
		if a.Class != b.Class {
			return int(a.Class) - int(b.Class)
		}
		if a.Variant != b.Variant {
			return int(a.Variant) - int(b.Variant)
		}
		return int(a.Metric) - int(b.Metric)
	})
	var drops uint64
	for _, r := range rt.shards {
		drops += r.ring.Drops()
	}
	w.Dropped += rt.board.TakeMissed() + drops - rt.drops
	rt.drops = drops
	return w
}

// Drain moves up to len(dst) events of all shards into dst.
func (rt *Runtime) Drain(dst []Event) int {
	rt.boardMu.Lock()
	defer rt.boardMu.Unlock()
	n := 0
	for _, r := range rt.shards {
		n += r.ring.Drain(dst[n:])
	}
	return n
}

// armsMax is how many variants of a class keep a place to record into when
// they are not needed any more; each costs 8 KB a metric and buffer.
const armsMax = 8

// hasRoom reports whether every arm that arms lists by class has a place to
// record into.
func (rt *Runtime) hasRoom(classes int, arms func(class int) [6]uint32) bool {
	rt.boardMu.Lock()
	defer rt.boardMu.Unlock()
	if classes != len(rt.arms) {
		return false
	}
	for c := range classes {
		for _, a := range arms(c) {
			if !slices.Contains(rt.arms[c], a) {
				return false
			}
		}
	}
	return true
}

// relayout gives every (class, variant) that the next snapshot can route to,
// and those that requests in flight still hold, a place to record into. It
// must be called before that snapshot is published.
func (rt *Runtime) relayout(arms [][]uint32) {
	rt.boardMu.Lock()
	defer rt.boardMu.Unlock()
	for c := range min(len(rt.arms), len(arms)) { // keep what there was: the next change is likely to go back to it
		for _, a := range rt.arms[c] {
			if len(arms[c]) < armsMax && !slices.Contains(arms[c], a) {
				arms[c] = append(arms[c], a)
			}
		}
	}
	rt.arms = arms
	rt.board.Relayout(telemetry.NewLayout(arms, len(rt.cfg.Metrics)))
}
