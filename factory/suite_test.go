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
//	ARQON_SUITE=16-30 ARQON_SUITE_BUDGETS=300,1000,3000 go test ./factory -run TestSuiteFigures -v -timeout 60m
//
// with the instances to run; ARQON_SUITE_ENGINES ("cma" or "cma:2,ga:1")
// replaces the default mix.
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
	return p
}

// solve runs the whole search alone on a problem: true regret and the
// relative error of the claim.
func solve(t testing.TB, p *suite.Problem, budget int, engines string) (regret, claim float64) {
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
		Study: st, Domain: p, Description: d, Engines: roster.Engines(), Journal: filepath.Join(dir, "journal"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.Samples() != found.Evaluations || found.Evaluations > budget {
		t.Fatalf("%d samples measured, %d evaluations reported, budget %d", p.Samples(), found.Evaluations, budget)
	}
	x, err := benchmarks.DecodePoint(d.Space, found.Contexts[0].Point)
	if err != nil {
		t.Fatal(err)
	}
	return p.True(x) - 1, found.Contexts[0].Claimed/p.True(x) - 1
}

func middle(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	if len(x) == 0 {
		return math.NaN()
	}
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func TestSuiteFigures(t *testing.T) {
	which := os.Getenv(suiteVariable)
	if which == "" {
		t.Skip("set " + suiteVariable + "=FIRST-LAST to measure")
	}
	first, last, _ := strings.Cut(which, "-")
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil {
		t.Fatalf("%s=%q: want FIRST-LAST", suiteVariable, which)
	}
	budgets := os.Getenv("ARQON_SUITE_BUDGETS")
	if budgets == "" {
		budgets = "300,1000,3000"
	}
	for _, b := range strings.Split(budgets, ",") {
		budget, err := strconv.Atoi(b)
		if err != nil {
			t.Fatal(err)
		}
		var all, random, claims, bias []float64
		for _, family := range suite.Families() {
			var own, rnd []float64
			for n := from; n <= to; n++ {
				regret, claim := solve(t, problem(t, family, uint64(n)), budget, os.Getenv("ARQON_SUITE_ENGINES"))
				own, claims, bias = append(own, regret), append(claims, math.Abs(claim)), append(bias, claim)
				rnd = append(rnd, randomSearch(problem(t, family, uint64(n)), budget, uint64(n)))
			}
			t.Logf("%5d %-16s regret %6.2f %%  random %6.1f %%", budget, family, 100*middle(own), 100*middle(rnd))
			all, random = append(all, own...), append(random, rnd...)
		}
		t.Logf("%5d %-16s regret %6.2f %%  random %6.1f %%  1/%.1f  |claimed−true| %.2f %%  bias %+.2f %%", budget, "median of all",
			100*middle(all), 100*middle(random), middle(random)/middle(all), 100*middle(claims), 100*middle(bias))
	}
}

// A small part of the suite guards the whole chain in every test run; the
// threshold is a third of what the figures of docs/search.md say.
func TestSearchBeatsRandomOnTheSuite(t *testing.T) {
	var own, random []float64
	for _, family := range suite.Families() {
		regret, claim := solve(t, problem(t, family, 41), 200, "")
		if math.Abs(claim) > .2 {
			t.Errorf("%s: the claim is off by %.0f %%", family, 100*claim)
		}
		own = append(own, regret)
		random = append(random, randomSearch(problem(t, family, 41), 200, 41))
	}
	if middle(own) > middle(random)/3 {
		t.Errorf("median regret %.3f, random search %.3f", middle(own), middle(random))
	}
}
