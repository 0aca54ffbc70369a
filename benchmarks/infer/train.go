package infer

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/arqon/arqon/internal/seed"
)

// recipe is everything that decides the trained weights besides the data and
// the seed. Version changes whenever the code that trains does.
type recipe struct {
	Version    int
	Name       string
	Widths     []int
	Images     int // of the training split
	Epochs     int
	Batch      int
	Rate       float64 // Adam's step at the start; it falls linearly to a twentieth
	HeadImages int     // calibration images an adapter sees
	HeadDraws  int     // perturbation draws an image
	HeadEpochs int
	HeadRate   float64
}

func fullRecipe() recipe {
	return recipe{
		Version: 1, Name: "full", Widths: []int{32, 96, 256}, Images: 20000, Epochs: 3, Batch: 64, Rate: 2e-3,
		HeadImages: 12000, HeadDraws: 1, HeadEpochs: 12, HeadRate: 3e-3,
	}
}

// quickRecipe is for tests: the same code, a fifth of the work.
func quickRecipe() recipe {
	r := fullRecipe()
	r.Name, r.Images, r.Epochs, r.HeadImages, r.HeadEpochs = "quick", 4000, 3, 2000, 12
	return r
}

// shards is the number of parts a batch is cut into. It is fixed, and their
// gradients are added in order, so that the number of cores changes nothing.
const shards = 4

// shard is one part's working memory: one row of dh an image.
type shard struct {
	grad *network
	acts []*activations
	dh   [][maxStages][]float32
	loss float64
}

func newShard(widths []int, images int) *shard {
	s := &shard{grad: newNetwork(widths)}
	for range images {
		s.acts = append(s.acts, newActivations(s.grad))
		var dh [maxStages][]float32
		for i, w := range widths {
			dh[i] = make([]float32, w)
		}
		s.dh = append(s.dh, dh)
	}
	return s
}

// train fits a network to the first r.Images training images by Adam on the
// mean cross-entropy of all exits.
func train(ctx context.Context, data *Split, r recipe, root seed.Root, progress func(string)) (*network, error) {
	if r.Images > data.Len() {
		return nil, fmt.Errorf("recipe %s: %d training images asked, %d there", r.Name, r.Images, data.Len())
	}
	n := newNetwork(r.Widths)
	n.initialise(root)
	opt := newAdam(n.tensors())
	parts := make([]*shard, shards)
	for i := range parts {
		parts[i] = newShard(r.Widths, (r.Batch+shards-1)/shards)
	}
	steps := r.Epochs * (r.Images / r.Batch)
	step := 0
	for epoch := range r.Epochs {
		order := seed.Stream(root, "infer/batches", uint64(epoch)).Perm(r.Images)
		loss := 0.0
		for at := 0; at+r.Batch <= r.Images; at += r.Batch {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			loss += n.gradients(data, order[at:at+r.Batch], parts)
			opt.step(n, parts, r.Rate*(1-0.95*float64(step)/float64(steps)))
			step++
		}
		progress(fmt.Sprintf("infer: epoch %d of %d, training loss %.3f", epoch+1, r.Epochs, loss/float64(r.Images/r.Batch)))
	}
	return n, nil
}

// gradients leaves the batch's gradient in the parts, one sum a part, and
// returns the mean loss.
func (n *network) gradients(data *Split, batch []int, parts []*shard) float64 {
	per := (len(batch) + len(parts) - 1) / len(parts)
	var wg sync.WaitGroup
	for p, s := range parts {
		lo, hi := min(p*per, len(batch)), min((p+1)*per, len(batch))
		wg.Go(func() {
			n.backward(data, batch[lo:hi], 1/float32(len(batch)), s)
		})
	}
	wg.Wait()
	loss := 0.0
	for _, s := range parts {
		loss += s.loss
	}
	return loss / float64(len(batch))
}

// backward leaves the gradient of the given images, times scale, in the shard.
func (n *network) backward(data *Split, at []int, scale float32, s *shard) {
	for _, t := range s.grad.tensors() {
		clear(t)
	}
	s.loss = 0
	for k, i := range at {
		n.forward(&data.Images[i], s.acts[k])
		for e := range n.hidden {
			clear(s.dh[k][e])
		}
	}
	for e := len(n.hidden) - 1; e >= 0; e-- {
		for k, i := range at {
			s.loss += headGradient(&n.heads[e], &s.grad.heads[e], s.acts[k].h[e], s.dh[k][e], int(data.Labels[i]), scale)
		}
		n.backwardHidden(e, len(at), s)
	}
}

// backwardHidden goes through hidden layer e row by row: the images in which
// the row's ReLU is open add to its gradient, two at a time.
func (n *network) backwardHidden(e, images int, s *shard) {
	l, g := &n.hidden[e], &s.grad.hidden[e]
	area := sides[e] * sides[e]
	open := make([]int, 0, images)
	for r := range l.rows {
		open = open[:0]
		for k := range images {
			if s.acts[k].h[e][r] <= 0 {
				continue // closed: no gradient passes
			}
			d := s.dh[k][e][r]
			open = append(open, k)
			g.b[r] += d
			if e > 0 {
				axpy(s.dh[k][e-1], d, l.row(r)[area:])
			}
		}
		for len(open) >= 2 {
			i, j := open[0], open[1]
			axpy2(g.row(r), s.dh[i][e][r], s.acts[i].in[e], s.dh[j][e][r], s.acts[j].in[e])
			open = open[2:]
		}
		if len(open) == 1 {
			axpy(g.row(r), s.dh[open[0]][e][r], s.acts[open[0]].in[e])
		}
	}
}

// headGradient adds the gradient of one exit's cross-entropy to g and to dh
// (nil: not wanted) and returns the loss.
func headGradient(head, g *dense, h, dh []float32, label int, scale float32) float64 {
	var z, p [classes]float32
	for c := range classes {
		z[c] = head.b[c] + dot(head.row(c), h)
	}
	softmax(&z, &p)
	loss := -math.Log(max(1e-30, float64(p[label])))
	p[label]--
	for c := range classes {
		d := float32(p[c] * scale)
		axpy(g.row(c), d, h)
		g.b[c] += d
		if dh != nil {
			axpy(dh, d, head.row(c))
		}
	}
	return loss
}

// adam is Adam (Kingma and Ba 2015, algorithm 1) with β1 .9, β2 .999.
type adam struct {
	m, v         [][]float32
	beta1, beta2 float64 // running powers
}

func newAdam(tensors [][]float32) *adam {
	a := &adam{beta1: 1, beta2: 1}
	for _, t := range tensors {
		a.m = append(a.m, make([]float32, len(t)))
		a.v = append(a.v, make([]float32, len(t)))
	}
	return a
}

const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamSpan  = 1 << 14 // parameters a goroutine takes at once
)

// alpha advances one step and returns its bias-corrected size (§2, the
// efficient order).
func (a *adam) alpha(rate float64) float32 {
	a.beta1 *= adamBeta1
	a.beta2 *= adamBeta2
	return float32(rate * math.Sqrt(1-a.beta2) / (1 - a.beta1))
}

// step moves n along the parts' summed gradients.
func (a *adam) step(n *network, parts []*shard, rate float64) {
	alpha := a.alpha(rate)
	grads := make([][][]float32, len(parts))
	for i, s := range parts {
		grads[i] = s.grad.tensors()
	}
	var wg sync.WaitGroup
	for t, w := range n.tensors() {
		for lo := 0; lo < len(w); lo += adamSpan {
			hi := min(lo+adamSpan, len(w))
			wg.Go(func() {
				g := make([]float32, hi-lo)
				for p := range parts { // in order: float addition is not associative
					for i, x := range grads[p][t][lo:hi] {
						g[i] += x
					}
				}
				adamSpanStep(w[lo:hi], g, a.m[t][lo:hi], a.v[t][lo:hi], alpha)
			})
		}
	}
	wg.Wait()
}

func adamSpanStep(w, g, m, v []float32, alpha float32) {
	for i, gi := range g {
		mi := float32(adamBeta1*m[i]) + float32((1-adamBeta1)*gi)
		vi := float32(adamBeta2*v[i]) + float32((1-adamBeta2)*float32(gi*gi))
		m[i], v[i] = mi, vi
		w[i] -= float32(alpha * mi / (float32(math.Sqrt(float64(vi))) + 1e-8))
	}
}
