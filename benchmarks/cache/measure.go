package cache

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// traceKey is everything that a trace depends on.
type traceKey struct {
	workload string
	seed     uint64
	uses     int
	purpose  benchmarks.Purpose
	disturb  benchmarks.Perturbation
}

// tracesKept bounds the domain's memory: 128 of 1.6 MB, enough for a search
// over every built-in context.
const tracesKept = 128

// searchTraces is how many generated traces the search measures a point on at
// fidelity 1, as one long one: with a single trace the search would choose what
// happens to fit it. At fidelity 1/3 it is one whole trace, below that a part
// of one. The gates take one trace a sample and draw samples of their own.
const searchTraces = 3

// itemBlocks is how many items a trace is cut into for the gates: the share of
// hits in each run of consecutive uses. Runs and not single uses, because hits
// next to each other depend on each other.
const itemBlocks = 4096

// workload finds a context.
func (d *Domain) workload(name string) (*Workload, error) {
	for i := range d.workloads {
		if d.workloads[i].Name == name {
			return &d.workloads[i], nil
		}
	}
	return nil, fmt.Errorf("scenario %.80q is not one of the cache domain's", name)
}

// played are the traces that Measure plays for one repeat.
func (d *Domain) played(r benchmarks.Request, repeat int) ([]*Trace, error) {
	w, err := d.workload(r.Scenario)
	if err != nil {
		return nil, err
	}
	n := 1
	if w.mix != nil && r.Purpose == benchmarks.ForSearch {
		all := r.Fidelity * searchTraces
		n = int(math.Ceil(all))
		r.Fidelity = all / float64(n)
	}
	out := make([]*Trace, n)
	for i := range out {
		if out[i], err = d.Trace(r, repeat*searchTraces+i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Trace lays out one trace of a context, number which of those that the
// request's seed gives. It may be shared and must not be changed.
func (d *Domain) Trace(r benchmarks.Request, which int) (*Trace, error) {
	w, err := d.workload(r.Scenario)
	if err != nil {
		return nil, err
	}
	key := traceKey{
		workload: w.Name, seed: seed.Derive(seed.Root(r.Seed), "cache/repeat", uint64(which)),
		uses: max(usesMin, int(math.Ceil(r.Fidelity*usesFull))), purpose: r.Purpose,
	}
	if r.Perturbation != nil {
		key.disturb = *r.Perturbation
	}
	d.mu.Lock()
	t, ok := d.traces[key]
	d.mu.Unlock()
	if ok {
		return t, nil
	}
	if t, err = d.layOut(w, key, r.Fidelity); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.traces[key]; !ok {
		d.traces[key] = t
		d.recent = append(d.recent, key)
		if len(d.recent) > tracesKept {
			delete(d.traces, d.recent[0])
			d.recent = d.recent[1:]
		}
	}
	return t, nil
}

// purposes separates what the search sees from what the gates see, even if
// somebody gives both the same seed.
var purposes = map[benchmarks.Purpose]string{benchmarks.ForSearch: "cache/search", benchmarks.ForGates: "cache/gates"}

func (d *Domain) layOut(w *Workload, key traceKey, fidelity float64) (*Trace, error) {
	root := seed.Root(seed.Derive(seed.Root(key.seed), purposes[key.purpose]))
	var uses []Use
	if w.mix != nil {
		uses = w.mix.generate(root, key.uses)
	} else {
		whole, err := d.file(w.file)
		if err != nil {
			return nil, err
		}
		// The search sees the first half of a file, the gates the second; a
		// share of it begins where the seed says.
		half := whole.Uses[:len(whole.Uses)/2]
		if key.purpose == benchmarks.ForGates {
			half = whole.Uses[len(whole.Uses)/2:]
		}
		n := max(1, int(math.Ceil(fidelity*float64(len(half)))))
		from := seed.Stream(root, "cache/file").IntN(len(half) - n + 1)
		uses = half[from : from+n]
	}
	if key.disturb.Kind != "" {
		var err error
		if uses, err = perturb(uses, key.disturb, root); err != nil {
			return nil, err
		}
	}
	return &Trace{Uses: uses, Warm: int(warmShare * float64(len(uses)))}, nil
}

func (d *Domain) file(f *TraceFile) (*Trace, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.files[f.Path]; ok {
		return t, nil
	}
	uses, err := ReadTraceFile(f.Path, f.Format)
	if err != nil {
		return nil, err
	}
	if len(uses) < 2*usesMin {
		return nil, fmt.Errorf("%s: %d uses, want at least %d: %w", f.Path, len(uses), 2*usesMin, ErrTrace)
	}
	d.files[f.Path] = &Trace{Uses: uses}
	return d.files[f.Path], nil
}

// Play runs the trace through a cache of the capacity and returns what was
// hit after the warm-up. hits, if not nil, is called for every use.
func (s *Strategy) Play(t *Trace, capacity int, hits func(i int, hit bool)) Ratios {
	sum := s.play(t, capacity, hits)
	return sum.ratios()
}

func (s *Strategy) play(t *Trace, capacity int, hits func(i int, hit bool)) tally {
	p := s.start(capacity)
	var sum tally
	for i, u := range t.Uses {
		hit := p.get(u.Key) != none
		if !hit {
			p.put(u.Key, u.Size)
		}
		sum.count(t, i, hit)
		if hits != nil {
			hits(i, hit)
		}
	}
	return sum
}

// instance implements benchmarks.Instance.
type instance struct {
	domain   *Domain
	strategy *Strategy
}

// Close implements benchmarks.Instance.
func (in *instance) Close() error { return nil }

// Measure implements benchmarks.Instance.
func (in *instance) Measure(ctx context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	w, err := in.domain.workload(r.Scenario)
	if err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	var out []benchmarks.Sample
	for repeat := range r.Repeats {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		traces, err := in.domain.played(r, repeat)
		if err != nil {
			return nil, err
		}
		s := benchmarks.Sample{Values: map[string]float64{}}
		if !r.OnlyMeasured {
			in.evaluate(traces, w.Capacity, &s)
		}
		if !r.OnlyDeterministic {
			if err := in.timed(traces[0], w.Capacity, &s); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (in *instance) evaluate(traces []*Trace, capacity int, s *benchmarks.Sample) {
	counted := 0
	for _, t := range traces {
		counted += len(t.Uses) - t.Warm
	}
	block := (counted + itemBlocks - 1) / itemBlocks
	var items []float32
	var sum tally
	for _, t := range traces {
		of := make([]float32, (len(t.Uses)-t.Warm)/block) // what is left of the last block is in the values only
		sum.add(in.strategy.play(t, capacity, func(i int, hit bool) {
			if at := (i - t.Warm) / block; hit && i >= t.Warm && at < len(of) {
				of[at]++
			}
		}))
		items = append(items, of...)
	}
	for i := range items {
		items[i] /= float32(block)
	}
	got := sum.ratios()
	s.Values[MetricHitRatio] = got.Hit
	s.Values[MetricByteHitRatio] = got.ByteHit
	s.Values[MetricBytesPerEntry] = float64(in.strategy.start(capacity).bytes()) / float64(capacity)
	s.Items = map[string][]float32{MetricHitRatio: items}
}

// timedUses is how many uses one timed sample takes at most, after a quarter
// as many again that fill the cache unseen.
const timedUses = 24_000

// timed measures the policy alone: keys are laid out before the clock starts.
func (in *instance) timed(t *Trace, capacity int, s *benchmarks.Sample) error {
	uses := t.Uses[:min(len(t.Uses), timedUses+timedUses/4)]
	warm := len(uses) / 5
	p := in.strategy.start(capacity)
	play := func(uses []Use) {
		for _, u := range uses {
			if p.get(u.Key) == none {
				p.put(u.Key, u.Size)
			}
		}
	}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	play(uses[:warm])
	from, err := benchmarks.ThreadCPU()
	if err != nil {
		return err
	}
	play(uses[warm:])
	to, err := benchmarks.ThreadCPU()
	if err != nil {
		return err
	}
	s.Values[MetricNS] = float64(to-from) / float64(len(uses)-warm)
	return nil
}

// checkUses is the length of the traces that Check plays, at capacities that
// make every list of a policy overflow.
const checkUses = 4000

var checkCapacities = []int{1, 2, 3, 17, 100}

// Check implements benchmarks.Instance: against the slow reference, use by
// use; never above capacity; never above Belady's bound; and the file says
// what the strategy is.
func (in *instance) Check(_ context.Context, root uint64) ([]benchmarks.Check, error) {
	reference := benchmarks.Check{Name: "agrees with the reference use by use", Pass: true}
	held := benchmarks.Check{Name: "holds what it says, within its capacity", Pass: true}
	bound := benchmarks.Check{Name: "never above Belady's bound", Pass: true}
	for i, capacity := range checkCapacities {
		m := &mixtures[(int(root%64)+5*i)%len(mixtures)]
		uses := m.generate(seed.Root(seed.Derive(seed.Root(root), "cache/check", uint64(i))), checkUses)
		for k := range uses {
			uses[k].Key %= uint64(capacity)*6 + 2 // enough repetition to matter
		}
		t := &Trace{Uses: uses, Warm: checkUses / 4}
		where := fmt.Sprintf("%s, %d entries", m.name, capacity)
		if err := in.strategy.differ(t, capacity); err != nil && reference.Pass {
			reference.Pass, reference.Detail = false, where+": "+err.Error()
		}
		if err := in.strategy.sound(t, capacity); err != nil && held.Pass {
			held.Pass, held.Detail = false, where+": "+err.Error()
		}
		got, best := in.strategy.Play(t, capacity, nil).Hit, Bound(t, capacity).Hit
		if got > best && bound.Pass {
			bound.Pass, bound.Detail = false, fmt.Sprintf("%s: hit ratio %.4f, bound %.4f", where, got, best)
		}
	}
	file := benchmarks.Check{Name: "the file reads back the same", Pass: true}
	if again, err := Open(in.strategy.Encode()); err != nil || again.String() != in.strategy.String() {
		file.Pass, file.Detail = false, fmt.Sprintf("%v, %v", again, err)
	}
	return []benchmarks.Check{reference, held, bound, file}, nil
}

// differ plays the policy beside its reference.
func (s *Strategy) differ(t *Trace, capacity int) error {
	p, slow := s.start(capacity), s.reference(capacity)
	for i, u := range t.Uses {
		hit := p.get(u.Key) != none
		if !hit {
			p.put(u.Key, u.Size)
		}
		if want := slow.use(u.Key, u.Size); hit != want {
			return fmt.Errorf("use %d, key %d: hit %v, the reference says %v", i, u.Key, hit, want)
		}
	}
	return nil
}

// sound keeps its own book of what is resident and compares.
func (s *Strategy) sound(t *Trace, capacity int) error {
	p := s.start(capacity)
	book := map[uint64]bool{}
	a := p.table()
	a.evicted = func(x int32) { delete(book, a.nodes[x].key) }
	for i, u := range t.Uses {
		x := p.get(u.Key)
		if hit := x != none; hit != book[u.Key] || hit && a.nodes[x].key != u.Key {
			return fmt.Errorf("use %d: a hit is %v, but the key is resident: %v", i, hit, book[u.Key])
		}
		if x == none && p.put(u.Key, u.Size) != none {
			book[u.Key] = true
		}
		if len(book) > capacity {
			return fmt.Errorf("use %d: %d entries are held", i, len(book))
		}
	}
	var keys []uint64
	for _, x := range p.order(nil) {
		keys = append(keys, a.nodes[x].key)
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != len(book) || slices.ContainsFunc(keys, func(k uint64) bool { return !book[k] }) {
		return fmt.Errorf("%d entries in its order, %d resident", len(keys), len(book))
	}
	return nil
}
