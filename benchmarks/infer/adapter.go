package infer

import (
	"context"
	"fmt"

	"github.com/arqon/arqon/internal/seed"
)

// The adapters: exit heads retrained for inputs that have drifted. The hidden
// layers stay as they are, so an adapter is 15 KB in f32.
const (
	adapterNone     = "none"
	adapterShifted  = "shifted"
	adapterNoisy    = "noisy"
	adapterInverted = "inverted"
)

var adapterNames = []string{adapterNone, adapterShifted, adapterNoisy, adapterInverted}

// adapterDiet is what an adapter is trained on: its images are dealt to these
// disturbances in turn, so that it meets several levels and not one.
var adapterDiet = map[string][]disturbance{
	adapterShifted:  {{"shift", 2}, {"shift", 3}, {"shift", 3}, {"shift", 4}},
	adapterNoisy:    {{"noise", 0.2}, {"noise", 0.3}, {"noise", 0.3}, {"noise", 0.4}},
	adapterInverted: {{"invert", 1}},
}

// dietOf returns the disturbers that images are dealt to; without an adapter
// one that does nothing.
func dietOf(adapter string, root seed.Root, stream string) []*disturber {
	var out []*disturber
	for k, d := range adapterDiet[adapter] {
		out = append(out, newDisturber(seed.Derive(root, stream, uint64(k)), d))
	}
	if out == nil {
		out = append(out, newDisturber(0))
	}
	return out
}

// features are the hidden outputs of every stage for many images.
type features struct {
	h      [maxStages][]float32 // images × width, row-major
	widths []int
	labels []byte
}

func (f *features) row(stage, i int) []float32 {
	w := f.widths[stage]
	return f.h[stage][i*w : (i+1)*w]
}

// adapterFeatures runs the calibration images through the hidden layers,
// disturbed by the diet.
func (n *network) adapterFeatures(ctx context.Context, data *Split, r recipe, name string, root seed.Root) (*features, error) {
	total := r.HeadImages * r.HeadDraws
	f := &features{widths: r.Widths, labels: make([]byte, total)}
	for s, w := range r.Widths {
		f.h[s] = make([]float32, total*w)
	}
	err := inParallel(ctx, total, func(lo, hi int) error {
		act := newActivations(n)
		mouths := dietOf(name, root, "infer/diet/"+name)
		var img [pixels]byte
		for i := lo; i < hi; i++ {
			at := i % r.HeadImages
			mouths[i%len(mouths)].apply(&data.Images[at], i, &img)
			n.forward(&img, act)
			for s := range n.hidden {
				copy(f.row(s, i), act.h[s])
			}
			f.labels[i] = data.Labels[at]
		}
		return nil
	})
	return f, err
}

// trainAdapter returns one retrained head a stage: softmax regression by Adam
// that starts at the base heads.
func (n *network) trainAdapter(ctx context.Context, data *Split, r recipe, name string, root seed.Root) ([]dense, error) {
	if r.HeadImages > data.Len() {
		return nil, fmt.Errorf("recipe %s: %d calibration images asked, %d there", r.Name, r.HeadImages, data.Len())
	}
	f, err := n.adapterFeatures(ctx, data, r, name, root)
	if err != nil {
		return nil, err
	}
	heads := make([]dense, len(n.heads))
	err = inParallel(ctx, len(heads), func(lo, hi int) error {
		for s := lo; s < hi; s++ {
			heads[s] = trainHead(&n.heads[s], f, s, r, seed.Stream(root, "infer/head/"+name, uint64(s)).Perm)
		}
		return nil
	})
	return heads, err
}

func trainHead(start *dense, f *features, stage int, r recipe, perm func(int) []int) dense {
	head := newDense(start.rows, start.cols)
	copy(head.w, start.w)
	copy(head.b, start.b)
	grad := newDense(head.rows, head.cols)
	w, g := [][]float32{head.w, head.b}, [][]float32{grad.w, grad.b}
	opt := newAdam(w)
	const batch = 64
	steps := r.HeadEpochs * (len(f.labels) / batch)
	step := 0
	for range r.HeadEpochs {
		order := perm(len(f.labels))
		for at := 0; at+batch <= len(order); at += batch {
			clear(grad.w)
			clear(grad.b)
			for _, i := range order[at : at+batch] {
				headGradient(&head, &grad, f.row(stage, i), nil, int(f.labels[i]), 1.0/batch)
			}
			alpha := opt.alpha(r.HeadRate * (1 - 0.95*float64(step)/float64(steps)))
			for t := range w {
				adamSpanStep(w[t], g[t], opt.m[t], opt.v[t], alpha)
			}
			step++
		}
	}
	return head
}
