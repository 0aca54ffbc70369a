package suite

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/benchmarks"
)

func sq(x float64) float64 { return x * x }

// term is a part of the excess; it is 0 at the best point.
type term func(benchmarks.Point) float64

func sum(terms []term) term {
	return func(p benchmarks.Point) float64 {
		s := 0.
		for _, t := range terms {
			s += t(p)
		}
		return s
	}
}

// maker adds parameters and terms; every parameter has a target.
type maker struct {
	p     *Problem
	r     *rand.Rand
	terms []term
	n     int
}

func (m *maker) add(q benchmarks.Parameter) string {
	if q.Name == "" {
		q.Name = fmt.Sprintf("p%d", m.n)
	}
	m.n++
	m.p.space.Parameters = append(m.p.space.Parameters, q)
	return q.Name
}

// unit is the distance of a float from its target in units of its range, the
// logarithmic one if log; 0 where it is inactive.
type unit func(benchmarks.Point) float64

// float adds a float and returns its offset from the target.
func (m *maker) float(log bool, when map[string][]any) unit {
	q := benchmarks.Parameter{Kind: benchmarks.Float, Min: 0, Max: 1, When: when}
	at := .1 + .8*m.r.Float64()
	if log {
		q.Min, q.Log = 1e-5, true
	}
	name := m.add(q)
	return func(p benchmarks.Point) float64 {
		v, ok := p[name].(float64)
		if !ok {
			return 0
		}
		if log {
			v = 1 + math.Log10(v)/5
		}
		return v - at
	}
}

func (m *maker) bowl(u unit, weight float64) {
	m.terms = append(m.terms, func(p benchmarks.Point) float64 { return weight * sq(u(p)) })
}

// couple makes two offsets depend on each other.
func (m *maker) couple(a, b unit, weight float64) {
	m.terms = append(m.terms, func(p benchmarks.Point) float64 { return weight * sq(a(p)+b(p)) })
}

// choice adds a categorical whose every wrong choice costs something.
func (m *maker) choice(n int, cost float64, when map[string][]any) (name, right string) {
	q := benchmarks.Parameter{Kind: benchmarks.Categorical, When: when}
	costs := map[string]float64{}
	best := m.r.IntN(n)
	for i := range n {
		c := fmt.Sprintf("c%d", i)
		q.Choices = append(q.Choices, c)
		if i != best {
			costs[c] = cost * (.2 + m.r.Float64())
		}
	}
	name = m.add(q)
	m.terms = append(m.terms, func(p benchmarks.Point) float64 {
		c, _ := p[name].(string)
		return costs[c]
	})
	return name, q.Choices[best]
}

func (m *maker) toggle(cost float64) {
	name := m.add(benchmarks.Parameter{Kind: benchmarks.Bool})
	right := m.r.IntN(2) == 1
	m.terms = append(m.terms, func(p benchmarks.Point) float64 {
		if p[name] == right {
			return 0
		}
		return cost
	})
}

// whole adds a logarithmic integer that is better when it is a multiple.
func (m *maker) whole(align int64, weight, ripple float64) {
	name := m.add(benchmarks.Parameter{Kind: benchmarks.Int, Min: 1, Max: 4096, Log: true})
	at := float64(align) * math.Max(1, math.Round(math.Exp2(2+6*m.r.Float64())/float64(align)))
	m.terms = append(m.terms, func(p benchmarks.Point) float64 {
		v, _ := p[name].(int64)
		g := weight * sq(math.Log2(float64(v)/at)/6)
		if v%align != 0 {
			g += ripple
		}
		return g
	})
}

func (m *maker) done() { m.p.excess = sum(m.terms) }

func logFloats(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	var us []unit
	for range 6 + r.IntN(4) {
		u := m.float(true, nil)
		us = append(us, u)
		m.bowl(u, math.Exp2(1+4*r.Float64()))
	}
	for i := 1; i < len(us); i++ {
		m.couple(us[i-1], us[i], 8*r.Float64())
	}
	m.done()
}

func aligned(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	for range 4 {
		m.whole(int64(4<<r.IntN(4)), 6, .3)
	}
	for range 2 {
		m.bowl(m.float(false, nil), 8)
	}
	m.toggle(.8)
	m.toggle(.3)
	m.done()
}

func categorical(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	type pick struct{ name, right string }
	var picks []pick
	for range 6 {
		name, right := m.choice(3+r.IntN(6), 1, nil)
		picks = append(picks, pick{name, right})
	}
	for i := 1; i < len(picks); i++ { // half right is worse than both wrong
		a, b, w := picks[i-1], picks[i], .6*r.Float64()
		m.terms = append(m.terms, func(p benchmarks.Point) float64 {
			if (p[a.name] == a.right) != (p[b.name] == b.right) {
				return w
			}
			return 0
		})
	}
	for range 3 {
		m.bowl(m.float(r.IntN(2) == 0, nil), 6)
	}
	m.done()
}

func conditional(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	const kinds = 4
	name, _ := m.choice(kinds, .8, nil)
	for range 3 {
		m.bowl(m.float(r.IntN(2) == 0, nil), 6)
	}
	for k := range kinds {
		when := map[string][]any{name: {fmt.Sprintf("c%d", k)}}
		a, b := m.float(true, when), m.float(false, when)
		m.bowl(a, 8)
		m.bowl(b, 8)
		m.couple(a, b, 6)
		sub, right := m.choice(3, .5, when)
		deep := m.float(false, map[string][]any{sub: {right}})
		m.bowl(deep, 5)
	}
	m.done()
}

func ordinal(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	steps := []string{"1", "2", "4", "8", "16", "32", "64", "128", "256"}
	var us []unit
	for range 6 {
		name := m.add(benchmarks.Parameter{Kind: benchmarks.Ordinal, Choices: steps})
		at := 1 + r.IntN(len(steps)-2)
		us = append(us, func(p benchmarks.Point) float64 {
			for i, s := range steps {
				if p[name] == s {
					return float64(i-at) / 8
				}
			}
			return 0
		})
		m.bowl(us[len(us)-1], 6+6*r.Float64())
	}
	// The product of tiles that fit together overflows a cache.
	for i := 0; i+2 < len(us); i += 2 {
		a, b, c := us[i], us[i+1], us[i+2]
		m.terms = append(m.terms, func(p benchmarks.Point) float64 { return 1.5 * math.Max(0, 8*(a(p)+b(p)+c(p))/3) })
		m.couple(a, c, 5)
	}
	m.toggle(.5)
	m.choice(4, .6, nil)
	m.done()
}

func rugged(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	for i := range 7 {
		u := m.float(i%2 == 0, nil)
		m.bowl(u, 6)
		depth, waves := .1+.15*r.Float64(), 3+4*r.Float64()
		m.terms = append(m.terms, func(p benchmarks.Point) float64 { return depth * (1 - math.Cos(2*math.Pi*waves*u(p))) })
	}
	m.choice(4, .6, nil)
	m.done()
}

func heteroscedastic(p *Problem, r *rand.Rand) {
	m := &maker{p: p, r: r}
	loud := m.float(false, nil)
	m.bowl(loud, 8)
	for range 4 {
		u := m.float(true, nil)
		m.bowl(u, 8)
		m.couple(u, loud, 5*r.Float64())
	}
	m.whole(8, 5, .2)
	m.choice(4, .8, nil)
	m.choice(3, .5, nil)
	m.done()
	// The knob that decides the noise is quiet on one side of the best value
	// and loud on the other.
	p.sigma = func(x benchmarks.Point) float64 { return .02 + .08*math.Min(1, math.Max(0, .5+loud(x))) }
}
