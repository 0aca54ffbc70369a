package adapt

import (
	"fmt"
	"math"
	"slices"
)

// Search is one way of moving through the unit cube [0, 1]^d, told one loss a
// question in the order of asking. Its exported fields are its whole state.
type Search interface {
	Ask(out []float64)               // the next point to measure; the same until something is told
	Tell(at []float64, loss float64) // what was lost at the point that was really tried; NaN: not measured
	Best(out []float64)              // the recommended point
	valid(d int) bool                // whether a restored state may be used
}

// Algorithm names a Search.
type Algorithm uint8

// The algorithms.
const (
	Auto         Algorithm = iota // a response surface, and CMA-ES that watches for jumps and noise where that does not fit
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

// newSearch starts a search at a point of the unit cube; step is the most that
// each knob may move at once, in (0, 1].
func newSearch(a Algorithm, seed uint64, start, step []float64) (Search, error) {
	switch a {
	case Auto, CMA:
		return newCMA(seed, start, step, a == Auto), nil
	case SPSADecaying, SPSAConstant:
		return newSPSA(seed, start, step, a == SPSAConstant), nil
	case NES:
		return newNES(seed, start), nil
	case PBT:
		return newPBT(seed, start), nil
	case algorithmCount:
	}
	return nil, fmt.Errorf("search: %v", a)
}

// inCube reports whether x is a point of [0, 1]^d.
func inCube(x []float64, d int) bool {
	for _, v := range x {
		if !(v >= 0 && v <= 1) {
			return false
		}
	}
	return len(x) == d
}

// push appends a copy of a point, into the space of a row that is no longer
// used where there is one.
func push(rows [][]float64, at []float64) [][]float64 {
	n := len(rows)
	if n == cap(rows) {
		return append(rows, slices.Clone(at))
	}
	rows = rows[:n+1]
	rows[n] = append(rows[n][:0], at...)
	return rows
}

// nes is an antithetic evolution strategy: pairs m ± σε, ranked, with
// momentum. Its spread is fixed, so it never stops looking around.
type nes struct {
	Seed       uint64      `json:"seed"`
	Mean       []float64   `json:"mean"`
	Step       []float64   `json:"step"` // of the mean, with momentum
	Generation uint64      `json:"generation"`
	Points     [][]float64 `json:"points"` // in order of asking
	Losses     []float64   `json:"losses"`

	worth []float64 // scratch: utilities
}

const (
	nesSigma = .04
	nesRate  = .05
)

func newNES(seed uint64, start []float64) *nes {
	return &nes{Seed: seed, Mean: slices.Clone(start), Step: make([]float64, len(start))}
}

// pairs a generation.
func (s *nes) pairs() int { return 2 + int(1.5*math.Log(float64(len(s.Mean))+1)) }

func (s *nes) Ask(out []float64) {
	k := len(s.Losses)
	sign := 1 - 2*float64(k%2)
	for i, m := range s.Mean {
		out[i] = min(max(m+float64(sign*nesSigma*Normal(s.Seed, s.Generation, uint64(k/2), uint64(i))), 0), 1)
	}
}

func (s *nes) Tell(at []float64, loss float64) {
	if !usable(loss) {
		loss = lossMax
	}
	s.Points, s.Losses = push(s.Points, at), append(s.Losses, loss)
	n := s.pairs()
	if len(s.Losses) < 2*n {
		return
	}
	s.worth = utilities(s.Losses, s.worth[:0])
	u := s.worth
	for i := range s.Mean {
		g := 0.0
		for p := range n {
			g += float64((u[2*p] - u[2*p+1]) * (s.Points[2*p][i] - s.Points[2*p+1][i]) / (2 * nesSigma))
		}
		s.Step[i] = float64(.7*s.Step[i]) + g*nesRate/math.Sqrt(float64(n))
		s.Mean[i] = min(max(s.Mean[i]+s.Step[i], 0), 1)
	}
	s.Points, s.Losses = s.Points[:0], s.Losses[:0]
	s.Generation++
}

func (s *nes) Best(out []float64) { copy(out, s.Mean) }

func (s *nes) valid(d int) bool {
	ok := inCube(s.Mean, d) && len(s.Step) == d && allUsable(s.Step) && len(s.Points) == len(s.Losses) && len(s.Losses) < 2*s.pairs() && allUsable(s.Losses)
	for _, p := range s.Points {
		ok = ok && inCube(p, d)
	}
	return ok
}

// utilities appends centred ranks, the least loss at +½; equal losses share.
func utilities(loss, out []float64) []float64 {
	for _, a := range loss {
		rank := 0.0
		for _, b := range loss {
			if b > a {
				rank++
			} else if b == a {
				rank += .5
			}
		}
		out = append(out, rank/float64(len(loss))-.5)
	}
	return out
}

// pbt keeps a few points and their own spreads; each round the worst becomes a
// perturbed copy of the best (after Jaderberg et al. 2017).
type pbt struct {
	Seed    uint64   `json:"seed"`
	Members []member `json:"members"`
	Turn    int      `json:"turn"`
	Round   uint64   `json:"round"`
}

type member struct {
	At    []float64 `json:"at"`
	Sigma float64   `json:"sigma"`
	Loss  float64   `json:"loss"`
}

const pbtMembers = 8

func newPBT(seed uint64, start []float64) *pbt {
	p := &pbt{Seed: seed, Members: make([]member, pbtMembers)}
	for k := range p.Members {
		p.Members[k] = member{At: slices.Clone(start), Sigma: .1 * math.Pow(.6, float64(k%4)), Loss: lossMax}
		if k > 0 {
			p.perturb(k)
		}
	}
	return p
}

func (p *pbt) perturb(k int) {
	m := &p.Members[k]
	for i := range m.At {
		m.At[i] = min(max(m.At[i]+float64(m.Sigma*Normal(p.Seed, p.Round, uint64(k), uint64(i))), 0), 1)
	}
}

func (p *pbt) Ask(out []float64) { copy(out, p.Members[p.Turn].At) }

func (p *pbt) Tell(at []float64, loss float64) {
	if !usable(loss) {
		loss = lossMax
	}
	m := &p.Members[p.Turn]
	copy(m.At, at)
	m.Loss = loss
	if p.Turn++; p.Turn < len(p.Members) {
		return
	}
	p.Turn = 0
	p.Round++
	var order [pbtMembers]int
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order[:], func(a, b int) int { return compare(p.Members[a].Loss, p.Members[b].Loss) })
	const half = pbtMembers / 2
	for i := range half { // the better half stays and is measured again
		from, k := &p.Members[order[i]], order[half+i]
		factor := 1.25
		if Sign(p.Seed, p.Round, uint64(k)) < 0 {
			factor = .8
		}
		p.Members[k] = member{At: append(p.Members[k].At[:0], from.At...), Sigma: min(max(from.Sigma*factor, 1e-4), .3), Loss: lossMax}
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

func (p *pbt) Best(out []float64) {
	best := 0
	for k := range p.Members {
		if p.Members[k].Loss < p.Members[best].Loss {
			best = k
		}
	}
	copy(out, p.Members[best].At)
}

func (p *pbt) valid(d int) bool {
	ok := len(p.Members) == pbtMembers && p.Turn >= 0 && p.Turn < pbtMembers
	for _, m := range p.Members {
		ok = ok && inCube(m.At, d) && m.Sigma > 0 && m.Sigma <= .3 && usable(m.Loss)
	}
	return ok
}
