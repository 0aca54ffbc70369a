package gp

import "github.com/arqon/arqon/factory/engine"

// Quick is Engine with a fraction of the arithmetic, for the contract.
func Quick(cfg engine.Config) (engine.Engine, error) {
	return newSearcher(cfg, effort{model: 40, fit: 30, pool: 60})
}
