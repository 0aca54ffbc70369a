package adapt

import "math"

// features are what a point multiplies the coefficients by.
func (s *surface) features(at []float64) {
	d := len(s.Mean)
	for i := range d {
		v := (at[i] - s.Anchor[i]) / surfaceUnit
		s.phi[i], s.phi[d+i] = v, v*v/2
		for j := 0; s.full() && j < i; j++ {
			s.phi[s.cross(i, j)] = v * s.phi[j]
		}
	}
	s.phi[len(s.phi)-1] = 1
}

// learn is a step of a Kalman filter. False: too many surprises, and the last
// was not learned from.
func (s *surface) learn(at []float64, y float64) bool {
	s.features(at)
	phi, k := s.phi, s.k
	clear(k)
	for i, f := range phi { // P·φ
		row := s.P[i*(i+1)/2 : i*(i+1)/2+i+1]
		k[i] = dot(row, phi[:i+1])
		addScaled(k[:i], f, row[:i])
	}
	w := max(dot(k, phi), 0)
	e := y - dot(s.Theta, phi)
	v := w + max(s.Noise, surfaceExact*w, 1e-30)
	if over := e * e / v; over > 9 && s.Asked-s.Opened < uint64(len(k)/4) { // what was taken for likely at first was too small
		f := min(over/4, 100)
		for i := range s.P {
			s.P[i] *= f
		}
		for i := range k {
			k[i] *= f
		}
		v += (f - 1) * w
	}
	z := min(e*e/v, 9)
	s.Surprise = max(0, s.Surprise+z-surfaceSlack)
	if s.Surprise >= surfaceAlarm {
		return false
	}
	s.Wander = min(max(s.Wander*math.Exp(surfaceAdapt*(z-1)), surfaceSteady), surfaceFast)
	if e > 0 && z > 4 {
		s.Trust = max(s.Trust*surfaceShrink, surfaceDoubt)
	} else {
		s.Trust = min(s.Trust*surfaceGrow, 1)
	}
	v = max(v, e*e/9)
	for i := range k {
		f := k[i] / v
		s.Theta[i] += float64(f * e)
		addScaled(s.P[i*(i+1)/2:i*(i+1)/2+i+1], -f, k[:i+1])
	}
	return true
}

// addScaled adds f·b to a.
func addScaled(a []float64, f float64, b []float64) {
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		x[0] += float64(f * y[0])
		x[1] += float64(f * y[1])
		x[2] += float64(f * y[2])
		x[3] += float64(f * y[3])
	}
	for ; i < len(a); i++ {
		a[i] += float64(f * b[i])
	}
}

// reanchor moves the anchor of one knob to the recommended point: the same
// quadratic in other coefficients.
func (s *surface) reanchor(i int) {
	d := len(s.Mean)
	t := (s.Mean[i] - s.Anchor[i]) / surfaceUnit
	if t == 0 {
		return
	}
	s.Anchor[i] = s.Mean[i]
	level := len(s.Theta) - 1
	s.add(level, i, t)
	s.add(level, d+i, t*t/2)
	s.add(i, d+i, t)
	for j := 0; s.full() && j < d; j++ {
		if j != i {
			s.add(j, s.cross(i, j), t)
		}
	}
}

// add adds f times one coefficient to another. Rows of the triangle that lie
// one after the other are added as such.
func (s *surface) add(to, from int, f float64) {
	s.Theta[to] += float64(f * s.Theta[from])
	p, rowTo, rowFrom := s.P, to*(to+1)/2, from*(from+1)/2
	lo, hi := min(to, from), max(to, from)
	p[rowTo+to] += float64(2*f*p[hi*(hi+1)/2+lo]) + float64(f*f*p[rowFrom+from])
	addScaled(p[rowTo:rowTo+lo], f, p[rowFrom:rowFrom+lo])
	if to < from {
		for j, at := to+1, rowTo+2*to+1; j <= from; j++ {
			p[at] += float64(f * p[rowFrom+j])
			at += j + 1
		}
	} else {
		for j, at := from, rowFrom+from; j < to; j++ {
			p[rowTo+j] += float64(f * p[at])
			at += j + 1
		}
	}
	for j, at := hi+1, (hi+1)*(hi+2)/2; j < len(s.Theta); j++ {
		p[at+to] += float64(f * p[at+from])
		at += j + 1
	}
}

// move sets the recommended point to the least of the quadratic, a stride away
// at most. The anchor follows, a few knobs a question.
func (s *surface) move() {
	d := len(s.Mean)
	curve, least := s.curves()
	s.descend(least)
	norm := 0.0
	for i, m := range s.Mean {
		s.step[i] = min(max(m+float64(surfaceUnit*s.step[i]), 0), 1) - m
		norm += s.step[i] * s.step[i]
	}
	norm = math.Sqrt(norm/float64(d)) / surfaceUnit
	share, moved := min(1, surfaceStride*s.Trust/max(norm, 1e-300)), 0.0
	for i, m := range s.Mean {
		by := min(max(s.step[i]*share, -s.Step[i]/3), s.Step[i]/3)
		s.Mean[i] = min(max(m+by, 0), 1)
		moved += by * by
	}
	for range 1 + d/8 {
		s.reanchor(s.Turn)
		s.Turn = (s.Turn + 1) % d
	}
	if !s.wander(curve, least, math.Sqrt(moved)/surfaceUnit) {
		s.restart()
	}
}

// wander makes the coefficients less certain, by the time that went by and by
// the distance that the point moved: another place has other slopes. False: the
// numbers are too large to go on with.
func (s *surface) wander(curve, least, far float64) bool {
	d, ok := len(s.Mean), true
	bend := surfaceBend * surfaceBend * curve * curve
	path := bend * far / math.Sqrt(float64(d))
	slope, diagonal := path*surfaceBend*surfaceBend*far/math.Sqrt(float64(d)), path+bend*far*far/float64(d)
	if s.full() {
		diagonal = path
	} else {
		slope += bend * far * far
	}
	for i := range s.Theta {
		v := s.variance(i)
		switch {
		case i < d:
			h := max(s.Theta[d+i], least) * s.Wander
			*v = max(*v, 0) + float64(h*h) + slope
		case i < 2*d:
			h := max(s.Theta[i], least) * s.Wander * surfaceMemory
			*v = max(*v, 0) + float64(h*h) + diagonal
		case i < len(s.Theta)-1:
			h := curve * s.Wander * surfaceMemory * surfaceCross
			*v = max(*v, 0) + float64(h*h) + surfaceCross*surfaceCross*path
		}
		ok = ok && *v < surfaceMost && math.Abs(s.Theta[i]) < surfaceMost
	}
	return ok
}

// descend sets step to where the quadratic is least, in surfaceUnit from the
// recommended point. Where it has no least point, curvature is added until it
// has (Levenberg 1944).
func (s *surface) descend(least float64) {
	d := len(s.Mean)
	away := s.phi[:d]
	for i, m := range s.Mean {
		away[i] = (m - s.Anchor[i]) / surfaceUnit
	}
	for i, v := range away {
		s.slope[i] = s.Theta[i] + float64(s.Theta[d+i]*v)
		for j := 0; s.full() && j < d; j++ {
			if j != i {
				s.slope[i] += float64(s.Theta[s.cross(i, j)] * away[j])
			}
		}
	}
	if !s.full() {
		for i, g := range s.slope {
			s.step[i] = -g / max(s.Theta[d+i], least)
		}
		return
	}
	for more := 0.0; !s.newton(more, least); more = max(4*more, least) {
		if more > surfaceMost {
			clear(s.step)
			return
		}
	}
}

// newton solves (H + more·I)·step = −slope by a Cholesky factor, whose squared
// diagonal must not be below least.
func (s *surface) newton(more, least float64) bool {
	d, a := len(s.Mean), s.hess
	for i := range d {
		for j := range i + 1 {
			v := s.Theta[d+i] + more
			if j < i {
				v = s.Theta[s.cross(i, j)]
			}
			v -= dot(a[i*d:i*d+j], a[j*d:j*d+j])
			if j < i {
				a[i*d+j] = v / a[j*d+j]
				continue
			}
			if !(v >= least) {
				return false
			}
			a[i*d+i] = math.Sqrt(v)
		}
	}
	for i := range d {
		s.step[i] = (-s.slope[i] - dot(a[i*d:i*d+i], s.step[:i])) / a[i*d+i]
	}
	for i := d - 1; i >= 0; i-- {
		v := s.step[i]
		for j := i + 1; j < d; j++ {
			v -= float64(a[j*d+i] * s.step[j])
		}
		s.step[i] = v / a[i*d+i]
	}
	return true
}
