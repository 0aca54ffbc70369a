package report

import (
	"fmt"
	"math"
	"testing"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
)

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
