package factory

import (
	"slices"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// TestASearchBeginsWithWhatIsKnown: what runs today, then what the domain
// recommends, then what other nights found; copies, so that no engine can
// change what another one is given.
func TestASearchBeginsWithWhatIsKnown(t *testing.T) {
	p := func(x float64) benchmarks.Point { return benchmarks.Point{"x": x} }
	d := Discovery{
		Description: benchmarks.Description{Starts: []benchmarks.Point{p(2), p(3)}},
		Elites:      map[string][]benchmarks.Point{"near": {p(4)}},
	}
	got := d.start(p(1), "near")
	if !slices.EqualFunc(got, []benchmarks.Point{p(1), p(2), p(3), p(4)}, benchmarks.Point.Equal) {
		t.Fatalf("%v", got)
	}
	got[1]["x"] = 9.0
	if !d.Description.Starts[0].Equal(p(2)) || len(d.start(p(1), "far")) != 3 {
		t.Error("a start was changed through what an engine was given, or an elite went to a context that is not its own")
	}
}
