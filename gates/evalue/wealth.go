package evalue

import "math"

// stake is the largest share of the wealth that one bet risks.
const stake = .98

// component is one strategy of the mixture: it bets for a shift of reach times
// the one to be found, under the model with the scale times wide.
type component struct {
	weight, reach, wide, nu float64 // nu 0: the fitted tails
}

// components: most of the wealth follows the fitted model at the smallest
// effect of interest, where samples are dearest; the rest insures against
// larger effects, a wrong scale and wrong tails.
var components = [...]component{
	{.76, 1, 1, 0},
	{.08, 2, 1, 0},
	{.08, 1, 1.6, 1},
	{.08, 1, .5, 3},
}

// wealth is the mixture of the components, each as mantissa and log.
type wealth struct {
	w    [len(components)]float64
	logs [len(components)]float64
}

func newWealth() wealth {
	var k wealth
	for j, c := range components {
		k.w[j] = c.weight
	}
	return k
}

// bet multiplies: x > 0 speaks for the claim, shift is what is looked for.
func (k *wealth) bet(m Model, x, shift float64) {
	for j, c := range components {
		g := .5 * sign(x)
		if m.Scale > 0 {
			own := Model{Nu: m.Nu, Scale: m.Scale * c.wide}
			if c.nu > 0 {
				own.Nu = c.nu
			}
			g = own.gain(x, float64(c.reach*shift))
		}
		w := k.w[j] * (1 + float64(stake*g))
		if w > 1e100 || w < 1e-100 {
			k.logs[j] += math.Log(w)
			w = 1
		}
		k.w[j] = w
	}
}

func (k *wealth) log() float64 {
	plain, sum := true, 0.0
	for j, w := range k.w {
		plain = plain && k.logs[j] == 0
		sum += w
	}
	if plain {
		return math.Log(sum)
	}
	var logs [len(components)]float64
	for j, w := range k.w {
		logs[j] = k.logs[j] + math.Log(w)
	}
	return logSumExp(logs[:])
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// scale multiplies the wealth.
func (k *wealth) scale(by float64) {
	for j := range k.w {
		k.w[j] *= by
	}
}

// enter adds fresh wealth, spread over the components as at the start. What
// had been lost beyond the range of a float is lost.
func (k *wealth) enter(w float64) {
	for j, c := range components {
		if k.logs[j] < 0 {
			k.w[j] *= math.Exp(k.logs[j])
			k.logs[j] = 0
		}
		k.w[j] += float64(w*c.weight) * math.Exp(-k.logs[j])
	}
}

// restart lifts every component that has less than it started with back to
// that.
func (k *wealth) restart() {
	for j, c := range components {
		if math.Log(k.w[j])+k.logs[j] < math.Log(c.weight) {
			k.w[j], k.logs[j] = c.weight, 0
		}
	}
}
