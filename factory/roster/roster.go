// Package roster lists the engines that a study may name. It is the one place
// where a new engine is registered: a line here makes it known to discover, to
// nightly and to the figures.
//
// It is not for choosing among them: which engines a study without a wish gets
// is package factory's to say.
package roster

import (
	"github.com/arqon/arqon/factory/catcma"
	"github.com/arqon/arqon/factory/cma"
	"github.com/arqon/arqon/factory/de"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/ga"
	"github.com/arqon/arqon/factory/gonum"
	"github.com/arqon/arqon/factory/gp"
	"github.com/arqon/arqon/factory/qd"
	"github.com/arqon/arqon/factory/sweep"
)

// Engines returns every engine by the name that studies use. The map is the
// caller's own.
func Engines() map[string]engine.New {
	return map[string]engine.New{
		"cma":        cma.Engine,
		"cma-lra":    cma.Adapting,
		"cma-uh":     cma.Reevaluating,
		"catcma":     catcma.Engine,
		"de":         de.Engine,
		"gp":         gp.Engine,
		"ga":         ga.Engine,
		"qd":         qd.Engine,
		"polish":     gonum.Polish,
		"gonum-cma":  gonum.CMA,
		"sweep":      sweep.Engine,
		"sobol":      sweep.Sobol,
		"grid":       sweep.Grid,
		"one-factor": sweep.OneFactor,
	}
}
