package gp_test

import (
	"testing"

	"github.com/arqon/arqon/factory/engine/enginetest"
	"github.com/arqon/arqon/factory/gp"
)

func TestEngineContract(t *testing.T) { enginetest.Contract(t, gp.Quick) }

func TestEngineBeatsRandomSearch(t *testing.T) { enginetest.BeatsRandom(t, gp.Quick, 3) }
