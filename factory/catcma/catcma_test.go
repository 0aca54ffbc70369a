package catcma_test

import (
	"errors"
	"testing"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/catcma"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
)

func TestEngineContract(t *testing.T) { enginetest.Contract(t, catcma.Engine) }

func TestEngineBeatsRandomSearch(t *testing.T) { enginetest.BeatsRandom(t, catcma.Engine, 201, 2.5) } // 2.8 over 801 seeds

// Every point of a small space is asked once, then the engine is done; also
// where nothing is continuous and where knobs are switched off.
func TestSmallDiscreteSpaceEnds(t *testing.T) {
	space := benchmarks.Space{Parameters: []benchmarks.Parameter{
		{Name: "a", Kind: benchmarks.Bool},
		{Name: "b", Kind: benchmarks.Categorical, Choices: []string{"x", "y", "z"}, When: map[string][]any{"a": {true}}},
	}}
	e := enginetest.Make(t, catcma.Engine, engine.Config{Space: space, Seed: 4})
	asked, _ := enginetest.Drive(t, e, func(p benchmarks.Point) float64 { return float64(len(p)) }, 1000, 3)
	if len(asked) != 4 {
		t.Errorf("%d evaluations of a space of 4 points: %q", len(asked), asked)
	}
}

// The choices that matter are found and kept, also with one of many.
func TestItLearnsChoices(t *testing.T) {
	var space benchmarks.Space
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		space.Parameters = append(space.Parameters, benchmarks.Parameter{
			Name: name, Kind: benchmarks.Categorical, Choices: []string{"0", "1", "2", "3", "4", "5", "6"},
		})
	}
	wrong := func(p benchmarks.Point) float64 {
		n := 0.
		for _, v := range p {
			if v != "4" {
				n++
			}
		}
		return n
	}
	solved := 0
	for s := range uint64(5) {
		e := enginetest.Make(t, catcma.Engine, engine.Config{Space: space, Seed: s, Budget: 800})
		if _, best := enginetest.Drive(t, e, wrong, 800, 16); best == 0 {
			solved++
		}
	}
	if solved < 5 {
		t.Errorf("%d of 5 solved; there are 117 649 points", solved)
	}
}

// Whatever bytes are restored: a refusal that wraps ErrSnapshot, or an engine
// that goes on.
func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 5, Budget: 60}
	e := enginetest.Make(f, catcma.Engine, cfg)
	enginetest.Drive(f, e, enginetest.MixedLoss, 24, 3)
	snap, err := e.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snap)
	f.Add([]byte(`{"engine":"catcma","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := enginetest.Make(t, catcma.Engine, cfg)
		if err := e.Restore(b); err != nil {
			if !errors.Is(err, engine.ErrSnapshot) {
				t.Fatal(err)
			}
			return
		}
		e.Ask(2)
	})
}
