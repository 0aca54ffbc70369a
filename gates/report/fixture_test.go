package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
)

// The night of the golden files is made here by hand: plausible numbers for a
// small network, every outcome once. Only -update runs this code; the tests
// read testdata/night.json, so that they hold on every architecture.

const fixtureItems = 10000

var fixtureBar = math.Log(10 / (.01 / 365))

type maker struct {
	t      testing.TB
	n      *gates.Night
	series map[artifacts.Digest]bool
}

func p64(x float64) *float64 { return &x }

func (m *maker) items(seed uint64, f func(i int, r *rand.Rand) float32) artifacts.Digest {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([]float32, fixtureItems)
	for i := range out {
		out[i] = f(i, r)
	}
	s, err := gates.NewSeries(out)
	if err != nil {
		m.t.Fatal(err)
	}
	if !m.series[s.Digest] {
		m.series[s.Digest] = true
		m.n.Series = append(m.n.Series, s)
	}
	return s.Digest
}

// mixture is the log of an average of betting products, thinned.
func mixture(g []float64) gates.Race {
	lambdas := []float64{.05, .1, .2, .3, .45, .6, .8, .95}
	logs := make([]float64, len(lambdas))
	var race gates.Race
	next := 1.0
	for i, x := range g {
		top := math.Inf(-1)
		for j, l := range lambdas {
			logs[j] += math.Log1p(l * x)
			top = math.Max(top, logs[j])
		}
		sum := 0.0
		for _, l := range logs {
			sum += math.Exp(l - top)
		}
		if n := i + 1; len(g) < 300 || float64(n) >= next || n == len(g) {
			race.N = append(race.N, n)
			race.LogE = append(race.LogE, math.Round(1e6*(top+math.Log(sum/float64(len(logs)))))/1e6)
			next = math.Max(next*1.05, next+1)
		}
	}
	return race
}

// pairs measures cpu_ns and p99_ns in random order: effect is the true ratio.
func pairs(seed uint64, n int, base, effect, noise float64) []gates.PairRecord {
	r := rand.New(rand.NewPCG(seed, 11))
	out := make([]gates.PairRecord, n)
	drift := 0.0
	for i := range out {
		drift = .9*drift + .02*r.NormFloat64()
		slot := math.Exp(drift)
		marked := r.Float64() < .06
		kick := 1.0
		if marked {
			kick = 1 + .25*r.Float64()
		}
		a := base * slot * math.Exp(noise*r.NormFloat64())
		b := base * effect * slot * math.Exp(noise*r.NormFloat64()) * kick
		out[i] = gates.PairRecord{
			Index: i, BFirst: r.Float64() < .5, Marked: marked,
			A:        map[string]float64{"cpu_ns": math.Round(a), "p99_ns": math.Round(a * 1.6 * math.Exp(.05*r.NormFloat64()))},
			B:        map[string]float64{"cpu_ns": math.Round(b), "p99_ns": math.Round(b * 1.6 * math.Exp(.05*r.NormFloat64()))},
			CanaryNS: [3]int64{1002000, int64(1002000 * kick), 1003000},
		}
	}
	return out
}

// measured judges a metric of the pairs the way gates does in spirit.
func measured(ps []gates.PairRecord, metric string, role benchmarks.Role, test string, tol float64) gates.Result {
	theta := 0.0
	if test != gates.TestBetter {
		theta = math.Log1p(tol)
	}
	var d, g []float64
	for _, p := range ps {
		d = append(d, math.Log(p.B[metric]/p.A[metric]))
	}
	scale := 4 * spread(d)
	for i, x := range d {
		if i < 5 {
			g = append(g, 0)
			continue
		}
		g = append(g, -math.Max(-1, math.Min(1, (x-theta)/scale)))
	}
	race := mixture(g)
	mid := quantileOf(d, .5)
	half := 5.2 * spread(d) / math.Sqrt(float64(len(d)))
	res := gates.Result{
		Gate: gates.GateRegression, Metric: metric, Unit: "ns", Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Kind: benchmarks.Measured,
		Role: role, Test: test, Tolerance: tol, N: len(ps), Alpha: .05, Change: math.Expm1(mid), Lower: p64(math.Expm1(mid - half)), Upper: p64(math.Expm1(mid + half)),
		Race: race, LogE: race.LogE[len(race.LogE)-1], LogBar: fixtureBar, Decision: gates.Inconclusive,
	}
	var as, bs []float64
	for _, p := range ps {
		as, bs = append(as, p.A[metric]), append(bs, p.B[metric])
	}
	res.Baseline, res.Candidate = quantileOf(as, .5), quantileOf(bs, .5)
	if res.LogE >= fixtureBar {
		res.Decision = gates.Pass
	}
	res.Reason = fmt.Sprintf("%s %+.1f %%, e %.3g against %.3g after %d pairs", metric, 100*res.Change, math.Exp(res.LogE), math.Exp(fixtureBar), len(ps))
	return res
}

func spread(xs []float64) float64 {
	mid := quantileOf(xs, .5)
	var dev []float64
	for _, x := range xs {
		dev = append(dev, math.Abs(x-mid))
	}
	return 1.4826 * quantileOf(dev, .5)
}

// cost and accuracy make the item results of an early-exit network.
func (m *maker) cost(seed uint64, early float64, role benchmarks.Role) gates.Result {
	full := float32(321536)
	base := m.items(1, func(int, *rand.Rand) float32 { return full })
	cand := m.items(seed, func(_ int, r *rand.Rand) float32 {
		switch u := r.Float64(); {
		case u < early*.7:
			return 1888
		case u < early:
			return 24720
		}
		return full
	})
	mean := (early*.7*1888 + early*.3*24720 + (1-early)*float64(full))
	ch := mean/float64(full) - 1
	g := make([]float64, fixtureItems)
	r := rand.New(rand.NewPCG(seed, 5))
	for i := range g {
		g[i] = -.02
		if r.Float64() < early {
			g[i] = .9
		}
	}
	race := mixture(g)
	res := gates.Result{
		Gate: gates.GateRegression, Metric: "cost_macs", Unit: "MAC", Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Kind: benchmarks.Deterministic,
		Role: role, Test: gates.TestBetter, Tolerance: .02, Baseline: float64(full), Candidate: math.Round(mean), Change: ch, Lower: p64(ch - .011), Upper: p64(ch + .011), Alpha: .05,
		N: fixtureItems, Range: &[2]float64{0, float64(full)}, BaseItems: base, CandItems: cand, Order: 99, Race: race, LogE: race.LogE[len(race.LogE)-1], LogBar: fixtureBar,
		Decision: gates.Pass, Reason: fmt.Sprintf("cost_macs %.1f %% lower on 10,000 items", -100*ch),
	}
	if role == benchmarks.GuardRole {
		res.Test, res.Exact = gates.TestNotWorse, true
	}
	return res
}

func (m *maker) accuracy(seed uint64, base, diff, tol float64, role benchmarks.Role) gates.Result {
	// The same images for both: the candidate answers every k-th otherwise.
	b := m.items(2, func(_ int, r *rand.Rand) float32 { return bit(r.Float64() < base) })
	ref := rand.New(rand.NewPCG(2, 7))
	gained := int(math.Round((.02 + math.Max(0, diff)) * fixtureItems))
	lost := gained - int(math.Round(diff*fixtureItems))
	sumA, sumB := 0.0, 0.0
	c := m.items(seed+100, func(i int, _ *rand.Rand) float32 {
		was := ref.Float64() < base
		now := was
		switch {
		case was && lost > 0 && i%7 == int(seed%7):
			now, lost = false, lost-1
		case !was && gained > 0 && (i%3 == int(seed%3) || diff > .1):
			now, gained = true, gained-1
		}
		sumA, sumB = sumA+float64(bit(was)), sumB+float64(bit(now))
		return bit(now)
	})
	base, diff = sumA/fixtureItems, (sumB-sumA)/fixtureItems
	res := gates.Result{
		Gate: gates.GateRegression, Metric: "accuracy", Unit: "1", Direction: benchmarks.Higher, Compare: benchmarks.Difference, Kind: benchmarks.Deterministic,
		Role: role, Test: gates.TestNotWorse, Tolerance: tol, Baseline: base, Candidate: base + diff, Change: diff, Lower: p64(diff - .0042), Upper: p64(diff + .0042), Alpha: .05,
		Exact: true, N: fixtureItems, Range: &[2]float64{0, 1}, BaseItems: b, CandItems: c, Order: 99, Decision: gates.Pass,
		Reason: fmt.Sprintf("accuracy %.4f against %.4f, %+.2f points, at most %.2f worse allowed, exact on 10,000 items", base+diff, base, 100*diff, 100*tol),
	}
	if diff < -tol {
		res.Decision = gates.Fail
	}
	if role == benchmarks.Success {
		g := make([]float64, fixtureItems)
		r := rand.New(rand.NewPCG(seed, 6))
		for i := range g {
			switch u := r.Float64(); {
			case u < .02:
				g[i] = -1
			case u < .02+.02+diff:
				g[i] = 1
			}
		}
		res.Test, res.Exact, res.Race, res.LogBar = gates.TestBetter, false, mixture(g), fixtureBar
		res.LogE = res.Race.LogE[len(res.Race.LogE)-1]
	}
	return res
}

func bit(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

func bytesResult(gate string, cand float64, limit *float64, role benchmarks.Role) gates.Result {
	const base = 1011924
	r := gates.Result{
		Gate: gate, Metric: "artifact_bytes", Unit: "bytes", Direction: benchmarks.Lower, Compare: benchmarks.Ratio, Kind: benchmarks.Deterministic, Role: role,
		Test: gates.TestNotWorse, Tolerance: .02, Baseline: base, Candidate: cand, Change: cand/base - 1, Exact: true, Decision: gates.Pass,
		Lower: p64(cand/base - 1), Upper: p64(cand/base - 1),
		Reason: fmt.Sprintf("artifact_bytes: %.0f against %d bytes, %+.1f %%", cand, base, 100*(cand/base-1)),
	}
	if limit != nil {
		r.Test, r.Limit = gates.TestLimit, limit
		r.Reason = fmt.Sprintf("%.0f bytes, limit %.0f", cand, *limit)
		if cand > *limit {
			r.Decision = gates.Fail
		}
	} else if role == benchmarks.Success {
		r.Test = gates.TestBetter
	}
	return r
}

func robust(acc gates.Result) []gates.Result {
	var out []gates.Result
	for i, k := range []string{"noise", "shift", "occlude"} {
		r := acc
		r.Gate, r.Test, r.Race, r.LogE, r.LogBar, r.Exact = gates.GateRobustness, gates.TestNotWorse, gates.Race{}, 0, 0, true
		r.BaseItems, r.CandItems, r.N = "", "", 2000
		r.Perturbation = &benchmarks.Perturbation{Kind: k, Level: []float64{.1, 1, .1}[i]}
		r.Tolerance = acc.Tolerance + .03
		drop := []float64{.052, .118, .034}[i]
		r.Baseline, r.Change = acc.Baseline-drop, acc.Change-.003*float64(i+1)
		r.Candidate = r.Baseline + r.Change
		r.Lower, r.Upper = p64(r.Change-.0095), p64(r.Change+.0095)
		r.Reason = fmt.Sprintf("accuracy under %s: %+.2f points, at most %.2f worse allowed", k, 100*r.Change, 100*r.Tolerance)
		r.Decision = gates.Pass
		out = append(out, r)
	}
	c := out[0]
	c.Perturbation, c.Test, c.Lower, c.Upper, c.Tolerance = nil, gates.TestCVaR, nil, nil, .1
	c.Change, c.N = acc.Change-.017, 10
	c.Candidate = c.Baseline + c.Change
	c.Values = []float64{.011, .014, .009, .017, .012, .010, .013, .008, .016, .011}
	c.Reason = fmt.Sprintf("mean of the worst tenth over 10 disturbances %.2f points worse, limit 10.00", -100*c.Change)
	return append(out, c)
}

func findings(upTo string, last gates.Outcome, reason string) []gates.Finding {
	said := map[string]string{
		gates.GateCorrectness: "36 checks over 3 fresh seeds hold",
		gates.GateEnvelope:    "inside every limit",
		gates.GateRobustness:  "not worse under noise 0.1, shift 1, occlude 0.1; worst tenth within its limit",
		gates.GateRegression:  "better on the success metric, not worse on every guardrail",
		gates.GateCanary:      "5 stages to 100 % of the traffic without harm, rollback rehearsed",
	}
	var out []gates.Finding
	for _, g := range gates.Order() {
		if g == upTo {
			return append(out, gates.Finding{Gate: g, Outcome: last, Reason: reason})
		}
		out = append(out, gates.Finding{Gate: g, Outcome: gates.Pass, Reason: said[g]})
	}
	return out
}

func (m *maker) add(name, context, kind, point, gate string, o gates.Outcome, why string, rs ...gates.Result) *gates.CandidateReport {
	i := len(m.n.Candidates)
	engines := []string{"cma", "ga", "sweep"}
	c := gates.CandidateReport{
		Name: name, Identity: artifacts.DigestOf([]byte(name)), Context: context, Type: kind, Point: json.RawMessage(point),
		Lineage: gates.Lineage{Run: "nightly-0001", Engine: engines[i%3], Trial: 17 + 31*i, Origin: "mutation of trial " + fmt.Sprint(5+7*i), Context: context},
		Outcome: o, Gate: gate, Why: why, Findings: findings(gate, o, why), Results: rs,
		Command: "arqon gate verify nightly-0001 --candidate " + name,
		Plan: gates.Plan{
			Metric: "cpu_ns", PairSD: .021, MinEffect: .03, PairsNeeded: 34, PairsMax: 120, Power: .99, BlindSpot: .012,
			Note: "cost_macs and accuracy have no measurement noise; 10,000 items see a difference of 0.4 points",
		},
	}
	if o == gates.Pass {
		c.Why = rs[0].Reason
		for _, r := range rs {
			if r.Role == benchmarks.Success && r.Gate == gates.GateRegression {
				c.Why = r.Reason
			}
		}
		c.Findings = findings(gates.GateApproval, gates.Inconclusive, waits)
	}
	for _, r := range rs {
		if r.Role == benchmarks.Success && r.Gate == gates.GateRegression {
			c.Claim = gates.Claim{Metric: r.Metric, Change: r.Change - .018*math.Copysign(1, -worse(r, r.Change))*dirSign(r), Loss: r.Change, Evaluations: 160}
		}
	}
	m.n.Candidates = append(m.n.Candidates, c)
	return &m.n.Candidates[i]
}

func dirSign(r gates.Result) float64 {
	if r.Direction == benchmarks.Higher {
		return -1
	}
	return 1
}

func (m *maker) canary(c *gates.CandidateReport, metric string) {
	rec := &gates.CanaryRecord{Rehearsed: true}
	for i, s := range []float64{.01, .05, .25, .5, 1} {
		rec.Stages = append(rec.Stages, gates.CanaryStage{Share: s, Pairs: 8, LogHarm: -.4 * float64(i+1), Metric: metric, Outcome: gates.Pass, Reason: "no harm seen"})
	}
	c.Canary = rec
}
