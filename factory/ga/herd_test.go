package ga

import (
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
