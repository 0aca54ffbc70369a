package qd

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"github.com/arqon/arqon/internal/seed"
)

func TestContract(t *testing.T) { enginetest.Contract(t, Engine) }

// problem is a search for a map: a loss, and the axes on which solutions shall
// differ.
type problem struct {
	name   string
	space  benchmarks.Space
	loss   func(benchmarks.Point) (float64, map[string]float64)
	axes   []engine.Descriptor
	worst  float64 // the QD-score's reference
	budget int
}

func floats(n int, lo, hi float64) (s benchmarks.Space) {
	for i := range n {
		s.Parameters = append(s.Parameters, benchmarks.Parameter{Name: fmt.Sprintf("x%d", i), Kind: benchmarks.Float, Min: lo, Max: hi, Default: hi})
	}
	return s
}

// problems are the linear projection of Fontaine 2020 (sphere and Rastrigin
// under descriptors that random points hardly spread over) and the mixed space
// of the engines' contract, by knobs and by a metric.
func problems() []problem {
	const n = 10
	project := func(p benchmarks.Point) map[string]float64 {
		v := map[string]float64{}
		for i := range n {
			x := p[fmt.Sprintf("x%d", i)].(float64)
			if math.Abs(x) > 5.12 {
				x = 5.12 / x
			}
			v[fmt.Sprintf("sum%d", 2*i/n)] += x
		}
		return v
	}
	sphere := func(p benchmarks.Point) (float64, map[string]float64) {
		l := 0.0
		for i := range n {
			x := p[fmt.Sprintf("x%d", i)].(float64) - 5.12*.4
			l += x * x
		}
		return l, project(p)
	}
	rastrigin := func(p benchmarks.Point) (float64, map[string]float64) {
		l := 10. * n
		for i := range n {
			x := p[fmt.Sprintf("x%d", i)].(float64) - 5.12*.4
			l += x*x - 10*math.Cos(2*math.Pi*x)
		}
		return l, project(p)
	}
	mixed := func(p benchmarks.Point) (float64, map[string]float64) {
		return enginetest.MixedLoss(p), map[string]float64{"size": float64(p["window"].(int64)) * float64(p["level"].(int64))}
	}
	sums := []engine.Descriptor{{Metric: "sum0", Min: -25.6, Max: 25.6, Bins: 20}, {Metric: "sum1", Min: -25.6, Max: 25.6, Bins: 20}}
	return []problem{
		{"sphere", floats(n, -10.24, 10.24), sphere, sums, 1600, 2000},
		{"rastrigin", floats(n, -10.24, 10.24), rastrigin, sums, 1900, 2000},
		{"mixed by knobs", enginetest.Mixed(), mixed, []engine.Descriptor{{Knob: "kernel"}, {Knob: "level"}}, 10, 600},
		{"mixed by a metric", enginetest.Mixed(), mixed, []engine.Descriptor{{Metric: "size", Min: 1, Max: 40000, Log: true, Bins: 20}, {Knob: "tile"}}, 10, 600},
	}
}

// fill spends the budget of a problem and returns its archive.
func fill(t testing.TB, p problem, number uint64, e engine.Engine) *Archive {
	grid, err := NewGrid(p.space, p.axes)
	if err != nil {
		t.Fatal(err)
	}
	var a Archive
	rng := seed.Stream(seed.Root(number), "qd/test/random")
	for told := 0; told < p.budget; {
		batch := []engine.Proposal{{Point: p.space.Sample(rng)}}
		if e != nil {
			batch = e.Ask(8)
		}
		if len(batch) == 0 {
			break
		}
		var trials []engine.Trial
		for _, x := range batch {
			loss, values := p.loss(x.Point)
			trials = append(trials, engine.Trial{Index: told, Point: x.Point, Loss: loss, Values: values})
			if cell, ok := grid.Cell(x.Point, values); ok {
				a.Add(Elite{Cell: cell, Point: x.Point, Loss: loss, Trial: told})
			}
			told++
		}
		if e != nil {
			e.Tell(trials)
		}
	}
	return &a
}

// The map is better than what random search leaves in the same cells: by
// QD-score on every problem, by cells reached where they are hard to reach:
// random points fill the cells of the mixed space too, with worse points.
func TestQDScoreAgainstRandom(t *testing.T) {
	const from, to = 100, 105 // the constants were chosen on 0 to 4
	for _, p := range problems() {
		var score, random, cover, randomCover []float64
		for s := uint64(from); s < to; s++ {
			e := enginetest.Make(t, Engine, engine.Config{Space: p.space, Seed: s, Budget: p.budget, Start: []benchmarks.Point{p.space.Default()}, Descriptors: p.axes})
			got, by := fill(t, p, s, e), fill(t, p, s, nil)
			score, random = append(score, got.Score(p.worst)), append(random, by.Score(p.worst))
			cover, randomCover = append(cover, float64(got.Len())), append(randomCover, float64(by.Len()))
			if own := e.(*searcher).archive; own.Len() != got.Len() || own.Score(p.worst) != got.Score(p.worst) {
				t.Errorf("%s: the engine's archive has %d cells, the same trials fill %d", p.name, own.Len(), got.Len())
			}
		}
		a, b, c, d := mid(score), mid(random), mid(cover), mid(randomCover)
		t.Logf("%-18s QD-score %10.1f, random %10.1f (×%.2f); cells %4.0f, random %4.0f (×%.2f)", p.name, a, b, a/b, c, d, c/d)
		if a < 1.05*b || c < .95*d {
			t.Errorf("%s: not better than random", p.name)
		}
	}
}

func mid(x []float64) float64 {
	sort.Float64s(x)
	return x[len(x)/2]
}

func TestArchiveKeepsTheBestOfEachCell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Archive
		best := map[int]float64{}
		for i := range rapid.IntRange(0, 60).Draw(t, "n") {
			e := Elite{Cell: rapid.IntRange(0, 6).Draw(t, "cell"), Loss: rapid.Float64().Draw(t, "loss"), Trial: i}
			old, had := best[e.Cell]
			what, gain := a.Add(e)
			want := Rejected
			switch {
			case math.IsInf(e.Loss, 0) || math.IsNaN(e.Loss):
			case !had:
				want = Opened
			case e.Loss < old:
				want = Improved
			}
			if what != want || what == Improved && gain <= 0 || what == Rejected && gain > 0 {
				t.Fatalf("%v after %v: %v with gain %v, want %v", e.Loss, old, what, gain, want)
			}
			if what != Rejected {
				best[e.Cell] = e.Loss
			}
		}
		last := -1
		for _, e := range a.Elites() {
			if e.Cell <= last || best[e.Cell] != e.Loss {
				t.Fatalf("cell %d after %d holds %v, want %v", e.Cell, last, e.Loss, best[e.Cell])
			}
			last = e.Cell
		}
		if a.Len() != len(best) {
			t.Fatalf("%d cells, want %d", a.Len(), len(best))
		}
	})
}

func TestEveryPointHasACellAndItsLabel(t *testing.T) {
	space := enginetest.Mixed()
	grid, err := NewGrid(space, []engine.Descriptor{{Knob: "level", Bins: 5}, {Knob: "tile"}, {Knob: "rate", Bins: 4}, {Metric: "cost", Min: 1, Max: 100, Log: true, Bins: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(grid.Axes[0].Labels, " "); got != "1…2 3…5 6…7 8…10 11…12" {
		t.Errorf("labels of level: %s", got)
	}
	if got := strings.Join(grid.Axes[3].Labels, " "); got != "1…10 10…100" {
		t.Errorf("labels of cost: %s", got)
	}
	if got := strings.Join(grid.Axes[2].Labels, " "); got != "0.0001…0.001 0.001…0.01 0.01…0.1 0.1…1" {
		t.Errorf("labels of rate: %s", got)
	}
	levels := map[int64]int{}
	rapid.Check(t, func(t *rapid.T) {
		rng := seed.Stream(seed.Root(rapid.Uint64().Draw(t, "seed")), "qd/test")
		p := space.Sample(rng)
		cost := rapid.Float64Range(.01, 1e4).Draw(t, "cost")
		cell, ok := grid.Cell(p, map[string]float64{"cost": cost})
		if !ok || cell < 0 || cell >= grid.Cells() {
			t.Fatalf("cell %d %v of %d", cell, ok, grid.Cells())
		}
		bins := grid.Bins(cell)
		if _, on := p["tile"]; on == (grid.Axes[1].Labels[bins[1]] == "off") {
			t.Fatalf("tile is active %v and its bin is %s", on, grid.Axes[1].Labels[bins[1]])
		}
		if (cost >= 10) != (bins[3] == 1) && math.Abs(cost-10) > 1e-9 {
			t.Fatalf("cost %v in bin %d", cost, bins[3])
		}
		level := p["level"].(int64)
		if b, seen := levels[level]; seen && b != bins[0] {
			t.Fatalf("level %d in bins %d and %d", level, b, bins[0])
		}
		levels[level] = bins[0]
		if _, ok := grid.Cell(p, nil); ok {
			t.Fatal("a point without its metric has a cell")
		}
	})
	if levels[2] != 0 || levels[3] != 1 || levels[12] != 4 {
		t.Errorf("bins of level: %v", levels)
	}
}

func TestDescriptorsRefused(t *testing.T) {
	for want, d := range map[string][]engine.Descriptor{
		"either knob or metric":        {{}},
		`knob "speed" is not`:          {{Knob: "speed"}},
		"is a permutation":             {{Knob: "order"}},
		"min 3 is not below max 2":     {{Metric: "cost", Min: 3, Max: 2}},
		"want above 0 with log":        {{Metric: "cost", Min: 0, Max: 2, Log: true}},
		"1: level is an axis already":  {{Knob: "level"}, {Knob: "level"}},
		"bins is 257":                  {{Knob: "rate", Bins: 257}},
		"its choices are 4 bins":       {{Knob: "kernel", Bins: 2}},
		"leave them out":               {{Knob: "rate", Min: 1}},
		"65536 cells, at most 10000":   {{Knob: "rate", Bins: 256}, {Knob: "blend", Bins: 256}},
		"5 descriptors, want 1 to 4":   make([]engine.Descriptor, 5),
		"0: bins is -1: want 1 to 256": {{Knob: "rate", Bins: -1}},
	} {
		_, err := Engine(engine.Config{Space: enginetest.Mixed(), Descriptors: d})
		if !errors.Is(err, ErrDescriptor) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", d, err, want)
		}
	}
}

// What others found counts: an elite that was heard is built upon.
func TestHear(t *testing.T) {
	space := enginetest.Mixed()
	make := func() *searcher {
		return enginetest.Make(t, Engine, engine.Config{Space: space, Seed: 3, Budget: 100}).(*searcher)
	}
	a, b := make(), make()
	p := space.Default()
	b.Hear([]engine.Trial{{Point: p, Loss: -5}, {Point: benchmarks.Point{"nonsense": 1.}, Loss: -9}})
	if a.archive.Len() != 0 || b.archive.Len() != 1 || b.archive.Elites()[0].Loss != -5 {
		t.Fatalf("%d and %d elites", a.archive.Len(), b.archive.Len())
	}
	for _, q := range b.Ask(40) {
		if q.Point.Equal(p) {
			t.Error("a point that was heard is asked again")
		}
	}
}
