// Package runtime serves: it takes verified releases, hands every request one
// immutable snapshot by one atomic load, and lets a deterministic executor
// move knobs and choose among approved variants inside signed bounds, with a
// way back that is one pointer store.
//
// It is not for finding, judging, signing or fetching variants: it accepts
// nothing but a catalog.Verified, links no network, no process execution and
// no third-party module, reads no clock and starts no goroutine. Time, seeds
// and cadence are arguments.
//
// The standard library has a package of the same name; import that one as
// goruntime.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/seed"
	"github.com/arqon/arqon/runtime/telemetry"
)

// Log is where Tier 1 writes what it was told and what it did. A Log may keep
// records back until Sync; what Sync has confirmed is durable. Append returns the
// record's sequence, one more than the last: a runtime whose records do not
// follow each other shares its log with another and freezes (ErrShared). It must
// not keep the payload, which is written over later. *ledger.Log is one.
type Log interface {
	Append(kind uint16, payload []byte) (uint64, error)
	Sync() error
}

// StageFunc makes a variant ready to serve: it opens the artifacts and returns
// what Snapshot.Handle will give to requests. It is called off to the side,
// never while requests wait.
type StageFunc func(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error)

// Config is what a host decides. The zero Config serves, records nothing and
// logs nothing.
type Config struct {
	Stage   StageFunc         // nil: handles are the catalog.Entry values themselves
	BuiltIn any               // the handle of id 0, the host's own fallback
	Shards  int               // goroutines that record; 0: 1
	Metrics []Metric          // what they record; a guardrail on anything else is refused
	Success map[string]string // success metric by class; absent: the first expectation of the release
	Host    Host              // what this machine offers
	Limits  Limits            // how fast Tier 1 may move
	Log     Log               // nil: nothing is logged and nothing can be replayed
	Seed    seed.Root         // of Tier 2's draws; logged
	Events  int               // ring slots a shard; 0: 64
	Tap     TapFunc           // nil: nobody looks
}

// TapFunc is shown every sketch that Collect takes, before it is emptied: for
// exporters that want more than a Cell. It must not keep the sketch, and must
// not call the Runtime.
type TapFunc func(c Class, v catalog.VariantID, m MetricID, s *telemetry.Sketch)

func (c *Config) fill() error {
	var err error
	if c.Limits, err = c.Limits.filled(); err != nil {
		return err
	}
	c.Host = c.Host.filled()
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.Shards < 1 || c.Shards > shardsMax {
		return fmt.Errorf("config: Shards is %d: want 1 to %d", c.Shards, shardsMax)
	}
	if c.Events == 0 {
		c.Events = 64
	}
	if c.Events < 1 || c.Events > telemetry.RingSizeMax {
		return fmt.Errorf("config: Events is %d: want 1 to %d", c.Events, telemetry.RingSizeMax)
	}
	if len(c.Metrics) > metricsMax {
		return fmt.Errorf("config: %d Metrics, at most %d", len(c.Metrics), metricsMax)
	}
	seen := map[string]bool{}
	for i, m := range c.Metrics {
		if m.Name == "" || seen[m.Name] || m.Stat >= statCount {
			return fmt.Errorf("config: Metrics[%d] %q: want distinct names and a known statistic", i, m.Name)
		}
		seen[m.Name] = true
	}
	for class, m := range c.Success {
		if !seen[m] {
			return fmt.Errorf("config: Success[%q] is %q, which is not in Metrics", class, m)
		}
	}
	return nil
}

const cacheLineBytes = 128

// Runtime serves one channel of one domain. Load is for any goroutine; a
// Recorder belongs to one; everything else is for the engine's side and may be
// called from any goroutine, one change at a time.
type Runtime struct {
	_    [cacheLineBytes]byte
	live atomic.Pointer[Snapshot] // alone on its line: written on a swap, read by everybody
	_    [cacheLineBytes - 8]byte

	killed atomic.Uint32 // the Reason, once the kill switch is on

	cfg      Config
	adoptMu  sync.Mutex // one Adopt at a time; never held by anything else
	executor Executor
	boardMu  sync.Mutex
	board    *telemetry.Board
	arms     [][]uint32 // the board's layout, by class
	shards   []*Recorder
	drops    uint64 // ring drops already reported
}

// Open stages a verified release and serves its baseline in every class;
// Install goes on from there. It refuses a release that proves nothing
// (ErrUnverified), has no baseline that this host can run (ErrBaseline), needs
// a newer runtime (ErrABI), guards what the host does not record
// (ErrUnmeasured) or is malformed (ErrRelease), and a variant that does not
// stage (ErrStage).
func Open(ctx context.Context, cfg Config, rel *catalog.Verified) (*Runtime, error) {
	if rel.IsZero() {
		return nil, ErrUnverified
	}
	return open(ctx, cfg, rel.Release(), string(rel.Manifest()), rel.Blobs())
}

func open(ctx context.Context, cfg Config, r *catalog.Release, manifest string, blobs artifacts.Getter) (*Runtime, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	v, err := newView(&cfg, r, manifest, nil)
	if err != nil {
		return nil, err
	}
	t, err := stage(ctx, &cfg, v, r, blobs, nil)
	if err != nil {
		return nil, err
	}
	rt := &Runtime{cfg: cfg}
	x := &rt.executor
	x.rt, x.log = rt, cfg.Log
	x.m, x.spare, x.table = newMachine(v), &machine{}, t
	if err := x.opened(); err != nil {
		return nil, err
	}
	rt.arms = x.layout(x.m)
	rt.board = telemetry.NewBoard(cfg.Shards, telemetry.NewLayout(rt.arms, len(cfg.Metrics)))
	for i := range cfg.Shards {
		rt.shards = append(rt.shards, &Recorder{shard: rt.board.Shard(i), ring: telemetry.NewRing[Event](cfg.Events)})
	}
	rt.live.Store(x.build(x.m))
	x.rebuild()
	return rt, nil
}

// stage makes the handles of every variant that some class may have. before
// (nil: none) lends handles of unchanged variants.
func stage(ctx context.Context, cfg *Config, v *view, r *catalog.Release, blobs artifacts.Getter, before *table) (*table, error) {
	t := &table{builtIn: cfg.BuiltIn, identity: map[catalog.VariantID]artifacts.Digest{}}
	size := 0
	if n := len(v.Entries); n > 0 {
		size = int(v.Entries[n-1].ID) + 1
	}
	t.slot = make([]int32, size)
	for i := range t.slot {
		t.slot[i] = -1
	}
	for _, e := range r.Entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ve, _ := v.entry(e.ID); ve.Host != NoReason {
			continue
		}
		id := e.Variant.Identity
		var h any
		if before != nil && id != "" && before.identity[e.ID] == id {
			h = before.handle(e.ID)
		} else {
			var err error
			if h, err = stageOne(ctx, cfg.Stage, e, blobs); err != nil {
				return nil, err
			}
		}
		t.slot[e.ID] = int32(len(t.handles))
		t.handles = append(t.handles, h)
		t.identity[e.ID] = id
	}
	return t, nil
}

// stageOne calls the host's loader; its panic is the variant's failure, not
// the process's.
func stageOne(ctx context.Context, f StageFunc, e catalog.Entry, blobs artifacts.Getter) (h any, err error) {
	if f == nil {
		return e, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("variant %d %s: loader panicked: %v: %w", e.ID, e.Variant.Name, p, ErrStage)
		}
	}()
	if h, err = f(ctx, e, blobs); err != nil {
		return nil, fmt.Errorf("variant %d %s: %w: %w", e.ID, e.Variant.Name, ErrStage, err)
	}
	if h == nil {
		return nil, fmt.Errorf("variant %d %s: loader returned nothing: %w", e.ID, e.Variant.Name, ErrStage)
	}
	return h, nil
}

// Load returns the snapshot in force: one atomic load, any goroutine.
func (rt *Runtime) Load() *Snapshot { return rt.live.Load() }

// Kill puts the baseline in force at once: one compare-and-swap of a prebuilt
// pointer, without lock, log, allocation or network, from any goroutine and in
// any state. It stays in force until Executor.Revive; the log hears of it with
// the executor's next call.
func (rt *Runtime) Kill(why Reason) {
	if why == NoReason || why >= reasonCount {
		why = ReasonOperator
	}
	rt.killed.CompareAndSwap(0, uint32(why))
	for { // at most one forward swap can have passed its check before the flag was set
		s := rt.live.Load()
		if s.kill == nil || rt.live.CompareAndSwap(s, s.kill) {
			return
		}
	}
}

// Killed returns why the kill switch is on, NoReason if it is off.
func (rt *Runtime) Killed() Reason { return Reason(rt.killed.Load()) }

// Executor is Tier 1.
func (rt *Runtime) Executor() *Executor { return &rt.executor }

// Adopt stages a newer verified release off to the side and then swaps once:
// requests in flight keep the snapshot they have. Incumbents that the release
// still approves keep their classes, experiments end, everything else goes to
// the new baseline. The refusals are those of Open, ErrOlder, ErrForeign,
// ErrKilled and ErrFrozen; after any of them the release before stays in
// force. The release in force already is not an error and changes nothing,
// unless entries have been withdrawn from it: they stop serving.
func (rt *Runtime) Adopt(ctx context.Context, rel *catalog.Verified) error {
	if rel.IsZero() {
		return ErrUnverified
	}
	return rt.adopt(ctx, rel.Release(), string(rel.Manifest()), rel.Blobs())
}

func (rt *Runtime) adopt(ctx context.Context, r *catalog.Release, manifest string, blobs artifacts.Getter) error {
	rt.adoptMu.Lock()
	defer rt.adoptMu.Unlock()
	before, t, err := rt.executor.current()
	if err != nil {
		return err
	}
	if manifest == before.Manifest && r.Sequence == before.Sequence && before.lists(r) {
		return nil
	}
	v, err := newView(&rt.cfg, r, manifest, before)
	if err != nil {
		return err
	}
	if t, err = stage(ctx, &rt.cfg, v, r, blobs, t); err != nil {
		return err
	}
	return rt.executor.adopt(v, t)
}

// Class resolves a context of the releases seen so far.
func (rt *Runtime) Class(name string) (Class, bool) {
	v := rt.executor.viewNow()
	i := v.class(name)
	return Class(max(i, 0)), i >= 0
}

// Classes lists the contexts in class order.
func (rt *Runtime) Classes() []string {
	v := rt.executor.viewNow()
	out := make([]string, len(v.Classes))
	for i, c := range v.Classes {
		out[i] = c.Name
	}
	return out
}

// Metric resolves a metric of Config.Metrics.
func (rt *Runtime) Metric(name string) (MetricID, bool) {
	for i, m := range rt.cfg.Metrics {
		if m.Name == name {
			return MetricID(i), true
		}
	}
	return 0, false
}

// Knob resolves a knob of a variant in the release in force.
func (rt *Runtime) Knob(id catalog.VariantID, name string) (KnobID, bool) {
	v := rt.executor.viewNow()
	i := v.knob(id, name)
	if i < 0 || !v.Knobs[i].Present {
		return 0, false
	}
	return KnobID(i), true
}

// Eligible says why a class may not have a variant, NoReason if it may.
func (rt *Runtime) Eligible(id catalog.VariantID, c Class) Reason {
	return rt.executor.viewNow().eligible(id, c)
}

// Best is the lexicographic constrained choice for a class: among the eligible
// entries the one with the best signed expectation on the class's success
// metric, at the worse end of its interval; the baseline if none is shown to
// be better.
func (rt *Runtime) Best(c Class) catalog.VariantID {
	v := rt.executor.viewNow()
	if int(c) >= len(v.Classes) {
		return v.Baseline
	}
	return v.best(c)
}

// Baseline is the baseline of the release in force.
func (rt *Runtime) Baseline() catalog.VariantID { return rt.executor.viewNow().Baseline }

// Install proposes Best for every class that serves something else, directly
// where the entry has passed a canary and through the ramp where not. It
// returns one decision a proposal.
func (rt *Runtime) Install(now Tick) []Decision {
	v := rt.executor.viewNow()
	var out []Decision
	for i := range v.Classes {
		c, s := Class(i), rt.Load()
		id := v.best(c)
		if id == s.Select(c) || id == catalog.BuiltIn {
			continue
		}
		ramp := RampAuto
		if e, ok := v.entry(id); ok && (e.Direct || id == v.Baseline) {
			ramp = RampDirect
		}
		out = append(out, rt.executor.Propose(Proposal{Tick: now, Base: s.Generation(), Class: c, Variant: id, Ramp: ramp}))
	}
	return out
}

// Recorder returns the recorder of a shard, nil for one that Config.Shards
// does not have. One goroutine owns it.
func (rt *Runtime) Recorder(shard int) *Recorder {
	if uint(shard) >= uint(len(rt.shards)) {
		return nil
	}
	return rt.shards[shard]
}

// ErrNoLog is returned by Sync of a runtime without a log.
var ErrNoLog = errors.New("this runtime has no event log")
