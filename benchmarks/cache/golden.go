package cache

import (
	"context"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// questionHits is answered by the number of hits in each tenth of one trace,
// at two capacities. The trace is counted in whole numbers and drawn by hand:
// the workloads' own tables hold powers, which a processor may round its way.
const (
	questionHits = "cache-hits-1"
	goldenUses   = 4000
	goldenParts  = 10
)

var goldenCapacities = []int{17, 100}

// goldenTolerance is for policies with a program, which compare numbers that a
// logarithm was taken of; the others decide by whole numbers and are exact.
const goldenTolerance = .01

var _ benchmarks.Answerer = (*instance)(nil)

// Answer implements benchmarks.Answerer.
func (in *instance) Answer(ctx context.Context, questions ...string) ([]benchmarks.Golden, error) {
	return benchmarks.AnswerEach(ctx, []string{questionHits}, questions, func(string) benchmarks.Golden {
		g := benchmarks.Golden{Values: in.strategy.goldenHits()}
		if len(in.strategy.program) > 0 {
			g.Tolerance = goldenTolerance
		}
		return g
	})
}

func (s *Strategy) goldenHits() []float64 {
	t := goldenTrace()
	var out []float64
	for _, capacity := range goldenCapacities {
		hits := make([]float64, goldenParts)
		s.Play(t, capacity, func(i int, hit bool) {
			if hit {
				hits[i/(goldenUses/goldenParts)]++
			}
		})
		out = append(out, hits...)
	}
	return out
}

// goldenTrace mixes what is asked for often, scans, and what was used lately.
func goldenTrace() *Trace {
	r := seed.Stream(1, "cache/golden")
	t := &Trace{Uses: make([]Use, goldenUses)}
	for i := range t.Uses {
		u := &t.Uses[i]
		switch n := r.IntN(10); {
		case n < 5:
			u.Key = uint64(r.IntN(1 + r.IntN(1+r.IntN(400)))) // low keys often
		case n < 7:
			u.Key = 1000 + uint64(i) // never again
		case i > 0:
			u.Key = t.Uses[i-1-r.IntN(min(i, 60))].Key
		}
		u.Size = 1 + uint32(u.Key%7)*100
	}
	return t
}
