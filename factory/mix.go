package factory

import (
	"slices"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
)

// How a search without engines of its own is divided. The model (gp) needs the
// fewest samples but its arithmetic grows with them, so it gets half of a small
// budget and a fixed amount of a large one; it hears what the others are told
// and says which points to race. The genetic search finds what a smooth model
// cannot see (alignment, ruggedness, switches). A large budget pays for CatCMA
// as well. See docs/search.md for the figures.
const (
	mixModelSamples = 280 // of a large budget
	mixLarge        = 600 // samples from which CatCMA takes part
)

// mixFor is the mix for a number of samples; its shares add up to 1, as those of
// DefaultEngines do, so that a proposer's share beside them means the same.
func mixFor(samples int) []EngineShare {
	model := float64(min((samples+1)/2, mixModelSamples)) / float64(max(1, samples))
	model = min(model, .9)
	rest := 1 - model
	if samples < mixLarge {
		return []EngineShare{{"gp", model}, {"ga", rest}}
	}
	return []EngineShare{{"gp", model}, {"ga", .65 * rest}, {"catcma", .35 * rest}}
}

// namesEngines reports whether the study's engines are its author's choice.
func (s Study) namesEngines() bool {
	_, given := s.doc.place("engines")
	return given || !slices.Equal(s.Engines, DefaultEngines())
}

// nightMix is the mix of a night whose study names no engines: where there is
// something to choose, CatCMA takes the place of CMA-ES, which would treat
// choices as numbers.
func nightMix(sp benchmarks.Space) []EngineShare {
	mix := DefaultEngines()
	for _, p := range sp.Parameters {
		if p.Kind == benchmarks.Categorical || p.Kind == benchmarks.Bool {
			mix[0].Name = "catcma"
		}
	}
	return mix
}

// hasAll reports whether there is an engine for every name of a mix.
func hasAll(engines map[string]engine.New, mix []EngineShare) bool {
	for _, e := range mix {
		if engines[e.Name] == nil {
			return false
		}
	}
	return true
}
