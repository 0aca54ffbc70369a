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

const waits = "awaits signatures: prod needs 2"

func makeNight(t testing.TB) gates.Night {
	policy := gates.DefaultPolicy()
	n := gates.Night{
		Schema: gates.NightSchema, Run: "nightly-0001", Study: "nightly", Domain: "infer", Version: "1", Seed: 12297829382473034411,
		Host:    gates.Host{OS: "linux", Arch: "amd64", CPU: "Xeon E5-2680 v4", Cores: 2, Go: "go1.26.8"},
		Started: "2026-11-22T01:30:00Z", Ended: "2026-11-22T01:38:12Z", Outcome: gates.Pass, Reason: "every control behaved as it must",
		Policy: policy, PolicyDigest: policy.Digest(),
		Alpha: gates.Alpha{Year: .01, Night: .01 / 365, Spent: 41 * .01 / 365, Nights: 41, K: 10, Bar: math.Exp(fixtureBar), LogBar: fixtureBar, Test: .01 / 3650},
		Noise: []gates.NoiseFloor{{Context: "burst", Metric: "cpu_ns", Pairs: 60, SD: .021, Floor: .0094}},
		Events: []gates.Event{
			{Context: "burst", Candidate: "burst-51aa7e20", Pair: 9, What: "spin canary 1.31 times its minimum"},
			{Context: "burst", Candidate: "burst-77c0d1e9", Pair: 61, What: "clock frequency changed"},
		},
	}
	m := &maker{t: t, n: &n, series: map[artifacts.Digest]bool{}}
	m.controls()
	m.lowLoad()
	m.burst()
	m.rest()
	n.Funnel = funnelOf(n)
	l := func(xs ...float64) []*float64 {
		out := make([]*float64, len(xs))
		for i, x := range xs {
			if !math.IsNaN(x) {
				out[i] = p64(x)
			}
		}
		return out
	}
	n.Portfolio = &gates.Portfolio{
		Contexts: []string{"low-load", "burst", "memory-300k", "shifted"}, GapClosed: .914,
		Chosen: []gates.PortfolioPick{
			{Name: "low-load-3f2a09c1", Identity: artifacts.DigestOf([]byte("low-load-3f2a09c1")), Losses: l(-.582, -.31, 2.4e6, .004)},
			{Name: "burst-51aa7e20", Identity: artifacts.DigestOf([]byte("burst-51aa7e20")), Losses: l(-.49, -.412, 2.4e6, .009)},
			{Name: "memory-300k-c41d22b8", Identity: artifacts.DigestOf([]byte("memory-300k-c41d22b8")), Losses: l(.08, .9, -.862, math.NaN())},
			{Name: "shifted-0e97aa15", Identity: artifacts.DigestOf([]byte("shifted-0e97aa15")), Losses: l(.12, .11, 2.4e6, -.3915)},
		},
	}
	return n
}

func (m *maker) controls() {
	aa := pairs(900, 60, 143000, 1, .021)
	slow := pairs(901, 41, 143000, 1.045, .012)
	fast := pairs(902, 44, 143000, .956, .012)
	control := func(name, want, reason string, ps []gates.PairRecord, change float64, flip bool) {
		var g []float64
		for i, p := range ps {
			x := math.Log(p.B["cpu_ns"] / p.A["cpu_ns"])
			if flip {
				x = -x
			}
			if i < 5 {
				x = 0
			}
			g = append(g, -math.Max(-1, math.Min(1, x/.05)))
		}
		race := mixture(g)
		m.n.Controls = append(m.n.Controls, gates.Control{
			Name: name, Context: "burst", Metric: "cpu_ns", Want: want, Outcome: gates.Pass, Reason: reason,
			LogE: race.LogE[len(race.LogE)-1], LogBar: math.Log(100), Change: change, Race: race,
		})
	}
	control("a/a", "must not cross the bar", "identical code: +0.2 %, e = 0.41 stays below 100 over 60 pairs", aa, .002, false)
	control("delay +3 %", "must be flagged as worse", "+3.1 %, flagged after 41 pairs", slow, .031, true)
	control("delay -3 %", "must be found as better", "-2.9 %, found after 44 pairs", fast, -.029, false)
}

func (m *maker) lowLoad() {
	base := m.cost(50, 0, benchmarks.Success)
	base.Test, base.Change, base.Lower, base.Upper, base.Exact, base.LogBar, base.LogE, base.Race = gates.TestSame, 0, nil, nil, true, 0, 0, gates.Race{}
	base.Candidate, base.Decision, base.Reason = base.Baseline, gates.Pass, "identical on 10,000 items"
	ref := m.add("low-load-baseline", "low-load", "baseline", `{"adapter":"none","precision":"f32"}`, gates.GateCanary, gates.Pass, "", base)
	ref.Reference, ref.Claim = true, gates.Claim{}

	good := m.accuracy(3, .8577, -.0031, .005, benchmarks.GuardRole)
	ps := pairs(31, 32, 143000, .47, .022)
	rs := append([]gates.Result{m.cost(51, .63, benchmarks.Success), good, measured(ps, "cpu_ns", benchmarks.GuardRole, gates.TestNotWorse, .1),
		measured(ps, "p99_ns", benchmarks.GuardRole, gates.TestNotWorse, .25), bytesResult(gates.GateRegression, 1011940, nil, benchmarks.GuardRole)}, robust(good)...)
	c := m.add("low-load-3f2a09c1", "low-load", "early-exit", `{"adapter":"none","exit0":0.902,"exit1":0.85,"precision":"f32","prune0":0}`,
		gates.GateCanary, gates.Pass, "", rs...)
	c.Pairs, c.PairsDigest, c.Stop = ps, artifacts.DigestOf([]byte("pairs31")), "every measured metric decided after 32 pairs"
	m.canary(c, "cpu_ns")
	c.WhatIf = []string{"an accuracy more than 0.50 points below the baseline (now 0.31)", "a policy with a tolerance of accuracy under 0.31 points"}

	poor := m.accuracy(4, .8577, -.0121, .005, benchmarks.GuardRole)
	c = m.add("low-load-9be1f604", "low-load", "composite", `{"exit0":0.55,"exit1":0.6,"precision":"f32","prune0":0.4}`, gates.GateRegression, gates.Fail,
		"accuracy 84.56 % against 85.77 %: 1.21 points worse, at most 0.50 allowed, exact on 10,000 items", append([]gates.Result{m.cost(52, .88, benchmarks.Success), poor}, robust(m.accuracy(4, .8577, -.0121, .005, benchmarks.GuardRole))...)...)
	c.WhatIf = []string{"0.71 points more accuracy at the same cost", "the context burst, where 2.00 points are allowed"}

	c = m.add("low-load-a0c55e31", "low-load", "pruning", `{"precision":"f32","prune1":0.95,"prune2":0.95}`, gates.GateCorrectness, gates.Fail,
		"check golden seed 3: class 4 instead of 6 on image 118 in the reference implementation")
	c.Checks = []gates.CheckRecord{
		{Seed: 41, Check: benchmarks.Check{Name: "probabilities sum to 1", Pass: true}},
		{Seed: 41, Check: benchmarks.Check{Name: "golden", Pass: false, Detail: "class 4 instead of 6 on image 118"}},
	}
	c.Claim = gates.Claim{Metric: "cost_macs", Change: -.71, Loss: -.71, Evaluations: 160}
	c.WhatIf = []string{"a build whose sparse layers agree with the reference implementation"}
}

func (m *maker) burst() {
	ps := pairs(61, 38, 143000, .585, .02)
	acc := m.accuracy(5, .8577, -.0094, .02, benchmarks.GuardRole)
	rs := append([]gates.Result{measured(ps, "cpu_ns", benchmarks.Success, gates.TestBetter, .02), acc, measured(ps, "p99_ns", benchmarks.GuardRole, gates.TestNotWorse, .25)}, robust(acc)...)
	c := m.add("burst-51aa7e20", "burst", "early-exit", `{"exit0":0.7,"exit1":0.74,"precision":"f32"}`, gates.GateCanary, gates.Pass, "", rs...)
	c.Pairs, c.PairsDigest, c.Stop = ps, artifacts.DigestOf([]byte("pairs61")), "every measured metric decided after 38 pairs"
	m.canary(c, "cpu_ns")
	c.WhatIf = []string{"a p99_ns more than 25 % above the baseline"}

	ps = pairs(62, 120, 143000, .992, .021)
	r := measured(ps, "cpu_ns", benchmarks.Success, gates.TestBetter, .02)
	c = m.add("burst-77c0d1e9", "burst", "quantization", `{"calibration_quantile":0.999,"precision":"int8"}`, gates.GateRegression, gates.Inconclusive,
		fmt.Sprintf("cpu_ns %+.1f %%: e = %.3g stays below %.3g at the cap of 120 pairs", 100*r.Change, math.Exp(r.LogE), math.Exp(fixtureBar)), r,
		measured(ps, "p99_ns", benchmarks.GuardRole, gates.TestNotWorse, .25), m.accuracy(6, .8577, -.0008, .02, benchmarks.GuardRole))
	c.Pairs, c.PairsDigest, c.Stop = ps, artifacts.DigestOf([]byte("pairs62")), "cap of 120 pairs reached"
	c.WhatIf = []string{"about 900 pairs at tonight's noise, if the true change is what it looks like", "a change of at least 3 %, the smallest effect of interest"}

	c = m.add("burst-d3d3d3d3", "burst", "escalation", `{"precision":"int4","route":"escalate"}`, gates.GateRegression, gates.Invalid,
		"p99_ns: 20 samples in a row are exactly 262144: a measured metric that never varies has a broken timer")
	c.WhatIf = []string{"a working p99 timer on this host"}
}

func (m *maker) rest() {
	acc := m.accuracy(7, .8577, -.0022, .005, benchmarks.GuardRole)
	c := m.add("memory-300k-c41d22b8", "memory-300k", "quantization", `{"calibration_quantile":0.999,"precision":"int4"}`, gates.GateCanary, gates.Pass, "",
		append([]gates.Result{bytesResult(gates.GateEnvelope, 139812, p64(300000), benchmarks.Success), bytesResult(gates.GateRegression, 139812, nil, benchmarks.Success), acc}, robust(acc)...)...)
	m.canary(c, "accuracy")
	c.WhatIf = []string{"more than 300 kB"}

	over := bytesResult(gates.GateEnvelope, 372900, p64(300000), benchmarks.Success)
	c = m.add("memory-300k-5511ab07", "memory-300k", "pruning", `{"precision":"f32","prune1":0.8,"prune2":0.8}`, gates.GateEnvelope, gates.Fail,
		"artifact_bytes 372.9 kB, limit 300 kB", over)
	c.WhatIf = []string{"72.9 kB less, for example by pruning 87 % instead of 80 %"}

	up := m.accuracy(8, .3445, .3915, .005, benchmarks.Success)
	rs := append([]gates.Result{up, m.cost(55, .02, benchmarks.GuardRole)}, robust(up)[:3]...)
	c = m.add("shifted-0e97aa15", "shifted", "adapter", `{"adapter":"shifted","precision":"f32"}`, gates.GateCanary, gates.Fail,
		"harm e = 1,840 ≥ 1,000 at 25 % of the traffic: p99_ns 18 % above the baseline, rolled back", rs...)
	c.Canary = &gates.CanaryRecord{Rehearsed: true, RolledBack: "p99_ns: e = 1,840 ≥ 1,000 after 21 pairs", Stages: []gates.CanaryStage{
		{Share: .01, Pairs: 8, LogHarm: 1.2, Metric: "p99_ns", Outcome: gates.Pass, Reason: "e = 3.3"},
		{Share: .05, Pairs: 8, LogHarm: 4.1, Metric: "p99_ns", Outcome: gates.Pass, Reason: "e = 60"},
		{Share: .25, Pairs: 5, LogHarm: math.Log(1840), Metric: "p99_ns", Outcome: gates.Fail, Reason: "e = 1,840 ≥ 1,000: rolled back"},
	}}
	c.WhatIf = []string{"a p99_ns within 25 % of the baseline in the real runtime"}
}

func funnelOf(n gates.Night) []gates.GateCount {
	var out []gates.GateCount
	for _, g := range gates.Order() {
		row := gates.GateCount{Gate: g}
		for _, c := range n.Candidates {
			for _, f := range c.Findings {
				if f.Gate != g {
					continue
				}
				row.Entered++
				switch f.Outcome {
				case gates.Pass:
					row.Pass++
				case gates.Fail:
					row.Fail++
				case gates.Inconclusive:
					row.Inconclusive++
				case gates.Invalid:
					row.Invalid++
				}
			}
		}
		out = append(out, row)
	}
	return out
}

// invalidated is the night with an A/A control that crossed.
func invalidated(n gates.Night) gates.Night {
	n.Controls = append([]gates.Control(nil), n.Controls...)
	n.Controls[0].Outcome = gates.Fail
	n.Controls[0].LogE = 6.2
	n.Controls[0].Reason = "identical code: +1.9 %, e = 490 crossed 100 after 33 pairs"
	n.Outcome = gates.Invalid
	n.Reason = "control a/a failed: identical code: +1.9 %, e = 490 crossed 100 after 33 pairs"
	return n
}
