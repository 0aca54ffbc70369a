package report_test

import (
	"fmt"
	"math"
	"os"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/gates/report"
	"github.com/arqon/arqon/internal/plot"
)

// A night as report.ReadNight returns it, asked why a candidate passed.
func ExampleExplain() {
	lower, upper := -.029, -.013
	night := gates.Night{
		Schema: gates.NightSchema, Run: "nightly-0001", Outcome: gates.Pass,
		Candidates: []gates.CandidateReport{{
			Name: "burst-51aa7e20", Context: "burst", Outcome: gates.Inconclusive, Gate: gates.GateCanary,
			Results: []gates.Result{{
				Gate: gates.GateRegression, Metric: "cpu_ns", Unit: "ns", Direction: benchmarks.Lower, Compare: benchmarks.Ratio,
				Kind: benchmarks.Measured, Role: benchmarks.Success, Test: gates.TestBetter, Baseline: 143000, Candidate: 140000,
				Change: -.021, Lower: &lower, Upper: &upper, Alpha: .05, LogE: math.Log(41200), LogBar: math.Log(20000), N: 38,
				Decision: gates.Pass, Reason: "better by more than tonight's noise floor of 0.9 %",
			}},
		}},
	}
	if err := report.Explain(os.Stdout, night, "cpu_ns", report.TextOptions{Terminal: plot.Terminal{ASCII: true}}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// How cpu_ns was judged in run nightly-0001
	// Unit ns, lower is better, measured, compared as a ratio of candidate and
	// baseline. A change is proven when its e-value reaches the bar; e = 1 is no
	// evidence.
	//
	// burst-51aa7e20 for burst: INCONCLUSIVE, not proven at canary
	//   PASS          regression    cpu_ns must be better than the baseline.
	//                               baseline 143 us, candidate 140 us: -2.10 %
	//                               (better)
	//                               95 % interval [-2.90, -1.30] %, valid at the
	//                               moment the test stopped
	//                               e = 41,200 >= 20,000 after 38 pairs
	//                               because: Better by more than tonight's noise floor
	//                               of 0.9 %.
}
