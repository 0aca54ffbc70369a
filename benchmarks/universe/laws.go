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
			{"feed", .01, .1, .037}, {"kill", .03, .075, .06}, {"diffusion_u", .05, .24, .16}, {"diffusion_v", .02, .12, .08}, {"dt", .1, 1, 1},
		},
	}
}

// NoisyGrayScott is Gray-Scott whose v grows and shrinks by chance in each cell
// and step, and whose reaction has a strength:
//
//	u' = u + dt (Du ∇²u − gain u v² + F (1 − u))
//	v' = v + dt (Dv ∇²v + gain u v² − (F + k) v) + noise v ξ
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
	l.Channels[0].Next = add(u, mul(knob(dt), du))
	l.Channels[1].Next = add(add(v, mul(knob(dt), dv)), mul(v, mul(knob(strength), noise(0))))
	l.Knobs = append(l.Knobs, LawKnob{"noise", 0, 1, .1}, LawKnob{"gain", .8, 1.2, 1})
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
			{"diffusion", .05, 1, .5}, {"gain", .5, 1.5, 1}, {"epsilon", .005, .1, .04}, {"gamma", .2, 1.5, .5}, {"beta", -.3, .3, .05}, {"dt", .02, .25, .2},
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
			{"centre", .1, .5, .3}, {"sharpness", 1, 7, 3}, {"dt", .02, .3, .1}, {"diffusion", 0, .2, .05},
		},
	}
}
