package ga

import (
	"math"
	"math/rand"
	"slices"
	"strconv"

	"github.com/MaxHalford/eaopt"
	"github.com/arqon/arqon/benchmarks"
)

// herd is how the population is divided.
type herd struct {
	islands int // populations that breed apart and exchange migrants; 1 or more
	species int // groups of like genomes that breed apart within an island; 1: none
}

const (
	migrateEvery = 10 // generations
	migrants     = 2  // exchanged between an island and the next
)

// herdFor divides when there is time for it. Below a few thousand evaluations
// every division costs more than it saves; from there on, a whole population
// ends in a wrong place a little more often than a divided one. The table is
// in docs/search.md.
func herdFor(budget int) herd {
	if budget < 2500 {
		return herd{islands: 1, species: 1}
	}
	return herd{islands: 2, species: 2}
}

func byFitness(x, y eaopt.Individual) int {
	switch {
	case x.Fitness < y.Fitness:
		return -1
	case x.Fitness > y.Fitness:
		return 1
	}
	return 0
}

// apply breeds one island: the safe use of eaopt, see the package comment.
func (b *breeder) apply(island eaopt.Individuals, rng *rand.Rand) eaopt.Individuals {
	var out eaopt.Individuals
	for _, kind := range b.kinds(island, rng) {
		pop := eaopt.Population{Individuals: slices.Clone(kind), RNG: rng}
		model := eaopt.ModGenerational{
			Selector:  eaopt.SelTournament{NContestants: contest},
			CrossRate: crossRate,
			MutRate:   mutRate,
		}
		if err := model.Apply(&pop); err != nil {
			continue // it can only refuse a population smaller than a tournament
		}
		out = append(out, pop.Individuals...)
	}
	for i := range out {
		out[i].Evaluated = false
	}
	return out
}

// kinds divides an island into species, each large enough for a tournament.
func (b *breeder) kinds(island eaopt.Individuals, rng *rand.Rand) []eaopt.Individuals {
	k := min(b.herd.species, len(island)/(contest+2))
	if k < 2 {
		return []eaopt.Individuals{island}
	}
	pop := slices.Clone(island) // it is sorted in place
	for i := range pop {
		pop[i].ID = strconv.Itoa(i) // by which distances are remembered
	}
	kinds, err := eaopt.SpecKMedoids{K: uint(k), MinPerCluster: contest + 2, Metric: distance, MaxIterations: 10}.Apply(pop, rng)
	if err != nil {
		return []eaopt.Individuals{island}
	}
	return kinds
}

// migrate exchanges members between neighbouring islands of the same size.
func (b *breeder) migrate() {
	if b.herd.islands < 2 {
		return
	}
	pops := make(eaopt.Populations, len(b.pops))
	for i, pop := range b.pops {
		if len(pop) != b.size { // MigRing takes the same index in both
			return
		}
		pops[i].Individuals = pop
	}
	eaopt.MigRing{NMigrants: migrants}.Apply(pops, b.stream("ga/migrate"))
	for i := range b.pops {
		slices.SortStableFunc(b.pops[i], byFitness)
	}
}

// distance between two genomes is the mean over their genes: how far numbers
// and ordinals are apart on their own scale, whether choices differ, which
// share of a permutation's places does.
func distance(a, b eaopt.Individual) float64 {
	x, ok := a.Genome.(*genome)
	y, also := b.Genome.(*genome)
	if !ok || !also {
		return 0
	}
	var sum float64
	for i, q := range x.space.Parameters {
		g, h := x.genes[i], y.genes[i]
		switch q.Kind {
		case benchmarks.Float:
			sum += math.Abs(share(q, g.X) - share(q, h.X))
		case benchmarks.Int:
			sum += math.Abs(share(q, float64(g.K)) - share(q, float64(h.K)))
		case benchmarks.Ordinal:
			sum += math.Abs(float64(g.K-h.K)) / float64(max(1, len(q.Choices)-1))
		case benchmarks.Categorical, benchmarks.Bool:
			if g.K != h.K {
				sum++
			}
		case benchmarks.Permutation:
			for k := range g.O {
				if g.O[k] != h.O[k] {
					sum += 1 / float64(len(g.O))
				}
			}
		}
	}
	return sum / float64(len(x.genes))
}
