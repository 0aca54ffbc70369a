package adapt

import "math"

// Gate keeps arms out whose latency would break the limit. It corrects what
// was predicted by what was seen: log(seen ÷ predicted) is a shared level plus
// an arm's own, each a scalar Kalman filter, and the margin is a number of
// standard deviations of everything that is not known yet, so that it shrinks
// with evidence and opens after a surprise.
//
// A surprise upwards moves the shared level at once: the cost of a wrong alarm
// is a few cautious choices, the cost of a missed one is a broken limit. A
// surprise downwards must repeat.
type Gate struct {
	Limit  float64   `json:"limit"` // 0: none
	Level  float64   `json:"level"` // shared, of the log ratio
	LevelP float64   `json:"level_p"`
	Noise  spread    `json:"noise"` // pooled
	Arms   []gateArm `json:"arms"`
	Below  int       `json:"below"`  // surprises downwards in a row
	Shock  int       `json:"shock"`  // the arm of a surprise upwards that no other arm has spoken to, plus one
	Since  int       `json:"since"`  // observations since
	Raised float64   `json:"raised"` // by how much the level was
	Local  int       `json:"local"`  // surprises that were one arm's
}

type gateArm struct {
	Offset float64 `json:"offset"`
	Factor float64 `json:"factor"` // upper bound ÷ predicted, kept ready
	P      float64 `json:"p"`
	Noise  spread  `json:"noise"`
	// Strikes is how often it broke the limit: each halves the pace at which it
	// is forgotten that it was slow.
	Strikes int `json:"strikes"`
}

// The gate's constants, in logarithms of a ratio.
const (
	gateSigmas     = 3.7     // of the noise, which every request pays: P(N > 3.7) = .011 %
	gateDoubt      = 2.2     // of what an arm's first request settles: P(N > 2.2) = 1.4 %, once an arm
	gateNoise      = .01     // variance before anything was seen: ±10 %
	gateNoiseN     = 8       // values that it counts for
	gateArmP       = .0064   // predictions of arms differ by ±8 %
	gateLevelP     = .0025   // and all together by ±5 %
	gateDrift      = 1.6e-5  // variance a step by which the level may wander
	gateSurprise   = 4       // standard deviations
	gateMemory     = 400     // observations that noise is remembered for
	gateFloor      = 4e-6    // variance that is always allowed for
	gateRatioMax   = 1 << 10 // what is further off is no measurement
	gateArmN       = 5       // observations that make an arm count in what is usual
	gateAll        = 1. / 64 // share of a squared surprise that becomes doubt about every arm
	gateSome       = 1. / 5  // the same once it is clear that not all arms were hit
	gateCalm       = .01     // share of doubt that passes in a step, halved by each such surprise
	gateLocalMax   = 3       // halvings
	gateStrikesMax = 6
	gateReturn     = 6e-4 // share of an arm's offset that is forgotten in a step without it
)

// NewGate makes a gate for that many arms; a limit of 0 lets everything pass.
func NewGate(arms int, limit float64) Gate {
	g := Gate{Limit: limit, LevelP: gateLevelP, Arms: make([]gateArm, arms)}
	for i := range g.Arms {
		g.Arms[i].P = gateArmP
	}
	g.refresh()
	return g
}

// variances are the noise of an arm and the uncertainty of its level.
func (g *Gate) variances(arm int) (noise, level float64) {
	a := &g.Arms[arm]
	pooled := g.Noise.against(gateNoise, gateNoiseN)
	return max(a.Noise.against(pooled, gateNoiseN), gateFloor), g.LevelP + a.P
}

// Upper is the latency that the arm stays under, and whether that is a
// number. predicted is in the unit of the limit.
func (g *Gate) Upper(arm int, predicted float64) (float64, bool) {
	if !(predicted > 0) || !finite(predicted) {
		return math.Inf(1), false
	}
	return predicted * g.Arms[arm].Factor, true
}

// refresh computes every arm's factor.
func (g *Gate) refresh() {
	for i := range g.Arms {
		noise, level := g.variances(i)
		margin := math.Sqrt(float64(gateSigmas*gateSigmas*noise) + float64(gateDoubt*gateDoubt*level))
		g.Arms[i].Factor = math.Exp(min(g.Level+g.Arms[i].Offset+margin, 100))
	}
}

// Observe learns from a latency that was seen where predicted was expected.
func (g *Gate) Observe(arm int, predicted, seen float64) {
	g.observe(arm, predicted, seen)
	g.refresh()
}

// observe is Observe without its effect on Upper.
func (g *Gate) observe(arm int, predicted, seen float64) {
	ratio := seen / predicted
	if !(ratio > 1.0/gateRatioMax && ratio < gateRatioMax) {
		return
	}
	a := &g.Arms[arm]
	if seen > g.Limit {
		a.Strikes = min(a.Strikes+1, gateStrikesMax)
	}
	g.LevelP += gateDrift
	a.P += gateDrift / 4
	e := math.Log(ratio) - g.Level - a.Offset
	own := g.Shock == arm+1 // its surprise may be its own: it says nothing of the level yet
	if g.Shock > 0 && !own {
		e += g.settle(e)
	}
	noise, level := g.variances(arm)
	sd := math.Sqrt(noise + level)
	switch {
	case own:
	case e > gateSurprise*sd:
		g.LevelP, g.Below = e*e, 0
		g.doubt(e * e * gateAll)
		g.Shock, g.Since = arm+1, 0
		own = false
	case e < -gateSurprise*sd:
		if g.Below++; g.Below >= 3 {
			g.LevelP, g.Below = e*e, 0
		}
	default:
		g.Below = 0
	}
	g.Since++
	g.relax(arm)
	noise, _ = g.variances(arm)
	s := g.LevelP + a.P + noise
	squared := min(e*e*noise/s, 9*noise) // the part of the error that is noise
	if own {
		a.P = max(a.P, gateArmP)
		s = a.P + noise
	} else {
		move := float64(g.LevelP / s * e)
		g.Level += move
		g.LevelP -= float64(g.LevelP / s * g.LevelP)
		if g.Shock == arm+1 {
			g.Raised = move
		}
	}
	a.Offset += float64(a.P / s * e)
	a.P -= float64(a.P / s * a.P)
	a.Noise.add(squared, gateMemory)
	g.Noise.add(squared, 4*gateMemory)
}

// settle is what another arm has to say on a surprise: the level was raised
// rightly, or the surprise was one arm's own. Then the level returns, and some
// of the rest may be like that arm. e is the other arm's error; settle returns
// by how much that changes.
func (g *Gate) settle(e float64) float64 {
	k := g.Shock - 1
	g.Shock = 0
	if e > -g.Raised/2 {
		return 0
	}
	g.Level -= g.Raised
	g.Arms[k].Offset += g.Raised
	g.doubt(float64(g.Raised * g.Raised * gateSome))
	g.Local = min(g.Local+1, gateLocalMax)
	return g.Raised
}

// Unsettled reports whether a surprise was seen of another arm, so that a
// request of this one would tell whether it concerns all, and for how many
// observations that has been so.
func (g *Gate) Unsettled(arm int) (bool, int) { return g.Shock > 0 && g.Shock != arm+1, g.Since }

// doubt makes every arm's offset at least that uncertain; an observation of
// the arm settles it.
func (g *Gate) doubt(variance float64) {
	for i := range g.Arms {
		g.Arms[i].P = max(g.Arms[i].P, min(variance, 1))
	}
}

// relax lets what is believed of the arms that were not asked return slowly to
// what is true of arms in general: no offset, and the uncertainty that the
// arms seen so far suggest. Otherwise an arm that was slow once would never be
// asked again.
func (g *Gate) relax(asked int) {
	sum, n := float64(gateArmP*gateArmN), float64(gateArmN)
	for i := range g.Arms {
		if a := &g.Arms[i]; a.Noise.N >= gateArmN {
			sum += min(a.Offset*a.Offset, 4*gateArmP)
			n++
		}
	}
	usual := sum / n
	calm := gateCalm / float64(uint64(1)<<g.Local)
	for i := range g.Arms {
		if a := &g.Arms[i]; i != asked {
			a.Offset -= float64(gateReturn * a.Offset / float64(uint64(1)<<a.Strikes))
			a.P += float64(calm * (usual - a.P))
		}
	}
}

func (g *Gate) valid(arms int) bool {
	ok := len(g.Arms) == arms && g.Local >= 0 && g.Local <= gateLocalMax && usable(g.Raised) && g.Shock >= 0 && g.Shock <= arms && g.Since >= 0 && usable(g.Limit) && usable(g.Level) && g.LevelP >= 0 && usable(g.LevelP) &&
		g.Noise.valid()
	for _, a := range g.Arms {
		ok = ok && usable(a.Offset) && a.Strikes >= 0 && a.Strikes <= gateStrikesMax && a.Factor > 0 && a.P >= 0 && usable(a.P) && a.Noise.valid()
	}
	return ok
}
