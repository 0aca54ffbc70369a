package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// Use is one request to a cache.
type Use struct {
	Key  uint64
	Size uint32 // bytes
}

// Trace is a workload laid out. The uses before Warm are not counted.
type Trace struct {
	Uses []Use
	Warm int
}

// Workload is a context: a stream of uses and a capacity.
type Workload struct {
	Name     string
	Capacity int // entries
	mix      *mixture
	file     *TraceFile
}

const (
	usesFull    = 100_000 // of a generated trace at fidelity 1
	usesMin     = 2_000
	warmShare   = .25
	capacityMax = 1 << 24
)

// capacities of the built-in contexts.
var capacities = []int{512, 2048, 8192}

func sizeName(entries int) string {
	if entries >= 1024 && entries%1024 == 0 {
		return fmt.Sprintf("%dk", entries/1024)
	}
	return fmt.Sprint(entries)
}

// source is one stream of key numbers; a mixture gives each its own range.
type source interface{ next(r *rand.Rand) uint64 }

// part of a mixture: a share of the uses, in runs of the given length.
type ingredient struct {
	share float64
	run   int // uses in a row; 0: 1
	make  func(r *rand.Rand) source
}

// mixture is a kind of traffic.
type mixture struct {
	name   string
	sizes  func(key uint64) uint32
	recipe []ingredient
}

// Workloads lists the built-in contexts: every mixture at every capacity.
func Workloads() []Workload {
	var out []Workload
	for i := range mixtures {
		for _, n := range capacities {
			out = append(out, Workload{Name: mixtures[i].name + "-" + sizeName(n), Capacity: n, mix: &mixtures[i]})
		}
	}
	return out
}

// mixtures are twelve kinds of traffic. What each is like in life is said
// beside it.
var mixtures = []mixture{
	{"zipf-flat", same, []ingredient{{1, 0, zipf(.7, 50_000)}}},                                                       // many tenants, little in common
	{"zipf", objects, []ingredient{{1, 0, zipf(.95, 50_000)}}},                                                        // key-value stores
	{"zipf-steep", objects, []ingredient{{1, 0, zipf(1.2, 50_000)}}},                                                  // celebrities
	{"scan", same, []ingredient{{.6, 0, zipf(.95, 20_000)}, {.4, 1000, scan()}}},                                      // backups and reports beside users
	{"loop", same, []ingredient{{.85, 1000, loop(3000)}, {.15, 0, zipf(.9, 10_000)}}},                                 // batch jobs over a table
	{"loop-long", same, []ingredient{{.7, 2000, loop(10_000)}, {.3, 0, zipf(.9, 10_000)}}},                            // the same over a larger one
	{"hot-shift", same, []ingredient{{.9, 0, hot(.9, 10_000, 8_000)}, {.1, 0, scan()}}},                               // news: what is asked for moves on
	{"recency", objects, []ingredient{{1, 0, stack(3.2, .12)}}},                                                       // sessions
	{"recency-scan", objects, []ingredient{{.7, 0, stack(3, .1)}, {.3, 500, scan()}}},                                 // sessions beside reports
	{"once", web, []ingredient{{.55, 0, zipf(.9, 20_000)}, {.45, 0, scan()}}},                                         // a content network: most objects are never asked for again
	{"web", web, []ingredient{{.5, 0, zipf(1, 30_000)}, {.25, 0, hot(1, 5_000, 5_000)}, {.25, 0, scan()}}},            // all at once
	{"phases", objects, []ingredient{{.4, 3000, zipf(.9, 15_000)}, {.3, 3000, stack(3, .1)}, {.3, 3000, loop(2600)}}}, // tenants taking turns
}

// zipf draws rank k with probability ∝ k^−s from n keys.
func zipf(s float64, n int) func(*rand.Rand) source {
	return func(r *rand.Rand) source { return &ranked{table: ranks(s, n), salt: r.Uint64()} }
}

// ranked draws from a cumulative table. salt renames the ranks.
type ranked struct {
	table []float64
	salt  uint64
}

func ranks(s float64, n int) []float64 {
	table := make([]float64, n)
	sum := 0.0
	for k := range table {
		sum += math.Pow(float64(k+1), -s)
		table[k] = sum
	}
	for k := range table {
		table[k] /= sum
	}
	return table
}

func (z *ranked) rank(r *rand.Rand) int {
	return min(len(z.table)-1, sort.SearchFloat64s(z.table, r.Float64()))
}

func (z *ranked) next(r *rand.Rand) uint64 { return uint64(z.rank(r)) ^ z.salt&^(1<<20-1) }

// scan touches every key once.
func scan() func(*rand.Rand) source {
	return func(r *rand.Rand) source { return &counter{at: r.Uint64() >> 8} }
}

type counter struct{ at uint64 }

func (c *counter) next(*rand.Rand) uint64 { c.at++; return c.at }

// loop goes around n keys.
func loop(n int) func(*rand.Rand) source {
	return func(r *rand.Rand) source { return &around{n: uint64(n), at: uint64(r.IntN(n))} }
}

type around struct{ n, at uint64 }

func (a *around) next(*rand.Rand) uint64 { a.at = (a.at + 1) % a.n; return a.at }

// hot is a Zipf whose ranks slide: every period uses the popular keys are new.
func hot(s float64, n, period int) func(*rand.Rand) source {
	return func(r *rand.Rand) source {
		return &sliding{ranked: ranked{table: ranks(s, n)}, period: uint64(period), used: uint64(r.IntN(period))}
	}
}

type sliding struct {
	ranked
	period, used uint64
}

func (h *sliding) next(r *rand.Rand) uint64 {
	h.used++
	return uint64(h.rank(r)) + h.used/h.period*uint64(len(h.table))/4
}

// stack comes back to what was used a log-normal number of uses ago (median
// 10^decades), or with probability fresh asks for something new.
func stack(decades, fresh float64) func(*rand.Rand) source {
	return func(*rand.Rand) source { return &past{decades: decades, fresh: fresh} }
}

type past struct {
	decades, fresh float64
	ring           [1 << 16]uint64
	used, born     uint64
}

func (p *past) next(r *rand.Rand) uint64 {
	back := math.Pow(10, p.decades+float64(.7*r.NormFloat64()))
	isNew := r.Float64() < p.fresh
	var key uint64
	if d := uint64(min(back, 1e6)); isNew || d >= p.used || d >= uint64(len(p.ring)) {
		p.born++
		key = p.born
	} else {
		key = p.ring[(p.used-1-d)%uint64(len(p.ring))]
	}
	p.ring[p.used%uint64(len(p.ring))] = key
	p.used++
	return key
}

// Sizes are a function of the key: everybody's entry is as large every time.
func same(uint64) uint32 { return 1024 }

// objects are 64 bytes to 8 KiB, small ones oftener.
func objects(key uint64) uint32 {
	h := mix(key ^ 0x5bd1e995)
	return uint32(64<<min(h&7, h>>3&7)) + uint32(h>>8&63)
}

// web objects are 256 bytes to 2 MiB, with a heavy tail.
func web(key uint64) uint32 {
	h := mix(key ^ 0x27d4eb2f)
	shift := min(h&15, h>>4&15, 13)
	return uint32(256<<shift) + uint32(h>>8&255)
}

// generate draws n uses. The same root gives the same trace, and a shorter
// trace is the beginning of a longer one.
func (m *mixture) generate(root seed.Root, n int) []Use {
	r := seed.Stream(root, "cache/"+m.name)
	sources := make([]source, len(m.recipe))
	for i, in := range m.recipe {
		sources[i] = in.make(seed.Stream(root, "cache/"+m.name+"/source", uint64(i)))
	}
	out := make([]Use, 0, n)
	for len(out) < n {
		i := m.pick(r.Float64())
		for range max(1, m.recipe[i].run) {
			if len(out) == n {
				break
			}
			key := mix(sources[i].next(r) + uint64(i+1)<<58)
			out = append(out, Use{key, m.sizes(key)})
		}
	}
	return out
}

// pick chooses by share of the uses: an ingredient of long runs is chosen
// seldom.
func (m *mixture) pick(u float64) int {
	sum := 0.0
	for _, in := range m.recipe {
		sum += in.share / float64(max(1, in.run))
	}
	for i, in := range m.recipe {
		if u -= in.share / float64(max(1, in.run)) / sum; u < 0 {
			return i
		}
	}
	return len(m.recipe) - 1
}

// scenario describes the context.
func (w *Workload) scenario() benchmarks.Scenario {
	f := map[string]float64{"entries": float64(w.Capacity)}
	if w.mix != nil {
		f["mixture"] = float64(slices.IndexFunc(mixtures, func(m mixture) bool { return m.name == w.mix.name }))
	}
	return benchmarks.Scenario{Name: w.Name, Features: f}
}

// Perturbations that the domain knows.
const (
	PerturbNoise = "noise" // a share of the uses asks for random keys instead
	PerturbShift = "shift" // halfway, a share of the keys is replaced by others
)

// perturb disturbs a copy of the uses.
func perturb(uses []Use, p benchmarks.Perturbation, root seed.Root) ([]Use, error) {
	if !(p.Level >= 0 && p.Level <= 1) {
		return nil, fmt.Errorf("perturbation %s of level %v: want 0 to 1", p.Kind, p.Level)
	}
	out := slices.Clone(uses)
	salt := seed.Derive(root, "cache/perturb/salt")
	switch p.Kind {
	case PerturbNoise:
		r := seed.Stream(root, "cache/perturb/noise")
		for i := range out {
			key := r.Uint64()
			if r.Float64() < p.Level {
				out[i].Key = key
			}
		}
	case PerturbShift:
		for i := len(out) / 2; i < len(out); i++ {
			if k := mix(out[i].Key ^ salt); float64(k>>11)/(1<<53) < p.Level {
				out[i].Key = k
			}
		}
	default:
		return nil, fmt.Errorf("perturbation %.40q: %w", p.Kind, benchmarks.ErrUnsupported)
	}
	return out, nil
}
