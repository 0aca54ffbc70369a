package adapt

// wide is what is known of one arm's weights of features and their products:
// a reward may have a bend, a ridge or a bell over the features, not only a
// slope. There are too many of them to solve for anew after each reward, so
// that the posterior is kept and updated by one rank at a time: after a reward
// (recursive least squares: Plackett 1950), and where the prior of a weight
// changes, one weight at a time.
type wide struct {
	W     []float64 `json:"w"`    // posterior mean, the intercept last
	P     []float64 `json:"p"`    // posterior covariance, packed
	Mean  []float64 `json:"mean"` // of the prior that is in them
	Var   []float64 `json:"var"`
	N     float64   `json:"n"`
	width []float64 // the diagonal of P, side by side
}

const (
	wideDimMax  = 64      // features and products
	wideWorkMax = 1 << 19 // numbers that all arms keep
	wideSweep   = 64      // priors that are looked at after a reward
	wideRenew   = 2       // and changed at most
	wideFit     = 4       // weights whose distribution over arms is learned from a reward
	wideOld     = .1      // share by which a prior may be out of date
)

// wideDim is how many features and products there are of dim features, and the
// intercept; 0: too many, or none.
func wideDim(arms, dim int) int {
	d := dim + dim*(dim+1)/2 + 1
	if dim == 0 || d > wideDimMax || arms*d*d > wideWorkMax {
		return 0
	}
	return d
}

// widen lays out features, the last of them 1, and their products.
func widen(x, out []float64) {
	dim := len(x) - 1
	copy(out, x[:dim])
	k := dim
	for i := range dim {
		for j := range i + 1 {
			out[k] = x[i] * x[j]
			k++
		}
	}
	out[k] = 1
}

func newWide(p *population) wide {
	d := len(p.Mean)
	w := wide{W: make([]float64, d), P: make([]float64, d*(d+1)/2), Mean: make([]float64, d), Var: make([]float64, d), width: make([]float64, d)}
	w.forget(p)
	return w
}

// forget leaves what is true of arms in general.
func (w *wide) forget(p *population) {
	copy(w.W, p.Mean)
	copy(w.Mean, p.Mean)
	copy(w.Var, p.Var)
	copy(w.width, p.Var)
	clear(w.P)
	for i, v := range p.Var {
		w.P[i*(i+3)/2] = v
	}
	w.N = 0
}

// times sets out to P·x and returns xᵀPx.
func (w *wide) times(x, out []float64) float64 {
	k := 0
	clear(out)
	for i, xi := range x {
		row := w.P[k : k+i+1]
		sum := 0.0
		for j, v := range row[:i] {
			sum += float64(v * x[j])
			out[j] += float64(v * xi)
		}
		out[i] += sum + float64(row[i]*xi)
		k += i + 1
	}
	return max(dot(out, x), 0)
}

// square is xᵀPx, two rows at a time.
func (w *wide) square(x []float64) (sum float64) {
	k, i := 0, 0
	for ; i+2 <= len(x); i += 2 {
		r0, r1, h := w.P[k:k+i+1], w.P[k+i+1:k+2*i+3], x[:i]
		r0, r1 = r0[:len(h)+1], r1[:len(h)+2]
		var s0, s1, t0, t1 float64
		j := 0
		for ; j+2 <= len(h); j += 2 {
			v, p, q := h[j:j+2:j+2], r0[j:j+2:j+2], r1[j:j+2:j+2]
			s0 += float64(p[0] * v[0])
			t0 += float64(q[0] * v[0])
			s1 += float64(p[1] * v[1])
			t1 += float64(q[1] * v[1])
		}
		a, b := x[i], x[i+1]
		sum += float64(a * (float64(r0[i]*a) + 2*(s0+s1)))
		sum += float64(b * (float64(r1[i+1]*b) + 2*(float64(r1[i]*a)+(t0+t1))))
		k += 2*i + 3
	}
	if i < len(x) {
		sum += float64(x[i] * (float64(w.P[k+i]*x[i]) + 2*dot(w.P[k:k+i], x[:i])))
	}
	return max(sum, 0)
}

// lower takes v·vᵀ·share from P.
func (w *wide) lower(v []float64, share float64) {
	k := 0
	for i, vi := range v {
		f := share * vi
		row := w.P[k : k+i+1]
		for j, vj := range v[:i+1] {
			row[j] -= float64(f * vj)
		}
		w.width[i] = row[i]
		k += i + 1
	}
}

// add learns from a value that was e above what was said; px is P·x, and
// variance is of e.
func (w *wide) add(px []float64, e, variance float64) {
	for i, v := range px {
		w.W[i] += float64(v * e / variance)
	}
	w.lower(px, 1/variance)
	w.N++
}

// renew puts the prior of weight i right; column is scratch.
func (w *wide) renew(i int, mean, variance float64, column []float64) {
	if w.N == 0 {
		w.W[i], w.P[i*(i+3)/2], w.width[i] = mean, variance, variance
		w.Mean[i], w.Var[i] = mean, variance
		return
	}
	for j := range column {
		column[j] = w.P[packed(i, j)]
	}
	more := 1/variance - 1/w.Var[i]
	f := 1 / (1 + float64(more*column[i]))
	move := f * (mean/variance - w.Mean[i]/w.Var[i] - float64(more*w.W[i]))
	for j, v := range column {
		w.W[j] += float64(v * move)
	}
	w.lower(column, f*more)
	w.Mean[i], w.Var[i] = mean, variance
}

// sound reports that what is known is still a mean and a covariance: updates
// of rank one lose digits, and rewards may be of any size.
func (w *wide) sound() bool {
	for i, v := range w.width {
		if !(v > 0) || !usable(v) || !usable(w.W[i]) {
			return false
		}
	}
	return true
}

// old reports that the prior of weight i is out of date.
func (w *wide) old(i int, p *population) bool {
	e, v := p.Mean[i]-w.Mean[i], p.Var[i]/w.Var[i]
	return v > 1+wideOld || v < 1-wideOld || e*e > wideOld*wideOld*p.Var[i]
}

func (w *wide) rescale(gain, shift float64) {
	square := gain * gain
	for i := range w.W {
		w.W[i] *= gain
		w.Mean[i] *= gain
		w.Var[i] *= square
		w.width[i] *= square
	}
	for i := range w.P {
		w.P[i] *= square
	}
	w.W[len(w.W)-1] += shift
	w.Mean[len(w.W)-1] += shift
}

func (w *wide) valid(d int) bool {
	if d == 0 {
		return len(w.W)+len(w.P)+len(w.Mean)+len(w.Var) == 0 && w.N == 0
	}
	if len(w.W) != d || len(w.P) != d*(d+1)/2 || len(w.Mean) != d || len(w.Var) != d || !(w.N >= 0 && usable(w.N)) ||
		!allUsable(w.W) || !allUsable(w.P) || !allUsable(w.Mean) || !allUsable(w.Var) {
		return false
	}
	for i, v := range w.Var {
		if !(v > 0 && w.P[i*(i+3)/2] > 0) {
			return false
		}
	}
	return true
}

// restored makes what a snapshot does not hold.
func (w *wide) restored() {
	w.width = make([]float64, len(w.W))
	for i := range w.width {
		w.width[i] = w.P[i*(i+3)/2]
	}
}

// sweep learns how a few weights are distributed over arms, in turn, and puts
// a few arms' priors right.
func (b *Bandit) sweep() {
	d := len(b.q)
	if d == 0 {
		return
	}
	p, variance := &b.s.Wide, b.plain(wideWeights)
	for range wideFit {
		b.s.WideTurn = (b.s.WideTurn + 1) % d
		b.fitWide(b.s.WideTurn, variance)
	}
	renewed := 0
	for range wideSweep {
		if b.s.WidePair++; b.s.WidePair >= d*len(b.s.Arms) {
			b.s.WidePair = 0
		}
		w, i := &b.s.Arms[b.s.WidePair/d].Wide, b.s.WidePair%d
		if !w.old(i, p) {
			continue
		}
		w.renew(i, p.Mean[i], p.Var[i], b.px)
		if w.N == 0 {
			continue // that cost nothing
		}
		if !w.sound() {
			w.forget(p)
		}
		if renewed++; renewed == wideRenew {
			return
		}
	}
}

// expectWide is Expect for weights of products: what is expected is that of a
// request without features.
func (b *Bandit) expectWide(a *arm, y, weight float64) {
	if len(b.q) == 0 {
		return
	}
	w := &a.Wide
	if w.N == 0 {
		w.forget(&b.s.Wide)
	}
	clear(b.q)
	b.q[len(b.q)-1] = 1
	width := w.times(b.q, b.px)
	w.add(b.px, y-dot(w.W, b.q), b.noiseOf(a, wideWeights)/weight+width)
	if !w.sound() {
		w.forget(&b.s.Wide)
	}
}

// fitWide is population.fit of one weight.
func (b *Bandit) fitWide(i int, variance float64) {
	n, sum := 0.0, 0.0
	for k := range b.s.Arms {
		if w := &b.s.Arms[k].Wide; w.N > 0 {
			n++
			sum += w.W[i]
		}
	}
	if n == 0 {
		return
	}
	mean, squares := sum/n, float64(populationWeight*variance)
	for k := range b.s.Arms {
		if w := &b.s.Arms[k].Wide; w.N > 0 {
			e := w.W[i] - mean
			squares += float64(e*e) + max(w.width[i], 0)
		}
	}
	b.s.Wide.Mean[i], b.s.Wide.Var[i] = mean, max(squares/(populationWeight+n), 1e-6*variance)
}
