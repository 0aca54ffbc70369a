package evalue

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// bettor is a betting strategy on scores in [−1, 1]: the share to bet next,
// then the score that came.
type bettor interface {
	share(log float64) float64
	saw(g float64)
}

// moments of the past scores, with a prior pair of ±½.
type moments struct{ n, sum, squares float64 }

func (m *moments) saw(g float64) { m.n++; m.sum += g; m.squares += g * g }
func (m *moments) mean() float64 { return m.sum / (m.n + 1) }
func (m *moments) variance() float64 {
	mu := m.mean()
	return (.25 + m.squares - 2*mu*m.sum + m.n*mu*mu) / (m.n + 1)
}

// aGRAPA: Waudby-Smith & Ramdas 2024, eq. 31.
type agrapa struct{ moments }

func (b *agrapa) share(float64) float64 {
	mu := b.mean()
	return max(0, min(.95, mu/(b.variance()+mu*mu)))
}

// ONS: Cutkosky & Orabona 2018, as in Waudby-Smith & Ramdas 2024, app. B.
type ons struct{ lambda, a float64 }

func (b *ons) share(float64) float64 { return max(0, min(.95, b.lambda)) }
func (b *ons) saw(g float64) {
	z := -g / (1 + b.share(0)*g)
	b.a += z * z
	b.lambda = max(0, min(.95, b.lambda-2/(2-math.Log(3))*z/(1+b.a)))
}

// star bets for what is still missing within the pairs that are left, after
// STaR-Bets (Voráček & Orabona 2025): λ = √(2·missing/(left·variance)).
type star struct {
	moments
	bar  float64
	left float64
}

func (b *star) share(log float64) float64 {
	if b.left <= 1 || log >= b.bar {
		return .95
	}
	return max(0, min(.95, math.Sqrt(2*(b.bar-log)/(b.left*(b.squares+.25)/(b.n+1)))))
}
func (b *star) saw(g float64) { b.moments.saw(g); b.left-- }

// plugin is the growth-optimal share on the past scores (Kelly, by bisection).
type plugin struct{ past []float64 }

func (b *plugin) share(float64) float64 {
	lo, hi := 0.0, .95
	for range 20 {
		mid := (lo + hi) / 2
		slope := -.25 * mid / (1 - .25*mid*mid) // the prior pair
		for _, g := range b.past {
			slope += g / (1 + mid*g)
		}
		if slope > 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
func (b *plugin) saw(g float64) { b.past = append(b.past, g) }

// clipped is the distance below 0 on a scale, in [−1, 1]; its sign without one.
func clipped(d, scale float64) float64 {
	if scale <= 0 {
		return -sign(d)
	}
	return max(-1, min(1, -d/scale))
}

// race returns the pair at which each way of betting crosses.
func race(ds []float64, night *Noise, target, bar float64, fixed int) map[string]int {
	out := map[string]int{}
	m, _ := night.Model()
	known := 2 * m.Scale * madOf(m.Nu)
	single := map[string]bettor{
		"aGRAPA": &agrapa{}, "ONS": &ons{lambda: .1}, "STaR": &star{bar: bar, left: float64(fixed)}, "plug-in": &plugin{},
	}
	logs := map[string]float64{}
	grid, mad := newMixture(limitBets[:]), newMixture(limitBets[:])
	own := NewPairs(&Noise{})
	one, mix := 0.0, newWealth()
	mark := func(name string, log float64, at int) {
		if _, done := out[name]; !done && log >= bar {
			out[name] = at
		}
	}
	for i, d := range ds {
		if i >= 5 { // the first pairs only set the scale
			mad.bet(clipped(d, 2*own.SD()))
		}
		own.Add(d)
		mark("grid, own scale", mad.log(), i+1)
		g := clipped(d, known)
		grid.bet(g)
		mark("grid, night's scale", grid.log(), i+1)
		for name, b := range single {
			logs[name] += math.Log1p(b.share(logs[name]) * g)
			b.saw(g)
			mark(name, logs[name], i+1)
		}
		one += math.Log1p(stake * m.gain(-d, target))
		mark("targeted", one, i+1)
		mix.bet(m, -d, target)
		mark("targeted mixture", mix.log(), i+1)
	}
	return out
}

// TestCompareBets prints the table of docs/statistics.md: pairs to show an
// effect of 1½ noises of one sample, to the bar of 200 candidates at 1 %.
//
//	ARQON_BETS=1 go test -count=1 -v -run CompareBets ./gates/evalue
func TestCompareBets(t *testing.T) {
	if os.Getenv("ARQON_BETS") == "" {
		t.Skip("set ARQON_BETS=1: a comparison for people, it takes a minute")
	}
	const paths, pairsMost, target = 1000, 400, .015
	ways := []string{"grid, own scale", "grid, night's scale", "aGRAPA", "ONS", "STaR", "plug-in", "targeted", "targeted mixture"}
	bar := LogBar(200, .01)
	for _, times := range []float64{1, 2} {
		for k, name := range names() {
			r := rand.New(rand.NewPCG(61, uint64(k)))
			sum, found := map[string]int{}, map[string]int{}
			for range paths {
				slot := noises[name](r)
				night := &Noise{}
				past, ds := make([]float64, 64), make([]float64, pairsMost)
				for i := range past {
					past[i] = pairWith(r, slot, 0)
				}
				night.Add(past)
				for i := range ds {
					ds[i] = pairWith(r, slot, -target*times)
				}
				at := race(ds, night, target, bar, 35)
				for _, w := range ways {
					n, ok := at[w]
					if !ok {
						n = pairsMost
					}
					sum[w] += n
					if ok && n <= 60 {
						found[w]++
					}
				}
			}
			line := fmt.Sprintf("| %s, effect ×%g", name, times)
			for _, w := range ways {
				line += fmt.Sprintf(" | %.1f (%.0f %%)", float64(sum[w])/paths, 100*float64(found[w])/paths)
			}
			fmt.Println(line + " |")
		}
	}
}
