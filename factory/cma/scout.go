package cma

import (
	"fmt"

	"github.com/arqon/arqon/factory/engine"
)

// scouting is how a small run begins: with uniform points of the region, of
// which the best becomes the mean. A landscape of many unlike basins is decided
// by where a descent begins, and a look costs one evaluation where a descent
// costs a hundred. That is the reduced sample of multistart methods: A. H. G.
// Rinnooy Kan & G. T. Timmer, "Stochastic global optimization methods",
// Mathematical Programming 39, 1987; on BBOB: L. Pál et al., "GLOBAL", GECCO
// 2009. They cluster the sample and begin in several places; one run at a time
// needs one.
type scouting struct {
	on   bool
	size int       // scouts of a small run; 0: none
	x    []float64 // size×n points, in units of the region
	loss []float64 // told losses
}

// What a small run looks at first. A multiple of the dimension is what descents
// cost, too; the limit keeps points of many dimensions out of memory.
const (
	scoutsPerDim = 30
	maxScouts    = 1000
)

// scoutsFor resolves Config.Scouts.
func scoutsFor(cfg Config) int {
	switch {
	case cfg.Scouts < 0:
		return 0
	case cfg.Scouts > 0:
		return cfg.Scouts
	}
	return min(scoutsPerDim*cfg.Dim, maxScouts)
}

// begin starts a look, if there is one to take.
func (s *scouting) begin(n int) {
	if s.on = s.size > 0; !s.on {
		return
	}
	s.x = resized(s.x, s.size*n)
	s.loss = resized(s.loss, s.size)
}

// at returns where scout k stands.
func (s *scouting) at(k, n int) []float64 { return s.x[k*n : (k+1)*n] }

// best is the scout with the least loss, the first of equals.
func (s *scouting) best() int {
	best := 0
	for k, l := range s.loss {
		if l < s.loss[best] {
			best = k
		}
	}
	return best
}

// scout draws the next uniform point and writes it in the caller's units.
func (o *Optimizer) scout(k int, x []float64) {
	u := o.scouts.at(k, o.cfg.Dim)
	o.uniform(u)
	for i := range u {
		x[i] = o.lower[i] + float64(o.width[i]*u[i])
		if o.cfg.Upper != nil {
			x[i] = min(x[i], o.cfg.Upper[i]) // the sum may round over the bound
		}
	}
}

// endScouting puts the mean of the run that begins at the best scout.
func (o *Optimizer) endScouting() {
	copy(o.run.m, o.scouts.at(o.scouts.best(), o.cfg.Dim))
	o.plan.spend(o.scouts.size)
	o.scouts.on = false
	o.asked, o.told = 0, 0
}

// scoutState is the wire form of scouting.
type scoutState struct {
	X    []float64     `json:"x"`    // asked points only
	Loss []engine.Loss `json:"loss"` // told ones only
}

func (o *Optimizer) scoutState() *scoutState {
	if !o.scouts.on {
		return nil
	}
	return &scoutState{X: o.scouts.x[:o.asked*o.cfg.Dim], Loss: losses(o.scouts.loss[:o.told])}
}

// check refuses a state that no look of size scouts in n dimensions has.
func (s *scoutState) check(n, size int) error {
	asked := len(s.X) / n
	switch {
	case len(s.X)%n != 0 || asked > size:
		return fmt.Errorf("%w: scouts.x: %d values, want at most %d×%d", engine.ErrSnapshot, len(s.X), size, n)
	case len(s.Loss) > asked || len(s.Loss) >= size:
		return fmt.Errorf("%w: scouts.loss: %d told, %d asked, %d in all", engine.ErrSnapshot, len(s.Loss), asked, size)
	}
	return nil
}

// setScouts takes a checked state; nil: no look is being taken.
func (o *Optimizer) setScouts(s *scoutState) {
	o.scouts.on = false
	if s == nil {
		return
	}
	o.scouts.begin(o.cfg.Dim)
	copy(o.scouts.x, s.X)
	for i, l := range s.Loss {
		o.scouts.loss[i] = float64(l)
	}
	o.asked, o.told = len(s.X)/o.cfg.Dim, len(s.Loss)
}
