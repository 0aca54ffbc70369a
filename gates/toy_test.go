package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/internal/ledger"
	"github.com/arqon/arqon/internal/seed"
)

// toy is a domain in memory whose effects are what its points say: speed
// (factor on time), gain (change of accuracy), bytes. Its timer has drift and
// spikes of its own.
type toy struct {
	noise     float64
	measured  int  // pairs' arms measured, to see a resume measure nothing twice
	evaluated int  // deterministic measurements
	noChecks  bool // Check is unsupported
	noPerturb bool
	kill      func() // called when killIn measurements are done
	killIn    int
	quantum   *rand.Rand
	drift     float64
}

func newToy(noise float64, s uint64) *toy {
	return &toy{noise: noise, quantum: rand.New(rand.NewPCG(s, 99))}
}

const toyItems = 1500

func (d *toy) description() benchmarks.Description {
	limit := 1000.0
	return benchmarks.Description{
		Name: "toy", Version: "1",
		Metrics: []benchmarks.Metric{
			{Name: "accuracy", Unit: "1", Direction: benchmarks.Higher, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Difference, Tolerance: .02, Range: &[2]float64{0, 1}},
			{Name: "bytes", Unit: "bytes", Direction: benchmarks.Lower, Kind: benchmarks.Deterministic, Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: 10, Limit: &limit},
			{Name: "cpu_ns", Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured, Role: benchmarks.Success, Compare: benchmarks.Ratio, Tolerance: .05},
			{Name: "p99_ns", Unit: "ns", Direction: benchmarks.Lower, Kind: benchmarks.Measured, Role: benchmarks.GuardRole, Compare: benchmarks.Ratio, Tolerance: .25},
		},
		Scenarios: []benchmarks.Scenario{
			{Name: "fast"},
			{Name: "right", Success: "accuracy"},
			{Name: "small", Success: "bytes", Limits: map[string]float64{"bytes": 300}},
		},
		Baseline: benchmarks.Point{},
	}
}

func (d *toy) Describe(context.Context) (benchmarks.Description, error) { return d.description(), nil }

func (d *toy) Build(_ context.Context, p benchmarks.Point, s uint64) (benchmarks.Bundle, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return benchmarks.Bundle{}, err
	}
	return benchmarks.Bundle{Point: p, Seed: s, Type: "toy", Files: []benchmarks.File{{Name: "p.json", MediaType: "application/json", Bytes: b}}}, nil
}

func (d *toy) Open(_ context.Context, b benchmarks.Bundle) (benchmarks.Instance, error) {
	if b.Point["broken"] != nil {
		return nil, fmt.Errorf("no such model: %w", benchmarks.ErrBadCandidate)
	}
	return &toyInstance{d: d, p: b.Point}, nil
}

type toyInstance struct {
	d *toy
	p benchmarks.Point
}

func (in *toyInstance) get(name string, zero float64) float64 {
	if v, ok := in.p[name].(float64); ok {
		return v
	}
	return zero
}

func (in *toyInstance) Close() error { return nil }

func (in *toyInstance) Check(context.Context, uint64) ([]benchmarks.Check, error) {
	if in.d.noChecks {
		return nil, fmt.Errorf("check: %w", benchmarks.ErrUnsupported)
	}
	return []benchmarks.Check{{Name: "golden", Pass: in.p["wrong"] == nil, Detail: "output differs"}}, nil
}

func (in *toyInstance) Measure(_ context.Context, r benchmarks.Request) ([]benchmarks.Sample, error) {
	s := benchmarks.Sample{Values: map[string]float64{}, Items: map[string][]float32{}}
	loss := 0.0
	if r.Perturbation != nil {
		if in.d.noPerturb || r.Perturbation.Kind != "noise" {
			return nil, fmt.Errorf("%s: %w", r.Perturbation.Kind, benchmarks.ErrUnsupported)
		}
		loss = r.Perturbation.Level * (1 + in.get("fragile", 0))
	}
	if !r.OnlyMeasured {
		in.d.evaluated++
		in.deterministic(r, loss, s)
	}
	if !r.OnlyDeterministic {
		in.d.measured++
		in.measured(s)
	}
	return []benchmarks.Sample{s}, nil
}

func (in *toyInstance) deterministic(r benchmarks.Request, loss float64, s benchmarks.Sample) {
	rng := rand.New(rand.NewPCG(r.Seed, 1))
	n := max(50, int(toyItems*r.Fidelity))
	items, sum := make([]float32, n), 0.0
	for i := range items {
		if rng.Float64() < .8+in.get("gain", 0)-loss {
			items[i] = 1
		}
		sum += float64(items[i])
	}
	s.Values["accuracy"], s.Items["accuracy"] = sum/float64(n), items
	s.Values["bytes"] = in.get("bytes", 900)
	if in.p["nan"] != nil {
		s.Values["accuracy"] = math.NaN()
	}
}

// measured: a random walk of the machine, spikes, and the point's own factor.
func (in *toyInstance) measured(s benchmarks.Sample) {
	if in.d.kill != nil {
		if in.d.killIn--; in.d.killIn == 0 {
			in.d.kill()
		}
	}
	q := in.d.quantum
	in.d.drift += .002 * q.NormFloat64()
	slot := func() float64 {
		x := in.d.drift + float64(in.d.noise*q.NormFloat64())
		if q.Float64() < .05 {
			x += .2 * q.Float64()
		}
		return math.Exp(x)
	}
	speed := in.get("speed", 1)
	s.Values["cpu_ns"] = 1000 * speed * slot()
	s.Values["p99_ns"] = 5000 * in.get("tail", speed) * slot()
	if in.p["stuck"] != nil {
		s.Values["cpu_ns"] = 1000
	}
	if in.p["vanish"] != nil && in.d.measured > 60 {
		delete(s.Values, "p99_ns")
	}
}

// toyCandidate builds a candidate of a point.
func (d *toy) candidate(t testing.TB, context string, p benchmarks.Point) Candidate {
	t.Helper()
	b, err := d.Build(t.Context(), p, 1)
	if err != nil {
		t.Fatal(err)
	}
	point, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	v := catalog.Variant{Name: context + fmt.Sprintf("-%.6s", artifacts.DigestOf(point).Hex()), Domain: "toy", Type: "toy", Point: point, Artifacts: b.Refs()}
	v.Identity = catalog.IdentityOf(v)
	return Candidate{Variant: v, Envelope: catalog.Envelope{Contexts: []string{context}}, Context: context, Bundle: b}
}

func (d *toy) reference(t testing.TB, context string) Candidate {
	c := d.candidate(t, context, benchmarks.Point{})
	c.Reference = true
	return c
}

// judge makes a judge with its ledgers in a directory of the test.
func (d *toy) judge(t testing.TB, s seed.Root) *Judge {
	t.Helper()
	b, err := d.Build(t.Context(), benchmarks.Point{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := DefaultPolicy()
	p.Robustness = []Disturbance{{Kind: "noise", Level: .1, Tolerance: .03}}
	return &Judge{
		Domain: d, Description: d.description(), Baseline: b, Policy: p, Seed: s, Run: "toy-0001", Study: "toy",
		Host: Host{OS: "test", Arch: "test"}, LedgerPath: filepath.Join(dir, "gates.ledger"), AlphaPath: filepath.Join(dir, "alpha.ledger"),
		StartCanary: d.startCanary(nil), spin: func() int64 { return 1000 }, options: ledger.Options{Wrap: func(f ledger.File) ledger.File { return unsynced{f} }},
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
}

// unsynced saves the tests the wait for a disk that nobody will unplug.
type unsynced struct{ ledger.File }

func (unsynced) Sync() error { return nil }

// toyCanary is a runtime that serves both arms of the toy.
type toyCanary struct {
	d          *toy
	a, b       *toyInstance
	share      float64
	harmFrom   float64 // share from which the candidate is 20 % slower
	shares     []float64
	rehearsed  int
	rolledBack string
	onRollback func()
	closed     bool
	refuse     string // "rehearse", "widen": what goes wrong
}

func (d *toy) startCanary(see func(*toyCanary)) StartCanary {
	return func(_ context.Context, c Candidate, v Verdict) (Canary, error) {
		if !v.Passed(GateRegression) {
			return nil, errors.New("staged without its first four gates")
		}
		if _, err := v.Entry(1, catalog.ScopeCanary); err != nil {
			return nil, err
		}
		k := &toyCanary{d: d, a: &toyInstance{d: d, p: benchmarks.Point{}}, b: &toyInstance{d: d, p: c.Bundle.Point}, harmFrom: 2}
		if see != nil {
			see(k)
		}
		return k, nil
	}
}

func (k *toyCanary) Rehearse(context.Context) error {
	k.rehearsed++
	if k.refuse == "rehearse" {
		return errors.New("3 requests were still served by the candidate")
	}
	return nil
}

func (k *toyCanary) Widen(_ context.Context, share float64) error {
	if k.refuse == "widen" && share > .3 {
		return errors.New("refused")
	}
	k.share = share
	k.shares = append(k.shares, share)
	return nil
}

func (k *toyCanary) Observe(_ context.Context, i int) (benchmarks.Pair, error) {
	p := benchmarks.Pair{Index: i, BFirst: k.d.quantum.IntN(2) == 0}
	for _, arm := range []struct {
		in *toyInstance
		to *benchmarks.Sample
	}{{k.a, &p.A}, {k.b, &p.B}} {
		s := benchmarks.Sample{Values: map[string]float64{}}
		arm.in.measured(s)
		if arm.in == k.b && k.share >= k.harmFrom {
			s.Values["cpu_ns"] *= 1.2
		}
		*arm.to = s
	}
	return p, nil
}

func (k *toyCanary) Rollback(_ context.Context, reason string) error {
	k.rolledBack = reason
	if k.onRollback != nil {
		k.onRollback()
	}
	return nil
}
func (k *toyCanary) Close() error { k.closed = true; return nil }
