package gp_test

import (
	"errors"
	"testing"

	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/engine/enginetest"
	"github.com/arqon/arqon/factory/gp"
)

func TestEngineContract(t *testing.T) { enginetest.Contract(t, gp.Quick) }

func TestEngineBeatsRandomSearch(t *testing.T) { enginetest.BeatsRandom(t, gp.Quick, 11, 3) }

// Whatever bytes are restored: a refusal that wraps ErrSnapshot, or an engine
// that goes on.
func FuzzRestore(f *testing.F) {
	cfg := engine.Config{Space: enginetest.Mixed(), Seed: 5, Budget: 60}
	e := enginetest.Make(f, gp.Quick, cfg)
	enginetest.Drive(f, e, enginetest.MixedLoss, 24, 3)
	snap, err := e.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snap)
	f.Add([]byte(`{"engine":"gp","version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := enginetest.Make(t, gp.Quick, cfg)
		if err := e.Restore(b); err != nil {
			if !errors.Is(err, engine.ErrSnapshot) {
				t.Fatal(err)
			}
			return
		}
		e.Ask(2)
	})
}
