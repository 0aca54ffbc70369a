package adapt

import (
	"fmt"
	"math"
	"slices"
)

// Search is one way of moving through the unit cube [0, 1]^d, told one loss a
// question in the order of asking. Best is the recommended point.
type Search interface {
	Ask() []float64
	Tell(loss float64) // NaN: not measured
	Best() []float64
}

// Algorithm names a Search.
type Algorithm uint8

// The algorithms.
const (
	Auto         Algorithm = iota // CMA-ES that watches for jumps and noise
	CMA                           // CMA-ES (Hansen 2016), Cholesky factors (Krause, Arbonès, Igel 2016)
	SPSADecaying                  // Spall's gains
	SPSAConstant                  // constant gains
	NES                           // antithetic evolution strategy with a fixed spread (Salimans et al. 2017)
	PBT                           // PBT-lite: a small population, the worst copies the best and is perturbed
	algorithmCount
)

func (a Algorithm) String() string {
	names := [...]string{"auto", "cma", "spsa", "spsa constant", "nes", "pbt"}
	if int(a) >= len(names) {
		return fmt.Sprintf("algorithm %d", a)
	}
	return names[a]
}

// KnobsMax bounds the knobs that one search moves.
const KnobsMax = 256

// NewSearch starts a search at a point of the unit cube.
func NewSearch(a Algorithm, seed uint64, start []float64) (Search, error) {
	d := len(start)
	if d < 1 || d > KnobsMax {
		return nil, fmt.Errorf("search: %d knobs: want 1 to %d", d, KnobsMax)
	}
	for i, v := range start {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("search: knob %d starts at %v: want 0 to 1", i, v)
		}
	}
	switch a {
	case Auto, CMA:
		return newCMA(seed, start, a == Auto), nil
	case SPSADecaying, SPSAConstant:
		ranges := make([]Range, d)
		for i := range ranges {
			ranges[i] = Range{Min: 0, Max: 1, StepMax: 1}
		}
		s, err := NewSPSA(SPSAConfig{Seed: seed, Constant: a == SPSAConstant}, ranges, start)
		if err != nil {
			return nil, err
		}
		return &spsaSearch{spsa: s}, nil
	case NES:
		return newNES(seed, start), nil
	case PBT:
		return newPBT(seed, start), nil
	case algorithmCount:
	}
	return nil, fmt.Errorf("search: %v", a)
}

// spsaSearch asks SPSA's questions.
type spsaSearch struct {
	spsa *SPSA
	at   []float64
}

func (s *spsaSearch) Ask() []float64 {
	s.at = s.spsa.Ask()
	return s.at
}

func (s *spsaSearch) Tell(loss float64) { s.spsa.Tell(s.at, loss) }

func (s *spsaSearch) Best() []float64 { return s.spsa.Theta() }

// nes is an antithetic evolution strategy: pairs m ± σε, ranked, with
// momentum. Its spread is fixed, so it never stops looking around.
type nes struct {
	seed       uint64
	mean, step []float64
	half       int // pairs a generation
	asked      int
	generation uint64
	loss       []float64
}

const (
	nesSigma = .04
	nesRate  = .05
)

func newNES(seed uint64, start []float64) *nes {
	half := 2 + int(1.5*math.Log(float64(len(start))+1))
	return &nes{seed: seed, mean: slices.Clone(start), step: make([]float64, len(start)), half: half}
}

func (s *nes) noise(pair, i int) float64 {
	return Normal(s.seed, s.generation, uint64(pair), uint64(i))
}

func (s *nes) Ask() []float64 {
	out := slices.Clone(s.mean)
	sign := 1 - 2*float64(s.asked%2)
	for i := range out {
		out[i] = min(max(out[i]+float64(sign*nesSigma*s.noise(s.asked/2, i)), 0), 1)
	}
	return out
}

func (s *nes) Tell(loss float64) {
	if !usable(loss) {
		loss = lossMax
	}
	s.loss = append(s.loss, loss)
	if s.asked++; s.asked < 2*s.half {
		return
	}
	u := utilities(s.loss)
	for i := range s.mean {
		g := 0.0
		for p := range s.half {
			g += float64((u[2*p] - u[2*p+1]) * s.noise(p, i))
		}
		s.step[i] = float64(.7*s.step[i]) + g*nesRate/math.Sqrt(float64(s.half))
		s.mean[i] = min(max(s.mean[i]+s.step[i], 0), 1)
	}
	s.asked, s.loss = 0, s.loss[:0]
	s.generation++
}

func (s *nes) Best() []float64 { return slices.Clone(s.mean) }

// utilities are centred ranks, the least loss at +½; equal losses share.
func utilities(loss []float64) []float64 {
	out := make([]float64, len(loss))
	for i, a := range loss {
		rank := 0.0
		for _, b := range loss {
			if b > a {
				rank++
			} else if b == a {
				rank += .5
			}
		}
		out[i] = rank/float64(len(loss)) - .5
	}
	return out
}

// pbt keeps a few points and their own spreads; each round the worst becomes a
// perturbed copy of the best (after Jaderberg et al. 2017).
type pbt struct {
	seed    uint64
	members []member
	turn    int
	round   uint64
}

type member struct {
	at    []float64
	sigma float64
	loss  float64
}

const pbtMembers = 8

func newPBT(seed uint64, start []float64) *pbt {
	p := &pbt{seed: seed, members: make([]member, pbtMembers)}
	for k := range p.members {
		p.members[k] = member{at: slices.Clone(start), sigma: .1 * math.Pow(.6, float64(k%4)), loss: lossMax}
		if k > 0 {
			p.perturb(k)
		}
	}
	return p
}

func (p *pbt) perturb(k int) {
	m := &p.members[k]
	for i := range m.at {
		m.at[i] = min(max(m.at[i]+float64(m.sigma*Normal(p.seed, p.round, uint64(k), uint64(i))), 0), 1)
	}
}

func (p *pbt) Ask() []float64 { return slices.Clone(p.members[p.turn].at) }

func (p *pbt) Tell(loss float64) {
	if !usable(loss) {
		loss = lossMax
	}
	p.members[p.turn].loss = loss
	if p.turn++; p.turn < len(p.members) {
		return
	}
	p.turn = 0
	p.round++
	order := make([]int, len(p.members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compare(p.members[a].loss, p.members[b].loss) })
	const half = pbtMembers / 2
	for i := range half { // the better half stays and is measured again
		from, k := &p.members[order[i]], order[half+i]
		factor := 1.25
		if Sign(p.seed, p.round, uint64(k)) < 0 {
			factor = .8
		}
		p.members[k] = member{at: slices.Clone(from.at), sigma: min(max(from.sigma*factor, 1e-4), .3), loss: lossMax}
		p.perturb(k)
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (p *pbt) Best() []float64 {
	best := 0
	for k := range p.members {
		if p.members[k].loss < p.members[best].loss {
			best = k
		}
	}
	return slices.Clone(p.members[best].at)
}
