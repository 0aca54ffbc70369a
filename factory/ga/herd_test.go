package ga

import (
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"github.com/arqon/arqon/factory/suite"
)

func TestHerdContract(t *testing.T) {
	enginetest.Contract(t, func(cfg engine.Config) (engine.Engine, error) { return newBreeder(cfg, herd{islands: 3, species: 2}) })
}

// What islands and species are worth: the median true regret, in percent, of
// the best point told, without noise, over the suite's seven families.
//
//	ARQON_HERDS=6 [ARQON_HERDS_FROM=41] go test ./factory/ga -run HerdFigures -v -timeout 60m
//
// with the number of instances a family and the first one (21 when absent).
func TestHerdFigures(t *testing.T) {
	env := os.Getenv("ARQON_HERDS")
	if env == "" {
		t.Skip("set ARQON_HERDS=6 to measure")
	}
	instances, err := strconv.ParseUint(env, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	from := uint64(21)
	if env := os.Getenv("ARQON_HERDS_FROM"); env != "" {
		if from, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for _, budget := range []int{300, 1000, 3000} {
		for _, h := range []herd{{1, 1}, {2, 1}, {4, 1}, {1, 2}, {1, 4}, {2, 2}} {
			var all []float64
			for _, family := range suite.Families() {
				for i := range instances {
					p, err := suite.New(family, from+i)
					if err != nil {
						t.Fatal(err)
					}
					e, err := newBreeder(engine.Config{Space: p.Space(), Seed: i, Budget: budget, Parallel: 8}, h)
					if err != nil {
						t.Fatal(err)
					}
					_, best := enginetest.Drive(t, e, func(x benchmarks.Point) float64 { return p.True(x) }, budget, 8)
					all = append(all, 100*(best-1))
				}
			}
			slices.Sort(all)
			var sum float64
			for _, v := range all {
				sum += v
			}
			t.Logf("%4d evaluations, %d islands, %d species: median %.2f, mean %.2f", budget, h.islands, h.species, all[len(all)/2], sum/float64(len(all)))
		}
	}
}

// What knowing the conditions is worth, with as many evaluations as a flat
// encoding gets: the true regret, in percent, of the best point told, losses with
// noise or without, on the suite's conditional family.
//
//	ARQON_CONDITIONS=40 go test ./factory/ga -run ConditionsFigures -v
//
// with the number of instances, the first of which is 121.
func TestConditionsFigures(t *testing.T) {
	env := os.Getenv("ARQON_CONDITIONS")
	if env == "" {
		t.Skip("set ARQON_CONDITIONS=40 to measure")
	}
	n, err := strconv.ParseUint(env, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	regret := func(i uint64, budget int, noisy, flat bool) float64 {
		p, err := suite.New("conditional", 121+i)
		if err != nil {
			t.Fatal(err)
		}
		if flat {
			p = p.Flat()
		}
		best := math.Inf(1)
		e := enginetest.Make(t, Engine, engine.Config{Space: p.Space(), Seed: i, Budget: budget, Parallel: 8})
		enginetest.Drive(t, e, func(x benchmarks.Point) float64 {
			best = min(best, p.True(x))
			if noisy {
				return p.Sample(x)
			}
			return p.True(x)
		}, budget, 8)
		return 100 * (best - 1)
	}
	for _, budget := range []int{400, 750, 1000} {
		for _, noisy := range []bool{false, true} {
			var aware, flat []float64
			for i := range n {
				aware = append(aware, regret(i, budget, noisy, false))
				flat = append(flat, regret(i, budget, noisy, true))
			}
			slices.Sort(aware)
			slices.Sort(flat)
			t.Logf("%4d evaluations, noise %v: with conditions %.2f, flat %.2f", budget, noisy, aware[n/2], flat[n/2])
		}
	}
}
