package factory_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/roster"
	"github.com/arqon/arqon/factory/suite"
	"github.com/arqon/arqon/internal/seed"
)

// The suite's figures are measured by
//
//	ARQON_SUITE=51-80 ARQON_SUITE_BUDGETS=300,1000,3000 go test ./factory -run TestSuiteFigures -v -timeout 60m
//
// with the instances to run; ARQON_SUITE_ENGINES ("cma" or "cma:2,ga:1")
// replaces the default mix, ARQON_SUITE_STILL=1 takes the sessions' drift away.
const suiteVariable = "ARQON_SUITE"

// randomSearch draws points uniformly and believes the lowest sample.
func randomSearch(p *suite.Problem, budget int, s uint64) float64 {
	r := seed.Stream(seed.Root(s), "random")
	best, at := math.Inf(1), benchmarks.Point(nil)
	for range budget {
		x := p.Space().Sample(r)
		if y := p.Sample(x); y < best {
			best, at = y, x
		}
	}
	return p.True(at) - 1
}

func problem(t testing.TB, family string, n uint64) *suite.Problem {
	t.Helper()
	p, err := suite.New(family, n)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("ARQON_SUITE_STILL") != "" {
		p.Still()
	}
	return p
}

// solved is what a search alone has reached on a problem.
type solved struct {
	regret  float64 // true, relative to the least cost
	off     float64 // claimed over true, minus 1
	session float64 // the same against the true cost at the session's mean drift
	covered bool    // the interval holds the true cost
	spent   int     // evaluations
}

// solve runs the whole search alone on a problem.
func solve(t testing.TB, p *suite.Problem, budget int, engines string) solved {
	t.Helper()
	found, x := search(t, p, p, budget, engines, nil)
	if p.Samples() != found.Evaluations || found.Evaluations > budget {
		t.Fatalf("%d samples measured, %d evaluations reported, budget %d", p.Samples(), found.Evaluations, budget)
	}
	c, truth := found.Contexts[0], p.True(x)
	return solved{
		regret: truth - 1, off: c.Claimed/truth - 1, session: c.Claimed/(truth*math.Exp(p.Drift())) - 1,
		covered: c.Interval[0] <= truth && truth <= c.Interval[1], spent: c.Evaluations,
	}
}

// search recommends a point of a problem, which is measured through domain.
func search(t testing.TB, p *suite.Problem, domain benchmarks.Domain, budget int, engines string, elites []benchmarks.Point) (factory.Recommendations, benchmarks.Point) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("name: suite\ndomain: suite\nseed: %d\nworkers: 1\nbudget: {evaluations: %d}\n", p.Number, budget)
	if engines != "" {
		text += "engines:\n"
		for _, e := range strings.Split(engines, ",") {
			name, share, _ := strings.Cut(e, ":")
			if share == "" {
				share = "1"
			}
			text += fmt.Sprintf("  - {name: %s, share: %s}\n", name, share)
		}
	}
	path := filepath.Join(dir, "study.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	st, err := factory.LoadStudy(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Describe(t.Context())
	if err == nil {
		d, err = st.Apply(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := factory.Recommend(t.Context(), factory.Discovery{
		Study: st, Domain: domain, Description: d, Engines: roster.Engines(), Journal: filepath.Join(dir, "journal"),
		Elites: map[string][]benchmarks.Point{"only": elites},
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := benchmarks.DecodePoint(d.Space, found.Contexts[0].Point)
	if err != nil {
		t.Fatal(err)
	}
	return found, x
}

func middle(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	if len(x) == 0 {
		return math.NaN()
	}
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func instances(t testing.TB, which string) (from, to int) {
	t.Helper()
	first, last, _ := strings.Cut(which, "-")
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil {
		t.Fatalf("%s=%q: want FIRST-LAST", suiteVariable, which)
	}
	return from, to
}

func TestSuiteFigures(t *testing.T) {
	which := os.Getenv(suiteVariable)
	if which == "" {
		t.Skip("set " + suiteVariable + "=FIRST-LAST to measure")
	}
	from, to := instances(t, which)
	budgets := os.Getenv("ARQON_SUITE_BUDGETS")
	if budgets == "" {
		budgets = "300,1000,3000"
	}
	for _, b := range strings.Split(budgets, ",") {
		budget, err := strconv.Atoi(b)
		if err != nil {
			t.Fatal(err)
		}
		var all, random, claims, session, bias, spent []float64
		covered := 0
		for _, family := range suite.Families() {
			var own, rnd []float64
			for n := from; n <= to; n++ {
				x := solve(t, problem(t, family, uint64(n)), budget, os.Getenv("ARQON_SUITE_ENGINES"))
				own, claims, bias = append(own, x.regret), append(claims, math.Abs(x.off)), append(bias, x.off)
				session, spent = append(session, math.Abs(x.session)), append(spent, float64(x.spent))
				if x.covered {
					covered++
				}
				rnd = append(rnd, randomSearch(problem(t, family, uint64(n)), budget, uint64(n)))
			}
			t.Logf("%5d %-16s regret %6.2f %%  random %6.1f %%", budget, family, 100*middle(own), 100*middle(rnd))
			all, random = append(all, own...), append(random, rnd...)
		}
		t.Logf("%5d %-16s regret %6.2f %%  random %6.1f %%  1/%.1f", budget, "median of all",
			100*middle(all), 100*middle(random), middle(random)/middle(all))
		sorted := slices.Sorted(slices.Values(claims))
		t.Logf("%5d %-16s |claimed−true| %.2f %% (nine of ten below %.2f), of the session %.2f %%  bias %+.2f %%  95 %% intervals cover %.1f %%  spent %.0f", budget, "the claims",
			100*middle(claims), 100*sorted[len(sorted)*9/10], 100*middle(session), 100*middle(bias), 100*float64(covered)/float64(len(all)), middle(spent))
	}
}

// A small part of the suite guards the whole chain in every test run; the
// threshold is a third of what the figures of docs/search.md say.
func TestSearchBeatsRandomOnTheSuite(t *testing.T) {
	var own, random []float64
	for _, family := range suite.Families() {
		x := solve(t, problem(t, family, 41), 200, "")
		if math.Abs(x.off) > .2 {
			t.Errorf("%s: the claim is off by %.0f %%", family, 100*x.off)
		}
		own = append(own, x.regret)
		random = append(random, randomSearch(problem(t, family, 41), 200, 41))
	}
	if middle(own) > middle(random)/3 {
		t.Errorf("median regret %.3f, random search %.3f", middle(own), middle(random))
	}
}
