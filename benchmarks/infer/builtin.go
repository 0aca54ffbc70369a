package infer

import (
	"context"
	_ "embed"
	"sync"

	"github.com/arqon/arqon/internal/seed"
)

//go:generate go test . -run TestBuiltInIsCurrent -update

// builtInFile is a one-stage model (7×7 → 16 → exit, int8, about 1.5 KB) that
// MakeBuiltIn trained. It travels inside the program.
//
//go:embed builtin.arqm
var builtInFile []byte

var builtIn = sync.OnceValues(func() (*Model, error) { return OpenModel(builtInFile) })

// BuiltIn returns the fallback that every host carries (VariantID 0): a model
// that needs no data, no catalog and no network, weaker than any variant.
func BuiltIn() *Model {
	m, err := builtIn()
	if err != nil {
		panic("infer: the embedded fallback is damaged: " + err.Error()) // the build is broken, not the world
	}
	return m
}

// MakeBuiltIn trains the fallback's file from the data set.
func MakeBuiltIn(ctx context.Context, data *Data) ([]byte, error) {
	r := fullRecipe()
	r.Name, r.Widths, r.Epochs = "built-in", []int{16}, 4
	net, err := train(ctx, &data.Train, r, seed.Root(0), func(string) {})
	if err != nil {
		return nil, err
	}
	t := &trained{net: net, data: data}
	m, err := t.assemble(&choices{route: routeCascade, precision: precisionI8, adapter: adapterNone,
		thresholds: Thresholds{neverExit, neverExit}, quantile: 0.999})
	if err != nil {
		return nil, err
	}
	return m.encode(), nil
}
