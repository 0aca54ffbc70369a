// Package prometheus exports a runtime to Prometheus: which variant serves
// which class, how many requests each answered and how fast, guardrail trips,
// rollbacks and refusals, where every rollout stands, and the release in force.
//
// It costs requests nothing: counts come from the windows that the engine
// collects anyway, so they lag by what is too thin to be judged yet, and states
// are read when Prometheus asks. It decides nothing, registers nothing by
// itself and opens no port. Programs that embed the runtime without it link
// none of it.
package prometheus

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
	"github.com/arqon/arqon/runtime/telemetry"
)

// Options say what a host wants to see.
type Options struct {
	// LatencyMetric is the runtime's metric in nanoseconds that becomes the
	// histogram arqon_request_duration_seconds; "": no histogram.
	LatencyMetric string
	// Buckets are its upper bounds in seconds, ascending; nil: 1 µs to 1 s.
	Buckets []float64
}

// seriesMax bounds the (class, variant) pairs that get series of their own.
// What comes after is counted as variant "other".
const seriesMax = 1 << 10

// other stands for the pairs beyond seriesMax.
const other = "other"

// Collector implements prometheus.Collector. Its methods may be called from
// any goroutine.
type Collector struct {
	options Options
	metrics []runtime.Metric
	latency int // MetricID, −1: none

	rt atomic.Pointer[runtime.Runtime]

	mu          sync.Mutex // never held while the runtime is called: Tap runs inside one of its calls
	arms        map[armKey]*arm
	trips       map[string]uint64    // by class
	retreats    map[[2]string]uint64 // by class and reason
	transitions map[[2]string]uint64 // by class and state
	decisions   map[[2]string]uint64 // by outcome and reason
	dropped     uint64
	shadows     map[runtime.Class]catalog.VariantID // whose cells of the next window are of copies
}

type armKey struct {
	class   runtime.Class
	variant string
}

// arm is what one variant did in one class.
type arm struct {
	requests uint64
	copies   uint64 // of requests, tried in shadow
	invalid  uint64
	means    map[runtime.MetricID]float64 // of the last window
	seconds  float64                      // sum of the latency
	count    uint64
	buckets  []uint64 // cumulative
}

// New makes a collector for a runtime that records the metrics. Put Tap into
// runtime.Config, call Attach once the runtime is open and Cycle after every
// decision cycle, and register the collector.
func New(metrics []runtime.Metric, o Options) (*Collector, error) {
	c := &Collector{
		options: o, metrics: metrics, latency: -1, arms: map[armKey]*arm{},
		trips: map[string]uint64{}, retreats: map[[2]string]uint64{}, transitions: map[[2]string]uint64{}, decisions: map[[2]string]uint64{},
		shadows: map[runtime.Class]catalog.VariantID{},
	}
	if c.options.Buckets == nil {
		c.options.Buckets = []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, .01, .1, 1}
	}
	last := 0.0
	for i, b := range c.options.Buckets {
		if !(b > last) || math.IsInf(b, 0) {
			return nil, fmt.Errorf("prometheus: Buckets[%d] is %v: want positive, finite and ascending", i, b)
		}
		last = b
	}
	for i, m := range metrics {
		if m.Name == o.LatencyMetric && m.Name != "" {
			c.latency = i
		}
	}
	if c.latency < 0 && o.LatencyMetric != "" {
		return nil, fmt.Errorf("prometheus: LatencyMetric %q is not one of the runtime's metrics", o.LatencyMetric)
	}
	return c, nil
}

// ErrAttached is returned by a second Attach.
var ErrAttached = errors.New("prometheus: the collector has a runtime already")

// Attach names the runtime whose states are read at a scrape.
func (c *Collector) Attach(rt *runtime.Runtime) error {
	if !c.rt.CompareAndSwap(nil, rt) {
		return ErrAttached
	}
	return nil
}

// Tap is a runtime.TapFunc: it takes the latencies from a window's sketches.
func (c *Collector) Tap(class runtime.Class, v catalog.VariantID, m runtime.MetricID, s *telemetry.Sketch) {
	if int(m) != c.latency {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if rt := c.rt.Load(); rt != nil {
		c.shadow(rt.Load(), class)
	}
	if c.shadows[class] == v && v != catalog.BuiltIn {
		return // nobody waited for it
	}
	a := c.arm(class, v)
	a.count += s.Count()
	a.seconds += s.Mean() * float64(s.Count()) / 1e9
	for i, b := range c.options.Buckets {
		a.buckets[i] += s.AtMost(b * 1e9)
	}
}

// shadow notes what a class has in shadow; it stands until the window is
// counted, though the window may be what ends the shadow. Locked.
func (c *Collector) shadow(s *runtime.Snapshot, class runtime.Class) {
	if v := s.Shadow(class); v != catalog.BuiltIn {
		c.shadows[class] = v
	}
}

// arm finds or makes the account of a variant. Locked.
func (c *Collector) arm(class runtime.Class, v catalog.VariantID) *arm {
	key := armKey{class, strconv.FormatUint(uint64(v), 10)}
	if c.arms[key] == nil && len(c.arms) >= seriesMax {
		key.variant = other
	}
	a := c.arms[key]
	if a == nil {
		a = &arm{means: map[runtime.MetricID]float64{}, buckets: make([]uint64, len(c.options.Buckets))}
		c.arms[key] = a
	}
	return a
}

// Cycle counts what one decision cycle saw and did.
func (c *Collector) Cycle(w *runtime.Window, ts []runtime.Transition, ds []runtime.Decision) {
	names := c.classes()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window(w)
	for _, t := range ts {
		if t.From == t.To {
			continue
		}
		class := names.of(t.Class)
		c.transitions[[2]string{class, t.To.String()}]++
		if t.To == runtime.RolledBack {
			c.retreats[[2]string{class, t.Reason.String()}]++
		}
		if t.Reason == runtime.ReasonGuardrail {
			c.trips[class]++
		}
	}
	for _, d := range ds {
		c.decisions[[2]string{d.Outcome.String(), d.Reason.String()}]++
	}
	if rt := c.rt.Load(); rt != nil {
		clear(c.shadows)
		snap := rt.Load()
		for class := range snap.Classes() {
			c.shadow(snap, runtime.Class(class))
		}
	}
}

func (c *Collector) window(w *runtime.Window) {
	if w == nil {
		return
	}
	c.dropped += w.Dropped
	// Cells are in (class, variant, metric) order; a request records some of
	// the metrics, so the fullest of a variant's cells counts its requests.
	for i := 0; i < len(w.Cells); {
		first := w.Cells[i]
		a := c.arm(first.Class, first.Variant)
		var requests uint64
		for ; i < len(w.Cells) && w.Cells[i].Class == first.Class && w.Cells[i].Variant == first.Variant; i++ {
			x := w.Cells[i]
			requests = max(requests, x.Count+x.Invalid)
			a.invalid += x.Invalid
			if x.Count > 0 {
				a.means[x.Metric] = x.Mean
			}
		}
		if c.shadows[first.Class] == first.Variant && first.Variant != catalog.BuiltIn {
			a.copies += requests
		} else {
			a.requests += requests
		}
	}
}

// classNames are the runtime's classes, in order.
type classNames []string

func (c *Collector) classes() classNames {
	if rt := c.rt.Load(); rt != nil {
		return rt.Classes()
	}
	return nil
}

func (n classNames) of(class runtime.Class) string {
	if int(class) < len(n) {
		return n[class]
	}
	return strconv.Itoa(int(class))
}
