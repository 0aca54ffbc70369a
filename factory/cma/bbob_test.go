package cma

// The 24 noiseless BBOB functions, from their published definitions: N. Hansen,
// S. Finck, R. Ros, A. Auger, "Real-Parameter Black-Box Optimization
// Benchmarking 2009: Noiseless Functions Definitions", INRIA RR-6829. The
// optimal value is 0; instances draw optimum and rotations from a seed of our
// own, so they are of the same families as COCO's, not the same numbers.

import (
	"math"
	"math/rand/v2"

	"github.com/arqon/arqon/internal/seed"
)

// bbob is one instance of one function.
type bbob struct {
	id, n int
	xopt  []float64
	r, q  [][]float64
	peaks []peak
	f     func(b *bbob, x []float64) float64
}

type peak struct {
	y, c []float64 // place, diagonal of C
	ry   []float64 // the place, turned
	w    float64
}

func (b *bbob) eval(x []float64) float64 { return b.f(b, x) }

func newBBOB(id, n int, instance uint64) *bbob {
	rng := seed.Stream(seed.Root(instance), "bbob", uint64(id), uint64(n))
	b := &bbob{id: id, n: n, r: rotation(n, rng), q: rotation(n, rng), f: bbobFunctions[id-1]}
	b.xopt = make([]float64, n)
	for i := range b.xopt {
		b.xopt[i] = -4 + 8*rng.Float64()
	}
	signs := make([]float64, n)
	for i := range signs {
		signs[i] = 1 - 2*float64(rng.IntN(2))
	}
	switch id {
	case 4:
		for i := 0; i < n; i += 2 {
			b.xopt[i] = math.Abs(b.xopt[i])
		}
	case 5:
		b.place(signs, 5)
	case 8:
		for i := range b.xopt {
			b.xopt[i] *= .75
		}
	case 20:
		b.place(signs, 4.2096874633/2)
	case 21:
		b.gallagher(101, 1000, 5, rng)
	case 22:
		b.gallagher(21, 1000*1000, 4.9, rng)
	case 24:
		b.place(signs, 2.5/2)
	}
	return b
}

func (b *bbob) place(signs []float64, at float64) {
	for i := range b.xopt {
		b.xopt[i] = at * signs[i]
	}
}

func (b *bbob) gallagher(peaks int, alpha1, half float64, rng *rand.Rand) {
	order := rng.Perm(peaks - 1)
	for i := range peaks {
		p := peak{y: make([]float64, b.n), c: make([]float64, b.n), w: 10}
		alpha := alpha1
		if i > 0 {
			p.w = 1.1 + 8*float64(i-1)/float64(peaks-2)
			alpha = math.Pow(1000, 2*float64(order[i-1])/float64(peaks-2))
		}
		for k, j := range rng.Perm(b.n) {
			p.c[k] = math.Pow(alpha, .5*ramp(j, b.n)) / math.Pow(alpha, .25)
		}
		for k := range p.y {
			p.y[k] = half * (2*rng.Float64() - 1)
			if i == 0 {
				p.y[k] *= .8
			}
		}
		p.ry = turn(b.r, p.y)
		b.peaks = append(b.peaks, p)
	}
	b.xopt = b.peaks[0].y
}

// rotation is an orthogonal matrix: Gram-Schmidt of normal draws.
func rotation(n int, rng *rand.Rand) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range m[i] {
			m[i][j] = rng.NormFloat64()
		}
		for k := range i {
			var dot float64
			for j := range n {
				dot += m[i][j] * m[k][j]
			}
			for j := range n {
				m[i][j] -= dot * m[k][j]
			}
		}
		var norm float64
		for _, v := range m[i] {
			norm += v * v
		}
		for j := range m[i] {
			m[i][j] /= math.Sqrt(norm)
		}
	}
	return m
}

func ramp(i, n int) float64 { return float64(i) / float64(max(1, n-1)) }

func (b *bbob) shifted(x []float64) []float64 {
	z := make([]float64, b.n)
	for i := range z {
		z[i] = x[i] - b.xopt[i]
	}
	return z
}

func turn(m [][]float64, x []float64) []float64 {
	z := make([]float64, len(x))
	for i, row := range m {
		for j, v := range row {
			z[i] += v * x[j]
		}
	}
	return z
}

// lambda multiplies with Λ^α in place.
func lambda(alpha float64, z []float64) []float64 {
	for i := range z {
		z[i] *= math.Pow(alpha, .5*ramp(i, len(z)))
	}
	return z
}

func osz1(x float64) float64 {
	if x == 0 {
		return 0
	}
	l, c1, c2 := math.Log(math.Abs(x)), 10., 7.9
	if x < 0 {
		c1, c2 = 5.5, 3.1
	}
	return math.Copysign(math.Exp(l+.049*(math.Sin(c1*l)+math.Sin(c2*l))), x)
}

func osz(z []float64) []float64 {
	for i := range z {
		z[i] = osz1(z[i])
	}
	return z
}

func asy(beta float64, z []float64) []float64 {
	for i, v := range z {
		if v > 0 {
			z[i] = math.Pow(v, 1+beta*ramp(i, len(z))*math.Sqrt(v))
		}
	}
	return z
}

func pen(x []float64) float64 {
	var s float64
	for _, v := range x {
		d := math.Max(0, math.Abs(v)-5)
		s += d * d
	}
	return s
}

func sumSquares(z []float64) float64 {
	var s float64
	for _, v := range z {
		s += v * v
	}
	return s
}

func waves(z []float64) float64 {
	s := float64(len(z))
	for _, v := range z {
		s -= math.Cos(2 * math.Pi * v)
	}
	return 10 * s
}

func ellipse(cond float64, z []float64) float64 {
	var s float64
	for i, v := range z {
		s += math.Pow(cond, ramp(i, len(z))) * v * v
	}
	return s
}

func rosen(z []float64) float64 {
	var s float64
	for i := range len(z) - 1 {
		a, b := z[i]*z[i]-z[i+1], z[i]-1
		s += 100*a*a + b*b
	}
	return s
}

// stretch is z = max(1, √n/8)·R·x + ½ of f9 and f19.
func (b *bbob) stretch(x []float64) []float64 {
	z := turn(b.r, x)
	for i := range z {
		z[i] = math.Max(1, math.Sqrt(float64(b.n))/8)*z[i] + .5
	}
	return z
}

func schaffer(alpha float64) func(b *bbob, x []float64) float64 {
	return func(b *bbob, x []float64) float64 {
		z := lambda(alpha, turn(b.q, asy(.5, turn(b.r, b.shifted(x)))))
		var s float64
		for i := range len(z) - 1 {
			r := math.Sqrt(math.Hypot(z[i], z[i+1]))
			w := math.Sin(50 * math.Pow(r, .4)) // s^(1/5) = (√s)^(2/5)
			s += r + r*w*w
		}
		s /= float64(len(z) - 1)
		return s*s + 10*pen(x)
	}
}

func gallagher(b *bbob, x []float64) float64 {
	best := 0.
	rx := turn(b.r, x)
	for _, p := range b.peaks {
		var e float64
		for i := range rx {
			d := rx[i] - p.ry[i]
			e += p.c[i] * d * d
		}
		best = math.Max(best, p.w*math.Exp(-e/(2*float64(b.n))))
	}
	v := osz1(10 - best)
	return v*v + pen(x)
}

var bbobFunctions = []func(b *bbob, x []float64) float64{
	func(b *bbob, x []float64) float64 { return sumSquares(b.shifted(x)) },        // f1 sphere
	func(b *bbob, x []float64) float64 { return ellipse(1e6, osz(b.shifted(x))) }, // f2
	func(b *bbob, x []float64) float64 {
		z := lambda(10, asy(.2, osz(b.shifted(x))))
		return waves(z) + sumSquares(z)
	}, // f3
	bucheRastrigin, // f4
	linearSlope,    // f5
	func(b *bbob, x []float64) float64 { // f6 attractive sector
		z := turn(b.q, lambda(10, turn(b.r, b.shifted(x))))
		var s float64
		for i, v := range z {
			if v*b.xopt[i] > 0 {
				v *= 100
			}
			s += v * v
		}
		return math.Pow(osz1(s), .9)
	},
	stepEllipsoid, // f7
	func(b *bbob, x []float64) float64 { // f8 Rosenbrock
		z := b.shifted(x)
		for i := range z {
			z[i] = math.Max(1, math.Sqrt(float64(b.n))/8)*z[i] + 1
		}
		return rosen(z)
	},
	func(b *bbob, x []float64) float64 { return rosen(b.stretch(x)) },                        // f9
	func(b *bbob, x []float64) float64 { return ellipse(1e6, osz(turn(b.r, b.shifted(x)))) }, // f10
	func(b *bbob, x []float64) float64 { // f11 discus
		z := osz(turn(b.r, b.shifted(x)))
		return 1e6*z[0]*z[0] + sumSquares(z[1:])
	},
	func(b *bbob, x []float64) float64 { // f12 bent cigar
		z := turn(b.r, asy(.5, turn(b.r, b.shifted(x))))
		return z[0]*z[0] + 1e6*sumSquares(z[1:])
	},
	func(b *bbob, x []float64) float64 { // f13 sharp ridge
		z := turn(b.q, lambda(10, turn(b.r, b.shifted(x))))
		return z[0]*z[0] + 100*math.Sqrt(sumSquares(z[1:]))
	},
	func(b *bbob, x []float64) float64 { // f14 different powers
		var s float64
		for i, v := range turn(b.r, b.shifted(x)) {
			s += math.Pow(math.Abs(v), 2+4*ramp(i, b.n))
		}
		return math.Sqrt(s)
	},
	func(b *bbob, x []float64) float64 { // f15 Rastrigin
		z := turn(b.r, lambda(10, turn(b.q, asy(.2, osz(turn(b.r, b.shifted(x)))))))
		return waves(z) + sumSquares(z)
	},
	weierstrass,    // f16
	schaffer(10),   // f17
	schaffer(1000), // f18
	func(b *bbob, x []float64) float64 { // f19 Griewank-Rosenbrock
		z := b.stretch(x)
		var s float64
		for i := range len(z) - 1 {
			v := rosen(z[i : i+2])
			s += v/4000 - math.Cos(v)
		}
		return 10*s/float64(len(z)-1) + 10
	},
	schwefel, gallagher, gallagher, katsuura, lunacek, // f20–f24
}

func bucheRastrigin(b *bbob, x []float64) float64 {
	z := osz(b.shifted(x))
	for i, v := range z {
		s := math.Pow(10, .5*ramp(i, b.n))
		if v > 0 && i%2 == 0 {
			s *= 10
		}
		z[i] = s * v
	}
	return waves(z) + sumSquares(z) + 100*pen(x)
}

func linearSlope(b *bbob, x []float64) float64 {
	var f float64
	for i, v := range x {
		if b.xopt[i]*v >= 25 {
			v = b.xopt[i]
		}
		s := math.Copysign(math.Pow(10, ramp(i, b.n)), b.xopt[i])
		f += 5*math.Abs(s) - s*v
	}
	return f
}

func stepEllipsoid(b *bbob, x []float64) float64 {
	z := lambda(10, turn(b.r, b.shifted(x)))
	first := math.Abs(z[0])
	for i, v := range z {
		if math.Abs(v) > .5 {
			z[i] = math.Floor(.5 + v)
		} else {
			z[i] = math.Floor(.5+10*v) / 10
		}
	}
	return .1*math.Max(first/1e4, ellipse(100, turn(b.q, z))) + pen(x)
}

func weierstrass(b *bbob, x []float64) float64 {
	z := turn(b.r, lambda(.01, turn(b.q, osz(turn(b.r, b.shifted(x))))))
	var s, f0 float64
	for k := range 12 {
		half, three := math.Pow(.5, float64(k)), math.Pow(3, float64(k))
		f0 += half * math.Cos(math.Pi*three)
		for _, v := range z {
			s += half * math.Cos(2*math.Pi*three*(v+.5))
		}
	}
	n := float64(b.n)
	return 10*math.Pow(math.Max(0, s/n-f0), 3) + 10/n*pen(x)
}

func schwefel(b *bbob, x []float64) float64 {
	n := b.n
	hat, z := make([]float64, n), make([]float64, n)
	for i := range hat {
		hat[i] = 2 * math.Copysign(1, b.xopt[i]) * x[i]
	}
	for i := range z {
		z[i] = hat[i]
		if i > 0 {
			z[i] += .25 * (hat[i-1] - 2*math.Abs(b.xopt[i-1]))
		}
	}
	for i := range z {
		two := 2 * math.Abs(b.xopt[i])
		z[i] = 100 * (math.Sqrt(math.Pow(10, ramp(i, n)))*(z[i]-two) + two)
	}
	var s float64
	for i, v := range z {
		s += v * math.Sin(math.Sqrt(math.Abs(v)))
		z[i] = v / 100
	}
	return math.Max(0, 4.189828872724339-s/(100*float64(n))) + 100*pen(z)
}

func katsuura(b *bbob, x []float64) float64 {
	z := turn(b.q, lambda(100, turn(b.r, b.shifted(x))))
	n := float64(b.n)
	product := 1.
	for i, v := range z {
		var s float64
		for j := 1; j <= 32; j++ {
			two := float64(uint64(1) << j)
			s += math.Abs(two*v-math.Round(two*v)) / two
		}
		product *= math.Pow(1+float64(i+1)*s, 10/math.Pow(n, 1.2))
	}
	return 10/(n*n)*product - 10/(n*n) + pen(x)
}

func lunacek(b *bbob, x []float64) float64 {
	n := float64(b.n)
	s := 1 - 1/(2*math.Sqrt(n+20)-8.2)
	mu0 := 2.5
	mu1 := -math.Sqrt((mu0*mu0 - 1) / s)
	z := make([]float64, b.n)
	var near, far float64
	for i := range z {
		hat := 2 * math.Copysign(1, b.xopt[i]) * x[i]
		near += (hat - mu0) * (hat - mu0)
		far += (hat - mu1) * (hat - mu1)
		z[i] = hat - mu0
	}
	z = turn(b.q, lambda(100, turn(b.r, z)))
	return math.Min(near, n+s*far) + waves(z) + 1e4*pen(x)
}
