package universe

// Laws are the built-in laws, by name in a fixed order.
func Laws() []Law { return []Law{GrayScott(), FitzHughNagumo(), Growth(), NoisyGrayScott()} }

// GrayScott is the reaction U + 2V → 3V with feed and kill (Pearson, Science
// 261, 1993):
//
//	u' = u + dt (Du ∇²u − u v² + F (1 − u))
//	v' = v + dt (Dv ∇²v + u v² − (F + k) v)
func GrayScott() Law {
	const feed, kill, diffU, diffV, dt = 0, 1, 2, 3, 4
	u, v := cell(0), cell(1)
	uvv := mul(mul(u, v), v)
	du := add(sub(mul(knob(diffU), lap(0)), uvv), mul(knob(feed), sub(constant(1), u)))
	dv := sub(add(mul(knob(diffV), lap(1)), uvv), mul(add(knob(feed), knob(kill)), v))
	return Law{
		Name: "gray-scott", Start: Spots,
		Channels: []Channel{
			{Name: "u", Min: 0, Max: 1, Next: add(u, mul(knob(dt), du))},
			{Name: "v", Min: 0, Max: 1, Next: add(v, mul(knob(dt), dv))},
		},
		Knobs: []LawKnob{
			{Name: "feed", Min: .01, Max: .1, Default: .037}, {Name: "kill", Min: .03, Max: .075, Default: .06}, {Name: "diffusion_u", Min: .05, Max: .24, Default: .16}, {Name: "diffusion_v", Min: .02, Max: .12, Default: .08}, {Name: "dt", Min: .1, Max: 1, Default: 1},
		},
	}
}

// NoisyGrayScott is Gray-Scott whose v grows and shrinks by chance in each cell
// and step, and whose reaction has a strength:
//
//	u' = clip(u + dt (Du ∇²u − gain u v² + F (1 − u)), 0, 1)
//	v' = clip(v + dt (Dv ∇²v + gain u v² − (F + k) v) + noise v ξ, 0, 1)
//
// with ξ from (−1, 1), see Draw. Where there is no v nothing begins of itself.
func NoisyGrayScott() Law {
	const feed, kill, diffU, diffV, dt, strength, gain = 0, 1, 2, 3, 4, 5, 6
	l := GrayScott()
	u, v := cell(0), cell(1)
	uvv := mul(knob(gain), mul(mul(u, v), v))
	du := add(sub(mul(knob(diffU), lap(0)), uvv), mul(knob(feed), sub(constant(1), u)))
	dv := sub(add(mul(knob(diffV), lap(1)), uvv), mul(add(knob(feed), knob(kill)), v))
	l.Name = "noisy-gray-scott"
	l.Channels[0].Next = clamp(add(u, mul(knob(dt), du)), 0, 1)
	l.Channels[1].Next = clamp(add(add(v, mul(knob(dt), dv)), mul(v, mul(knob(strength), noise(0)))), 0, 1)
	l.Knobs = append(l.Knobs, LawKnob{Name: "noise", Min: 0, Max: .4, Default: .1, Reach: 1}, LawKnob{Name: "gain", Min: .9, Max: 1.1, Default: 1})
	return l
}

// FitzHughNagumo is an excitable medium (FitzHugh 1961, Nagumo 1962):
//
//	u' = u + dt (D ∇²u + gain (u − u³) − w)
//	w' = w + dt ε (u − γ w + β)
func FitzHughNagumo() Law {
	const diff, gain, epsilon, gamma, beta, dt = 0, 1, 2, 3, 4, 5
	u, w := cell(0), cell(1)
	reaction := mul(knob(gain), sub(u, mul(mul(u, u), u)))
	du := sub(add(mul(knob(diff), lap(0)), reaction), w)
	dw := mul(knob(epsilon), add(sub(u, mul(knob(gamma), w)), knob(beta)))
	return Law{
		Name: "fitzhugh-nagumo", Start: Waves,
		Channels: []Channel{
			{Name: "u", Min: -2, Max: 2, Next: add(u, mul(knob(dt), du))},
			{Name: "w", Min: -2, Max: 2, Next: add(w, mul(knob(dt), dw))},
		},
		Knobs: []LawKnob{
			{Name: "diffusion", Min: .05, Max: 1, Default: .5}, {Name: "gain", Min: .5, Max: 1.5, Default: 1}, {Name: "epsilon", Min: .005, Max: .1, Default: .04}, {Name: "gamma", Min: .2, Max: 1.5, Default: .5}, {Name: "beta", Min: -.3, Max: .3, Default: .05}, {Name: "dt", Min: .02, Max: .25, Default: .2},
		},
	}
}

// Growth is a small relative of Lenia (Chan, Complex Systems 28, 2019): a cell
// grows or shrinks by a bump of the mean of a ring around it,
//
//	g(n) = 2 max(0, 1 − ((n − μ) / 3σ)²)⁴ − 1        (its polynomial growth)
//	x'   = clip(x + dt g(ring(x)), 0, 1)
//
// with the ring two cells away instead of a smooth kernel of radius 13. The
// knob sharpness is 1/(3σ).
func Growth() Law {
	const centre, sharpness, dt, diff = 0, 1, 2, 3
	x := cell(0)
	off := mul(sub(ring(0), knob(centre)), knob(sharpness))
	bump := both(Max, constant(0), sub(constant(1), mul(off, off)))
	square := mul(bump, bump)
	g := sub(mul(constant(2), mul(square, square)), constant(1))
	grown := add(x, add(mul(knob(dt), g), mul(knob(diff), lap(0))))
	return Law{
		Name: "growth", Start: Noise,
		Channels: []Channel{{Name: "x", Min: 0, Max: 1, Next: clamp(grown, 0, 1)}},
		Knobs: []LawKnob{
			{Name: "centre", Min: .1, Max: .5, Default: .3}, {Name: "sharpness", Min: 1, Max: 7, Default: 3}, {Name: "dt", Min: .02, Max: .3, Default: .1}, {Name: "diffusion", Min: 0, Max: .2, Default: .05},
		},
	}
}
